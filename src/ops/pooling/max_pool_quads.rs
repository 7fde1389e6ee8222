//! The commonest maxima over windows, four windows a thread: 2×2, and 3×3 with a padded border, both two steps apart. On
//! lavapipe a load costs much the same for four numbers as for one, and these kernels need a fourth of the loads
//! (`cargo bench --bench layers -- max_pool2d`).

use super::PoolParams;
use super::max_pool::{backward_bound, backward_twin, twin};
use crate::engine::{Binding, Bound, Grid, Item, Kernel, Params, ParamsLayout, Variant};

macro_rules! quads_kernel {
    ($entry:literal, $($binding:literal),*) => {
        Kernel {
            name: concat!("max_pool.", $entry),
            source: &[include_str!("../../../shaders/pooling/max_pool_quads.wgsl")],
            entry: $entry,
            bindings: &[Binding::Read("x"), $(Binding::Write($binding)),*],
            params: ParamsLayout::of::<PoolParams>(),
            variants: VARIANTS,
            grid,
            reference: |call| twin(call, call.variant() >= 2, false),
            bound: |_| Bound::Exact,
        }
    };
}

pub(super) static FORWARD_QUADS: Kernel = quads_kernel!("forward_quads", "y", "indices");
pub(super) static VALUES_QUADS: Kernel = quads_kernel!("values_quads", "y");

macro_rules! backward_kernel {
    ($entry:literal, $bound:expr) => {
        Kernel {
            name: concat!("max_pool.", $entry),
            source: &[include_str!("../../../shaders/pooling/max_pool_backward_quads.wgsl")],
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

/// LEAST: the least element is wanted. THREE: windows of three by three. KIND: floats.
macro_rules! items {
    ($least:literal, $three:literal) => {
        &[
            Item::Alias("elem", "f32"),
            Item::Const("KIND", 0),
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

fn grid(params: &Params<'_>) -> Grid {
    let p: &PoolParams = params.get();
    Grid { work: super::by_thread_grid(params).work, ..Grid::elements(p.n / 4) }
}

impl PoolParams {
    /// The kernel of the gradient's params, where `offset` is that of the upstream one, that makes four windows a thread.
    pub(super) fn backward_by_fours(&self) -> Option<&'static Kernel> {
        let covers = |d: usize| self.size[d].div_ceil(2) == self.windows[d];
        let covered = self.size[1] == 2 * self.windows[1] && covers(0) && self.stride == [2, 2];
        let starts = [self.offset, self.result_offset, self.windows[1]].iter().all(|n| n.is_multiple_of(4));
        match (self.kernel, self.pad) {
            _ if !covered || !starts || self.dilation != [1, 1] => None,
            ([2, 2], [0, 0]) if self.size[0].is_multiple_of(2) => Some(&BACKWARD_QUADS),
            ([3, 3], [1, 1]) => Some(&BACKWARD_THREES),
            _ => None,
        }
    }

    /// The variant that does these windows, when all that it reads and writes at a time lies in whole vectors.
    pub(super) fn quads_variant(&self, least: bool) -> Option<usize> {
        let three = match (self.kernel, self.pad) {
            ([2, 2], [0, 0]) if 2 * self.windows[0] <= self.size[0] => false,
            ([3, 3], [1, 1]) => true,
            _ => return None,
        };
        let by_twos = self.stride == [2, 2] && self.dilation == [1, 1] && self.size[1] == 2 * self.windows[1];
        let [outer @ .., step] = &self.strides;
        let starts = outer.iter().chain(&[self.offset, self.windows[1]]).all(|n| n.is_multiple_of(4));
        (by_twos && *step == 1 && starts).then_some(2 * usize::from(least) + usize::from(three))
    }
}
