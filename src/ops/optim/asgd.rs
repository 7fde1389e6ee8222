//! One step of averaged SGD: `g ← g + λ·p`; `p ← (1 − λ′·η)·p − η·g`; `a ← a + μ·(p − a)`; the clock then sets
//! `η ← lr / (1 + λ′·lr·t)^α` and `μ ← 1 / max(1, t − t₀)`.
//!
//! Polyak and Juditsky (1992). <https://pytorch.org/docs/stable/generated/torch.optim.ASGD.html>

use super::{Span, clock, sign, update};
use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::ops::{Attrs, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/asgd.wgsl`.
    pub struct AsgdParams {
        first: u32,
        n: u32,
        row: u32,
        weight_decay: f32,
        sign: f32,
    }
}

impl AsgdParams {
    fn of(attrs: &Attrs) -> AsgdParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        AsgdParams { first, n, row, weight_decay: float("weight_decay") as f32, sign: sign(attrs) }
    }
}

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AsgdParams = call.params();
    let [weight_decay, sign] = [p.weight_decay, p.sign].map(f64::from);
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    let mut mean = call.floats_mut(2);
    let clock = clock::Row::of(call, 3, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = sign * gradient[i] + weight_decay * parameter[i];
        let g_size = gradient[i].abs() + (weight_decay * parameter[i]).abs();
        let (kept, share) = (parameter[i] * clock.number(4), clock.number(3));
        let p = kept + clock.number(2) * g;
        if magnitude {
            let p_size = kept.abs() + (clock.number(2) * g_size).abs();
            (parameter[i], mean[i]) = (p_size, mean[i].abs() + (p_size + mean[i].abs()) * share);
        } else {
            (parameter[i], mean[i]) = (p, mean[i] + (p - mean[i]) * share);
        }
    }
    Ok(())
}

update! {
    /// The operation `asgd`: inputs gradient, parameter, `mean` and clock.
    ASGD, STEP, "asgd", "asgd.wgsl", AsgdParams,
    state: ["mean"],
    // A handful of roundings of each term; the terms can cancel.
    twin: twin, ulps: 6.0,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, -0.05, 0.25, 0.999, 0.0, 0.0, 0.0];
        const FRESH: &[f64] = &[1.0, 1.0, -0.05, 1.0, 0.999, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, -0.05, 1.0, 0.999, 0.0, 0.0, 0.0];
        let case = |name: &str, n, span: Span, clock, step: AsgdStep| {
            super::case(name, n, &[super::ANY], clock, step.attrs(span))
        };
        let plain = AsgdStep { weight_decay: 0.0, maximize: false };
        vec![
            case("plain", 70, Span::new(0, 68, 0), FRESH, plain),
            case("decay", 130, Span::new(4, 120, 1), CLOCK, AsgdStep { weight_decay: 0.1, maximize: true }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsgdStep {
    pub weight_decay: f64,
    pub maximize: bool,
}

impl AsgdStep {
    fn attrs(&self, span: Span) -> Attrs {
        span.attrs().float("weight_decay", self.weight_decay).bool("maximize", self.maximize)
    }
}

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &AsgdStep, arena: [&Tensor; 4]) -> Result<()> {
    apply(&ASGD, &arena, numbers.attrs(span)).map(|_| ())
}
