//! The clocks of an optimiser: what changes from step to step, on the device, a row of eight numbers for each parameter.
//!
//! A clock counts the updates that took place. After a bad index, or when a scaled gradient is no number, it stands still
//! and tells the update to do nothing, so that step counts, bias corrections and schedules of momentum are those of a run
//! without the faulty batch. Update kernels read everything that changes from here, and nothing is read back.
//!
//! `1 − βᵗ` is computed as `−expm1(t·log1p(−(1−β)))` from `1 − β`: a power of an f32 β near 1 would have few digits.

use smallvec::{SmallVec, smallvec};

use super::Attrs;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, Params, ParamsLayout, Variant};
use crate::ops::{Operation, apply, cases};
use crate::tensor::Tensor;
use crate::{DType, Result};

/// Numbers of a row.
pub(crate) const ROW: usize = 8;
/// Updates so far.
pub(crate) const STEP: usize = 0;
/// Whether the update takes place (1) or there was a bad index (0).
pub(crate) const GO: usize = 1;
/// NAdam's product of all μ, ASGD's η: what a step keeps for the next.
pub(crate) const KEPT: usize = 6;

params! {
    /// Twin of `Params` in `shaders/optim/clock.wgsl`.
    pub struct ClockParams {
        first: u32,
        n: u32,
        lr: f32,
        lr_decay: f32,
        rest1: f32,
        rest2: f32,
        keep: f32,
        momentum_decay: f32,
        lambd: f32,
        alpha: f32,
        t0: f32,
        has_found: u32,
    }
}

macro_rules! clock_kernel {
    ($kernel:ident, $entry:literal, $twin:expr, $bound:expr) => {
        static $kernel: Kernel = Kernel {
            name: concat!("clock.", $entry),
            source: &[include_str!("../../../shaders/optim/clock.wgsl")],
            entry: $entry,
            bindings: &[Binding::ReadWrite("clock"), Binding::Read("found"), Binding::FaultFlag],
            params: ParamsLayout::of::<ClockParams>(),
            variants: Variant::ONLY,
            grid,
            reference: |call| twin(call, $twin),
            bound: |_| $bound,
        };
    };
}

fn grid(params: &Params<'_>) -> Grid {
    Grid::elements(params.get::<ClockParams>().n)
}

// A product, a sum and a quotient.
clock_kernel!(COUNT, "count", count, Bound::ulps(6.0));
// 1.5 ulp of the logarithm, whose error shrinks on the way, 1.4 of expm1, a product and a quotient.
clock_kernel!(ADAM, "adam", adam, Bound::ulps(8.0));
// In 1 − μ and 1 − product, which are at least a half and a quarter for β₁ up to 0.9, errors of about an ulp count twice.
clock_kernel!(NADAM, "nadam", nadam, Bound::ulps(16.0));
// The length of the average comes from terms up to eight times as large, and 4 is taken from it, when it is over 5.
clock_kernel!(RADAM, "radam", radam, Bound::ulps(48.0));
// A power of a number near 1, 1.5 ulp, and a quotient.
clock_kernel!(ASGD, "asgd", asgd, Bound::ulps(8.0));

fn twin(call: &HostCall<'_>, numbers: fn(&ClockParams, &mut [f64])) -> Result<()> {
    let p: &ClockParams = call.params();
    let stands = p.has_found != 0 && call.words(1)[0] != 0;
    let mut clock = call.floats_mut(0);
    for row in p.first as usize..(p.first + p.n) as usize {
        let row = &mut clock[row * ROW..(row + 1) * ROW];
        if stands {
            row[GO] = 0.0;
            continue;
        }
        row[STEP] += 1.0;
        // A bad index ends the run on the reference.
        row[GO] = 1.0;
        numbers(p, row);
    }
    Ok(())
}

fn count(p: &ClockParams, row: &mut [f64]) {
    row[2] = -f64::from(p.lr) / (1.0 + (row[STEP] - 1.0) * f64::from(p.lr_decay));
}

/// βᵗ.
fn power(rest: f32, t: f64) -> f64 {
    (1.0 - f64::from(rest)).powf(t)
}

fn adam(p: &ClockParams, row: &mut [f64]) {
    let t = row[STEP];
    row[2] = -f64::from(p.lr) / (1.0 - power(p.rest1, t));
    row[3] = (1.0 - power(p.rest2, t)).sqrt();
    row[4] = f64::from(p.keep);
}

fn nadam(p: &ClockParams, row: &mut [f64]) {
    let (t, lr) = (row[STEP], f64::from(p.lr));
    let mu = |t: f64| (1.0 - f64::from(p.rest1)) * (1.0 - 0.5 * (t * f64::from(p.momentum_decay)).exp());
    let (now, next) = (mu(t), mu(t + 1.0));
    let product = row[KEPT] * now;
    row[2] = -lr * (1.0 - now) / (1.0 - product);
    row[3] = (1.0 - power(p.rest2, t)).sqrt();
    row[4] = f64::from(p.keep);
    row[5] = -lr * next / (1.0 - product * next);
    row[KEPT] = product;
}

fn radam(p: &ClockParams, row: &mut [f64]) {
    let t = row[STEP];
    let step_size = -f64::from(p.lr) / (1.0 - power(p.rest1, t));
    let longest = 2.0 / f64::from(p.rest2) - 1.0;
    let left = power(p.rest2, t);
    let length = longest - 2.0 * t * left / (1.0 - left);
    let rectified = length > 5.0;
    let rectify = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length);
    row[2] = if rectified { step_size * (rectify * (1.0 - left)).sqrt() } else { step_size };
    row[3] = f64::from(rectified);
    row[4] = f64::from(p.keep);
}

fn asgd(p: &ClockParams, row: &mut [f64]) {
    let [lr, lambd] = [p.lr, p.lambd].map(f64::from);
    (row[2], row[3], row[4]) = (-row[KEPT], row[KEPT + 1], 1.0 - lambd * row[KEPT]);
    row[KEPT] = lr / (1.0 + lambd * lr * row[STEP]).powf(f64::from(p.alpha));
    row[KEPT + 1] = 1.0 / (row[STEP] - f64::from(p.t0)).max(1.0);
}

/// A clock's row, as the twin of an update reads it.
pub(super) struct Row([f64; ROW]);

impl Row {
    /// From binding `i` of a call, where the row starts at element `start`.
    pub fn of(call: &HostCall<'_>, i: usize, start: u32) -> Row {
        let clock = call.floats(i);
        Row(std::array::from_fn(|k| clock[start as usize + k]))
    }

    /// Whether the update takes place.
    pub fn goes(&self) -> bool {
        self.0[GO] != 0.0
    }

    /// The number of this update, from 1.
    pub fn step(&self) -> f64 {
        self.0[STEP]
    }

    /// Number `k` of the row.
    pub fn number(&self, k: usize) -> f64 {
        self.0[k]
    }
}

/// Which numbers a clock has beside the count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// `−lr / (1 + (t−1)·decay)`.
    Count { decay: f64 },
    /// `−lr / (1−β₁ᵗ)`, `√(1−β₂ᵗ)`, and what weight decay leaves.
    Adam { betas: (f64, f64), keep: f64 },
    /// The factors of the gradient and of the momentum, and Adam's others.
    Nadam { betas: (f64, f64), keep: f64, momentum_decay: f64 },
    /// The rectified step size, whether it is rectified, and what weight decay leaves.
    Radam { betas: (f64, f64), keep: f64 },
    /// `−η`, μ, and what decay leaves.
    Asgd { lambd: f64, alpha: f64, t0: f64 },
}

/// NAdam's schedule of the momentum falls by this power.
const NADAM_BASE: f64 = 0.96;

/// The operation `optimizer_clock`: inputs are the clocks, which are changed, something to bind, and perhaps the flag of a
/// gradient that is no number, with which the clocks stand still.
pub(crate) static CLOCK: Operation = Operation {
    name: "optimizer_clock",
    kernels: &[&COUNT, &ADAM, &NADAM, &RADAM, &ASGD],
    forward: |call| {
        let attrs = call.attrs();
        let &[first, n] = attrs.get_ints("rows") else { unreachable!("rows are given by two numbers") };
        let float = |name: &str| attrs.get(name).map_or(0.0, |_| attrs.get_float(name));
        let params = ClockParams {
            first: first as u32,
            n: n as u32,
            lr: float("lr") as f32,
            lr_decay: float("lr_decay") as f32,
            rest1: (1.0 - float("beta1")) as f32,
            rest2: (1.0 - float("beta2")) as f32,
            keep: float("keep") as f32,
            momentum_decay: (float("momentum_decay") * NADAM_BASE.ln()) as f32,
            lambd: float("lambd") as f32,
            alpha: float("alpha") as f32,
            t0: float("t0") as f32,
            has_found: u32::from(call.inputs().len() == 3),
        };
        let kernel = match attrs.get_str("numbers") {
            "adam" => &ADAM,
            "nadam" => &NADAM,
            "radam" => &RADAM,
            "asgd" => &ASGD,
            _ => &COUNT,
        };
        let (clock, found) = (call.input(0), call.input(call.inputs().len() - 1));
        call.dispatch_in_place(kernel, 0, &[clock, found], clock, &params);
        Ok(smallvec![])
    },
    vjp: None,
    cases: clock_cases,
};

fn clock_cases() -> Vec<cases::Case> {
    let case = |name: &str, rows: usize, (first, n), values: &'static [f64], numbers| {
        let clock = cases::Input::floats(&[rows * ROW]).constant().fill(cases::Fill::Values(values));
        let flat = cases::Input::floats(&[4]).constant();
        cases::Case::new(name, vec![clock, flat]).attrs(attrs(first, n, 0.01, numbers))
    };
    let with_found = |name: &str, found: &'static [f64], numbers| {
        let mut case = case(name, 2, (0, 2), LATER, numbers);
        let flag = cases::Input::floats(&[1]).constant().fill(cases::Fill::Values(found)).dtype(DType::U32);
        case.inputs.push(flag);
        case
    };
    const FRESH: &[f64] = &[0.0; ROW];
    const LATER: &[f64] = &[41.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 100_000.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.125, 1.0];
    // Steps on both sides of where RAdam begins to rectify, and of where its series ends.
    const MANY: &[f64] = &[
        4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 498.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        1.0, 1.0, 499.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0,
    ];
    let betas = (0.9, 0.999);
    let nadam = Numbers::Nadam { betas, keep: 0.999, momentum_decay: 4e-3 };
    let asgd = Numbers::Asgd { lambd: 1e-4, alpha: 0.75, t0: 20.0 };
    vec![
        case("count", 3, (0, 3), FRESH, Numbers::Count { decay: 0.0 }),
        case("decay", 70, (2, 67), LATER, Numbers::Count { decay: 0.1 }),
        case("adam first", 1, (0, 1), FRESH, Numbers::Adam { betas, keep: 1.0 }),
        case("adam", 5, (1, 3), LATER, Numbers::Adam { betas, keep: 0.999 }),
        case("adam without memory", 2, (0, 2), LATER, Numbers::Adam { betas: (0.0, 0.0), keep: 1.0 }),
        case("nadam first", 1, (0, 1), &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], nadam),
        case("nadam", 4, (0, 4), LATER, nadam),
        case("radam first", 1, (0, 1), FRESH, Numbers::Radam { betas, keep: 1.0 }),
        case("radam", 4, (0, 4), MANY, Numbers::Radam { betas, keep: 0.99 }),
        case("radam late", 2, (0, 2), LATER, Numbers::Radam { betas, keep: 1.0 }),
        case("radam short", 4, (0, 4), MANY, Numbers::Radam { betas: (0.5, 0.9), keep: 1.0 }),
        case("asgd", 2, (0, 2), LATER, asgd),
        with_found("a gradient is no number", &[1.0], Numbers::Adam { betas, keep: 0.999 }),
        with_found("all gradients are numbers", &[0.0], nadam),
    ]
}

fn attrs(first: usize, n: usize, lr: f64, numbers: Numbers) -> Attrs {
    let attrs = Attrs::new().ints("rows", [first as i64, n as i64]).float("lr", lr);
    let adam = |attrs: Attrs, (beta1, beta2): (f64, f64), keep: f64| {
        attrs.float("beta1", beta1).float("beta2", beta2).float("keep", keep)
    };
    match numbers {
        Numbers::Count { decay } => attrs.str("numbers", "count").float("lr_decay", decay),
        Numbers::Adam { betas, keep } => adam(attrs.str("numbers", "adam"), betas, keep),
        Numbers::Radam { betas, keep } => adam(attrs.str("numbers", "radam"), betas, keep),
        Numbers::Nadam { betas, keep, momentum_decay } => {
            adam(attrs.str("numbers", "nadam"), betas, keep).float("momentum_decay", momentum_decay)
        }
        Numbers::Asgd { lambd, alpha, t0 } => {
            attrs.str("numbers", "asgd").float("lambd", lambd).float("alpha", alpha).float("t0", t0)
        }
    }
}

/// Advances `n` rows from `first`, unless the flag is set. Without one `any` is bound in its place.
pub(crate) fn tick(
    clock: &Tensor,
    (first, n): (usize, usize),
    lr: f64,
    numbers: Numbers,
    any: &Tensor,
    found: Option<&Tensor>,
) -> Result<()> {
    let inputs: SmallVec<[&Tensor; 3]> = [clock, any].into_iter().chain(found).collect();
    apply(&CLOCK, &inputs, attrs(first, n, lr, numbers)).map(|_| ())
}
