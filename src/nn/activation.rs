//! Activations as layers. Those with options start from PyTorch's defaults: `nn::LeakyReLU::new().negative_slope(0.2)`.

use super::stateless;
use crate::tensor::Tensor;

stateless! {
    /// `max(x, 0)`. <https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html>
    ReLU => |x| x.relu();

    /// `min(max(x, 0), 6)`. <https://pytorch.org/docs/stable/generated/torch.nn.ReLU6.html>
    ReLU6 => |x| x.relu6();

    /// See [`Tensor::selu`]. <https://pytorch.org/docs/stable/generated/torch.nn.SELU.html>
    SELU => |x| x.selu();

    /// `x·σ(x)`, also called swish. <https://pytorch.org/docs/stable/generated/torch.nn.SiLU.html>
    SiLU => |x| x.silu();

    /// `x·tanh(log(1 + eˣ))`. <https://pytorch.org/docs/stable/generated/torch.nn.Mish.html>
    Mish => |x| x.mish();

    /// `x·relu6(x + 3)/6`. <https://pytorch.org/docs/stable/generated/torch.nn.Hardswish.html>
    Hardswish => |x| x.hardswish();

    /// `relu6(x + 3)/6`. <https://pytorch.org/docs/stable/generated/torch.nn.Hardsigmoid.html>
    Hardsigmoid => |x| x.hardsigmoid();

    /// `1 / (1 + e⁻ˣ)`. <https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html>
    Sigmoid => |x| x.sigmoid();

    /// `log σ(x)`. <https://pytorch.org/docs/stable/generated/torch.nn.LogSigmoid.html>
    LogSigmoid => |x| x.logsigmoid();

    /// The hyperbolic tangent. <https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html>
    Tanh => |x| x.tanh();

    /// `x − tanh x`. <https://pytorch.org/docs/stable/generated/torch.nn.Tanhshrink.html>
    Tanhshrink => |x| x.tanhshrink();

    /// `x / (1 + |x|)`. <https://pytorch.org/docs/stable/generated/torch.nn.Softsign.html>
    Softsign => |x| x.softsign();

    /// The softmax over the channels of `[N, C, H, W]` or `[C, H, W]`, place by place.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.Softmax2d.html>
    Softmax2d => |x| {
        assert!(matches!(x.dim(), 3 | 4), "softmax2d: needs 3 or 4 dims; the shape is {:?}", x.shape());
        x.softmax(-3)
    };
}

/// Declares layers without state but with options: what `new` takes, then what builder methods change, with defaults.
macro_rules! optioned {
    ($(
        $(#[$meta:meta])*
        $name:ident ($($arg:ident: $argty:ty),*) {
            $($(#[$fmeta:meta])* $field:ident: $ty:ty = $default:expr),* $(,)?
        } => |$layer:ident, $x:ident| $body:expr;
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            $($arg: $argty,)*
            $($field: $ty,)*
        }

        impl $name {
            /// The layer, with PyTorch's defaults for all that is not named here.
            pub const fn new($($arg: $argty),*) -> Self {
                $name { $($arg,)* $($field: $default,)* }
            }

            $(
                $(#[$fmeta])*
                pub const fn $field(mut self, $field: $ty) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }

        impl $crate::nn::Module for $name {
            fn visit(&self, _visitor: &mut $crate::nn::Visitor<'_>) {}
        }

        impl $crate::nn::Forward for $name {
            type Output = Tensor;
            #[track_caller]
            fn forward(&self, $x: &Tensor) -> Tensor {
                let $layer = self;
                $body
            }
        }
    )*};
}

optioned! {
    /// `x` above 0 and `negative_slope·x` elsewhere. <https://pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html>
    LeakyReLU() {
        /// The slope below 0; 0.01 if not set.
        negative_slope: f64 = 0.01,
    } => |l, x| x.leaky_relu(l.negative_slope);

    /// `x` above 0 and `alpha·(eˣ − 1)` elsewhere. <https://pytorch.org/docs/stable/generated/torch.nn.ELU.html>
    ELU() {
        /// What the function tends to far below 0, negated; 1 if not set.
        alpha: f64 = 1.0,
    } => |l, x| x.elu(l.alpha);

    /// `x` above 0 and `alpha·(e^(x/alpha) − 1)` elsewhere. <https://pytorch.org/docs/stable/generated/torch.nn.CELU.html>
    CELU() {
        /// What the function tends to far below 0, negated; 1 if not set.
        alpha: f64 = 1.0,
    } => |l, x| x.celu(l.alpha);

    /// `x·Φ(x)` with the distribution function Φ of the standard normal. <https://pytorch.org/docs/stable/generated/torch.nn.GELU.html>
    ///
    /// ```
    /// use lumigrad::{nn, nn::GeluApproximation, prelude::*};
    /// let gelu = nn::GELU::new().approximate(GeluApproximation::Tanh);
    /// assert_eq!(gelu.call(&Tensor::scalar(0.0)).item::<f32>()?, 0.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    GELU() {
        /// Whether Φ is approximated; it is not if not set.
        approximate: GeluApproximation = GeluApproximation::None,
    } => |l, x| match l.approximate {
        GeluApproximation::None => x.gelu(),
        GeluApproximation::Tanh => x.gelu_tanh(),
    };

    /// `log(1 + e^(beta·x)) / beta`, and x where `beta·x` is above the threshold.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.Softplus.html>
    Softplus() {
        /// How sharp the bend is; 1 if not set.
        beta: f64 = 1.0,
        /// From where the function is x itself; 20 if not set.
        threshold: f64 = 20.0,
    } => |l, x| x.softplus(l.beta, l.threshold);

    /// `x` cut to a range. <https://pytorch.org/docs/stable/generated/torch.nn.Hardtanh.html>
    Hardtanh() {
        /// The lower end; −1 if not set.
        min_val: f64 = -1.0,
        /// The upper end; 1 if not set.
        max_val: f64 = 1.0,
    } => |l, x| x.hardtanh(l.min_val, l.max_val);

    /// Each element moved towards 0. <https://pytorch.org/docs/stable/generated/torch.nn.Softshrink.html>
    Softshrink() {
        /// By how much; 0.5 if not set.
        lambd: f64 = 0.5,
    } => |l, x| x.softshrink(l.lambd);

    /// 0 for elements near 0. <https://pytorch.org/docs/stable/generated/torch.nn.Hardshrink.html>
    Hardshrink() {
        /// How near; 0.5 if not set.
        lambd: f64 = 0.5,
    } => |l, x| x.hardshrink(l.lambd);

    /// `x` above `threshold` and `value` elsewhere. <https://pytorch.org/docs/stable/generated/torch.nn.Threshold.html>
    Threshold(threshold: f64, value: f64) {} => |l, x| x.threshold(l.threshold, l.value);

    /// The gated linear unit `a·σ(b)` of the halves of a dim. <https://pytorch.org/docs/stable/generated/torch.nn.GLU.html>
    GLU() {
        /// The dim that is halved; the last if not set.
        dim: i64 = -1,
    } => |l, x| x.glu(l.dim);

    /// Exponentials along a dim, divided by their sum. <https://pytorch.org/docs/stable/generated/torch.nn.Softmax.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let probabilities = nn::Softmax::new(1).call(&Tensor::zeros(&[2, 4]));
    /// assert_eq!(probabilities.to_vec::<f32>()?, [0.25; 8]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    Softmax(dim: i64) {} => |l, x| x.softmax(l.dim);

    /// The logarithm of the softmax along a dim. <https://pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html>
    LogSoftmax(dim: i64) {} => |l, x| x.log_softmax(l.dim);

    /// The softmax of `−x` along a dim. <https://pytorch.org/docs/stable/generated/torch.nn.Softmin.html>
    Softmin(dim: i64) {} => |l, x| x.softmin(l.dim);
}

/// How [`GELU`] computes the normal distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GeluApproximation {
    /// Exactly, by the error function.
    #[default]
    None,
    /// By a hyperbolic tangent of a cubic.
    Tanh,
}

macro_rules! defaults {
    ($($name:ident)*) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    )*};
}
defaults!(LeakyReLU ELU CELU GELU Softplus Hardtanh Softshrink Hardshrink GLU);

macro_rules! inplace {
    ($($name:ident)*) => {$(
        impl $name {
            /// Accepted as in PyTorch; the input is kept either way, as gradients need it.
            pub const fn inplace(self, _inplace: bool) -> Self {
                self
            }
        }
    )*};
}
inplace!(ReLU ReLU6 SELU SiLU Mish Hardswish Hardsigmoid LeakyReLU ELU CELU Hardtanh Threshold);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Device;
    use crate::nn::{Forward, Layer, Module, PReLU, RReLU};

    type Make = &'static dyn Fn() -> Box<dyn Layer>;

    /// What PyTorch 2.15 gives for −4, −1, 0.25 and 30 when each layer is made without its optional arguments.
    const EXPECTED: &[(Make, [f32; 4])] = &[
        (&|| Box::new(LeakyReLU::new()), [-0.04, -0.01, 0.25, 30.0]),
        (&|| Box::new(ELU::new()), [-0.981_684_4, -0.632_120_55, 0.25, 30.0]),
        (&|| Box::new(CELU::new().inplace(true)), [-0.981_684_4, -0.632_120_55, 0.25, 30.0]),
        (&|| Box::new(GELU::new()), [-0.000_126_684_96, -0.158_655_26, 0.149_676_58, 30.0]),
        (
            &|| Box::new(GELU::new().approximate(GeluApproximation::Tanh)),
            [-0.000_070_245_95, -0.158_808, 0.149_675_35, 30.0],
        ),
        (&|| Box::new(Softplus::new()), [0.018_149_927, 0.313_261_7, 0.825_939_4, 30.0]),
        (&|| Box::new(Softplus::new().beta(2.0).threshold(0.4)), [0.000_167_703_18, 0.063_464_01, 0.25, 30.0]),
        (&|| Box::new(Hardtanh::new()), [-1.0, -1.0, 0.25, 1.0]),
        (&|| Box::new(Hardtanh::new().min_val(-2.0).max_val(3.0)), [-2.0, -1.0, 0.25, 3.0]),
        (&|| Box::new(Softshrink::new()), [-3.5, -0.5, 0.0, 29.5]),
        (&|| Box::new(Hardshrink::new()), [-4.0, -1.0, 0.0, 30.0]),
        (&|| Box::new(Threshold::new(0.5, 7.0)), [7.0, 7.0, 7.0, 30.0]),
        (&|| Box::new(PReLU::new()), [-1.0, -0.25, 0.25, 30.0]),
        (&|| Box::new(PReLU::new().init(0.5)), [-2.0, -0.5, 0.25, 30.0]),
        (&|| Box::new(ReLU6), [0.0, 0.0, 0.25, 6.0]),
        (&|| Box::new(ReLU::new().inplace(true)), [0.0, 0.0, 0.25, 30.0]),
    ];

    #[test]
    fn layers_start_from_pytorchs_defaults() {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[-4.0f32, -1.0, 0.25, 30.0], &[1, 4]);
            for (i, (make, expected)) in EXPECTED.iter().enumerate() {
                let got = make().call(&x).to_vec::<f32>().unwrap();
                let close = |(g, w): (&f32, &f32)| (g - w).abs() <= 2e-6 * w.abs();
                assert!(got.iter().zip(expected).all(close), "line {i}: {got:?}");
            }
            assert_eq!(GLU::new().call(&x).to_vec::<f32>().unwrap(), x.glu(1).to_vec::<f32>().unwrap());
            assert_eq!(GLU::new().dim(1), GLU::new().dim(1));
            assert_eq!(Softmin::new(1).call(&x).to_vec::<f32>().unwrap(), x.softmin(-1).to_vec::<f32>().unwrap());
            let image = Tensor::zeros(&[2, 5, 3, 3]);
            assert!(Softmax2d.call(&image).to_vec::<f32>().unwrap().iter().all(|&v| (v - 0.2).abs() < 1e-6));
            let logs = LogSoftmax::new(-1).call(&x).exp().to_vec::<f32>().unwrap();
            let probabilities = Softmax::new(-1).call(&x).to_vec::<f32>().unwrap();
            assert!(logs.iter().zip(&probabilities).all(|(a, b)| (a - b).abs() < 1e-6));
        });
    }

    #[test]
    fn slopes_are_parameters_and_drawn_ones_follow_the_mode() {
        Device::reference().scope(|| {
            let layer = PReLU::new().num_parameters(3).init(0.5);
            let names: Vec<_> = layer.named_parameters().into_iter().map(|(n, p)| (n, p.shape().to_vec())).collect();
            assert_eq!(names, [("weight".to_string(), vec![3])]);
            assert_eq!(PReLU::new().init(0.5).num_parameters(2).weight.get().to_vec::<f32>().unwrap(), [0.5, 0.5]);
            let x = Tensor::full(&[50], -1.0);
            let layer = RReLU::new().lower(0.25).upper(0.75);
            let drawn = layer.call(&x).to_vec::<f32>().unwrap();
            assert!(drawn.iter().any(|v| v != &drawn[0]));
            layer.eval();
            assert_eq!(layer.call(&x).to_vec::<f32>().unwrap(), [-0.5; 50]);
        });
    }
}
