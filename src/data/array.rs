//! Arrays on the host: what a dataset fills and a device upload reads.
//!
//! A [`HostArray`] is a shape and a flat, row-major vector. It is made to be used again and again: a resize within the
//! capacity it already has allocates nothing, so a training run settles on a handful of buffers.

use crate::{Error, Result};
use std::fmt;

/// The element kinds of a [`HostArray`].
///
/// Bytes of images stay [`Kind::U8`] on the host; they become floats on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One unsigned byte, 0 to 255.
    U8,
    /// A 32-bit float.
    F32,
    /// A 32-bit signed integer: labels and indices.
    I32,
}

impl Kind {
    /// Bytes of one element.
    ///
    /// ```
    /// # use lumigrad::data::Kind;
    /// assert_eq!((Kind::U8.size(), Kind::F32.size()), (1, 4));
    /// ```
    pub fn size(self) -> usize {
        match self {
            Kind::U8 => 1,
            Kind::F32 | Kind::I32 => 4,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::U8 => "u8",
            Kind::F32 => "f32",
            Kind::I32 => "i32",
        })
    }
}

/// The flat elements of a [`HostArray`], the last dim fastest.
#[derive(Clone, Debug, PartialEq)]
pub enum HostData {
    /// Bytes.
    U8(Vec<u8>),
    /// Floats.
    F32(Vec<f32>),
    /// Integers.
    I32(Vec<i32>),
}

/// Runs the same expression on whichever vector is inside.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            HostData::U8($v) => $body,
            HostData::F32($v) => $body,
            HostData::I32($v) => $body,
        }
    };
}

impl HostData {
    /// The element kind.
    pub fn kind(&self) -> Kind {
        match self {
            HostData::U8(_) => Kind::U8,
            HostData::F32(_) => Kind::F32,
            HostData::I32(_) => Kind::I32,
        }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is an element kind: `u8`, `f32` or `i32`.
pub trait HostElement: bytemuck::Pod + fmt::Debug + sealed::Sealed {
    /// The kind of this type.
    const KIND: Kind;
    #[doc(hidden)]
    fn slice(data: &HostData) -> Option<&[Self]>;
    #[doc(hidden)]
    fn slice_mut(data: &mut HostData) -> Option<&mut [Self]>;
}

/// Ties a Rust type to its variant, in both directions.
macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl sealed::Sealed for $type {}
        impl HostElement for $type {
            const KIND: Kind = Kind::$variant;
            fn slice(data: &HostData) -> Option<&[Self]> {
                if let HostData::$variant(v) = data { Some(v) } else { None }
            }
            fn slice_mut(data: &mut HostData) -> Option<&mut [Self]> {
                if let HostData::$variant(v) = data { Some(v) } else { None }
            }
        }
        impl From<Vec<$type>> for HostData {
            fn from(v: Vec<$type>) -> Self {
                HostData::$variant(v)
            }
        }
    };
}
element!(u8, U8);
element!(f32, F32);
element!(i32, I32);

/// An array in host memory: a shape and its elements, row-major.
///
/// ```
/// use lumigrad::data::{HostArray, Kind};
///
/// let x = HostArray::new(&[2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// assert_eq!((x.shape(), x.kind(), x.len()), (&[2, 3][..], Kind::F32, 6));
/// assert_eq!(x.as_slice::<f32>().unwrap()[3], 4.0);
/// assert!(x.as_slice::<u8>().is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HostArray {
    shape: Vec<usize>,
    data: HostData,
}

/// The number of elements of a shape, or nothing when it does not fit the address space.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    // A dim of 0 makes the array empty however large the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim))
}

impl HostArray {
    /// An array over elements that are already there; a `[]` shape is one scalar.
    ///
    /// # Panics
    /// When the shape asks for another number of elements; [`HostArray::try_new`] returns that as an error.
    #[track_caller]
    pub fn new(shape: &[usize], data: impl Into<HostData>) -> Self {
        Self::try_new(shape, data).unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`HostArray::new`] that returns the mistake as [`Error::Shape`].
    pub fn try_new(shape: &[usize], data: impl Into<HostData>) -> Result<Self> {
        let data = data.into();
        if elements(shape) != Some(data.len()) {
            let wanted =
                elements(shape).map_or("more elements than memory can hold".into(), |n| format!("{n} elements"));
            return Err(Error::shape(
                "HostArray",
                format!("shape {shape:?} needs {wanted}, {} were given", data.len()),
            ));
        }
        Ok(HostArray { shape: shape.to_vec(), data })
    }

    /// An array of zeros.
    ///
    /// # Panics
    /// When the shape holds more elements than memory can be addressed.
    #[track_caller]
    pub fn zeros(shape: &[usize], kind: Kind) -> Self {
        let data = match kind {
            Kind::U8 => HostData::U8(Vec::new()),
            Kind::F32 => HostData::F32(Vec::new()),
            Kind::I32 => HostData::I32(Vec::new()),
        };
        let mut array = HostArray { shape: Vec::with_capacity(shape.len()), data };
        array.resize(shape);
        array
    }

    /// Sizes of the dims; the first is the number of rows.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element kind.
    pub fn kind(&self) -> Kind {
        self.data.kind()
    }

    /// How many elements there are in all.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, row-major.
    pub fn data(&self) -> &HostData {
        &self.data
    }

    /// Gives the elements away, row-major.
    pub fn into_data(self) -> HostData {
        self.data
    }

    /// The elements as `T`, row-major; nothing when they are of another kind.
    pub fn as_slice<T: HostElement>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// The elements as `T`, to be written; nothing when they are of another kind.
    pub fn as_mut_slice<T: HostElement>(&mut self) -> Option<&mut [T]> {
        T::slice_mut(&mut self.data)
    }

    /// The elements as the bytes they are in memory, in the machine's byte order.
    ///
    /// ```
    /// # use lumigrad::data::HostArray;
    /// assert_eq!(HostArray::new(&[2], vec![1i32, 2]).as_bytes().len(), 8);
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        each!(&self.data, v => bytemuck::cast_slice(v))
    }

    /// Gives the array another shape. Elements that stay in range keep their value in memory order, new ones are zero;
    /// nothing is allocated when the array has been at least this large before.
    ///
    /// ```
    /// # use lumigrad::data::HostArray;
    /// let mut x = HostArray::new(&[2, 2], vec![1u8, 2, 3, 4]);
    /// let before = x.as_bytes().as_ptr();
    /// x.resize(&[3]);
    /// assert_eq!(x.as_slice::<u8>().unwrap(), [1, 2, 3]);
    /// assert_eq!(x.as_bytes().as_ptr(), before);
    /// ```
    ///
    /// # Panics
    /// When the shape holds more elements than memory can be addressed.
    #[track_caller]
    pub fn resize(&mut self, shape: &[usize]) {
        let Some(n) = elements(shape) else {
            panic!("HostArray: shape {shape:?} holds more elements than memory can be addressed")
        };
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        each!(&mut self.data, v => v.resize(n, bytemuck::Zeroable::zeroed()));
    }

    /// Puts other elements and another shape in place and gives the old elements back; they must fit each other.
    pub(super) fn replace(&mut self, shape: &[usize], data: HostData) -> HostData {
        debug_assert_eq!(elements(shape), Some(data.len()));
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        std::mem::replace(&mut self.data, data)
    }

    /// Changes the first dim only, as [`HostArray::resize`] does.
    ///
    /// # Panics
    /// When the array is a scalar, which has no first dim, or the new size can't be addressed.
    #[track_caller]
    pub fn resize_rows(&mut self, rows: usize) {
        assert!(!self.shape.is_empty(), "HostArray: a scalar has no rows to resize");
        let n = elements(&self.shape[1..]).and_then(|width| width.checked_mul(rows));
        let Some(n) = n else { panic!("HostArray: {rows} rows of {:?} can't be addressed", &self.shape[1..]) };
        self.shape[0] = rows;
        each!(&mut self.data, v => v.resize(n, bytemuck::Zeroable::zeroed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_elements_must_agree() {
        let e = HostArray::try_new(&[2, 3], vec![0u8; 5]).unwrap_err().to_string();
        assert!(e.contains("[2, 3] needs 6 elements, 5 were given"), "{e}");
        let e = HostArray::try_new(&[usize::MAX, 2], vec![0u8; 5]).unwrap_err().to_string();
        assert!(e.contains("more elements than memory"), "{e}");
        assert_eq!(HostArray::new(&[], vec![7i32]).len(), 1);
        assert_eq!(HostArray::new(&[usize::MAX, 0, 5], Vec::<f32>::new()).len(), 0);
    }

    #[test]
    #[should_panic(expected = "[2] needs 2 elements")]
    fn new_panics_on_a_mismatch() {
        HostArray::new(&[2], vec![1i32]);
    }

    #[test]
    fn resize_keeps_the_buffer() {
        let mut x = HostArray::zeros(&[4, 5], Kind::F32);
        x.as_mut_slice::<f32>().unwrap().fill(3.0);
        let before = x.as_bytes().as_ptr();
        x.resize_rows(2);
        assert_eq!((x.shape(), x.len()), (&[2, 5][..], 10));
        x.resize_rows(4);
        assert_eq!(x.as_bytes().as_ptr(), before);
        let v = x.as_slice::<f32>().unwrap();
        assert!(v[..10].iter().all(|&e| e == 3.0) && v[10..].iter().all(|&e| e == 0.0));
    }

    #[test]
    fn bytes_are_the_memory() {
        let x = HostArray::new(&[2], vec![1.5f32, -2.0]);
        assert_eq!(x.as_bytes()[..4], 1.5f32.to_ne_bytes());
        assert_eq!(x.as_bytes()[4..], (-2.0f32).to_ne_bytes());
    }

    #[test]
    #[should_panic(expected = "a scalar has no rows")]
    fn a_scalar_has_no_rows() {
        HostArray::new(&[], vec![7i32]).resize_rows(2);
    }
}
