//! Layers that drop elements or channels while training.

use super::{Forward, Module, Training};
use crate::ops::elementwise::dropout::check_probability;
use crate::tensor::Tensor;

/// Refuses what is no probability.
#[track_caller]
pub(super) fn check_dropout(layer: &'static str, p: f64) {
    if let Err(error) = check_probability(layer, p) {
        panic!("{error}");
    }
}

macro_rules! dropouts {
    ($($(#[$meta:meta])* $name:ident => $method:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            #[module(skip)]
            pub(super) p: f64,
            pub(super) training: Training,
        }

        impl $name {
            /// Drops with probability `p`; PyTorch's default is 0.5.
            ///
            /// # Panics
            /// When `p` does not lie between 0 and 1.
            #[track_caller]
            pub fn new(p: f64) -> Self {
                check_dropout("dropout", p);
                $name { p, training: Training::new() }
            }

            /// Accepted as in PyTorch; the input is kept either way.
            pub fn inplace(self, _inplace: bool) -> Self {
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0.5)
            }
        }

        impl Forward for $name {
            type Output = Tensor;

            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.p, self.training.is_training())
            }
        }
    )*};
}

dropouts! {
    /// While training, each element becomes 0 with probability `p`, and the others are divided by `1 − p`; otherwise the
    /// input itself. <https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let dropout = nn::Dropout::new(0.5);
    /// let x = Tensor::ones(&[100]);
    /// assert!(dropout.call(&x).to_vec::<f32>()?.iter().all(|&v| v == 0.0 || v == 2.0));
    /// dropout.eval();
    /// assert_eq!(dropout.call(&x).to_vec::<f32>()?, [1.0; 100]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    Dropout => dropout;

    /// Drops whole channels of `[N, C, L]` or `[C, L]`. <https://pytorch.org/docs/stable/generated/torch.nn.Dropout1d.html>
    Dropout1d => dropout1d;

    /// Drops whole channels of `[N, C, H, W]`, or of `[N, C, L]`: three dims have a batch, as in PyTorch.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.Dropout2d.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let y = nn::Dropout2d::new(0.5).call(&Tensor::ones(&[4, 8, 3, 3]));
    /// for channel in y.to_vec::<f32>()?.chunks(9) {
    ///     assert!(channel.iter().all(|v| v == &channel[0]));
    /// }
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    Dropout2d => dropout2d;

    /// Drops whole channels of `[N, C, D, H, W]` or `[C, D, H, W]`.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.Dropout3d.html>
    Dropout3d => dropout3d;

    /// Drops elements to the value that [`super::SELU`] tends to far below 0, and scales so that mean 0 and variance 1 stay.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.AlphaDropout.html>
    AlphaDropout => alpha_dropout;
}
