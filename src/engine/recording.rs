//! Steps that are recorded once and replayed: what was dispatched, on which memory, and what changes from step to step.
//!
//! A [`Recorder`] listens while a thread runs a step. Two of them are held side by side: what differs between two steps
//! must be the position of the random numbers, or an option of an optimiser, which a [`Live`] source tells; anything
//! else can't be replayed and is refused. The result is a [`Recording`], whose dispatches are encoded again with the
//! same bind groups. It keeps the memory that they use to itself.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::ThreadId;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::ahead::Prepared;
use super::compile::Pipeline;
use super::device::{Device, RandomState};
use super::kernel::{Grid, Kernel};
use super::pipelines::Bound;
use super::profile::{self, Heard, Work};
use super::stream::Dispatch;
use crate::{Error, Result, scoped};

/// Params of a dispatch that depend on something that may change between replays.
pub(crate) trait Live: Send + Sync {
    /// Another number after each change.
    fn version(&self) -> u64;

    /// Runs the same dispatches as when they were recorded; only their params are taken.
    fn run(&self) -> Result<()>;
}

/// What this thread does with dispatches, besides running them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Run,
    /// In a step that is to be recorded: nothing may be read back.
    Capture,
    /// Params are collected, and nothing runs.
    Collect,
}

/// The params of a dispatch that a live source asked for.
type Collected = (usize, usize, Vec<u8>);

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Run) };
    static COLLECTED: RefCell<Vec<Collected>> = const { RefCell::new(Vec::new()) };
    static SWITCHES: RefCell<Switches> = const { RefCell::new(Vec::new()) };
    static MOVES: Cell<u64> = const { Cell::new(0) };
}

/// Tells that something of a device lies elsewhere than before, or is trained where it was not: a parameter, a buffer, an
/// optimiser's memory. No recording survives that.
pub(crate) fn changed(device: &Device) {
    device.changed();
    MOVES.set(MOVES.get() + 1);
}

/// The switches of modules that a step asked for, with their positions.
pub(crate) type Switches = Vec<(Arc<AtomicBool>, bool)>;

/// What was seen while a step ran.
pub(crate) struct Seen {
    pub switches: Switches,
    /// Whether it put something elsewhere; see [`changed`].
    pub moves: bool,
}

/// Runs a step that is to be recorded now or later.
pub(crate) fn capturing<R>(body: impl FnOnce() -> R) -> (R, Seen) {
    // The step must convert its weights itself.
    crate::amp::forget_converted();
    let before = MOVES.get();
    let noting = || scoped::replace(&SWITCHES, Vec::new(), || profile::noting(body));
    let (result, switches) = scoped::set(&MODE, Mode::Capture, noting);
    (result, Seen { switches, moves: MOVES.get() != before })
}

/// Whether this thread runs a step that is to be recorded.
pub(crate) fn is_capturing() -> bool {
    MODE.get() == Mode::Capture
}

/// Notes that the step asked for a switch.
pub(crate) fn note_switch(switch: &Arc<AtomicBool>, on: bool) {
    if is_capturing() {
        SWITCHES.with_borrow_mut(|switches| {
            if !switches.iter().any(|(known, _)| Arc::ptr_eq(known, switch)) {
                switches.push((switch.clone(), on));
            }
        });
    }
}

/// Refuses what waits for the device in a step that is to be recorded.
///
/// # Errors
/// [`Error::Capture`] while such a step runs.
#[track_caller]
pub(crate) fn refuse(op: &'static str) -> Result<()> {
    if !is_capturing() {
        return Ok(());
    }
    let line = super::fault::users_line();
    Err(Error::Capture {
        op,
        detail: format!(
            "reads from the device, at {}:{}; a step that is replayed can't wait for that. Return the tensor from the \
             step and read it outside",
            line.file(),
            line.line()
        ),
    })
}

/// Whether dispatches of this thread are only to tell their params.
pub(crate) fn is_collecting() -> bool {
    MODE.get() == Mode::Collect
}

/// Takes the params of a dispatch that does not run.
pub(crate) fn collect(kernel: &'static Kernel, variant: usize, params: &[u8]) {
    COLLECTED.with_borrow_mut(|list| list.push((kernel.id(), variant, params.to_vec())));
}

/// Memory that a recorded dispatch uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    /// There before the step, by its number.
    Outer(u64),
    /// Made in the step, counted from its start.
    Made(u32),
}

/// One recorded dispatch.
struct Command {
    pipeline: Pipeline,
    bound: Arc<Bound>,
    fresh: u16,
    grid: Grid,
    operands: SmallVec<[Operand; 8]>,
    params: Range<usize>,
    /// What it is, for profiles.
    work: Option<Work>,
}

impl Command {
    fn kernel(&self) -> &'static Kernel {
        self.pipeline.kernel().0
    }

    /// Which kernel, and which of its variants.
    fn runs(&self) -> (usize, usize) {
        let (kernel, variant) = self.pipeline.kernel();
        (kernel.id(), variant)
    }
}

/// Host data that the step made a tensor of.
struct Constant {
    made: u32,
    offset: u64,
    bytes: Vec<u8>,
}

struct LiveRange {
    commands: Range<usize>,
    source: Arc<dyn Live>,
    version: u64,
}

/// Listens to one thread's step on one device.
pub(crate) struct Recorder {
    thread: ThreadId,
    random: RandomState,
    commands: Vec<Command>,
    params: Vec<u8>,
    constants: Vec<Constant>,
    live: Vec<LiveRange>,
    /// Memory that the step allocated: which allocation it last was.
    made: FxHashMap<u64, u32>,
    allocations: u32,
    used: FxHashSet<u64>,
    problem: Option<String>,
}

impl Recorder {
    pub fn new(random: RandomState) -> Recorder {
        Recorder {
            thread: std::thread::current().id(),
            random,
            commands: Vec::new(),
            params: Vec::new(),
            constants: Vec::new(),
            live: Vec::new(),
            made: FxHashMap::default(),
            allocations: 0,
            used: FxHashSet::default(),
            problem: None,
        }
    }

    /// Whether it listens to the thread that asks.
    pub fn is_here(&self) -> bool {
        self.thread == std::thread::current().id()
    }

    /// Memory was allocated. True when the recorder had not met it before.
    pub fn allocated(&mut self, id: u64) -> bool {
        self.made.insert(id, self.allocations);
        self.allocations += 1;
        self.used.insert(id)
    }

    /// Host data goes into a buffer.
    pub fn uploaded(&mut self, id: u64, offset: u64, bytes: &[u8]) {
        match self.made.get(&id) {
            Some(&made) => self.constants.push(Constant { made, offset, bytes: bytes.to_vec() }),
            None => self.refuse("overwrites a tensor from host data; give the data as an input of the step"),
        }
    }

    /// A kernel was dispatched on these buffers. Gives those that the recorder had not met before.
    pub fn dispatched(
        &mut self,
        pipeline: &Pipeline,
        (bound, fresh): (&Arc<Bound>, u16),
        (params, grid): (&[u8], Grid),
        heard: Option<&Heard>,
    ) -> SmallVec<[u64; 8]> {
        let (kernel, _) = pipeline.kernel();
        let buffers = kernel.bindings.iter().zip(&bound.buffers).filter(|(binding, _)| binding.is_operand());
        let ids: SmallVec<[u64; 8]> = buffers.map(|(_, (id, _))| *id).collect();
        let start = self.params.len();
        self.params.extend_from_slice(params);
        let operands: SmallVec<[Operand; 8]> =
            ids.iter().map(|id| self.made.get(id).map_or(Operand::Outer(*id), |n| Operand::Made(*n))).collect();
        let bindings = kernel.bindings.iter().filter(|b| b.is_operand());
        let written = bindings.zip(&operands).filter(|(b, _)| b.is_written());
        for (_, operand) in written {
            if self.constants.iter().any(|c| Operand::Made(c.made) == *operand) {
                self.refuse(&format!("writes to a tensor made of host data with {}; make it outside", kernel.name));
                break;
            }
        }
        self.commands.push(Command {
            pipeline: pipeline.clone(),
            bound: bound.clone(),
            fresh,
            grid,
            operands,
            params: start..self.params.len(),
            work: heard.map(|heard| heard.work.clone()),
        });
        ids.into_iter().filter(|id| self.used.insert(*id)).collect()
    }

    /// How many dispatches there are so far.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// The dispatches from `start` on depend on what `source` tells.
    pub fn add_live(&mut self, start: usize, source: Arc<dyn Live>) {
        let (commands, version) = (start..self.commands.len(), source.version());
        // A step of a chain would keep the numbers of today.
        self.commands[start..].iter_mut().for_each(|command| command.grid.step = None);
        self.live.push(LiveRange { commands, source, version });
    }

    fn refuse(&mut self, what: &str) {
        self.problem.get_or_insert_with(|| what.to_string());
    }

    /// Everything that it used.
    pub fn used(&self) -> &FxHashSet<u64> {
        &self.used
    }
}

/// A random state in a dispatch's params: byte, and which of the step's draws it is.
type Draw = (usize, u64);

/// The random states of a step.
pub(crate) struct Draws {
    places: Vec<Draw>,
    /// How many random operations a step has.
    count: u64,
}

/// A step that can be run again.
pub(crate) struct Recording {
    recorder: Recorder,
    draws: Draws,
    used: Arc<FxHashSet<u64>>,
    /// Made at the first replay that can use it.
    pub prepared: Option<Prepared>,
}

/// Holds two steps in a row side by side; `after` is the random state after the second. Gives what a replay of the
/// second has to know, or `None` when one more step has to be seen: both began with the same random state, or one was
/// seeded anew.
///
/// # Errors
/// [`Error::Capture`] with what differs.
pub(crate) fn compare(first: &Recorder, second: &Recorder, after: RandomState) -> Result<Option<Draws>> {
    let refused = |op, detail: String| Err(Error::Capture { op, detail });
    if let Some(problem) = first.problem.as_ref().or(second.problem.as_ref()) {
        return refused("capture", format!("the step {problem}"));
    }
    for (a, b) in first.commands.iter().zip(&second.commands) {
        let op = a.kernel().name;
        if a.runs() != b.runs() {
            let (kernel, variant) = b.pipeline.kernel();
            return refused(op, format!("runs in one step where the next runs {}; {SAME}", kernel.label(variant)));
        }
        if a.grid.groups != b.grid.groups {
            return refused(op, format!("has another size in one step than in the next; {SAME}"));
        }
        if let Some(i) = (0..a.operands.len()).find(|&i| a.operands[i] != b.operands[i]) {
            let binding = a.kernel().bindings.iter().filter(|b| b.is_operand()).nth(i).map_or("?", |b| b.name());
            let detail = format!("`{binding}` is another tensor in each step; change tensors in place, and {INPUTS}");
            return refused(op, detail);
        }
    }
    if first.commands.len() != second.commands.len() {
        let longer = if first.commands.len() > second.commands.len() { first } else { second };
        let extra = longer.commands[first.commands.len().min(second.commands.len())].kernel().name;
        return refused(extra, format!("runs in one step and not in the next; {SAME}"));
    }
    let constants = |r: &Recorder| r.constants.len();
    let same = |(a, b): (&Constant, &Constant)| a.made == b.made && a.offset == b.offset && a.bytes == b.bytes;
    if constants(first) != constants(second) || !first.constants.iter().zip(&second.constants).all(same) {
        return refused("capture", format!("host data in the step is not the same each time; {INPUTS}"));
    }
    let started = second.random;
    if after.seed != started.seed || after.counter < started.counter {
        return refused("manual_seed", "the random numbers are seeded anew in the step; do that outside".into());
    }
    let count = after.counter - started.counter;
    // Where random states lie shows only when they differ, and as nothing else but the counter does.
    if count > 0 && (started == first.random || started.seed != first.random.seed) {
        return Ok(None);
    }
    Ok(Some(Draws { places: draws(first, second, count)?, count }))
}

const SAME: &str = "a step can be replayed only when each run does the same";
const INPUTS: &str = "give what changes as inputs of the step";

/// Where the params of two steps differ: the places of random states, if nothing else does.
fn draws(first: &Recorder, second: &Recorder, drawn: u64) -> Result<Vec<Draw>> {
    let mut draws = Vec::new();
    for (i, (a, b)) in first.commands.iter().zip(&second.commands).enumerate() {
        if second.live.iter().any(|live| live.commands.contains(&i)) {
            continue;
        }
        let (mut at, start) = (0, b.params.start);
        let (old, new) = (&first.params[a.params.clone()], &second.params[b.params.clone()]);
        while at < new.len() {
            if old[at..at + 4] == new[at..at + 4] {
                at += 4;
                continue;
            }
            let states = (state_at(old, at), state_at(new, at));
            let draw = match states {
                (Some(was), Some(is)) if is.seed == second.random.seed && was.seed == is.seed => {
                    let draw = is.counter.wrapping_sub(second.random.counter);
                    (draw < drawn && was.counter.wrapping_sub(first.random.counter) == draw).then_some(draw)
                }
                _ => None,
            };
            let Some(draw) = draw else {
                let field = b.kernel().params.fields.iter().rev().find(|(_, offset, _)| *offset <= at);
                let field = field.map_or("?", |(name, ..)| name);
                let detail = format!(
                    "its parameter `{field}` is not the same in each step, and a replay would not change it; keep \
                     such numbers in a tensor, and {INPUTS}"
                );
                return Err(Error::Capture { op: b.kernel().name, detail });
            };
            draws.push((start + at, draw));
            at += 16;
        }
    }
    Ok(draws)
}

/// Counter and seed as kernels have them: four words, the low half first.
fn state_at(params: &[u8], at: usize) -> Option<RandomState> {
    let half = |at: usize| Some(u64::from_le_bytes(params.get(at..at + 8)?.try_into().ok()?));
    Some(RandomState { counter: half(at)?, seed: half(at + 8)? })
}

/// A dispatch of a replay.
pub(crate) struct Replayed<'a> {
    pub pipeline: &'a Pipeline,
    pub bound: &'a Arc<Bound>,
    /// Which bindings are memory that nothing has used since it was given to its owner, by bits.
    pub fresh: u16,
    pub params: &'a [u8],
    pub grid: Grid,
    pub work: Option<&'a Work>,
}

impl Replayed<'_> {
    /// With its params behind those of others in `all`.
    pub fn dispatch(&self, all: &mut Vec<u8>) -> Dispatch {
        Dispatch::new(self.pipeline.clone(), (self.bound.clone(), self.fresh), self.params, self.grid, all)
    }
}

impl Recording {
    /// A step that was found to be the same as the one before, with these random states.
    pub fn new(mut recorder: Recorder, draws: Draws) -> Recording {
        let used = Arc::new(std::mem::take(&mut recorder.used));
        Recording { recorder, draws, used, prepared: None }
    }

    /// Takes over what has changed: false when the recording no longer fits.
    pub fn refresh(&mut self, device: &Device) -> Result<bool> {
        for i in 0..self.recorder.live.len() {
            let live = &self.recorder.live[i];
            let version = live.source.version();
            if version == live.version {
                continue;
            }
            let (commands, source) = (live.commands.clone(), live.source.clone());
            let collecting = || scoped::replace(&COLLECTED, Vec::new(), || source.run());
            let (ran, collected) = scoped::set(&MODE, Mode::Collect, collecting);
            ran?;
            let recorded = &self.recorder.commands[commands.clone()];
            let fits = |(c, (kernel, variant, params)): (&Command, &Collected)| {
                (c.runs(), c.params.len()) == ((*kernel, *variant), params.len())
            };
            if recorded.len() != collected.len() || !recorded.iter().zip(&collected).all(fits) {
                return Ok(false);
            }
            for (command, (_, _, params)) in recorded.iter().zip(collected) {
                self.recorder.params[command.params.clone()].copy_from_slice(&params);
            }
            self.recorder.live[i].version = version;
        }
        let base = device.draw_random(self.draws.count);
        for (at, draw) in &self.draws.places {
            let words = [base.counter.wrapping_add(*draw), base.seed];
            self.recorder.params[*at..*at + 16].copy_from_slice(bytemuck::cast_slice(&words));
        }
        Ok(true)
    }

    /// The dispatches, in order.
    pub fn commands(&self) -> impl Iterator<Item = Replayed<'_>> {
        self.recorder.commands.iter().map(|c| Replayed {
            pipeline: &c.pipeline,
            bound: &c.bound,
            fresh: c.fresh,
            params: &self.recorder.params[c.params.clone()],
            grid: c.grid,
            work: c.work.as_ref(),
        })
    }

    /// Where the params of dispatch `i` are, if they may change.
    pub fn changing(&self, i: usize) -> Option<Range<usize>> {
        let params = &self.recorder.commands[i].params;
        let lives = self.recorder.live.iter().any(|live| live.commands.contains(&i));
        (lives || self.draws.places.iter().any(|(at, _)| params.contains(at))).then(|| params.clone())
    }

    /// The params of all dispatches.
    pub fn params(&self) -> &[u8] {
        &self.recorder.params
    }

    /// The memory that it uses.
    pub fn used(&self) -> &Arc<FxHashSet<u64>> {
        &self.used
    }

    /// How many dispatches it has.
    pub fn len(&self) -> usize {
        self.recorder.commands.len()
    }
}
