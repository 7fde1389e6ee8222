//! Padding, pooling and resampling.

use lumigrad::PadMode;

use super::one;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[("pad", |a| {
    let value = a.opt_float("value").unwrap_or(0.0);
    let mode = match a.text("mode") {
        "constant" => PadMode::Constant(value),
        "reflect" => PadMode::Reflect,
        "replicate" => PadMode::Replicate,
        "circular" => PadMode::Circular,
        other => panic!("no mode {other}"),
    };
    one(a.tensor("input").try_pad(a.ints("pad"), mode))
})];
