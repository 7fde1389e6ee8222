//! Normalisations.

use lumigrad::{BatchNormOptions, InstanceNormOptions};

use super::one;

use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("layer_norm", |a| {
        let (weight, bias) = (a.opt_tensor("weight"), a.opt_tensor("bias"));
        one(a.tensor("input").try_layer_norm(
            &a.sizes("normalized_shape"),
            weight.as_ref(),
            bias.as_ref(),
            a.float("eps"),
        ))
    }),
    ("rms_norm", |a| {
        let weight = a.opt_tensor("weight");
        one(a.tensor("input").try_rms_norm(&a.sizes("normalized_shape"), weight.as_ref(), a.opt_float("eps")))
    }),
    ("group_norm", |a| {
        let (weight, bias) = (a.opt_tensor("weight"), a.opt_tensor("bias"));
        one(a.tensor("input").try_group_norm(a.size("num_groups"), weight.as_ref(), bias.as_ref(), a.float("eps")))
    }),
    ("instance_norm", |a| {
        let [weight, bias, mean, var] =
            ["weight", "bias", "running_mean", "running_var"].map(|name| a.opt_tensor(name));
        let options = InstanceNormOptions {
            weight: weight.as_ref(),
            bias: bias.as_ref(),
            running_mean: mean.as_ref(),
            running_var: var.as_ref(),
            use_input_stats: a.bool("use_input_stats"),
            momentum: a.float("momentum"),
            eps: a.float("eps"),
        };
        let y = a.tensor("input").try_instance_norm(&options)?;
        Ok([Some(y), mean, var].into_iter().flatten().collect())
    }),
    ("batch_norm", |a| {
        let [weight, bias, mean, var] =
            ["weight", "bias", "running_mean", "running_var"].map(|name| a.opt_tensor(name));
        let options = BatchNormOptions {
            weight: weight.as_ref(),
            bias: bias.as_ref(),
            running_mean: mean.as_ref(),
            running_var: var.as_ref(),
            num_batches_tracked: None,
            training: a.bool("training"),
            momentum: Some(a.float("momentum")),
            eps: a.float("eps"),
        };
        let y = a.tensor("input").try_batch_norm(&options)?;
        Ok([Some(y), mean, var].into_iter().flatten().collect())
    }),
];
