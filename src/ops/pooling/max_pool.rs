//! `max_pool2d` and its company: the largest element of every window, and where in its plane it lies. Of equal elements
//! the first is taken, and a NaN over everything before it; the gradient goes to the element that was taken. `min_pool2d`
//! is `-max_pool2d(-x)`.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html>,
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_max_pool2d.html>

use smallvec::smallvec;

use super::max_pool_cases::{adaptive_cases, window_cases};
use super::max_pool_quads::{
    BACKWARD_QUADS, BACKWARD_THREES, FORWARD_QUADS, HALF_BACKWARD_QUADS, HALF_BACKWARD_THREES, HALF_FORWARD_QUADS,
    HALF_VALUES_QUADS, VALUES_QUADS,
};
use super::{
    OutputSize, Pool, PoolParams, by_group_grid, by_thread_grid, contiguous, of_type, rows_of, sizes_or, windows_along,
};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, Params, ParamsLayout, Variant};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, methods, pair};
use crate::tensor::Tensor;
use crate::tensor::shape::numel;
use crate::{Error, PerDim, Result};

/// The arguments of a maximum over windows besides their size; the defaults are PyTorch's.
///
/// ```
/// use lumigrad::{MaxPoolOptions, prelude::*};
/// let x = Tensor::zeros(&[1, 3, 112, 112]);
/// assert_eq!(x.max_pool2d_with(3, &MaxPoolOptions::new().stride(2).padding(1)).shape(), [1, 3, 56, 56]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPoolOptions<const N: usize> {
    /// Steps between windows; `None`: the size of a window.
    pub stride: Option<[usize; N]>,
    /// Elements around the input that lose against every other; at most half of a window.
    pub padding: [usize; N],
    /// Steps between the elements of a window.
    pub dilation: [usize; N],
    /// Whether the last window may reach out of the input.
    pub ceil_mode: bool,
}

impl<const N: usize> MaxPoolOptions<N> {
    /// Windows side by side, no padding, no dilation.
    pub fn new() -> Self {
        MaxPoolOptions { stride: None, padding: [0; N], dilation: [1; N], ceil_mode: false }
    }

    /// Steps between windows.
    pub fn stride(self, stride: impl Into<PerDim<N>>) -> Self {
        Self { stride: Some(stride.into().0), ..self }
    }

    /// Elements around the input that lose against every other.
    pub fn padding(self, padding: impl Into<PerDim<N>>) -> Self {
        Self { padding: padding.into().0, ..self }
    }

    /// Steps between the elements of a window.
    pub fn dilation(self, dilation: impl Into<PerDim<N>>) -> Self {
        Self { dilation: dilation.into().0, ..self }
    }

    /// Whether the last window may reach out of the input.
    pub fn ceil_mode(self, ceil_mode: bool) -> Self {
        Self { ceil_mode, ..self }
    }
}

impl<const N: usize> Default for MaxPoolOptions<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// LEAST: the least element is wanted. KIND: floats.
macro_rules! items {
    ($least:literal, $adaptive:literal) => {
        &[
            Item::Alias("elem", "f32"),
            Item::Const("KIND", 0),
            Item::Const("LEAST", $least),
            Item::Const("ADAPTIVE", $adaptive),
        ]
    };
}

/// In the order of [`Kind`].
const VARIANTS: &[Variant] =
    &[Variant::new("max", items!(0, 0)), Variant::new("min", items!(1, 0)), Variant::new("adaptive", items!(0, 1))];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Max,
    Min,
    Adaptive,
}

macro_rules! forward_kernel {
    ($entry:literal, $grid:expr, $($binding:literal),*) => {
        Kernel {
            name: concat!("max_pool.", $entry),
            source: &[include_str!("../../../shaders/pooling/max_pool.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), $(Binding::Write($binding)),*],
            params: ParamsLayout::of::<PoolParams>(),
            variants: VARIANTS,
            grid: $grid,
            reference: |call| {
                twin(call, call.variant() == Kind::Min as usize, call.variant() == Kind::Adaptive as usize)
            },
            bound: |_| Bound::Exact,
        }
    };
}

static FORWARD: Kernel = forward_kernel!("forward", by_thread_grid, "y", "indices");
static VALUES: Kernel = forward_kernel!("values", by_thread_grid, "y");
static BY_GROUP: Kernel = forward_kernel!("by_group", by_group_grid, "y", "indices");

pub(super) fn twin(call: &HostCall<'_>, least: bool, adaptive: bool) -> Result<()> {
    let p: &PoolParams = call.params();
    let x = call.floats(0);
    for (i, plane, o) in p.all_windows(p.n) {
        let (mut best, mut index) = (if least { f64::INFINITY } else { f64::NEG_INFINITY }, -1);
        for at in p.elements(o, adaptive) {
            let v = x[p.input(plane, at)];
            if index < 0 || v.is_nan() || (if least { v < best } else { v > best }) {
                (best, index) = (v, (at[0] * p.size[1] + at[1]) as i32);
            }
        }
        call.floats_mut(1)[i] = best;
        if call.operands() == 3 {
            call.ints_mut(2)[i] = index;
        }
    }
    Ok(())
}

/// Half an ulp an addition, and half for the twin's own rounding.
pub(super) fn backward_bound(params: &Params<'_>) -> Bound {
    Bound::Magnitude { ulps: 0.5 * params.get::<PoolParams>().overlap() }
}

macro_rules! backward_kernel {
    ($entry:literal, $variants:expr) => {
        Kernel {
            name: concat!("max_pool.", $entry),
            source: &[include_str!("../../../shaders/pooling/max_pool_backward.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("g"), Binding::Read("indices"), Binding::Write("dx")],
            params: ParamsLayout::of::<PoolParams>(),
            variants: $variants,
            grid: |p| {
                let p: &PoolParams = p.get();
                Grid::elements(p.n).work(u64::from(p.n) * (p.overlap() as u64 + 8) * 4)
            },
            reference: backward_twin,
            bound: backward_bound,
        }
    };
}

const WINDOWS: Variant = Variant::new("windows", &[Item::Const("ADAPTIVE", 0)]);
const ADAPTIVE: Variant = Variant::new("adaptive", &[Item::Const("ADAPTIVE", 1)]);

static BACKWARD: Kernel = backward_kernel!("backward", &[WINDOWS, ADAPTIVE]);
static BACKWARD_CELLS: Kernel = backward_kernel!("backward_cells", &[WINDOWS]);

pub(super) fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &PoolParams = call.params();
    let (g, indices, mut dx) = (call.floats(0), call.ints(1), call.floats_mut(2));
    let (first, plane) = (p.result_offset as usize, (p.size[0] * p.size[1]) as usize);
    dx[first..first + p.planes as usize * plane].fill(0.0);
    for (i, number, _) in p.all_windows(p.planes * p.windows[0] * p.windows[1]) {
        // A window of padding alone has no element.
        if let Ok(index) = usize::try_from(indices[i]) {
            dx[first + number as usize * plane + index] += g[p.offset as usize + i];
        }
    }
    Ok(())
}

fn pool(call: &mut Call<'_>, kind: Kind) -> Result<Outputs> {
    let x = call.input(0);
    if !x.dtype().is_float() {
        return Err(Error::dtype(call.op(), format!("takes floats, not {}; convert with `.to_dtype(..)`", x.dtype())));
    }
    let pool = Pool::new(call.op(), x.shape(), call.attrs())?;
    pool.check_limits(call.op(), call.is_recording())?;
    let (shape, dtype) = (pool.output_shape(x.shape()), x.dtype());
    let params_of = |x: &Tensor| {
        let params = pool.params(x, numel(&shape), 0);
        let quads = if pool.adaptive { None } else { params.quads_variant(kind == Kind::Min, x.dtype()) };
        (params, quads)
    };
    let wide;
    let (x, (params, quads)) = match params_of(x) {
        // The kernels for any windows take f32.
        (_, None) if dtype.is_half() => {
            wide = x.detach().try_to_dtype(DType::F32)?;
            (&wide, params_of(&wide))
        }
        found => (x, found),
    };
    let y = call.output(x.dtype(), &shape);
    let half = x.dtype().is_half();
    let wanted = call.attrs().get_bool("return_indices");
    if !wanted && !call.is_recording() && !pool.by_group() {
        let (kernel, variant) = match quads {
            Some(variant) => (if half { &HALF_VALUES_QUADS } else { &VALUES_QUADS }, variant),
            None => (&VALUES, kind as usize),
        };
        call.dispatch(kernel, variant, &[x, &y], &params);
        return Ok(smallvec![of_type(call, y, dtype)?]);
    }
    let indices = call.output(DType::I32, &shape);
    let (kernel, variant) = match quads {
        Some(variant) => (if half { &HALF_FORWARD_QUADS } else { &FORWARD_QUADS }, variant),
        None => (if pool.by_group() { &BY_GROUP } else { &FORWARD }, kind as usize),
    };
    call.dispatch(kernel, variant, &[x, &y, &indices], &params);
    call.save(&indices);
    let y = of_type(call, y, dtype)?;
    Ok(if wanted { smallvec![y, indices] } else { smallvec![y] })
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let pool = Pool::new("max_pool2d", v.input_shape(0), v.attrs())?;
    let (mut g, indices) = (contiguous(v.gradient())?, v.saved(0));
    let mut dx = v.gradient_output(0);
    let mut params = pool.backward_params(&g, &dx);
    let mut fours = params.backward_by_fours(g.dtype()).filter(|_| pool.cells().is_some());
    if g.dtype().is_half() && fours.is_none() {
        (g, dx) = (g.try_to_dtype(DType::F32)?, v.output(DType::F32, dx.shape()));
        params = pool.backward_params(&g, &dx);
        fours = params.backward_by_fours(DType::F32).filter(|_| pool.cells().is_some());
    }
    let (kernel, variant) = match (fours, pool.cells()) {
        (Some(found), _) => {
            params.n = params.planes * params.windows[0] * params.windows[1];
            found
        }
        (None, Some(cells)) => {
            params.n = params.planes * cells as u32;
            (&BACKWARD_CELLS, 0)
        }
        (_, None) => (&BACKWARD, usize::from(pool.adaptive)),
    };
    v.dispatch(kernel, variant, &[&g, &indices, &dx], &params);
    Ok(smallvec![Some(dx)])
}

/// The operation `max_pool2d`: the values, and with `return_indices` the positions.
pub(crate) static MAX_POOL2D: Operation = Operation {
    name: "max_pool2d",
    kernels: &[
        &FORWARD,
        &VALUES,
        &FORWARD_QUADS,
        &VALUES_QUADS,
        &BY_GROUP,
        &BACKWARD,
        &BACKWARD_CELLS,
        &BACKWARD_QUADS,
        &BACKWARD_THREES,
        &HALF_FORWARD_QUADS,
        &HALF_VALUES_QUADS,
        &HALF_BACKWARD_QUADS,
        &HALF_BACKWARD_THREES,
    ],
    forward: |call| pool(call, Kind::Max),
    vjp: Some(vjp),
    cases: window_cases,
};

/// The operation `min_pool2d`; the kernels are those of `max_pool2d`.
pub(crate) static MIN_POOL2D: Operation = Operation {
    name: "min_pool2d",
    kernels: &[],
    forward: |call| pool(call, Kind::Min),
    vjp: Some(vjp),
    cases: window_cases,
};

/// The operation `adaptive_max_pool2d`; the kernels are those of `max_pool2d`.
pub(crate) static ADAPTIVE_MAX_POOL2D: Operation = Operation {
    name: "adaptive_max_pool2d",
    kernels: &[],
    forward: |call| pool(call, Kind::Adaptive),
    vjp: Some(vjp),
    cases: adaptive_cases,
};

pub(super) fn window_attrs(kernel: [usize; 2], options: &MaxPoolOptions<2>, return_indices: bool) -> Attrs {
    Attrs::new()
        .sizes("kernel_size", &kernel)
        .sizes("stride", &options.stride.unwrap_or(kernel))
        .sizes("padding", &options.padding)
        .sizes("dilation", &options.dilation)
        .bool("ceil_mode", options.ceil_mode)
        .bool("return_indices", return_indices)
}

pub(super) fn adaptive_attrs(size: [usize; 2], return_indices: bool) -> Attrs {
    Attrs::new().sizes("output_size", &size).bool("return_indices", return_indices)
}

/// The values.
fn values(operation: &'static Operation, x: &Tensor, attrs: Attrs) -> Result<Tensor> {
    crate::ops::single(apply(operation, &[x], attrs))
}

/// A row as a plane, with the attributes for it.
fn rows(
    op: &'static str,
    x: &Tensor,
    kernel: usize,
    options: &MaxPoolOptions<1>,
    return_indices: bool,
) -> Result<(Tensor, Attrs)> {
    let planes = rows_of(op, x)?;
    let stride = options.stride.map_or(kernel, |s| s[0]);
    let ([padding], [dilation]) = (options.padding, options.dilation);
    // Mistakes are told of what the caller sees: one dim.
    let size = x.shape()[x.dim() - 1];
    windows_along(op, x.shape(), size, kernel, stride, padding, dilation, options.ceil_mode)?;
    let options = MaxPoolOptions {
        stride: Some([1, stride]),
        padding: [0, padding],
        dilation: [1, dilation],
        ceil_mode: options.ceil_mode,
    };
    Ok((planes, window_attrs([1, kernel], &options, return_indices)))
}

methods! {
    /// The largest element of every window of `kernel_size` along the last dim: `[N, C, L]` or `[C, L]` to as many windows
    /// as fit side by side.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 4.0], &[1, 4]);
    /// assert_eq!(x.max_pool1d(2).to_vec::<f32>()?, [5.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn max_pool1d / try_max_pool1d (&self, kernel_size: usize) -> Tensor {
        self.try_max_pool1d_with(kernel_size, &MaxPoolOptions::new())
    }

    /// [`Self::max_pool1d`] with other steps, padding or dilation.
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn max_pool1d_with / try_max_pool1d_with (&self, kernel_size: usize, options: &MaxPoolOptions<1>) -> Tensor {
        let (planes, attrs) = rows("max_pool1d", self, kernel_size, options, false)?;
        values(&MAX_POOL2D, &planes, attrs)?.try_squeeze_dim(-2)
    }

    /// [`Self::max_pool1d_with`], and the positions (i32) of the elements in their dim.
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn max_pool1d_with_indices / try_max_pool1d_with_indices (
        &self, kernel_size: usize, options: &MaxPoolOptions<1>,
    ) -> (Tensor, Tensor) {
        let (planes, attrs) = rows("max_pool1d", self, kernel_size, options, true)?;
        let (y, indices) = pair(apply(&MAX_POOL2D, &[&planes], attrs))?;
        Ok((y.try_squeeze_dim(-2)?, indices.try_squeeze_dim(-2)?))
    }

    /// The largest element of every window of `kernel_size` (one number, or rows and columns): `[N, C, H, W]` or
    /// `[C, H, W]` to as many windows as fit side by side. Of equal elements the first gets the gradient; a NaN in a window
    /// is its result.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 16.0, 1.0).reshape([1, 4, 4]);
    /// assert_eq!(x.max_pool2d(2).to_vec::<f32>()?, [5.0, 7.0, 13.0, 15.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn max_pool2d / try_max_pool2d (&self, kernel_size: impl Into<PerDim<2>>) -> Tensor {
        self.try_max_pool2d_with(kernel_size, &MaxPoolOptions::new())
    }

    /// [`Self::max_pool2d`] with other steps, padding or dilation.
    ///
    /// # Panics
    /// When the input has not the dims above, is empty but for the batch, or holds no floats; when no window fits, a size is
    /// 0, or the padding is more than half of a window.
    pub fn max_pool2d_with / try_max_pool2d_with (
        &self, kernel_size: impl Into<PerDim<2>>, options: &MaxPoolOptions<2>,
    ) -> Tensor {
        values(&MAX_POOL2D, self, window_attrs(kernel_size.into().0, options, false))
    }

    /// [`Self::max_pool2d_with`], and the positions (i32) of the elements, counted row by row in their plane: PyTorch's
    /// `return_indices`. [`Self::max_unpool2d`] takes them. A window without any element of the input (only dilation can
    /// make one) gives -∞ and -1.
    ///
    /// ```
    /// use lumigrad::{MaxPoolOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 3.0, 0.0, 9.0], &[1, 2, 3]);
    /// let (y, indices) = x.max_pool2d_with_indices(2, &MaxPoolOptions::new().stride(1));
    /// assert_eq!(y.to_vec::<f32>()?, [5.0, 9.0]);
    /// assert_eq!(indices.to_vec::<i32>()?, [1, 5]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn max_pool2d_with_indices / try_max_pool2d_with_indices (
        &self, kernel_size: impl Into<PerDim<2>>, options: &MaxPoolOptions<2>,
    ) -> (Tensor, Tensor) {
        pair(apply(&MAX_POOL2D, &[self], window_attrs(kernel_size.into().0, options, true)))
    }

    /// The least element of every window along the last dim: `-max_pool1d(-x)`, in one kernel.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 4.0], &[1, 4]);
    /// assert_eq!(x.min_pool1d(2).to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn min_pool1d / try_min_pool1d (&self, kernel_size: usize) -> Tensor {
        self.try_min_pool1d_with(kernel_size, &MaxPoolOptions::new())
    }

    /// [`Self::min_pool1d`] with other steps, padding or dilation.
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn min_pool1d_with / try_min_pool1d_with (&self, kernel_size: usize, options: &MaxPoolOptions<1>) -> Tensor {
        let (planes, attrs) = rows("min_pool1d", self, kernel_size, options, false)?;
        values(&MIN_POOL2D, &planes, attrs)?.try_squeeze_dim(-2)
    }

    /// The least element of every window: `-max_pool2d(-x)`, in one kernel.
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn min_pool2d / try_min_pool2d (&self, kernel_size: impl Into<PerDim<2>>) -> Tensor {
        self.try_min_pool2d_with(kernel_size, &MaxPoolOptions::new())
    }

    /// [`Self::min_pool2d`] with other steps, padding or dilation.
    ///
    /// # Panics
    /// As [`Self::max_pool2d_with`].
    pub fn min_pool2d_with / try_min_pool2d_with (
        &self, kernel_size: impl Into<PerDim<2>>, options: &MaxPoolOptions<2>,
    ) -> Tensor {
        values(&MIN_POOL2D, self, window_attrs(kernel_size.into().0, options, false))
    }

    /// The largest elements of `output_size` windows that divide the last dim evenly.
    ///
    /// # Panics
    /// As [`Self::adaptive_max_pool2d`].
    pub fn adaptive_max_pool1d / try_adaptive_max_pool1d (&self, output_size: impl Into<OutputSize<1>>) -> Tensor {
        let [size] = sizes_or("adaptive_max_pool1d", output_size.into(), self)?;
        values(&ADAPTIVE_MAX_POOL2D, &self.try_unsqueeze(-2)?, adaptive_attrs([1, size], false))?.try_squeeze_dim(-2)
    }

    /// [`Self::adaptive_max_pool1d`], and the positions (i32) of the elements in their dim.
    ///
    /// # Panics
    /// As [`Self::adaptive_max_pool2d`].
    pub fn adaptive_max_pool1d_with_indices / try_adaptive_max_pool1d_with_indices (
        &self, output_size: impl Into<OutputSize<1>>,
    ) -> (Tensor, Tensor) {
        let [size] = sizes_or("adaptive_max_pool1d", output_size.into(), self)?;
        let (y, indices) = pair(apply(&ADAPTIVE_MAX_POOL2D, &[&self.try_unsqueeze(-2)?], adaptive_attrs([1, size], true)))?;
        Ok((y.try_squeeze_dim(-2)?, indices.try_squeeze_dim(-2)?))
    }

    /// The largest elements of `output_size` windows that divide the planes of `[N, C, H, W]` or `[C, H, W]` evenly; they
    /// overlap where they have to. The size is one number, `[rows, columns]`, or options of them: `None` keeps the input's.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 15.0, 1.0).reshape([1, 3, 5]);
    /// assert_eq!(x.adaptive_max_pool2d([Some(1), None]).to_vec::<f32>()?, [10.0, 11.0, 12.0, 13.0, 14.0]);
    /// assert_eq!(x.adaptive_max_pool2d(1).item::<f32>()?, 14.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the input has not these dims, is empty but for the batch, or holds no floats.
    pub fn adaptive_max_pool2d / try_adaptive_max_pool2d (&self, output_size: impl Into<OutputSize<2>>) -> Tensor {
        let size = sizes_or("adaptive_max_pool2d", output_size.into(), self)?;
        values(&ADAPTIVE_MAX_POOL2D, self, adaptive_attrs(size, false))
    }

    /// [`Self::adaptive_max_pool2d`], and the positions (i32) of the elements, counted row by row in their plane.
    ///
    /// # Panics
    /// As [`Self::adaptive_max_pool2d`].
    pub fn adaptive_max_pool2d_with_indices / try_adaptive_max_pool2d_with_indices (
        &self, output_size: impl Into<OutputSize<2>>,
    ) -> (Tensor, Tensor) {
        let size = sizes_or("adaptive_max_pool2d", output_size.into(), self)?;
        pair(apply(&ADAPTIVE_MAX_POOL2D, &[self], adaptive_attrs(size, true)))
    }
}
