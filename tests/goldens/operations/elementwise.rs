//! Operations on every element by itself.

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("neg", |a| one(a.tensor("input").try_neg())),
    ("reciprocal", |a| one(a.tensor("input").try_reciprocal())),
    ("relu", |a| one(a.tensor("input").try_relu())),
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
];
