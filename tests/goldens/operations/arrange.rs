//! What arranges, orders and picks elements, beyond what the other tables hold; and sums of products by letters.

use lumigrad::{Result, Tensor};

use super::one;
use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("roll", |a| one(a.tensor("input").try_roll(&a.ints("shifts"), &a.ints("dims")))),
    ("repeat_interleave", |a| {
        let (x, dim) = (a.tensor("input"), a.opt_int("dim"));
        one(match a.if_tensor("repeats") {
            Some(counts) => x.try_repeat_interleave_counts(&counts, dim),
            None => x.try_repeat_interleave(a.size("repeats"), dim),
        })
    }),
    ("unfold", |a| one(a.tensor("input").try_unfold(a.int("dimension"), a.size("size"), a.size("step")))),
    ("diagonal", |a| one(a.tensor("input").try_diagonal(a.int("offset"), a.int("dim1"), a.int("dim2")))),
    ("diag_embed", |a| one(a.tensor("input").try_diag_embed(a.int("offset"), a.int("dim1"), a.int("dim2")))),
    ("movedim", |a| one(a.tensor("input").try_movedim(&a.ints("source"), &a.ints("destination")))),
    ("argsort", |a| one(a.tensor("input").try_argsort(a.int("dim"), a.bool("descending")))),
    ("kthvalue", |a| pair(a.tensor("input").try_kthvalue(a.size("k"), a.int("dim"), a.bool("keepdim")))),
    ("median", |a| {
        let (x, keepdim) = (a.tensor("input"), a.bool("keepdim"));
        match a.opt_int("dim") {
            Some(dim) => pair(x.try_median_dim(dim, keepdim)),
            None => one(x.try_median()),
        }
    }),
    ("quantile", |a| one(a.tensor("input").try_quantile(a.float("q"), a.opt_int("dim"), a.bool("keepdim")))),
    ("index_add", |a| {
        one(a.tensor("input").try_index_add(a.int("dim"), &a.tensor("index"), &a.tensor("source"), a.float("alpha")))
    }),
    ("index_copy", |a| one(a.tensor("input").try_index_copy(a.int("dim"), &a.tensor("index"), &a.tensor("source")))),
    ("index_fill", |a| one(a.tensor("input").try_index_fill(a.int("dim"), &a.tensor("index"), a.float("value")))),
    ("scatter", |a| one(a.tensor("input").try_scatter(a.int("dim"), &a.tensor("index"), &a.tensor("src")))),
    ("scatter_value", |a| one(a.tensor("input").try_scatter_value(a.int("dim"), &a.tensor("index"), a.float("value")))),
    ("scatter_reduce_sum", |a| reduced(a, "sum")),
    ("scatter_reduce_mean", |a| reduced(a, "mean")),
    ("scatter_reduce_amax", |a| reduced(a, "amax")),
    ("scatter_reduce_amin", |a| reduced(a, "amin")),
    ("masked_select", |a| one(a.tensor("input").try_masked_select(&a.tensor("mask")))),
    ("masked_scatter", |a| one(a.tensor("input").try_masked_scatter(&a.tensor("mask"), &a.tensor("source")))),
    ("nonzero", |a| one(a.tensor("input").try_nonzero())),
    ("take", |a| one(a.tensor("input").try_take(&a.tensor("index")))),
    ("take_along_dim", |a| one(a.tensor("input").try_take_along_dim(&a.tensor("indices"), a.opt_int("dim")))),
    ("getitem", |a| one(a.tensor("input").try_i(a.index("index")))),
    ("setitem", set),
    ("einsum", |a| {
        let operands = a.tensors("operands");
        one(Tensor::try_einsum(a.text("equation"), &operands.iter().collect::<Vec<_>>()))
    }),
    ("tensordot", |a| one(a.tensor("a").try_tensordot(&a.tensor("b"), &a.ints("dims_self"), &a.ints("dims_other")))),
    ("kron", |a| one(a.tensor("input").try_kron(&a.tensor("other")))),
];

fn pair(result: Result<(Tensor, Tensor)>) -> Result<Vec<Tensor>> {
    result.map(|(values, places)| vec![values, places])
}

fn reduced(a: &Args<'_>, reduce: &str) -> Result<Vec<Tensor>> {
    let (x, index, source) = (a.tensor("input"), a.tensor("index"), a.tensor("src"));
    one(x.try_scatter_reduce(a.int("dim"), &index, &source, reduce, a.bool("include_self")))
}

/// In place and not: both must give the same, and the second has the gradient.
fn set(a: &Args<'_>) -> Result<Vec<Tensor>> {
    let (x, values, accumulate) = (a.tensor("input"), a.tensor("values"), a.bool("accumulate"));
    let y = x.try_index_put(a.index("index"), &values, accumulate)?;
    let changed = x.detach().try_copy()?;
    changed.index_put_(a.index("index"), values.detach(), accumulate)?;
    assert_eq!(changed.to_vec::<f32>()?, y.to_vec::<f32>()?, "in place");
    Ok(vec![y])
}
