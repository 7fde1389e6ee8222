//! Products of matrices.

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("matmul", |a| one(a.tensor("input").try_matmul(&a.tensor("other")))),
    ("bmm", |a| one(a.tensor("input").try_bmm(&a.tensor("mat2")))),
    ("addmm", |a| {
        let (left, right) = (a.tensor("mat1"), a.tensor("mat2"));
        one(a.tensor("input").try_addmm(&left, &right, a.float("beta"), a.float("alpha")))
    }),
    ("linear", |a| one(a.tensor("input").try_linear(&a.tensor("weight"), a.opt_tensor("bias").as_ref()))),
    ("outer", |a| one(a.tensor("input").try_outer(&a.tensor("vec2")))),
];
