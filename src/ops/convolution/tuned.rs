//! Convolutions by the kernel that was measured to be the fastest, where [`crate::Device::set_autotune`] is on.

use super::{FAMILY, Geometry};
use crate::Result;
use crate::engine::tuner::{Key, class};
use crate::ops::Run;
use crate::ops::tune::with_fastest;
use crate::tensor::Tensor;

/// [`super::to_small`].
pub(super) fn to_small(
    run: &mut Run<'_>,
    geometry: &Geometry,
    large: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    small: &Tensor,
) -> Result<()> {
    with_fastest(
        run,
        FAMILY,
        || key(geometry, 0),
        small,
        |run, small| super::to_small(run, geometry, large, weight, bias, small),
    )
}

/// [`super::to_large`].
pub(super) fn to_large(
    run: &mut Run<'_>,
    geometry: &Geometry,
    small: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    large: &Tensor,
) -> Result<()> {
    with_fastest(
        run,
        FAMILY,
        || key(geometry, 1),
        large,
        |run, large| super::to_large(run, geometry, small, weight, bias, large),
    )
}

/// What the choice goes by: direction, sizes, and the steps as they are.
fn key(geometry: &Geometry, direction: u32) -> Key {
    let pair = |[a, b]: [usize; 2]| (a.min(0xffff) << 16 | b.min(0xffff)) as u32;
    [
        direction,
        class(geometry.batch),
        class(geometry.groups),
        class(geometry.small_channels),
        class(geometry.large_channels),
        class(geometry.small.iter().product()),
        pair(geometry.kernel),
        pair(geometry.stride),
    ]
}
