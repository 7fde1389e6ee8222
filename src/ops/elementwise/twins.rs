//! The scalar twins of the wrappers in `shaders/elementwise/`.

use super::{ElementwiseParams, HALVES};
use crate::Result;
use crate::dtype::DType;
use crate::engine::HostCall;

/// The scalar maths of a unary operation.
pub(crate) type UnaryFn = fn(f64, [f64; 4]) -> f64;
/// The same on integers, in 64 bits; the result wraps to 32.
pub(crate) type UnaryIntFn = fn(i64, [i64; 4]) -> i64;

/// What a variant computes with: 0 floats, 1 i32, 2 u32, as [`DType::storage_variant`]; halves are floats.
pub(super) fn computes_with(call: &HostCall<'_>) -> usize {
    if call.kernel().variants == HALVES { DType::F32.storage_variant() } else { call.variant() }
}

pub(crate) fn unary_twin(call: &HostCall<'_>, forward: UnaryFn, int: Option<UnaryIntFn>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    match computes_with(call) {
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
    match computes_with(call) {
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
