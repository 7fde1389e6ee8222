//! Element types, on the device and on the host.

use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// The element type of a tensor.
///
/// PyTorch's `int64` is [`DType::I32`] here and `bool` takes one `u32` an element: WGSL has neither 64-bit integers
/// nor storage of single bytes. The two types of half the width work on every device, whether it computes with them or
/// not: two of them lie in one `u32`, and operations widen what they read to f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float of 11 bits' precision, from 6e-8 to 65,504: PyTorch's `float16`.
    F16,
    /// 16-bit float of 8 bits' precision with the range of f32: PyTorch's `bfloat16`.
    BF16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// Truth value, stored as the `u32` 0 or 1.
    Bool,
}

impl DType {
    /// Bytes of one element on a device: 2 for the types of half the width, 4 for the others.
    ///
    /// ```
    /// # use lumigrad::DType;
    /// assert_eq!((DType::F32.size(), DType::BF16.size(), DType::Bool.size()), (4, 2, 4));
    /// ```
    pub const fn size(self) -> usize {
        if self.is_half() { 2 } else { 4 }
    }

    /// Bytes of `len` elements: those of half the width fill whole words.
    pub(crate) const fn bytes(self, len: usize) -> usize {
        (len * self.size()).next_multiple_of(4)
    }

    /// PyTorch-like name, as `display` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::Bool => "bool",
        }
    }

    /// Whether gradients can flow through it.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// Whether it is one of the floats of half the width.
    pub const fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }

    /// The position of this type's variant in a kernel that has one variant for each storage type (f32, i32, u32).
    pub(crate) const fn storage_variant(self) -> usize {
        match self {
            DType::F32 => 0,
            DType::I32 => 1,
            DType::U32 | DType::Bool => 2,
            DType::F16 | DType::BF16 => panic!("an operation that has no kernels for halves is given f32"),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Elements on the host in the form the scalar reference computes with: floats are `f64`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HostData {
    F32(Vec<f64>),
    F16(Vec<f64>),
    BF16(Vec<f64>),
    I32(Vec<i32>),
    /// `u32` and `bool`.
    U32(Vec<u32>),
}

impl HostData {
    pub fn zeros(dtype: DType, len: usize) -> Self {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => HostData::floats(dtype, vec![0.0; len]),
            DType::I32 => HostData::I32(vec![0; len]),
            DType::U32 | DType::Bool => HostData::U32(vec![0; len]),
        }
    }

    /// Floats that a tensor of this type holds.
    pub fn floats(dtype: DType, values: Vec<f64>) -> Self {
        match dtype {
            DType::F16 => HostData::F16(values),
            DType::BF16 => HostData::BF16(values),
            _ => HostData::F32(values),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            HostData::F32(v) | HostData::F16(v) | HostData::BF16(v) => v.len(),
            HostData::I32(v) => v.len(),
            HostData::U32(v) => v.len(),
        }
    }

    /// Rounds every float to the nearest of its type, which is what a store to a device's buffer does. Kernels compute
    /// in f32, so a half is rounded twice.
    pub fn round(&mut self) {
        match self {
            HostData::F32(v) => v.iter_mut().for_each(|x| *x = f64::from(*x as f32)),
            HostData::F16(v) => v.iter_mut().for_each(|x| *x = f16::from_f32(*x as f32).to_f64()),
            HostData::BF16(v) => v.iter_mut().for_each(|x| *x = bf16::from_f32(*x as f32).to_f64()),
            HostData::I32(_) | HostData::U32(_) => {}
        }
    }

    /// The bits as the device stores them.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            HostData::F32(v) => v.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            HostData::F16(v) => v.iter().flat_map(|&x| f16::from_f32(x as f32).to_le_bytes()).collect(),
            HostData::BF16(v) => v.iter().flat_map(|&x| bf16::from_f32(x as f32).to_le_bytes()).collect(),
            HostData::I32(v) => bytemuck::cast_slice(v).to_vec(),
            HostData::U32(v) => bytemuck::cast_slice(v).to_vec(),
        }
    }

    /// The inverse of [`Self::to_bytes`]; `bytes` is a whole number of elements.
    pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Self {
        let words = bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
        let halves = bytes.chunks_exact(2).map(|c| [c[0], c[1]]);
        match dtype {
            DType::F16 => HostData::F16(halves.map(|b| f16::from_le_bytes(b).to_f64()).collect()),
            DType::BF16 => HostData::BF16(halves.map(|b| bf16::from_le_bytes(b).to_f64()).collect()),
            DType::F32 => HostData::F32(words.map(|w| f64::from(f32::from_bits(w))).collect()),
            DType::I32 => HostData::I32(words.map(|w| w as i32).collect()),
            DType::U32 | DType::Bool => HostData::U32(words.collect()),
        }
    }

    /// Element `i` as a float, for comparisons and messages.
    pub fn get_f64(&self, i: usize) -> f64 {
        match self {
            HostData::F32(v) | HostData::F16(v) | HostData::BF16(v) => v[i],
            HostData::I32(v) => f64::from(v[i]),
            HostData::U32(v) => f64::from(v[i]),
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors are made from and read into.
///
/// `f32`, [`half::f16`], [`half::bf16`], `i32`, `u32` and `bool` are the stored types. `f64`, `i64`, `u8` and `usize` convert: `f64` becomes f32
/// (kept whole on an unrounded reference device), the integers become i32.
pub trait Element: Copy + Send + Sync + fmt::Debug + sealed::Sealed + 'static {
    /// The dtype of a tensor made from this type.
    const DTYPE: DType;
    #[doc(hidden)]
    fn pack(values: &[Self]) -> Packed<'_>;
    #[doc(hidden)]
    fn from_f64(value: f64) -> Self;
}

/// Elements on their way to a device.
#[doc(hidden)]
pub enum Packed<'a> {
    /// Already the bits that the device stores.
    Bytes(&'a [u8]),
    /// Floats wider than the device's.
    Floats(&'a [f64]),
    /// Converted integers.
    Ints(Vec<i32>),
    /// Converted truth values.
    Words(Vec<u32>),
}

impl Packed<'_> {
    pub(crate) fn host(&self, dtype: DType) -> HostData {
        match self {
            Packed::Bytes(b) => HostData::from_bytes(dtype, b),
            Packed::Floats(v) => HostData::floats(dtype, v.to_vec()),
            Packed::Ints(v) => HostData::I32(v.clone()),
            Packed::Words(v) => HostData::U32(v.clone()),
        }
    }

    pub(crate) fn with_bytes<R>(&self, dtype: DType, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Packed::Bytes(b) => f(b),
            Packed::Floats(v) if dtype.is_half() => f(&HostData::floats(dtype, v.to_vec()).to_bytes()),
            Packed::Floats(v) => {
                let narrow: Vec<f32> = v.iter().map(|&x| x as f32).collect();
                f(bytemuck::cast_slice(&narrow))
            }
            Packed::Ints(v) => f(bytemuck::cast_slice(v)),
            Packed::Words(v) => f(bytemuck::cast_slice(v)),
        }
    }
}

macro_rules! element {
    ($t:ty, $dtype:ident, |$v:ident| $pack:expr, |$x:ident| $from:expr) => {
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            fn pack($v: &[Self]) -> Packed<'_> {
                $pack
            }
            fn from_f64($x: f64) -> Self {
                $from
            }
        }
    };
}

element!(f32, F32, |v| Packed::Bytes(bytemuck::cast_slice(v)), |x| x as f32);
element!(f16, F16, |v| Packed::Bytes(bytemuck::cast_slice(v.reinterpret_cast())), |x| f16::from_f64(x));
element!(bf16, BF16, |v| Packed::Bytes(bytemuck::cast_slice(v.reinterpret_cast())), |x| bf16::from_f64(x));
element!(f64, F32, |v| Packed::Floats(v), |x| x);
element!(i32, I32, |v| Packed::Bytes(bytemuck::cast_slice(v)), |x| x as i32);
element!(u32, U32, |v| Packed::Bytes(bytemuck::cast_slice(v)), |x| x as u32);
element!(i64, I32, |v| Packed::Ints(v.iter().map(|&x| saturate(x)).collect()), |x| x as i64);
element!(u8, I32, |v| Packed::Ints(v.iter().map(|&x| i32::from(x)).collect()), |x| x as u8);
element!(usize, I32, |v| Packed::Ints(v.iter().map(|&x| saturate(x as i64)).collect()), |x| x as usize);
element!(bool, Bool, |v| Packed::Words(v.iter().map(|&x| u32::from(x)).collect()), |x| x != 0.0);

/// An index that i32 can't hold is out of every tensor's range: the nearest i32 is refused just the same, where a
/// wrapped one could pass for a valid index.
fn saturate(x: i64) -> i32 {
    x.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        for data in [
            HostData::F32(vec![0.5, -2.0, f64::from(f32::MAX)]),
            HostData::F16(vec![0.5, -65504.0, 2f64.powi(-24)]),
            HostData::BF16(vec![0.5, -2.0, 2f64.powi(127)]),
            HostData::I32(vec![i32::MIN, 7]),
            HostData::U32(vec![1, u32::MAX]),
        ] {
            let dtype = match data {
                HostData::F32(_) => DType::F32,
                HostData::F16(_) => DType::F16,
                HostData::BF16(_) => DType::BF16,
                HostData::I32(_) => DType::I32,
                HostData::U32(_) => DType::U32,
            };
            assert_eq!(HostData::from_bytes(dtype, &data.to_bytes()), data);
        }
    }

    #[test]
    fn wide_integers_saturate_instead_of_wrapping() {
        let Packed::Ints(v) = i64::pack(&[1 << 32, -5]) else { panic!("i64 packs as i32") };
        assert_eq!(v, [i32::MAX, -5]);
    }
}
