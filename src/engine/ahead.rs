//! Replays that are encoded before they are asked for.
//!
//! wgpu takes a command buffer once, so every replay needs a new one. What stands in it is the same each time: what
//! changes are params, and they lie in a buffer. So another thread encodes the next replay while the device runs this one,
//! and what is left for the thread that asks is to write the params and to submit: on lavapipe 0.6 to 0.8 times what wgpu
//! takes for as many dispatches when nobody helps (`cargo bench --bench engine -- "training step|wgpu alone"`).

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::{Arc, mpsc};

use futures::channel::oneshot;

use super::compile;
use super::fusion::Instruction;
use super::recording::Recording;
use super::stream::{Dispatch, StreamLimits};

/// Dispatches that are worth it: to wake the other thread costs what encoding about a dozen of them does, by `perf record`
/// of the bench above.
pub(crate) const FEWEST: usize = 16;

/// A recording, ready to be encoded.
pub(crate) struct Prepared {
    pub pieces: Vec<Piece>,
    /// Whether chains were joined in it.
    pub joined: bool,
}

/// As much of a recording as goes into one submission.
pub(crate) struct Draft {
    pub dispatches: Vec<Dispatch>,
    pub params: Vec<u8>,
    changing: Vec<(Range<usize>, usize)>,
    work: u64,
}

impl Draft {
    /// The dispatches of a recording from `first` on; `None` behind the last one.
    pub fn of(recording: &Recording, first: usize, limits: StreamLimits) -> Option<Draft> {
        let mut draft = Draft { dispatches: Vec::new(), params: Vec::new(), changing: Vec::new(), work: 0 };
        for (i, command) in recording.commands().enumerate().skip(first).take(limits.dispatches) {
            draft.changing.extend(recording.changing(i).map(|range| (range, draft.params.len())));
            draft.dispatches.push(command.dispatch(&mut draft.params));
            draft.work += command.grid.work;
            if draft.work >= limits.work {
                break;
            }
        }
        (!draft.dispatches.is_empty()).then_some(draft)
    }

    /// With its chains joined, which are these programs; `start` is where its params lie in the stream's arena.
    pub fn finish(self, program: Vec<Instruction>, joined: u64, start: u32) -> Piece {
        let Draft { mut dispatches, params, changing, work } = self;
        dispatches.iter_mut().for_each(|dispatch| dispatch.params += start);
        Piece { dispatches: dispatches.into(), params, changing, program, joined, work, next: None }
    }
}

/// A [`Draft`] that can be encoded.
pub(crate) struct Piece {
    dispatches: Arc<[Dispatch]>,
    /// What the stream's arena has to hold.
    pub params: Vec<u8>,
    /// Which of the recording's params may change, and where they are in `params`.
    changing: Vec<(Range<usize>, usize)>,
    /// The programs of its chains.
    pub program: Vec<Instruction>,
    /// Dispatches that were joined with others.
    pub joined: u64,
    /// Scalar operations.
    pub work: u64,
    next: Option<oneshot::Receiver<wgpu::CommandBuffer>>,
}

impl Piece {
    /// Dispatches of the recording.
    pub fn recorded(&self) -> usize {
        self.dispatches.len() + self.joined as usize
    }

    /// How many dispatches it encodes.
    pub fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Takes over the recording's params as they are now.
    pub fn refresh(&mut self, recorded: &[u8]) {
        for (from, to) in &self.changing {
            self.params[*to..][..from.len()].copy_from_slice(&recorded[from.clone()]);
        }
    }

    /// Its commands, once, and those for the next time, to be handed to an [`Encoder`] if that is worth it.
    pub fn take(&mut self, device: &wgpu::Device) -> (wgpu::CommandBuffer, Option<Job>) {
        let ready = self.next.take().and_then(|next| pollster::block_on(next).ok());
        let commands = ready.unwrap_or_else(|| encode(device, &self.dispatches));
        let job = (self.len() >= FEWEST).then(|| {
            let (answer, next) = oneshot::channel();
            self.next = Some(next);
            Job { device: device.clone(), dispatches: self.dispatches.clone(), answer }
        });
        (commands, job)
    }
}

impl Drop for Piece {
    /// Waits for what is being encoded, so that no thread is at work in a driver when the program ends.
    fn drop(&mut self) {
        if let Some(next) = self.next.take() {
            let _ = pollster::block_on(next);
        }
    }
}

/// Dispatches in a command buffer of their own.
fn encode(device: &wgpu::Device, dispatches: &[Dispatch]) -> wgpu::CommandBuffer {
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("replay") });
    Dispatch::encode_all(dispatches, &mut encoder);
    encoder.finish()
}

/// A command buffer that is to be encoded. One that goes without being encoded is known to be missing.
pub(crate) struct Job {
    device: wgpu::Device,
    dispatches: Arc<[Dispatch]>,
    answer: oneshot::Sender<wgpu::CommandBuffer>,
}

/// A thread that encodes.
#[derive(Default)]
pub(crate) struct Encoder {
    /// None in it: the system gives no thread.
    jobs: OnceCell<Option<mpsc::Sender<Job>>>,
}

impl Encoder {
    /// Whether there is a processor for it.
    pub fn is_useful() -> bool {
        compile::processors() > 1
    }

    /// Has it encoded. A job that can't be done goes, and whoever waits for it encodes by itself.
    pub fn begin(&self, job: Job) {
        if let Some(jobs) = self.jobs.get_or_init(start) {
            let _ = jobs.send(job);
        }
    }
}

fn start() -> Option<mpsc::Sender<Job>> {
    let (jobs, waiting) = mpsc::channel::<Job>();
    let work = move || {
        for Job { device, dispatches, answer } in waiting {
            // Nobody waits for it when its recording has gone.
            let _ = answer.send(encode(&device, &dispatches));
        }
    };
    let thread = std::thread::Builder::new().name("lumigrad encode".into()).spawn(work);
    let told = |error: &std::io::Error| log::warn!("replays are encoded when they are asked for: no thread: {error}");
    thread.inspect_err(told).is_ok().then_some(jobs)
}
