//! Matrix products: `C = A·B`, `dA = dC·Bᵀ`, `dB = Aᵀ·dC`, with batch dims broadcast and transposed operands read in place.
//!
//! <https://pytorch.org/docs/stable/generated/torch.matmul.html>

use smallvec::smallvec;

pub(crate) use self::choice::{FAMILY, multiply};
use self::kernels::{
    COOPERATIVE, COOPERATIVE_8, LARGE, REGISTERS, REGISTERS_HALF, SPLIT, SUBGROUPS, TILED, TILED_HALF, VECTORS,
};
use super::{Attrs, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::amp;
use crate::dtype::DType;
use crate::engine::Kernel;
use crate::tensor::shape::broadcast;
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

mod choice;
mod kernels;

/// A view with the last two dims exchanged.
pub(crate) fn transposed(t: &Tensor) -> Tensor {
    let (mut shape, mut strides): (Shape, Shape) = (t.shape().into(), t.strides().into());
    let rank = shape.len();
    shape.swap(rank - 2, rank - 1);
    strides.swap(rank - 2, rank - 1);
    t.view_as_layout(Layout { shape, strides, offset: t.offset() })
}

/// The operation `matmul`, of operands with at least two dims; the method brings others to that form.
pub(crate) static MATMUL: Operation = Operation { name: "matmul", kernels: KERNELS, forward, vjp: Some(vjp), cases };

const KERNELS: &[&Kernel] = &[
    &TILED,
    &LARGE,
    &SPLIT,
    &REGISTERS,
    &SUBGROUPS,
    &VECTORS,
    &TILED_HALF,
    &REGISTERS_HALF,
    &COOPERATIVE,
    &COOPERATIVE_8,
];

fn forward(call: &mut super::Call<'_>) -> Result<Outputs> {
    let (a, b) = (call.input(0), call.input(1));
    check_floats(call.op(), &[a, b])?;
    let shape = product_shape(a.shape(), b.shape())?;
    let c = call.output(a.dtype(), &shape);
    multiply(call, a, b, None, &c)?;
    call.save(a);
    call.save(b);
    Ok(smallvec![c])
}

fn product_shape(a: &[usize], b: &[usize]) -> Result<Shape> {
    let ([outer_a @ .., m, k], [outer_b @ .., l, n]) = (a, b) else {
        return Err(Error::shape("matmul", format!("operands of shapes {a:?} and {b:?} need at least 2 dims here")));
    };
    if k != l {
        let detail = format!("shapes {a:?} and {b:?} do not fit: {k} columns on the left, {l} rows on the right");
        return Err(Error::shape("matmul", detail));
    }
    let mut shape = broadcast("matmul", outer_a, outer_b)?;
    shape.extend([*m, *n]);
    Ok(shape)
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (g, a, b) = (v.gradient(), v.saved(0), v.saved(1));
    let da = if v.needs(0) { Some(gradient(v, 0, g, &transposed(&b))?) } else { None };
    let db = if v.needs(1) { Some(gradient(v, 1, &transposed(&a), g)?) } else { None };
    Ok(smallvec![da, db])
}

/// One operand's gradient, over the broadcast batch.
fn gradient(v: &mut Vjp<'_>, i: usize, left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let shape = product_shape(left.shape(), right.shape())?;
    let d = if v.input_shape(i) == shape.as_slice() { v.gradient_output(i) } else { v.output(left.dtype(), &shape) };
    multiply(v, left, right, None, &d)?;
    Ok(d)
}

pub(crate) fn check_floats(op: &'static str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().find(|t| !t.dtype().is_float()) {
        Some(t) => {
            Err(Error::dtype(op, format!("takes floats, not {}; convert with `.to_dtype(DType::F32)`", t.dtype())))
        }
        None => Ok(()),
    }
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let pair = |name: &str, a: &[usize], b: &[usize]| Case::new(name, vec![Input::floats(a), Input::floats(b)]);
    let halves = |name: &str, dtype: DType, a: &[usize], b: &[usize]| {
        Case::new(name, vec![Input::floats(a).dtype(dtype), Input::floats(b).dtype(dtype)]).no_gradcheck()
    };
    let inner = |name: &str, dtype: DType, a: &[usize], b: &[usize]| {
        let inputs = [a, b].map(|shape| Input::floats(shape).dtype(dtype).arranged(Arrangement::Inner)).to_vec();
        Case::new(name, inputs).no_gradcheck()
    };
    let large = |shape: &[usize]| Input::floats(shape).fill(cases::Fill::Away(100.0, 300.0)).dtype(DType::F16);
    vec![
        pair("square", &[4, 4], &[4, 4]),
        pair("odd", &[3, 5], &[5, 7]),
        pair("one", &[1, 1], &[1, 1]),
        pair("row", &[1, 9], &[9, 4]),
        pair("column", &[5, 3], &[3, 1]),
        pair("no k", &[3, 0], &[0, 4]),
        pair("no k in a batch", &[2, 3, 0], &[2, 0, 4]),
        pair("no rows", &[0, 3], &[3, 4]),
        pair("batch", &[2, 3, 4], &[2, 4, 5]),
        pair("broadcast batch", &[2, 1, 3, 4], &[3, 4, 2]),
        pair("deep", &[2, 3000], &[3000, 2]).no_gradcheck(),
        pair("deeper than lavapipe's loops, in vectors", &[4, 70_004], &[70_004, 4]).no_gradcheck(),
        pair("deeper than lavapipe's loops", &[1, 70_001], &[70_001, 1]).no_gradcheck(),
        pair("tile edges", &[65, 33], &[33, 66]).no_gradcheck(),
        pair("several tiles", &[130, 70], &[70, 129]).no_gradcheck(),
        pair("vectors", &[36, 12], &[12, 44]).no_gradcheck(),
        pair("vectors of a batch", &[3, 1, 20, 8], &[2, 8, 4]).no_gradcheck(),
        pair("vectors of several blocks", &[140, 36], &[36, 264]).no_gradcheck(),
        pair("vectors, deep", &[12, 3000], &[3000, 8]).no_gradcheck(),
        pair("vectors, a row more", &[17, 4], &[4, 36]).no_gradcheck(),
        Case::new(
            "vectors, both transposed",
            vec![
                Input::floats(&[20, 8]).arranged(Arrangement::Transposed),
                Input::floats(&[8, 36]).arranged(Arrangement::Transposed),
            ],
        )
        .no_gradcheck(),
        Case::new(
            "vectors of several blocks, both transposed",
            vec![
                Input::floats(&[136, 36]).arranged(Arrangement::Transposed),
                Input::floats(&[36, 132]).arranged(Arrangement::Transposed),
            ],
        )
        .no_gradcheck(),
        Case::new(
            "transposed left",
            vec![Input::floats(&[5, 3]).arranged(Arrangement::Transposed), Input::floats(&[3, 4])],
        ),
        Case::new(
            "transposed right",
            vec![Input::floats(&[5, 3]), Input::floats(&[3, 70]).arranged(Arrangement::Transposed)],
        ),
        Case::new(
            "strided",
            vec![
                Input::floats(&[3, 4]).arranged(Arrangement::Strided),
                Input::floats(&[4, 3]).arranged(Arrangement::Strided),
            ],
        ),
        Case::new(
            "expanded",
            vec![
                Input::floats(&[3, 4]).arranged(Arrangement::Expanded),
                Input::floats(&[4, 3]).arranged(Arrangement::Expanded),
            ],
        ),
        inner("vectors inside of larger matrices", DType::F32, &[12, 40], &[40, 36]),
        inner("vectors inside, deep", DType::F32, &[4, 200], &[200, 8]),
        inner("f16 in eights inside of larger matrices", DType::F16, &[2, 12, 40], &[2, 40, 72]),
        halves("f16", DType::F16, &[5, 7], &[7, 4]),
        halves("bf16", DType::BF16, &[5, 7], &[7, 4]),
        halves("f16 of an odd width", DType::F16, &[5, 4], &[4, 7]),
        halves("bf16 of an odd width", DType::BF16, &[1, 3], &[3, 1]),
        halves("f16 of a batch", DType::F16, &[2, 1, 3, 4], &[3, 4, 2]),
        halves("bf16 tile edges", DType::BF16, &[65, 33], &[33, 66]),
        halves("f16 several tiles", DType::F16, &[130, 70], &[70, 130]),
        halves("f16 in eights", DType::F16, &[40, 24], &[24, 48]),
        halves("f16 in eights, several tiles", DType::F16, &[70, 72], &[72, 136]),
        halves("f16 in eights of a batch", DType::F16, &[2, 1, 9, 16], &[3, 16, 8]),
        halves("f16 in eights, deep", DType::F16, &[9, 3000], &[3000, 8]),
        Case::new(
            "f16, both transposed, in eights",
            vec![
                Input::floats(&[72, 24]).dtype(DType::F16).arranged(Arrangement::Transposed),
                Input::floats(&[24, 72]).dtype(DType::F16).arranged(Arrangement::Transposed),
            ],
        )
        .no_gradcheck(),
        Case::new(
            "f16, both transposed",
            vec![
                Input::floats(&[20, 8]).dtype(DType::F16).arranged(Arrangement::Transposed),
                Input::floats(&[8, 36]).dtype(DType::F16).arranged(Arrangement::Transposed),
            ],
        )
        .no_gradcheck(),
        Case::new(
            "bf16, strided",
            vec![
                Input::floats(&[3, 5]).dtype(DType::BF16).arranged(Arrangement::Strided),
                Input::floats(&[5, 6]).dtype(DType::BF16).arranged(Arrangement::Strided),
            ],
        )
        .no_gradcheck(),
        Case::new("f16 beyond its range", vec![large(&[3, 4]), large(&[4, 2])]).no_gradcheck(),
        Case::new("f16 in eights, beyond its range", vec![large(&[8, 8]), large(&[8, 16])]).no_gradcheck(),
        halves("f16 in eights, no k", DType::F16, &[8, 0], &[0, 8]),
        Case::new("two types", vec![Input::floats(&[2, 2]), Input::floats(&[2, 2]).dtype(DType::F16)]).fails(),
        pair("inner dims", &[2, 3], &[4, 2]).fails(),
        pair("batches", &[2, 3, 4], &[3, 4, 2]).fails(),
        Case::new("integers", vec![Input::ints(&[2, 2], 0, 3), Input::ints(&[2, 2], 0, 3)]).fails(),
    ]
}

/// [`Tensor::matmul`] of tensors with these dims only.
fn of_dims(op: &'static str, what: &str, (x, dims): (&Tensor, usize), (y, others): (&Tensor, usize)) -> Result<Tensor> {
    if (x.dim(), y.dim()) != (dims, others) || x.shape().last() != y.shape().first() {
        let detail = format!("needs {what} that fit, got {:?} and {:?}", x.shape(), y.shape());
        return Err(Error::shape(op, detail));
    }
    x.try_matmul(y)
}

methods! {
    /// The matrix product: of two vectors their dot product, of a matrix and a vector a vector, of anything larger
    /// products of matrices with the outer dims broadcast.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// let x = Tensor::from_slice(&[1.0f32, 1.0], &[2]);
    /// assert_eq!(a.matmul(&x).to_vec::<f32>()?, [3.0, 7.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn matmul / try_matmul (&self, other: &Tensor) -> Tensor {
        if self.dim() == 0 || other.dim() == 0 {
            let detail = format!("shapes {:?} and {:?}: both need at least one dim", self.shape(), other.shape());
            return Err(Error::shape("matmul", detail));
        }
        let left = if self.dim() == 1 { self.try_unsqueeze(0)? } else { self.clone() };
        let right = if other.dim() == 1 { other.try_unsqueeze(1)? } else { other.clone() };
        let mut c = single(apply(&MATMUL, &[&left, &right], Attrs::new()))?;
        if other.dim() == 1 {
            c = c.try_squeeze_dim(-1)?;
        }
        if self.dim() == 1 {
            c = c.try_squeeze_dim(if other.dim() == 1 { -1 } else { -2 })?;
        }
        Ok(c)
    }

    /// The product of two matrices, without broadcasting.
    pub fn mm / try_mm (&self, other: &Tensor) -> Tensor {
        of_dims("mm", "two matrices", (self, 2), (other, 2))
    }

    /// The product of a matrix and a vector.
    pub fn mv / try_mv (&self, vec: &Tensor) -> Tensor {
        of_dims("mv", "a matrix and a vector", (self, 2), (vec, 1))
    }

    /// The sum of the products of two vectors' elements.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]);
    /// assert_eq!(x.dot(&x).item::<f32>()?, 14.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn dot / try_dot (&self, other: &Tensor) -> Tensor {
        of_dims("dot", "two vectors", (self, 1), (other, 1))
    }

    /// The batched matrix product of two 3-d tensors, without broadcasting.
    pub fn bmm / try_bmm (&self, other: &Tensor) -> Tensor {
        if self.dim() != 3 || other.dim() != 3 || self.shape()[0] != other.shape()[0] {
            let detail = format!("needs two 3-d tensors of equal batch, got {:?} and {:?}", self.shape(), other.shape());
            return Err(Error::shape("bmm", detail));
        }
        single(apply(&MATMUL, &[self, other], Attrs::new()))
    }

    /// `beta·self + alpha·(left·right)` of two matrices; `self` is broadcast to the product's shape. With a `beta` of 0
    /// `self` is not looked at, so that NaN in it does not pass on.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.addmm.html>
    pub fn addmm / try_addmm (&self, left: &Tensor, right: &Tensor, beta: f64, alpha: f64) -> Tensor {
        if left.dim() != 2 || right.dim() != 2 {
            let detail = format!("needs two matrices, got shapes {:?} and {:?}", left.shape(), right.shape());
            return Err(Error::shape("addmm", detail));
        }
        let product = left.try_matmul(right)?;
        let own = amp::half(self)?.try_expand(product.shape())?;
        let product = if alpha == 1.0 { product } else { product.try_mul_scalar(alpha)? };
        match beta {
            0.0 => Ok(product),
            1.0 => own.try_add(&product),
            _ => own.try_mul_scalar(beta)?.try_add(&product),
        }
    }

    /// Every element of one vector times every element of another: `self` along the rows.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.outer(&x).to_vec::<f32>()?, [1.0, 2.0, 2.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn outer / try_outer (&self, other: &Tensor) -> Tensor {
        if self.dim() != 1 || other.dim() != 1 {
            let detail = format!("needs two vectors, got shapes {:?} and {:?}", self.shape(), other.shape());
            return Err(Error::shape("outer", detail));
        }
        self.try_unsqueeze(1)?.try_mul(other)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Device;
    use crate::tensor::Tensor;

    #[test]
    fn the_right_operand_may_be_one_column_repeated() {
        let device = Device::reference();
        let a = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2], &device);
        let b = Tensor::from_slice_on(&[1.0f32, 10.0], &[2, 1], &device).expand([2, 3]);
        assert_eq!(a.matmul(&b).to_vec::<f32>().unwrap(), [21.0, 21.0, 21.0, 43.0, 43.0, 43.0]);
    }
}
