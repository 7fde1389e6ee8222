//! Class numbers drawn by weights: class c of a row with the probability `w_c / Σ w`.
//!
//! Independent draws invert the running sum, whose additions are rounded in one fixed order: the same seed draws the same
//! classes on every device. Draws without replacement are the largest of `log w − log e` with exponential e, one a class
//! (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
//! <https://pytorch.org/docs/stable/generated/torch.multinomial.html>

use smallvec::smallvec;

use super::{Attrs, Call, Operation, Outputs, apply, cases, methods, random, single};
use crate::dtype::DType;
use crate::engine::fault::{Fault, site_of};
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout, Variant, WORKGROUP};
use crate::random::{philox, uniform01};
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "multinomial";

/// Two loops over a thread's share stay below the iterations that lavapipe runs.
const MOST_CLASSES: usize = 1 << 20;

params! {
    /// Twin of `Params` in `shaders/random/multinomial.wgsl`.
    pub struct MultinomialParams {
        counter: [u32; 2],
        seed: [u32; 2],
        rows: u32,
        classes: u32,
        samples: u32,
        x_offset: u32,
        result_offset: u32,
        site: u32,
        padding: [u32; 2],
    }
}

static DRAWS: Kernel = Kernel {
    name: "multinomial.draws",
    source: &[include_str!("../../shaders/random/multinomial.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y"), Binding::Faults],
    params: ParamsLayout::of::<MultinomialParams>(),
    variants: Variant::ONLY,
    grid: |p| {
        let p: &MultinomialParams = p.get();
        let draws = u64::from(p.rows) * u64::from(p.samples);
        Grid::groups(draws).work(draws * (u64::from(p.classes) * 4 + u64::from(WORKGROUP) * 300))
    },
    reference: twin,
    // The sums are rounded alike.
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &MultinomialParams = call.params();
    let (x, mut y) = (call.floats(0), call.ints_mut(1));
    for draw in 0..p.rows * p.samples {
        let (row, classes) = (draw / p.samples, p.classes as usize);
        let weights: Vec<f32> = (0..p.classes).map(|c| x[(p.x_offset + row * p.classes + c) as usize] as f32).collect();
        let word = philox([draw, 0, p.counter[0], p.counter[1]], p.seed)[0];
        let share = classes.div_ceil(WORKGROUP as usize);
        let Some(class) = drawn(&weights, share, uniform01(word) as f32) else {
            return Err(call.fault(p.site, i64::from(row), 0));
        };
        y[(p.result_offset + draw) as usize] = class as i32;
    }
    Ok(())
}

/// The first class whose running sum exceeds `uniform` times the whole. In f32 and by shares, as the shader: what is drawn is
/// part of the promise. `None` where the weights are no distribution.
fn drawn(weights: &[f32], share: usize, uniform: f32) -> Option<usize> {
    let counts = |w: f32| w >= f32::MIN_POSITIVE;
    if weights.iter().any(|&w| !w.is_finite() || w <= -f32::MIN_POSITIVE) {
        return None;
    }
    let total = |share: &[f32]| share.iter().filter(|&&w| counts(w)).fold(0.0, |sum: f32, w| sum + w);
    let sums: Vec<f32> = weights.chunks(share).map(total).collect();
    let whole = sums.iter().fold(0.0, |sum: f32, s| sum + s);
    if !whole.is_finite() || !counts(whole) {
        return None;
    }
    let part = uniform * whole;
    let first_above = |values: &[f32], mut running: f32| {
        let mut last = (0, running);
        for (i, &value) in values.iter().enumerate().filter(|(_, v)| counts(**v)) {
            last = (i, running);
            running += value;
            if running > part {
                break;
            }
        }
        last
    };
    let (own, before) = first_above(&sums, 0.0);
    let values = weights.chunks(share).nth(own)?;
    Some(own * share + first_above(values, before).0)
}

/// The operation `multinomial`: independent draws from each row of `[C]` or `[N, C]`.
pub(crate) static MULTINOMIAL: Operation = Operation { name: OP, kernels: &[&DRAWS], forward, vjp: None, cases };

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let samples = call.attrs().get_int("num_samples") as usize;
    let &[seed, counter] = call.attrs().get_ints("state") else { unreachable!("a state has two numbers") };
    check(call.input(0), samples)?;
    let x = call.input(0).try_to_dtype(DType::F32)?.try_contiguous()?;
    let (&classes, batch) = x.shape().split_last().expect("it has a dim");
    let mut shape = batch.to_vec();
    shape.push(samples);
    let y = call.output(DType::I32, &shape);
    let params = MultinomialParams {
        counter: [counter as u32, (counter >> 32) as u32],
        seed: [seed as u32, (seed >> 32) as u32],
        rows: batch.iter().product::<usize>() as u32,
        classes: classes as u32,
        samples: samples as u32,
        x_offset: x.offset() as u32,
        result_offset: y.offset() as u32,
        site: site_of(Fault::Weights, OP),
        padding: [0; 2],
    };
    call.dispatch(&DRAWS, 0, &[&x, &y], &params);
    Ok(smallvec![y])
}

fn check(x: &Tensor, samples: usize) -> Result<()> {
    if !x.dtype().is_float() {
        let detail = format!("weights are floats, not {}; convert with `.to_dtype(..)`", x.dtype());
        return Err(Error::dtype(OP, detail));
    }
    if !matches!(x.dim(), 1 | 2) {
        let detail = format!("needs weights of shape [C] or [N, C]; the shape is {:?}", x.shape());
        return Err(Error::shape(OP, detail));
    }
    let classes = x.shape()[x.dim() - 1];
    if samples == 0 || !(1..=MOST_CLASSES).contains(&classes) {
        let detail = format!("draws at least one of 1 to {MOST_CLASSES} classes, not {samples} of {classes}");
        return Err(Error::argument(OP, detail));
    }
    Ok(())
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = |samples: i64| Attrs::new().int("num_samples", samples).ints("state", [12345, 1 << 33]);
    let weights = |shape: &[usize]| Input::floats(shape).fill(Fill::Uniform(0.0, 3.0));
    let case = |name: &str, x: Input, samples| Case::new(name, vec![x]).attrs(attrs(samples)).no_gradcheck();
    let sparse = Fill::Values(&[0.0, 0.0, 1e-30, 0.0, 2e30, 1e-42, -0.0]);
    vec![
        case("typical", weights(&[5, 7]), 3),
        case("one row", weights(&[9]), 20),
        case("one class", weights(&[3, 1]), 2),
        case("odd", weights(&[3, 65]), 5),
        case("vocabulary", weights(&[2, 5003]), 9),
        case("sparse", weights(&[4, 70]).fill(sparse), 11),
        case("halves", weights(&[4, 6]).dtype(DType::F16), 4),
        case("transposed", weights(&[6, 5]).arranged(Arrangement::Transposed), 4),
        case("strided", weights(&[6, 5]).arranged(Arrangement::Strided), 4),
        case("expanded", weights(&[4, 6]).arranged(Arrangement::Expanded), 4),
        case("large", weights(&[997, 3]), 67),
        case("empty", weights(&[0, 3]), 2),
        case("integers", Input::ints(&[3], 1, 4), 1).fails(),
        case("0-d", weights(&[]), 1).fails(),
        case("3-d", weights(&[2, 2, 2]), 1).fails(),
        case("no classes", weights(&[2, 0]), 1).fails(),
        case("no samples", weights(&[3]), 0).fails(),
    ]
}

methods! {
    /// The numbers of classes drawn by these weights `[C]` or `[N, C]`: `num_samples` from each row, as i32 of shape
    /// `[num_samples]` or `[N, num_samples]`. The weights need not add up to 1.
    ///
    /// With `replacement` the draws are independent; without it no class comes twice, and classes of weight 0 come last.
    ///
    /// A row with a weight that is negative, infinite or NaN, or with nothing but zeros, is found on the device: nothing is
    /// updated from then on, and the next read returns [`Error::Weights`](crate::Error::Weights).
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let weights = Tensor::from_slice(&[0.0f32, 10.0, 3.0, 0.0], &[4]);
    /// let mut both = weights.multinomial(2, false).to_vec::<i32>()?;
    /// both.sort();
    /// assert_eq!(both, [1, 2]);
    ///
    /// // The next token, from the 2 likeliest, at temperature 0.8.
    /// let logits = Tensor::from_slice(&[2.0f32, -1.0, 0.5, 1.0], &[1, 4]);
    /// let (values, tokens) = (logits / 0.8).topk(2, -1, true);
    /// let token = tokens.gather(1, &values.softmax(-1).multinomial(1, false));
    /// assert!([0, 3].contains(&token.item::<i32>()?));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the weights are no floats in one or two dims, nothing or more than 1,048,576 classes is to be drawn from, or more
    /// classes are asked for than there are, without replacement.
    pub fn multinomial / try_multinomial (&self, num_samples: usize, replacement: bool) -> Tensor {
        check(self, num_samples)?;
        let x = self.detach();
        let draws = |samples: usize| {
            let state = x.device().next_random();
            let attrs = Attrs::new().int("num_samples", samples as i64);
            single(apply(&MULTINOMIAL, &[&x], attrs.ints("state", [state.seed as i64, state.counter as i64])))
        };
        if replacement || num_samples == 1 {
            return draws(num_samples);
        }
        let classes = x.size(-1);
        if num_samples > classes {
            let detail = format!("{num_samples} of {classes} classes can't be drawn without replacement");
            return Err(Error::argument(OP, detail));
        }
        // Finds rows that are no distribution.
        draws(1)?.healthy()?;
        // The uniform number is never 0, so that the exponential one is not either.
        let uniform = random::uniform(x.shape(), 2f64.powi(-25), 1.0, x.device())?;
        let exponential = uniform.try_neg()?.try_log1p()?.try_neg()?;
        // What is above 0 by less than devices hold is 0 in a draw, so what is below by as little is too.
        let weights = x.try_to_dtype(DType::F32)?.try_clamp_min(0.0)?;
        let keys = weights.try_log()?.try_sub(&exponential.try_log()?)?;
        Ok(keys.try_topk(num_samples, -1, true)?.1)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Device;
    use crate::tensor::Tensor;
    use crate::{Error, Result};

    /// How often each class was drawn.
    fn counts(draws: &[i32], classes: usize) -> Vec<f64> {
        (0..classes as i32).map(|c| draws.iter().filter(|&&d| d == c).count() as f64).collect()
    }

    #[test]
    fn classes_come_as_often_as_their_weights_say() -> Result<()> {
        Device::reference().scope(|| {
            let weights = [1.0f32, 0.0, 5.0, 2.0];
            let x = Tensor::from_slice(&weights, &[4]);
            let n = 20_000;
            let seen = counts(&x.multinomial(n, true).to_vec::<i32>()?, 4);
            for (count, weight) in seen.iter().zip(weights) {
                let share = f64::from(weight) / 8.0;
                // Five standard deviations.
                assert!((count - share * n as f64).abs() <= 5.0 * (share * n as f64).sqrt(), "{seen:?}");
            }
            Ok(())
        })
    }

    #[test]
    fn without_replacement_the_first_draw_goes_by_the_weights_too() -> Result<()> {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[6.0f32, 3.0, 1.0], &[3]).expand([5000, 3]);
            let both = x.multinomial(2, false).to_vec::<i32>()?;
            assert!(both.chunks(2).all(|pair| pair[0] != pair[1]));
            let firsts: Vec<i32> = both.chunks(2).map(|pair| pair[0]).collect();
            let seconds: Vec<i32> = both.chunks(2).map(|pair| pair[1]).collect();
            // P(second is 0) = 3/10 · 6/7 + 1/10 · 6/9.
            for (draws, share) in [(firsts, 0.6), (seconds, 0.3 * 6.0 / 7.0 + 0.1 * 6.0 / 9.0)] {
                let seen = counts(&draws, 3)[0];
                assert!((seen - share * 5000.0).abs() < 5.0 * (share * 5000.0f64).sqrt(), "{seen}");
            }
            Ok(())
        })
    }

    #[test]
    fn a_weight_that_devices_hold_as_zero_is_not_drawn() -> Result<()> {
        Device::reference().scope(|| {
            let x = Tensor::from_slice(&[1.0f32, -1e-42, 2.0], &[3]);
            let mut both = x.multinomial(2, false).to_vec::<i32>()?;
            both.sort_unstable();
            assert_eq!(both, [0, 2]);
            Ok(())
        })
    }

    #[test]
    fn rows_that_are_no_distribution_are_named() {
        Device::reference().scope(|| {
            for bad in [-1.0, f32::NAN, f32::INFINITY, 0.0] {
                let x = Tensor::from_slice(&[1.0, 2.0, bad, 0.0], &[2, 2]);
                for replacement in [true, false] {
                    let error = x.try_multinomial(2, replacement).and_then(|y| y.to_vec::<i32>()).unwrap_err();
                    let text = error.to_string();
                    assert!(matches!(error, Error::Weights { row: 1, .. }), "{text}");
                    assert!(text.contains("multinomial") && text.contains("multinomial.rs"), "{text}");
                }
            }
        });
    }
}
