//! What a tensor is indexed with: whole numbers, ranges, tensors, and their like.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::Tensor;

/// What one place of an index holds. Made from whole numbers, ranges, lists, tensors and the types here; see [`Tensor::i`].
#[derive(Clone, Debug)]
pub enum Index {
    /// One element of a dim, which goes; below 0 it counts from the end.
    At(i64),
    /// A part of a dim.
    Slice(Slice),
    /// All dims that are not named.
    Ellipsis,
    /// A new dim of size 1.
    NewAxis,
    /// Elements of a dim in this order.
    List(Vec<i64>),
    /// Elements that a tensor names: i32 for those of one dim, bool for those of as many dims as it has.
    Tensor(Tensor),
}

/// Every `step`-th element from `start` up to, not including, `end`: Python's `start:end:step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first element; below 0 it counts from the end.
    pub start: Option<i64>,
    /// The element behind the last one; below 0 it counts from the end.
    pub end: Option<i64>,
    /// At least 1.
    pub step: usize,
}

impl Slice {
    /// A range in steps.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 7.0, 1.0);
    /// assert_eq!(x.i(Slice::step(1..6, 2)).to_vec::<f32>()?, [1.0, 3.0, 5.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn step(range: impl Into<Slice>, step: usize) -> Slice {
        Slice { step, ..range.into() }
    }
}

/// All dims that an index does not name: Python's `...`.
#[derive(Clone, Copy, Debug)]
pub struct Ellipsis;

/// A new dim of size 1: Python's `None`.
#[derive(Clone, Copy, Debug)]
pub struct NewAxis;

/// What can index a tensor: one [`Index`] or anything that becomes one, a tuple of up to eight, or a vector.
pub trait IntoIndex {
    /// The places, outermost first.
    fn into_index(self) -> Vec<Index>;
}

/// What can be written into a tensor: another one, or a number.
#[derive(Clone, Debug)]
pub enum Value {
    /// A tensor.
    Tensor(Tensor),
    /// A number; truth values are 0 and 1.
    Number(f64),
}

macro_rules! single {
    ($ty:ty) => {
        impl IntoIndex for $ty {
            fn into_index(self) -> Vec<Index> {
                vec![self.into()]
            }
        }
    };
}

macro_rules! convert {
    ($ty:ty, $x:ident => $index:expr) => {
        impl From<$ty> for Index {
            fn from($x: $ty) -> Index {
                $index
            }
        }
        single!($ty);
    };
}

/// A range is a slice, and a slice is an index.
macro_rules! range {
    ($ty:ty, $x:ident => $start:expr, $end:expr) => {
        impl From<$ty> for Slice {
            fn from($x: $ty) -> Slice {
                Slice { start: $start, end: $end, step: 1 }
            }
        }
        convert!($ty, x => Index::Slice(x.into()));
    };
}

/// What is behind the last element of an inclusive range; -1 is the last of all.
fn behind(last: i64) -> Option<i64> {
    (last != -1).then_some(last + 1)
}

macro_rules! whole_numbers {
    ($ty:ty) => {
        convert!($ty, x => Index::At(x as i64));
        range!(Range<$ty>, x => Some(x.start as i64), Some(x.end as i64));
        range!(RangeFrom<$ty>, x => Some(x.start as i64), None);
        range!(RangeTo<$ty>, x => None, Some(x.end as i64));
        range!(RangeInclusive<$ty>, x => Some(*x.start() as i64), behind(*x.end() as i64));
        range!(RangeToInclusive<$ty>, x => None, behind(x.end as i64));
        convert!(Vec<$ty>, x => Index::List(x.into_iter().map(|i| i as i64).collect()));
        convert!(&[$ty], x => Index::List(x.iter().map(|&i| i as i64).collect()));
        impl<const N: usize> From<[$ty; N]> for Index {
            fn from(list: [$ty; N]) -> Index {
                list.as_slice().into()
            }
        }
        impl<const N: usize> IntoIndex for [$ty; N] {
            fn into_index(self) -> Vec<Index> {
                vec![self.into()]
            }
        }
    };
}
whole_numbers!(i32);
whole_numbers!(i64);
whole_numbers!(usize);
range!(RangeFull, _x => None, None);

convert!(Slice, x => Index::Slice(x));
convert!(Ellipsis, _x => Index::Ellipsis);
convert!(NewAxis, _x => Index::NewAxis);
convert!(Tensor, x => Index::Tensor(x));
convert!(&Tensor, x => Index::Tensor(x.clone()));
single!(Index);

impl IntoIndex for Vec<Index> {
    fn into_index(self) -> Vec<Index> {
        self
    }
}

macro_rules! tuple {
    ($($name:ident $field:tt),*) => {
        impl<$($name: Into<Index>),*> IntoIndex for ($($name,)*) {
            fn into_index(self) -> Vec<Index> {
                vec![$(self.$field.into()),*]
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

macro_rules! value {
    ($ty:ty, $x:ident => $value:expr) => {
        impl From<$ty> for Value {
            fn from($x: $ty) -> Value {
                $value
            }
        }
    };
}
value!(&Tensor, x => Value::Tensor(x.clone()));
value!(Tensor, x => Value::Tensor(x));
value!(f64, x => Value::Number(x));
value!(f32, x => Value::Number(f64::from(x)));
value!(i32, x => Value::Number(f64::from(x)));
value!(i64, x => Value::Number(x as f64));
value!(bool, x => Value::Number(f64::from(u8::from(x))));
