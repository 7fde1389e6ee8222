//! `y = x·Wᵀ + b` in one kernel: `dx = g·W`, `dW = gᵀ·x`, `db` the sum of g over all but the last dim.
//!
//! The kernels are those of `matmul`. <https://pytorch.org/docs/stable/generated/torch.nn.functional.linear.html>

use smallvec::smallvec;

use super::matmul::{check_floats, multiply, transposed};
use super::{Attrs, Gradients, Operation, Outputs, Vjp, apply_biased, cases, methods};
use crate::dtype::DType;
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

/// The operation `linear`: inputs `x`, `weight` and perhaps `bias`.
pub(crate) static LINEAR: Operation = Operation { name: "linear", kernels: &[], forward, vjp: Some(vjp), cases };

fn forward(call: &mut super::Call<'_>) -> Result<Outputs> {
    let (x, weight, bias) = (call.input(0), call.input(1), call.inputs().get(2).copied());
    check_floats(call.op(), call.inputs())?;
    check_shapes(x, weight, bias)?;
    let mut shape: Shape = x.shape().into();
    *shape.last_mut().expect("checked: x has a dim") = weight.shape()[0];
    let y = call.output(x.dtype(), &shape);
    let bias = bias.map(Tensor::detach).map(|b| b.try_contiguous()).transpose()?;
    multiply(call, &matrix(x)?, &transposed(weight), bias.as_ref(), &matrix(&y)?)?;
    call.save(x);
    call.save(weight);
    Ok(smallvec![y])
}

fn check_shapes(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    let (x, w) = (x.shape(), weight.shape());
    let [out, features] = w else {
        return Err(Error::shape("linear", format!("the weight needs the shape [out, in], it has {w:?}")));
    };
    if x.last() != Some(features) {
        let detail =
            format!("an input of shape {x:?} does not fit a weight of shape {w:?}: the last dim must be {features}");
        return Err(Error::shape("linear", detail));
    }
    match bias.map(Tensor::shape) {
        Some(b) if b != [*out] => {
            Err(Error::shape("linear", format!("the bias needs the shape [{out}], it has {b:?}")))
        }
        _ => Ok(()),
    }
}

/// All dims but the last as one: no copy where the rows lie evenly.
fn matrix(t: &Tensor) -> Result<Tensor> {
    let columns = t.shape()[t.dim() - 1];
    let rows: usize = t.shape()[..t.dim() - 1].iter().product();
    let t = t.detach();
    if t.dim() == 2 {
        return Ok(t);
    }
    let t = t.try_contiguous()?;
    let layout = Layout { shape: smallvec![rows, columns], strides: smallvec![columns, 1], offset: t.offset() };
    Ok(t.view_as_layout(layout))
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (x, weight) = (v.saved(0), v.saved(1));
    let g = matrix(v.gradient())?;
    let mut gradients = Gradients::new();
    gradients.push(if v.needs(0) {
        let dx = v.gradient_output(0);
        multiply(v, &g, &weight, None, &matrix(&dx)?)?;
        Some(dx)
    } else {
        None
    });
    gradients.push(if v.needs(1) {
        let dw = v.gradient_output(1);
        multiply(v, &transposed(&g), &matrix(&x)?, None, &dw)?;
        Some(dw)
    } else {
        None
    });
    if v.inputs_len() == 3 {
        gradients.push(if v.needs(2) {
            // Halves are summed as f32.
            let (half, shape) = (g.dtype().is_half(), v.input_shape(2));
            let db = if half { v.output(DType::F32, shape) } else { v.gradient_output(2) };
            super::reduce::sum::sum_into(v, &g, &[0], &db)?;
            Some(db)
        } else {
            None
        });
    }
    Ok(gradients)
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let three = |name: &str, x: &[usize], w: &[usize], b: &[usize]| {
        Case::new(name, vec![Input::floats(x), Input::floats(w), Input::floats(b)])
    };
    let halves = |name: &str, dtype: DType, x: &[usize], w: &[usize], b: &[usize]| {
        let inputs = [x, w, b].map(|shape| Input::floats(shape).dtype(dtype)).to_vec();
        Case::new(name, inputs).no_gradcheck()
    };
    vec![
        three("typical", &[4, 5], &[3, 5], &[3]),
        Case::new("no bias", vec![Input::floats(&[4, 5]), Input::floats(&[3, 5])]),
        three("vector", &[5], &[3, 5], &[3]),
        three("3-d", &[2, 3, 5], &[4, 5], &[4]),
        three("empty batch", &[0, 5], &[3, 5], &[3]),
        Case::new(
            "transposed input",
            vec![
                Input::floats(&[4, 5]).arranged(Arrangement::Transposed),
                Input::floats(&[3, 5]).arranged(Arrangement::Transposed),
                Input::floats(&[3]).arranged(Arrangement::Strided),
            ],
        ),
        three("large", &[33, 70], &[65, 70], &[65]).no_gradcheck(),
        three("large, in vectors", &[132, 64], &[136, 64], &[136]).no_gradcheck(),
        halves("f16", DType::F16, &[4, 5], &[6, 5], &[6]),
        halves("bf16", DType::BF16, &[2, 3, 5], &[4, 5], &[4]),
        halves("f16 of an odd width", DType::F16, &[4, 5], &[3, 5], &[3]),
        halves("f16 in eights", DType::F16, &[16, 72], &[40, 72], &[40]),
        halves("bf16 large", DType::BF16, &[33, 70], &[66, 70], &[66]),
        three("features", &[4, 6], &[3, 5], &[3]).fails(),
        three("bias", &[4, 5], &[3, 5], &[5]).fails(),
    ]
}

methods! {
    /// `self·weightᵀ + bias`, where `self` is `[…, in]`, `weight` is `[out, in]` and `bias` is `[out]`. A weight `[in]`
    /// gives one number a row, without a dim for it; its bias is 0-d.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[1, 2]);
    /// let w = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 1.0, 1.0, 1.0], &[3, 2]);
    /// assert_eq!(x.linear(&w, None).to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn linear / try_linear (&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        if weight.dim() == 1 {
            if bias.is_some_and(|b| b.dim() != 0) {
                return Err(Error::shape("linear", "the bias of a weight of shape [in] must be 0-d"));
            }
            let y = self.try_matmul(weight)?;
            return bias.map_or(Ok(y.clone()), |b| y.try_add(b));
        }
        apply_biased(&LINEAR, [self, weight], bias, Attrs::new())
    }
}
