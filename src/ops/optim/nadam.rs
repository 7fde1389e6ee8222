//! One step of NAdam: `g ← g + λ·p`, or `p ← (1 − lr·λ)·p` where decay is decoupled; `m ← m + (1−β₁)(g − m)`;
//! `v ← β₂·v + (1−β₂)·g²`; `p ← p − lr·((1−μₜ)/(1−Πμ)·g + μₜ₊₁/(1−Πμ·μₜ₊₁)·m) / (√v / √(1−β₂ᵗ) + ε)` with
//! `μₜ = β₁·(1 − ½·0.96^(t·ψ))`.
//!
//! Dozat (2016). <https://pytorch.org/docs/stable/generated/torch.optim.NAdam.html>

use super::{Span, clock, sign, update};
use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::ops::{Attrs, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/nadam.wgsl`.
    pub struct NadamParams {
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

impl NadamParams {
    fn of(attrs: &Attrs) -> NadamParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        NadamParams {
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

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NadamParams = call.params();
    let [beta2, rest1, rest2, eps, weight_decay, sign] =
        [p.beta2, p.rest1, p.rest2, p.eps, p.weight_decay, p.sign].map(f64::from);
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    let (mut average, mut square) = (call.floats_mut(2), call.floats_mut(3));
    let clock = clock::Row::of(call, 4, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let old = parameter[i] * clock.number(4);
        let g = sign * gradient[i] + weight_decay * old;
        let m = average[i] + rest1 * (g - average[i]);
        let v = beta2 * square[i] + rest2 * g * g;
        let divisor = v.sqrt() / clock.number(3) + eps;
        let change = (clock.number(2) * g + clock.number(5) * m) / divisor;
        if magnitude {
            // Errors of g and m in the numbers that they are made of, carried to the step.
            let g_size = gradient[i].abs() + (weight_decay * old).abs();
            let m_size = average[i].abs() + rest1 * g_size;
            (average[i], square[i]) = (m_size, beta2 * square[i] + rest2 * g_size * g_size);
            let change_size = (clock.number(2) * g_size).abs() + (clock.number(5) * m_size).abs();
            parameter[i] = old.abs() + change_size / divisor + change.abs();
        } else {
            (average[i], square[i], parameter[i]) = (m, v, old + change);
        }
    }
    Ok(())
}

update! {
    /// The operation `nadam`: inputs gradient, parameter, `average`, `square` and clock.
    NADAM, STEP, "nadam", "nadam.wgsl", NadamParams,
    state: ["average", "square"],
    // A handful of roundings of each term; the terms can cancel.
    twin: twin, ulps: 8.0,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, -0.007, 0.055, 0.999, -0.0065, 0.1, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, -0.007, 0.055, 0.999, -0.0065, 0.1, 0.0];
        let case = |name: &str, n, span: Span, clock, step: NadamStep| {
            super::case(name, n, &[super::ANY, super::POSITIVE], clock, step.attrs(span))
        };
        let plain = NadamStep {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            maximize: false,
        };
        vec![
            case("plain", 70, Span::new(0, 68, 0), CLOCK, plain),
            case("decay", 130, Span::new(4, 120, 1), CLOCK, NadamStep { weight_decay: 0.1, maximize: true, ..plain }),
            case("decoupled", 129, Span::new(64, 64, 0), CLOCK, NadamStep { weight_decay: 0.1, decoupled: true, ..plain }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NadamStep {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
    pub maximize: bool,
}

impl NadamStep {
    fn attrs(&self, span: Span) -> Attrs {
        span.attrs()
            .float("beta1", self.beta1)
            .float("beta2", self.beta2)
            .float("eps", self.eps)
            .float("weight_decay", self.weight_decay)
            .bool("decoupled", self.decoupled)
            .bool("maximize", self.maximize)
    }
}

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &NadamStep, arena: [&Tensor; 5]) -> Result<()> {
    apply(&NADAM, &arena, numbers.attrs(span)).map(|_| ())
}
