//! Dropout of whole channels, and dropout that keeps mean and variance: made of other operations.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.dropout2d.html>,
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.alpha_dropout.html>

use super::elementwise::dropout::check_probability;
use super::methods;
use crate::dtype::DType;
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// Drops along the channels: the dim before the last `spatial` ones, and all before it.
fn drop_channels(op: &'static str, x: &Tensor, spatial: usize, p: f64, training: bool) -> Result<Tensor> {
    check_probability(op, p)?;
    if ![spatial + 1, spatial + 2].contains(&x.dim()) {
        let detail = format!("needs {} or {} dims; the shape is {:?}", spatial + 1, spatial + 2, x.shape());
        return Err(Error::shape(op, detail));
    }
    // Two dims with a batch; PyTorch's dropout2d takes the first of three dims for one.
    let kept = if op == "dropout2d" { 2 } else { x.dim() - spatial };
    if !training || p == 0.0 {
        return Ok(x.clone());
    }
    let mut shape: Shape = x.shape().into();
    shape[kept..].fill(1);
    let factors = Tensor::try_full_on(&shape, 1.0, DType::F32, x.device())?.try_dropout(p, true)?;
    x.try_mul(&factors)
}

methods! {
    /// While training, each channel of `[N, C, L]` or `[C, L]` becomes 0 with probability `p`, and the others are divided by
    /// `1 − p`. Otherwise the tensor itself.
    pub fn dropout1d / try_dropout1d (&self, p: f64, training: bool) -> Tensor {
        drop_channels("dropout1d", self, 1, p, training)
    }

    /// While training, each channel of `[N, C, H, W]` or `[N, C, L]` becomes 0 with probability `p`, and the others are
    /// divided by `1 − p`. Otherwise the tensor itself.
    ///
    /// Three dims are `[N, C, L]`, as in PyTorch (which warns of it), and not `[C, H, W]`.
    pub fn dropout2d / try_dropout2d (&self, p: f64, training: bool) -> Tensor {
        drop_channels("dropout2d", self, 2, p, training)
    }

    /// While training, each channel of `[N, C, D, H, W]` or `[C, D, H, W]` becomes 0 with probability `p`, and the others are
    /// divided by `1 − p`. Otherwise the tensor itself.
    pub fn dropout3d / try_dropout3d (&self, p: f64, training: bool) -> Tensor {
        drop_channels("dropout3d", self, 3, p, training)
    }

    /// While training, each element becomes `−1.7581` with probability `p`, the value of [`Self::selu`] far below 0; then all
    /// are scaled and shifted so that mean 0 and variance 1 stay. Otherwise the tensor itself.
    pub fn alpha_dropout / try_alpha_dropout (&self, p: f64, training: bool) -> Tensor {
        check_probability("alpha_dropout", p)?;
        if !training || p == 0.0 {
            return Ok(self.clone());
        }
        if p == 1.0 {
            return self.try_mul_scalar(0.0);
        }
        const LIMIT: f64 = 1.758_099_340_847_376_6;
        let scale = 1.0 / ((LIMIT * LIMIT * p + 1.0) * (1.0 - p)).sqrt();
        let draws = super::random::uniform(self.shape(), 0.0, 1.0, self.device())?;
        let limit = Tensor::try_full_on(&[], -LIMIT, DType::F32, self.device())?;
        let dropped = draws.try_ge_scalar(p)?.try_where_(self, &limit)?;
        dropped.try_mul_scalar(scale)?.try_add_scalar(scale * LIMIT * p)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Device;
    use crate::tensor::Tensor;

    #[test]
    fn whole_channels_are_dropped() {
        Device::reference().scope(|| {
            let x = Tensor::ones(&[40, 50, 3]);
            // Three dims are a batch for dropout2d too.
            for y in [x.dropout1d(0.25, true), x.dropout2d(0.25, true), x.unsqueeze(-1).dropout2d(0.25, true)] {
                let y = y.to_vec::<f32>().unwrap();
                let channels: Vec<&[f32]> = y.chunks(3).collect();
                assert!(channels.iter().all(|c| **c == [0.0; 3] || **c == [4.0 / 3.0; 3]));
                let dropped = channels.iter().filter(|c| c[0] == 0.0).count();
                // Six standard deviations of 2000 draws.
                assert!(dropped.abs_diff(500) < 117, "{dropped} of 2000");
                // Neighbours in one sample fare differently.
                assert!(channels[..50].iter().any(|c| c[0] != channels[0][0]));
            }
            let y = x.unsqueeze(-1).dropout3d(0.25, true).to_vec::<f32>().unwrap();
            assert!(y.chunks(150).all(|c| c.iter().all(|v| *v == c[0])));
            assert_eq!(Tensor::ones(&[2, 3, 4]).dropout2d(1.0, true).to_vec::<f32>().unwrap(), [0.0; 24]);
            assert!(Tensor::ones(&[3]).try_dropout1d(0.5, true).is_err());
            assert!(Tensor::ones(&[2, 3, 4, 5, 6]).try_dropout2d(0.5, false).is_err());
            assert!(Tensor::ones(&[2, 3]).try_dropout1d(1.5, false).is_err());
        });
    }

    #[test]
    fn alpha_dropout_keeps_mean_and_variance() {
        Device::reference().scope(|| {
            let x = Tensor::randn(&[200, 200]).requires_grad();
            let y = x.alpha_dropout(0.3, true);
            let v = y.to_vec::<f32>().unwrap();
            let n = v.len() as f64;
            let mean = v.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let variance = v.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
            assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
            y.sum().backward().unwrap();
            // What was dropped has no gradient, the rest the scale of the formula.
            let scale = (1.0 / ((1.758_099_340_847_376_6f64.powi(2) * 0.3 + 1.0) * 0.7).sqrt()) as f32;
            let g = x.grad().unwrap().to_vec::<f32>().unwrap();
            assert!(g.iter().all(|&g| g == 0.0 || (g - scale).abs() < 1e-6));
            assert_eq!(x.alpha_dropout(0.3, false).to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
            assert!(x.alpha_dropout(1.0, true).to_vec::<f32>().unwrap().iter().all(|&v| v == 0.0));
        });
    }
}
