//! The kernels of elementwise operations: a page's maths inside of the wrappers in `shaders/elementwise/`.

use super::chain::{ChainOp, ChainRule};
use super::params::{Arrangement, ElementwiseParams};
use crate::dtype::DType;
use crate::engine::fusion::ChainStep;
use crate::engine::{Binding, Grid, Item, Kernel, Params, Variant};
use crate::{Error, Result};

/// One computation as four kernels, with the same bindings and params; three have the same variants.
pub(crate) struct Elementwise {
    /// One thread an element, for operands that lie in any way.
    pub each: Kernel,
    /// One thread four elements, for operands that lie like the result, in whole vectors: a fourth of the time on lavapipe,
    /// where a load costs much the same for four numbers as for one and the walk over dims more than most maths
    /// (`cargo bench --bench elementwise`).
    pub quads: Kernel,
    /// The same with the walk, for rows that are broadcast and for single elements: a third of the time of `each`.
    pub rows: Kernel,
    /// One thread eight floats of half the width, for operands that lie like the result, in whole vectors: the same maths in
    /// f32 on numbers that are widened after they were read and narrowed before they are written. Of computations that make
    /// floats of floats. On lavapipe the time of `quads` or less; four a thread take a fourth longer.
    pub halves: Option<Kernel>,
    /// What small dispatches do as steps of chains.
    chained: Option<ChainRule>,
}

/// A kernel's name and source.
type Text = (&'static str, &'static [&'static str]);

/// The kernel of the computation that `each` does, in other words.
const fn again(
    each: &Kernel,
    (name, source): Text,
    variants: &'static [Variant],
    grid: fn(&Params<'_>) -> Grid,
) -> Kernel {
    let Kernel { entry, bindings, params, reference, bound, .. } = *each;
    Kernel { name, source, entry, bindings, params, variants, grid, reference, bound }
}

/// Whether the first variant is of [`types!`] from f32 to f32.
const fn makes_floats(variants: &[Variant]) -> bool {
    match variants[0].items {
        [Item::Alias(_, elem), Item::Alias(_, result), ..] => {
            matches!((elem.as_bytes(), result.as_bytes()), (b"f32", b"f32"))
        }
        _ => false,
    }
}

impl Elementwise {
    /// The kernels of the computation that `each` does.
    pub const fn new(each: Kernel, quads: Text, rows: Text) -> Self {
        let variants = each.variants;
        let (quads, rows) = (again(&each, quads, variants, grid_of_quads), again(&each, rows, variants, grid_of_quads));
        Elementwise { each, quads, rows, halves: None, chained: None }
    }

    /// These kernels and, if they make floats of floats, the one for halves.
    pub const fn with_halves(self, text: Text) -> Self {
        let Elementwise { each, quads, rows, chained, .. } = self;
        let halves = if makes_floats(each.variants) { Some(again(&each, text, HALVES, grid_of_eights)) } else { None };
        Elementwise { each, quads, rows, halves, chained }
    }

    /// The kernel for halves.
    pub const fn for_halves(&'static self) -> &'static Kernel {
        self.halves.as_ref().expect("a computation that makes floats of floats")
    }

    /// These kernels, whose dispatches of floats can be steps of chains: this operation on these bindings.
    pub const fn chained(self, op: ChainOp, operands: &'static [u8]) -> Self {
        let Elementwise { each, quads, rows, halves, .. } = self;
        Elementwise { each, quads, rows, halves, chained: Some((op, operands)) }
    }

    /// What a dispatch with these params does as a step of a chain.
    pub fn step(&self, variant: usize, params: &ElementwiseParams) -> Option<ChainStep> {
        params.step(self.chained.filter(|_| variant == 0)?, self.each.bindings.len())
    }

    /// With fewer variants of the kernels by fours than of the other one.
    pub const fn with_quad_variants(self, variants: &'static [Variant]) -> Self {
        let Elementwise { each, quads, rows, halves, chained } = self;
        Elementwise { each, quads: Kernel { variants, ..quads }, rows: Kernel { variants, ..rows }, halves, chained }
    }

    /// The kernel for these params.
    pub fn of(&'static self, params: &ElementwiseParams) -> &'static Kernel {
        match params.arrangement() {
            Arrangement::Quads => &self.quads,
            Arrangement::Rows => &self.rows,
            Arrangement::Any => &self.each,
        }
    }

    /// Whether the kernels note faults; where they can is for `extra[0]` of the params.
    pub fn has_faults(&self) -> bool {
        self.each.bindings.last() == Some(&Binding::Faults)
    }

    /// Which variant serves a dtype; for halves one of the kernel for them.
    pub fn variant(&self, op: &'static str, dtype: DType) -> Result<usize> {
        if let Some(variant) = half_variant(dtype).filter(|_| self.halves.is_some()) {
            return Ok(variant);
        }
        use DType::{Bool, F32, I32, U32};
        let accepted: &[DType] = match self.each.variants {
            variants if variants == LOGICAL => &[Bool],
            // Truth values can be compared, not computed with.
            variants if variants == COMPARISON => &[F32, I32, U32, Bool],
            variants if variants.len() == 1 => &[F32],
            _ => &[F32, I32, U32],
        };
        if accepted.contains(&dtype) {
            return Ok(dtype.storage_variant().min(self.each.variants.len() - 1));
        }
        let names: Vec<_> = accepted.iter().map(|d| d.name()).collect();
        Err(Error::dtype(op, format!("takes {}, not {dtype}; convert with `.to_dtype(..)`", names.join(", "))))
    }
}

/// The variant of [`HALVES`] for this type.
pub(crate) fn half_variant(dtype: DType) -> Option<usize> {
    match dtype {
        DType::F16 => Some(0),
        DType::BF16 => Some(1),
        _ => None,
    }
}

/// One thread an element.
pub(crate) fn grid(params: &Params<'_>) -> Grid {
    Grid::elements(params.get::<ElementwiseParams>().n)
}

/// One thread four elements.
pub(crate) fn grid_of_quads(params: &Params<'_>) -> Grid {
    let n = params.get::<ElementwiseParams>().n;
    Grid { work: Grid::elements(n).work, ..Grid::elements(n / 4) }
}

/// One thread eight elements.
fn grid_of_eights(params: &Params<'_>) -> Grid {
    let n = params.get::<ElementwiseParams>().n;
    Grid { work: Grid::elements(n).work, ..Grid::elements(n / 8) }
}

/// The lines of one element type: what is read, what is written, and whether NaN can occur.
macro_rules! types {
    ($elem:literal, $result:literal, $is_float:literal $(, $more:expr)?) => {
        &[Item::Alias("elem", $elem), Item::Alias("result", $result), Item::Const("IS_FLOAT", $is_float) $(, $more)?]
    };
}

/// The variant of operations on floats only.
pub(crate) const FLOAT: &[Variant] = &[Variant::new("", types!("f32", "f32", 1))];

/// Variants for floats and integers, in the order of [`DType::storage_variant`].
pub(crate) const NUMERIC: &[Variant] = &[
    Variant::new("f32", types!("f32", "f32", 1)),
    Variant::new("i32", types!("i32", "i32", 0)),
    Variant::new("u32", types!("u32", "u32", 0)),
];

/// Variants for floats of half the width, which are computed with as f32: KIND is that of `common/half`.
pub(crate) const HALVES: &[Variant] = &[
    Variant::new("f16", types!("f32", "f32", 1, Item::F16)),
    Variant::new("bf16", types!("f32", "f32", 1, Item::BF16)),
];

/// Variants of comparisons: the result is a truth value.
pub(crate) const COMPARISON: &[Variant] = &[
    Variant::new("f32", types!("f32", "u32", 1)),
    Variant::new("i32", types!("i32", "u32", 0)),
    Variant::new("u32", types!("u32", "u32", 0)),
];

/// The variant of questions about a float: the result is a truth value.
pub(crate) const FLOAT_TEST: &[Variant] = &[Variant::new("", types!("f32", "u32", 1))];

/// The variant of operations on truth values.
pub(crate) const LOGICAL: &[Variant] = &[Variant::new("bool", types!("u32", "u32", 0))];

/// Variants of what moves elements as they are: the shader sees bits, and the twin is told what they are.
pub(crate) const BITS: &[Variant] = &[
    Variant::new("f32", types!("u32", "u32", 0)),
    Variant::new("i32", types!("u32", "u32", 0)),
    Variant::new("u32", types!("u32", "u32", 0)),
];

/// The same for floats only.
pub(crate) const FLOAT_BITS: &[Variant] = &[Variant::new("", types!("u32", "u32", 0))];

/// What a unary operation's gradient is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saves {
    Input,
    Output,
    /// Neither: the gradient is given no saved value.
    Nothing,
}

/// The kernels of one computation: the wrapper WRAPPER, WRAPPER_quads or WRAPPER_halves of `shaders/elementwise/`, then the
/// files with its maths.
macro_rules! kernels {
    (
        $kernel:expr, $wrapper:literal, [$($file:expr),+], [$($binding:expr),+],
        $variants:expr, $twin:expr, $bound:expr $(,)?
    ) => {
        $crate::ops::elementwise::Elementwise::new(
            $crate::engine::Kernel {
                name: $kernel,
                source: &[
                    include_str!(concat!("../../../shaders/elementwise/", $wrapper, ".wgsl")),
                    $(include_str!(concat!("../../../shaders/elementwise/", $file, ".wgsl"))),+
                ],
                entry: "main",
                bindings: &[$($binding),+],
                params: $crate::engine::ParamsLayout::of::<$crate::ops::elementwise::ElementwiseParams>(),
                variants: $variants,
                grid: $crate::ops::elementwise::grid,
                reference: $twin,
                bound: |_| $bound,
            },
            (concat!($kernel, "_quads"), &[
                include_str!("../../../shaders/elementwise/quads.wgsl"),
                include_str!("../../../shaders/elementwise/threads.wgsl"),
                include_str!(concat!("../../../shaders/elementwise/", $wrapper, "_quads.wgsl")),
                $(include_str!(concat!("../../../shaders/elementwise/", $file, ".wgsl"))),+
            ]),
            (concat!($kernel, "_rows"), &[
                include_str!("../../../shaders/elementwise/rows.wgsl"),
                include_str!("../../../shaders/elementwise/threads.wgsl"),
                include_str!(concat!("../../../shaders/elementwise/", $wrapper, "_quads.wgsl")),
                $(include_str!(concat!("../../../shaders/elementwise/", $file, ".wgsl"))),+
            ]),
        ).with_halves((concat!($kernel, "_halves"), &[
            include_str!("../../../shaders/elementwise/halves.wgsl"),
            include_str!("../../../shaders/elementwise/threads.wgsl"),
            include_str!(concat!("../../../shaders/elementwise/", $wrapper, "_halves.wgsl")),
            $(include_str!(concat!("../../../shaders/elementwise/", $file, ".wgsl"))),+
        ]))
    };
}
pub(crate) use kernels;

/// The kernels of these computations, for the registry; those for halves where all have them.
macro_rules! every_kernel {
    ($($kernels:ident),+) => {
        if true $(&& $kernels.halves.is_some())+ {
            &[$(&$kernels.each, &$kernels.quads, &$kernels.rows, $kernels.for_halves()),+]
        } else {
            &[$(&$kernels.each, &$kernels.quads, &$kernels.rows),+]
        }
    };
}
pub(crate) use every_kernel;

/// Declares a unary operation: its kernels, from the maths in `shaders/elementwise/NAME.wgsl`, and its row of the
/// registry. Without `backward` the page gives a `vjp` of its own.
macro_rules! unary {
    (@scalars) => { |_| [0.0; 4] };
    (@scalars $scalars:expr) => { $scalars };
    (
        $static:ident, $name:literal,
        forward: $forward:expr,
        $(int: $int:expr,)?
        bound: $bound:expr,
        saves: $saves:ident,
        $(scalars: $scalars:expr,)?
        backward: $backward:expr,
        backward_bound: $backward_bound:expr,
        $(chained: ($step:expr, $operands:expr),)?
        $(chained_backward: ($step_back:expr, $operands_back:expr),)?
        cases: $cases:expr $(,)?
    ) => {
        static FORWARD: $crate::ops::elementwise::Elementwise =
            $crate::ops::elementwise::unary_kernel!($name, $forward, $bound $(, $int)?)$(.chained($step, $operands))?;
        static BACKWARD: $crate::ops::elementwise::Elementwise = $crate::ops::elementwise::kernels!(
            concat!($name, ".backward"), "unary_backward", [$name],
            [
                $crate::engine::Binding::Read("g"),
                $crate::engine::Binding::Read("s"),
                $crate::engine::Binding::Write("dx")
            ],
            $crate::ops::elementwise::FLOAT,
            |call| $crate::ops::elementwise::unary_backward_twin(call, $backward),
            $backward_bound,
        )$(.chained($step_back, $operands_back))?;
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $static: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: $crate::ops::elementwise::every_kernel!(FORWARD, BACKWARD),
            forward: |call| {
                $crate::ops::elementwise::unary_forward(
                    call,
                    &FORWARD,
                    $crate::ops::elementwise::unary!(@scalars $($scalars)?),
                    $crate::ops::elementwise::Saves::$saves,
                )
            },
            vjp: Some(|v| {
                $crate::ops::elementwise::unary_vjp(
                    v,
                    &BACKWARD,
                    $crate::ops::elementwise::unary!(@scalars $($scalars)?),
                )
            }),
            cases: $cases,
        };
    };
}
pub(crate) use unary;

/// The forward kernels of a unary operation; with `int` they have a variant for each numeric type. `@as` gives variants and
/// twin instead of the maths.
macro_rules! unary_kernel {
    (@as $name:expr, [$($file:expr),+], $variants:expr, $twin:expr, $bound:expr) => {
        $crate::ops::elementwise::kernels!(
            concat!($name, ".forward"), "unary", [$($file),+],
            [$crate::engine::Binding::Read("x"), $crate::engine::Binding::Write("y")],
            $variants, $twin, $bound,
        )
    };
    ($name:literal, $forward:expr, $bound:expr) => {
        $crate::ops::elementwise::unary_kernel!(
            @as $name, [$name], $crate::ops::elementwise::FLOAT,
            |call| $crate::ops::elementwise::unary_twin(call, $forward, None), $bound
        )
    };
    ($name:literal, $forward:expr, $bound:expr, $int:expr) => {
        $crate::ops::elementwise::unary_kernel!(
            @as $name, [$name], $crate::ops::elementwise::NUMERIC,
            |call| $crate::ops::elementwise::unary_twin(call, $forward, Some($int)), $bound
        )
    };
}
pub(crate) use unary_kernel;

/// Declares a unary operation of floats that is exact and constant between its jumps: its gradient is 0.
macro_rules! unary_steps {
    ($static:ident, $name:literal, forward: $forward:expr, $(int: $int:expr,)? cases: $cases:expr $(,)?) => {
        static FORWARD: $crate::ops::elementwise::Elementwise = $crate::ops::elementwise::unary_kernel!(
            $name, $forward, $crate::engine::Bound::Exact $(, $int)?
        );
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $static: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: $crate::ops::elementwise::every_kernel!(FORWARD),
            forward: |call| {
                let nothing = $crate::ops::elementwise::Saves::Nothing;
                $crate::ops::elementwise::unary_forward(call, &FORWARD, |_| [0.0; 4], nothing)
            },
            vjp: Some($crate::ops::elementwise::zero_vjp),
            cases: $cases,
        };
    };
}
pub(crate) use unary_steps;

/// The forward kernels of a binary operation from `shaders/elementwise/NAME.wgsl`; `@as` names the files.
macro_rules! binary_kernel {
    (@as $name:expr, [$($file:expr),+], $variants:expr, $twin:expr, $bound:expr) => {
        $crate::ops::elementwise::kernels!(
            concat!($name, ".forward"), "binary", [$($file),+],
            [
                $crate::engine::Binding::Read("x"),
                $crate::engine::Binding::Read("y"),
                $crate::engine::Binding::Write("z")
            ],
            $variants, $twin, $bound,
        )
    };
    ($name:literal, $variants:expr, $twin:expr, $bound:expr) => {
        $crate::ops::elementwise::binary_kernel!(@as $name, [$name], $variants, $twin, $bound)
    };
}
pub(crate) use binary_kernel;

/// The kernels of one operand's gradient, which the page's file defines as `left` or `right`.
macro_rules! binary_backward_kernel {
    ($name:literal, "left", $twin:expr, $bound:expr) => {
        $crate::ops::elementwise::binary_backward_kernel!(@of $name, "left", "side_left", $twin, $bound)
    };
    ($name:literal, "right", $twin:expr, $bound:expr) => {
        $crate::ops::elementwise::binary_backward_kernel!(@of $name, "right", "side_right", $twin, $bound)
    };
    (@of $name:literal, $side:literal, $file:literal, $twin:expr, $bound:expr) => {
        $crate::ops::elementwise::kernels!(
            concat!($name, ".backward_", $side), "binary_backward", [$name, $file],
            [
                $crate::engine::Binding::Read("g"),
                $crate::engine::Binding::Read("x"),
                $crate::engine::Binding::Read("y"),
                $crate::engine::Binding::Write("d")
            ],
            $crate::ops::elementwise::FLOAT,
            |call| $crate::ops::elementwise::binary_backward_twin(call, $twin),
            $bound,
        )
    };
}
pub(crate) use binary_backward_kernel;
