//! Activations, and arithmetic of their kind, that are made of other operations.
//!
//! <https://pytorch.org/docs/stable/nn.functional.html#non-linear-activation-functions>

use crate::Error;
use crate::ops::{methods, random};
use crate::tensor::Tensor;
use crate::tensor::shape::dim_index;

methods! {
    /// `x` cut to the range from 0 to 6.
    pub fn relu6 / try_relu6 (&self) -> Tensor {
        self.try_hardtanh(0.0, 6.0)
    }

    /// [`Self::softmax`] of `−x`: the smallest element weighs most.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[0.0f32, 1e4], &[2]).softmin(0);
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn softmin / try_softmin (&self, dim: i64) -> Tensor {
        self.try_neg()?.try_softmax(dim)
    }

    /// The gated linear unit `a·σ(b)`, where a and b are the first and the second half of a dim (Dauphin and others 2016).
    /// PyTorch's default dim is −1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let y = Tensor::from_slice(&[3.0f32, 5.0, 0.0, 1e4], &[4]).glu(0);
    /// assert_eq!(y.to_vec::<f32>()?, [1.5, 5.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the size of the dim is odd.
    pub fn glu / try_glu (&self, dim: i64) -> Tensor {
        if self.dim() == 0 {
            return Err(Error::shape("glu", "a 0-d tensor has no dim to halve"));
        }
        let size = self.shape()[dim_index("glu", dim, self.dim())?];
        if size % 2 == 1 {
            let detail = format!("dim {dim} of shape {:?} has {size} elements, which can't be halved", self.shape());
            return Err(Error::shape("glu", detail));
        }
        let (a, gate) = (self.try_narrow(dim, 0, size / 2)?, self.try_narrow(dim, size as i64 / 2, size / 2)?);
        a.try_mul(&gate.try_sigmoid()?)
    }

    /// [`Self::leaky_relu`] with slopes drawn evenly from `lower..upper` while training, and their mean otherwise. PyTorch's
    /// defaults are 1/8, 1/3 and false.
    ///
    /// # Panics
    /// When `lower` is above `upper`.
    pub fn rrelu / try_rrelu (&self, lower: f64, upper: f64, training: bool) -> Tensor {
        if !training {
            return self.try_leaky_relu((lower + upper) / 2.0);
        }
        let slopes = random::uniform(self.shape(), lower, upper, self.device())?;
        self.try_gt_scalar(0.0)?.try_where_(self, &self.try_mul(&slopes)?)
    }

    /// Where exactly one of `self` and `other` is true, broadcast. Of numbers, everything but 0 is true.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[true, true, false, false], &[4]);
    /// let y = Tensor::from_slice(&[true, false, true, false], &[4]);
    /// assert_eq!(x.logical_xor(&y).to_vec::<bool>()?, [false, true, true, false]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn logical_xor / try_logical_xor (&self, other: &Tensor) -> Tensor {
        use crate::DType::Bool;
        self.try_to_dtype(Bool)?.try_ne(&other.try_to_dtype(Bool)?)
    }

    /// `self + weight·(end − self)`, broadcast: the part `weight` of the way to `end`, which is met exactly at 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (x, end) = (Tensor::zeros(&[2]), Tensor::from_slice(&[4.0f32, -2.0], &[2]));
    /// assert_eq!(x.lerp(&end, 0.25).to_vec::<f32>()?, [1.0, -0.5]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn lerp / try_lerp (&self, end: &Tensor, weight: f64) -> Tensor {
        let way = end.try_sub(self)?;
        if weight.abs() < 0.5 {
            self.try_add(&way.try_mul_scalar(weight)?)
        } else {
            end.try_sub(&way.try_mul_scalar(1.0 - weight)?)
        }
    }
}

/// Activations against values of PyTorch 2.15 (f64, rounded).
#[cfg(test)]
mod tests {
    use crate::engine::Device;
    use crate::tensor::Tensor;

    type Activation = fn(&Tensor) -> Tensor;

    const INPUT: [f32; 8] = [-1e4, -4.0, -1.25, -0.25, 0.0, 0.125, 2.0, 1e4];

    /// Name, function, values, and gradients for an upstream gradient of ones (of 1, 2, … for `softmin`).
    const EXPECTED: &[(&str, Activation, &[f32], &[f32])] = &[
        (
            "selu",
            Tensor::selu,
            &[-1.7580993, -1.7258986, -1.2543955, -0.388_890_2, 0.0, 0.13133763, 2.101402, 10507.01],
            &[0.0, 0.032200713, 0.503_703_9, 1.3692092, 1.7580993, 1.050701, 1.050701, 1.050701],
        ),
        (
            "celu",
            |x| x.celu(1.25),
            &[-1.25, -1.1990472, -0.7901507, -0.22658657, 0.0, 0.125, 2.0, 10000.0],
            &[0.0, 0.040762205, 0.36787945, 0.818_730_8, 1.0, 1.0, 1.0, 1.0],
        ),
        (
            "mish",
            Tensor::mish,
            &[0.0, -0.072591744, -0.30841395, -0.12992696, 0.0, 0.079_957_57, 1.943959, 10000.0],
            &[0.0, -0.053_773_21, -0.014697563, 0.439_815_6, 0.6, 0.678_892_7, 1.0693179, 1.0],
        ),
        (
            "hardswish",
            Tensor::hardswish,
            &[0.0, 0.0, -0.36458334, -0.11458334, 0.0, 0.065104164, 1.6666666, 10000.0],
            &[0.0, 0.0, 0.083333336, 0.41666666, 0.5, 0.541_666_7, 1.1666666, 1.0],
        ),
        (
            "hardsigmoid",
            Tensor::hardsigmoid,
            &[0.0, 0.0, 0.29166666, 0.45833334, 0.5, 0.520_833_3, 0.833_333_3, 1.0],
            &[0.0, 0.0, 0.16666667, 0.16666667, 0.16666667, 0.16666667, 0.16666667, 0.0],
        ),
        (
            "logsigmoid",
            Tensor::logsigmoid,
            &[-10000.0, -4.018_15, -1.501929, -0.825_939_4, -std::f32::consts::LN_2, -0.63259906, -0.12692802, 0.0],
            &[1.0, 0.98201376, 0.777_299_9, 0.562_176_5, 0.5, 0.46879062, 0.11920292, 0.0],
        ),
        (
            "softshrink",
            |x| x.softshrink(0.25),
            &[-9999.75, -3.75, -1.0, 0.0, 0.0, 0.0, 1.75, 9999.75],
            &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        ),
        (
            "hardshrink",
            |x| x.hardshrink(0.25),
            &[-10000.0, -4.0, -1.25, 0.0, 0.0, 0.0, 2.0, 10000.0],
            &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        ),
        (
            "threshold",
            |x| x.threshold(0.125, -7.0),
            &[-7.0, -7.0, -7.0, -7.0, -7.0, -7.0, 2.0, 10000.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        ),
        (
            "softsign",
            Tensor::softsign,
            &[-0.999_9, -0.8, -0.555_555_6, -0.2, 0.0, 0.11111111, 0.666_666_7, 0.999_9],
            &[9.998_001e-9, 0.04, 0.19753087, 0.64, 1.0, 0.79012346, 0.11111111, 9.998_001e-9],
        ),
        (
            "tanhshrink",
            Tensor::tanhshrink,
            &[-9999.0, -3.0006707, -0.40171635, -0.0050813374, 0.0, 0.00064699823, 1.0359725, 9999.0],
            &[1.0, 0.998_659_1, 0.719_585_1, 0.05998515, 0.0, 0.015463669, 0.929_349_2, 1.0],
        ),
        (
            "relu6",
            Tensor::relu6,
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.125, 2.0, 6.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        ),
        (
            "prelu",
            |x| x.prelu(&Tensor::scalar(0.25)),
            &[-2500.0, -1.0, -0.3125, -0.0625, 0.0, 0.125, 2.0, 10000.0],
            &[0.25, 0.25, 0.25, 0.25, 0.25, 1.0, 1.0, 1.0],
        ),
        (
            "rrelu",
            |x| x.rrelu(0.125, 0.375, false),
            &[-2500.0, -1.0, -0.3125, -0.0625, 0.0, 0.125, 2.0, 10000.0],
            &[0.25, 0.25, 0.25, 0.25, 0.25, 1.0, 1.0, 1.0],
        ),
        (
            "softmin",
            |x| x.softmin(0),
            &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ),
        (
            "glu",
            |x| x.glu(-1),
            &[-5000.0, -2.1248374, -1.1009964, -0.25],
            &[0.5, 0.53120935, 0.880_797_1, 1.0, -2500.0, -0.996_103_9, -0.13124198, 0.0],
        ),
    ];

    #[test]
    fn activations_give_what_pytorch_gives() {
        let close = |got: f32, want: f32| (got - want).abs() <= 1e-6 * want.abs().max(1e-6);
        for (name, activation, values, gradients) in EXPECTED {
            Device::reference().scope(|| {
                let x = Tensor::from_slice(&INPUT, &[8]).requires_grad();
                let y = activation(&x);
                let got = y.to_vec::<f32>().unwrap();
                assert!(
                    got.len() == values.len() && got.iter().zip(*values).all(|(g, w)| close(*g, *w)),
                    "{name}: {got:?}"
                );
                let upstream: Vec<f32> =
                    (1..=got.len()).map(|i| if *name == "softmin" { i as f32 } else { 1.0 }).collect();
                (y * Tensor::from_slice(&upstream, &[got.len()])).sum().backward().unwrap();
                let got = x.grad().unwrap().to_vec::<f32>().unwrap();
                assert!(got.iter().zip(*gradients).all(|(g, w)| close(*g, *w)), "gradient of {name}: {got:?}");
            });
        }
    }

    #[test]
    fn nan_is_passed_on() {
        for (name, activation, ..) in EXPECTED.iter().filter(|(name, ..)| *name != "glu") {
            Device::reference().scope(|| {
                let y = activation(&Tensor::from_slice(&[f32::NAN], &[1])).item::<f32>().unwrap();
                assert!(y.is_nan(), "{name}: {y}");
            });
        }
    }

    #[test]
    fn random_slopes_lie_in_their_range_and_train() {
        Device::reference().scope(|| {
            let x = Tensor::full(&[1000], -2.0).requires_grad();
            let y = x.rrelu(0.125, 0.25, true);
            let slopes: Vec<f32> = y.to_vec::<f32>().unwrap().iter().map(|y| y / -2.0).collect();
            assert!(slopes.iter().all(|s| (0.125..=0.25).contains(s)));
            assert!(slopes.iter().any(|&s| s != slopes[0]));
            y.sum().backward().unwrap();
            assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), slopes);
        });
    }

    #[test]
    fn slopes_are_one_or_one_for_each_channel() {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[-1.0f32, -2.0, 3.0, -4.0, -5.0, 6.0], &[1, 3, 2]);
            let w = Tensor::from_slice(&[0.5f32, 0.25, 2.0], &[3]).requires_grad();
            let y = x.prelu(&w);
            assert_eq!(y.to_vec::<f32>().unwrap(), [-0.5, -1.0, 3.0, -1.0, -10.0, 6.0]);
            y.sum().backward().unwrap();
            assert_eq!(w.grad().unwrap().to_vec::<f32>().unwrap(), [-3.0, -4.0, -5.0]);
            assert!(x.try_prelu(&Tensor::ones(&[2])).is_err());
            assert!(x.try_prelu(&Tensor::ones(&[3, 1])).is_err());
            assert!(Tensor::zeros(&[3]).try_prelu(&Tensor::ones(&[3])).is_err());
            assert_eq!(Tensor::scalar(-2.0).prelu(&Tensor::full(&[1], 0.5)).item::<f32>().unwrap(), -1.0);
        });
    }

    #[test]
    fn impossible_arguments_are_refused() {
        Device::reference().scope(|| {
            let x = Tensor::zeros(&[3, 4]);
            assert!(x.try_glu(0).is_err());
            assert!(x.try_glu(2).is_err());
            assert!(Tensor::scalar(1.0).try_glu(0).is_err());
            assert!(x.try_celu(0.0).is_err());
            assert!(x.try_softshrink(-1.0).is_err());
            assert!(x.try_rrelu(0.5, 0.25, true).is_err());
            assert!(Tensor::from_slice(&[1, 2], &[2]).try_selu().is_err());
        });
    }
}
