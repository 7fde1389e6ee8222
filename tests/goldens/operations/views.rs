//! Other arrangements of the same elements.

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("reshape", |a| one(a.tensor("input").try_reshape(a.ints("shape")))),
    ("permute", |a| one(a.tensor("input").try_permute(&a.ints("dims")))),
    ("transpose", |a| one(a.tensor("input").try_transpose(a.int("dim0"), a.int("dim1")))),
    ("expand", |a| one(a.tensor("input").try_expand(a.ints("size")))),
    ("squeeze", |a| {
        let x = a.tensor("input");
        one(if a.is_list("dim") { x.try_squeeze_dims(&a.ints("dim")) } else { x.try_squeeze_dim(a.int("dim")) })
    }),
    ("unsqueeze", |a| one(a.tensor("input").try_unsqueeze(a.int("dim")))),
    ("narrow", |a| one(a.tensor("input").try_narrow(a.int("dim"), a.int("start"), a.size("length")))),
    ("slice", |a| one(a.tensor("input").try_slice_step(a.int("dim"), a.int("start"), a.int("end"), a.size("step")))),
    ("split", |a| a.tensor("tensor").try_split(a.size("split_size_or_sections"), a.int("dim"))),
    ("chunk", |a| a.tensor("input").try_chunk(a.size("chunks"), a.int("dim"))),
    ("flip", |a| one(a.tensor("input").try_flip(&a.ints("dims")))),
    ("repeat", |a| one(a.tensor("input").try_repeat(a.ints("repeats")))),
    ("tril", |a| one(a.tensor("input").try_tril(a.int("diagonal")))),
    ("triu", |a| one(a.tensor("input").try_triu(a.int("diagonal")))),
    ("flatten", |a| one(a.tensor("input").try_flatten(a.int("start_dim"), a.int("end_dim")))),
];
