//! Joining, and picking by index.

use lumigrad::Tensor;

use super::one;
use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("cat", |a| joined(a, |x, dim| Tensor::try_cat(x, dim))),
    ("stack", |a| joined(a, |x, dim| Tensor::try_stack(x, dim))),
    ("index_select", |a| one(a.tensor("input").try_index_select(a.int("dim"), &a.tensor("index")))),
    ("gather", |a| one(a.tensor("input").try_gather(a.int("dim"), &a.tensor("index")))),
    ("scatter_add", |a| one(a.tensor("input").try_scatter_add(a.int("dim"), &a.tensor("index"), &a.tensor("src")))),
    ("embedding", |a| {
        a.only("scale_grad_by_freq", false);
        one(a.tensor("weight").try_embedding(&a.tensor("input"), a.opt_int("padding_idx")))
    }),
    ("sort", |a| {
        a.tensor("input").try_sort(a.int("dim"), a.bool("descending")).map(|(values, places)| vec![values, places])
    }),
    ("topk", |a| {
        // Sorted always, which PyTorch leaves open without the argument.
        a.bool("sorted");
        let top = a.tensor("input").try_topk(a.size("k"), a.int("dim"), a.bool("largest"));
        top.map(|(values, places)| vec![values, places])
    }),
    ("one_hot", |a| one(a.tensor("input").try_one_hot(a.size("num_classes")))),
];

fn joined(a: &Args<'_>, join: fn(&[&Tensor], i64) -> lumigrad::Result<Tensor>) -> lumigrad::Result<Vec<Tensor>> {
    let tensors = a.tensors("tensors");
    one(join(&tensors.iter().collect::<Vec<_>>(), a.int("dim")))
}
