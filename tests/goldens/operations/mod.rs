//! How each recorded operation is called here.

mod arrange;
mod attention;
mod convolution;
mod elementwise;
mod indexing;
mod losses;
mod norms;
mod pooling;
mod products;
mod recurrent;
mod reduce;
mod views;

use lumigrad::{Result, Tensor};

use crate::runner::Call;

/// Every operation that is held to recorded values.
pub fn all() -> impl Iterator<Item = (&'static str, Call)> {
    [
        attention::TABLE,
        arrange::TABLE,
        elementwise::TABLE,
        convolution::TABLE,
        products::TABLE,
        reduce::TABLE,
        views::TABLE,
        indexing::TABLE,
        losses::TABLE,
        norms::TABLE,
        pooling::TABLE,
        recurrent::TABLE,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Recorded operations that lumigrad does not have yet.
pub const NOT_YET: &[&str] = &[];

/// Recorded calls that can't be made here, and why. All are calls that PyTorch refuses.
pub const NOT_RUN: &[(&str, &str)] = &[
    ("gelu/c22", "the approximation is chosen by the method's name: no other can be asked for"),
    ("pow/c34", NO_TENSOR),
    ("maximum/c28", NO_TENSOR),
    ("minimum/c28", NO_TENSOR),
    ("eq/c30", NO_TENSOR),
    ("ne/c30", NO_TENSOR),
    ("lt/c30", NO_TENSOR),
    ("le/c30", NO_TENSOR),
    ("gt/c30", NO_TENSOR),
    ("ge/c30", NO_TENSOR),
    ("max_pool2d/c30", UNSIGNED),
    ("avg_pool2d/c20", UNSIGNED),
    ("adaptive_avg_pool2d/c18", UNSIGNED),
    ("masked_fill/c14", "the value is a number: it can't be a tensor of the wrong shape"),
];

const NO_TENSOR: &str = "a method of a number does not compile";

const UNSIGNED: &str = "sizes are unsigned: a negative one does not compile";

/// A call with one output.
fn one(result: Result<Tensor>) -> Result<Vec<Tensor>> {
    result.map(|tensor| vec![tensor])
}
