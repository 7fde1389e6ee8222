//! One step of Rprop: where the gradient kept its sign the step size grows by η⁺, where it changed sign it shrinks by η⁻
//! and the gradient counts as 0; `p ← p − sign(g)·size`.
//!
//! Riedmiller and Braun (1993). <https://pytorch.org/docs/stable/generated/torch.optim.Rprop.html>

use super::{Span, clock, sign, update};
use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::ops::{Attrs, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/rprop.wgsl`.
    pub struct RpropParams {
        first: u32,
        n: u32,
        row: u32,
        shrink: f32,
        grow: f32,
        smallest: f32,
        largest: f32,
        sign: f32,
    }
}

impl RpropParams {
    fn of(attrs: &Attrs) -> RpropParams {
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        RpropParams {
            first,
            n,
            row,
            shrink: float("shrink") as f32,
            grow: float("grow") as f32,
            smallest: float("smallest") as f32,
            largest: float("largest") as f32,
            sign: sign(attrs),
        }
    }
}

fn twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &RpropParams = call.params();
    let [shrink, grow, smallest, largest, sign] = [p.shrink, p.grow, p.smallest, p.largest, p.sign].map(f64::from);
    let (gradient, mut parameter) = (call.floats(0), call.floats_mut(1));
    let (mut previous, mut size) = (call.floats_mut(2), call.floats_mut(3));
    let clock = clock::Row::of(call, 4, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let direction = |x: f64| f64::from(x > 0.0) - f64::from(x < 0.0);
        let mut g = sign * gradient[i];
        let agreement = direction(g) * direction(previous[i]);
        let factor = match agreement {
            a if a > 0.0 => grow,
            a if a < 0.0 => shrink,
            _ => 1.0,
        };
        if agreement < 0.0 {
            g = 0.0;
        }
        let step = (size[i] * factor).max(smallest).min(largest);
        (previous[i], size[i]) = (g, step);
        parameter[i] = if magnitude { parameter[i].abs() + step.abs() } else { parameter[i] - direction(g) * step };
    }
    Ok(())
}

update! {
    /// The operation `rprop`: inputs gradient, parameter, `previous`, `size` and clock.
    RPROP, STEP, "rprop", "rprop.wgsl", RpropParams,
    state: ["previous", "size"],
    // A product and a difference.
    twin: twin, ulps: 2.0,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let case = |name: &str, n, span: Span, clock, step: RpropStep| {
            super::case(name, n, &[super::ANY, super::POSITIVE], clock, step.attrs(span))
        };
        let plain = RpropStep { shrink: 0.5, grow: 1.2, smallest: 1e-6, largest: 50.0, maximize: false };
        vec![
            case("plain", 70, Span::new(0, 68, 0), CLOCK, plain),
            case("narrow", 130, Span::new(4, 120, 1), CLOCK, RpropStep { smallest: 0.2, largest: 1.5, maximize: true, ..plain }),
            case("fault", 5, Span::new(0, 4, 0), FAULT, plain),
        ]
    },
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RpropStep {
    pub shrink: f64,
    pub grow: f64,
    pub smallest: f64,
    pub largest: f64,
    pub maximize: bool,
}

impl RpropStep {
    fn attrs(&self, span: Span) -> Attrs {
        span.attrs()
            .float("shrink", self.shrink)
            .float("grow", self.grow)
            .float("smallest", self.smallest)
            .float("largest", self.largest)
            .bool("maximize", self.maximize)
    }
}

/// Runs one step.
pub(crate) fn step(span: Span, numbers: &RpropStep, arena: [&Tensor; 5]) -> Result<()> {
    apply(&RPROP, &arena, numbers.attrs(span)).map(|_| ())
}
