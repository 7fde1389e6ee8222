//! One step of SGD: `g ← g + λ·p`; with momentum `v ← μ·v + (1−τ)·g` (the first time `v ← g`) and `g ← v`, or for
//! Nesterov `g ← g + μ·v`; `p ← p − lr·g`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.optim.SGD.html>

use smallvec::smallvec;

use super::{Span, clock, sign};
use crate::Result;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, Params, ParamsLayout, Variant};
use crate::ops::{Attrs, Operation, apply, cases};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/sgd.wgsl`.
    pub struct SgdParams {
        first: u32,
        n: u32,
        lr: f32,
        momentum: f32,
        dampening: f32,
        weight_decay: f32,
        sign: f32,
        nesterov: u32,
        row: u32,
        has_found: u32,
    }
}

static PLAIN: Kernel = Kernel {
    name: "sgd.plain",
    source: &[include_str!("../../../shaders/optim/sgd.wgsl")],
    entry: "plain",
    bindings: &[Binding::Read("gradient"), Binding::ReadWrite("parameter"), Binding::Read("found"), Binding::FaultFlag],
    params: ParamsLayout::of::<SgdParams>(),
    variants: Variant::ONLY,
    grid,
    reference: |call| plain_twin(call, false),
    bound: |_| Bound::Scaled { ulps: 4.0, magnitude: |call| plain_twin(call, true) },
};

static MOMENTUM: Kernel = Kernel {
    name: "sgd.momentum",
    source: &[include_str!("../../../shaders/optim/sgd.wgsl")],
    entry: "momentum",
    bindings: &[
        Binding::Read("gradient"),
        Binding::ReadWrite("parameter"),
        Binding::ReadWrite("velocity"),
        Binding::Read("clock"),
    ],
    params: ParamsLayout::of::<SgdParams>(),
    variants: Variant::ONLY,
    grid,
    reference: |call| momentum_twin(call, false),
    bound: |_| Bound::Scaled { ulps: 6.0, magnitude: |call| momentum_twin(call, true) },
};

fn grid(params: &Params<'_>) -> Grid {
    Grid::elements(params.get::<SgdParams>().n / 4)
}

/// The scale of a sum's error: its terms' magnitudes.
fn add(a: f64, b: f64, magnitude: bool) -> f64 {
    if magnitude { a.abs() + b.abs() } else { a + b }
}

fn plain_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &SgdParams = call.params();
    let [lr, decay, sign] = [p.lr, p.weight_decay, p.sign].map(f64::from);
    if p.has_found != 0 && call.words(2)[0] != 0 {
        return Ok(());
    }
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = add(sign * gradient[i], decay * parameter[i], magnitude);
        parameter[i] = add(parameter[i], -lr * g, magnitude);
    }
    Ok(())
}

fn momentum_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &SgdParams = call.params();
    let [momentum, dampening, decay, sign] = [p.momentum, p.dampening, p.weight_decay, p.sign].map(f64::from);
    let (gradient, mut parameter, mut velocity) = (call.floats(0), call.floats_mut(1), call.floats_mut(2));
    let clock = clock::Row::of(call, 3, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = add(sign * gradient[i], decay * parameter[i], magnitude);
        let v = if clock.step() == 1.0 { g } else { add(momentum * velocity[i], (1.0 - dampening) * g, magnitude) };
        velocity[i] = v;
        let direction = if p.nesterov != 0 { add(g, momentum * v, magnitude) } else { v };
        parameter[i] = add(parameter[i], clock.number(2) * direction, magnitude);
    }
    Ok(())
}

/// The numbers of one step. With momentum the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdStep {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
}

impl SgdStep {
    fn attrs(&self, span: Span) -> Attrs {
        let attrs = span.attrs().float("lr", self.lr).float("momentum", self.momentum);
        let attrs = attrs.float("dampening", self.dampening).float("weight_decay", self.weight_decay);
        attrs.bool("nesterov", self.nesterov).bool("maximize", self.maximize)
    }
}

impl SgdParams {
    fn of(attrs: &Attrs) -> SgdParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name) as f32;
        SgdParams {
            first,
            n,
            lr: float("lr"),
            momentum: float("momentum"),
            dampening: float("dampening"),
            weight_decay: float("weight_decay"),
            sign: sign(attrs),
            nesterov: u32::from(attrs.get_bool("nesterov")),
            row,
            has_found: 0,
        }
    }
}

/// The operation `sgd`: inputs gradient, parameter, and with momentum the velocity and the clock, without it perhaps the
/// flag of a gradient that is no number; changes parameter and velocity.
pub(crate) static SGD: Operation = Operation {
    name: "sgd",
    kernels: &[&PLAIN, &MOMENTUM],
    forward: |call| {
        let mut params = SgdParams::of(call.attrs());
        let inputs = call.inputs();
        let (gradient, parameter) = (inputs[0], inputs[1]);
        if let Some(velocity) = inputs.get(2).filter(|_| inputs.len() == 4) {
            call.dispatch(&MOMENTUM, 0, inputs, &params);
            velocity.bump_version();
        } else {
            params.has_found = u32::from(inputs.len() == 3);
            // Without a flag something has to be bound in its place.
            let found = inputs.get(2).copied().unwrap_or(gradient);
            call.dispatch(&PLAIN, 0, &[gradient, parameter, found], &params);
        }
        parameter.bump_version();
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        let plain =
            SgdStep { lr: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.01, nesterov: false, maximize: false };
        let case = |name: &str, first, len, step: SgdStep| {
            let flat = cases::Input::floats(&[130]).constant();
            cases::Case::new(name, vec![flat; 2]).attrs(step.attrs(Span { first, len, row: 0 }))
        };
        let with_found = |name: &str, found: &'static [f64]| {
            let mut case = case(name, 0, 128, plain);
            let flag = cases::Input::floats(&[1]).constant().fill(cases::Fill::Values(found));
            case.inputs.push(flag.dtype(crate::DType::U32));
            case
        };
        let with_clock = |name: &str, first, len, clock, step: SgdStep| {
            super::case(name, 130, &[super::ANY], clock, step.attrs(Span { first, len, row: 1 }))
        };
        const FIRST: &[f64] = &[1.0, 1.0, -0.1, 0.0, 0.0, 0.0, 0.0, 0.0];
        const LATER: &[f64] = &[7.0, 1.0, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[7.0, 0.0, -0.2, 0.0, 0.0, 0.0, 0.0, 0.0];
        let momentum = SgdStep { momentum: 0.9, dampening: 0.1, ..plain };
        let nesterov = SgdStep { nesterov: true, dampening: 0.0, maximize: true, ..momentum };
        vec![
            case("plain", 0, 128, plain),
            case("range", 64, 4, SgdStep { maximize: true, ..plain }),
            with_found("a gradient is no number", &[1.0]),
            with_found("all gradients are numbers", &[0.0]),
            with_clock("first momentum", 0, 128, FIRST, momentum),
            with_clock("momentum", 4, 124, LATER, momentum),
            with_clock("nesterov", 0, 72, LATER, nesterov),
            with_clock("fault", 0, 72, FAULT, momentum),
        ]
    },
};

/// Runs one step; velocity and clock are there with momentum, without it perhaps the flag.
pub(crate) fn step(span: Span, numbers: &SgdStep, arena: &[&Tensor]) -> Result<()> {
    apply(&SGD, arena, numbers.attrs(span)).map(|_| ())
}
