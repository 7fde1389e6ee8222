//! One step of Adadelta: `g ← g + λ·p`; `v ← ρ·v + (1−ρ)·g²`; `δ ← √(u + ε) / √(v + ε) · g`; `u ← ρ·u + (1−ρ)·δ²`;
//! `p ← p − lr·δ`.
//!
//! Zeiler (2012). <https://pytorch.org/docs/stable/generated/torch.optim.Adadelta.html>

use super::{Span, clock, sign, update};
use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::ops::{Attrs, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/adadelta.wgsl`.
    pub struct AdadeltaParams {
        first: u32,
        n: u32,
        row: u32,
        rho: f32,
        rest: f32,
        eps: f32,
        weight_decay: f32,
        sign: f32,
    }
}

impl AdadeltaParams {
    fn of(attrs: &Attrs) -> AdadeltaParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        AdadeltaParams {
            first,
            n,
            row,
            rho: float("rho") as f32,
            rest: (1.0 - float("rho")) as f32,
            eps: float("eps") as f32,
            weight_decay: float("weight_decay") as f32,
            sign: sign(attrs),
        }
    }
}

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AdadeltaParams = call.params();
    let [rho, rest, eps, weight_decay, sign] = [p.rho, p.rest, p.eps, p.weight_decay, p.sign].map(f64::from);
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    let (mut square, mut delta) = (call.floats_mut(2), call.floats_mut(3));
    let clock = clock::Row::of(call, 4, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = sign * gradient[i] + weight_decay * parameter[i];
        let g_size = gradient[i].abs() + (weight_decay * parameter[i]).abs();
        let v = rho * square[i] + rest * g * g;
        let factor = (delta[i] + eps).sqrt() / (v + eps).sqrt();
        let change = factor * g;
        let u = rho * delta[i] + rest * change * change;
        if magnitude {
            // Errors of g in the numbers that it is made of, carried to the averages and the step.
            let change_size = factor * g_size + change.abs();
            square[i] = rho * square[i] + rest * g_size * g_size;
            delta[i] = rho * delta[i] + rest * change_size * change_size;
            parameter[i] = parameter[i].abs() + (clock.number(2) * change_size).abs();
        } else {
            (square[i], delta[i], parameter[i]) = (v, u, parameter[i] + clock.number(2) * change);
        }
    }
    Ok(())
}

update! {
    /// The operation `adadelta`: inputs gradient, parameter, `square`, `delta` and clock.
    ADADELTA, STEP, "adadelta", "adadelta.wgsl", AdadeltaParams,
    state: ["square", "delta"],
    // Two roots, which drivers get right to 4 ulp, a quotient, 2.5, and a handful of roundings of terms that can cancel.
    twin: twin, ulps: 10.0,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let case = |name: &str, n, span: Span, clock, step: AdadeltaStep| {
            super::case(name, n, &[super::POSITIVE; 2], clock, step.attrs(span))
        };
        let plain = AdadeltaStep { rho: 0.9, eps: 1e-6, weight_decay: 0.0, maximize: false };
        vec![
            case("plain", 70, Span::new(0, 68, 0), CLOCK, plain),
            case("decay", 130, Span::new(4, 120, 1), CLOCK, AdadeltaStep { weight_decay: 0.1, maximize: true, ..plain }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdadeltaStep {
    pub rho: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
}

impl AdadeltaStep {
    fn attrs(&self, span: Span) -> Attrs {
        span.attrs()
            .float("rho", self.rho)
            .float("eps", self.eps)
            .float("weight_decay", self.weight_decay)
            .bool("maximize", self.maximize)
    }
}

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &AdadeltaStep, arena: [&Tensor; 5]) -> Result<()> {
    apply(&ADADELTA, &arena, numbers.attrs(span)).map(|_| ())
}
