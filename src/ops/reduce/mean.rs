//! `mean` over any dims: the sum divided by the number of elements n. The gradient of each element is g / n.
//!
//! <https://pytorch.org/docs/stable/generated/torch.mean.html>

use smallvec::smallvec;

use super::sum::{SUM_KERNELS, reduction_cases};
use super::{reduce, reduced_shape, spread};
use crate::dtype::DType;
use crate::ops::{Attrs, Operation, apply, cases, fill, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};
use crate::{Error, Result};

/// The operation `mean`: the kernels of a sum, with a scale.
pub(crate) static MEAN: Operation = Operation {
    name: "mean",
    kernels: &[],
    forward: |call| {
        let x = call.input(0);
        check(x)?;
        let dims = dim_indices(call.op(), call.attrs().get_ints("dim"), x.dim())?;
        let shape = reduced_shape(x.shape(), &dims, call.attrs().get_bool("keepdim"));
        let n = count(x.shape(), &dims);
        if n == 0 {
            // 0 / 0, without asking a driver what it makes of it.
            return Ok(smallvec![fill::full(&shape, f64::NAN, DType::F32, call.device())?]);
        }
        let y = call.output(DType::F32, &shape);
        reduce(call, &SUM_KERNELS, x, &dims, &y, 1.0 / n as f32)?;
        Ok(smallvec![y])
    },
    vjp: Some(|v| {
        let shape = v.input_shape(0);
        let dims = dim_indices("mean", v.attrs().get_ints("dim"), shape.len())?;
        let g = v.gradient().try_div_scalar(count(shape, &dims) as f64)?;
        Ok(smallvec![Some(spread(&g, shape, &dims)?)])
    }),
    cases: || {
        let mut list = reduction_cases();
        let attrs = Attrs::new().ints("dim", []).bool("keepdim", false);
        list.push(cases::Case::new("i32", vec![cases::Input::ints(&[3, 4], -9, 9)]).attrs(attrs).fails());
        list
    },
};

fn count(shape: &[usize], dims: &[usize]) -> usize {
    let sizes: Vec<usize> = dims.iter().map(|&d| shape[d]).collect();
    numel(&sizes)
}

fn check(x: &Tensor) -> Result<()> {
    if x.dtype().is_float() {
        return Ok(());
    }
    let hint = "convert with `.to_dtype(DType::F32)`";
    Err(Error::dtype("mean", format!("the mean of {} elements need not be a whole number; {hint}", x.dtype())))
}

methods! {
    /// The mean of all elements, 0-d; NaN if there are none. Integers are refused, as in PyTorch.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// assert_eq!(Tensor::from_slice(&[1.0f32, 2.0, 6.0], &[3]).mean().item::<f32>()?, 3.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn mean / try_mean (&self) -> Tensor {
        self.try_mean_dims(&[], false)
    }

    /// The mean over some dims; all of them if the list is empty. `keepdim` leaves them with size 1.
    pub fn mean_dims / try_mean_dims (&self, dims: &[i64], keepdim: bool) -> Tensor {
        single(apply(&MEAN, &[self], Attrs::new().ints("dim", dims).bool("keepdim", keepdim)))
    }
}
