//! Operations on every element by itself.

use lumigrad::RoundingMode::{Floor, Trunc};
use lumigrad::{Result, Tensor};

use super::one;
use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("neg", |a| one(a.tensor("input").try_neg())),
    ("abs", |a| one(a.tensor("input").try_abs())),
    ("exp", |a| one(a.tensor("input").try_exp())),
    ("log", |a| one(a.tensor("input").try_log())),
    ("log1p", |a| one(a.tensor("input").try_log1p())),
    ("expm1", |a| one(a.tensor("input").try_expm1())),
    ("sqrt", |a| one(a.tensor("input").try_sqrt())),
    ("rsqrt", |a| one(a.tensor("input").try_rsqrt())),
    ("reciprocal", |a| one(a.tensor("input").try_reciprocal())),
    ("sin", |a| one(a.tensor("input").try_sin())),
    ("cos", |a| one(a.tensor("input").try_cos())),
    ("tanh", |a| one(a.tensor("input").try_tanh())),
    ("sigmoid", |a| one(a.tensor("input").try_sigmoid())),
    ("relu", |a| one(a.tensor("input").try_relu())),
    ("leaky_relu", |a| one(a.tensor("input").try_leaky_relu(a.float("negative_slope")))),
    ("elu", |a| one(a.tensor("input").try_elu(a.float("alpha")))),
    ("gelu", |a| match a.text("approximate") {
        "none" => one(a.tensor("input").try_gelu()),
        "tanh" => one(a.tensor("input").try_gelu_tanh()),
        other => panic!("no approximation {other}"),
    }),
    ("silu", |a| one(a.tensor("input").try_silu())),
    ("softplus", |a| one(a.tensor("input").try_softplus(a.float("beta"), a.float("threshold")))),
    ("hardtanh", |a| one(a.tensor("input").try_hardtanh(a.float("min_val"), a.float("max_val")))),
    ("add", |a| {
        a.only("alpha", 1);
        one(a.tensor("input").try_add(&a.tensor("other")))
    }),
    ("sub", |a| {
        a.only("alpha", 1);
        one(a.tensor("input").try_sub(&a.tensor("other")))
    }),
    ("mul", |a| one(a.tensor("input").try_mul(&a.tensor("other")))),
    ("div", |a| one(a.tensor("input").try_div(&a.tensor("other")))),
    ("fmod", |a| with(a, "other", Tensor::try_fmod, Tensor::try_fmod_scalar)),
    ("remainder", |a| with(a, "other", Tensor::try_remainder, Tensor::try_remainder_scalar)),
    ("floor_divide", |a| with(a, "other", Tensor::try_floor_divide, Tensor::try_floor_divide_scalar)),
    ("div_trunc", |a| {
        with(a, "other", |x, y| x.try_div_rounding(y, Trunc), |x, y| x.try_div_rounding_scalar(y, Trunc))
    }),
    ("div_floor", |a| {
        with(a, "other", |x, y| x.try_div_rounding(y, Floor), |x, y| x.try_div_rounding_scalar(y, Floor))
    }),
    ("pow", |a| with(a, "exponent", Tensor::try_pow, Tensor::try_powf)),
    ("maximum", |a| one(a.tensor("input").try_maximum(&a.tensor("other")))),
    ("minimum", |a| one(a.tensor("input").try_minimum(&a.tensor("other")))),
    ("eq", |a| with(a, "other", Tensor::try_eq, Tensor::try_eq_scalar)),
    ("ne", |a| with(a, "other", Tensor::try_ne, Tensor::try_ne_scalar)),
    ("lt", |a| with(a, "other", Tensor::try_lt, Tensor::try_lt_scalar)),
    ("le", |a| with(a, "other", Tensor::try_le, Tensor::try_le_scalar)),
    ("gt", |a| with(a, "other", Tensor::try_gt, Tensor::try_gt_scalar)),
    ("ge", |a| with(a, "other", Tensor::try_ge, Tensor::try_ge_scalar)),
    ("clamp", |a| match (a.if_tensor("min"), a.if_tensor("max")) {
        (None, None) => one(a.tensor("input").try_clamp(a.opt_float("min"), a.opt_float("max"))),
        (min, max) => one(a.tensor("input").try_clamp_tensors(min.as_ref(), max.as_ref())),
    }),
    ("where", |a| one(a.tensor("condition").try_where_(a.tensor("input"), a.tensor("other")))),
    ("masked_fill", |a| one(a.tensor("input").try_masked_fill(&a.tensor("mask"), a.float("value")))),
    ("dropout_exact", |a| one(a.tensor("input").try_dropout(a.float("p"), a.bool("training")))),
];

/// An operation whose second operand, a tensor or a number, makes two methods of it.
fn with(
    a: &Args<'_>,
    second: &str,
    of_tensor: fn(&Tensor, &Tensor) -> Result<Tensor>,
    of_number: fn(&Tensor, f64) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let first = a.tensor("input");
    one(match a.if_tensor(second) {
        Some(tensor) => of_tensor(&first, &tensor),
        None => of_number(&first, a.float(second)),
    })
}
