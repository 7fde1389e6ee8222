//! Recurrent layers. One operation is a whole layer in one direction: the product of all time steps with the input's
//! weights is one matrix product, then each step is one dispatch, in which the product with the state before is followed by
//! the gates. The way back has one dispatch a step too, and the gradients of weights, biases and input are products and
//! sums over all steps at once.
//!
//! One fused dispatch a step and not a product with a pointwise kernel behind it: on lavapipe a step of an LSTM of 128 units
//! takes 1.35 times what its product alone takes by `matmul` (`cargo bench --bench lstm` has both); the rest goes into the
//! gates' functions, and a dispatch more would cost another 30 µs.

pub(crate) mod gru;
pub(crate) mod layers;
pub(crate) mod lstm;
pub(crate) mod rnn;
mod run;

use run::{backward, forward};

use crate::engine::kernel::params;
use crate::engine::{Bound, Grid, HostCall, Kernel, Params};
use crate::ops::Run;

params! {
    /// Twin of `Params` in `shaders/recurrent/step.wgsl`.
    pub struct StepParams {
        batch: u32,
        hidden: u32,
        depth: u32,
        step: u32,
        before: u32,
        after: u32,
        next: u32,
        reverse: u32,
        steps: u32,
        has_state: u32,
        has_bias: u32,
        has_lengths: u32,
        relu: u32,
        has_dy: u32,
        has_dh: u32,
        has_dc: u32,
        weight_offset: u32,
        bias_offset: u32,
        dy_offset: u32,
        dh_offset: u32,
    }
}

/// The two kernels of a step.
pub(crate) struct Pair {
    pub blocks: &'static Kernel,
    pub octets: &'static Kernel,
}

/// The family of kernels that run a recurrent step, for [`crate::Device::force_choice`].
pub(crate) const FAMILY: (&str, &[&str]) = ("recurrent", &["blocks", "octets"]);

impl Pair {
    /// The kernel for a device.
    fn on(&self, run: &Run<'_>) -> &'static Kernel {
        let software = run.device().adapter().is_some_and(|facts| facts.is_software());
        match run.device().forced_choice(FAMILY.0).unwrap_or(if software { "octets" } else { "blocks" }) {
            "octets" if run.device().has_subgroups(8) => self.octets,
            _ => self.blocks,
        }
    }
}

/// A kind of layer: what its operation's page says about it.
pub(crate) struct Cell {
    /// Gates, each as wide as the state: rows of the weights.
    pub gates: usize,
    /// Gradients that a step back gives, each as wide as the state.
    pub gradients: usize,
    /// Whether there is a cell beside the state.
    pub has_cell: bool,
    /// Whether what is saved of the gates lies in a buffer of its own, and not in the place of the input's products.
    pub saves_apart: bool,
    /// Whether something is carried from step to step on the way back, besides the gates' gradients.
    pub carries: bool,
    pub forward: Pair,
    pub backward: Pair,
}

/// Declares both kernels of a step: its own shader between what all steps share.
macro_rules! step_kernels {
    ($name:literal, $direction:literal, $bindings:expr, $gates:expr, $columns:expr, $twin:expr) => {
        $crate::ops::recurrent::Pair {
            blocks: &$crate::ops::recurrent::step_kernel!(
                $name,
                $direction,
                "blocks",
                $bindings,
                $crate::engine::Variant::ONLY,
                |p| { $crate::ops::recurrent::grid(p, [16, 16 * $columns], $gates) },
                $gates,
                $twin
            ),
            octets: &$crate::ops::recurrent::step_kernel!(
                $name,
                $direction,
                "octets",
                $bindings,
                $crate::ops::recurrent::OCTETS,
                |p| { $crate::ops::recurrent::grid(p, [8, 8 * $columns], $gates) },
                $gates,
                $twin
            ),
        }
    };
}
pub(crate) use step_kernels;

macro_rules! step_kernel {
    ($name:literal, $direction:literal, $core:literal, $bindings:expr, $variants:expr, $grid:expr, $gates:expr, $twin:expr) => {
        $crate::engine::Kernel {
            name: concat!($name, ".", $core),
            source: &[
                include_str!("../../../shaders/recurrent/step.wgsl"),
                include_str!(concat!("../../../shaders/recurrent/", $direction, ".wgsl")),
                include_str!(concat!("../../../shaders/recurrent/", $name, ".wgsl")),
                include_str!(concat!("../../../shaders/recurrent/", $core, ".wgsl")),
            ],
            entry: $core,
            bindings: $bindings,
            params: $crate::engine::ParamsLayout::of::<$crate::ops::recurrent::StepParams>(),
            variants: $variants,
            grid: $grid,
            reference: |call| $twin(call, false),
            bound: |p| $crate::ops::recurrent::bound(p, |call| $twin(call, true)),
        }
    };
}
pub(crate) use step_kernel;

/// The only variant of a kernel of octets.
pub(crate) const OCTETS: &[crate::engine::Variant] = &[crate::engine::Variant::new("", &[]).subgroups(8)];

/// Workgroups that make so many rows and columns each.
pub(crate) fn grid(params: &Params<'_>, [rows, columns]: [u32; 2], gates: u32) -> Grid {
    let p: &StepParams = params.get();
    let groups = u64::from(p.batch.div_ceil(rows)) * u64::from(p.hidden.div_ceil(columns));
    // What the gates' functions cost counts as some terms of the product.
    let (units, hidden, gates) = (u64::from(p.batch) * u64::from(p.hidden), u64::from(p.hidden), u64::from(gates));
    // On the way back the gates are what is summed over.
    let sums = if p.depth > p.hidden { units } else { units * gates };
    // The weight, if there is a state to multiply, what comes in for the gates and what is saved of them, and the state.
    let weight = if p.depth > 0 { gates * hidden * hidden } else { 0 };
    Grid::groups(groups)
        .work(units * gates * u64::from(p.depth + 40))
        .flops(2 * sums * u64::from(p.depth))
        .elements_moved(weight + units * (2 * gates + 1))
}

/// A sum of `depth` products, as in a matrix product, and then functions whose slope is at most 1 and whose own errors are
/// a few ulp: the twin's magnitudes follow how both go through the formulas.
pub(crate) fn bound(params: &Params<'_>, magnitude: fn(&HostCall<'_>) -> crate::Result<()>) -> Bound {
    Bound::Scaled { ulps: 8.0 + 4.0 * f64::from(params.get::<StepParams>().depth).sqrt(), magnitude }
}

impl StepParams {
    /// Every sequence and unit.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let hidden = self.hidden as usize;
        (0..self.batch as usize).flat_map(move |row| (0..hidden).map(move |unit| (row, unit)))
    }

    /// Where a row of a buffer with `width` numbers a sequence and step starts.
    pub fn row_at(&self, slot: u32, row: usize, width: usize) -> usize {
        (slot as usize * self.batch as usize + row) * width
    }

    /// Where a unit of the states before, or after, this step lies.
    pub fn state_at(&self, slot: u32, row: usize, unit: usize) -> usize {
        self.row_at(slot, row, self.hidden as usize) + unit
    }

    /// Whether a sequence has this step; binding `lengths` holds how many steps each has.
    pub fn is_running(&self, call: &HostCall<'_>, lengths: usize, row: usize) -> bool {
        self.has_lengths == 0 || (self.step as i32) < call.ints(lengths)[row]
    }

    /// Whether a sequence ended with this step.
    pub fn is_last(&self, call: &HostCall<'_>, lengths: usize, row: usize) -> bool {
        match (self.reverse != 0, self.has_lengths != 0) {
            (true, _) => self.step == 0,
            (false, false) => self.step + 1 == self.steps,
            (false, true) => self.step as i32 + 1 == call.ints(lengths)[row],
        }
    }

    /// What reaches one unit of a gate besides the input: the bias, and the product with the state before. Bindings 0 and 1
    /// are weight and bias, `states` holds the states. `size` is applied to every factor.
    pub fn recurrent(
        &self,
        call: &HostCall<'_>,
        states: &[f64],
        gate: usize,
        (row, unit): (usize, usize),
        size: fn(f64) -> f64,
    ) -> f64 {
        let weight = call.floats(0);
        let first = self.weight_offset as usize + (gate * self.hidden as usize + unit) * self.hidden as usize;
        let bias = if self.has_bias == 0 {
            0.0
        } else {
            size(call.floats(1)[self.bias_offset as usize + gate * self.hidden as usize + unit])
        };
        let before = self.row_at(self.before, row, self.hidden as usize);
        let terms = (0..self.depth as usize).map(|k| size(states[before + k]) * size(weight[first + k]));
        bias + terms.sum::<f64>()
    }

    /// The gradient of a state: what comes from the gates of the step after, and from outside. Bindings 0 to 3 are weight,
    /// lengths, and the gradients of outputs and last states; `d_gates` has `width` blocks a step, of which `column` gives
    /// those that belong to the state's weights.
    pub fn state_gradient(
        &self,
        call: &HostCall<'_>,
        d_gates: &[f64],
        (width, column): (usize, fn(usize, usize) -> usize),
        (row, unit): (usize, usize),
        size: fn(f64) -> f64,
    ) -> f64 {
        let hidden = self.hidden as usize;
        let weight = call.floats(0);
        let first = self.weight_offset as usize + unit;
        let next = self.row_at(self.next, row, width * hidden);
        let terms = (0..self.depth as usize)
            .map(|k| size(d_gates[next + column(k, hidden)]) * size(weight[first + k * hidden]));
        let mut d = terms.sum::<f64>();
        if self.has_dy != 0 {
            d += size(call.floats(2)[self.dy_offset as usize + self.state_at(self.step, row, unit)]);
        }
        if self.has_dh != 0 && self.is_last(call, 1, row) {
            d += size(call.floats(3)[self.dh_offset as usize + row * hidden + unit]);
        }
        d
    }
}

/// What a factor counts as: itself, or its magnitude.
pub(crate) fn size(magnitude: bool) -> fn(f64) -> f64 {
    if magnitude { f64::abs } else { |x| x }
}
