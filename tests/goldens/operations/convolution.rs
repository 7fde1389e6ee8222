//! Convolutions.

use lumigrad::{Conv1dOptions, Conv2dOptions, ConvOptions, ConvTranspose2dOptions, Padding};

use super::one;
use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("conv1d", |a| {
        let (weight, bias) = (a.tensor("weight"), a.opt_tensor("bias"));
        let options: Conv1dOptions = options(a);
        one(a.tensor("input").try_conv1d(&weight, bias.as_ref(), &options))
    }),
    ("conv2d", |a| {
        let (weight, bias) = (a.tensor("weight"), a.opt_tensor("bias"));
        let options: Conv2dOptions = options(a);
        one(a.tensor("input").try_conv2d(&weight, bias.as_ref(), &options))
    }),
    ("conv_transpose2d", |a| {
        let (weight, bias) = (a.tensor("weight"), a.opt_tensor("bias"));
        let options = ConvTranspose2dOptions {
            stride: per_dim(a, "stride"),
            padding: per_dim(a, "padding"),
            output_padding: per_dim(a, "output_padding"),
            groups: a.size("groups"),
            dilation: per_dim(a, "dilation"),
        };
        one(a.tensor("input").try_conv_transpose2d(&weight, bias.as_ref(), &options))
    }),
];

fn options<const N: usize>(a: &Args<'_>) -> ConvOptions<N> {
    let padding = match a.if_text("padding") {
        Some("same") => Padding::Same,
        Some("valid") => Padding::Valid,
        Some(other) => panic!("no padding {other}"),
        None => Padding::Sizes(per_dim(a, "padding")),
    };
    ConvOptions { stride: per_dim(a, "stride"), padding, dilation: per_dim(a, "dilation"), groups: a.size("groups") }
}

/// One number for all dims, or one for each.
fn per_dim<const N: usize>(a: &Args<'_>, name: &str) -> [usize; N] {
    let numbers: Vec<usize> = a.ints(name).into_iter().map(|n| usize::try_from(n).expect("a size")).collect();
    match numbers[..] {
        [one] => [one; N],
        _ => numbers.try_into().expect("a number for each dim"),
    }
}
