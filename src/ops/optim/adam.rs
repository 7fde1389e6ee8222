//! One step of Adam, and of AdamW where the weight decay is decoupled:
//!
//! `g ← g + λ·p` (Adam) or `p ← (1 − lr·λ)·p` (AdamW); `m ← m + (1−β₁)(g − m)`; `v ← β₂·v + (1−β₂)·g²`;
//! `p ← p − lr/(1−β₁ᵗ) · m / (√v / √(1−β₂ᵗ) + ε)`, for AMSGrad with the largest v so far.
//!
//! Kingma and Ba (2014); Loshchilov and Hutter (2017); Reddi, Kale and Kumar (2018).
//! <https://pytorch.org/docs/stable/generated/torch.optim.Adam.html>

use smallvec::smallvec;

use super::{Span, clock, sign};
use crate::Result;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::ops::{Attrs, Operation, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/adam.wgsl`.
    pub struct AdamParams {
        first: u32,
        n: u32,
        row: u32,
        beta2: f32,
        rest1: f32,
        rest2: f32,
        eps: f32,
        weight_decay: f32,
        sign: f32,
    }
}

macro_rules! adam_kernel {
    ($kernel:ident, $entry:literal, [$($more:literal),*]) => {
        static $kernel: Kernel = Kernel {
            name: concat!("adam.", $entry),
            source: &[include_str!("../../../shaders/optim/adam.wgsl")],
            entry: $entry,
            bindings: &[
                Binding::Read("gradient"),
                Binding::ReadWrite("parameter"),
                Binding::ReadWrite("average"),
                Binding::ReadWrite("square"),
                Binding::Read("clock"),
                $(Binding::ReadWrite($more)),*
            ],
            params: ParamsLayout::of::<AdamParams>(),
            variants: Variant::ONLY,
            grid: |p| super::grid(p.get::<AdamParams>().n, 3 + { const MORE: &[&str] = &[$($more),*]; MORE.len() as u64 }),
            reference: |call| twin(call, false),
            // A handful of roundings of each term; the terms can cancel.
            bound: |_| Bound::Scaled { ulps: 8.0, magnitude: |call| twin(call, true) },
        };
    };
}
adam_kernel!(PLAIN, "plain", []);
adam_kernel!(AMSGRAD, "amsgrad", ["largest"]);

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AdamParams = call.params();
    let [beta2, rest1, rest2, eps, decay] = [p.beta2, p.rest1, p.rest2, p.eps, p.weight_decay].map(f64::from);
    let sign = f64::from(p.sign);
    let (gradient, mut parameter, mut average, mut square) =
        (call.floats(0), call.floats_mut(1), call.floats_mut(2), call.floats_mut(3));
    let mut largest = (call.operands() == 6).then(|| call.floats_mut(5));
    let clock = clock::Row::of(call, 4, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let old = parameter[i] * clock.number(4);
        let g = sign * gradient[i] + decay * old;
        let m = average[i] + rest1 * (g - average[i]);
        let v = beta2 * square[i] + rest2 * g * g;
        let g_size = gradient[i].abs() + (decay * old).abs();
        let v_size = beta2 * square[i] + rest2 * g_size * g_size;
        let mut used = v;
        if let Some(largest) = &mut largest {
            used = if v > largest[i] || v.is_nan() { v } else { largest[i] };
            largest[i] = if magnitude { largest[i].max(v_size) } else { used };
        }
        let divisor = used.sqrt() / clock.number(3) + eps;
        let step = clock.number(2) * m / divisor;
        if magnitude {
            // Errors of g and m in the numbers that they are made of, carried to the step.
            let m_size = average[i].abs() + rest1 * g_size;
            (average[i], square[i]) = (m_size, v_size);
            parameter[i] = old.abs() + (clock.number(2) * m_size / divisor).abs() + step.abs();
        } else {
            (average[i], square[i], parameter[i]) = (m, v, old + step);
        }
    }
    Ok(())
}

/// The numbers of one step; those that change from step to step come from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamStep {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
    pub maximize: bool,
}

impl AdamStep {
    fn attrs(&self, span: Span) -> Attrs {
        let attrs = span.attrs().float("beta1", self.beta1).float("beta2", self.beta2).float("eps", self.eps);
        let attrs = attrs.float("weight_decay", self.weight_decay);
        attrs.bool("decoupled", self.decoupled).bool("maximize", self.maximize)
    }
}

impl AdamParams {
    fn of(attrs: &Attrs) -> AdamParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        AdamParams {
            first,
            n,
            row,
            beta2: float("beta2") as f32,
            rest1: (1.0 - float("beta1")) as f32,
            rest2: (1.0 - float("beta2")) as f32,
            eps: float("eps") as f32,
            weight_decay: if attrs.get_bool("decoupled") { 0.0 } else { float("weight_decay") as f32 },
            sign: sign(attrs),
        }
    }
}

/// The operation `adam`: inputs gradient, parameter, first and second moment, clock, and for AMSGrad the largest second
/// moment; changes all but gradient and clock.
pub(crate) static ADAM: Operation = Operation {
    name: "adam",
    kernels: &[&PLAIN, &AMSGRAD],
    forward: |call| {
        let params = AdamParams::of(call.attrs());
        let inputs = call.inputs();
        let kernel = if inputs.len() == 6 { &AMSGRAD } else { &PLAIN };
        call.dispatch(kernel, 0, inputs, &params);
        inputs[1..].iter().enumerate().filter(|(i, _)| *i != 3).for_each(|(_, t)| t.bump_version());
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        const FIRST: &[f64] = &[1.0, 1.0, -0.1, 0.0316, 1.0, 0.0, 0.0, 0.0];
        const LATER: &[f64] = &[9.0, 1.0, -0.02, 0.095, 0.999, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[9.0, 0.0, -0.02, 0.095, 0.999, 0.0, 0.0, 0.0];
        let plain =
            AdamStep { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, maximize: false };
        let decay = AdamStep { weight_decay: 0.1, ..plain };
        let case = |name: &str, n: usize, span: Span, clock, step: AdamStep| {
            super::case(name, n, &[super::ANY, super::POSITIVE], clock, step.attrs(span))
        };
        let amsgrad = |name: &str, n: usize, span: Span, clock, step: AdamStep| {
            let mut case = case(name, n, span, clock, step);
            case.inputs.push(case.inputs[3].clone());
            case
        };
        vec![
            case("first step", 70, Span::new(0, 68, 0), FIRST, plain),
            case("decay", 70, Span::new(4, 60, 1), LATER, decay),
            case("decoupled", 129, Span::new(64, 64, 0), LATER, AdamStep { decoupled: true, ..decay }),
            case("maximise", 5, Span::new(0, 4, 1), LATER, AdamStep { maximize: true, ..plain }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
            amsgrad("amsgrad", 130, Span::new(4, 124, 1), LATER, decay),
            amsgrad("amsgrad fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
};

/// Runs one step. Gradient, parameter, both moments and the clock; for AMSGrad also the largest second moment.
pub(crate) fn step(span: Span, numbers: &AdamStep, arena: &[&Tensor]) -> Result<()> {
    apply(&ADAM, arena, numbers.attrs(span)).map(|_| ())
}
