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
pub(crate) mod div_trunc;
pub(crate) mod dropout;
pub(crate) mod elu;
pub(crate) mod erf;
pub(crate) mod exp;
pub(crate) mod expm1;
pub(crate) mod floor;
pub(crate) mod floor_divide;
pub(crate) mod fmod;
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
pub(crate) mod remainder;
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
pub(crate) mod where_;

pub(crate) mod chain;
mod division;
mod kernels;
mod params;
mod twins;
mod types;

pub(crate) use chain::{ChainOp, ChainRule};
pub(crate) use kernels::{
    BITS, COMPARISON, Elementwise, FLOAT, FLOAT_BITS, FLOAT_TEST, HALVES, LOGICAL, NUMERIC, Saves,
    binary_backward_kernel, binary_kernel, every_kernel, grid, grid_of_quads, half_variant, kernels, unary,
    unary_kernel, unary_steps,
};
pub(crate) use params::{Arrangement, ElementwiseParams, scalar_bits};
pub(crate) use twins::{binary_backward_twin, binary_twin, unary_backward_twin, unary_twin};
pub(crate) use types::{as_float, check_number, common_type, number_like, with_floats};

use crate::dtype::DType;
use crate::engine::fault::{Fault, site_of};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, halves, single};
use crate::tensor::Tensor;
use crate::tensor::shape::broadcast;
use crate::{Error, Result};

pub(crate) fn unary_forward(
    call: &mut Call<'_>,
    kernels: &'static Elementwise,
    scalars: fn(&Attrs) -> [f64; 4],
    saves: Saves,
) -> Result<Outputs> {
    let x = call.input(0);
    let y = unary_dispatch(call, kernels, scalars, x.dtype())?;
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
    kernels: &'static Elementwise,
    scalars: fn(&Attrs) -> [f64; 4],
) -> Result<Outputs> {
    Ok(smallvec::smallvec![unary_dispatch(call, kernels, scalars, DType::Bool)?])
}

fn unary_dispatch(
    call: &mut Call<'_>,
    kernels: &'static Elementwise,
    scalars: fn(&Attrs) -> [f64; 4],
    result: DType,
) -> Result<Tensor> {
    let x = call.input(0);
    let variant = kernels.variant(call.op(), x.dtype())?;
    let y = call.output(result, x.shape());
    let mut params = ElementwiseParams::new(call.op(), x.shape(), &[x], &y)?;
    params.scalars = scalar_bits(scalars(call.attrs()), x.dtype());
    call.dispatch_elementwise(kernels, variant, &[x, &y], &params)?;
    Ok(y)
}

/// The gradient of what is constant between its jumps: 0, as in PyTorch.
pub(crate) fn zero_vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let zeros = |i| Tensor::try_full_on(v.input_shape(i), 0.0, DType::F32, v.device());
    (0..v.inputs_len()).map(|i| v.needs(i).then(|| zeros(i)).transpose()).collect()
}

pub(crate) fn unary_vjp(
    v: &mut Vjp<'_>,
    kernels: &'static Elementwise,
    scalars: fn(&Attrs) -> [f64; 4],
) -> Result<Gradients> {
    let (g, s) = (v.gradient(), v.saved(0));
    let dx = v.gradient_output(0);
    let mut params = ElementwiseParams::new(kernels.each.name, s.shape(), &[g, &s], &dx)?;
    params.scalars = scalar_bits(scalars(v.attrs()), DType::F32);
    v.dispatch_elementwise(kernels, 0, &[g, &s, &dx], &params)?;
    Ok(smallvec::smallvec![Some(dx)])
}

/// Broadcasts, dispatches, and saves both operands if `save` says so.
pub(crate) fn binary_forward(
    call: &mut Call<'_>,
    kernels: &'static Elementwise,
    result: fn(DType) -> DType,
    save: bool,
) -> Result<Outputs> {
    let (x, y) = (call.input(0), call.input(1));
    if x.dtype() != y.dtype() {
        let detail =
            format!("the operands have dtypes {} and {}; convert one with `.to_dtype(..)`", x.dtype(), y.dtype());
        return Err(Error::dtype(call.op(), detail));
    }
    let variant = kernels.variant(call.op(), x.dtype())?;
    let shape = broadcast(call.op(), x.shape(), y.shape())?;
    let z = call.output(result(x.dtype()), &shape);
    let mut params = ElementwiseParams::new(call.op(), &shape, &[x, y], &z)?;
    if kernels.has_faults() && !x.dtype().is_float() {
        params.extra[0] = site_of(Fault::ZeroDivision, call.op());
    }
    call.dispatch_elementwise(kernels, variant, &[x, y, &z], &params)?;
    if save {
        call.save(x);
        call.save(y);
    }
    Ok(smallvec::smallvec![z])
}

/// The gradients of both operands by kernels over the broadcast shape.
pub(crate) fn binary_vjp(
    v: &mut Vjp<'_>,
    left: &'static Elementwise,
    right: &'static Elementwise,
) -> Result<Gradients> {
    let (g, x, y) = (v.gradient(), v.saved(0), v.saved(1));
    let mut gradients = Gradients::new();
    for (i, kernels) in [left, right].into_iter().enumerate() {
        gradients.push(if v.needs(i) { Some(binary_gradient(v, i, kernels, [g, &x, &y])?) } else { None });
    }
    Ok(gradients)
}

fn binary_gradient(
    v: &mut Vjp<'_>,
    i: usize,
    kernels: &'static Elementwise,
    [g, x, y]: [&Tensor; 3],
) -> Result<Tensor> {
    let d = if v.input_shape(i) == g.shape() { v.gradient_output(i) } else { v.output(g.dtype(), g.shape()) };
    let params = ElementwiseParams::new(kernels.each.name, g.shape(), &[g, x, y], &d)?;
    v.dispatch_elementwise(kernels, 0, &[g, x, y, &d], &params)?;
    Ok(d)
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
    binary_apply_with(operation, x, y, Attrs::new())
}

/// [`binary_apply`] with arguments.
fn binary_apply_with(operation: &'static Operation, x: &Tensor, y: &Tensor, attrs: Attrs) -> Result<Tensor> {
    if x.dtype() == y.dtype() {
        return single(apply(operation, &[x, y], attrs));
    }
    let dtype = common_type(x, y);
    single(apply(operation, &[&x.try_to_dtype(dtype)?, &y.try_to_dtype(dtype)?], attrs))
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
    /// Runs the kernel for these params, the result last; as a step of a chain where that is possible.
    pub(crate) fn dispatch_elementwise(
        &mut self,
        kernels: &'static Elementwise,
        variant: usize,
        operands: &[&Tensor],
        params: &ElementwiseParams,
    ) -> Result<()> {
        if operands.iter().any(|t| t.dtype().is_half()) {
            return halves::dispatch(self, kernels, operands, params);
        }
        self.dispatch_step(kernels.of(params), variant, operands, params, kernels.step(variant, params));
        Ok(())
    }

    /// Runs a unary forward kernel outside of an operation's own call: for gradients made of the same maths.
    pub(crate) fn map(&mut self, kernels: &'static Elementwise, x: &Tensor, scalars: [f64; 4]) -> Result<Tensor> {
        let y = self.output(x.dtype(), x.shape());
        let mut params = ElementwiseParams::new(kernels.each.name, x.shape(), &[x], &y)?;
        params.scalars = scalar_bits(scalars, x.dtype());
        let variant = kernels.variant(kernels.each.name, x.dtype())?;
        self.dispatch_elementwise(kernels, variant, &[x, &y], &params)?;
        Ok(y)
    }
}
