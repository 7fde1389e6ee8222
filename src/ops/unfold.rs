//! `unfold`: windows of a dim, as a view with one dim more. The gradient of an element is the sum over the windows that
//! hold it.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.unfold.html>

use smallvec::smallvec;

use super::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::shape::{dim_index, numel};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/unfold.wgsl`.
    pub struct UnfoldParams {
        n: u32,
        length: u32,
        inner: u32,
        windows: u32,
        size: u32,
        step: u32,
        g_offset: u32,
        result_offset: u32,
    }
}

static BACKWARD: Kernel = Kernel {
    name: "unfold.backward",
    source: &[include_str!("../../shaders/unfold.wgsl")],
    entry: "backward",
    bindings: &[Binding::Read("g"), Binding::Write("dx")],
    params: ParamsLayout::of::<UnfoldParams>(),
    variants: Variant::ONLY,
    grid: |p| {
        let p: &UnfoldParams = p.get();
        Grid::elements(p.n).work(u64::from(p.n) * u64::from(8 + p.size.div_ceil(p.step)))
    },
    reference: twin,
    // A sum of as many terms as windows lie over each other.
    bound: |p| {
        let p: &UnfoldParams = p.get();
        Bound::Magnitude { ulps: 1.0 + f64::from(p.size.div_ceil(p.step).min(p.windows)).sqrt() }
    },
};

/// Every element of every window back to where it came from.
fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &UnfoldParams = call.params();
    let (g, mut dx) = (call.floats(0), call.floats_mut(1));
    (0..p.n).for_each(|i| dx[(p.result_offset + i) as usize] = 0.0);
    let outer = if p.n == 0 { 0 } else { p.n / (p.length * p.inner) };
    for o in 0..outer {
        for w in 0..p.windows {
            for inner in 0..p.inner {
                for j in 0..p.size {
                    let from = ((o * p.windows + w) * p.inner + inner) * p.size + j;
                    let to = (o * p.length + w * p.step + j) * p.inner + inner;
                    dx[(p.result_offset + to) as usize] += g[(p.g_offset + from) as usize];
                }
            }
        }
    }
    Ok(())
}

/// Dim, size and step.
fn window(attrs: &Attrs) -> (usize, usize, usize) {
    let &[dim, size, step] = attrs.get_ints("window") else { unreachable!("a window has three numbers") };
    (dim as usize, size as usize, step as usize)
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    let (d, size, step) = window(call.attrs());
    let (length, stride) = (x.shape().get(d).copied().unwrap_or(1), x.strides().get(d).copied().unwrap_or(1));
    if size > length || step == 0 {
        let detail = format!("windows of {size} in steps of {step} do not fit dim {d} of shape {:?}", x.shape());
        return Err(Error::argument("unfold", detail));
    }
    let (mut shape, mut strides): (Shape, Shape) = (x.shape().into(), x.strides().into());
    if x.dim() > 0 {
        (shape[d], strides[d]) = ((length - size) / step + 1, stride * step);
    }
    shape.push(size);
    strides.push(stride);
    Ok(smallvec![x.view_as_layout(Layout { shape, strides, offset: x.offset() })])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let shape = v.input_shape(0);
    let (d, size, step) = window(v.attrs());
    let g = v.gradient().try_contiguous()?;
    let dx = v.gradient_output(0);
    let length = shape.get(d).copied().unwrap_or(1);
    let params = UnfoldParams {
        n: numel(shape) as u32,
        length: length as u32,
        inner: numel(&shape[(d + 1).min(shape.len())..]) as u32,
        windows: ((length - size) / step + 1) as u32,
        size: size as u32,
        step: step as u32,
        g_offset: g.offset() as u32,
        result_offset: dx.offset() as u32,
    };
    v.dispatch(&BACKWARD, 0, &[&g, &dx], &params);
    Ok(smallvec![Some(dx)])
}

/// The operation `unfold`.
pub(crate) static UNFOLD: Operation =
    Operation { name: "unfold", kernels: &[&BACKWARD], forward, vjp: Some(vjp), cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let case = |name: &str, x: Input, dim: i64, size: i64, step: i64| {
        Case::new(name, vec![x]).attrs(Attrs::new().ints("window", [dim, size, step]))
    };
    vec![
        case("overlapping", Input::floats(&[7]), 0, 3, 1),
        case("side by side", Input::floats(&[6]), 0, 2, 2),
        case("with gaps", Input::floats(&[9]), 0, 2, 4),
        case("middle", Input::floats(&[2, 6, 3]), 1, 4, 2),
        case("all", Input::floats(&[2, 5]), 1, 5, 1),
        case("nothing in a window", Input::floats(&[2, 3]), 1, 0, 1),
        case("0-d", Input::floats(&[]), 0, 1, 1),
        case("empty", Input::floats(&[0, 5]), 1, 2, 1),
        case("transposed", Input::floats(&[5, 4]).arranged(Arrangement::Transposed), 0, 3, 1),
        case("large", Input::floats(&[5, 300]), 1, 200, 1).no_gradcheck(),
        case("i32", Input::ints(&[7], -9, 9), 0, 3, 2),
        case("too large", Input::floats(&[3]), 0, 4, 1).fails(),
        case("no step", Input::floats(&[3]), 0, 2, 0).fails(),
    ]
}

methods! {
    /// Windows of `size` neighbours along a dim, one every `step` elements: the dim becomes the number of the window, and a new
    /// last dim its elements. A view.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 5.0, 1.0);
    /// assert_eq!(x.unfold(0, 3, 2).to_vec::<f32>()?, [0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim has fewer than `size` elements, or the step is 0.
    pub fn unfold / try_unfold (&self, dim: i64, size: usize, step: usize) -> Tensor {
        let d = dim_index("unfold", dim, self.dim())?;
        single(apply(&UNFOLD, &[self], Attrs::new().ints("window", [d as i64, size as i64, step as i64])))
    }
}
