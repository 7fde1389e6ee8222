//! What a [`GradScaler`](crate::amp::GradScaler) does on the device: `g ← g / scale` for many gradients with a look for
//! infinities and NaN, and the next scale.
//!
//! <https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling>

use smallvec::smallvec;

use super::clip_grad::{self, ClipParams, Ranges};
use super::{Attrs, Operation, apply, cases};
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::{DType, Result};

params! {
    /// Twin of `Params` in `shaders/grad_scaler.wgsl`.
    pub struct UpdateParams {
        growth: f32,
        backoff: f32,
        interval: u32,
    }
}

static UNSCALE: Kernel = Kernel {
    name: "grad_scaler.unscale",
    source: &[include_str!("../../shaders/clip_grad.wgsl")],
    entry: "unscale",
    bindings: &[
        Binding::Read("ranges"),
        Binding::ReadWrite("clipped"),
        Binding::Read("gradient_scale"),
        Binding::ReadWrite("found"),
    ],
    params: ParamsLayout::of::<ClipParams>(),
    variants: &clip_grad::CLIPPING,
    grid: clip_grad::chunks,
    reference: unscale_twin,
    // A quotient of 2.5 ulp and a product.
    bound: |_| Bound::ulps(4.0),
};

static UPDATE: Kernel = Kernel {
    name: "grad_scaler.update",
    source: &[include_str!("../../shaders/grad_scaler.wgsl")],
    entry: "main",
    bindings: &[Binding::ReadWrite("scale"), Binding::ReadWrite("tracker"), Binding::Read("found"), Binding::FaultFlag],
    params: ParamsLayout::of::<UpdateParams>(),
    variants: Variant::ONLY,
    grid: |_| Grid::groups(1),
    reference: update_twin,
    // A product.
    bound: |_| Bound::ulps(1.0),
};

fn unscale_twin(call: &HostCall<'_>) -> Result<()> {
    let factor = 1.0 / call.floats(2)[0];
    let (mut gradient, mut found) = (call.floats_mut(1), call.words_mut(3));
    for (range, _) in clip_grad::ranges(call) {
        for g in &mut gradient[range] {
            if !g.is_finite() {
                found[0] = 1;
            }
            *g *= factor;
        }
    }
    Ok(())
}

fn update_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &UpdateParams = call.params();
    let (mut scale, mut tracker, found) = (call.floats_mut(0), call.words_mut(1), call.words(2));
    if found[0] != 0 {
        scale[0] *= f64::from(p.backoff);
        tracker[0] = 0;
        return Ok(());
    }
    tracker[0] += 1;
    if tracker[0] == p.interval {
        tracker[0] = 0;
        let grown = scale[0] * f64::from(p.growth);
        if (grown as f32).is_finite() {
            scale[0] = grown;
        }
    }
    Ok(())
}

/// The operation `unscale_`: inputs are the scale and the flag of what was found, then pairs as of `grad_norm`, whose
/// gradients change.
pub(crate) static UNSCALE_GRADS: Operation = Operation {
    name: "unscale_",
    kernels: &[&UNSCALE],
    forward: |call| {
        let (scale, found) = (call.input(0), call.input(1));
        clip_grad::each(call, 2, clip_grad::plain(0.0), |call, table, gradient, params| {
            call.dispatch_in_place(&UNSCALE, 0, &[table, gradient, scale, found], found, &params);
        });
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        use cases::{Case, EXTREME, Fill, Input};
        let case = |name: &str, scale: &'static [f64], fill| {
            let one = |values| Input::floats(&[1]).constant().fill(Fill::Values(values));
            let mut inputs = vec![one(scale), one(&[0.0]).dtype(DType::U32)];
            inputs.extend(clip_grad::two_buffers(fill));
            Case::new(name, inputs).attrs(Attrs::new().ints("chunks", [5, 1]))
        };
        vec![
            case("numbers", &[65536.0], cases::ANY),
            case("of any scale", &[3.0], cases::ANY),
            case("extreme", &[8.0], EXTREME),
            case("one infinity", &[2.0], Fill::Values(&[1.0, 2.0, 3.0, 4.0, f64::INFINITY, 5.0, 6.0])),
        ]
    },
};

/// The operation `update_scale_`: inputs are the scale, the steps since it changed, and the flag of what was found.
pub(crate) static UPDATE_SCALE: Operation = Operation {
    name: "update_scale_",
    kernels: &[&UPDATE],
    forward: |call| {
        let attrs = call.attrs();
        let params = UpdateParams {
            growth: attrs.get_float("growth_factor") as f32,
            backoff: attrs.get_float("backoff_factor") as f32,
            interval: attrs.get_int("growth_interval") as u32,
        };
        let inputs = call.inputs();
        call.dispatch(&UPDATE, 0, inputs, &params);
        inputs[..2].iter().for_each(|t| t.bump_version());
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        use cases::{Case, Fill, Input};
        let case = |name: &str, [scale, tracker, found]: [&'static [f64]; 3]| {
            let one = |values| Input::floats(&[1]).constant().fill(Fill::Values(values));
            let inputs = vec![one(scale), one(tracker).dtype(DType::U32), one(found).dtype(DType::U32)];
            Case::new(name, inputs).attrs(update_attrs(2.0, 0.5, 3))
        };
        vec![
            case("goes on", [&[65536.0], &[1.0], &[0.0]]),
            case("grows", [&[65536.0], &[2.0], &[0.0]]),
            case("falls", [&[65536.0], &[2.0], &[1.0]]),
            case("can't grow", [&[3e38], &[2.0], &[0.0]]),
        ]
    },
};

fn update_attrs(growth: f64, backoff: f64, interval: u32) -> Attrs {
    let attrs = Attrs::new().float("growth_factor", growth).float("backoff_factor", backoff);
    attrs.int("growth_interval", i64::from(interval))
}

/// Divides gradients by the scale, and sets the flag when one of their elements is no finite number.
pub(crate) fn unscale(ranges: &Ranges, scale: &Tensor, found: &Tensor) -> Result<()> {
    let inputs: Vec<&Tensor> = [scale, found].into_iter().chain(ranges.inputs()).collect();
    apply(&UNSCALE_GRADS, &inputs, Attrs::new().ints("chunks", &*ranges.chunks)).map(|_| ())
}

/// Makes the scale of the next step.
pub(crate) fn update(state: [&Tensor; 3], growth: f64, backoff: f64, interval: u32) -> Result<()> {
    apply(&UPDATE_SCALE, &state, update_attrs(growth, backoff, interval)).map(|_| ())
}
