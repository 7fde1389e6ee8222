//! The memory of an optimiser: parameters, gradients and moments side by side, so that a step is one dispatch.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::engine::{Buffer, Device};
use crate::nn::Parameter;
use crate::ops::copy_into;
use crate::ops::optim::Span;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Every parameter starts at a multiple of this many elements: 256 bytes, the alignment that bindings and vectors like.
const ALIGNMENT: usize = 64;

/// One parameter's place.
struct Slot {
    parameter: Parameter,
    offset: usize,
    len: usize,
    /// Updates so far.
    steps: u64,
}

impl Slot {
    fn end(&self) -> usize {
        (self.offset + self.len).next_multiple_of(ALIGNMENT)
    }
}

/// Parameters of one device, at most as many elements as it binds at once.
struct Arena {
    device: Device,
    values: Tensor,
    gradients: Tensor,
    state: Vec<Tensor>,
    slots: Vec<Slot>,
}

/// All arenas of an optimiser, made at its first step and again when a parameter has moved.
pub(super) struct Arenas {
    parameters: Vec<Parameter>,
    states: usize,
    arenas: Vec<Arena>,
}

/// A range of an arena whose parameters all have a gradient and as many updates behind them.
pub(super) struct Update<'a> {
    pub span: Span,
    /// The number of this update, from 1.
    pub step: u64,
    pub gradients: &'a Tensor,
    pub values: &'a Tensor,
    pub state: &'a [Tensor],
}

impl Arenas {
    /// For these parameters (one that is named twice counts once), with `states` moments each.
    pub fn new(parameters: impl IntoIterator<Item = Parameter>, states: usize) -> Self {
        let mut list: Vec<Parameter> = Vec::new();
        for parameter in parameters {
            if !list.iter().any(|p| p.is(&parameter)) {
                list.push(parameter);
            }
        }
        Arenas { parameters: list, states, arenas: Vec::new() }
    }

    /// Asks for more moments, from the next step on.
    pub fn add_states(&mut self, states: usize) {
        self.states += states;
        // Built anew with them; the steps so far had none.
        self.arenas.clear();
    }

    pub fn zero_grad(&self) {
        self.parameters.iter().for_each(Parameter::zero_grad);
    }

    /// Calls `update` for as few ranges as cover every parameter with a gradient; the others are left as they are.
    pub fn step(&mut self, mut update: impl FnMut(Update<'_>) -> Result<()>) -> Result<()> {
        no_grad(|| {
            if !self.is_home() {
                self.build()?;
            }
            for arena in &mut self.arenas {
                arena.refuse_suspects()?;
                arena.collect_gradients()?;
                arena.step(&mut update)?;
            }
            Ok(())
        })
    }

    /// Whether every parameter lies where it was put.
    fn is_home(&self) -> bool {
        let placed: usize = self.arenas.iter().map(|a| a.slots.len()).sum();
        placed == self.parameters.len() && self.arenas.iter().all(|a| a.slots.iter().all(|s| a.holds(s)))
    }

    /// Makes arenas for where the parameters are now and moves them in, with the moments that they had.
    fn build(&mut self) -> Result<()> {
        let mut old: FxHashMap<usize, (u64, Vec<Tensor>)> = FxHashMap::default();
        for arena in &self.arenas {
            for slot in &arena.slots {
                let state = arena.state.iter().map(|s| part(s, slot)).collect();
                old.insert(slot.parameter.id(), (slot.steps, state));
            }
        }
        let mut arenas = Vec::new();
        for (device, slots) in layout(&self.parameters) {
            arenas.push(Arena::new(device, slots, self.states, &old)?);
        }
        self.arenas = arenas;
        Ok(())
    }
}

/// Where each parameter goes: arenas by device, in order, none beyond what the device binds.
fn layout(parameters: &[Parameter]) -> Vec<(Device, Vec<Slot>)> {
    let mut arenas: Vec<(Device, Vec<Slot>)> = Vec::new();
    for parameter in parameters {
        let tensor = parameter.get();
        let (device, len) = (tensor.device(), tensor.numel());
        let open = arenas.iter_mut().rev().find(|(d, _)| d == device);
        let slot = |offset| Slot { parameter: parameter.clone(), offset, len, steps: 0 };
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
    fn new(
        device: Device,
        mut slots: Vec<Slot>,
        states: usize,
        old: &FxHashMap<usize, (u64, Vec<Tensor>)>,
    ) -> Result<Arena> {
        let len = slots.last().map_or(0, Slot::end);
        let zeros = || Tensor::try_full_on(&[len], 0.0, DType::F32, &device);
        let (values, gradients) = (zeros()?, zeros()?);
        let state = (0..states).map(|_| zeros()).collect::<Result<Vec<_>>>()?;
        for slot in &mut slots {
            if let Some((steps, moments)) = old.get(&slot.parameter.id()) {
                slot.steps = *steps;
                for (arena, moment) in state.iter().zip(moments) {
                    copy_into(&part(arena, slot), &moment.to(&device).healthy()?)?;
                }
            }
            copy_into(&part(&values, slot), &slot.parameter.get().detach())?;
        }
        // Everything is in place: now the parameters move.
        for slot in &slots {
            slot.parameter.rehome(part(&values, slot));
            slot.parameter.leaf().set_destination(Some(part(&gradients, slot)));
        }
        Ok(Arena { device, values, gradients, state, slots })
    }

    /// Whether the parameter still lies in this arena.
    fn holds(&self, slot: &Slot) -> bool {
        let tensor = slot.parameter.get();
        let same = |a: &Arc<Buffer>, b: &Arc<Buffer>| Arc::ptr_eq(a, b);
        tensor.device() == &self.device
            && tensor.offset() == slot.offset
            && matches!((tensor.buffer(), self.values.buffer()), (Ok(a), Ok(b)) if same(a, b))
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
                Some(home) if matches!((home.buffer(), self.gradients.buffer()), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b)) => {
                    home
                }
                // Another optimiser of the same parameter took the place.
                _ => part(&self.gradients, slot),
            };
            if !gradient.is_same_place(&home) {
                copy_into(&home, &gradient)?;
                leaf.set_grad(Some(home.clone()));
                leaf.set_destination(Some(home));
            }
        }
        Ok(())
    }

    fn step(&mut self, update: &mut impl FnMut(Update<'_>) -> Result<()>) -> Result<()> {
        let mut next = 0;
        while next < self.slots.len() {
            let steps = self.slots[next].steps;
            let ready = |s: &Slot| s.len > 0 && s.steps == steps && s.parameter.grad().is_some();
            let run = self.slots[next..].iter().take_while(|s| ready(s)).count();
            if run == 0 {
                next += 1;
                continue;
            }
            let (first, last) = (&self.slots[next], &self.slots[next + run - 1]);
            let span = Span { first: first.offset, len: last.end() - first.offset };
            let (gradients, values, state) = (&self.gradients, &self.values, &self.state[..]);
            update(Update { span, step: steps + 1, gradients, values, state })?;
            for slot in &mut self.slots[next..next + run] {
                slot.steps += 1;
                slot.parameter.get().bump_version();
            }
            next += run;
        }
        Ok(())
    }
}

/// Gradients need not go to memory that nobody updates from any more.
impl Drop for Arena {
    fn drop(&mut self) {
        for slot in &self.slots {
            let leaf = slot.parameter.leaf();
            let own = leaf.destination().is_some_and(
                |home| matches!((home.buffer(), self.gradients.buffer()), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b)),
            );
            if own {
                leaf.set_destination(None);
            }
        }
    }
}
