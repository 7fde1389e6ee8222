//! Operations on single numbers, as WGSL defines them. A number is a word: the bits of an f32 (an f16 widened), an i32 or
//! a u32, or 0 and 1 for a bool.

use half::f16;
use wgpu::naga;

use naga::{BinaryOperator, Literal, MathFunction, Scalar, ScalarKind, UnaryOperator};

pub(super) fn float(word: u32) -> f32 {
    f32::from_bits(word)
}

fn int(word: u32) -> i32 {
    word.cast_signed()
}

/// The word of a float of this type.
fn rounded(scalar: Scalar, x: f32) -> u32 {
    if scalar.width == 2 { f16::from_f32(x).to_f32().to_bits() } else { x.to_bits() }
}

/// What memory holds, as a word.
pub(super) fn widened(scalar: Scalar, bits: u32) -> u32 {
    if scalar.width == 2 { f16::from_bits(bits as u16).to_f32().to_bits() } else { bits }
}

/// A word as memory holds it.
pub(super) fn narrowed(scalar: Scalar, word: u32) -> u32 {
    if scalar.width == 2 { u32::from(f16::from_f32(float(word)).to_bits()) } else { word }
}

pub(super) fn literal(literal: Literal) -> Option<u32> {
    Some(match literal {
        Literal::F32(x) => x.to_bits(),
        Literal::F16(x) => x.to_f32().to_bits(),
        Literal::I32(x) => x.cast_unsigned(),
        Literal::U32(x) => x,
        Literal::Bool(x) => u32::from(x),
        Literal::AbstractInt(x) => x as u32,
        Literal::AbstractFloat(x) => (x as f32).to_bits(),
        _ => return None,
    })
}

pub(super) fn unary(op: UnaryOperator, scalar: Scalar, a: u32) -> u32 {
    match (op, scalar.kind) {
        (UnaryOperator::Negate, ScalarKind::Float) => (-float(a)).to_bits(),
        (UnaryOperator::Negate, _) => a.wrapping_neg(),
        (UnaryOperator::LogicalNot, _) => 1 - a,
        (UnaryOperator::BitwiseNot, _) => !a,
    }
}

/// What an operator does to two numbers of a type, looked up once for all threads.
pub(super) fn binary(op: BinaryOperator, scalar: Scalar) -> fn(u32, u32) -> u32 {
    match scalar.kind {
        ScalarKind::Float if scalar.width == 2 => half_binary(op),
        ScalarKind::Float => float_binary(op),
        ScalarKind::Sint => signed_binary(op),
        _ => unsigned_binary(op),
    }
}

fn float_binary(op: BinaryOperator) -> fn(u32, u32) -> u32 {
    use BinaryOperator as Op;
    match op {
        Op::Add => |a, b| (float(a) + float(b)).to_bits(),
        Op::Subtract => |a, b| (float(a) - float(b)).to_bits(),
        Op::Multiply => |a, b| (float(a) * float(b)).to_bits(),
        Op::Divide => |a, b| (float(a) / float(b)).to_bits(),
        Op::Modulo => |a, b| (float(a) % float(b)).to_bits(),
        Op::Equal => |a, b| (float(a) == float(b)).into(),
        Op::NotEqual => |a, b| (float(a) != float(b)).into(),
        Op::Less => |a, b| (float(a) < float(b)).into(),
        Op::LessEqual => |a, b| (float(a) <= float(b)).into(),
        Op::Greater => |a, b| (float(a) > float(b)).into(),
        Op::GreaterEqual => |a, b| (float(a) >= float(b)).into(),
        _ => bits_binary(op),
    }
}

fn half_binary(op: BinaryOperator) -> fn(u32, u32) -> u32 {
    use BinaryOperator as Op;
    match op {
        Op::Add => |a, b| rounded(Scalar::F16, float(a) + float(b)),
        Op::Subtract => |a, b| rounded(Scalar::F16, float(a) - float(b)),
        Op::Multiply => |a, b| rounded(Scalar::F16, float(a) * float(b)),
        Op::Divide => |a, b| rounded(Scalar::F16, float(a) / float(b)),
        Op::Modulo => |a, b| rounded(Scalar::F16, float(a) % float(b)),
        _ => float_binary(op),
    }
}

fn signed_binary(op: BinaryOperator) -> fn(u32, u32) -> u32 {
    use BinaryOperator as Op;
    match op {
        Op::Divide => |a, b| int(a).checked_div(int(b)).unwrap_or(int(a)).cast_unsigned(),
        Op::Modulo => |a, b| int(a).checked_rem(int(b)).unwrap_or(0).cast_unsigned(),
        Op::ShiftRight => |a, b| (int(a) >> (b & 31)).cast_unsigned(),
        Op::Less => |a, b| (int(a) < int(b)).into(),
        Op::LessEqual => |a, b| (int(a) <= int(b)).into(),
        Op::Greater => |a, b| (int(a) > int(b)).into(),
        Op::GreaterEqual => |a, b| (int(a) >= int(b)).into(),
        _ => bits_binary(op),
    }
}

fn unsigned_binary(op: BinaryOperator) -> fn(u32, u32) -> u32 {
    use BinaryOperator as Op;
    match op {
        Op::Divide => |a, b| a.checked_div(b).unwrap_or(a),
        Op::Modulo => |a, b| a.checked_rem(b).unwrap_or(0),
        Op::ShiftRight => |a, b| a >> (b & 31),
        Op::Less => |a, b| (a < b).into(),
        Op::LessEqual => |a, b| (a <= b).into(),
        Op::Greater => |a, b| (a > b).into(),
        Op::GreaterEqual => |a, b| (a >= b).into(),
        _ => bits_binary(op),
    }
}

/// What is the same for all integers and truth values.
fn bits_binary(op: BinaryOperator) -> fn(u32, u32) -> u32 {
    use BinaryOperator as Op;
    match op {
        Op::Add => u32::wrapping_add,
        Op::Subtract => u32::wrapping_sub,
        Op::Multiply => u32::wrapping_mul,
        Op::And | Op::LogicalAnd => |a, b| a & b,
        Op::InclusiveOr | Op::LogicalOr => |a, b| a | b,
        Op::ExclusiveOr => |a, b| a ^ b,
        Op::ShiftLeft => |a, b| a << (b & 31),
        Op::Equal => |a, b| (a == b).into(),
        Op::NotEqual => |a, b| (a != b).into(),
        _ => unreachable!("validated: no such operator for this type"),
    }
}

/// A conversion by value; what an integer can't hold becomes the last number of that side that both types have.
pub(super) fn convert(from: Scalar, to: Scalar, a: u32) -> u32 {
    let within = |most: f32| {
        let most = if from.width == 2 { f16::MAX.to_f32() } else { most };
        float(a).clamp(-most, most)
    };
    match (from.kind, to.kind) {
        (ScalarKind::Float, ScalarKind::Float) => rounded(to, float(a)),
        (ScalarKind::Float, ScalarKind::Sint) if float(a) < 0.0 => (within(2147483648.0) as i32).cast_unsigned(),
        (ScalarKind::Float, ScalarKind::Sint) => (within(2147483520.0) as i32).cast_unsigned(),
        (ScalarKind::Float, ScalarKind::Uint) => within(4294967040.0) as u32,
        (ScalarKind::Float, ScalarKind::Bool) => u32::from(float(a) != 0.0),
        (ScalarKind::Sint, ScalarKind::Float) => rounded(to, int(a) as f32),
        (_, ScalarKind::Float) => rounded(to, a as f32),
        (_, ScalarKind::Bool) => u32::from(a != 0),
        _ => a,
    }
}

/// A function that works number by number; `None` when it is not known here.
pub(super) fn math(fun: MathFunction, scalar: Scalar, [a, b, c]: [u32; 3]) -> Option<u32> {
    match scalar.kind {
        ScalarKind::Float => float_math(fun, [a, b, c].map(float)).map(|x| rounded(scalar, x)),
        kind => int_math(fun, kind == ScalarKind::Sint, [a, b, c]),
    }
}

fn float_math(fun: MathFunction, [x, y, z]: [f32; 3]) -> Option<f32> {
    use MathFunction as F;
    Some(match fun {
        F::Abs => x.abs(),
        F::Min => x.min(y),
        F::Max => x.max(y),
        F::Clamp => x.max(y).min(z),
        F::Saturate => x.clamp(0.0, 1.0),
        F::Cos => x.cos(),
        F::Cosh => x.cosh(),
        F::Sin => x.sin(),
        F::Sinh => x.sinh(),
        F::Tan => x.tan(),
        F::Tanh => x.tanh(),
        F::Acos => x.acos(),
        F::Asin => x.asin(),
        F::Atan => x.atan(),
        F::Atan2 => x.atan2(y),
        F::Asinh => x.asinh(),
        F::Acosh => x.acosh(),
        F::Atanh => x.atanh(),
        F::Radians => x.to_radians(),
        F::Degrees => x.to_degrees(),
        F::Ceil => x.ceil(),
        F::Floor => x.floor(),
        F::Round => x.round_ties_even(),
        F::Fract => x - x.floor(),
        F::Trunc => x.trunc(),
        F::Exp => x.exp(),
        F::Exp2 => x.exp2(),
        F::Log => x.ln(),
        F::Log2 => x.log2(),
        // As `exp2(y * log2(x))`, which some drivers compute.
        F::Pow if x < 0.0 || (x == 0.0 && y <= 0.0) => f32::NAN,
        F::Pow => x.powf(y),
        F::Sign if x == 0.0 => 0.0,
        F::Sign => x.signum(),
        F::Fma => x.mul_add(y, z),
        F::Mix => x * (1.0 - z) + y * z,
        F::Step => f32::from(u8::from(x <= y)),
        F::SmoothStep => {
            let t = ((z - x) / (y - x)).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        }
        F::Sqrt => x.sqrt(),
        F::InverseSqrt => 1.0 / x.sqrt(),
        F::QuantizeToF16 => f16::from_f32(x).to_f32(),
        _ => return None,
    })
}

fn int_math(fun: MathFunction, is_signed: bool, [a, b, c]: [u32; 3]) -> Option<u32> {
    use MathFunction as F;
    let is_less = |x: u32, y: u32| if is_signed { int(x) < int(y) } else { x < y };
    let low = |x, y| if is_less(y, x) { y } else { x };
    let high = |x, y| if is_less(x, y) { y } else { x };
    let found = |bit: u32| if bit < 32 { bit } else { u32::MAX };
    Some(match fun {
        F::Abs if is_signed => int(a).wrapping_abs().cast_unsigned(),
        F::Abs => a,
        F::Min => low(a, b),
        F::Max => high(a, b),
        F::Clamp => low(high(a, b), c),
        F::Sign if is_signed => int(a).signum().cast_unsigned(),
        F::CountTrailingZeros => a.trailing_zeros(),
        F::CountLeadingZeros => a.leading_zeros(),
        F::CountOneBits => a.count_ones(),
        F::ReverseBits => a.reverse_bits(),
        F::FirstTrailingBit => found(a.trailing_zeros()),
        F::FirstLeadingBit => {
            let bits = if is_signed && int(a) < 0 { !a } else { a };
            31u32.checked_sub(bits.leading_zeros()).unwrap_or(u32::MAX)
        }
        F::ExtractBits => {
            let (offset, count) = (b.min(32), c.min(32 - b.min(32)));
            let top = if count == 0 { 0 } else { a << (32 - count - offset) };
            match (count, is_signed) {
                (0, _) => 0,
                (_, true) => (int(top) >> (32 - count)).cast_unsigned(),
                (_, false) => top >> (32 - count),
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: Scalar = Scalar::F32;

    #[test]
    fn integers_divide_as_in_wgsl() {
        let divide = |a: i32, b: i32| int(binary(BinaryOperator::Divide, Scalar::I32)(a as u32, b as u32));
        assert_eq!([divide(7, -2), divide(7, 0), divide(i32::MIN, -1)], [-3, 7, i32::MIN]);
        let modulo = |a: i32, b: i32| int(binary(BinaryOperator::Modulo, Scalar::I32)(a as u32, b as u32));
        assert_eq!([modulo(-7, 2), modulo(7, 0), modulo(i32::MIN, -1)], [-1, 0, 0]);
    }

    #[test]
    fn floats_convert_to_the_nearest_integer_that_there_is() {
        let to = |x: f32, kind| convert(F32, Scalar { kind, width: 4 }, x.to_bits());
        assert_eq!(int(to(-3.7, ScalarKind::Sint)), -3);
        assert_eq!(to(-3.7, ScalarKind::Uint), 0);
        // The last below 2³¹ and 2³² that f32 has: https://www.w3.org/TR/WGSL/#floating-point-conversion
        assert_eq!((int(to(1e20, ScalarKind::Sint)), int(to(-1e20, ScalarKind::Sint))), (2147483520, i32::MIN));
        assert_eq!(to(1e20, ScalarKind::Uint), 4294967040);
        assert_eq!(float(convert(Scalar::I32, F32, (-5i32) as u32)), -5.0);
        assert_eq!(float(convert(F32, Scalar::F16, 1.0001f32.to_bits())), 1.0);
    }

    #[test]
    fn powers_are_those_of_positive_numbers() {
        let pow = |x: f32, y: f32| float(math(MathFunction::Pow, F32, [x.to_bits(), y.to_bits(), 0]).unwrap());
        assert_eq!((pow(2.0, -1.0), pow(0.0, 2.0)), (0.5, 0.0));
        assert!(pow(-2.0, 2.0).is_nan() && pow(0.0, 0.0).is_nan());
    }

    #[test]
    fn bits_are_found_and_taken_out() {
        let of = |fun, kind, words| math(fun, Scalar { kind, width: 4 }, words).unwrap();
        assert_eq!(of(MathFunction::FirstLeadingBit, ScalarKind::Uint, [0, 0, 0]), u32::MAX);
        assert_eq!(of(MathFunction::FirstLeadingBit, ScalarKind::Sint, [(-1i32) as u32, 0, 0]), u32::MAX);
        assert_eq!(of(MathFunction::FirstLeadingBit, ScalarKind::Uint, [0x80, 0, 0]), 7);
        assert_eq!(of(MathFunction::ExtractBits, ScalarKind::Uint, [0xabcd, 4, 8]), 0xbc);
        assert_eq!(int(of(MathFunction::ExtractBits, ScalarKind::Sint, [0xf0, 4, 4])), -1);
        assert_eq!(of(MathFunction::ExtractBits, ScalarKind::Uint, [0xf0, 4, 0]), 0);
    }
}
