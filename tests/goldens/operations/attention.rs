//! Attention.

use lumigrad::AttentionOptions;

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[("scaled_dot_product_attention", |a| {
    let mask = a.opt_tensor("attn_mask");
    let options = AttentionOptions {
        attn_mask: mask.as_ref(),
        dropout_p: 0.0,
        is_causal: a.bool("is_causal"),
        scale: a.opt_float("scale"),
        enable_gqa: a.bool("enable_gqa"),
    };
    one(a.tensor("query").try_scaled_dot_product_attention_with(&a.tensor("key"), &a.tensor("value"), &options))
})];
