//! Padding, pooling and resampling.

use lumigrad::{AvgPoolOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions, PadMode};

use super::one;
use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("pad", |a| {
        let value = a.opt_float("value").unwrap_or(0.0);
        let mode = match a.text("mode") {
            "constant" => PadMode::Constant(value),
            "reflect" => PadMode::Reflect,
            "replicate" => PadMode::Replicate,
            "circular" => PadMode::Circular,
            other => panic!("no mode {other}"),
        };
        one(a.tensor("input").try_pad(a.ints("pad"), mode))
    }),
    ("max_pool2d", |a| {
        let (kernel, options) = windows(a);
        a.tensor("input").try_max_pool2d_with_indices(kernel, &options).map(|(y, indices)| vec![y, indices])
    }),
    ("min_pool2d", |a| {
        let (kernel, options) = windows(a);
        one(a.tensor("input").try_min_pool2d_with(kernel, &options))
    }),
    ("avg_pool2d", |a| {
        let options = AvgPoolOptions {
            stride: pair(a, "stride"),
            padding: pair(a, "padding").expect("a padding"),
            ceil_mode: a.bool("ceil_mode"),
            count_include_pad: a.bool("count_include_pad"),
            divisor_override: a.opt_int("divisor_override"),
        };
        one(a.tensor("input").try_avg_pool2d_with(pair(a, "kernel_size").expect("a size"), &options))
    }),
    ("adaptive_avg_pool2d", |a| {
        let sizes = a.opt_ints("output_size");
        let size = |d: usize| sizes[d.min(sizes.len() - 1)].map(|s| usize::try_from(s).expect("a size"));
        one(a.tensor("input").try_adaptive_avg_pool2d([size(0), size(1)]))
    }),
    ("interpolate", |a| {
        let mode = match a.text("mode") {
            "nearest" => InterpolateMode::Nearest,
            "linear" => InterpolateMode::Linear,
            "bilinear" => InterpolateMode::Bilinear,
            other => panic!("no mode {other}"),
        };
        let mut options = InterpolateOptions::new().mode(mode);
        let size: Vec<usize> = a.ints("size").iter().map(|&s| usize::try_from(s).expect("a size")).collect();
        if !size.is_empty() {
            options = options.size(&size[..]);
        }
        if let Some(factor) = a.opt_float("scale_factor") {
            options = options.scale_factor(factor);
        }
        if let Some(align) = a.opt_bool("align_corners") {
            options = options.align_corners(align);
        }
        one(a.tensor("input").try_interpolate(&options))
    }),
];

/// The size of the windows, and the other arguments.
fn windows(a: &Args<'_>) -> ([usize; 2], MaxPoolOptions<2>) {
    let options = MaxPoolOptions {
        stride: pair(a, "stride"),
        padding: pair(a, "padding").expect("a padding"),
        dilation: pair(a, "dilation").expect("a dilation"),
        ceil_mode: a.bool("ceil_mode"),
    };
    (pair(a, "kernel_size").expect("a size"), options)
}

/// Two sizes, as two numbers, one, or nothing.
fn pair(a: &Args<'_>, name: &str) -> Option<[usize; 2]> {
    let list = a.ints(name);
    let size = |i: usize| usize::try_from(list[i.min(list.len() - 1)]).expect("a size");
    (!list.is_empty()).then(|| [size(0), size(1)])
}
