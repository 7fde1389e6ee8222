//! `avg_pool2d` and `adaptive_avg_pool2d`: the mean of every window. An element's gradient is the sum of its shares of the
//! gradients of the windows that it is in. Halves are read and written as they are, but for large windows: 2 dispatches
//! forward and back where conversions made it 6, on lavapipe 0.6 to 1.0 of f32's time where it was 1.2 to 1.3.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html>,
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html>

use smallvec::smallvec;

use super::{
    OutputSize, Pool, PoolParams, by_group_grid, by_thread_grid, contiguous, of_type, rows_of, sizes_or, windows_along,
};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, Params, ParamsLayout, Variant, WORKGROUP};
use crate::ops::elementwise::half_variant;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::{Error, PerDim, Result};

/// The arguments of a mean over windows besides their size; the defaults are PyTorch's.
///
/// ```
/// use lumigrad::{AvgPoolOptions, prelude::*};
/// let x = Tensor::ones(&[1, 3, 3]);
/// let padded = AvgPoolOptions::new().stride(2).padding(1);
/// assert_eq!(x.avg_pool2d_with(2, &padded).to_vec::<f32>()?, [0.25, 0.5, 0.5, 1.0]);
/// assert_eq!(x.avg_pool2d_with(2, &padded.count_include_pad(false)).to_vec::<f32>()?, [1.0; 4]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPoolOptions<const N: usize> {
    /// Steps between windows; `None`: the size of a window.
    pub stride: Option<[usize; N]>,
    /// Zeros around the input; at most half of a window.
    pub padding: [usize; N],
    /// Whether the last window may reach out of the input. What is behind the padding never counts.
    pub ceil_mode: bool,
    /// Whether padding counts as elements.
    pub count_include_pad: bool,
    /// What sums are divided by, in place of the number of elements.
    pub divisor_override: Option<i64>,
}

impl<const N: usize> AvgPoolOptions<N> {
    /// Windows side by side, no padding.
    pub fn new() -> Self {
        let (stride, padding) = (None, [0; N]);
        AvgPoolOptions { stride, padding, ceil_mode: false, count_include_pad: true, divisor_override: None }
    }

    /// Steps between windows.
    pub fn stride(self, stride: impl Into<PerDim<N>>) -> Self {
        Self { stride: Some(stride.into().0), ..self }
    }

    /// Zeros around the input.
    pub fn padding(self, padding: impl Into<PerDim<N>>) -> Self {
        Self { padding: padding.into().0, ..self }
    }

    /// Whether the last window may reach out of the input.
    pub fn ceil_mode(self, ceil_mode: bool) -> Self {
        Self { ceil_mode, ..self }
    }

    /// Whether padding counts as elements.
    pub fn count_include_pad(self, count_include_pad: bool) -> Self {
        Self { count_include_pad, ..self }
    }

    /// What sums are divided by, in place of the number of elements.
    pub fn divisor_override(self, divisor: i64) -> Self {
        Self { divisor_override: Some(divisor), ..self }
    }
}

impl<const N: usize> Default for AvgPoolOptions<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The position is the variant's number: whether windows are adaptive.
const VARIANTS: &[Variant] =
    &[Variant::new("windows", &[Item::Const("ADAPTIVE", 0)]), Variant::new("adaptive", &[Item::Const("ADAPTIVE", 1)])];

macro_rules! avg_kernel {
    ($entry:literal, $grid:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: concat!("avg_pool.", $entry),
            source: &["#import common/words\n", include_str!("../../../shaders/pooling/avg_pool.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), Binding::Write("y")],
            params: ParamsLayout::of::<PoolParams>(),
            variants: VARIANTS,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}

static FORWARD: Kernel = avg_kernel!("forward", by_thread_grid, twin, |p| bound_of(p.get::<PoolParams>().taps()));
static BY_GROUP: Kernel = avg_kernel!("by_group", by_group_grid, twin, |p| {
    // Each thread's share, and the tree that joins them.
    bound_of(p.get::<PoolParams>().taps() / f64::from(WORKGROUP) + f64::from(WORKGROUP.ilog2()))
});
static BACKWARD: Kernel =
    avg_kernel!("backward", backward_grid, backward_twin, |p| bound_of(p.get::<PoolParams>().overlap()));

/// [`VARIANTS`] of f16, then of bf16.
const HALF_VARIANTS: &[Variant] = &[
    Variant::new("f16 windows", &[Item::Const("ADAPTIVE", 0), Item::Const("KIND", 3)]),
    Variant::new("f16 adaptive", &[Item::Const("ADAPTIVE", 1), Item::Const("KIND", 3)]),
    Variant::new("bf16 windows", &[Item::Const("ADAPTIVE", 0), Item::Const("KIND", 4)]),
    Variant::new("bf16 adaptive", &[Item::Const("ADAPTIVE", 1), Item::Const("KIND", 4)]),
];

/// [`FORWARD`] of halves, of which a thread makes two.
static HALF_FORWARD: Kernel = Kernel {
    name: "avg_pool.half_forward",
    source: &["#import common/half_words\n", FORWARD.source[1]],
    variants: HALF_VARIANTS,
    grid: |p| by_pairs((FORWARD.grid)(p), p),
    ..FORWARD
};

/// [`BACKWARD`] of halves.
static HALF_BACKWARD: Kernel = Kernel {
    name: "avg_pool.half_backward",
    source: &["#import common/half_words\n", BACKWARD.source[1]],
    variants: HALF_VARIANTS,
    grid: |p| by_pairs((BACKWARD.grid)(p), p),
    ..BACKWARD
};

fn by_pairs(grid: Grid, p: &Params<'_>) -> Grid {
    Grid { work: grid.work, ..Grid::elements(p.get::<PoolParams>().n.div_ceil(2)) }
}

/// Windows of an element up to which a thread makes two of them.
const FEW: f64 = 1_024.0;

/// Of a sum of so many terms: half an ulp an addition, two and a half for the division, half for the twin's own rounding.
fn bound_of(terms: f64) -> Bound {
    Bound::Magnitude { ulps: 0.5 * terms + 3.0 }
}

fn backward_grid(p: &Params<'_>) -> Grid {
    let p: &PoolParams = p.get();
    Grid::elements(p.n).work(u64::from(p.n) * (p.overlap() as u64 + 8) * 4)
}

/// What the sum of window `o` is divided by: its elements, with the padding around the input if that counts.
fn divisor(p: &PoolParams, o: [u32; 2], adaptive: bool) -> f64 {
    if p.divisor != 0.0 {
        return f64::from(p.divisor);
    }
    let count = |d: usize| {
        if adaptive || p.count_padding == 0 {
            return p.along(d, o[d], adaptive).len() as f64;
        }
        let start = i64::from(o[d] * p.stride[d]);
        let end = (start + i64::from(p.kernel[d])).min(i64::from(p.size[d] + 2 * p.pad[d]));
        (end - start) as f64
    };
    count(0) * count(1)
}

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &PoolParams = call.params();
    let adaptive = call.variant() % VARIANTS.len() == 1;
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for (i, plane, o) in p.all_windows(p.n) {
        let sum: f64 = p.elements(o, adaptive).into_iter().map(|at| x[p.input(plane, at)]).sum();
        y[i] = sum / divisor(p, o, adaptive);
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &PoolParams = call.params();
    let adaptive = call.variant() % VARIANTS.len() == 1;
    let (g, mut dx) = (call.floats(0), call.floats_mut(1));
    let first = p.result_offset as usize;
    dx[first..first + p.n as usize].fill(0.0);
    for (i, plane, o) in p.all_windows(p.planes * p.windows[0] * p.windows[1]) {
        let share = g[p.offset as usize + i] / divisor(p, o, adaptive);
        for [r, c] in p.elements(o, adaptive) {
            dx[first + ((plane * p.size[0] + r) * p.size[1] + c) as usize] += share;
        }
    }
    Ok(())
}

/// The windows, and what only means are told.
fn read(op: &'static str, shape: &[usize], attrs: &Attrs) -> Result<(Pool, f32, u32)> {
    let pool = Pool::new(op, shape, attrs)?;
    if pool.adaptive {
        return Ok((pool, 0.0, 0));
    }
    let divisor = attrs.get("divisor_override").map(|_| attrs.get_int("divisor_override"));
    if divisor == Some(0) {
        return Err(Error::argument(op, "divisor_override must not be 0"));
    }
    Ok((pool, divisor.unwrap_or(0) as f32, u32::from(attrs.get_bool("count_include_pad"))))
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    if !x.dtype().is_float() {
        return Err(Error::dtype(call.op(), format!("takes floats, not {}; convert with `.to_dtype(..)`", x.dtype())));
    }
    let (pool, divisor, count_padding) = read(call.op(), x.shape(), call.attrs())?;
    pool.check_limits(call.op(), call.is_recording())?;
    let (dtype, adaptive) = (x.dtype(), usize::from(pool.adaptive));
    let x = if dtype.is_half() && pool.by_group() { x.detach().try_to_dtype(DType::F32)? } else { x.detach() };
    let y = call.output(x.dtype(), &pool.output_shape(x.shape()));
    let params = PoolParams { divisor, count_padding, ..pool.params(&x, y.numel(), 0) };
    let (kernel, variant) = match half_variant(x.dtype()) {
        Some(half) => (&HALF_FORWARD, VARIANTS.len() * half + adaptive),
        None => (if pool.by_group() { &BY_GROUP } else { &FORWARD }, adaptive),
    };
    call.dispatch(kernel, variant, &[&x, &y], &params);
    Ok(smallvec![of_type(call, y, dtype)?])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (pool, divisor, count_padding) = read("avg_pool2d", v.input_shape(0), v.attrs())?;
    let (mut g, mut dx) = (contiguous(v.gradient())?, v.gradient_output(0));
    let adaptive = usize::from(pool.adaptive);
    let mut params = PoolParams { divisor, count_padding, ..pool.backward_params(&g, &dx) };
    let (kernel, variant) = match half_variant(g.dtype()) {
        Some(half) if params.overlap() <= FEW && dx.offset().is_multiple_of(2) => {
            (&HALF_BACKWARD, VARIANTS.len() * half + adaptive)
        }
        Some(_) => {
            (g, dx) = (g.try_to_dtype(DType::F32)?, v.output(DType::F32, dx.shape()));
            params = PoolParams { divisor, count_padding, ..pool.backward_params(&g, &dx) };
            (&BACKWARD, adaptive)
        }
        None => (&BACKWARD, adaptive),
    };
    v.dispatch(kernel, variant, &[&g, &dx], &params);
    Ok(smallvec![Some(dx)])
}

/// The operation `avg_pool2d`.
pub(crate) static AVG_POOL2D: Operation = Operation {
    name: "avg_pool2d",
    kernels: &[&FORWARD, &BY_GROUP, &BACKWARD, &HALF_FORWARD, &HALF_BACKWARD],
    forward,
    vjp: Some(vjp),
    cases: window_cases,
};

/// The operation `adaptive_avg_pool2d`; the kernels are those of `avg_pool2d`.
pub(crate) static ADAPTIVE_AVG_POOL2D: Operation =
    Operation { name: "adaptive_avg_pool2d", kernels: &[], forward, vjp: Some(vjp), cases: adaptive_cases };

fn window_attrs(kernel: [usize; 2], options: &AvgPoolOptions<2>) -> Attrs {
    let attrs = Attrs::new()
        .sizes("kernel_size", &kernel)
        .sizes("stride", &options.stride.unwrap_or(kernel))
        .sizes("padding", &options.padding)
        .sizes("dilation", &[1, 1])
        .bool("ceil_mode", options.ceil_mode)
        .bool("count_include_pad", options.count_include_pad);
    match options.divisor_override {
        Some(divisor) => attrs.int("divisor_override", divisor),
        None => attrs,
    }
}

/// Infinities, NaN and large numbers whose sums stay in range.
const UNUSUAL: cases::Fill =
    cases::Fill::Values(&[1.0, -0.0, 1e30, -1e-30, 2.0, f64::INFINITY, 3.0, -1e30, 1e4, f64::NEG_INFINITY, f64::NAN]);

fn window_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let x = Input::floats;
    let new = AvgPoolOptions::<2>::new;
    let case = |name: &str, x: Input, kernel: [usize; 2], options: AvgPoolOptions<2>| {
        Case::new(name, vec![x]).attrs(window_attrs(kernel, &options))
    };
    let padded = || new().stride(2).padding(1);
    let mut list = vec![
        case("2x2", x(&[2, 3, 4, 6]), [2, 2], new()),
        case("padded", x(&[1, 2, 7, 8]), [3, 3], padded()),
        case("padding does not count", x(&[1, 2, 7, 8]), [3, 3], padded().count_include_pad(false)),
        case("ceil", x(&[1, 2, 6, 8]), [3, 3], padded().ceil_mode(true)),
        case("ceil, padding does not count", x(&[2, 6, 8]), [3, 3], padded().ceil_mode(true).count_include_pad(false)),
        case("divisor", x(&[2, 5, 6]), [3, 2], new().stride(1).divisor_override(-4)),
        case("gaps", x(&[2, 7, 8]), [2, 1], new().stride([3, 2])),
        case("one", x(&[1, 1, 1]), [1, 1], new()),
        case("whole plane", x(&[2, 3, 4]), [3, 4], new()),
        case("one row", x(&[2, 3, 1, 9]), [1, 3], new().stride(2).padding([0, 1])),
        case("no batch", x(&[0, 2, 4, 4]), [2, 2], new()),
        case("transposed", x(&[2, 3, 6, 5]).arranged(Arrangement::Transposed), [2, 2], new().stride(1)),
        case("strided", x(&[2, 5, 6]).arranged(Arrangement::Strided), [2, 2], new()),
        case("expanded", x(&[3, 2, 4, 4]).arranged(Arrangement::Expanded), [2, 2], new()),
        case("unusual", x(&[2, 23, 5]).fill(UNUSUAL), [2, 3], new().stride(1).padding(1)).no_gradcheck(),
        case("large", x(&[2, 3, 65, 67]), [3, 3], padded()).no_gradcheck(),
        case("large windows", x(&[2, 2, 40, 50]), [30, 31], new().stride(9).padding([3, 2])).no_gradcheck(),
        case("2-d input", x(&[4, 4]), [2, 2], new()).fails(),
        case("no channels", x(&[1, 0, 4, 4]), [2, 2], new()).fails(),
        case("too small", x(&[1, 2, 4]), [3, 2], new()).fails(),
        case("padding", x(&[1, 4, 4]), [2, 2], new().padding(2)).fails(),
        case("no divisor", x(&[1, 4, 4]), [2, 2], new().divisor_override(0)).fails(),
        case("integers", Input::ints(&[1, 4, 4], 0, 9), [2, 2], new()).fails(),
    ];
    let halves = [
        case("2x2", x(&[2, 3, 4, 6]), [2, 2], new()),
        case("an odd number", x(&[1, 3, 5, 9]), [3, 3], padded()),
        case("transposed", x(&[2, 3, 6, 5]).arranged(Arrangement::Transposed), [2, 2], new().stride(1)),
        case("unusual", x(&[2, 9, 5]).fill(UNUSUAL), [2, 3], new().stride(1).padding(1)),
        case("large windows", x(&[2, 2, 40, 50]), [30, 31], new().stride(9).padding([3, 2])),
    ];
    list.extend(halves.into_iter().flat_map(Case::of_halves));
    list
}

fn adaptive_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let x = Input::floats;
    let case = |name: &str, x: Input, size: [usize; 2]| {
        Case::new(name, vec![x]).attrs(Attrs::new().sizes("output_size", &size))
    };
    let mut list = vec![
        case("even", x(&[2, 3, 4, 6]), [2, 3]),
        case("uneven", x(&[2, 7, 8]), [3, 5]),
        case("global", x(&[2, 3, 4, 5]), [1, 1]),
        case("same", x(&[2, 3, 4]), [3, 4]),
        case("more", x(&[1, 2, 3, 2]), [5, 7]),
        case("none", x(&[1, 2, 3, 2]), [0, 2]).no_gradcheck(),
        case("no batch", x(&[0, 2, 3, 2]), [2, 2]),
        case("transposed", x(&[2, 3, 6, 5]).arranged(Arrangement::Transposed), [4, 2]),
        case("unusual", x(&[2, 23, 5]).fill(UNUSUAL), [6, 3]).no_gradcheck(),
        case("large", x(&[2, 3, 65, 67]), [7, 9]).no_gradcheck(),
        case("large windows", x(&[2, 2, 60, 50]), [2, 1]).no_gradcheck(),
        case("2-d input", x(&[4, 4]), [2, 2]).fails(),
        case("integers", Input::ints(&[1, 4, 4], 0, 9), [2, 2]).fails(),
    ];
    list.extend(case("uneven", x(&[2, 7, 8]), [3, 5]).of_halves());
    list
}

fn adaptive(x: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    single(apply(&ADAPTIVE_AVG_POOL2D, &[x], Attrs::new().sizes("output_size", &size)))
}

methods! {
    /// The mean of every window of `kernel_size` along the last dim: `[N, C, L]` or `[C, L]` to as many windows as fit side
    /// by side.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 4.0], &[1, 4]);
    /// assert_eq!(x.avg_pool1d(2).to_vec::<f32>()?, [3.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::avg_pool2d_with`].
    pub fn avg_pool1d / try_avg_pool1d (&self, kernel_size: usize) -> Tensor {
        self.try_avg_pool1d_with(kernel_size, &AvgPoolOptions::new())
    }

    /// [`Self::avg_pool1d`] with other steps or padding.
    ///
    /// # Panics
    /// As [`Self::avg_pool2d_with`].
    pub fn avg_pool1d_with / try_avg_pool1d_with (&self, kernel_size: usize, options: &AvgPoolOptions<1>) -> Tensor {
        const OP: &str = "avg_pool1d";
        let planes = rows_of(OP, self)?;
        let (stride, [padding]) = (options.stride.map_or(kernel_size, |s| s[0]), options.padding);
        // Mistakes are told of what the caller sees: one dim.
        let size = self.shape()[self.dim() - 1];
        windows_along(OP, self.shape(), size, kernel_size, stride, padding, 1, options.ceil_mode)?;
        let options = AvgPoolOptions {
            stride: Some([1, stride]),
            padding: [0, padding],
            ceil_mode: options.ceil_mode,
            count_include_pad: options.count_include_pad,
            divisor_override: options.divisor_override,
        };
        single(apply(&AVG_POOL2D, &[&planes], window_attrs([1, kernel_size], &options)))?.try_squeeze_dim(-2)
    }

    /// The mean of every window of `kernel_size` (one number, or rows and columns): `[N, C, H, W]` or `[C, H, W]` to as many
    /// windows as fit side by side.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 16.0, 1.0).reshape([1, 4, 4]);
    /// assert_eq!(x.avg_pool2d(2).to_vec::<f32>()?, [2.5, 4.5, 10.5, 12.5]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::avg_pool2d_with`].
    pub fn avg_pool2d / try_avg_pool2d (&self, kernel_size: impl Into<PerDim<2>>) -> Tensor {
        self.try_avg_pool2d_with(kernel_size, &AvgPoolOptions::new())
    }

    /// [`Self::avg_pool2d`] with other steps, padding or divisor.
    ///
    /// # Panics
    /// When the input has not the dims above, is empty but for the batch, or holds no floats; when no window fits, a size or
    /// the divisor is 0, or the padding is more than half of a window.
    pub fn avg_pool2d_with / try_avg_pool2d_with (
        &self, kernel_size: impl Into<PerDim<2>>, options: &AvgPoolOptions<2>,
    ) -> Tensor {
        single(apply(&AVG_POOL2D, &[self], window_attrs(kernel_size.into().0, options)))
    }

    /// The means of `output_size` windows that divide the last dim evenly.
    ///
    /// # Panics
    /// As [`Self::adaptive_avg_pool2d`].
    pub fn adaptive_avg_pool1d / try_adaptive_avg_pool1d (&self, output_size: impl Into<OutputSize<1>>) -> Tensor {
        let [size] = sizes_or("adaptive_avg_pool1d", output_size.into(), self)?;
        adaptive(&self.try_unsqueeze(-2)?, [1, size])?.try_squeeze_dim(-2)
    }

    /// The means of `output_size` windows that divide the planes of `[N, C, H, W]` or `[C, H, W]` evenly; they overlap where
    /// they have to. The size is one number, `[rows, columns]`, or options of them: `None` keeps the input's. With 1 it is
    /// global pooling.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 15.0, 1.0).reshape([1, 3, 5]);
    /// assert_eq!(x.adaptive_avg_pool2d(1).item::<f32>()?, 7.0);
    /// assert_eq!(x.adaptive_avg_pool2d([None, Some(1)]).to_vec::<f32>()?, [2.0, 7.0, 12.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the input has not these dims, is empty but for the batch, or holds no floats.
    pub fn adaptive_avg_pool2d / try_adaptive_avg_pool2d (&self, output_size: impl Into<OutputSize<2>>) -> Tensor {
        let size = sizes_or("adaptive_avg_pool2d", output_size.into(), self)?;
        adaptive(self, size)
    }
}
