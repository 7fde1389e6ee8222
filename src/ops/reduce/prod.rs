//! `prod` over a dim, or over all elements. The gradient of each element is that of the result times the product of all the
//! others, taken from the left and from the right: exact where there are zeros.
//!
//! <https://pytorch.org/docs/stable/generated/torch.prod.html>

use smallvec::smallvec;

use super::{
    Kernels, ONCE, Parts, ReduceParams, X_TO_Y, grid_by_group, grid_by_thread, reduce, reduce_kernels, reduced_shape,
    twin,
};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Kernel, Params, ParamsLayout, Variant};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single, softmax};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};

const MATHS: &str = include_str!("../../../shaders/reduce/prod.wgsl");

/// The kernels of a product.
pub(super) static PROD_KERNELS: Kernels =
    reduce_kernels!("prod", ONCE, MATHS, X_TO_Y, Variant::STORAGE, prod_twin, |params, _| product_bound(params));

/// Half an ulp a factor.
pub(super) fn product_bound(params: &Params<'_>) -> Bound {
    Bound::ulps(1.0 + f64::from(params.get::<ReduceParams>().part))
}

fn prod_twin(call: &HostCall<'_>, parts: Parts) -> Result<()> {
    twin(call, parts, (1.0, |a, b| a * b), (|_| 1, |a, b| a.wrapping_mul(b)))
}

macro_rules! backward_kernel {
    ($name:literal, $entry:literal, $grid:expr) => {
        Kernel {
            name: concat!("prod_backward.", $entry),
            source: &[include_str!("../../../shaders/reduce/prod_backward.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), Binding::Read("g"), Binding::Write("dx")],
            params: ParamsLayout::of::<ReduceParams>(),
            variants: Variant::ONLY,
            grid: $grid,
            reference: backward_twin,
            // Half an ulp for each factor of either side.
            bound: |p| Bound::ulps(2.0 + f64::from(p.get::<ReduceParams>().r)),
        }
    };
}

static BACKWARD_BY_THREAD: Kernel = backward_kernel!("prod_backward", "by_thread", grid_by_thread);
static BACKWARD_BY_GROUP: Kernel = backward_kernel!("prod_backward", "by_group", grid_by_group);

fn backward_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ReduceParams = call.params();
    let (x, g, mut dx) = (call.floats(0), call.floats(1), call.floats_mut(2));
    for row in 0..p.n {
        let base = p.output_base(row);
        let at = |j: u32| (p.result_offset + row / p.inner * p.r * p.inner + j * p.inner + row % p.inner) as usize;
        let mut left = 1.0;
        for j in 0..p.r {
            dx[at(j)] = left;
            left *= x[base + p.element_offset(j)];
        }
        let mut right = g[row as usize];
        for j in (0..p.r).rev() {
            dx[at(j)] *= right;
            right *= x[base + p.element_offset(j)];
        }
    }
    Ok(())
}

/// The operation `prod`; without a dim over all elements.
pub(crate) static PROD: Operation = Operation {
    name: "prod",
    kernels: &[
        &PROD_KERNELS.by_thread,
        &PROD_KERNELS.by_group,
        &PROD_KERNELS.rows_by_thread,
        &PROD_KERNELS.rows_by_group,
        &PROD_KERNELS.by_columns,
        &BACKWARD_BY_THREAD,
        &BACKWARD_BY_GROUP,
    ],
    forward,
    vjp: Some(vjp),
    cases,
};

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
    let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
    let y = call.output(x.dtype(), &shape);
    reduce(call, &PROD_KERNELS, x, &dims, &y, 1.0)?;
    call.save(x);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let x = v.saved(0);
    let mut dims = dim_indices("prod", v.attrs().get_ints("dim"), x.dim())?;
    let g = v.gradient().try_contiguous()?;
    // The kernel takes the gradients from their buffer's start.
    let g = if g.offset() == 0 { g } else { g.try_copy()? };
    let dx = v.gradient_output(0);
    let x = if dims.len() == x.dim() {
        // All elements are one row, whatever their places.
        let flat = x.detach().try_reshape([-1i64])?;
        dims = smallvec![0];
        flat
    } else {
        x
    };
    if x.numel() == 0 {
        return Ok(smallvec![Some(dx)]);
    }
    let mut params = ReduceParams::new("prod", &x, &dims, &dx)?;
    params.part = params.r;
    params.inner = dims.first().map_or(1, |&d| numel(&x.shape()[d + 1..])) as u32;
    let alone = softmax::by_thread("prod", v, params.n, params.r, params.inner)?;
    let kernel = if alone { &BACKWARD_BY_THREAD } else { &BACKWARD_BY_GROUP };
    v.dispatch(kernel, 0, &[&x, &g, &dx], &params);
    Ok(smallvec![Some(dx)])
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = super::sum::dims;
    let near_one = Fill::Away(0.9, 1.1);
    let case = |name: &str, shape: &[usize], attrs| Case::new(name, vec![Input::floats(shape)]).attrs(attrs);
    let filled = |shape: &[usize], fill| vec![Input::floats(shape).fill(fill)];
    let arranged = |shape: &[usize], how| vec![Input::floats(shape).arranged(how)];
    let one_zero = Fill::Values(&[2.0, 0.0, -3.0, 0.5, 1.5, -1.0, 4.0]);
    let no_number = Fill::Values(&[1.0, f64::NAN, 2.0, -0.0, 4.0, 0.5, -1.0, 3.0, 0.25, f64::INFINITY, 1.5]);
    let two_zeros = Fill::Values(&[2.0, 0.0, -3.0, 0.0, 1.5]);
    vec![
        case("all", &[4, 3], attrs(&[], false)),
        case("last", &[3, 5], attrs(&[-1], false)),
        case("first", &[5, 3], attrs(&[0], true)),
        case("middle", &[2, 5, 3], attrs(&[1], false)),
        Case::new("a zero", filled(&[3, 7], one_zero)).attrs(attrs(&[1], false)),
        Case::new("zeros", filled(&[3, 5], two_zeros)).attrs(attrs(&[1], false)),
        Case::new("zeros in columns", filled(&[9, 4], one_zero)).attrs(attrs(&[0], false)),
        Case::new("transposed", arranged(&[5, 3], Arrangement::Transposed)).attrs(attrs(&[1], false)),
        Case::new("strided", arranged(&[3, 4], Arrangement::Strided)).attrs(attrs(&[], false)),
        case("0-d", &[], attrs(&[], false)),
        case("one", &[1, 1], attrs(&[0], false)),
        case("nothing", &[0, 3], attrs(&[0], false)).no_gradcheck(),
        case("empty result", &[0, 3], attrs(&[1], false)).no_gradcheck(),
        Case::new("long", filled(&[3, 700], near_one)).attrs(attrs(&[1], false)).no_gradcheck(),
        Case::new("longer", filled(&[2, 20_000], Fill::Away(0.9999, 1.0001))).attrs(attrs(&[1], false)).no_gradcheck(),
        Case::new("many", filled(&[700, 5], near_one)).attrs(attrs(&[1], false)).no_gradcheck(),
        Case::new("i32", vec![Input::ints(&[3, 7], -4, 5)]).attrs(attrs(&[1], false)),
        Case::new("u32", vec![Input::ints(&[3, 7], 1, 4).dtype(DType::U32)]).attrs(attrs(&[1], false)),
        Case::new("zeros by fours", filled(&[3, 8], one_zero)).attrs(attrs(&[1], false)),
        Case::new("no number by fours", filled(&[5, 8], no_number)).attrs(attrs(&[1], false)).no_gradcheck(),
        Case::new("long by fours", filled(&[3, 5_000], Fill::Away(0.999, 1.001)))
            .attrs(attrs(&[1], false))
            .no_gradcheck(),
        Case::new("columns by fours", filled(&[9, 8], one_zero)).attrs(attrs(&[0], false)),
        Case::new("no number in columns", filled(&[5, 12], no_number)).attrs(attrs(&[0], false)).no_gradcheck(),
        Case::new("long columns", filled(&[5_003, 8], Fill::Away(0.999, 1.001)))
            .attrs(attrs(&[0], false))
            .no_gradcheck(),
        Case::new("i32 by fours", vec![Input::ints(&[3, 8], -4, 5)]).attrs(attrs(&[1], false)),
        Case::new("u32 by fours", vec![Input::ints(&[3, 8], 1, 4).dtype(DType::U32)]).attrs(attrs(&[1], false)),
        Case::new("columns of i32", vec![Input::ints(&[50, 4], -4, 5)]).attrs(attrs(&[0], false)),
        Case::new("columns of u32", vec![Input::ints(&[50, 4], 1, 4).dtype(DType::U32)]).attrs(attrs(&[0], false)),
        case("bad dim", &[2, 3], attrs(&[2], false)).fails(),
    ]
}

fn prod(x: &Tensor, attrs: Attrs) -> Result<Tensor> {
    let x = if x.dtype() == DType::Bool { x.try_to_dtype(DType::I32)? } else { x.clone() };
    single(apply(&PROD, &[&x], attrs))
}

methods! {
    /// The product of all elements, 0-d; 1 if there are none. Its gradient is exact where elements are 0.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[2.0f32, 0.0, 5.0], &[3]).requires_grad();
    /// x.prod().backward()?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [0.0, 10.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn prod / try_prod (&self) -> Tensor {
        prod(self, super::sum::dims(&[], false))
    }

    /// The product over a dim. `keepdim` leaves it with size 1.
    ///
    /// # Panics
    /// When the dim does not exist.
    pub fn prod_dim / try_prod_dim (&self, dim: i64, keepdim: bool) -> Tensor {
        prod(self, super::sum::dims(&[dim], keepdim))
    }
}
