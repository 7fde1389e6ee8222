//! One step of Adagrad: `g ← g + λ·p`; `s ← s + g²`; `p ← p − lr/(1 + (t−1)·decay) · g / (√s + ε)`.
//!
//! Duchi, Hazan and Singer (2011). <https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html>

use super::{Span, clock, sign, update};
use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::ops::{Attrs, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/adagrad.wgsl`.
    pub struct AdagradParams {
        first: u32,
        n: u32,
        row: u32,
        eps: f32,
        weight_decay: f32,
        sign: f32,
    }
}

impl AdagradParams {
    fn of(attrs: &Attrs) -> AdagradParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        AdagradParams {
            first,
            n,
            row,
            eps: float("eps") as f32,
            weight_decay: float("weight_decay") as f32,
            sign: sign(attrs),
        }
    }
}

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AdagradParams = call.params();
    let [eps, weight_decay, sign] = [p.eps, p.weight_decay, p.sign].map(f64::from);
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    let mut total = call.floats_mut(2);
    let clock = clock::Row::of(call, 3, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = sign * gradient[i] + weight_decay * parameter[i];
        let g_size = gradient[i].abs() + (weight_decay * parameter[i]).abs();
        let s = total[i] + g * g;
        let change = clock.number(2) * g / (s.sqrt() + eps);
        if magnitude {
            // Errors of g in the numbers that it is made of, carried to the sum and the step.
            total[i] = total[i].abs() + g_size * g_size;
            parameter[i] = parameter[i].abs() + (clock.number(2) * g_size / (s.sqrt() + eps)).abs() + change.abs();
        } else {
            (total[i], parameter[i]) = (s, parameter[i] + change);
        }
    }
    Ok(())
}

update! {
    /// The operation `adagrad`: inputs gradient, parameter, `total` and clock.
    ADAGRAD, STEP, "adagrad", "adagrad.wgsl", AdagradParams,
    state: ["total"],
    // A handful of roundings of each term; the terms can cancel.
    twin: twin, ulps: 8.0,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0];
        let case = |name: &str, n, span: Span, clock, step: AdagradStep| {
            super::case(name, n, &[super::POSITIVE], clock, step.attrs(span))
        };
        let plain = AdagradStep { eps: 1e-10, weight_decay: 0.0, maximize: false };
        vec![
            case("plain", 70, Span::new(0, 68, 0), CLOCK, plain),
            case("decay", 130, Span::new(4, 120, 1), CLOCK, AdagradStep { weight_decay: 0.1, maximize: true, ..plain }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdagradStep {
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
}

impl AdagradStep {
    fn attrs(&self, span: Span) -> Attrs {
        span.attrs().float("eps", self.eps).float("weight_decay", self.weight_decay).bool("maximize", self.maximize)
    }
}

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &AdagradStep, arena: [&Tensor; 4]) -> Result<()> {
    apply(&ADAGRAD, &arena, numbers.attrs(span)).map(|_| ())
}
