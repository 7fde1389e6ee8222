//! Each element is dropped, becoming 0, with probability p, and what is kept is multiplied by `1 / (1 − p)`; the gradient is
//! dropped and multiplied in the same places.
//!
//! The places are drawn by Philox from the device's state, which is all that the gradient needs: it draws them again. They
//! are compared as words, so that every device drops the same. Srivastava et al., "Dropout" (2014).
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html>

use smallvec::smallvec;

use super::{Arrangement, ElementwiseParams, FLOAT};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout};
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply, cases, methods, single};
use crate::random::philox;
use crate::tensor::Tensor;
use crate::{Error, Result};

macro_rules! kernel {
    ($name:literal, $file:literal) => {
        Kernel {
            name: $name,
            source: &[include_str!(concat!("../../../shaders/elementwise/", $file, ".wgsl"))],
            entry: "main",
            bindings: &[Binding::Read("x"), Binding::Write("y")],
            params: ParamsLayout::of::<ElementwiseParams>(),
            variants: FLOAT,
            grid: |p| {
                let p: &ElementwiseParams = p.get();
                Grid::elements(p.n.div_ceil(4)).work(u64::from(p.n) * 30)
            },
            reference: twin,
            // One product, rounded on both sides.
            bound: |_| Bound::ulps(1.0),
        }
    };
}

static FORWARD: Kernel = kernel!("dropout.forward", "dropout");
static QUADS: Kernel = kernel!("dropout.forward_quads", "dropout_quads");

/// The kernel for these params.
fn kernel(params: &ElementwiseParams) -> &'static Kernel {
    if params.arrangement() == Arrangement::Quads { &QUADS } else { &FORWARD }
}

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let [counter_low, counter_high, seed_low, seed_high] = p.scalars;
    let [threshold, scale] = p.extra;
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for i in 0..p.n {
        let words = philox([i / 4, 0, counter_low, counter_high], [seed_low, seed_high]);
        let factor = if words[(i % 4) as usize] < threshold { 0.0 } else { f64::from(f32::from_bits(scale)) };
        y[p.result(i)] = x[p.operand(i, 0)] * factor;
    }
    Ok(())
}

/// The params of both directions.
fn params(attrs: &Attrs, x: &Tensor, y: &Tensor) -> Result<ElementwiseParams> {
    let (p, state) = (attrs.get_float("p"), attrs.get_ints("state"));
    let &[seed, counter] = state else { unreachable!("a state has two numbers") };
    let mut params = ElementwiseParams::new("dropout", x.shape(), &[x], y)?;
    params.scalars = [counter as u32, (counter >> 32) as u32, seed as u32, (seed >> 32) as u32];
    // At p = 1 the rare word that no threshold drops is multiplied by 0.
    let scale = if p == 1.0 { 0.0 } else { (1.0 / (1.0 - p)) as f32 };
    params.extra = [(p * 2f64.powi(32)).round() as u32, scale.to_bits()];
    Ok(params)
}

/// The operation `dropout`.
pub(crate) static DROPOUT: Operation =
    Operation { name: "dropout", kernels: &[&FORWARD, &QUADS], forward, vjp: Some(vjp), cases };

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, p) = (call.input(0), call.attrs().get_float("p"));
    check_probability("dropout", p)?;
    if !x.dtype().is_float() {
        return Err(Error::dtype(call.op(), format!("takes f32, not {}; convert with `.to_dtype(..)`", x.dtype())));
    }
    let y = call.output(DType::F32, x.shape());
    let params = params(call.attrs(), x, &y)?;
    call.dispatch(kernel(&params), 0, &[x, &y], &params);
    Ok(smallvec![y])
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (g, dx) = (v.gradient(), v.gradient_output(0));
    let params = params(v.attrs(), g, &dx)?;
    v.dispatch(kernel(&params), 0, &[g, &dx], &params);
    Ok(smallvec![Some(dx)])
}

/// A probability lies between 0 and 1.
pub(crate) fn check_probability(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::argument(op, format!("the probability must lie between 0 and 1, it is {p}")))
}

fn cases() -> Vec<cases::Case> {
    use cases::{Case, Input};
    let attrs = |p: f64| Attrs::new().float("p", p).ints("state", [12345, 1 << 33]);
    let mut list = cases::with_attrs(cases::unary(cases::ANY), attrs(0.3));
    for p in [0.0, 0.9, 1.0] {
        list.push(Case::new(format!("p {p}"), vec![Input::floats(&[5, 7])]).attrs(attrs(p)));
    }
    list.push(Case::new("negative", vec![Input::floats(&[3])]).attrs(attrs(-0.1)).fails());
    list.push(Case::new("integers", vec![Input::ints(&[3], 0, 9)]).attrs(attrs(0.5)).fails());
    list
}

methods! {
    /// While training, each element becomes 0 with probability `p`, and the others are divided by `1 − p`, so that the mean
    /// stays. Otherwise the tensor itself.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::ones(&[1000]);
    /// let y = x.dropout(0.5, true).to_vec::<f32>()?;
    /// assert!(y.iter().all(|&v| v == 0.0 || v == 2.0));
    /// assert_eq!(x.dropout(0.5, false).to_vec::<f32>()?, [1.0; 1000]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `p` does not lie between 0 and 1.
    pub fn dropout / try_dropout (&self, p: f64, training: bool) -> Tensor {
        check_probability("dropout", p)?;
        if !training || p == 0.0 {
            return Ok(self.clone());
        }
        let state = self.device().next_random();
        let attrs = Attrs::new().float("p", p).ints("state", [state.seed as i64, state.counter as i64]);
        single(apply(&DROPOUT, &[self], attrs))
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Device;
    use crate::tensor::Tensor;

    #[test]
    fn the_share_that_is_dropped_is_p_and_every_call_drops_others() {
        Device::reference().scope(|| {
            let x = Tensor::ones(&[100, 100]);
            let draw = || x.dropout(0.3, true).to_vec::<f32>().unwrap();
            let (first, second) = (draw(), draw());
            let dropped = first.iter().filter(|&&v| v == 0.0).count();
            // Five standard deviations of 10,000 draws.
            assert!(dropped.abs_diff(3000) < 230, "{dropped} of 10000");
            assert!(first.iter().all(|&v| v == 0.0 || v == 1.0 / 0.7));
            assert_ne!(first, second);
        });
    }

    #[test]
    fn p_one_drops_everything_and_p_zero_nothing() {
        Device::reference().scope(|| {
            let x = Tensor::ones(&[1000]);
            assert!(x.dropout(1.0, true).to_vec::<f32>().unwrap().iter().all(|&v| v == 0.0));
            assert_eq!(x.dropout(0.0, true).to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
            assert!(x.try_dropout(1.5, false).is_err());
        });
    }
}
