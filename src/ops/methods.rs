//! Both forms of a method, from one body.

use crate::dtype::DType;
use crate::engine::{Device, place};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Declares methods in pairs: `name`, which panics at the caller's line on a mistake, and `try_name`, which returns it.
///
/// The body gives a `Result`. The first form passes poisoned tensors on, the second returns what poisoned them.
macro_rules! methods {
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident / $try:ident (&$self:ident $(, $arg:ident : $ty:ty)* $(,)?) -> $ret:ty $body:block
    )*) => {
        impl $crate::tensor::Tensor {
            $(
                $(#[$meta])*
                #[track_caller]
                pub fn $name(&$self $(, $arg: $ty)*) -> $ret {
                    let _caller = $crate::engine::fault::CallerScope::enter();
                    let body = || -> $crate::Result<$ret> { $body };
                    let result = $crate::ops::methods_support::blame_poison($self, body());
                    $crate::ops::methods_support::or_panic(result)
                }

                #[doc = concat!("[`Self::", stringify!($name), "`], with mistakes as errors.\n\n# Errors\n",
                                "A mistake in the arguments, or a failure of the device.")]
                #[track_caller]
                pub fn $try(&$self $(, $arg: $ty)*) -> $crate::Result<$ret> {
                    let _caller = $crate::engine::fault::CallerScope::enter();
                    let body = || -> $crate::Result<$ret> { $body };
                    let result = $crate::ops::methods_support::blame_poison($self, body());
                    result.and_then($crate::ops::methods_support::Healthy::into_healthy)
                }
            )*
        }
    };
}
pub(crate) use methods;

/// A mistake on a poisoned tensor is the poison's: its shape may be unknown.
pub(crate) fn blame_poison<T>(tensor: &Tensor, result: Result<T>) -> Result<T> {
    result.map_err(|error| tensor.poison().cloned().unwrap_or(error))
}

/// Panics at the user's line with a mistake, naming the module that it happened in; a failure of the device goes on as a poisoned value.
#[track_caller]
pub(crate) fn or_panic<T: Healthy>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) if is_failure(&error) => T::poisoned(error),
        Err(error) => match place::path() {
            Some(path) => panic!("{path}: {error}"),
            None => panic!("{error}"),
        },
    }
}

/// Values of methods: tensors, which can be poisoned, and groups of them.
pub(crate) trait Healthy: Sized {
    /// The value, or the failure that it carries.
    fn into_healthy(self) -> Result<Self>;

    /// A value that carries a failure, where its shape is not known.
    fn poisoned(error: Error) -> Self;
}

impl Healthy for Tensor {
    fn into_healthy(self) -> Result<Self> {
        self.healthy()
    }

    fn poisoned(error: Error) -> Self {
        Tensor::from_content(Err(error), Default::default(), DType::F32, Device::reference())
    }
}

impl Healthy for (Tensor, Tensor) {
    fn into_healthy(self) -> Result<Self> {
        Ok((self.0.healthy()?, self.1.healthy()?))
    }

    fn poisoned(error: Error) -> Self {
        (Tensor::poisoned(error.clone()), Tensor::poisoned(error))
    }
}

impl Healthy for (Tensor, Tensor, Tensor) {
    fn into_healthy(self) -> Result<Self> {
        Ok((self.0.healthy()?, self.1.healthy()?, self.2.healthy()?))
    }

    fn poisoned(error: Error) -> Self {
        (Tensor::poisoned(error.clone()), Tensor::poisoned(error.clone()), Tensor::poisoned(error))
    }
}

impl Healthy for Vec<Tensor> {
    fn into_healthy(self) -> Result<Self> {
        self.into_iter().map(Tensor::healthy).collect()
    }

    fn poisoned(error: Error) -> Self {
        vec![Tensor::poisoned(error)]
    }
}

/// A failure that is no mistake: kept in a poisoned tensor instead of a panic.
pub(crate) fn is_failure(error: &Error) -> bool {
    matches!(
        error,
        Error::DeviceLost(_)
            | Error::OutOfMemory { .. }
            | Error::Driver(_)
            | Error::Index { .. }
            | Error::Weights { .. }
            | Error::ZeroDivision { .. }
            | Error::Anomaly { .. }
            | Error::Diverged { .. }
            | Error::Kernel { .. }
    )
}
