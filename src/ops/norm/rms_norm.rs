//! `rms_norm` over the last dims: each row by the root of the mean of its n squares,
//!
//! `x̂ = x / √(Σx²/n + ε)`, `y_j = w_j·x̂_j`; with v = w·g,
//! `dx = (v − x̂·Σ(v·x̂)/n) / √(Σx²/n + ε)`, `dw = Σ g·x̂` over the rows.
//!
//! The kernels are those of `layer_norm`, without the mean. Zhang and Sennrich, "Root mean square layer normalization"
//! (2019). <https://pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html>

use smallvec::SmallVec;

use super::layer_norm::last_dims_cases;
use super::rows::{attrs, check_last_dims, forward, last_dims, vjp};
use crate::ops::{Operation, apply, methods, single};
use crate::tensor::Tensor;

/// The operation `rms_norm`: inputs `x` and perhaps a weight.
pub(crate) static RMS_NORM: Operation = Operation {
    name: "rms_norm",
    kernels: &[],
    forward: |call| {
        let normalized = call.attrs().get_sizes("normalized_shape");
        check_last_dims(call, &normalized)?;
        forward(call, &last_dims(call.input(0).shape(), &normalized, false))
    },
    vjp: Some(|v| vjp(v, &last_dims(v.input_shape(0), &v.attrs().get_sizes("normalized_shape"), false))),
    cases: || last_dims_cases(false),
};

methods! {
    /// Divides each row, the last dims `normalized_shape`, by the root of the mean of its squares, then multiplies it by
    /// `weight`, of that shape. `eps` is f32's 2⁻²³ unless given.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[3.0f32, 4.0, 0.0, 0.0], &[1, 4]);
    /// let y = x.rms_norm(&[4], None, Some(0.0));
    /// assert_eq!(y.to_vec::<f32>()?, [1.2, 1.6, 0.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the input does not end with `normalized_shape`, or the weight has another shape.
    pub fn rms_norm / try_rms_norm (
        &self, normalized_shape: &[usize], weight: Option<&Tensor>, eps: Option<f64>
    ) -> Tensor {
        let inputs: SmallVec<[&Tensor; 3]> = [Some(self), weight].into_iter().flatten().collect();
        let eps = eps.unwrap_or(f64::from(f32::EPSILON));
        single(apply(&RMS_NORM, &inputs, attrs(weight, None, eps).sizes("normalized_shape", normalized_shape)))
    }
}
