//! The types of operations under autocast.
//!
//! PyTorch's lists for CUDA, which are those of its documentation:
//! <https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior>. Operations there that are composed of others
//! here run as their parts do; a few methods that would differ then convert their operands themselves.

/// What autocast does to the float inputs of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// All become the half type.
    Half,
    /// All become f32.
    Single,
    /// They become f32 when one of them is.
    Widest,
    /// They stay as they are.
    AsGiven,
}

/// The policy of the operation with this name in the registry.
pub(super) fn policy(name: &str) -> Policy {
    match name {
        "matmul"
        | "linear"
        | "conv1d"
        | "conv2d"
        | "conv_transpose1d"
        | "conv_transpose2d"
        | "prelu"
        | "lstm"
        | "gru"
        | "rnn"
        | "scaled_dot_product_attention" => Policy::Half,
        "pow" | "powf" | "exp" | "expm1" | "log" | "log1p" | "reciprocal" | "rsqrt" | "softplus" => Policy::Single,
        "softmax" | "log_softmax" | "layer_norm" | "group_norm" | "rms_norm" | "norm" | "normalize" => Policy::Single,
        "sum" | "prod" | "cumsum" | "cumprod" => Policy::Single,
        "cross_entropy"
        | "cross_entropy_probs"
        | "nll_loss"
        | "l1_loss"
        | "mse_loss"
        | "smooth_l1_loss"
        | "huber_loss"
        | "kl_div"
        | "binary_cross_entropy"
        | "binary_cross_entropy_with_logits" => Policy::Single,
        "cat" | "index_put" | "scatter_add" | "view_put" | "index_add" | "index_copy" | "scatter" => Policy::Widest,
        _ => Policy::AsGiven,
    }
}
