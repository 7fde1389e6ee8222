//! One step of Adam, and of AdamW where the weight decay is decoupled:
//!
//! `g ← g + λ·p` (Adam) or `p ← (1 − lr·λ)·p` (AdamW); `m ← m + (1−β₁)(g − m)`; `v ← β₂·v + (1−β₂)·g²`;
//! `p ← p − lr/(1−β₁ᵗ) · m / (√v / √(1−β₂ᵗ) + ε)`.
//!
//! Kingma and Ba (2014); Loshchilov and Hutter (2017). <https://pytorch.org/docs/stable/generated/torch.optim.Adam.html>

use smallvec::smallvec;

use super::Span;
use crate::Result;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::ops::{Attrs, Operation, apply, cases};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/adam.wgsl`.
    pub struct AdamParams {
        first: u32,
        n: u32,
        beta2: f32,
        rest1: f32,
        rest2: f32,
        eps: f32,
        weight_decay: f32,
        keep: f32,
        step_size: f32,
        correction: f32,
        sign: f32,
    }
}

static STEP: Kernel = Kernel {
    name: "adam.step",
    source: &[include_str!("../../../shaders/optim/adam.wgsl")],
    entry: "main",
    bindings: &[
        Binding::Read("gradient"),
        Binding::ReadWrite("parameter"),
        Binding::ReadWrite("average"),
        Binding::ReadWrite("square"),
        Binding::FaultFlag,
    ],
    params: ParamsLayout::of::<AdamParams>(),
    variants: Variant::ONLY,
    grid: |p| Grid::elements(p.get::<AdamParams>().n).work(u64::from(p.get::<AdamParams>().n) * 40),
    reference: |call| twin(call, false),
    // A handful of roundings of each term; the terms can cancel.
    bound: |_| Bound::Scaled { ulps: 8.0, magnitude: |call| twin(call, true) },
};

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AdamParams = call.params();
    let [beta2, rest1, rest2, eps, decay] = [p.beta2, p.rest1, p.rest2, p.eps, p.weight_decay].map(f64::from);
    let [keep, step_size, correction, sign] = [p.keep, p.step_size, p.correction, p.sign].map(f64::from);
    let (gradient, mut parameter, mut average, mut square) =
        (call.floats(0), call.floats_mut(1), call.floats_mut(2), call.floats_mut(3));
    for i in p.first as usize..(p.first + p.n) as usize {
        let old = parameter[i] * keep;
        let g = sign * gradient[i] + decay * old;
        let m = average[i] + rest1 * (g - average[i]);
        let v = beta2 * square[i] + rest2 * g * g;
        let step = step_size * m / (v.sqrt() / correction + eps);
        if magnitude {
            // Errors of g and m in the numbers that they are made of, carried to the step.
            let g_size = gradient[i].abs() + (decay * old).abs();
            let m_size = average[i].abs() + rest1 * g_size;
            (average[i], square[i]) = (m_size, beta2 * square[i] + rest2 * g_size * g_size);
            parameter[i] = old.abs() + step_size.abs() * m_size / (v.sqrt() / correction + eps) + step.abs();
        } else {
            (average[i], square[i], parameter[i]) = (m, v, old + step);
        }
    }
    Ok(())
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
    pub maximize: bool,
    /// Number of this step, from 1.
    pub step: u64,
}

impl AdamStep {
    fn attrs(&self, span: Span) -> Attrs {
        let attrs = span.attrs().float("lr", self.lr).float("beta1", self.betas.0).float("beta2", self.betas.1);
        let attrs = attrs.float("eps", self.eps).float("weight_decay", self.weight_decay);
        attrs.bool("decoupled", self.decoupled).bool("maximize", self.maximize).int("step", self.step as i64)
    }

    /// What does not change from element to element, computed in f64.
    fn params(attrs: &Attrs) -> AdamParams {
        let (first, n) = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        let step = attrs.get_int("step") as f64;
        let (lr, decay, decoupled) = (float("lr"), float("weight_decay"), attrs.get_bool("decoupled"));
        AdamParams {
            first,
            n,
            beta2: float("beta2") as f32,
            rest1: (1.0 - float("beta1")) as f32,
            rest2: (1.0 - float("beta2")) as f32,
            eps: float("eps") as f32,
            weight_decay: if decoupled { 0.0 } else { decay as f32 },
            keep: if decoupled { (1.0 - lr * decay) as f32 } else { 1.0 },
            step_size: (-lr / (1.0 - float("beta1").powf(step))) as f32,
            correction: (1.0 - float("beta2").powf(step)).sqrt() as f32,
            sign: if attrs.get_bool("maximize") { -1.0 } else { 1.0 },
        }
    }
}

/// The operation `adam`: inputs gradient, parameter, first and second moment; changes all but the first.
pub(crate) static ADAM: Operation = Operation {
    name: "adam",
    kernels: &[&STEP],
    forward: |call| {
        let operands = [call.input(0), call.input(1), call.input(2), call.input(3)];
        let params = AdamStep::params(call.attrs());
        call.dispatch(&STEP, 0, &operands, &params);
        operands[1..].iter().for_each(|t| t.bump_version());
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        let step = |step, weight_decay, decoupled| AdamStep {
            lr: 1e-2,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay,
            decoupled,
            maximize: step == 3,
            step,
        };
        let flat = |n: usize| cases::Input::floats(&[n]).constant();
        let case = |name: &str, n: usize, first, len, step: AdamStep| {
            let square = flat(n).fill(cases::Fill::Uniform(0.0, 2.0));
            let inputs = vec![flat(n), flat(n), flat(n), square];
            cases::Case::new(name, inputs).attrs(step.attrs(Span { first, len }))
        };
        vec![
            case("first step", 70, 0, 70, step(1, 0.0, false)),
            case("decay", 70, 3, 60, step(2, 0.1, false)),
            case("decoupled", 129, 64, 65, step(1000, 0.1, true)),
            case("maximise", 5, 0, 5, step(3, 0.0, false)),
        ]
    },
};

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &AdamStep, arena: [&Tensor; 4]) -> Result<()> {
    apply(&ADAM, &arena, numbers.attrs(span)).map(|_| ())
}
