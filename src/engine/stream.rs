//! The only place that records and submits.
//!
//! Commands are first kept in a list and encoded, at a flush, into one long compute pass. Uploads go into an encoder of
//! their own that is submitted before it, so they never break the pass; [`super::gpu::Gpu::write`] sees to it that no
//! recorded command uses the memory they write.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::ahead::{Draft, Encoder, Job, Piece, Prepared};
use super::cache::PipelineStore;
use super::compile::Pipeline;
use super::counters::AtomicCounters;
use super::fusion::{ChainStep, Fusion, Workshop};
use super::helper::{FirstUse, Helper};
use super::kernel::Grid;
use super::mirrored::Mirrored;
use super::pipelines::{Bound, PARAMS_BYTES, Pipelines};
use super::pool::{Pool, RawBuffer};
use super::profile::{self, Session, SpanKind, Work};
use super::recording::{Recorder, Recording, Replayed};
use super::timer::{Encoding, Mark, Timer, Timing};
use crate::Error;

/// When a stream submits, a property of the adapter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Dispatches of one submission.
    pub dispatches: usize,
    /// Scalar operations of one submission, to stay far below the 2 s after which a driver may end it.
    pub work: u64,
}

/// Submissions that may be under way before the host waits for the oldest.
const MAX_IN_FLIGHT: usize = 3;

/// Chunks of the staging belt; a larger upload gets a chunk of its own.
const STAGING_CHUNK: u64 = 1 << 20;

/// Staged bytes after which a submission is due, so that a loop of uploads does not pile up host memory.
const MAX_STAGED: u64 = 64 << 20;

/// Read-back buffers that wait for reuse.
const MAX_STAGING_BUFFERS: usize = 8;

/// A recorded dispatch.
pub(crate) struct Dispatch {
    pub pipeline: Pipeline,
    pub bound: Arc<Bound>,
    /// Where its params begin.
    pub params: u32,
    pub groups: [u32; 3],
    /// Which bindings are memory that nothing had used since it was given to its owner, by bits.
    pub fresh: u16,
    /// What it does as a step of a chain.
    pub step: Option<ChainStep>,
}

impl Dispatch {
    /// With its params behind those of others in `all`.
    pub fn new(
        pipeline: Pipeline,
        (bound, fresh): (Arc<Bound>, u16),
        params: &[u8],
        grid: Grid,
        all: &mut Vec<u8>,
    ) -> Dispatch {
        let start = all.len();
        all.extend_from_slice(params);
        all.resize(start + PARAMS_BYTES as usize, 0);
        let Grid { groups, step, .. } = grid;
        Dispatch { pipeline, bound, params: start as u32, groups, fresh, step }
    }

    /// Gives a pass its pipeline.
    fn prepare(&self, pass: &mut wgpu::ComputePass<'_>) {
        if let Some(pipeline) = self.pipeline.compiled() {
            pass.set_pipeline(pipeline);
        }
    }

    /// Encodes dispatches as one pass.
    pub fn encode_all(dispatches: &[Dispatch], encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut current: Option<&Pipeline> = None;
        for dispatch in dispatches {
            if !current.is_some_and(|current| current.is(&dispatch.pipeline)) {
                dispatch.prepare(&mut pass);
            }
            dispatch.encode(&mut pass);
            current = Some(&dispatch.pipeline);
        }
    }

    /// Puts it into a pass that has its pipeline; one that the device has refused is left out.
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        if self.pipeline.compiled().is_none() {
            return;
        }
        pass.set_bind_group(0, &self.bound.group, &[self.params]);
        let [x, y, z] = self.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A prepared replay among the recorded commands.
struct Ahead {
    /// How many of them come before it.
    place: usize,
    commands: wgpu::CommandBuffer,
    /// Its dispatches.
    len: usize,
    /// Those for the next time.
    next: Option<Job>,
}

/// Bytes of the params of one submission.
fn params_bytes(limits: StreamLimits) -> u64 {
    limits.dispatches as u64 * PARAMS_BYTES
}

/// Compiles what these still wait for.
fn compile(
    pipelines: &mut Pipelines,
    device: &wgpu::Device,
    counters: &AtomicCounters,
    dispatches: &[Dispatch],
) -> Vec<Pipeline> {
    pipelines.compile_waiting(device, counters, |pipeline| dispatches.iter().any(|used| used.pipeline.is(pipeline)))
}

/// Whether a submission has run, or nobody can tell; waits so long for it.
fn has_run(device: &wgpu::Device, index: &wgpu::SubmissionIndex, patience: Duration) -> bool {
    let poll = device.poll(wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: Some(patience) });
    !matches!(poll, Err(wgpu::PollError::Timeout))
}

pub(crate) struct Stream {
    pub pool: Pool,
    pub pipelines: Pipelines,
    /// Listens to a step that is to be replayed.
    pub recorder: Option<Recorder>,
    pub timer: Timer,
    /// Whether chains of small dispatches are joined.
    pub joins: bool,
    fusion: Fusion,
    timing: Timing,
    /// At most one in a submission: they all have the same places for their params and programs.
    ahead: Option<Ahead>,
    encoder: Encoder,
    prepared_params: Mirrored,
    prepared_fusion: Fusion,
    /// The memory of replays among the recorded commands.
    replayed: Vec<Arc<FxHashSet<u64>>>,
    commands: Vec<Dispatch>,
    params: Vec<u8>,
    arena: Mirrored,
    limits: StreamLimits,
    work: u64,
    recording: u64,
    belt: wgpu::util::StagingBelt,
    uploads: Option<wgpu::CommandEncoder>,
    staged: u64,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    staging: Vec<wgpu::Buffer>,
    /// Compiles new kernels on another thread while the device does.
    helper: Option<Helper>,
    /// A kernel that the device refused, for the next who asks how it is.
    pub refused: Option<Error>,
}

impl Stream {
    pub fn new(
        device: &wgpu::Device,
        limits: StreamLimits,
        timing: Timing,
        returned: mpsc::Receiver<RawBuffer>,
        (store, helper): (Option<PipelineStore>, Option<Helper>),
    ) -> Self {
        let arena = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("params arena"),
            // Those of recorded commands, then those of a prepared replay among them.
            size: 2 * params_bytes(limits),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut pipelines = Pipelines::new(device, arena.clone());
        pipelines.store = store;
        Stream {
            pool: Pool::new(returned),
            pipelines,
            recorder: None,
            timer: Timer::default(),
            joins: true,
            fusion: Fusion::default(),
            timing,
            ahead: None,
            encoder: Encoder::default(),
            prepared_params: Mirrored::from(arena.clone(), params_bytes(limits)),
            prepared_fusion: Fusion::default(),
            replayed: Vec::new(),
            commands: Vec::with_capacity(limits.dispatches),
            params: Vec::with_capacity(limits.dispatches * PARAMS_BYTES as usize),
            arena: Mirrored::new(arena),
            limits,
            work: 0,
            recording: 1,
            belt: wgpu::util::StagingBelt::new(device.clone(), STAGING_CHUNK),
            uploads: None,
            staged: 0,
            in_flight: VecDeque::new(),
            staging: Vec::new(),
            helper,
            refused: None,
        }
    }

    /// The number of the recording that the next submission ends.
    pub fn recording(&self) -> u64 {
        self.recording
    }

    pub fn raw(&mut self, bytes: u64, wgpu: wgpu::Buffer) -> RawBuffer {
        RawBuffer { id: self.pool.next_id(), bytes, wgpu, last_use: 0 }
    }

    pub fn dispatch(&mut self, pipeline: Pipeline, bound: (Arc<Bound>, u16), params: &[u8], grid: Grid) {
        let dispatch = Dispatch::new(pipeline, bound, params, grid, &mut self.params);
        self.commands.push(dispatch);
        self.work += grid.work;
    }

    /// [`Self::dispatch`] of a recording.
    pub fn replay(&mut self, command: &Replayed<'_>) {
        self.commands.push(command.dispatch(&mut self.params));
        self.work += command.grid.work;
    }

    /// Makes a recording ready to be encoded as often as it is replayed.
    pub fn prepare(&mut self, device: &wgpu::Device, counters: &AtomicCounters, recording: &Recording) -> Prepared {
        let mut pieces = Vec::new();
        let most = self.limits.dispatches;
        while let Some(mut draft) = Draft::of(recording, pieces.iter().map(Piece::recorded).sum(), self.limits) {
            let mut joined = 0;
            if self.joins {
                let Stream { pool, pipelines, .. } = self;
                let shop = Workshop { device, counters, pool, pipelines, params: &mut draft.params, most };
                (_, joined) = self.prepared_fusion.fuse(&mut draft.dispatches, 0, shop);
            }
            // What was a step of a chain whenever it ran has never been compiled.
            let compiled = compile(&mut self.pipelines, device, counters, &draft.dispatches);
            self.note_refused(&compiled);
            pieces.push(draft.finish(self.prepared_fusion.take_program(), joined, params_bytes(self.limits) as u32));
        }
        Prepared { pieces, joined: self.joins }
    }

    /// Whether there is a prepared replay among the recorded commands.
    pub fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Records a piece of a prepared replay, where there is none yet and nothing is timed.
    pub fn replay_ahead(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, piece: &mut Piece) {
        // Queue writes run before the submission that follows and after the one before.
        self.prepared_params.write(queue, &piece.params);
        self.prepared_fusion.write(queue, &piece.program);
        let (commands, next) = piece.take(device);
        self.ahead = Some(Ahead { place: self.commands.len(), commands, len: piece.len(), next });
        self.work += piece.work;
    }

    /// The last recorded command is to be timed.
    pub fn mark(&mut self, session: Arc<Session>, work: Work) {
        let command = self.commands.len() - 1;
        self.timer.marks.push(Mark { command, session, work });
    }

    /// The recorder, when it listens to this thread.
    pub fn recorder_here(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut().filter(|recorder| recorder.is_here())
    }

    /// The commands to come are a replay that uses this memory.
    pub fn note_replay(&mut self, used: &Arc<FxHashSet<u64>>) {
        if !self.replayed.iter().any(|known| Arc::ptr_eq(known, used)) {
            self.replayed.push(used.clone());
        }
    }

    /// Whether a replay among the recorded commands uses a buffer.
    pub fn is_replayed(&self, id: u64) -> bool {
        self.replayed.iter().any(|used| used.contains(&id))
    }

    /// Whether it is time to submit.
    pub fn is_full(&self) -> bool {
        let dispatches = self.commands.len() + self.ahead.as_ref().map_or(0, |ahead| ahead.len);
        dispatches >= self.limits.dispatches || self.work >= self.limits.work || self.staged >= MAX_STAGED
    }

    /// Copies host bytes into reused staging memory; the transfer runs before the recorded commands.
    pub fn stage(&mut self, device: &wgpu::Device, target: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        let encoder = self.uploads.get_or_insert_with(|| {
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("uploads") })
        });
        let Some(size) = wgpu::BufferSize::new(bytes.len() as u64) else { return };
        self.belt.write_buffer(encoder, target, offset, size).copy_from_slice(bytes);
        self.staged += bytes.len() as u64;
    }

    /// Encodes and submits everything recorded, if there is anything.
    pub fn submit(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, counters: &AtomicCounters) {
        if !self.commands.is_empty() || self.uploads.is_some() || self.ahead.is_some() {
            self.hand_in(device, queue, counters, None::<fn(&mut wgpu::CommandEncoder)>);
        }
    }

    /// Encodes and submits everything recorded, then the commands that `tail` adds.
    pub fn submit_with(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        counters: &AtomicCounters,
        tail: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> wgpu::SubmissionIndex {
        self.hand_in(device, queue, counters, Some(tail))
    }

    fn hand_in(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        counters: &AtomicCounters,
        tail: Option<impl FnOnce(&mut wgpu::CommandEncoder)>,
    ) -> wgpu::SubmissionIndex {
        let _span = profile::span(SpanKind::Submit, "submit");
        self.fuse(device, counters);
        let compiled = compile(&mut self.pipelines, device, counters, &self.commands);
        self.note_refused(&compiled);
        let first_uses = if self.helper.is_some() { self.first_uses(&compiled) } else { Vec::new() };
        let (buffers, next, times) = self.encode(device, tail);
        self.write_params(queue);
        let asked = if times.is_some() { profile::now() } else { 0 };
        let index = queue.submit(buffers);
        AtomicCounters::add(&counters.submits, 1);
        // Behind the submission, since a thread that is woken may take this one's processor.
        next.into_iter().for_each(|job| self.encoder.begin(job));
        if let Some(times) = times {
            self.timer.submitted(times, asked);
        }
        self.timer.collect();
        self.work = 0;
        self.staged = 0;
        self.replayed.clear();
        self.recording += 1;
        self.in_flight.push_back(index.clone());
        if let Some(helper) = &mut self.helper {
            helper.help(&first_uses, |patience| has_run(device, &index, patience));
        }
        index
    }

    /// Keeps the first refusal for whoever asks next.
    fn note_refused(&mut self, compiled: &[Pipeline]) {
        self.refused = self.refused.take().or_else(|| compiled.iter().find_map(|pipeline| pipeline.refusal().err()));
    }

    /// Joins chains among the recorded commands, unless some are timed: marks tell them by their places.
    fn fuse(&mut self, device: &wgpu::Device, counters: &AtomicCounters) {
        if self.joins && self.timer.marks.is_empty() {
            let Stream { pool, pipelines, params, .. } = self;
            let most = self.limits.dispatches;
            let shop = Workshop { device, counters, pool, pipelines, params, most };
            let place = self.ahead.as_ref().map_or(0, |ahead| ahead.place);
            let (place, joined) = self.fusion.fuse(&mut self.commands, place, shop);
            if let Some(ahead) = &mut self.ahead {
                ahead.place = place;
            }
            AtomicCounters::add(&counters.fused, joined);
        }
    }

    /// Brings the params of the recorded commands, and the programs of their chains, to where the device finds them.
    fn write_params(&mut self, queue: &wgpu::Queue) {
        if !self.params.is_empty() {
            // Queue writes run before the submission that follows and after the one before: one arena is enough.
            self.arena.write(queue, &self.params);
            let program = self.fusion.take_program();
            self.fusion.write(queue, &program);
            self.params.clear();
        }
    }

    /// The params that pipelines are first used with, in the order of those uses.
    fn first_uses(&self, pipelines: &[Pipeline]) -> Vec<FirstUse> {
        let first = |pipeline: &Pipeline| {
            let place = self.commands.iter().position(|command| command.pipeline.is(pipeline))?;
            let params = self.params[self.commands[place].params as usize..][..PARAMS_BYTES as usize].to_vec();
            Some((place, FirstUse { pipeline: pipeline.clone(), params }))
        };
        let mut uses: Vec<_> = pipelines.iter().filter_map(first).collect();
        uses.sort_by_key(|(place, _)| *place);
        uses.into_iter().map(|(_, first)| first).collect()
    }

    /// Everything that goes into a submission, in order; then what is to be encoded behind it, and the queries of times, if
    /// somebody wants them.
    fn encode(
        &mut self,
        device: &wgpu::Device,
        tail: Option<impl FnOnce(&mut wgpu::CommandEncoder)>,
    ) -> (SmallVec<[wgpu::CommandBuffer; 4]>, Option<Job>, Option<Encoding>) {
        let (mut buffers, mut next, mut start) = (SmallVec::new(), None, 0);
        let new = || device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        if let Some(encoder) = self.uploads.take() {
            self.belt.finish_and_recall_on_submit(&encoder);
            buffers.push(encoder.finish());
        }
        if let Some(ahead) = self.ahead.take() {
            start = ahead.place;
            if start > 0 {
                let mut encoder = new();
                Dispatch::encode_all(&self.commands[..start], &mut encoder);
                buffers.push(encoder.finish());
            }
            buffers.push(ahead.commands);
            next = ahead.next;
        }
        let mut times = None;
        if start < self.commands.len() || self.timer.is_wanted() || tail.is_some() {
            let mut encoder = new();
            times = self.encode_rest(device, start, &mut encoder);
            tail.into_iter().for_each(|tail| tail(&mut encoder));
            buffers.push(encoder.finish());
        }
        self.commands.clear();
        (buffers, next, times)
    }

    /// Encodes the recorded commands from number `start` on.
    fn encode_rest(
        &mut self,
        device: &wgpu::Device,
        start: usize,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Option<Encoding> {
        let mut times = self.timer.is_wanted().then(|| self.timer.begin(device, self.limits.dispatches));
        match &mut times {
            Some(times) if start == self.commands.len() => times.ask(encoder),
            Some(times) => self.encode_timed(start, encoder, times),
            None if start < self.commands.len() => Dispatch::encode_all(&self.commands[start..], encoder),
            None => {}
        }
        if let Some(times) = &times {
            times.finish(encoder);
        }
        times
    }

    /// [`Dispatch::encode_all`] with timestamps round the marked commands.
    fn encode_timed(&mut self, start: usize, encoder: &mut wgpu::CommandEncoder, times: &mut Encoding) {
        let mut marks = std::mem::take(&mut self.timer.marks).into_iter().peekable();
        let commands = self.commands.iter().enumerate().skip(start);
        let marked = commands.map(|(i, command)| (command, marks.next_if(|mark| mark.command == i)));
        if self.timing == Timing::Timestamps {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            marked.for_each(|(command, mark)| {
                command.prepare(&mut pass);
                times.inside(&mut pass, mark, |pass| command.encode(pass));
            });
        } else {
            marked.for_each(|(command, mark)| {
                let mut pass = times.pass(encoder, mark);
                command.prepare(&mut pass);
                command.encode(&mut pass);
            });
        }
    }

    /// The submission that the host should wait for before it records on, if too many are under way.
    pub fn overdue(&mut self) -> Option<wgpu::SubmissionIndex> {
        let excess = self.in_flight.len().saturating_sub(MAX_IN_FLIGHT);
        self.in_flight.drain(..excess).next_back()
    }

    /// A staging buffer that waits for reuse, with room for `bytes` and not much more.
    pub fn staging(&mut self, bytes: u64) -> Option<wgpu::Buffer> {
        let fits = self.staging.iter().position(|b| b.size() >= bytes && b.size() <= bytes.max(4096) * 4)?;
        Some(self.staging.swap_remove(fits))
    }

    /// Takes an unmapped staging buffer back for the next read.
    pub fn reclaim(&mut self, staging: wgpu::Buffer) {
        if self.staging.len() < MAX_STAGING_BUFFERS {
            self.staging.push(staging);
        }
    }
}
