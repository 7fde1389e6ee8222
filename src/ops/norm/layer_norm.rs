//! `layer_norm` over the last dims: each row with mean μ and variance σ² = Σ(x − μ)²/n of its n elements,
//!
//! `x̂ = (x − μ) / √(σ² + ε)`, `y_j = w_j·x̂_j + b_j`; with v = w·g,
//! `dx = (v − Σv/n − x̂·Σ(v·x̂)/n) / √(σ² + ε)`, `dw = Σ g·x̂` and `db = Σ g` over the rows.
//!
//! Ba, Kiros and Hinton, "Layer normalization" (2016).
//! <https://pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html>

use smallvec::SmallVec;

use super::rows::{attrs, check_last_dims, forward, last_dims, vjp};
use crate::ops::{Operation, apply, cases, methods, single};
use crate::tensor::Tensor;

/// The operation `layer_norm`: inputs `x` and perhaps weight and bias.
pub(crate) static LAYER_NORM: Operation = Operation {
    name: "layer_norm",
    kernels: &[
        &super::ROWS_BY_THREAD,
        &super::ROWS_BY_QUADS,
        &super::ROWS_BACKWARD_BY_QUADS,
        &super::SUMS_BY_COLUMNS,
        &super::ROWS_BY_GROUP,
        &super::ROWS_BACKWARD_BY_THREAD,
        &super::ROWS_BACKWARD_BY_GROUP,
    ],
    forward: |call| {
        let normalized = call.attrs().get_sizes("normalized_shape");
        check_last_dims(call, &normalized)?;
        forward(call, &last_dims(call.input(0).shape(), &normalized, true))
    },
    vjp: Some(|v| vjp(v, &last_dims(v.input_shape(0), &v.attrs().get_sizes("normalized_shape"), true))),
    cases: || last_dims_cases(true),
};

/// Cases of a norm over the last dims.
pub(super) fn last_dims_cases(with_bias: bool) -> Vec<cases::Case> {
    use crate::ops::Attrs;
    use cases::{Arrangement, Case, Fill, Input};
    let case = |name: &str, x: Input, normalized: &[usize], weight: bool, bias: bool| {
        let vector = || Input::floats(normalized);
        let mut inputs = vec![x];
        inputs.extend(weight.then(|| vector().fill(Fill::Away(0.5, 1.5))));
        inputs.extend((bias && with_bias).then(vector));
        let attrs = Attrs::new().bool("weight", weight).bool("bias", bias && with_bias);
        Case::new(name, inputs).attrs(attrs.float("eps", 1e-5).sizes("normalized_shape", normalized))
    };
    let floats = |shape: &[usize]| Input::floats(shape);
    let infinite = Fill::Values(&[1.0, 2.0, f64::INFINITY, -3.0, f64::NAN, 0.5, 7.0]);
    let mut list = vec![
        case("typical", floats(&[4, 6]), &[6], true, true),
        case("plain", floats(&[3, 5]), &[5], false, false),
        case("weight only", floats(&[3, 5]), &[5], true, false),
        case("two dims", floats(&[2, 3, 4]), &[3, 4], true, true),
        case("all dims", floats(&[3, 4]), &[3, 4], true, true),
        case("vector", floats(&[7]), &[7], true, true),
        case("one", floats(&[3, 2]), &[2], true, true),
        case("empty", floats(&[0, 3]), &[3], true, true),
        case("transposed", floats(&[5, 3]).arranged(Arrangement::Transposed), &[3], true, true),
        case("strided", floats(&[2, 3, 4]).arranged(Arrangement::Strided), &[4], true, true),
        case("expanded", floats(&[3, 4]).arranged(Arrangement::Expanded), &[4], true, true),
        case("many rows", floats(&[700, 3]), &[3], true, true).no_gradcheck(),
        case("wide", floats(&[20, 1000]), &[1000], true, true).no_gradcheck(),
        case("tall", floats(&[3000, 70]), &[70], true, true).no_gradcheck(),
        case("long", floats(&[2, 35_000]), &[35_000], true, true).no_gradcheck(),
        case("far from zero", floats(&[3, 600]).fill(Fill::Uniform(1000.0, 1001.0)), &[600], true, true).no_gradcheck(),
        case("constant", floats(&[3, 100]).fill(Fill::Values(&[0.1])), &[100], true, true).no_gradcheck(),
        case("not finite", floats(&[4, 5]).fill(infinite), &[5], true, true).no_gradcheck(),
        case("not finite, in vectors", floats(&[7, 8]).fill(infinite), &[8], true, true).no_gradcheck(),
        case("rows in vectors", floats(&[19, 8]), &[8], true, true),
        case("from an odd place", floats(&[19, 8]).arranged(Arrangement::Behind), &[8], true, true),
        case("weight only, in vectors", floats(&[5, 4]), &[4], true, false),
        case("tall, in vectors", floats(&[3000, 72]), &[72], true, true).no_gradcheck(),
        case("another shape", floats(&[3, 5]), &[4], false, false).fails(),
        case("too many dims", floats(&[5]), &[3, 5], false, false).fails(),
        case("no dims", floats(&[5]), &[], false, false).fails(),
        case("i32", Input::ints(&[3, 2], 0, 5), &[2], false, false).fails(),
    ];
    let mut wrong = case("wrong weight", floats(&[3, 5]), &[5], true, true).fails();
    wrong.inputs[1] = floats(&[4]);
    list.push(wrong);
    list
}

methods! {
    /// Normalises each row, the last dims `normalized_shape`, to mean 0 and variance 1, then multiplies it by `weight` and
    /// adds `bias`, both of that shape.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 20.0], &[2, 2]);
    /// let y = x.layer_norm(&[2], None, None, 0.0);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the input does not end with `normalized_shape`, or a weight has another shape.
    pub fn layer_norm / try_layer_norm (
        &self, normalized_shape: &[usize], weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64
    ) -> Tensor {
        let inputs: SmallVec<[&Tensor; 3]> = [Some(self), weight, bias].into_iter().flatten().collect();
        single(apply(&LAYER_NORM, &inputs, attrs(weight, bias, eps).sizes("normalized_shape", normalized_shape)))
    }
}
