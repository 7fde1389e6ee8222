//! Operations that treat elements one by one: the wrappers around the maths of each.
//!
//! A page here declares its operation with `unary!` or `binary!`; its shader file holds only the maths.

pub(crate) mod abs;
pub(crate) mod activations;
pub(crate) mod add;
pub(crate) mod add_scalar;
pub(crate) mod ceil;
pub(crate) mod celu;
pub(crate) mod clamp;
pub(crate) mod compare;
pub(crate) mod cos;
pub(crate) mod div;
pub(crate) mod div_scalar;
pub(crate) mod dropout;
pub(crate) mod elu;
pub(crate) mod erf;
pub(crate) mod exp;
pub(crate) mod expm1;
pub(crate) mod floor;
pub(crate) mod gelu;
pub(crate) mod gelu_tanh;
pub(crate) mod hardshrink;
pub(crate) mod hardsigmoid;
pub(crate) mod hardswish;
pub(crate) mod hardtanh;
pub(crate) mod isinf;
pub(crate) mod isnan;
pub(crate) mod leaky_relu;
pub(crate) mod log;
pub(crate) mod log1p;
pub(crate) mod logical_and;
pub(crate) mod logical_not;
pub(crate) mod logical_or;
pub(crate) mod logsigmoid;
pub(crate) mod masked_fill;
pub(crate) mod maximum;
pub(crate) mod minimum;
pub(crate) mod mish;
pub(crate) mod mul;
pub(crate) mod mul_scalar;
pub(crate) mod neg;
pub(crate) mod pow;
pub(crate) mod powf;
pub(crate) mod powi;
pub(crate) mod prelu;
pub(crate) mod reciprocal;
pub(crate) mod relu;
pub(crate) mod round;
pub(crate) mod rsqrt;
pub(crate) mod selu;
pub(crate) mod sigmoid;
pub(crate) mod sign;
pub(crate) mod silu;
pub(crate) mod sin;
pub(crate) mod softplus;
pub(crate) mod softshrink;
pub(crate) mod softsign;
pub(crate) mod sqrt;
pub(crate) mod square;
pub(crate) mod sub;
pub(crate) mod tanh;
pub(crate) mod tanhshrink;
pub(crate) mod threshold;
pub(crate) mod trunc;
mod types;
pub(crate) mod where_;

pub(crate) use types::{as_float, common_type, with_floats};

use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Grid, HostCall, Item, Kernel, Params, Variant};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, single};
use crate::tensor::Tensor;
use crate::tensor::shape::{Walk, broadcast, broadcast_strides, strided_offset};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/common/elementwise.wgsl`.
    pub struct ElementwiseParams {
        n: u32,
        rank: u32,
        extra: [u32; 2],
        scalars: [u32; 4],
        offsets: [u32; 4],
        shape: [u32; 8],
        strides: [u32; 24],
    }
}

impl ElementwiseParams {
    /// Params for operands that were broadcast to one shape, and a contiguous result.
    pub fn new(op: &'static str, shape: &[usize], operands: &[&Tensor], result: &Tensor) -> Result<Self> {
        let mut strides: [crate::tensor::Shape; 3] = Default::default();
        for (strides, operand) in strides.iter_mut().zip(operands) {
            *strides = broadcast_strides(operand.shape(), operand.strides(), shape);
        }
        for unused in &mut strides[operands.len()..] {
            *unused = crate::tensor::shape::contiguous_strides(shape);
        }
        let (walk, _) = Walk::new(op, shape, std::array::from_fn::<_, 3, _>(|i| &strides[i][..]), shape.len())?;
        let mut params = ElementwiseParams {
            n: crate::tensor::shape::numel(shape) as u32,
            rank: walk.rank,
            extra: [0; 2],
            scalars: [0; 4],
            offsets: [0, 0, 0, result.offset() as u32],
            shape: walk.shape,
            strides: [0; 24],
        };
        for (i, operand) in operands.iter().enumerate() {
            params.offsets[i] = operand.offset() as u32;
            params.strides[8 * i..8 * (i + 1)].copy_from_slice(&walk.strides[i]);
        }
        Ok(params)
    }

    /// Where element `i` of an operand lies: twin of `operand_offset`.
    pub fn operand(&self, i: u32, operand: usize) -> usize {
        let strides = &self.strides[8 * operand..8 * (operand + 1)];
        self.offsets[operand] as usize + strided_offset(i, self.rank, &self.shape, strides)
    }

    /// Where element `i` of the result lies.
    pub fn result(&self, i: u32) -> usize {
        (self.offsets[3] + i) as usize
    }
}

/// One thread an element.
pub(crate) fn grid(params: &Params<'_>) -> Grid {
    Grid::elements(params.get::<ElementwiseParams>().n)
}

/// The lines of one element type: what is read, what is written, and whether NaN can occur.
macro_rules! types {
    ($elem:literal, $result:literal, $is_float:literal) => {
        &[Item::Alias("elem", $elem), Item::Alias("result", $result), Item::Const("IS_FLOAT", $is_float)]
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

/// What a unary operation's gradient is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saves {
    Input,
    Output,
    /// Neither: the gradient is given no saved value.
    Nothing,
}

/// The scalar maths of a unary operation.
pub(crate) type UnaryFn = fn(f64, [f64; 4]) -> f64;
/// The same on integers, in 64 bits; the result wraps to 32.
pub(crate) type UnaryIntFn = fn(i64, [i64; 4]) -> i64;

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
        cases: $cases:expr $(,)?
    ) => {
        static FORWARD: $crate::engine::Kernel =
            $crate::ops::elementwise::unary_kernel!($name, $forward, $bound $(, $int)?);
        static BACKWARD: $crate::engine::Kernel = $crate::engine::Kernel {
            name: concat!($name, ".backward"),
            source: &[
                include_str!("../../../shaders/elementwise/unary_backward.wgsl"),
                include_str!(concat!("../../../shaders/elementwise/", $name, ".wgsl")),
            ],
            entry: "main",
            bindings: &[
                $crate::engine::Binding::Read("g"),
                $crate::engine::Binding::Read("s"),
                $crate::engine::Binding::Write("dx"),
            ],
            params: $crate::engine::ParamsLayout::of::<$crate::ops::elementwise::ElementwiseParams>(),
            variants: $crate::ops::elementwise::FLOAT,
            grid: $crate::ops::elementwise::grid,
            reference: |call| $crate::ops::elementwise::unary_backward_twin(call, $backward),
            bound: |_| $backward_bound,
        };
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $static: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: &[&FORWARD, &BACKWARD],
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

/// The forward kernel of a unary operation; with `int` it has a variant for each numeric type.
macro_rules! unary_kernel {
    (@variants) => { $crate::ops::elementwise::FLOAT };
    (@variants $int:expr) => { $crate::ops::elementwise::NUMERIC };
    (@int) => { None };
    (@int $int:expr) => { Some($int) };
    ($name:literal, $forward:expr, $bound:expr $(, $int:expr)?) => {
        $crate::engine::Kernel {
            name: concat!($name, ".forward"),
            source: &[
                include_str!("../../../shaders/elementwise/unary.wgsl"),
                include_str!(concat!("../../../shaders/elementwise/", $name, ".wgsl")),
            ],
            entry: "main",
            bindings: &[$crate::engine::Binding::Read("x"), $crate::engine::Binding::Write("y")],
            params: $crate::engine::ParamsLayout::of::<$crate::ops::elementwise::ElementwiseParams>(),
            variants: $crate::ops::elementwise::unary_kernel!(@variants $($int)?),
            grid: $crate::ops::elementwise::grid,
            reference: |call| $crate::ops::elementwise::unary_twin(
                call, $forward, $crate::ops::elementwise::unary_kernel!(@int $($int)?),
            ),
            bound: |_| $bound,
        }
    };
}
pub(crate) use unary_kernel;

/// Declares a unary operation of floats that is exact and constant between its jumps: its gradient is 0.
macro_rules! unary_steps {
    ($static:ident, $name:literal, forward: $forward:expr, $(int: $int:expr,)? cases: $cases:expr $(,)?) => {
        static FORWARD: $crate::engine::Kernel = $crate::ops::elementwise::unary_kernel!(
            $name, $forward, $crate::engine::Bound::Exact $(, $int)?
        );
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $static: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: &[&FORWARD],
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

/// The forward kernel of a binary operation from `shaders/elementwise/NAME.wgsl`.
macro_rules! binary_kernel {
    ($name:literal, $variants:expr, $twin:expr, $bound:expr) => {
        $crate::engine::Kernel {
            name: concat!($name, ".forward"),
            source: &[
                include_str!("../../../shaders/elementwise/binary.wgsl"),
                include_str!(concat!("../../../shaders/elementwise/", $name, ".wgsl")),
            ],
            entry: "main",
            bindings: &[
                $crate::engine::Binding::Read("x"),
                $crate::engine::Binding::Read("y"),
                $crate::engine::Binding::Write("z"),
            ],
            params: $crate::engine::ParamsLayout::of::<$crate::ops::elementwise::ElementwiseParams>(),
            variants: $variants,
            grid: $crate::ops::elementwise::grid,
            reference: $twin,
            bound: |_| $bound,
        }
    };
}
pub(crate) use binary_kernel;

/// The kernel of one operand's gradient: entry `backward_left` or `backward_right`.
macro_rules! binary_backward_kernel {
    ($name:literal, $side:literal, $twin:expr, $bound:expr) => {
        $crate::engine::Kernel {
            name: concat!($name, ".backward_", $side),
            source: &[
                include_str!("../../../shaders/elementwise/binary_backward.wgsl"),
                include_str!(concat!("../../../shaders/elementwise/", $name, ".wgsl")),
            ],
            entry: concat!("backward_", $side),
            bindings: &[
                $crate::engine::Binding::Read("g"),
                $crate::engine::Binding::Read("x"),
                $crate::engine::Binding::Read("y"),
                $crate::engine::Binding::Write("d"),
            ],
            params: $crate::engine::ParamsLayout::of::<$crate::ops::elementwise::ElementwiseParams>(),
            variants: $crate::ops::elementwise::FLOAT,
            grid: $crate::ops::elementwise::grid,
            reference: |call| $crate::ops::elementwise::binary_backward_twin(call, $twin),
            bound: |_| $bound,
        }
    };
}
pub(crate) use binary_backward_kernel;

/// Which of a kernel's variants serves a dtype.
fn variant_of(op: &'static str, kernel: &Kernel, dtype: DType) -> Result<usize> {
    use DType::{Bool, F32, I32, U32};
    let accepted: &[DType] = match kernel.variants {
        variants if variants == LOGICAL => &[Bool],
        // Truth values can be compared, not computed with.
        variants if variants == COMPARISON => &[F32, I32, U32, Bool],
        variants if variants.len() == 1 => &[F32],
        _ => &[F32, I32, U32],
    };
    if accepted.contains(&dtype) {
        return Ok(dtype.storage_variant().min(kernel.variants.len() - 1));
    }
    let names: Vec<_> = accepted.iter().map(|d| d.name()).collect();
    Err(Error::dtype(op, format!("takes {}, not {dtype}; convert with `.to_dtype(..)`", names.join(", "))))
}

pub(crate) fn scalar_bits(scalars: [f64; 4], dtype: DType) -> [u32; 4] {
    scalars.map(|s| match dtype {
        DType::F32 | DType::F16 | DType::BF16 => (s as f32).to_bits(),
        DType::I32 => (s as i32) as u32,
        DType::U32 | DType::Bool => s as i64 as u32,
    })
}

pub(crate) fn unary_forward(
    call: &mut Call<'_>,
    kernel: &'static Kernel,
    scalars: fn(&Attrs) -> [f64; 4],
    saves: Saves,
) -> Result<Outputs> {
    let x = call.input(0);
    let y = unary_dispatch(call, kernel, scalars, x.dtype())?;
    match saves {
        Saves::Input => call.save(x),
        Saves::Output => call.save(&y),
        Saves::Nothing => {}
    }
    Ok(smallvec::smallvec![y])
}

/// A unary operation whose result is a truth value.
pub(crate) fn unary_test(
    call: &mut Call<'_>,
    kernel: &'static Kernel,
    scalars: fn(&Attrs) -> [f64; 4],
) -> Result<Outputs> {
    Ok(smallvec::smallvec![unary_dispatch(call, kernel, scalars, DType::Bool)?])
}

fn unary_dispatch(
    call: &mut Call<'_>,
    kernel: &'static Kernel,
    scalars: fn(&Attrs) -> [f64; 4],
    result: DType,
) -> Result<Tensor> {
    let x = call.input(0);
    let variant = variant_of(call.op(), kernel, x.dtype())?;
    let y = call.output(result, x.shape());
    let mut params = ElementwiseParams::new(call.op(), x.shape(), &[x], &y)?;
    params.scalars = scalar_bits(scalars(call.attrs()), x.dtype());
    call.dispatch(kernel, variant, &[x, &y], &params);
    Ok(y)
}

/// The gradient of what is constant between its jumps: 0, as in PyTorch.
pub(crate) fn zero_vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    Ok(smallvec::smallvec![Some(Tensor::try_full_on(v.input_shape(0), 0.0, DType::F32, v.device())?)])
}

pub(crate) fn unary_vjp(
    v: &mut Vjp<'_>,
    kernel: &'static Kernel,
    scalars: fn(&Attrs) -> [f64; 4],
) -> Result<Gradients> {
    let (g, s) = (v.gradient(), v.saved(0));
    let dx = v.gradient_output(0);
    let mut params = ElementwiseParams::new(kernel.name, s.shape(), &[g, &s], &dx)?;
    params.scalars = scalar_bits(scalars(v.attrs()), DType::F32);
    v.dispatch(kernel, 0, &[g, &s, &dx], &params);
    Ok(smallvec::smallvec![Some(dx)])
}

/// Broadcasts, dispatches, and saves both operands if `save` says so.
pub(crate) fn binary_forward(
    call: &mut Call<'_>,
    kernel: &'static Kernel,
    result: fn(DType) -> DType,
    save: bool,
) -> Result<Outputs> {
    let (x, y) = (call.input(0), call.input(1));
    if x.dtype() != y.dtype() {
        let detail =
            format!("the operands have dtypes {} and {}; convert one with `.to_dtype(..)`", x.dtype(), y.dtype());
        return Err(Error::dtype(call.op(), detail));
    }
    let variant = variant_of(call.op(), kernel, x.dtype())?;
    let shape = broadcast(call.op(), x.shape(), y.shape())?;
    let z = call.output(result(x.dtype()), &shape);
    let params = ElementwiseParams::new(call.op(), &shape, &[x, y], &z)?;
    call.dispatch(kernel, variant, &[x, y, &z], &params);
    if save {
        call.save(x);
        call.save(y);
    }
    Ok(smallvec::smallvec![z])
}

/// The gradients of both operands by kernels over the broadcast shape.
pub(crate) fn binary_vjp(v: &mut Vjp<'_>, left: &'static Kernel, right: &'static Kernel) -> Result<Gradients> {
    let (g, x, y) = (v.gradient(), v.saved(0), v.saved(1));
    let mut gradients = Gradients::new();
    for (i, kernel) in [left, right].into_iter().enumerate() {
        gradients.push(if v.needs(i) { Some(binary_gradient(v, i, kernel, [g, &x, &y])?) } else { None });
    }
    Ok(gradients)
}

fn binary_gradient(v: &mut Vjp<'_>, i: usize, kernel: &'static Kernel, [g, x, y]: [&Tensor; 3]) -> Result<Tensor> {
    let d = if v.input_shape(i) == g.shape() { v.gradient_output(i) } else { v.output(DType::F32, g.shape()) };
    let params = ElementwiseParams::new(kernel.name, g.shape(), &[g, x, y], &d)?;
    v.dispatch(kernel, 0, &[g, x, y, &d], &params);
    Ok(d)
}

pub(crate) fn unary_twin(call: &HostCall<'_>, forward: UnaryFn, int: Option<UnaryIntFn>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    match call.variant() {
        0 => {
            let (x, mut y) = (call.floats(0), call.floats_mut(1));
            let a = p.scalars.map(|s| f64::from(f32::from_bits(s)));
            (0..p.n).for_each(|i| y[p.result(i)] = forward(x[p.operand(i, 0)], a));
        }
        1 => {
            let int = int.expect("a kernel with integer variants has integer maths");
            let (x, mut y) = (call.ints(0), call.ints_mut(1));
            let a = p.scalars.map(|s| i64::from(s as i32));
            (0..p.n).for_each(|i| y[p.result(i)] = int(i64::from(x[p.operand(i, 0)]), a) as i32);
        }
        _ => {
            let int = int.expect("a kernel with integer variants has integer maths");
            let (x, mut y) = (call.words(0), call.words_mut(1));
            let a = p.scalars.map(i64::from);
            (0..p.n).for_each(|i| y[p.result(i)] = int(i64::from(x[p.operand(i, 0)]), a) as u32);
        }
    }
    Ok(())
}

pub(crate) fn unary_backward_twin(call: &HostCall<'_>, backward: fn(f64, f64, [f64; 4]) -> f64) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (g, s, mut dx) = (call.floats(0), call.floats(1), call.floats_mut(2));
    let a = p.scalars.map(|s| f64::from(f32::from_bits(s)));
    (0..p.n).for_each(|i| dx[p.result(i)] = backward(g[p.operand(i, 0)], s[p.operand(i, 1)], a));
    Ok(())
}

/// The twin of arithmetic: integers are computed in 64 bits and wrap.
pub(crate) fn binary_twin(
    call: &HostCall<'_>,
    forward: fn(f64, f64) -> f64,
    int: Option<fn(i64, i64) -> i64>,
) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let wrap = || int.expect("a kernel with integer variants has integer maths");
    match call.variant() {
        0 => {
            let (x, y, mut z) = (call.floats(0), call.floats(1), call.floats_mut(2));
            (0..p.n).for_each(|i| z[p.result(i)] = forward(x[p.operand(i, 0)], y[p.operand(i, 1)]));
        }
        1 => {
            let (f, x, y, mut z) = (wrap(), call.ints(0), call.ints(1), call.ints_mut(2));
            (0..p.n).for_each(|i| {
                z[p.result(i)] = f(i64::from(x[p.operand(i, 0)]), i64::from(y[p.operand(i, 1)])) as i32;
            });
        }
        _ => {
            let (f, x, y, mut z) = (wrap(), call.words(0), call.words(1), call.words_mut(2));
            (0..p.n).for_each(|i| {
                z[p.result(i)] = f(i64::from(x[p.operand(i, 0)]), i64::from(y[p.operand(i, 1)])) as u32;
            });
        }
    }
    Ok(())
}

pub(crate) fn binary_backward_twin(call: &HostCall<'_>, gradient: fn(f64, f64, f64) -> f64) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let (g, x, y, mut d) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
    (0..p.n).for_each(|i| d[p.result(i)] = gradient(g[p.operand(i, 0)], x[p.operand(i, 1)], y[p.operand(i, 2)]));
    Ok(())
}

/// Applies a unary operation.
pub(crate) fn unary_apply(operation: &'static Operation, x: &Tensor, attrs: Attrs) -> Result<Tensor> {
    single(apply(operation, &[x], attrs))
}

/// Applies a unary operation of the reals: integers and truth values become floats first, as in PyTorch.
pub(crate) fn float_apply(operation: &'static Operation, x: &Tensor) -> Result<Tensor> {
    unary_apply(operation, &as_float(x)?, Attrs::new())
}

/// Applies a binary operation after bringing both operands to one type.
pub(crate) fn binary_apply(operation: &'static Operation, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if x.dtype() == y.dtype() {
        return single(apply(operation, &[x, y], Attrs::new()));
    }
    let dtype = common_type(x, y);
    single(apply(operation, &[&x.try_to_dtype(dtype)?, &y.try_to_dtype(dtype)?], Attrs::new()))
}

/// The scalar of `x + 2.0`, `x * 3.0`: exact for integers, refused where it would be cut.
pub(crate) fn scalar_attr(op: &'static str, x: &Tensor, value: f64) -> Result<Attrs> {
    if !x.dtype().is_float() && value.fract() != 0.0 {
        let detail = format!("the number {value} is not whole and the tensor holds {}; convert it first", x.dtype());
        return Err(Error::dtype(op, detail));
    }
    Ok(Attrs::new().float("other", value))
}

/// The scalar of [`scalar_attr`], as the kernel takes it.
pub(crate) fn scalar_of(attrs: &Attrs) -> [f64; 4] {
    [attrs.get_float("other"), 0.0, 0.0, 0.0]
}

impl Run<'_> {
    /// Runs a unary forward kernel outside of an operation's own call: for gradients made of the same maths.
    pub(crate) fn map(&mut self, kernel: &'static Kernel, x: &Tensor, scalars: [f64; 4]) -> Result<Tensor> {
        let y = self.output(x.dtype(), x.shape());
        let mut params = ElementwiseParams::new(kernel.name, x.shape(), &[x], &y)?;
        params.scalars = scalar_bits(scalars, x.dtype());
        self.dispatch(kernel, x.dtype().storage_variant(), &[x, &y], &params);
        Ok(y)
    }
}
