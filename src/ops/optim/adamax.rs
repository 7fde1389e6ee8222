//! One step of Adamax: `g ← g + λ·p`; `m ← m + (1−β₁)(g − m)`; `u ← max(β₂·u, |g| + ε)`; `p ← p − lr/(1−β₁ᵗ) · m / u`.
//!
//! Kingma and Ba (2014). <https://pytorch.org/docs/stable/generated/torch.optim.Adamax.html>

use super::{Span, clock, sign, update};
use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::ops::{Attrs, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/adamax.wgsl`.
    pub struct AdamaxParams {
        first: u32,
        n: u32,
        row: u32,
        rest1: f32,
        beta2: f32,
        eps: f32,
        weight_decay: f32,
        sign: f32,
    }
}

impl AdamaxParams {
    fn of(attrs: &Attrs) -> AdamaxParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        AdamaxParams {
            first,
            n,
            row,
            rest1: (1.0 - float("beta1")) as f32,
            beta2: float("beta2") as f32,
            eps: float("eps") as f32,
            weight_decay: float("weight_decay") as f32,
            sign: sign(attrs),
        }
    }
}

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AdamaxParams = call.params();
    let [rest1, beta2, eps, weight_decay, sign] = [p.rest1, p.beta2, p.eps, p.weight_decay, p.sign].map(f64::from);
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    let (mut average, mut largest) = (call.floats_mut(2), call.floats_mut(3));
    let clock = clock::Row::of(call, 4, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = sign * gradient[i] + weight_decay * parameter[i];
        let g_size = gradient[i].abs() + (weight_decay * parameter[i]).abs();
        let m = average[i] + rest1 * (g - average[i]);
        let (decayed, size) = (beta2 * largest[i], g.abs() + eps);
        let u = if size > decayed || size.is_nan() { size } else { decayed };
        let change = clock.number(2) * m / u;
        if magnitude {
            // Errors of g and m in the numbers that they are made of, carried to the norm and the step.
            let m_size = average[i].abs() + rest1 * g_size;
            let u_size = decayed.max(g_size + eps);
            (average[i], largest[i]) = (m_size, u_size);
            let change_size = (clock.number(2) * m_size / u).abs() + change.abs() * u_size / u;
            parameter[i] = parameter[i].abs() + change_size;
        } else {
            (average[i], largest[i], parameter[i]) = (m, u, parameter[i] + change);
        }
    }
    Ok(())
}

update! {
    /// The operation `adamax`: inputs gradient, parameter, `average`, `largest` and clock.
    ADAMAX, STEP, "adamax", "adamax.wgsl", AdamaxParams,
    state: ["average", "largest"],
    // A handful of roundings of each term; the terms can cancel.
    twin: twin, ulps: 6.0,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, -0.05, 0.0, 0.0, 0.0, 0.0, 0.0];
        let case = |name: &str, n, span: Span, clock, step: AdamaxStep| {
            super::case(name, n, &[super::ANY, super::POSITIVE], clock, step.attrs(span))
        };
        let plain = AdamaxStep { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, maximize: false };
        vec![
            case("plain", 70, Span::new(0, 68, 0), CLOCK, plain),
            case("decay", 130, Span::new(4, 120, 1), CLOCK, AdamaxStep { weight_decay: 0.1, maximize: true, ..plain }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamaxStep {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
}

impl AdamaxStep {
    fn attrs(&self, span: Span) -> Attrs {
        span.attrs()
            .float("beta1", self.beta1)
            .float("beta2", self.beta2)
            .float("eps", self.eps)
            .float("weight_decay", self.weight_decay)
            .bool("maximize", self.maximize)
    }
}

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &AdamaxStep, arena: [&Tensor; 5]) -> Result<()> {
    apply(&ADAMAX, &arena, numbers.attrs(span)).map(|_| ())
}
