//! Convolutions by the kernel that was measured to be the fastest, where [`crate::Device::set_autotune`] is on.

use super::{FAMILY, Geometry, Operands};
use crate::Result;
use crate::dtype::DType;
use crate::engine::tuner::{Key, class};
use crate::ops::Run;
use crate::ops::tune::with_fastest;
use crate::tensor::Tensor;

/// [`super::to_small`].
pub(super) fn to_small(run: &mut Run<'_>, geometry: &Geometry, operands: &Operands<'_>, small: &Tensor) -> Result<()> {
    let key = || key(geometry, 0, small.dtype());
    with_fastest(run, FAMILY, key, small, |run, small| super::to_small(run, geometry, operands, small))
}

/// [`super::to_large`].
pub(super) fn to_large(run: &mut Run<'_>, geometry: &Geometry, operands: &Operands<'_>, large: &Tensor) -> Result<()> {
    let key = || key(geometry, 1, large.dtype());
    with_fastest(run, FAMILY, key, large, |run, large| super::to_large(run, geometry, operands, large))
}

/// What the choice goes by: direction and type, sizes, and the steps as they are.
fn key(geometry: &Geometry, direction: u32, dtype: DType) -> Key {
    let pair = |[a, b]: [usize; 2]| (a.min(0xffff) << 16 | b.min(0xffff)) as u32;
    [
        direction + 2 * dtype as u32,
        class(geometry.batch),
        class(geometry.groups),
        class(geometry.small_channels),
        class(geometry.large_channels),
        class(geometry.small.iter().product()),
        pair(geometry.kernel),
        pair(geometry.stride),
    ]
}
