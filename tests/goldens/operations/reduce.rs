//! Operations that make fewer elements of many.

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] =
    &[("sum", |a| one(a.tensor("input").try_sum_dims(&a.ints("dim"), a.bool("keepdim"))))];
