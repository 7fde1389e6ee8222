//! The commonest maxima over windows, four windows a thread: 2×2, and 3×3 with a padded border, both two steps apart. On
//! lavapipe a load costs much the same for four numbers as for one, and these kernels need a fourth of the loads
//! (`cargo bench --bench layers -- max_pool2d`). They take halves too: 2 dispatches forward and back where conversions made it
//! 6, and half of their time.

use super::PoolParams;
use super::max_pool::{backward_bound, backward_twin, twin};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, Item, Kernel, Params, ParamsLayout, Variant};
use crate::ops::elementwise::half_variant;

macro_rules! quads_kernel {
    ($entry:literal, $($binding:literal),*) => {
        Kernel {
            name: concat!("max_pool.", $entry),
            source: &["#import common/words\n", include_str!("../../../shaders/pooling/max_pool_quads.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), $(Binding::Write($binding)),*],
            params: ParamsLayout::of::<PoolParams>(),
            variants: VARIANTS,
            grid,
            reference: |call| twin(call, call.variant() % VARIANTS.len() >= 2, false),
            bound: |_| Bound::Exact,
        }
    };
}

pub(super) static FORWARD_QUADS: Kernel = quads_kernel!("forward_quads", "y", "indices");
pub(super) static VALUES_QUADS: Kernel = quads_kernel!("values_quads", "y");

/// A kernel above, of numbers of half the width.
macro_rules! half_kernel {
    ($kernel:ident, $name:literal, $variants:expr) => {
        Kernel {
            name: $name,
            source: &["#import common/half_words\n", $kernel.source[1]],
            variants: $variants,
            ..$kernel
        }
    };
}

pub(super) static HALF_FORWARD_QUADS: Kernel =
    half_kernel!(FORWARD_QUADS, "max_pool.half_forward_quads", HALF_VARIANTS);
pub(super) static HALF_VALUES_QUADS: Kernel = half_kernel!(VALUES_QUADS, "max_pool.half_values_quads", HALF_VARIANTS);

macro_rules! backward_kernel {
    ($entry:literal, $bound:expr) => {
        Kernel {
            name: concat!("max_pool.", $entry),
            source: &["#import common/words\n", include_str!("../../../shaders/pooling/max_pool_backward_quads.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("g"), Binding::Read("indices"), Binding::Write("dx")],
            params: ParamsLayout::of::<PoolParams>(),
            variants: &[Variant::new("", &[Item::Const("ADAPTIVE", 0)])],
            grid,
            reference: backward_twin,
            bound: $bound,
        }
    };
}

/// The gradient of windows of two by two that cover their planes: every element is in one window.
pub(super) static BACKWARD_QUADS: Kernel = backward_kernel!("backward_quads", |_| Bound::Exact);

/// The gradient of windows of three by three with a padded border that cover their planes two steps apart.
pub(super) static BACKWARD_THREES: Kernel = backward_kernel!("backward_threes", backward_bound);

pub(super) static HALF_BACKWARD_QUADS: Kernel =
    half_kernel!(BACKWARD_QUADS, "max_pool.half_backward_quads", HALF_WINDOWS);
pub(super) static HALF_BACKWARD_THREES: Kernel =
    half_kernel!(BACKWARD_THREES, "max_pool.half_backward_threes", HALF_WINDOWS);

const HALF_WINDOWS: &[Variant] = &[
    Variant::new("f16", &[Item::Const("ADAPTIVE", 0), Item::F16]),
    Variant::new("bf16", &[Item::Const("ADAPTIVE", 0), Item::BF16]),
];

/// LEAST: the least element is wanted. THREE: windows of three by three. KIND: floats, the type by its number in the shaders.
macro_rules! items {
    ($least:literal, $three:literal) => {
        items!($least, $three, 0)
    };
    ($least:literal, $three:literal, $kind:literal) => {
        &[
            Item::Alias("elem", "f32"),
            Item::Const("KIND", $kind),
            Item::Const("LEAST", $least),
            Item::Const("THREE", $three),
            Item::Const("ADAPTIVE", 0),
        ]
    };
}

const VARIANTS: &[Variant] = &[
    Variant::new("max 2x2", items!(0, 0)),
    Variant::new("max 3x3", items!(0, 1)),
    Variant::new("min 2x2", items!(1, 0)),
    Variant::new("min 3x3", items!(1, 1)),
];

/// [`VARIANTS`] of f16, then of bf16.
const HALF_VARIANTS: &[Variant] = &[
    Variant::new("f16 max 2x2", items!(0, 0, 3)),
    Variant::new("f16 max 3x3", items!(0, 1, 3)),
    Variant::new("f16 min 2x2", items!(1, 0, 3)),
    Variant::new("f16 min 3x3", items!(1, 1, 3)),
    Variant::new("bf16 max 2x2", items!(0, 0, 4)),
    Variant::new("bf16 max 3x3", items!(0, 1, 4)),
    Variant::new("bf16 min 2x2", items!(1, 0, 4)),
    Variant::new("bf16 min 3x3", items!(1, 1, 4)),
];

fn grid(params: &Params<'_>) -> Grid {
    let p: &PoolParams = params.get();
    Grid { work: super::by_thread_grid(params).work, ..Grid::elements(p.n / 4) }
}

impl PoolParams {
    /// The kernel of the gradient's params, where `offset` is that of the upstream one, that makes four windows a thread, and
    /// its variant for this type.
    pub(super) fn backward_by_fours(&self, dtype: DType) -> Option<(&'static Kernel, usize)> {
        let half = half_variant(dtype);
        let covers = |d: usize| self.size[d].div_ceil(2) == self.windows[d];
        let covered = self.size[1] == 2 * self.windows[1] && covers(0) && self.stride == [2, 2];
        let starts = [self.offset, self.result_offset, self.windows[1]].iter().all(|n| n.is_multiple_of(4));
        match (self.kernel, self.pad) {
            _ if !covered || !starts || self.dilation != [1, 1] => None,
            ([2, 2], [0, 0]) if self.size[0].is_multiple_of(2) => {
                Some(half.map_or((&BACKWARD_QUADS, 0), |half| (&HALF_BACKWARD_QUADS, half)))
            }
            ([3, 3], [1, 1]) => Some(half.map_or((&BACKWARD_THREES, 0), |half| (&HALF_BACKWARD_THREES, half))),
            _ => None,
        }
    }

    /// The variant that does these windows of this type, when all that it reads and writes at a time lies in whole vectors.
    pub(super) fn quads_variant(&self, least: bool, dtype: DType) -> Option<usize> {
        let three = match (self.kernel, self.pad) {
            ([2, 2], [0, 0]) if 2 * self.windows[0] <= self.size[0] => false,
            ([3, 3], [1, 1]) => true,
            _ => return None,
        };
        let by_twos = self.stride == [2, 2] && self.dilation == [1, 1] && self.size[1] == 2 * self.windows[1];
        let [outer @ .., step] = &self.strides;
        let starts = outer.iter().chain(&[self.offset, self.windows[1]]).all(|n| n.is_multiple_of(4));
        let of_type = VARIANTS.len() * half_variant(dtype).unwrap_or(0);
        (by_twos && *step == 1 && starts).then_some(of_type + 2 * usize::from(least) + usize::from(three))
    }
}
