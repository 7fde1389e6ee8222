//! Random tensors, made on the device by Philox: the same seed gives the same numbers on every device.
//!
//! Integers and uniforms are equal to the bit, normals within 4 ulp. Salmon, Moraes, Dror and Shaw, "Parallel random
//! numbers: as easy as 1, 2, 3" (2011).

use smallvec::smallvec;

use super::{Attrs, Call, Operation, Outputs, apply_on, cases, methods, single};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Device, Grid, HostCall, Item, Kernel, Params, ParamsLayout, RandomState, Variant};
use crate::random::{normal2, philox, uniform01};
use crate::tensor::Tensor;
use crate::tensor::shape::checked_numel;
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/random/random.wgsl`.
    pub struct RandomParams {
        n: u32,
        result_offset: u32,
        counter: [u32; 2],
        seed: [u32; 2],
        a: u32,
        b: u32,
    }
}

const FLOATS: &[Variant] = &[Variant::new("", &[Item::Alias("elem", "f32")])];
const INTEGERS: &[Variant] = &[Variant::new("", &[Item::Alias("elem", "i32")])];

macro_rules! random_kernel {
    ($name:literal, $variants:expr, $twin:expr, $bound:expr) => {
        Kernel {
            name: concat!("random.", $name),
            source: &[
                include_str!("../../shaders/random/random.wgsl"),
                include_str!(concat!("../../shaders/random/", $name, ".wgsl")),
            ],
            entry: "main",
            bindings: &[Binding::Write("y")],
            params: ParamsLayout::of::<RandomParams>(),
            variants: $variants,
            grid,
            reference: $twin,
            bound: |_| $bound,
        }
    };
}

static UNIFORM: Kernel = random_kernel!("uniform", FLOATS, uniform_twin, Bound::Exact);
// Four ulp of the standard normal, and the rounding of product and sum, which a large mean dominates.
static NORMAL: Kernel = random_kernel!(
    "normal",
    FLOATS,
    |c| normal_twin(c, false),
    Bound::Scaled { ulps: 5.0, magnitude: |c| normal_twin(c, true) }
);
static INTEGER: Kernel = random_kernel!("integers", INTEGERS, integer_twin, Bound::Exact);

fn grid(params: &Params<'_>) -> Grid {
    let p: &RandomParams = params.get();
    Grid::elements(p.n.div_ceil(4)).work(u64::from(p.n) * 50)
}

impl RandomParams {
    fn new(state: RandomState, y: &Tensor, a: u32, b: u32) -> Self {
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        RandomParams {
            n: y.numel() as u32,
            result_offset: y.offset() as u32,
            counter: halves(state.counter),
            seed: halves(state.seed),
            a,
            b,
        }
    }

    /// The random words of each group of four elements, and where these lie.
    fn blocks(&self) -> impl Iterator<Item = (std::ops::Range<usize>, [u32; 4])> + '_ {
        (0..self.n.div_ceil(4)).map(|id| {
            let first = (self.result_offset + 4 * id) as usize;
            let len = (self.n - 4 * id).min(4) as usize;
            (first..first + len, philox([id, 0, self.counter[0], self.counter[1]], self.seed))
        })
    }
}

fn uniform_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &RandomParams = call.params();
    let (low, range) = (f32::from_bits(p.a), f32::from_bits(p.b));
    let mut y = call.floats_mut(0);
    for (places, words) in p.blocks() {
        for (at, word) in places.zip(words) {
            // In f32, as the shader: the numbers are part of the promise.
            let value = low + uniform01(word) as f32 * range;
            y[at] = f64::from(if value >= low + range { low } else { value });
        }
    }
    Ok(())
}

fn normal_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &RandomParams = call.params();
    let (mean, std) = (f64::from(f32::from_bits(p.a)), f64::from(f32::from_bits(p.b)));
    let mut y = call.floats_mut(0);
    for (places, [a, b, c, d]) in p.blocks() {
        let (first, second) = (normal2(a, b), normal2(c, d));
        for (at, z) in places.zip([first.0, first.1, second.0, second.1]) {
            y[at] = if magnitude { mean.abs() + (std * z).abs() } else { mean + std * z };
        }
    }
    Ok(())
}

fn integer_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &RandomParams = call.params();
    let mut y = call.ints_mut(0);
    for (places, words) in p.blocks() {
        for (at, word) in places.zip(words) {
            // Of 2³² only the lower half is in the params.
            let range = if p.b == 0 { 1 << 32 } else { u64::from(p.b) };
            let step = (u64::from(word) * range) >> 32;
            y[at] = (p.a as i32).wrapping_add(step as i32);
        }
    }
    Ok(())
}

fn forward(call: &mut Call<'_>, kernel: &'static Kernel, dtype: DType, a: u32, b: u32) -> Result<Outputs> {
    let shape = call.attrs().get_sizes("size");
    let &[seed, counter] = call.attrs().get_ints("state") else { unreachable!("a state has two numbers") };
    let y = call.output(dtype, &shape);
    let state = RandomState { seed: seed as u64, counter: counter as u64 };
    call.dispatch(kernel, 0, &[&y], &RandomParams::new(state, &y, a, b));
    Ok(smallvec![y])
}

fn float_bits(call: &Call<'_>, name: &str) -> u32 {
    (call.attrs().get_float(name) as f32).to_bits()
}

/// The operation `uniform`.
pub(crate) static RAND: Operation = Operation {
    name: "uniform",
    kernels: &[&UNIFORM],
    forward: |call| {
        let (low, high) = (call.attrs().get_float("low") as f32, call.attrs().get_float("high") as f32);
        forward(call, &UNIFORM, DType::F32, low.to_bits(), (high - low).to_bits())
    },
    vjp: None,
    cases: || cases_of(|attrs| attrs.float("low", -1.5).float("high", 3.0)),
};

/// The operation `normal`.
pub(crate) static RANDN: Operation = Operation {
    name: "normal",
    kernels: &[&NORMAL],
    forward: |call| {
        let (mean, std) = (float_bits(call, "mean"), float_bits(call, "std"));
        forward(call, &NORMAL, DType::F32, mean, std)
    },
    vjp: None,
    cases: || cases_of(|attrs| attrs.float("mean", 0.0).float("std", 1.0)),
};

/// The operation `randint`.
pub(crate) static RANDINT: Operation = Operation {
    name: "randint",
    kernels: &[&INTEGER],
    forward: |call| {
        let (low, high) = (call.attrs().get_int("low"), call.attrs().get_int("high"));
        forward(call, &INTEGER, DType::I32, low as i32 as u32, (high - low) as u32)
    },
    vjp: None,
    cases: || {
        let mut list = cases_of(|attrs| attrs.int("low", -7).int("high", 1000));
        let widest = cases_of(|attrs| attrs.int("low", i64::from(i32::MIN)).int("high", i64::from(i32::MAX) + 1));
        list.extend(widest.into_iter().take(1).map(|case| cases::Case { name: "all of i32".into(), ..case }));
        list
    },
};

fn cases_of(with: fn(Attrs) -> Attrs) -> Vec<cases::Case> {
    let case = |name: &str, size: &[usize]| {
        cases::Case::new(name, vec![]).attrs(with(Attrs::new().sizes("size", size).ints("state", [12345, 1 << 33])))
    };
    vec![case("typical", &[3, 5]), case("one", &[]), case("empty", &[0]), case("large", &[1001, 67])]
}

/// Numbers evenly spread over `low..high`.
pub(crate) fn uniform(shape: &[usize], low: f64, high: f64, device: &Device) -> Result<Tensor> {
    if !(low <= high && (high - low).is_finite()) {
        let detail = format!("the range from {low} to {high} is empty or not finite");
        return Err(Error::argument("uniform", detail));
    }
    draw(&RAND, "uniform", shape, device, |attrs| attrs.float("low", low).float("high", high))
}

/// Numbers evenly spread over `[0, 1)` in a type. Halves are those with a fixed step, as PyTorch's: rounding others to the
/// nearest could give 1.
pub(crate) fn uniform_of(dtype: DType, shape: &[usize], device: &Device) -> Result<Tensor> {
    let x = uniform(shape, 0.0, 1.0, device)?;
    let steps = match dtype {
        DType::F16 => 2048.0,
        DType::BF16 => 256.0,
        _ => return Ok(x),
    };
    x.try_mul_scalar(steps)?.try_floor()?.try_mul_scalar(1.0 / steps)?.try_to_dtype(dtype)
}

/// Normally distributed numbers.
pub(crate) fn normal(shape: &[usize], mean: f64, std: f64, device: &Device) -> Result<Tensor> {
    if std.is_nan() || std < 0.0 {
        return Err(Error::argument("normal", format!("the standard deviation must not be negative, it is {std}")));
    }
    draw(&RANDN, "normal", shape, device, |attrs| attrs.float("mean", mean).float("std", std))
}

/// Whole numbers from `low` up to, not including, `high`.
pub(crate) fn integers(shape: &[usize], low: i64, high: i64, device: &Device) -> Result<Tensor> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    if low >= high || !range.contains(&low) || !range.contains(&(high - 1)) {
        let detail = format!("the range {low}..{high} is empty or leaves i32");
        return Err(Error::argument("randint", detail));
    }
    draw(&RANDINT, "randint", shape, device, |attrs| attrs.int("low", low).int("high", high))
}

/// The numbers below `n` in random order: that of random words.
pub(crate) fn permutation(n: usize, device: &Device) -> Result<Tensor> {
    integers(&[n], i64::from(i32::MIN), i64::from(i32::MAX) + 1, device)?.try_argsort(0, false)
}

methods! {
    /// 1 with the probability that each element is, else 0, in the tensor's type. Below 0 and NaN give 0, above 1 gives 1.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let p = Tensor::from_slice(&[0.0f32, 1.0, 0.5], &[3]);
    /// let draws = p.bernoulli().to_vec::<f32>()?;
    /// assert!(draws[..2] == [0.0, 1.0] && [0.0, 1.0].contains(&draws[2]));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the tensor has no floats.
    pub fn bernoulli / try_bernoulli (&self) -> Tensor {
        if !self.dtype().is_float() {
            return Err(Error::dtype("bernoulli", format!("takes probabilities as floats, not {}", self.dtype())));
        }
        let draws = uniform(self.shape(), 0.0, 1.0, self.device())?;
        draws.try_lt(&self.detach().try_to_dtype(DType::F32)?)?.try_to_dtype(self.dtype())
    }
}

fn draw(
    operation: &'static Operation,
    op: &'static str,
    shape: &[usize],
    device: &Device,
    with: impl FnOnce(Attrs) -> Attrs,
) -> Result<Tensor> {
    checked_numel(op, shape)?;
    let state = device.next_random();
    let attrs = Attrs::new().sizes("size", shape).ints("state", [state.seed as i64, state.counter as i64]);
    single(apply_on(device, operation, &[], with(attrs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_random_and_a_range_may_be_all_of_i32() -> Result<()> {
        Device::reference().scope(|| {
            let order = Tensor::randperm(100).to_vec::<i32>()?;
            assert!(order.iter().zip(0..).filter(|(at, i)| **at == *i).count() < 10, "{order:?}");
            let all = Tensor::randint(i64::from(i32::MIN), i64::from(i32::MAX) + 1, &[100]).to_vec::<i32>()?;
            assert!(all.iter().any(|&i| i > 1 << 29) && all.iter().any(|&i| i < -(1 << 29)), "{all:?}");
            Ok(())
        })
    }

    #[test]
    fn ones_come_as_often_as_their_probability_says() -> Result<()> {
        Device::reference().scope(|| {
            let p = Tensor::from_slice(&[-1.0f32, 0.25, 2.0, f32::NAN], &[4]).expand([10_000, 4]);
            let shares = p.bernoulli().mean_dims(&[0], false).to_vec::<f32>()?;
            assert_eq!((shares[0], shares[2], shares[3]), (0.0, 1.0, 0.0));
            assert!((shares[1] - 0.25).abs() < 0.022, "{shares:?}");
            let halves = p.half().bernoulli();
            assert_eq!(halves.dtype(), DType::F16);
            Ok(())
        })
    }

    #[test]
    fn halves_stay_below_one() -> Result<()> {
        Device::reference().scope(|| {
            for (dtype, last) in [(DType::F16, 1.0 - 1.0 / 2048.0), (DType::BF16, 1.0 - 1.0 / 256.0)] {
                let x = Tensor::zeros(&[50_000]).to_dtype(dtype).rand_like();
                assert_eq!((x.dtype(), x.max().item::<f32>()?), (dtype, last));
                assert!((x.float().mean().item::<f32>()? - 0.5 * last).abs() < 0.01);
            }
            Ok(())
        })
    }
}
