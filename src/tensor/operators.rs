//! `+`, `-`, `*`, `/` and their friends, between tensors and with numbers. They panic as the methods do.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::Tensor;

macro_rules! operator {
    ($trait:ident, $fn:ident, $assign:ident, $assign_fn:ident, $scalar:expr, $reversed:expr) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                Tensor::$fn(self, other)
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                Tensor::$fn(self, &other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: &Tensor) -> Tensor {
                Tensor::$fn(&self, other)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: Tensor) -> Tensor {
                Tensor::$fn(&self, &other)
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $fn(self, other: f64) -> Tensor {
                let scalar: fn(&Tensor, f64) -> Tensor = $scalar;
                scalar(self, other)
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
                let reversed: fn(f64, &Tensor) -> Tensor = $reversed;
                reversed(self, other)
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
                *self = Tensor::$fn(self, other);
            }
        }
        /// Rebinds: the tensor becomes the result, and what shared its elements stays as it was.
        impl $assign<Tensor> for Tensor {
            #[track_caller]
            fn $assign_fn(&mut self, other: Tensor) {
                *self = Tensor::$fn(self, &other);
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
operator!(Add, add, AddAssign, add_assign, |x, c| x.add_scalar(c), |c, x| x.add_scalar(c));
operator!(Mul, mul, MulAssign, mul_assign, |x, c| x.mul_scalar(c), |c, x| x.mul_scalar(c));
operator!(Sub, sub, SubAssign, sub_assign, |x, c| x.add_scalar(-c), |c, x| x.neg().add_scalar(c));
operator!(Div, div, DivAssign, div_assign, |x, c| x.div_scalar(c), |c, x| x.reciprocal().mul_scalar(c));

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
