//! The memory of an optimiser: parameters, gradients and moments side by side, so that a step is one dispatch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::core::Rule;
use super::group::ParamGroup;
use super::options::{Options, Published};
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::engine::memory::Class;
use crate::engine::recording::{self, Live};
use crate::engine::{Buffer, Device};
use crate::nn::Parameter;
use crate::ops::copy_into;
use crate::ops::optim::{Span, clock};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Every parameter starts at a multiple of this many elements: 256 bytes, the alignment that bindings and vectors like.
const ALIGNMENT: usize = 64;

/// One parameter's place; its number is that of its clock's row.
struct Slot {
    parameter: Parameter,
    offset: usize,
    len: usize,
    history: History,
}

/// At which steps a parameter was updated: parameters with the same number have the same numbers in their clocks. What
/// a clock holds the host does not know, since the device alone knows which updates a bad index stopped. 0: never.
type History = u64;

fn new_history() -> History {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

impl Slot {
    fn end(&self) -> usize {
        (self.offset + self.len).next_multiple_of(ALIGNMENT)
    }

    fn is_ready(&self) -> bool {
        self.len > 0 && self.parameter.grad().is_some()
    }
}

/// Parameters of one device, at most as many elements as it binds at once.
struct Arena {
    device: Device,
    memory: Arc<Memory>,
    slots: Vec<Slot>,
}

/// The tensors of an arena, which hold all of its parameters.
struct Memory {
    values: Tensor,
    gradients: Tensor,
    state: Vec<(&'static str, Tensor)>,
    /// A row for each slot.
    clock: Tensor,
}

/// What a step of an arena dispatches: again in a replay.
struct Plan {
    rule: &'static Rule,
    memory: Arc<Memory>,
    /// The flag of gradients that are no numbers.
    found: Option<Tensor>,
    parts: SmallVec<[Part; 4]>,
}

enum Part {
    /// So many rows of the clock, from the first, go on.
    Tick(usize, usize),
    Update(Span),
}

impl Plan {
    fn run(&self, options: &Options) -> Result<()> {
        let (numbers, lr, memory) = ((self.rule.clock)(options), options.number("lr"), &*self.memory);
        let state: SmallVec<[&Tensor; 4]> = (self.rule.state)(options)
            .iter()
            .map(|name| &memory.state.iter().find(|(n, _)| n == name).expect("`prepare` made it").1)
            .collect();
        let (gradients, values, clock) = (&memory.gradients, &memory.values, &memory.clock);
        let found = self.found.as_ref();
        self.parts.iter().try_for_each(|part| match *part {
            Part::Tick(first, n) => {
                numbers.map_or(Ok(()), |numbers| clock::tick(clock, (first, n), lr, numbers, gradients, found))
            }
            Part::Update(span) => {
                (self.rule.update)(options, &Update { span, gradients, values, state: state.clone(), clock, found })
            }
        })
    }
}

/// A plan with the options that it depends on.
struct LivePlan {
    plan: Plan,
    options: Arc<Published>,
}

impl Live for LivePlan {
    fn version(&self) -> u64 {
        self.options.version()
    }

    fn run(&self) -> Result<()> {
        let options = self.options.get();
        // State that an option asks for since is made by a step that is not replayed.
        let is_there = |name: &&str| self.plan.memory.state.iter().any(|(n, _)| n == name);
        if !(self.plan.rule.state)(&options).iter().all(is_there) {
            return Ok(());
        }
        no_grad(|| self.plan.run(&options))
    }
}

/// The state of a parameter that lies in no arena: loaded, or on its way from one arena to another.
pub(super) struct Loose {
    pub clock: Tensor,
    pub history: History,
    pub state: Vec<(&'static str, Tensor)>,
}

/// What a parameter's state is: a clock's row, and tensors of the parameter's shape.
pub(super) struct View {
    pub clock: Tensor,
    pub state: Vec<(&'static str, Tensor)>,
}

/// All arenas of a group, made at its first step and again when a parameter has moved.
pub(super) struct Arenas {
    parameters: Vec<Parameter>,
    state: Vec<&'static str>,
    arenas: Vec<Arena>,
    loose: FxHashMap<usize, Loose>,
}

/// A range of an arena whose parameters all have a gradient and the same updates behind them.
pub(crate) struct Update<'a> {
    pub span: Span,
    pub gradients: &'a Tensor,
    pub values: &'a Tensor,
    /// In the order of the rule's list for the group's options.
    pub state: SmallVec<[&'a Tensor; 4]>,
    pub clock: &'a Tensor,
    /// The flag of gradients that are no numbers, for rules without a clock.
    pub found: Option<&'a Tensor>,
}

impl Arenas {
    /// For these parameters, each named once.
    pub fn new(parameters: impl IntoIterator<Item = Parameter>) -> Self {
        let parameters = parameters.into_iter().collect();
        Arenas { parameters, state: Vec::new(), arenas: Vec::new(), loose: FxHashMap::default() }
    }

    /// Brings parameters and gradients to where they are updated, and refuses gradients that are not to be trusted.
    pub fn prepare(&mut self, rule: &Rule, options: &Options) -> Result<()> {
        // State once there is kept, also while an option has no use for it.
        let missing = (rule.state)(options).iter().filter(|name| !self.state.contains(name));
        let missing: Vec<_> = missing.copied().collect();
        if let Some(half) = self.parameters.iter().map(|p| p.get().dtype()).find(|d| d.is_half()) {
            let detail = format!("keeps parameters in f32, not {half}: train in f32 under `autocast`");
            return Err(Error::dtype(rule.name, detail));
        }
        no_grad(|| {
            if !missing.is_empty() || !self.is_home() {
                self.state.extend(missing);
                self.build(rule, options)?;
            }
            for arena in &self.arenas {
                arena.refuse_suspects()?;
                arena.collect_gradients()?;
            }
            Ok(())
        })
    }

    /// Updates as few ranges as cover every parameter with a gradient; the others are left as they are.
    /// `found` is a flag that makes it do nothing.
    pub fn step(&mut self, rule: &'static Rule, group: &ParamGroup, found: Option<&Tensor>) -> Result<()> {
        let mut histories = FxHashMap::default();
        no_grad(|| self.arenas.iter_mut().try_for_each(|arena| arena.step(rule, group, found, &mut histories)))
    }

    /// Whether every parameter lies where it was put.
    fn is_home(&self) -> bool {
        let placed: usize = self.arenas.iter().map(|a| a.slots.len()).sum();
        placed == self.parameters.len() && self.arenas.iter().all(|a| a.slots.iter().all(|s| a.holds(s)))
    }

    /// Makes arenas for where the parameters are now and moves them in, with the state that they had.
    fn build(&mut self, rule: &Rule, options: &Options) -> Result<()> {
        let mut loose = FxHashMap::default();
        for arena in &self.arenas {
            for (row, slot) in arena.slots.iter().enumerate().filter(|(_, slot)| slot.history != 0) {
                let View { clock, state } = arena.view(row);
                loose.insert(slot.parameter.id(), Loose { clock, history: slot.history, state });
            }
        }
        let source = |id: usize| loose.get(&id).or_else(|| self.loose.get(&id));
        let mut arenas = Vec::new();
        for (device, slots) in layout(&self.parameters) {
            arenas.push(Arena::new(device, slots, &self.state, rule, options, &source)?);
        }
        self.arenas = arenas;
        self.loose.clear();
        self.arenas.iter().for_each(|arena| recording::changed(&arena.device));
        Ok(())
    }

    /// The state of parameter `i`, if it has any: of the optimiser's own memory.
    pub fn view(&self, i: usize) -> Option<View> {
        let parameter = &self.parameters[i];
        let find = |arena: &Arena| arena.slots.iter().position(|s| s.parameter.is(parameter));
        if let Some((arena, row)) = self.arenas.iter().find_map(|a| find(a).map(|row| (a, row))) {
            return (arena.slots[row].history != 0).then(|| arena.view(row));
        }
        let loose = self.loose.get(&parameter.id())?;
        Some(View { clock: loose.clock.clone(), state: loose.state.clone() })
    }

    /// The clocks of all parameters that have a state, by the number of the parameter; one read for an arena.
    pub fn clock_rows(&self) -> Result<Vec<(usize, [f32; clock::ROW])>> {
        let mut rows: FxHashMap<usize, [f32; clock::ROW]> = FxHashMap::default();
        for arena in &self.arenas {
            let all = arena.memory.clock.to_vec::<f32>()?;
            for (row, slot) in arena.slots.iter().enumerate().filter(|(_, slot)| slot.history != 0) {
                rows.insert(slot.parameter.id(), std::array::from_fn(|i| all[row * clock::ROW + i]));
            }
        }
        for (id, loose) in &self.loose {
            let row = loose.clock.to_vec::<f32>()?;
            rows.insert(*id, std::array::from_fn(|i| row[i]));
        }
        let numbered = self.parameters.iter().enumerate();
        Ok(numbered.filter_map(|(i, parameter)| Some((i, *rows.get(&parameter.id())?))).collect())
    }

    /// Forgets the state and takes this in its place, by the number of the parameter.
    pub fn replace(&mut self, state: FxHashMap<usize, Loose>) {
        self.state.clear();
        for name in state.values().flat_map(|loose| &loose.state).map(|(name, _)| name) {
            if !self.state.contains(name) {
                self.state.push(name);
            }
        }
        self.loose = state.into_iter().map(|(i, loose)| (self.parameters[i].id(), loose)).collect();
        // The next step builds anew, from what was just put there.
        self.arenas.drain(..).for_each(|arena| recording::changed(&arena.device));
    }
}

/// Numbers for the histories of clocks that come from elsewhere: the same one for rows with the same numbers.
#[derive(Default)]
pub(super) struct Histories(FxHashMap<Vec<u32>, History>);

impl Histories {
    pub fn of(&mut self, row: &[f32]) -> History {
        let bits = row.iter().map(|x| x.to_bits()).collect();
        *self.0.entry(bits).or_insert_with(new_history)
    }
}

/// Where each parameter goes: arenas by device, in order, none beyond what the device binds.
fn layout(parameters: &[Parameter]) -> Vec<(Device, Vec<Slot>)> {
    let mut arenas: Vec<(Device, Vec<Slot>)> = Vec::new();
    for parameter in parameters {
        let tensor = parameter.get();
        let (device, len) = (tensor.device(), tensor.numel());
        let open = arenas.iter_mut().rev().find(|(d, _)| d == device);
        let slot = |offset| Slot { parameter: parameter.clone(), offset, len, history: 0 };
        match open {
            Some((_, slots)) if slots.last().is_none_or(|s| s.end() + len + ALIGNMENT <= device.max_elements()) => {
                let offset = slots.last().map_or(0, Slot::end);
                slots.push(slot(offset));
            }
            _ => arenas.push((device.clone(), vec![slot(0)])),
        }
    }
    arenas
}

/// A slot's part of an arena's tensor, in the parameter's shape.
fn part(arena: &Tensor, slot: &Slot) -> Tensor {
    let shape = slot.parameter.shape();
    let buffer = arena.buffer().expect("arenas are made of healthy tensors");
    Tensor::in_arena(buffer, slot.offset, shape, arena.device().clone())
}

impl Arena {
    fn new<'a>(
        device: Device,
        mut slots: Vec<Slot>,
        names: &[&'static str],
        rule: &Rule,
        options: &Options,
        source: &dyn Fn(usize) -> Option<&'a Loose>,
    ) -> Result<Arena> {
        let len = slots.last().map_or(0, Slot::end);
        let filled = |value| Tensor::try_full_on(&[len], value, DType::F32, &device);
        let (values, gradients) = (filled(0.0)?, filled(0.0)?);
        let state = names.iter().map(|name| Ok((*name, filled((rule.initial)(options, name))?)));
        let state = state.collect::<Result<Vec<_>>>()?;
        let mut row = [0f32; clock::ROW];
        for (name, at) in rule.scalars {
            row[*at] = (rule.initial)(options, name) as f32;
        }
        let clock = Tensor::try_from_slice_on(&row.repeat(slots.len()), &[slots.len() * clock::ROW], &device)?;
        gradients.set_label(Class::Gradients);
        state.iter().map(|(_, t)| t).chain([&clock]).for_each(|t| t.set_label(Class::OptimizerState));
        let memory = Arc::new(Memory { values, gradients, state, clock });
        let mut arena = Arena { device, memory, slots: Vec::new() };
        for (row, slot) in slots.iter_mut().enumerate() {
            if let Some(old) = source(slot.parameter.id()) {
                slot.history = old.history;
                copy_into(&arena.clock_row(row), &old.clock.to(&arena.device).healthy()?)?;
                for (name, tensor) in &arena.memory.state {
                    if let Some((_, moment)) = old.state.iter().find(|(n, _)| n == name) {
                        copy_into(&part(tensor, slot), &moment.to(&arena.device).healthy()?)?;
                    }
                }
            }
            copy_into(&part(&arena.memory.values, slot), &slot.parameter.get().detach())?;
        }
        // Everything is in place: now the parameters move.
        for slot in &slots {
            slot.parameter.rehome(part(&arena.memory.values, slot));
            slot.parameter.leaf().set_destination(Some(part(&arena.memory.gradients, slot)));
        }
        arena.slots = slots;
        Ok(arena)
    }

    fn clock_row(&self, row: usize) -> Tensor {
        let buffer = self.memory.clock.buffer().expect("arenas are made of healthy tensors");
        Tensor::in_arena(buffer, row * clock::ROW, [clock::ROW].as_slice().into(), self.device.clone())
    }

    fn view(&self, row: usize) -> View {
        let slot = &self.slots[row];
        let state = self.memory.state.iter().map(|(name, tensor)| (*name, part(tensor, slot))).collect();
        View { clock: self.clock_row(row), state }
    }

    /// Whether the parameter still lies in this arena.
    fn holds(&self, slot: &Slot) -> bool {
        let tensor = slot.parameter.get();
        let same = |a: &Arc<Buffer>, b: &Arc<Buffer>| Arc::ptr_eq(a, b);
        tensor.device() == &self.device
            && tensor.offset() == slot.offset
            && matches!((tensor.buffer(), self.memory.values.buffer()), (Ok(a), Ok(b)) if same(a, b))
    }

    /// A gradient that is older than the last bad index may be made of its NaNs; the device forgot the fault when it
    /// was reported.
    fn refuse_suspects(&self) -> Result<()> {
        let suspect = |s: &Slot| {
            let leaf = s.parameter.leaf();
            leaf.grad().is_some() && leaf.is_suspect(&self.device)
        };
        if self.slots.iter().any(suspect) {
            return Err(Error::Autograd(
                "step: a bad index was reported after these gradients were made, and they may come from it; call \
                 `zero_grad()` and run `backward()` again"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Brings in gradients that were made elsewhere: those of the first step, and those that were set by hand.
    fn collect_gradients(&self) -> Result<()> {
        for slot in &self.slots {
            let leaf = slot.parameter.leaf();
            let Some(gradient) = leaf.grad() else { continue };
            let home = match leaf.destination() {
                Some(home) if matches!((home.buffer(), self.memory.gradients.buffer()), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b)) => {
                    home
                }
                // Another optimiser of the same parameter took the place.
                _ => part(&self.memory.gradients, slot),
            };
            if !gradient.is_same_place(&home) {
                copy_into(&home, &gradient)?;
                leaf.set_grad(Some(home.clone()));
                leaf.set_destination(Some(home));
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        rule: &'static Rule,
        group: &ParamGroup,
        found: Option<&Tensor>,
        histories: &mut FxHashMap<History, History>,
    ) -> Result<()> {
        let is_ready: Vec<bool> = self.slots.iter().map(Slot::is_ready).collect();
        let plan = || Plan {
            rule,
            memory: self.memory.clone(),
            found: found.cloned(),
            parts: self.parts(rule, group.settings(), &is_ready),
        };
        let live = || Arc::new(LivePlan { plan: plan(), options: group.published().clone() }) as Arc<dyn Live>;
        self.device.with_live(live, || plan().run(group.settings()))?;
        for (slot, _) in self.slots.iter_mut().zip(is_ready).filter(|(_, ready)| *ready) {
            slot.history = *histories.entry(slot.history).or_insert_with(new_history);
            slot.parameter.get().bump_version();
        }
        Ok(())
    }

    /// What a step has to run, given which parameters have a gradient.
    fn parts(&self, rule: &Rule, options: &Options, is_ready: &[bool]) -> SmallVec<[Part; 4]> {
        let has_clock = (rule.clock)(options).is_some();
        let mut parts = SmallVec::new();
        for ready in runs(self.slots.len(), |a, b| is_ready[a] && is_ready[b]) {
            if has_clock {
                parts.push(Part::Tick(ready.start, ready.len()));
            }
            // Without a clock all updates are alike.
            let slots = &self.slots[ready.clone()];
            for run in runs(slots.len(), |a, b| !has_clock || slots[a].history == slots[b].history) {
                let run = ready.start + run.start..ready.start + run.end;
                let (first, last) = (&self.slots[run.start], &self.slots[run.end - 1]);
                parts.push(Part::Update(Span::new(first.offset, last.end() - first.offset, run.start)));
            }
        }
        parts
    }
}

/// The ranges of neighbours among `n` that `together` joins; it is asked about each and itself too.
fn runs(n: usize, together: impl Fn(usize, usize) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for i in (0..n).filter(|&i| together(i, i)) {
        match runs.last_mut() {
            Some(run) if run.end == i && together(i - 1, i) => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

/// Gradients need not go to memory that nobody updates from any more.
impl Drop for Arena {
    fn drop(&mut self) {
        for slot in &self.slots {
            let leaf = slot.parameter.leaf();
            let own = leaf.destination().is_some_and(
                |home| matches!((home.buffer(), self.memory.gradients.buffer()), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b)),
            );
            if own {
                leaf.set_destination(None);
            }
        }
    }
}
