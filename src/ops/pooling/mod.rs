//! Pooling: a number for every window of the last two dims. Here is what maxima and averages share: the windows.
//!
//! Pooling of one dim is that of a plane with one row.

pub(crate) mod avg_pool;
pub(crate) mod max_pool;
mod max_pool_cases;
mod max_pool_quads;
pub(crate) mod max_unpool;

use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Grid, Params};
use crate::ops::{Attrs, Run, cast};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/pool.wgsl`.
    pub struct PoolParams {
        n: u32,
        channels: u32,
        offset: u32,
        result_offset: u32,
        strides: [u32; 4],
        size: [u32; 2],
        windows: [u32; 2],
        kernel: [u32; 2],
        stride: [u32; 2],
        pad: [u32; 2],
        dilation: [u32; 2],
        divisor: f32,
        count_padding: u32,
        planes: u32,
        spare: u32,
    }
}

/// The sizes that an adaptive pooling gives: one for all dims, or one for each; `None` keeps the input's.
///
/// ```
/// use lumigrad::OutputSize;
/// assert_eq!(OutputSize::<2>::from(7), OutputSize([Some(7), Some(7)]));
/// assert_eq!(OutputSize::from([5, 7]), OutputSize([Some(5), Some(7)]));
/// assert_eq!(OutputSize::from([None, Some(7)]), OutputSize([None, Some(7)]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputSize<const N: usize>(pub [Option<usize>; N]);

impl<const N: usize> From<usize> for OutputSize<N> {
    fn from(all: usize) -> Self {
        OutputSize([Some(all); N])
    }
}

impl<const N: usize> From<[usize; N]> for OutputSize<N> {
    fn from(each: [usize; N]) -> Self {
        OutputSize(each.map(Some))
    }
}

impl<const N: usize> From<[Option<usize>; N]> for OutputSize<N> {
    fn from(each: [Option<usize>; N]) -> Self {
        OutputSize(each)
    }
}

impl From<(usize, usize)> for OutputSize<2> {
    fn from((h, w): (usize, usize)) -> Self {
        OutputSize([Some(h), Some(w)])
    }
}

/// Elements of a window from which on a workgroup takes it, and not a thread.
const LARGE: usize = 512;
/// Elements or windows that a thread goes through, at most: lavapipe ends its loops after 65,535 steps, and where there is
/// one column a row has two of them.
const STEPS: usize = 30_000;
/// Elements that a thread of a gradient kernel writes, at most.
const CELL: usize = 16;
/// Threads of a workgroup.
const GROUP: usize = crate::engine::WORKGROUP as usize;

/// The windows of a pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    /// Rows and columns of the input, and of windows.
    pub size: [usize; 2],
    pub windows: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub adaptive: bool,
}

impl Pool {
    /// What the attributes say of an input of this shape: `output_size`, or `kernel_size` and its company.
    pub fn new(op: &'static str, shape: &[usize], attrs: &Attrs) -> Result<Pool> {
        check_planes(op, shape, 2)?;
        let rank = shape.len();
        let size = [shape[rank - 2], shape[rank - 1]];
        let pair = |name: &str| {
            let list = attrs.get_ints(name);
            [list[0] as usize, list[1] as usize]
        };
        if attrs.get("output_size").is_some() {
            let windows = pair("output_size");
            for d in 0..2 {
                if (size[d].max(windows[d]) + 1) * windows[d].max(size[d]) > u32::MAX as usize {
                    let detail = format!("{} elements in {} windows are more than shaders index", size[d], windows[d]);
                    return Err(Error::Limit { op, detail });
                }
            }
            return Ok(Pool {
                size,
                windows,
                kernel: [0; 2],
                stride: [1; 2],
                padding: [0; 2],
                dilation: [1; 2],
                adaptive: true,
            });
        }
        let (kernel, stride) = (pair("kernel_size"), pair("stride"));
        let (padding, dilation) = (pair("padding"), pair("dilation"));
        let mut windows = [0; 2];
        for d in 0..2 {
            let ceil = attrs.get_bool("ceil_mode");
            windows[d] = windows_along(op, shape, size[d], kernel[d], stride[d], padding[d], dilation[d], ceil)?;
        }
        Ok(Pool { size, windows, kernel, stride, padding, dilation, adaptive: false })
    }

    /// The result's shape.
    pub fn output_shape(&self, shape: &[usize]) -> Shape {
        let mut output: Shape = shape.into();
        let rank = output.len();
        output[rank - 2..].copy_from_slice(&self.windows);
        output
    }

    /// Elements of a window, at most.
    pub fn taps(&self) -> usize {
        let along = |d: usize| match self.adaptive {
            true => (self.size[d].div_ceil(self.windows[d].max(1)) + 1).min(self.size[d]),
            false => self.kernel[d],
        };
        along(0).saturating_mul(along(1))
    }

    /// Windows that an element is in, at most.
    pub fn overlap(&self) -> usize {
        let along = |d: usize| match self.adaptive {
            true => self.windows[d].div_ceil(self.size[d].max(1)) + 1,
            false => ((self.kernel[d] - 1) * self.dilation[d]) / self.stride[d] + 1,
        };
        along(0).min(self.windows[0]).saturating_mul(along(1).min(self.windows[1]))
    }

    /// Whether a workgroup takes a window.
    pub fn by_group(&self) -> bool {
        self.taps() >= LARGE
    }

    /// Refuses what would take a thread too many steps.
    pub fn check_limits(&self, op: &'static str, recording: bool) -> Result<()> {
        if self.taps() > STEPS * GROUP {
            let detail = format!("windows of {} elements; kernels take up to {}", self.taps(), STEPS * GROUP);
            return Err(Error::Limit { op, detail });
        }
        if recording && self.overlap() > STEPS {
            let detail = format!("an element would be in {} windows; the gradient takes up to {STEPS}", self.overlap());
            return Err(Error::Limit { op, detail });
        }
        Ok(())
    }

    /// Params for a kernel that reads `x`, `[…, H, W]` with one or two dims before.
    pub fn params(&self, x: &Tensor, n: usize, result_offset: usize) -> PoolParams {
        let (rank, strides) = (x.dim(), x.strides());
        let (channels, channel) = (x.shape()[rank - 3], strides[rank - 3]);
        let (samples, sample) = if rank == 4 { (x.shape()[0], strides[0]) } else { (1, 0) };
        // Channels of samples that lie one behind the other are all alike.
        let merged = samples == 1 || sample == channels * channel;
        let (channels, steps) = if merged { (1, [channel, 0]) } else { (channels, [sample, channel]) };
        let two = |pair: [usize; 2]| pair.map(|v| v as u32);
        PoolParams {
            n: n as u32,
            channels: channels as u32,
            offset: x.offset() as u32,
            result_offset: result_offset as u32,
            strides: [steps[0] as u32, steps[1] as u32, strides[rank - 2] as u32, strides[rank - 1] as u32],
            size: two(self.size),
            windows: two(self.windows),
            kernel: two(self.kernel),
            stride: two(self.stride),
            pad: two(self.padding),
            dilation: two(self.dilation),
            divisor: 0.0,
            count_padding: 0,
            planes: x.shape()[..rank - 2].iter().product::<usize>() as u32,
            spare: 0,
        }
    }

    /// Params for a gradient kernel that reads the contiguous `g` and writes `dx`, an element a thread.
    pub fn backward_params(&self, g: &Tensor, dx: &Tensor) -> PoolParams {
        self.params(g, dx.numel(), dx.offset())
    }

    /// Parts of planes that are as large as steps between windows, where no element is in more than four windows: those
    /// of its own part and of the ones before.
    pub fn cells(&self) -> Option<usize> {
        let few = |d: usize| (self.kernel[d] - 1) * self.dilation[d] < 2 * self.stride[d];
        let cells = |d: usize| (self.size[d] + self.padding[d]).div_ceil(self.stride[d]);
        let small = self.stride[0] * self.stride[1] <= CELL;
        (!self.adaptive && few(0) && few(1) && small).then(|| cells(0) * cells(1))
    }
}

/// A tensor that holds planes: `[C, H, W]` or `[N, C, H, W]` for two dims, of which only the batch may be empty.
fn check_planes(op: &'static str, shape: &[usize], dims: usize) -> Result<()> {
    let rank = shape.len();
    let batch = usize::from(rank == dims + 2);
    if (rank == dims + 1 || rank == dims + 2) && shape[batch..].iter().all(|&s| s > 0) {
        return Ok(());
    }
    let names = if dims == 1 { "[C, L] or [N, C, L]" } else { "[C, H, W] or [N, C, H, W]" };
    let detail = format!("takes {names}, where only N may be 0; the input has the shape {shape:?}");
    Err(Error::shape(op, detail))
}

/// Windows along a dim of `size` elements.
#[expect(clippy::too_many_arguments, reason = "the arguments of a pooling along one dim")]
fn windows_along(
    op: &'static str,
    shape: &[usize],
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil: bool,
) -> Result<usize> {
    for (name, value) in [("kernel_size", kernel), ("stride", stride), ("dilation", dilation)] {
        if value == 0 {
            return Err(Error::argument(op, format!("{name} must be at least 1")));
        }
    }
    if [kernel, stride, padding, dilation].iter().any(|&v| v > 1 << 30) || kernel.saturating_mul(dilation) > 1 << 30 {
        return Err(Error::argument(op, "a window is larger than shaders index".to_string()));
    }
    if padding > kernel / 2 {
        let detail = format!("padding must be at most half of the kernel: {padding} is more than half of {kernel}");
        return Err(Error::argument(op, detail));
    }
    let (padded, span) = (size + 2 * padding, dilation * (kernel - 1) + 1);
    let slack = if ceil { stride - 1 } else { 0 };
    let mut windows = if padded + slack < span { 0 } else { (padded + slack - span) / stride + 1 };
    // The last window starts in the input or in the padding before it.
    if ceil && windows > 0 && (windows - 1) * stride >= size + padding {
        windows -= 1;
    }
    if windows == 0 {
        let detail = format!(
            "no window of {kernel} elements (dilation {dilation}) fits into {size} elements with padding {padding}; \
             the input has the shape {shape:?}"
        );
        return Err(Error::shape(op, detail));
    }
    Ok(windows)
}

/// One thread a window.
fn by_thread_grid(p: &Params<'_>) -> Grid {
    let p: &PoolParams = p.get();
    Grid::elements(p.n).work(u64::from(p.n) * (p.taps() as u64).max(8) * 4)
}

/// One workgroup a window.
fn by_group_grid(p: &Params<'_>) -> Grid {
    let p: &PoolParams = p.get();
    Grid::groups(u64::from(p.n)).work(u64::from(p.n) * p.taps() as u64 * 4)
}

impl PoolParams {
    /// Windows that an element is in, at most.
    fn overlap(&self) -> f64 {
        let along = |d: usize| match self.kernel[d] {
            // Adaptive windows have no kernel.
            0 => self.windows[d].div_ceil(self.size[d]) + 1,
            k => (k - 1) * self.dilation[d] / self.stride[d] + 1,
        };
        f64::from(along(0).min(self.windows[0])) * f64::from(along(1).min(self.windows[1]))
    }

    /// Elements of a window, at most.
    fn taps(&self) -> f64 {
        let along = |d: usize| match self.kernel[d] {
            0 => (self.size[d].div_ceil(self.windows[d].max(1)) + 1).min(self.size[d]),
            k => k,
        };
        f64::from(along(0)) * f64::from(along(1))
    }

    /// Windows of all planes: number, plane, row and column.
    fn all_windows(&self, n: u32) -> impl Iterator<Item = (usize, u32, [u32; 2])> {
        let [rows, columns] = self.windows;
        (0..n).map(move |i| (i as usize, i / columns / rows, [i / columns % rows, i % columns]))
    }

    /// Where the element of the input at a row and column of a plane lies.
    fn input(&self, plane: u32, [r, c]: [u32; 2]) -> usize {
        let [sample, channel, row, column] = self.strides;
        let start = self.offset + plane / self.channels * sample + plane % self.channels * channel;
        (start + r * row + c * column) as usize
    }

    /// The elements of a window along a dim.
    fn along(&self, d: usize, o: u32, adaptive: bool) -> Vec<u32> {
        let (size, windows) = (self.size[d], self.windows[d]);
        if adaptive {
            return (o * size / windows..((o + 1) * size).div_ceil(windows)).collect();
        }
        let place = |k: u32| i64::from(o * self.stride[d]) + i64::from(k * self.dilation[d]) - i64::from(self.pad[d]);
        (0..self.kernel[d]).map(place).filter(|r| (0..i64::from(size)).contains(r)).map(|r| r as u32).collect()
    }

    /// The elements of a window, row by row.
    fn elements(&self, o: [u32; 2], adaptive: bool) -> Vec<[u32; 2]> {
        let columns = self.along(1, o[1], adaptive);
        self.along(0, o[0], adaptive).into_iter().flat_map(|r| columns.iter().map(move |&c| [r, c])).collect()
    }
}

/// Output sizes, with those of the input where none is given.
fn sizes_or<const N: usize>(op: &'static str, size: OutputSize<N>, x: &Tensor) -> Result<[usize; N]> {
    check_planes(op, x.shape(), N)?;
    let own = &x.shape()[x.dim() - N..];
    Ok(std::array::from_fn(|d| size.0[d].unwrap_or(own[d])))
}

/// `[N, C, L]` or `[C, L]` as planes of one row.
fn rows_of(op: &'static str, x: &Tensor) -> Result<Tensor> {
    check_planes(op, x.shape(), 1)?;
    x.try_unsqueeze(-2)
}

/// The elements in this type.
fn of_type(run: &mut Run<'_>, y: Tensor, dtype: DType) -> Result<Tensor> {
    if y.dtype() == dtype {
        return Ok(y);
    }
    let result = run.output(dtype, y.shape());
    cast::convert(run, &y, &result)?;
    Ok(result)
}

/// The strides of a contiguous tensor in the place of an input's, and no offset: for gradients.
fn contiguous(x: &Tensor) -> Result<Tensor> {
    x.detach().try_contiguous()
}
