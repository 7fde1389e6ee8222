//! Chains of small elementwise dispatches, run by one.
//!
//! A dispatch of a few elements costs what a dispatch costs, which is far more than the arithmetic. When recorded
//! dispatches are submitted, neighbours that can be steps of one interpreter (a kernel like any other, with a twin) become
//! one dispatch of it: they treat as many elements, lie in order or repeat one element, and use few enough buffers. A
//! result that nobody can read any more is not written: its memory has another owner by then, or none.
//!
//! What is joined and what is written follow from the dispatches of a submission and from who holds what when it is made.
//! The operations are ones with a single rounding, so the bits are those of the steps alone, whatever is joined. Timed and
//! compared dispatches stay as they are.

use bytemuck::Zeroable;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::counters::AtomicCounters;
use super::kernel::{Binding, Grid, Kernel, Params, params};
use super::mirrored::Mirrored;
use super::pipelines::{Bound, PARAMS_BYTES, Pipelines};
use super::pool::Pool;
use super::stream::Dispatch;

/// Elements of a dispatch that can be a step. For so many, the interpreter takes about half of the time that a dispatch does
/// on lavapipe when the machine is busy, and far less of what it does when idle; for twice as many it may gain nothing
/// (`cargo bench --bench elementwise -- chain`).
pub(crate) const MAX_ELEMENTS: u32 = 2048;

/// Registers of an interpreter.
const REGISTERS: usize = 8;
/// Those that begin as elements of a buffer and are not stored come first.
const INPUTS: usize = 4;
/// Those that are stored follow.
const OUTPUTS: usize = 3;

params! {
    /// Twin of `Params` in `shaders/elementwise/chain.wgsl`.
    pub struct ChainParams {
        n: u32,
        first: u32,
        steps: u32,
        loaded: u32,
        repeated: u32,
        stored: u32,
        padding: [u32; 2],
        offsets: [u32; 8],
    }
}

/// How a dispatch can be a step of a chain.
#[derive(Clone, Copy, Debug)]
pub struct ChainStep {
    /// The kernel that runs chains: it binds the program, [`INPUTS`] buffers to read and [`OUTPUTS`] to read and write.
    pub interpreter: &'static Kernel,
    /// The operation, as the interpreter knows it.
    pub operation: u32,
    /// Elements.
    pub n: u32,
    /// The left operand.
    pub left: Place,
    /// The right operand; the number when there is none.
    pub right: Option<Place>,
    /// The result: all that the dispatch writes, in order.
    pub result: Place,
    /// The bits of a number that every element meets.
    pub number: u32,
}

/// Where an operand of a step lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which binding of the dispatch it is.
    pub binding: u8,
    /// Whether the element there serves for all.
    pub repeated: bool,
    /// The first element.
    pub offset: u32,
}

/// A step of a program: operation, registers and switches; the bits of a number.
pub(crate) type Instruction = [u32; 2];

/// Where the parts of an instruction's first word lie, as in `shaders/elementwise/chain.wgsl`.
pub(crate) const OPERATION: u32 = 0xff;
pub(crate) const TARGET_SHIFT: u32 = 8;
pub(crate) const LEFT_SHIFT: u32 = 12;
pub(crate) const RIGHT_SHIFT: u32 = 16;
pub(crate) const RIGHT_IS_NUMBER: u32 = 1 << 20;

/// The first word of an instruction.
pub(crate) const fn instruction_word(operation: u32, target: u32, left: u32, right: Option<u32>) -> u32 {
    let right = match right {
        Some(register) => register << RIGHT_SHIFT,
        None => RIGHT_IS_NUMBER,
    };
    operation | target << TARGET_SHIFT | left << LEFT_SHIFT | right
}

/// Steps that a chain grows on by while it can't be run. What makes it so is mostly a result too many, which may be read
/// for the last time soon; without an end, each of many short chains would look at all that follows.
const PATIENCE: usize = 16;

/// When what a dispatch writes is read for the last time: the number of a dispatch, or for ever.
type LastRead = u32;
const NEVER: LastRead = 0;
const FOREVER: LastRead = u32::MAX;

/// An operand of a chain; its register holds one element.
#[derive(Clone, Copy, Debug)]
struct Variable {
    buffer: u64,
    /// A dispatch and a binding of it where the buffer is bound.
    found: (usize, usize),
    repeated: bool,
    offset: u32,
    loaded: bool,
    /// The last read of what the chain has put there.
    written: Option<LastRead>,
}

impl Variable {
    fn is_at(&self, buffer: u64, place: Place) -> bool {
        (self.buffer, self.offset, self.repeated) == (buffer, place.offset, place.repeated)
    }

    /// Whether somebody reads it behind dispatch `end`.
    fn is_stored(&self, end: usize) -> bool {
        self.written.is_some_and(|last| last as usize > end)
    }
}

/// Neighbours among the recorded dispatches that may become one.
struct Chain {
    interpreter: &'static Kernel,
    n: u32,
    first: usize,
    variables: SmallVec<[Variable; REGISTERS]>,
    /// Operation, numbers, and variables in the place of registers.
    steps: Vec<(ChainStep, [usize; 3])>,
}

impl Chain {
    fn new(first: usize, step: &ChainStep) -> Chain {
        Chain { interpreter: step.interpreter, n: step.n, first, variables: SmallVec::new(), steps: Vec::new() }
    }

    /// The longest chain from dispatch `first` to before `end` that can be run.
    fn longest((first, end): (usize, usize), commands: &[Dispatch], last_reads: &[LastRead]) -> Option<Chain> {
        let start = commands[first].step?;
        let grow = |most: usize| {
            let (mut chain, mut runnable) = (Chain::new(first, &start), 0);
            for (at, command) in commands[..end].iter().enumerate().skip(first).take(most) {
                let Some(step) = &command.step else { break };
                if !chain.push(at, step, &command.bound, last_reads[at]) {
                    break;
                }
                if chain.is_runnable() {
                    runnable = chain.steps.len();
                } else if chain.steps.len() > runnable + PATIENCE {
                    break;
                }
            }
            (chain, runnable)
        };
        let (chain, runnable) = grow(usize::MAX);
        match runnable {
            0 | 1 => None,
            _ if runnable == chain.steps.len() => Some(chain),
            _ => Some(grow(runnable).0),
        }
    }

    /// Appends a dispatch, if it fits.
    fn push(&mut self, at: usize, step: &ChainStep, bound: &Bound, last_read: LastRead) -> bool {
        if step.n != self.n || !std::ptr::eq(step.interpreter, self.interpreter) {
            return false;
        }
        let known = self.variables.len();
        match self.place(at, step, bound, last_read) {
            Some(places) => {
                self.steps.push((*step, places));
                true
            }
            None => {
                self.variables.truncate(known);
                false
            }
        }
    }

    /// The variables of result, left and right operand. Without room, or where memory is used in two ways, nothing: then
    /// there may be new variables, and the others are as they were.
    fn place(&mut self, at: usize, step: &ChainStep, bound: &Bound, last_read: LastRead) -> Option<[usize; 3]> {
        let variables = &mut self.variables;
        let left = read(variables, at, bound, step.left)?;
        let right = match step.right {
            Some(place) => read(variables, at, bound, place)?,
            None => left,
        };
        if variables.len() > REGISTERS {
            return None;
        }
        let result = write(variables, at, bound, step.result, last_read)?;
        (variables.len() <= REGISTERS).then_some([result, left, right])
    }

    /// The last of the dispatches.
    fn end(&self) -> usize {
        self.first + self.steps.len() - 1
    }

    fn is_runnable(&self) -> bool {
        let end = self.end();
        let stored = self.variables.iter().filter(|v| v.is_stored(end)).count();
        let inputs = self.variables.iter().filter(|v| v.loaded && !v.is_stored(end)).count();
        stored <= OUTPUTS && inputs <= INPUTS
    }

    /// The register of each variable.
    fn registers(&self) -> SmallVec<[usize; REGISTERS]> {
        let end = self.end();
        let (mut inputs, mut outputs) = (0..INPUTS, INPUTS..INPUTS + OUTPUTS);
        let bound = self.variables.iter().map(|v| match v {
            v if v.is_stored(end) => outputs.next(),
            v if v.loaded => inputs.next(),
            _ => None,
        });
        let bound: SmallVec<[Option<usize>; REGISTERS]> = bound.collect();
        let mut free = inputs.chain(outputs).chain(INPUTS + OUTPUTS..REGISTERS);
        let registers = bound.into_iter().map(|register| register.or_else(|| free.next()));
        registers.map(|register| register.expect("a chain has no more variables than registers")).collect()
    }
}

/// The variable of an operand that is read. `None` where memory that the chain has written is read in another way.
fn read(variables: &mut SmallVec<[Variable; REGISTERS]>, at: usize, bound: &Bound, place: Place) -> Option<usize> {
    let binding = usize::from(place.binding);
    let buffer = bound.buffers[binding].0;
    if let Some(known) = variables.iter().position(|v| v.is_at(buffer, place)) {
        return Some(known);
    }
    if variables.iter().any(|v| v.buffer == buffer && v.written.is_some()) {
        return None;
    }
    let Place { repeated, offset, .. } = place;
    variables.push(Variable { buffer, found: (at, binding), repeated, offset, loaded: true, written: None });
    Some(variables.len() - 1)
}

/// The variable of a result. `None` where the chain uses the same memory in another way.
fn write(
    variables: &mut SmallVec<[Variable; REGISTERS]>,
    at: usize,
    bound: &Bound,
    place: Place,
    last_read: LastRead,
) -> Option<usize> {
    let binding = usize::from(place.binding);
    let buffer = bound.buffers[binding].0;
    if variables.iter().any(|v| v.buffer == buffer && !v.is_at(buffer, place)) {
        return None;
    }
    let written = Some(last_read);
    if let Some(known) = variables.iter().position(|v| v.buffer == buffer) {
        variables[known].written = written;
        return Some(known);
    }
    let Place { repeated, offset, .. } = place;
    variables.push(Variable { buffer, found: (at, binding), repeated, offset, loaded: false, written });
    Some(variables.len() - 1)
}

/// For each step among the dispatches, when its result is read for the last time.
fn last_reads(commands: &[Dispatch], pool: &mut Pool) -> Vec<LastRead> {
    pool.collect();
    let mut last_reads = vec![FOREVER; commands.len()];
    // Going backwards: when what a buffer holds here is read for the last time.
    let mut needed: FxHashMap<u64, LastRead> = FxHashMap::default();
    for (at, command) in commands.iter().enumerate().rev() {
        let kernel = command.pipeline.kernel().0;
        let uses = || kernel.bindings.iter().zip(&command.bound.buffers).enumerate();
        let mut need = |id: &u64| *needed.entry(*id).or_insert_with(|| if pool.is_free(*id) { NEVER } else { FOREVER });
        // A dispatch reads before it writes, so its writes come first.
        let mut before: SmallVec<[(u64, LastRead); 8]> = SmallVec::new();
        for (i, (binding, used)) in uses().filter(|(_, (binding, _))| binding.is_operand()) {
            let after = need(&used.0);
            if binding.is_written() && command.step.is_some() {
                last_reads[at] = after;
            }
            // What lay there before the memory was given to its present owner.
            let is_new = matches!(binding, Binding::Write(_)) && command.fresh >> i & 1 == 1;
            before.push((used.0, if is_new { NEVER } else { after.max(at as LastRead) }));
        }
        needed.extend(before);
    }
    last_reads
}

fn numbered((id, buffer): &(u64, wgpu::Buffer)) -> (u64, &wgpu::Buffer) {
    (*id, buffer)
}

/// What chains need on a device.
#[derive(Default)]
pub(crate) struct Fusion {
    program: Vec<Instruction>,
    arena: Option<Arena>,
    /// The device has refused an interpreter, and that was told.
    refused: bool,
}

/// The buffers that every chain is bound to.
struct Arena {
    program: (u64, Mirrored),
    /// In the place of results that a chain does not have.
    blanks: [(u64, wgpu::Buffer); OUTPUTS],
}

impl Arena {
    fn new(device: &wgpu::Device, pool: &mut Pool, instructions: usize) -> Arena {
        let mut buffer = |label, size: usize| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let size = size as u64;
            let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
            (pool.next_id(), device.create_buffer(&descriptor))
        };
        let (id, program) = buffer("programs of chains", instructions * size_of::<Instruction>());
        Arena { program: (id, Mirrored::new(program)), blanks: std::array::from_fn(|_| buffer("no result", 16)) }
    }
}

/// Where a stream's chains are made.
pub(crate) struct Workshop<'a> {
    pub device: &'a wgpu::Device,
    pub counters: &'a AtomicCounters,
    pub pool: &'a mut Pool,
    pub pipelines: &'a mut Pipelines,
    /// The params of the recorded dispatches.
    pub params: &'a mut [u8],
    /// Dispatches of one submission.
    pub most: usize,
}

impl Fusion {
    /// Puts one dispatch in the place of each chain among those of a submission. No chain goes past dispatch `split`, where
    /// others run in between. Gives the place of that one then, and how many dispatches were joined with others.
    pub fn fuse(&mut self, commands: &mut Vec<Dispatch>, split: usize, mut shop: Workshop<'_>) -> (usize, u64) {
        let linked = |pair: &[Dispatch]| match (&pair[0].step, &pair[1].step) {
            (Some(a), Some(b)) => a.n == b.n,
            _ => false,
        };
        if !commands.windows(2).any(linked) {
            return (split, 0);
        }
        let last_reads = last_reads(commands, shop.pool);
        let (mut chains, mut at) = (Vec::new(), 0);
        while at < commands.len() {
            let end = if at < split { split } else { commands.len() };
            let chain = Chain::longest((at, end), commands, &last_reads);
            let whole = chain.and_then(|chain| Some((chain.steps.len(), self.dispatch(&chain, commands, &mut shop)?)));
            let steps = whole.as_ref().map_or(1, |(steps, _)| *steps);
            chains.extend(whole.map(|(steps, whole)| (at..at + steps, whole)));
            at += steps;
        }
        let before = commands.len();
        let mut apart = std::mem::replace(commands, Vec::with_capacity(before)).into_iter();
        let (mut at, mut place) = (0, split);
        for (steps, whole) in chains {
            if steps.end <= split {
                place -= steps.len() - 1;
            }
            commands.extend(apart.by_ref().take(steps.start - at));
            commands.push(whole);
            apart.by_ref().take(steps.len()).for_each(drop);
            at = steps.end;
        }
        commands.extend(apart);
        (place, (before - commands.len()) as u64)
    }

    /// The programs that [`Self::fuse`] has made, for [`Self::write`].
    pub fn take_program(&mut self) -> Vec<Instruction> {
        std::mem::take(&mut self.program)
    }

    /// Puts programs where the device finds them.
    pub fn write(&mut self, queue: &wgpu::Queue, program: &[Instruction]) {
        if let (Some(arena), false) = (&mut self.arena, program.is_empty()) {
            arena.program.1.write(queue, bytemuck::cast_slice(program));
        }
    }

    /// The dispatch of a chain. `None` where the device can't run its interpreter: then the steps run.
    fn dispatch(&mut self, chain: &Chain, commands: &[Dispatch], shop: &mut Workshop<'_>) -> Option<Dispatch> {
        // It must be there before the steps go.
        let pipeline = match shop.pipelines.ready(shop.device, chain.interpreter, 0, shop.counters) {
            Ok(pipeline) => pipeline,
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    log::warn!("small operations run one by one: {error}");
                }
                return None;
            }
        };
        let arena = self.arena.get_or_insert_with(|| Arena::new(shop.device, shop.pool, shop.most));
        let registers = chain.registers();
        let mut buffers: SmallVec<[(u64, &wgpu::Buffer); 8]> =
            SmallVec::from_elem((arena.program.0, &arena.program.1.buffer), 1 + INPUTS);
        buffers.extend(arena.blanks.iter().map(numbered));
        let mut params = ChainParams { n: chain.n, first: self.program.len() as u32, ..ChainParams::zeroed() };
        params.steps = chain.steps.len() as u32;
        for (variable, &register) in chain.variables.iter().zip(&registers) {
            let stored = variable.is_stored(chain.end());
            if stored || variable.loaded {
                let (command, binding) = variable.found;
                buffers[1 + register] = numbered(&commands[command].bound.buffers[binding]);
            }
            params.loaded |= u32::from(variable.loaded) << register;
            params.repeated |= u32::from(variable.repeated) << register;
            params.stored |= u32::from(stored) << register;
            params.offsets[register] = variable.offset;
        }
        let register = |variable: usize| registers[variable] as u32;
        self.program.extend(chain.steps.iter().map(|(step, [result, left, right])| {
            let right = step.right.is_some().then(|| register(*right));
            let word = instruction_word(step.operation, register(*result), register(*left), right);
            [word, step.number]
        }));
        let bound = shop.pipelines.bound(shop.device, &pipeline, &buffers, shop.counters);
        // The first step's own are not needed any more.
        let start = commands[chain.first].params;
        let place = &mut shop.params[start as usize..][..PARAMS_BYTES as usize];
        place[..size_of::<ChainParams>()].copy_from_slice(bytemuck::bytes_of(&params));
        let Grid { groups, .. } = (chain.interpreter.grid)(&Params(bytemuck::bytes_of(&params)));
        Some(Dispatch { pipeline, bound, params: start, groups, fresh: 0, step: None })
    }
}
