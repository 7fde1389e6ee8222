//! Operations that make fewer elements of many, or weigh them against each other.

use lumigrad::{Result, Tensor};

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("sum", |a| one(a.tensor("input").try_sum_dims(&a.ints("dim"), a.bool("keepdim")))),
    ("mean", |a| one(a.tensor("input").try_mean_dims(&a.ints("dim"), a.bool("keepdim")))),
    ("amax", |a| one(a.tensor("input").try_amax(&a.ints("dim"), a.bool("keepdim")))),
    ("amin", |a| one(a.tensor("input").try_amin(&a.ints("dim"), a.bool("keepdim")))),
    ("max_all", |a| one(a.tensor("input").try_max())),
    ("min_all", |a| one(a.tensor("input").try_min())),
    ("max", |a| two(a.tensor("input").try_max_dim(a.int("dim"), a.bool("keepdim")))),
    ("min", |a| two(a.tensor("input").try_min_dim(a.int("dim"), a.bool("keepdim")))),
    ("argmax", |a| one(a.tensor("input").try_argmax(a.opt_int("dim"), a.bool("keepdim")))),
    ("argmin", |a| one(a.tensor("input").try_argmin(a.opt_int("dim"), a.bool("keepdim")))),
    ("var", |a| one(a.tensor("input").try_var(&a.ints("dim"), a.int("correction"), a.bool("keepdim")))),
    ("std", |a| one(a.tensor("input").try_std(&a.ints("dim"), a.int("correction"), a.bool("keepdim")))),
    ("prod", |a| {
        let keepdim = a.bool("keepdim");
        one(match a.opt_int("dim") {
            Some(dim) => a.tensor("input").try_prod_dim(dim, keepdim),
            None => a.tensor("input").try_prod(),
        })
    }),
    ("cumsum", |a| one(a.tensor("input").try_cumsum(a.int("dim")))),
    ("logsumexp", |a| one(a.tensor("input").try_logsumexp(&a.ints("dim"), a.bool("keepdim")))),
    ("norm", |a| one(a.tensor("input").try_norm(a.float("ord"), &a.ints("dim"), a.bool("keepdim")))),
    ("normalize", |a| one(a.tensor("input").try_normalize(a.float("p"), a.int("dim"), a.float("eps")))),
    ("softmax", |a| one(a.tensor("input").try_softmax(a.int("dim")))),
    ("log_softmax", |a| one(a.tensor("input").try_log_softmax(a.int("dim")))),
];

/// Values and their positions.
fn two(result: Result<(Tensor, Tensor)>) -> Result<Vec<Tensor>> {
    result.map(|(values, positions)| vec![values, positions])
}
