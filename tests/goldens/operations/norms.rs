//! Normalisations.

use lumigrad::BatchNormOptions;

use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[("batch_norm", |a| {
    let [weight, bias, mean, var] = ["weight", "bias", "running_mean", "running_var"].map(|name| a.opt_tensor(name));
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
})];
