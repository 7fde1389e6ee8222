//! `+`, `-`, `*`, `/`, `%` and their friends, between tensors and with numbers; `&`, `|`, `^` and `!` of truth values. They
//! panic as the methods do.

use std::ops::{
    Add, AddAssign, BitAnd, BitOr, BitXor, Div, DivAssign, Mul, MulAssign, Neg, Not, Rem, RemAssign, Sub, SubAssign,
};

use super::Tensor;
use crate::dtype::DType;
use crate::ops::elementwise::number_like;
use crate::ops::or_panic;
use crate::{Error, Result};

macro_rules! operator {
    (
        $trait:ident, $fn:ident, $assign:ident, $assign_fn:ident, $method:ident,
        |$x:ident, $c:ident| $scalar:expr, |$left:ident, $right:ident| $reversed:expr
    ) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                Tensor::$method(self, other)
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                Tensor::$method(self, &other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                Tensor::$method(&self, other)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                Tensor::$method(&self, &other)
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: f64) -> Tensor {
                // In place: a closure would not know the caller's line.
                let ($x, $c) = (self, other);
                $scalar
            }
        }
        impl $trait<f64> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: f64) -> Tensor {
                $trait::$fn(&self, other)
            }
        }
        impl $trait<&Tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                let ($left, $right) = (self, other);
                $reversed
            }
        }
        impl $trait<Tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                $trait::$fn(self, &other)
            }
        }
        /// Rebinds: the tensor becomes the result, and what shared its elements stays as it was.
        impl $assign<&Tensor> for Tensor {
            #[track_caller]
            fn $assign_fn(&mut self, other: &Tensor) {
                *self = Tensor::$method(self, other);
            }
        }
        /// Rebinds: the tensor becomes the result, and what shared its elements stays as it was.
        impl $assign<Tensor> for Tensor {
            #[track_caller]
            fn $assign_fn(&mut self, other: Tensor) {
                *self = Tensor::$method(self, &other);
            }
        }
        /// Rebinds: the tensor becomes the result, and what shared its elements stays as it was.
        impl $assign<f64> for Tensor {
            #[track_caller]
            fn $assign_fn(&mut self, other: f64) {
                *self = $trait::$fn(&*self, other);
            }
        }
    };
}
operator!(Add, add, AddAssign, add_assign, add, |x, c| x.add_scalar(c), |c, x| x.add_scalar(c));
operator!(Mul, mul, MulAssign, mul_assign, mul, |x, c| x.mul_scalar(c), |c, x| x.mul_scalar(c));
operator!(Sub, sub, SubAssign, sub_assign, sub, |x, c| x.add_scalar(-c), |c, x| x.neg().add_scalar(c));
operator!(Div, div, DivAssign, div_assign, div, |x, c| x.div_scalar(c), |c, x| x.reciprocal().mul_scalar(c));
operator!(Rem, rem, RemAssign, rem_assign, remainder, |x, c| x.remainder_scalar(c), |c, x| {
    or_panic(number_like("remainder", c, x)).remainder(x)
});

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

/// Operators on truth values: what PyTorch writes `&`, `|`, `^` and `~`.
macro_rules! truth {
    ($trait:ident, $fn:ident, $name:literal, $method:ident) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                or_panic(truth_values($name, &[self, other]).and_then(|()| self.$method(other)))
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                $trait::$fn(self, &other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                $trait::$fn(&self, other)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                $trait::$fn(&self, &other)
            }
        }
    };
}
truth!(BitAnd, bitand, "&", try_logical_and);
truth!(BitOr, bitor, "|", try_logical_or);
truth!(BitXor, bitxor, "^", try_logical_xor);

impl Not for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        or_panic(truth_values("!", &[self]).and_then(|()| self.try_logical_not()))
    }
}

impl Not for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        !&self
    }
}

/// Numbers would be taken bit by bit, which is not there.
fn truth_values(op: &'static str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().find(|x| x.dtype() != DType::Bool && x.poison().is_none()) {
        Some(x) => {
            let detail = format!("takes truth values, not {}; compare first, or call `.bool()`", x.dtype());
            Err(Error::dtype(op, detail))
        }
        None => Ok(()),
    }
}
