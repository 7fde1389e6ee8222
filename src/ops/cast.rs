//! Conversion between element types, and the copy that makes a tensor contiguous.
//!
//! Floats are cut towards zero on the way to integers and limited to their range, NaN becomes 0; anything but zero is
//! `true`. Floats of half the width are the nearest ones, and of two equally near ones that whose last bit is 0. The
//! gradient of a float-to-float copy passes unchanged but for its type.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.to.html>

use smallvec::smallvec;

use super::copy_blocks::{BLOCKS, BlockParams};
use super::elementwise::{Elementwise, ElementwiseParams, grid, grid_of_quads};
use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;

const THREADS: &str = include_str!("../../shaders/elementwise/threads.wgsl");
const MATHS: &str = include_str!("../../shaders/cast_maths.wgsl");

macro_rules! prelude {
    ($from:literal, $to:literal) => {
        &[Item::Const("FROM", $from), Item::Const("TO", $to), Item::Alias("elem", "u32"), Item::Alias("result", "u32")]
    };
}

/// From each stored type to f32, i32, u32 and bool.
const VARIANTS: &[Variant] = &[
    variant("f32-f32", 0, 0),
    variant("f32-i32", 0, 1),
    variant("f32-u32", 0, 2),
    variant("f32-bool", 0, 3),
    variant("i32-f32", 1, 0),
    variant("i32-i32", 1, 1),
    variant("i32-u32", 1, 2),
    variant("i32-bool", 1, 3),
    variant("u32-f32", 2, 0),
    variant("u32-i32", 2, 1),
    variant("u32-u32", 2, 2),
    variant("u32-bool", 2, 3),
    variant("f16-f32", 3, 0),
    variant("f16-i32", 3, 1),
    variant("f16-u32", 3, 2),
    variant("f16-bool", 3, 3),
    variant("bf16-f32", 4, 0),
    variant("bf16-i32", 4, 1),
    variant("bf16-u32", 4, 2),
    variant("bf16-bool", 4, 3),
];

/// Those between types of a word.
const WORDS: &[Variant] = VARIANTS.first_chunk::<12>().expect("they come first");

/// From each stored type to f16 and bf16.
const HALF_VARIANTS: &[Variant] = &[
    variant("f32-f16", 0, 3),
    variant("f32-bf16", 0, 4),
    variant("i32-f16", 1, 3),
    variant("i32-bf16", 1, 4),
    variant("u32-f16", 2, 3),
    variant("u32-bf16", 2, 4),
    variant("f16-f16", 3, 3),
    variant("f16-bf16", 3, 4),
    variant("bf16-f16", 4, 3),
    variant("bf16-bf16", 4, 4),
];

const fn variant(label: &'static str, from: usize, to: usize) -> Variant {
    Variant::new(label, PRELUDES[from][to])
}

/// The lines of a variant, by what is read and what is written.
const PRELUDES: [[&[Item]; 5]; 5] = [
    [prelude!(0, 0), prelude!(0, 1), prelude!(0, 2), prelude!(0, 3), prelude!(0, 4)],
    [prelude!(1, 0), prelude!(1, 1), prelude!(1, 2), prelude!(1, 3), prelude!(1, 4)],
    [prelude!(2, 0), prelude!(2, 1), prelude!(2, 2), prelude!(2, 3), prelude!(2, 4)],
    [prelude!(3, 0), prelude!(3, 1), prelude!(3, 2), prelude!(3, 3), prelude!(3, 4)],
    [prelude!(4, 0), prelude!(4, 1), prelude!(4, 2), prelude!(4, 3), prelude!(4, 4)],
];

/// A thread an element; by fours between types of a word, as most of them lie.
static FORWARD: Elementwise = Elementwise::new(
    Kernel {
        name: "cast.forward",
        source: &[include_str!("../../shaders/cast.wgsl"), MATHS],
        entry: "main",
        bindings: &[Binding::Read("x"), Binding::Write("y")],
        params: ParamsLayout::of::<ElementwiseParams>(),
        variants: VARIANTS,
        grid,
        reference: twin,
        bound: |_| Bound::ulps(1.0),
    },
    (
        "cast.quads",
        &[
            include_str!("../../shaders/elementwise/quads.wgsl"),
            THREADS,
            include_str!("../../shaders/elementwise/unary_quads.wgsl"),
            MATHS,
        ],
    ),
    (
        "cast.rows",
        &[
            include_str!("../../shaders/elementwise/rows.wgsl"),
            THREADS,
            include_str!("../../shaders/elementwise/unary_quads.wgsl"),
            MATHS,
        ],
    ),
)
.with_quad_variants(WORDS);

/// Four elements a thread that lie any step apart: half of the time that they take one by one.
static STEPS: Kernel = Kernel {
    name: "cast.steps",
    source: &[include_str!("../../shaders/cast_steps.wgsl"), THREADS, MATHS],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: WORDS,
    grid: grid_of_quads,
    reference: twin,
    bound: |_| Bound::ulps(1.0),
};

/// Makes two halves a thread, which share a word.
static TO_HALF: Kernel = Kernel {
    name: "cast.half",
    source: &[include_str!("../../shaders/cast_half.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: HALF_VARIANTS,
    grid: |p| Grid::elements(p.get::<ElementwiseParams>().n.div_ceil(2)),
    reference: half_twin,
    bound: |_| Bound::Exact,
};

/// Eight neighbours a thread, where the elements lie so: a million in 1 ms on lavapipe, where others take 4 to 8
/// (`cargo bench --bench elementwise -- f32`).
static VECTORS: Kernel = Kernel {
    name: "cast.vectors",
    source: &[include_str!("../../shaders/cast_vectors.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: VECTOR_VARIANTS,
    grid: |p| Grid::elements(p.get::<ElementwiseParams>().n / 8).work(u64::from(p.get::<ElementwiseParams>().n) * 8),
    reference: half_twin,
    bound: |_| Bound::Exact,
};

/// Between f32 and the types of half the width.
const VECTOR_VARIANTS: &[Variant] =
    &[variant("f32-f16", 0, 3), variant("f32-bf16", 0, 4), variant("f16-f32", 3, 0), variant("bf16-f32", 4, 0)];

/// The variant of [`VECTORS`] for these tensors, if there is one.
fn vectors_variant(x: &Tensor, y: &Tensor) -> Option<usize> {
    let whole = [x.numel(), x.offset(), y.offset()].iter().all(|n| n.is_multiple_of(8)) && x.is_contiguous();
    match (x.dtype(), y.dtype()) {
        _ if !whole => None,
        (DType::F32, DType::F16) => Some(0),
        (DType::F32, DType::BF16) => Some(1),
        (DType::F16, DType::F32) => Some(2),
        (DType::BF16, DType::F32) => Some(3),
        _ => None,
    }
}

/// Reads elements of a type, by its number in the shaders.
fn reader<'a>(call: &'a HostCall<'_>, from: usize) -> Box<dyn Fn(usize) -> f64 + 'a> {
    match from {
        1 => {
            let x = call.ints(0);
            Box::new(move |i| f64::from(x[i]))
        }
        2 => {
            let x = call.words(0);
            Box::new(move |i| f64::from(x[i]))
        }
        _ => {
            let x = call.floats(0);
            Box::new(move |i| x[i])
        }
    }
}

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let read = reader(call, call.variant() / 4);
    let elements = (0..p.n).map(|i| (p.result(i), read(p.operand(i, 0))));
    match call.variant() % 4 {
        0 => {
            let mut y = call.floats_mut(1);
            elements.for_each(|(at, x)| y[at] = x);
        }
        1 => {
            let mut y = call.ints_mut(1);
            // From u32, bits beyond i32 wrap as in C; from floats the range limits.
            let wrap = call.variant() / 4 == 2;
            elements.for_each(|(at, x)| y[at] = if wrap { x as i64 as i32 } else { x as i32 });
        }
        2 => {
            let mut y = call.words_mut(1);
            let wrap = call.variant() / 4 == 1;
            elements.for_each(|(at, x)| y[at] = if wrap { x as i64 as u32 } else { x as u32 });
        }
        _ => {
            let mut y = call.words_mut(1);
            elements.for_each(|(at, x)| y[at] = u32::from(x != 0.0));
        }
    }
    Ok(())
}

/// The elements as they are: the store rounds them.
fn half_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    // What is read is in the label.
    let from = match call.kernel().variants[call.variant()].label.split('-').next() {
        Some("i32") => 1,
        Some("u32") => 2,
        _ => 0,
    };
    let read = reader(call, from);
    let mut y = call.floats_mut(1);
    (0..p.n).for_each(|i| y[p.result(i)] = read(p.operand(i, 0)));
    Ok(())
}

/// The number of a stored type in the shaders.
fn number(dtype: DType) -> usize {
    match dtype {
        DType::F32 => 0,
        DType::I32 => 1,
        DType::U32 | DType::Bool => 2,
        DType::F16 => 3,
        DType::BF16 => 4,
    }
}

/// Writes the elements of `x`, converted, into `y`, which is contiguous and starts with a word.
pub(crate) fn convert(run: &mut Run<'_>, x: &Tensor, y: &Tensor) -> Result<()> {
    let (from, to) = (number(x.dtype()), number(y.dtype()));
    let mut params = ElementwiseParams::new("to", x.shape(), &[x], y)?;
    if let Some(variant) = vectors_variant(x, y) {
        run.dispatch(&VECTORS, variant, &[x, y], &params);
        return Ok(());
    }
    if y.dtype().is_half() {
        debug_assert!(y.offset().is_multiple_of(2), "halves are written word by word");
        run.dispatch(&TO_HALF, 2 * from + to - 3, &[x, y], &params);
        return Ok(());
    }
    // A truth value is the u32 0 or 1 already.
    let to = if y.dtype() == DType::Bool && x.dtype() != DType::Bool { 3 } else { to };
    let variant = 4 * from + to;
    if x.dtype().is_half() {
        run.dispatch(&FORWARD.each, variant, &[x, y], &params);
    } else if x.dtype() == y.dtype()
        && let Some((blocks, variant)) = BlockParams::of(&params, x.dtype())
    {
        run.dispatch(&BLOCKS, variant, &[x, y], &blocks);
    } else if let Some(step) = params.step_of_quads() {
        params.extra[0] = step;
        run.dispatch(&STEPS, variant, &[x, y], &params);
    } else {
        run.dispatch(FORWARD.of(&params), variant, &[x, y], &params);
    }
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, dtype) = (call.input(0), call.attrs().get_dtype("dtype"));
    let y = call.output(dtype, x.shape());
    convert(call, x, &y)?;
    Ok(smallvec![y])
}

/// The gradient in the type of the input.
fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let g = v.gradient();
    if g.dtype() == v.input_dtype(0) {
        return Ok(smallvec![Some(g.clone())]);
    }
    let dx = v.gradient_output(0);
    convert(v, g, &dx)?;
    Ok(smallvec![Some(dx)])
}

/// The operation `to`.
pub(crate) static CAST: Operation = Operation {
    name: "to",
    kernels: &[&FORWARD.each, &FORWARD.quads, &FORWARD.rows, &STEPS, &BLOCKS, &TO_HALF, &VECTORS],
    forward,
    vjp: Some(vjp),
    cases,
};

/// Writes all of `source` into the memory of `target`, converted: one buffer's elements into those of another.
pub(crate) fn store(source: &Tensor, target: &Tensor) -> Result<()> {
    let mut run = Run::new(target.device());
    convert(&mut run, source, target)?;
    run.failure().cloned().map_or(Ok(()), Err)
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let all = [DType::F32, DType::F16, DType::BF16, DType::I32, DType::U32, DType::Bool];
    let mut list = Vec::new();
    for to in all {
        let attrs = Attrs::new().dtype("dtype", to);
        for from in all {
            let whole = Fill::Whole(if from == DType::U32 || to == DType::U32 { 0 } else { -9 }, 9);
            let fill = if from.is_float() { Fill::Uniform(0.0, 9.0) } else { whole };
            let fill = if from == DType::Bool { Fill::Whole(0, 2) } else { fill };
            let input = Input::floats(&[3, 5]).fill(fill).dtype(from).arranged(Arrangement::Transposed);
            let case = Case::new(format!("{from} to {to}"), vec![input]).attrs(attrs.clone());
            list.push(if from == DType::F32 && to.is_float() { case } else { case.no_gradcheck() });
        }
        for from in all.into_iter().filter(|from| from.is_float()) {
            let extreme = Input::floats(&[17]).fill(EXTREME).dtype(from);
            list.push(Case::new(format!("extreme {from} to {to}"), vec![extreme]).attrs(attrs.clone()).no_gradcheck());
        }
        let borders = Input::floats(&[HALF_BORDERS.len()]).fill(Fill::Values(HALF_BORDERS));
        list.push(Case::new(format!("borders to {to}"), vec![borders]).attrs(attrs).no_gradcheck());
    }
    for (from, to) in
        [(DType::F32, DType::F16), (DType::F32, DType::BF16), (DType::F16, DType::F32), (DType::BF16, DType::F32)]
    {
        for (name, fill) in [("vectors", cases::ANY), ("extreme vectors", EXTREME)] {
            let input = Input::floats(&[3, 136]).fill(fill).dtype(from);
            let case =
                Case::new(format!("{name} of {from} to {to}"), vec![input]).attrs(Attrs::new().dtype("dtype", to));
            list.push(case.no_gradcheck());
        }
    }
    list.extend(cases_by_fours());
    list.push(Case::new("empty", vec![Input::floats(&[0, 3])]).attrs(Attrs::new().dtype("dtype", DType::F16)));
    list
}

/// Elements of a word that lie in vectors, in rows that are repeated, and some steps apart; copies of swapped dims.
fn cases_by_fours() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let words = [DType::F32, DType::I32, DType::U32, DType::Bool];
    let mut list = Vec::new();
    for from in words {
        let input = |shape: &[usize]| {
            let fill = match from {
                DType::F32 => EXTREME,
                DType::I32 => Fill::Whole(-9, 9),
                DType::U32 => Fill::Whole(0, 9),
                _ => Fill::Whole(0, 2),
            };
            Input::floats(shape).fill(fill).dtype(from)
        };
        for to in words {
            let lies = [
                ("vectors", input(&[3, 36])),
                ("repeated rows", input(&[3, 12]).arranged(Arrangement::Expanded)),
                ("steps", input(&[3, 5, 12]).arranged(Arrangement::Strided)),
            ];
            for (name, input) in lies {
                let case = Case::new(format!("{name} of {from} to {to}"), vec![input]);
                list.push(case.attrs(Attrs::new().dtype("dtype", to)).no_gradcheck());
            }
        }
        let turned = [&[4, 4][..], &[8, 12], &[20, 24], &[16, 3, 64], &[4, 3, 2, 12]];
        let lines = [&[4, 12][..], &[3, 8, 12], &[3, 48]];
        let turned = turned.map(|shape| (shape, Arrangement::Transposed));
        for (shape, arrangement) in turned.into_iter().chain(lines.map(|shape| (shape, Arrangement::Expanded))) {
            let case = Case::new(
                format!("blocks of {from} in {shape:?}, {arrangement:?}"),
                vec![input(shape).arranged(arrangement)],
            );
            list.push(case.attrs(Attrs::new().dtype("dtype", from)).no_gradcheck());
        }
    }
    list
}

/// Numbers at and beside the middle of two f16 or bf16, at the ends of their ranges.
const HALF_BORDERS: &[f64] = &[
    65504.0,
    65519.99609375,
    65520.0,
    -65520.0,
    65536.0,
    1.00048828125,
    1.0004883,
    1.0014648437,
    1.00390625,
    1.01171875,
    6.103515625e-5,
    6.1e-5,
    6.097e-5,
    5.960464477539063e-8,
    2.980232238769531e-8,
    2.9802326e-8,
    8.940696716308594e-8,
    -8.95e-8,
    3.3895313892515355e38,
    3.3961775292304957e38,
    1.1754943508222875e-38,
];

methods! {
    /// Converts the elements; the tensor itself when they have the type already.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-1.7f32, 0.0, 2.5], &[3]);
    /// assert_eq!(x.to_dtype(DType::I32).to_vec::<i32>()?, [-1, 0, 2]);
    /// assert_eq!(x.to_dtype(DType::Bool).to_vec::<bool>()?, [true, false, true]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn to_dtype / try_to_dtype (&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        single(apply(&CAST, &[self], Attrs::new().dtype("dtype", dtype)))
    }

    /// The tensor as [`DType::F16`]: a number beyond 65,504 becomes infinite, one below 3e-8 zero.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 0.1, 70_000.0], &[3]).half();
    /// assert_eq!(x.dtype(), DType::F16);
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 0.099975586, f32::INFINITY]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn half / try_half (&self) -> Tensor {
        self.try_to_dtype(DType::F16)
    }

    /// The tensor as [`DType::BF16`], which has the range of f32 and three decimals.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 0.1, 70_000.0], &[3]).bfloat16();
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 0.100097656, 70_144.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn bfloat16 / try_bfloat16 (&self) -> Tensor {
        self.try_to_dtype(DType::BF16)
    }

    /// The tensor as [`DType::F32`].
    pub fn float / try_float (&self) -> Tensor {
        self.try_to_dtype(DType::F32)
    }

    /// The tensor as [`DType::I32`]: floats are cut towards zero.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.9f32, -1.9], &[2]);
    /// assert_eq!(x.int().to_vec::<i32>()?, [1, -1]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn int / try_int (&self) -> Tensor {
        self.try_to_dtype(DType::I32)
    }

    /// [`Self::int`]: what PyTorch keeps in 64 bits, class numbers and indices, are 32 bits here.
    pub fn long / try_long (&self) -> Tensor {
        self.try_to_dtype(DType::I32)
    }

    /// The tensor as [`DType::Bool`]: true where an element is not 0.
    pub fn bool / try_bool (&self) -> Tensor {
        self.try_to_dtype(DType::Bool)
    }

    /// The same elements row by row: the tensor itself when they lie so already, else a copy.
    pub fn contiguous / try_contiguous (&self) -> Tensor {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        self.try_copy()
    }

    /// A copy with memory of its own: PyTorch's `clone()`. (`clone` in Rust copies the handle.) Gradients flow through.
    pub fn copy / try_copy (&self) -> Tensor {
        single(apply(&CAST, &[self], Attrs::new().dtype("dtype", self.dtype())))
    }
}
