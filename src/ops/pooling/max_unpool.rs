//! `max_unpool2d`: elements back in the places that [`Tensor::max_pool2d_with_indices`] took them from, zeros elsewhere.
//! Of several elements for one place the last one is taken, and has the gradient.
//!
//! PyTorch also gives the gradient to elements that were written over; here they have none, since nothing depends on them.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool2d.html>

use smallvec::smallvec;

use super::{check_planes, contiguous, rows_of};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant, fault};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::tensor::shape::checked_numel;
use crate::tensor::{Shape, Tensor};
use crate::{Error, PerDim, Result};

/// The arguments of undoing a maximum over windows, which are those of the maximum; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxUnpoolOptions<const N: usize> {
    stride: Option<PerDim<N>>,
    padding: Option<PerDim<N>>,
    output_size: Option<PerDim<N>>,
}

impl<const N: usize> MaxUnpoolOptions<N> {
    /// Windows side by side, no padding.
    pub fn new() -> Self {
        MaxUnpoolOptions { stride: None, padding: None, output_size: None }
    }

    /// Steps between windows.
    pub fn stride(self, stride: impl Into<PerDim<N>>) -> Self {
        Self { stride: Some(stride.into()), ..self }
    }

    /// The padding that the maximum had.
    pub fn padding(self, padding: impl Into<PerDim<N>>) -> Self {
        Self { padding: Some(padding.into()), ..self }
    }

    /// The sizes that the maximum's input had, where windows did not cover all of it: less than a step from those that
    /// follow from the windows.
    pub fn output_size(self, size: impl Into<PerDim<N>>) -> Self {
        Self { output_size: Some(size.into()), ..self }
    }

    /// The result's sizes for an input of these.
    fn sizes(&self, op: &'static str, input: &[usize], kernel: [usize; N]) -> Result<[usize; N]> {
        let mut sizes = [0; N];
        for d in 0..N {
            let (stride, padding) = (self.stride.map_or(kernel[d], |s| s.0[d]), self.padding.map_or(0, |p| p.0[d]));
            if stride == 0 {
                return Err(Error::argument(op, "stride must be at least 1"));
            }
            let usual = (input[d] as i64 - 1) * stride as i64 - 2 * padding as i64 + kernel[d] as i64;
            let size = self.output_size.map_or(usual, |s| s.0[d] as i64);
            if size <= 0 || (size - usual).unsigned_abs() >= stride as u64 {
                let detail = format!(
                    "{} windows in a dim of {size} elements; it must be less than {stride} away from {usual} and not empty",
                    input[d]
                );
                return Err(Error::argument(op, detail));
            }
            sizes[d] = size as usize;
        }
        Ok(sizes)
    }
}

params! {
    /// Twin of `Params` in `shaders/pooling/max_unpool.wgsl`.
    pub struct UnpoolParams {
        n: u32,
        elements: u32,
        places: u32,
        site: u32,
        offset: u32,
        indices_offset: u32,
        result_offset: u32,
    }
}

macro_rules! unpool_kernel {
    ($entry:literal, $bindings:expr, $twin:expr) => {
        Kernel {
            name: concat!("max_unpool2d.", $entry),
            source: &[include_str!("../../../shaders/pooling/max_unpool.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<UnpoolParams>(),
            variants: Variant::ONLY,
            grid: |p| Grid::elements(p.get::<UnpoolParams>().n),
            reference: $twin,
            bound: |_| Bound::Exact,
        }
    };
}

static CLAIM: Kernel =
    unpool_kernel!("claim", &[Binding::Read("claims"), Binding::ReadWrite("claimed"), Binding::Faults], |call| {
        let p: &UnpoolParams = call.params();
        let (indices, mut owners) = (call.ints(0), call.words_mut(1));
        for i in 0..p.n {
            let index = indices[(p.indices_offset + i) as usize];
            match u32::try_from(index) {
                Ok(index) if index < p.places => {
                    owners[(i / p.elements * p.places + index) as usize] = i % p.elements + 1;
                }
                _ => return Err(call.fault(p.site, i64::from(index), i64::from(p.places))),
            }
        }
        Ok(())
    });

static TAKE: Kernel =
    unpool_kernel!("take", &[Binding::Read("x"), Binding::Read("owners"), Binding::Write("y")], |call| {
        let p: &UnpoolParams = call.params();
        let (x, owners, mut y) = (call.floats(0), call.words(1), call.floats_mut(2));
        for i in 0..p.n {
            let element = |owner: u32| x[(p.offset + i / p.places * p.elements + owner - 1) as usize];
            y[i as usize] = if owners[i as usize] == 0 { 0.0 } else { element(owners[i as usize]) };
        }
        Ok(())
    });

static BACKWARD: Kernel = unpool_kernel!(
    "backward",
    &[Binding::Read("x"), Binding::Read("owners"), Binding::Read("indices"), Binding::Write("dx")],
    backward_twin
);

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &UnpoolParams = call.params();
    let (g, owners, indices, mut dx) = (call.floats(0), call.words(1), call.ints(2), call.floats_mut(3));
    for i in 0..p.n {
        let place = i / p.elements * p.places + indices[(p.indices_offset + i) as usize] as u32;
        let own = owners[place as usize] == i % p.elements + 1;
        dx[(p.result_offset + i) as usize] = if own { g[(p.offset + place) as usize] } else { 0.0 };
    }
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, indices, size) = (call.input(0), call.input(1), call.attrs().get_sizes("output_size"));
    check_planes(call.op(), x.shape(), 2)?;
    if x.shape() != indices.shape() {
        let detail = format!("one position an element: x has the shape {:?}, not {:?}", x.shape(), indices.shape());
        return Err(Error::shape(call.op(), detail));
    }
    if (x.dtype(), indices.dtype()) != (DType::F32, DType::I32) {
        let detail = format!("takes f32 elements and i32 positions, not {} and {}", x.dtype(), indices.dtype());
        return Err(Error::dtype(call.op(), detail));
    }
    let mut shape: Shape = x.shape().into();
    let rank = shape.len();
    shape[rank - 2..].copy_from_slice(&size);
    checked_numel(call.op(), &shape)?;
    let (x, indices) = (contiguous(x)?, contiguous(indices)?);
    let owners = Tensor::try_full_on(&shape, 0.0, DType::U32, call.device())?;
    let y = call.output(DType::F32, &shape);
    let params = UnpoolParams {
        n: x.numel() as u32,
        elements: (x.shape()[rank - 2] * x.shape()[rank - 1]) as u32,
        places: (size[0] * size[1]) as u32,
        site: fault::site(call.op()),
        offset: x.offset() as u32,
        indices_offset: indices.offset() as u32,
        result_offset: 0,
    };
    call.dispatch(&CLAIM, 0, &[&indices, &owners], &params);
    call.dispatch(&TAKE, 0, &[&x, &owners, &y], &UnpoolParams { n: y.numel() as u32, ..params });
    call.save(&owners);
    call.save(&indices);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (owners, indices) = (v.saved(0), v.saved(1));
    let g = contiguous(v.gradient())?;
    let dx = v.gradient_output(0);
    let (shape, places) = (v.input_shape(0), v.output_shape(0));
    let rank = shape.len();
    let params = UnpoolParams {
        n: dx.numel() as u32,
        elements: (shape[rank - 2] * shape[rank - 1]) as u32,
        places: (places[rank - 2] * places[rank - 1]) as u32,
        site: 0,
        offset: g.offset() as u32,
        indices_offset: indices.offset() as u32,
        result_offset: dx.offset() as u32,
    };
    v.dispatch(&BACKWARD, 0, &[&g, &owners, &indices, &dx], &params);
    Ok(smallvec![Some(dx), None])
}

/// The operation `max_unpool2d`: inputs the elements and their positions.
pub(crate) static MAX_UNPOOL2D: Operation =
    Operation { name: "max_unpool2d", kernels: &[&CLAIM, &TAKE, &BACKWARD], forward, vjp: Some(vjp), cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let case = |name: &str, x: Input, indices: Input, size: [usize; 2]| {
        Case::new(name, vec![x, indices]).attrs(Attrs::new().sizes("output_size", &size))
    };
    let x = Input::floats;
    let places = |shape: &[usize], n: i64| Input::ints(shape, 0, n);
    vec![
        case("typical", x(&[2, 3, 2, 3]), places(&[2, 3, 2, 3], 24), [4, 6]),
        case("no batch", x(&[3, 2, 3]), places(&[3, 2, 3], 24), [4, 6]),
        case("often the same", x(&[2, 5, 5]), places(&[2, 5, 5], 4), [2, 2]),
        case("one", x(&[1, 1, 1]), places(&[1, 1, 1], 1), [1, 1]),
        case("empty batch", x(&[0, 3, 2, 3]), places(&[0, 3, 2, 3], 24), [4, 6]),
        case("transposed", x(&[3, 2, 3]).arranged(Arrangement::Transposed), places(&[3, 2, 3], 24), [4, 6]),
        case("strided", x(&[3, 2, 3]), places(&[3, 2, 3], 24).arranged(Arrangement::Strided), [4, 6]),
        case("extreme", x(&[1, 1, 17]).fill(EXTREME), places(&[1, 1, 17], 40), [4, 10]).no_gradcheck(),
        case("large", x(&[2, 3, 33, 35]), places(&[2, 3, 33, 35], 65 * 70), [65, 70]).no_gradcheck(),
        case("shapes", x(&[3, 2, 3]), places(&[3, 3, 2], 24), [4, 6]).fails(),
        case("rank", x(&[2, 3]), places(&[2, 3], 24), [4, 6]).fails(),
        case("float positions", x(&[3, 2, 3]), x(&[3, 2, 3]).fill(Fill::Whole(0, 4)), [4, 6]).fails(),
    ]
}

fn unpool(x: &Tensor, indices: &Tensor, size: [usize; 2]) -> Result<Tensor> {
    single(apply(&MAX_UNPOOL2D, &[x, indices], Attrs::new().sizes("output_size", &size)))
}

methods! {
    /// The inverse of [`Self::max_pool1d_with_indices`] as far as there is one: its values back in their places, zeros in
    /// all others. `kernel_size` and options are those of the maximum.
    ///
    /// # Panics
    /// As [`Self::max_unpool2d`].
    pub fn max_unpool1d / try_max_unpool1d (
        &self, indices: &Tensor, kernel_size: usize, options: &MaxUnpoolOptions<1>,
    ) -> Tensor {
        const OP: &str = "max_unpool1d";
        let (x, indices) = (rows_of(OP, self)?, rows_of(OP, indices)?);
        let [size] = options.sizes(OP, &self.shape()[self.dim() - 1..], [kernel_size])?;
        unpool(&x, &indices, [1, size])?.try_squeeze_dim(-2)
    }

    /// The inverse of [`Self::max_pool2d_with_indices`] as far as there is one: its values back in their places, zeros in
    /// all others. `kernel_size` and options are those of the maximum. Of several elements for one place the last one is
    /// taken.
    ///
    /// A position outside of the plane is found on the device: nothing is updated from then on, and the next read returns
    /// [`Error::Index`](crate::Error::Index).
    ///
    /// ```
    /// use lumigrad::{MaxPoolOptions, MaxUnpoolOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 4.0, 3.0], &[1, 2, 2]);
    /// let (y, indices) = x.max_pool2d_with_indices(2, &MaxPoolOptions::new());
    /// let back = y.max_unpool2d(&indices, 2, &MaxUnpoolOptions::new());
    /// assert_eq!(back.to_vec::<f32>()?, [0.0, 0.0, 4.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes differ, are not `[N, C, H, W]` or `[C, H, W]`, or the elements are no floats or the positions not i32;
    /// when no such maximum gives as many windows for the size.
    pub fn max_unpool2d / try_max_unpool2d (
        &self, indices: &Tensor, kernel_size: impl Into<PerDim<2>>, options: &MaxUnpoolOptions<2>,
    ) -> Tensor {
        check_planes("max_unpool2d", self.shape(), 2)?;
        let size = options.sizes("max_unpool2d", &self.shape()[self.dim() - 2..], kernel_size.into().0)?;
        unpool(self, indices, size)
    }
}
