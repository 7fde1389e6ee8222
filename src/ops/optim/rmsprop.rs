//! One step of RMSprop: `g ← g + λ·p`; `v ← α·v + (1−α)·g²`; centred `ḡ ← ḡ + (1−α)(g − ḡ)` and `a = √(v − ḡ²)`, else
//! `a = √v`; `p ← p − lr·g / (a + ε)`, or with momentum `b ← μ·b + g / (a + ε)` and `p ← p − lr·b`.
//!
//! Hinton (2012); centred: Graves (2013). <https://pytorch.org/docs/stable/generated/torch.optim.RMSprop.html>

use smallvec::smallvec;

use super::{Span, clock, sign};
use crate::Result;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::ops::{Attrs, Operation, apply};
use crate::tensor::Tensor;

params! {
    /// Twin of `Params` in `shaders/optim/rmsprop.wgsl`.
    pub struct RmspropParams {
        first: u32,
        n: u32,
        row: u32,
        alpha: f32,
        rest: f32,
        eps: f32,
        momentum: f32,
        weight_decay: f32,
        sign: f32,
    }
}

macro_rules! rmsprop_kernel {
    ($kernel:ident, $entry:literal, centered: $centered:literal, momentum: $momentum:literal, [$($more:literal),*]) => {
        static $kernel: Kernel = Kernel {
            name: concat!("rmsprop.", $entry),
            source: &[include_str!("../../../shaders/optim/rmsprop.wgsl")],
            entry: $entry,
            bindings: &[
                Binding::Read("gradient"),
                Binding::ReadWrite("parameter"),
                Binding::ReadWrite("square"),
                Binding::Read("clock"),
                $(Binding::ReadWrite($more)),*
            ],
            params: ParamsLayout::of::<RmspropParams>(),
            variants: Variant::ONLY,
            grid: |p| super::grid(p.get::<RmspropParams>().n, 2 + { const MORE: &[&str] = &[$($more),*]; MORE.len() as u64 }),
            reference: |call| twin(call, $centered, $momentum, false),
            // A root, 4 ulp, a quotient, 2.5, and a handful of roundings of terms that can cancel.
            bound: |_| Bound::Scaled { ulps: 8.0, magnitude: |call| twin(call, $centered, $momentum, true) },
        };
    };
}
rmsprop_kernel!(PLAIN, "plain", centered: false, momentum: false, []);
rmsprop_kernel!(CENTERED, "centered", centered: true, momentum: false, ["more"]);
rmsprop_kernel!(MOMENTUM, "momentum", centered: false, momentum: true, ["more"]);
rmsprop_kernel!(CENTERED_MOMENTUM, "centered_momentum", centered: true, momentum: true, ["more", "velocity"]);

fn twin(call: &HostCall<'_>, centered: bool, with_momentum: bool, magnitude: bool) -> Result<()> {
    let p: &RmspropParams = call.params();
    let [alpha, rest, eps, momentum, decay] = [p.alpha, p.rest, p.eps, p.momentum, p.weight_decay].map(f64::from);
    let (gradient, mut parameter, mut square) = (call.floats(0), call.floats_mut(1), call.floats_mut(2));
    let mut mean = centered.then(|| call.floats_mut(4));
    let mut velocity = with_momentum.then(|| call.floats_mut(if centered { 5 } else { 4 }));
    let clock = clock::Row::of(call, 3, p.row);
    if !clock.goes() {
        return Ok(());
    }
    for i in p.first as usize..(p.first + p.n) as usize {
        let g = f64::from(p.sign) * gradient[i] + decay * parameter[i];
        let g_size = gradient[i].abs() + (decay * parameter[i]).abs();
        let v = alpha * square[i] + rest * g * g;
        let v_size = alpha * square[i] + rest * g_size * g_size;
        let (mut variance, mut variance_size) = (v, v_size);
        square[i] = if magnitude { v_size } else { v };
        if let Some(mean) = &mut mean {
            let m = mean[i] + rest * (g - mean[i]);
            let m_size = mean[i].abs() + rest * g_size;
            (variance, variance_size) = (v - m * m, v_size + m_size * m_size);
            mean[i] = if magnitude { m_size } else { m };
        }
        let divisor = variance.sqrt() + eps;
        // The error of a difference of squares counts by how much smaller than its terms it is.
        let scaled_size = g_size / divisor * (1.0 + variance_size / variance);
        let mut scaled = if magnitude { scaled_size } else { g / divisor };
        if let Some(velocity) = &mut velocity {
            let kept = momentum * velocity[i];
            scaled += if magnitude { kept.abs() } else { kept };
            velocity[i] = scaled;
        }
        let change = clock.number(2) * scaled;
        parameter[i] = if magnitude { parameter[i].abs() + change.abs() } else { parameter[i] + change };
    }
    Ok(())
}

/// The numbers of one step; the learning rate comes from the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmspropStep {
    pub alpha: f64,
    pub eps: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub centered: bool,
    pub maximize: bool,
}

impl RmspropStep {
    fn attrs(&self, span: Span) -> Attrs {
        let attrs = span.attrs().float("alpha", self.alpha).float("eps", self.eps).float("momentum", self.momentum);
        let attrs = attrs.float("weight_decay", self.weight_decay);
        attrs.bool("centered", self.centered).bool("maximize", self.maximize)
    }
}

/// The operation `rmsprop`: inputs gradient, parameter, average square, clock, then the average where it is centred,
/// then the momentum where there is one; changes all but gradient and clock.
pub(crate) static RMSPROP: Operation = Operation {
    name: "rmsprop",
    kernels: &[&PLAIN, &CENTERED, &MOMENTUM, &CENTERED_MOMENTUM],
    forward: |call| {
        let attrs = call.attrs();
        let [first, n, row] = Span::of(attrs);
        let float = |name| attrs.get_float(name);
        let params = RmspropParams {
            first,
            n,
            row,
            alpha: float("alpha") as f32,
            rest: (1.0 - float("alpha")) as f32,
            eps: float("eps") as f32,
            momentum: float("momentum") as f32,
            weight_decay: float("weight_decay") as f32,
            sign: sign(attrs),
        };
        let kernel = match (attrs.get_bool("centered"), float("momentum") > 0.0) {
            (false, false) => &PLAIN,
            (true, false) => &CENTERED,
            (false, true) => &MOMENTUM,
            (true, true) => &CENTERED_MOMENTUM,
        };
        let inputs = call.inputs();
        call.dispatch(kernel, 0, inputs, &params);
        inputs[1..].iter().enumerate().filter(|(i, _)| *i != 2).for_each(|(_, t)| t.bump_version());
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        const CLOCK: &[f64] = &[3.0, 1.0, -0.01, 0.0, 0.0, 0.0, 0.0, 0.0];
        const FAULT: &[f64] = &[3.0, 0.0, -0.01, 0.0, 0.0, 0.0, 0.0, 0.0];
        // Variances are positive: the square of a centred average is smaller than the average square.
        const MEAN: (f64, f64) = (-0.5, 0.5);
        const SQUARE: (f64, f64) = (0.5, 2.0);
        let plain =
            RmspropStep { alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0, centered: false, maximize: false };
        let decay = RmspropStep { weight_decay: 0.1, maximize: true, ..plain };
        let case = |name: &str, n, span: Span, clock, more: &[(f64, f64)], step: RmspropStep| {
            let mut case = super::case(name, n, &[SQUARE], clock, step.attrs(span));
            let flat = case.inputs[0].clone();
            let fill = |&(low, high): &(f64, f64)| flat.clone().fill(crate::ops::cases::Fill::Uniform(low, high));
            case.inputs.extend(more.iter().map(fill));
            case
        };
        let momentum = RmspropStep { momentum: 0.9, ..plain };
        vec![
            case("plain", 70, Span::new(0, 68, 0), CLOCK, &[], plain),
            case("decay", 130, Span::new(4, 120, 1), CLOCK, &[], decay),
            case("centered", 70, Span::new(4, 64, 0), CLOCK, &[MEAN], RmspropStep { centered: true, ..decay }),
            case("momentum", 70, Span::new(0, 68, 0), CLOCK, &[super::ANY], momentum),
            case(
                "centered momentum",
                129,
                Span::new(64, 64, 1),
                CLOCK,
                &[MEAN, super::ANY],
                RmspropStep { centered: true, ..momentum },
            ),
            case("fault", 5, Span::new(0, 4, 0), FAULT, &[super::ANY], momentum),
        ]
    },
};

/// Runs one step. Gradient, parameter, average square and clock, then the average, then the momentum, as far as there
/// are any.
pub(crate) fn step(span: Span, numbers: &RmspropStep, arena: &[&Tensor]) -> Result<()> {
    apply(&RMSPROP, arena, numbers.attrs(span)).map(|_| ())
}
