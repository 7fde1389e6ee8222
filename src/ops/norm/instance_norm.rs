//! `instance_norm`: each channel of each sample of `[N, C, …]` by its own mean and variance, or by running statistics.
//!
//! It is `group_norm` with a group for each channel; with running statistics `batch_norm`, in evaluation as it is and while
//! training of one sample with N·C channels, whose statistics are averaged over the samples, as in PyTorch.
//! Ulyanov, Vedaldi and Lempitsky, "Instance normalization" (2016).
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.instance_norm.html>

use super::batch_norm::BatchNormOptions;
use crate::autograd::no_grad;
use crate::ops::{copy_into, methods};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The options of [`Tensor::instance_norm`], with PyTorch's names and defaults.
#[derive(Clone, Copy, Debug)]
pub struct InstanceNormOptions<'a> {
    /// The running mean, `[C]`; changed in place while `use_input_stats`.
    pub running_mean: Option<&'a Tensor>,
    /// The running variance, `[C]`; changed in place while `use_input_stats`.
    pub running_var: Option<&'a Tensor>,
    /// A factor for each channel, `[C]`.
    pub weight: Option<&'a Tensor>,
    /// What is added to each channel, `[C]`.
    pub bias: Option<&'a Tensor>,
    /// Whether the statistics are the input's. Otherwise they are the running ones.
    pub use_input_stats: bool,
    /// The share of this input in the running statistics.
    pub momentum: f64,
    /// What is added to the variance.
    pub eps: f64,
}

impl Default for InstanceNormOptions<'_> {
    fn default() -> Self {
        InstanceNormOptions {
            running_mean: None,
            running_var: None,
            weight: None,
            bias: None,
            use_input_stats: true,
            momentum: 0.1,
            eps: 1e-5,
        }
    }
}

methods! {
    /// Normalises each channel of each sample of `[N, C, …]` to mean 0 and variance 1 (or by running statistics), then
    /// multiplies it by `weight` and adds `bias`, both `[C]`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 20.0], &[1, 2, 2]);
    /// let y = x.instance_norm(&lumigrad::InstanceNormOptions { eps: 0.0, ..Default::default() });
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the input has no places, a channel of a sample has one value only, a vector is not `[C]`, or there are neither
    /// the input's nor running statistics.
    pub fn instance_norm / try_instance_norm (&self, options: &InstanceNormOptions<'_>) -> Tensor {
        instance_norm(self, options)
    }
}

fn instance_norm(x: &Tensor, o: &InstanceNormOptions<'_>) -> Result<Tensor> {
    let shape = x.shape();
    if shape.len() < 3 {
        let detail = format!("takes inputs [N, C, ..] with at least one more dim, this one has the shape {shape:?}");
        return Err(Error::shape("instance_norm", detail));
    }
    if o.use_input_stats && shape[2..].iter().product::<usize>() == 1 {
        let detail = format!("expected more than 1 value per channel of a sample, got an input of shape {shape:?}");
        return Err(Error::argument("instance_norm", detail));
    }
    let batch_norm =
        BatchNormOptions { training: o.use_input_stats, eps: o.eps, momentum: Some(o.momentum), ..Default::default() };
    match (o.use_input_stats, o.running_mean.zip(o.running_var)) {
        // Without samples there is nothing to take an average of.
        (true, _) if x.numel() == 0 => x.try_group_norm(shape[1], o.weight, o.bias, o.eps),
        (true, None) => x.try_group_norm(shape[1], o.weight, o.bias, o.eps),
        (false, _) => x.try_batch_norm(&BatchNormOptions {
            running_mean: o.running_mean,
            running_var: o.running_var,
            weight: o.weight,
            bias: o.bias,
            ..batch_norm
        }),
        (true, Some((mean, var))) => {
            let (n, c) = (shape[0], shape[1]);
            let of_samples = |t: &Tensor| t.try_unsqueeze(0)?.try_expand([n, c])?.try_reshape([(n * c) as i64]);
            let [weight, bias] = [o.weight, o.bias].map(|t| t.map(of_samples).transpose());
            let (weight, bias) = (weight?, bias?);
            // Copies, changed in place: with one sample a reshape would be the tensor itself.
            let (means, vars) =
                no_grad(|| Ok::<_, Error>((of_samples(mean)?.try_copy()?, of_samples(var)?.try_copy()?)))?;
            let places: Vec<usize> = [1, n * c].iter().chain(&shape[2..]).copied().collect();
            let y = x.try_reshape(&places[..])?.try_batch_norm(&BatchNormOptions {
                running_mean: Some(&means),
                running_var: Some(&vars),
                weight: weight.as_ref(),
                bias: bias.as_ref(),
                ..batch_norm
            })?;
            no_grad(|| {
                copy_into(mean, &means.try_reshape([n, c])?.try_mean_dims(&[0], false)?)?;
                copy_into(var, &vars.try_reshape([n, c])?.try_mean_dims(&[0], false)?)
            })?;
            y.try_reshape(shape)
        }
    }
}
