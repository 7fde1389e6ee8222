//! New tensors.

use std::sync::Arc;

use super::{Shape, Tensor};
use crate::dtype::{DType, Element};
use crate::engine::Device;
use crate::ops;
use crate::ops::methods_support::{is_failure, or_panic};
use crate::{Error, Result};

/// Sizes that a caller may write as a number, an array, a slice or a vector; -1 where an operation works one out.
pub trait IntoShape {
    /// The sizes.
    fn into_sizes(self) -> Vec<i64>;
}

macro_rules! into_shape {
    ($ty:ty) => {
        impl IntoShape for $ty {
            fn into_sizes(self) -> Vec<i64> {
                vec![self as i64]
            }
        }
        impl<const N: usize> IntoShape for [$ty; N] {
            fn into_sizes(self) -> Vec<i64> {
                self.iter().map(|&s| s as i64).collect()
            }
        }
        impl IntoShape for &[$ty] {
            fn into_sizes(self) -> Vec<i64> {
                self.iter().map(|&s| s as i64).collect()
            }
        }
        impl<const N: usize> IntoShape for &[$ty; N] {
            fn into_sizes(self) -> Vec<i64> {
                self.iter().map(|&s| s as i64).collect()
            }
        }
        impl IntoShape for Vec<$ty> {
            fn into_sizes(self) -> Vec<i64> {
                self.iter().map(|&s| s as i64).collect()
            }
        }
        impl IntoShape for &Vec<$ty> {
            fn into_sizes(self) -> Vec<i64> {
                self.iter().map(|&s| s as i64).collect()
            }
        }
    };
}
into_shape!(usize);
into_shape!(i64);
into_shape!(i32);

impl IntoShape for &Shape {
    fn into_sizes(self) -> Vec<i64> {
        self.iter().map(|&s| s as i64).collect()
    }
}

/// Panics with a mistake, keeps a failure of the device in the tensor.
#[track_caller]
fn infallible(result: Result<Tensor>, shape: &[usize], dtype: DType, device: &Device) -> Tensor {
    match result {
        Err(error) if is_failure(&error) => Tensor::from_content(Err(error), shape.into(), dtype, device.clone()),
        other => or_panic(other),
    }
}

/// Creation on the current device, or with `_on` on a given one.
impl Tensor {
    /// A tensor with these elements, row by row.
    ///
    /// # Panics
    /// When there are not as many elements as the shape has.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(x.shape(), [2, 2]);
    /// ```
    #[track_caller]
    pub fn from_slice<T: Element>(values: &[T], shape: &[usize]) -> Tensor {
        Self::from_slice_on(values, shape, &Device::current())
    }

    /// [`Tensor::from_slice`] on this device.
    ///
    /// # Panics
    /// As [`Tensor::from_slice`].
    #[track_caller]
    pub fn from_slice_on<T: Element>(values: &[T], shape: &[usize], device: &Device) -> Tensor {
        infallible(Self::try_from_slice_on(values, shape, device), shape, T::DTYPE, device)
    }

    /// [`Tensor::from_slice_on`], with mistakes as errors.
    ///
    /// # Errors
    /// When there are not as many elements as the shape has, or the device has no memory for them.
    pub fn try_from_slice_on<T: Element>(values: &[T], shape: &[usize], device: &Device) -> Result<Tensor> {
        if super::shape::checked_numel("from_slice", shape)? != values.len() {
            let detail = format!("{} elements do not fill the shape {shape:?}", values.len());
            return Err(Error::shape("from_slice", detail));
        }
        let buffer = device.upload(T::DTYPE, &T::pack(values))?;
        Ok(Tensor::from_content(Ok(Arc::new(buffer)), shape.into(), T::DTYPE, device.clone()))
    }

    /// A 0-d float.
    #[track_caller]
    pub fn scalar(value: f64) -> Tensor {
        Self::from_slice(&[value], &[])
    }

    /// Zeros.
    #[track_caller]
    pub fn zeros(shape: &[usize]) -> Tensor {
        Self::full(shape, 0.0)
    }

    /// Ones.
    #[track_caller]
    pub fn ones(shape: &[usize]) -> Tensor {
        Self::full(shape, 1.0)
    }

    /// Floats of one value.
    #[track_caller]
    pub fn full(shape: &[usize], value: f64) -> Tensor {
        Self::full_on(shape, value, DType::F32, &Device::current())
    }

    /// Elements of one value, of any type and on any device.
    #[track_caller]
    pub fn full_on(shape: &[usize], value: f64, dtype: DType, device: &Device) -> Tensor {
        or_panic(ops::fill::full(shape, value, dtype, device))
    }

    /// [`Tensor::full_on`], with mistakes as errors.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn try_full_on(shape: &[usize], value: f64, dtype: DType, device: &Device) -> Result<Tensor> {
        ops::fill::full(shape, value, dtype, device)?.healthy()
    }

    /// Zeros with the shape, type and device of this tensor.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        Self::full_on(self.shape(), 0.0, self.dtype(), self.device())
    }

    /// Ones with the shape, type and device of this tensor.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        Self::full_on(self.shape(), 1.0, self.dtype(), self.device())
    }

    /// Elements of one value with the shape, type and device of this tensor.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Tensor {
        Self::full_on(self.shape(), value, self.dtype(), self.device())
    }

    /// Random floats in `[0, 1)` with the shape, type and device of this tensor.
    ///
    /// # Panics
    /// When the tensor has no floats.
    #[track_caller]
    pub fn rand_like(&self) -> Tensor {
        or_panic(self.drawn_like("rand_like", ops::random::uniform_of))
    }

    /// Random floats from the standard normal distribution with the shape, type and device of this tensor.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// // A variational autoencoder's sample.
    /// let (mean, log_variance) = (Tensor::zeros(&[2, 3]), Tensor::zeros(&[2, 3]));
    /// let deviation = (log_variance * 0.5).exp();
    /// let sample = mean + deviation.randn_like() * deviation;
    /// assert_eq!(sample.shape(), [2, 3]);
    /// ```
    ///
    /// # Panics
    /// When the tensor has no floats.
    #[track_caller]
    pub fn randn_like(&self) -> Tensor {
        or_panic(self.drawn_like("randn_like", |dtype, shape, device| {
            ops::random::normal(shape, 0.0, 1.0, device)?.try_to_dtype(dtype)
        }))
    }

    fn drawn_like(&self, op: &'static str, draw: fn(DType, &[usize], &Device) -> Result<Tensor>) -> Result<Tensor> {
        if !self.dtype().is_float() {
            return Err(Error::dtype(op, format!("draws floats, not {}; use `randint`", self.dtype())));
        }
        draw(self.dtype(), self.shape(), self.device())
    }

    /// The floats `start`, `start + step`, … below `end` (above it for a negative step).
    ///
    /// # Panics
    /// When the step is 0 or leads away from the end.
    #[track_caller]
    pub fn arange(start: f64, end: f64, step: f64) -> Tensor {
        assert!(
            step != 0.0 && (end - start) / step >= 0.0 && ((end - start) / step).is_finite(),
            "arange: no way from {start} to {end} in steps of {step}"
        );
        let n = ((end - start) / step).ceil() as usize;
        let values: Vec<f64> = (0..n).map(|i| start + step * i as f64).collect();
        Self::from_slice(&values, &[n])
    }

    /// `steps` floats evenly spread from `start` to `end`, both included.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, steps: usize) -> Tensor {
        let at = |i: usize| if steps == 1 { start } else { start + (end - start) * i as f64 / (steps - 1) as f64 };
        let values: Vec<f64> = (0..steps).map(at).collect();
        Self::from_slice(&values, &[steps])
    }

    /// The identity matrix.
    #[track_caller]
    pub fn eye(n: usize) -> Tensor {
        or_panic(Self::try_eye_on(n, n, DType::F32, &Device::current()))
    }

    /// Random floats in `[0, 1)`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let device = Device::reference();
    /// device.manual_seed(7);
    /// let x = Tensor::rand_on(&[3], &device).to_vec::<f32>()?;
    /// device.manual_seed(7);
    /// assert_eq!(x, Tensor::rand_on(&[3], &device).to_vec::<f32>()?);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn rand(shape: &[usize]) -> Tensor {
        Self::rand_on(shape, &Device::current())
    }

    /// [`Tensor::rand`] on this device.
    #[track_caller]
    pub fn rand_on(shape: &[usize], device: &Device) -> Tensor {
        Self::uniform_on(shape, 0.0, 1.0, device)
    }

    /// Random floats in `[low, high)`.
    ///
    /// # Panics
    /// When the range is empty.
    #[track_caller]
    pub fn uniform_on(shape: &[usize], low: f64, high: f64, device: &Device) -> Tensor {
        or_panic(ops::random::uniform(shape, low, high, device))
    }

    /// Random floats from the standard normal distribution.
    #[track_caller]
    pub fn randn(shape: &[usize]) -> Tensor {
        Self::normal_on(shape, 0.0, 1.0, &Device::current())
    }

    /// Random floats from a normal distribution.
    ///
    /// # Panics
    /// When the standard deviation is negative.
    #[track_caller]
    pub fn normal_on(shape: &[usize], mean: f64, std: f64, device: &Device) -> Tensor {
        or_panic(ops::random::normal(shape, mean, std, device))
    }

    /// Random whole numbers (i32) from `low` up to, not including, `high`.
    ///
    /// # Panics
    /// When the range is empty or leaves i32.
    #[track_caller]
    pub fn randint(low: i64, high: i64, shape: &[usize]) -> Tensor {
        or_panic(ops::random::integers(shape, low, high, &Device::current()))
    }

    /// The numbers `0..n` (i32) in random order.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let mut order = Tensor::randperm(5).to_vec::<i32>()?;
    /// order.sort();
    /// assert_eq!(order, [0, 1, 2, 3, 4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn randperm(n: usize) -> Tensor {
        or_panic(ops::random::permutation(n, &Device::current()))
    }
}
