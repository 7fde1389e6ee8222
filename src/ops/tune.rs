//! Which kernel of a family serves, measured: the other half of [`Device::set_autotune`].

use std::time::Duration;

use smallvec::smallvec;
use web_time::Instant;

use super::{Outputs, Run};
use crate::Result;
use crate::dtype::HostData;
use crate::engine::{Device, profile, recording, shadow, tuner};
use crate::tensor::Tensor;

/// How much faster than the usual kernel another one must be, so that a choice is no accident.
const MARGIN: f64 = 0.95;

/// Time that a round takes at least, so that waiting for the device hardly counts.
const ROUND: Duration = Duration::from_millis(2);

/// Rounds of each kernel, the fastest of which counts.
const ROUNDS: usize = 5;

/// Computations of a round at most.
const MOST: u32 = 32;

impl Device {
    /// Whether kernels are chosen by measuring them: with `true`, the first matrix product, convolution, reduction,
    /// softmax, normalisation, recurrent layer, sort or scattered sum of each kind (sizes to the next power of two, and how
    /// the operands lie) runs all kernels that can do it, some times each, and the fastest serves from then on. It is what
    /// `torch.backends.cudnn.benchmark` is in PyTorch, and off at first.
    ///
    /// Choices are kept for the adapter, the driver and the version of this crate in the user's cache folder, or below the
    /// folder that the environment variable `LUMIGRAD_CACHE` names (empty, they are not), and read by the next process. A
    /// file that is damaged is done without.
    ///
    /// Kernels of one family add in different orders, so results depend on the choices in their last bits: a run on another
    /// machine, or the first one on this, may differ from a later one. With the choices kept, the same seed gives the same
    /// bits again. A step that is [captured](Device::capture) is not measured; run it once before. What
    /// [`Device::force_choice`] fixes stays as it is, and a reference device has nothing to choose.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// Device::current().set_autotune(true);
    /// # Device::current().set_autotune(false);
    /// ```
    pub fn set_autotune(&self, on: bool) {
        self.switch_autotune(on, super::FAMILIES);
    }
}

/// The kernels of a family that serve a computation.
pub(crate) struct Choice {
    family: &'static str,
    /// The member that was measured to be the fastest, `None` for the usual one; nothing where nobody asked for measuring.
    measured: Option<Option<&'static str>>,
}

impl Choice {
    /// Runs `body` with these kernels.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        match self.measured {
            Some(option) => tuner::with_choice(self.family, option, body),
            None => body(),
        }
    }
}

/// The kernels of a family that were measured to be the fastest for such computations. Where nothing was measured yet, it is
/// now: `trial` runs the computation on memory of its own, as often as it is called, and gives what it has written.
pub(crate) fn fastest(
    run: &mut Run<'_>,
    (family, members): (&'static str, &'static [&'static str]),
    key: impl FnOnce() -> tuner::Key,
    mut trial: impl FnMut(&mut Run<'_>) -> Result<Outputs>,
) -> Result<Choice> {
    let device = run.device();
    if !device.is_autotuning() || !device.is_free_to_choose(family) {
        return Ok(Choice { family, measured: None });
    }
    let key = key();
    let option = match device.tuner().find(family, &key) {
        Some(option) => option,
        None if cannot_measure(device) => None,
        None => {
            // What went wrong before is not a kernel's failure here.
            device.synchronize()?;
            let option = measure(device, family, members, &mut trial);
            log::info!("{family} {key:?}: {}", option.unwrap_or("the usual kernel"));
            device.tuner().keep(family, key, option);
            option
        }
    };
    Ok(Choice { family, measured: Some(option) })
}

/// Runs `body`, which writes all of `output`, with the kernel that [`fastest`] finds.
pub(crate) fn with_fastest(
    run: &mut Run<'_>,
    family: (&'static str, &'static [&'static str]),
    key: impl FnOnce() -> tuner::Key,
    output: &Tensor,
    mut body: impl FnMut(&mut Run<'_>, &Tensor) -> Result<()>,
) -> Result<()> {
    let choice = fastest(run, family, key, |run| {
        let scratch = run.output(output.dtype(), output.shape());
        body(run, &scratch)?;
        Ok(smallvec![scratch])
    })?;
    choice.run(|| body(run, output))
}

/// A step that is recorded has to be the same each time, and what is compared or profiled is what the program asks for.
fn cannot_measure(device: &Device) -> bool {
    recording::is_capturing() || shadow::is_comparing() || device.is_shadow() || profile::is_on()
}

/// The member of a family that is clearly faster than the usual one, if any is. One that fails is none, and is told of.
fn measure(
    device: &Device,
    family: &'static str,
    members: &'static [&'static str],
    trial: &mut impl FnMut(&mut Run<'_>) -> Result<Outputs>,
) -> Option<&'static str> {
    let mut time = |option: Option<&'static str>| {
        let time = tuner::with_choice(family, option, || seconds(device, trial));
        let name = option.unwrap_or("the usual kernel");
        time.inspect_err(|error| log::warn!("{family}, measuring {name}: {error}")).ok()
    };
    // Before and after the others, so that whatever was slow at the beginning does not tell against it.
    let mut usual = time(None).unwrap_or(f64::INFINITY);
    let others: Vec<_> = members.iter().filter_map(|option| Some((*option, time(Some(*option))?))).collect();
    usual = usual.min(time(None).unwrap_or(f64::INFINITY));
    let best = others.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let (option, _) = best.filter(|(_, seconds)| *seconds < MARGIN * usual)?;
    match agree(device, family, option, trial) {
        Ok(true) => Some(option),
        Ok(false) => {
            log::warn!(
                "{family}: {option} is the fastest, and computes something else here; `lumigrad doctor` says more"
            );
            None
        }
        Err(error) => {
            log::warn!("{family}, checking {option}: {error}");
            None
        }
    }
}

/// Whether a member of a family computes what the usual kernel does, so far that another order of sums explains the rest:
/// the fastest may be one that a driver makes stop too early.
fn agree(
    device: &Device,
    family: &'static str,
    option: &'static str,
    trial: &mut impl FnMut(&mut Run<'_>) -> Result<Outputs>,
) -> Result<bool> {
    let mut results = |option| {
        let mut run = Run::new(device);
        let made = tuner::with_choice(family, option, || trial(&mut run))?;
        run.failure().cloned().map_or(Ok(()), Err)?;
        // A bad index is for the program's next read to report.
        made.iter().map(Tensor::peek).collect::<Result<Vec<_>>>()
    };
    // A usual kernel that can't run has nothing to say.
    let Ok(usual) = results(None) else { return Ok(true) };
    Ok(are_close(&usual, &results(Some(option))?))
}

/// What rounding leaves of a sum of numbers whose size is 1, however they cancel.
const ROUNDING: f64 = 1e-5;

/// Whether two kernels have made the same, but for the order of their sums. Means of what is centred are nothing but such
/// differences, so an output beside larger ones may also differ by what rounding leaves of those.
fn are_close(usual: &[HostData], other: &[HostData]) -> bool {
    let share = |data: &HostData| match data {
        HostData::F32(_) => 1e-3,
        HostData::F16(_) | HostData::BF16(_) => 2e-2,
        HostData::I32(_) | HostData::U32(_) => 0.0,
    };
    let largest_of = |data: &HostData| {
        let sizes = (0..data.len()).map(|i| data.get_f64(i).abs()).filter(|x| x.is_finite());
        sizes.fold(0.0, f64::max)
    };
    let is_float = |data: &&HostData| share(data) > 0.0;
    let left = ROUNDING * usual.iter().filter(is_float).map(largest_of).fold(0.0, f64::max);
    usual.iter().zip(other).all(|(usual, other)| {
        let most = if is_float(&usual) { (share(usual) * largest_of(usual)).max(left) } else { 0.0 };
        let mut pairs = (0..usual.len()).map(|i| (usual.get_f64(i), other.get_f64(i)));
        pairs.all(|(a, b)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= most)
    })
}

/// Seconds of one computation.
fn seconds(device: &Device, trial: &mut impl FnMut(&mut Run<'_>) -> Result<Outputs>) -> Result<f64> {
    let mut run = Run::new(device);
    let mut round = |calls: u32| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..calls {
            trial(&mut run)?;
            run.failure().cloned().map_or(Ok(()), Err)?;
        }
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(calls))
    };
    // The first one compiles.
    round(1)?;
    let once = round(1)?;
    let calls = (ROUND.as_secs_f64() / once.max(1e-9)).ceil().clamp(1.0, f64::from(MOST)) as u32;
    (0..ROUNDS).try_fold(f64::INFINITY, |least, _| Ok(round(calls)?.min(least)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn another_order_of_sums_is_close_and_a_part_of_them_is_not() {
        let usual = [1.0, -300.0, f64::NAN, f64::INFINITY, 0.0];
        let close = |dtype, other: [f64; 5]| {
            are_close(&[HostData::floats(dtype, usual.to_vec())], &[HostData::floats(dtype, other.to_vec())])
        };
        assert!(close(DType::F32, [1.1, -300.2, f64::NAN, f64::INFINITY, -0.1]));
        assert!(!close(DType::F32, [1.0, -290.0, f64::NAN, f64::INFINITY, 0.0]));
        assert!(close(DType::F16, [1.0, -295.0, f64::NAN, f64::INFINITY, 0.0]));
        assert!(!close(DType::F16, [1.0, -300.0, f64::NAN, 65504.0, 0.0]));
        assert!(!close(DType::F16, [f64::NAN, -300.0, f64::NAN, f64::INFINITY, 0.0]));
    }

    #[test]
    fn integers_are_the_same_or_wrong() {
        let close = |a: &[i32], b: &[i32]| are_close(&[HostData::I32(a.to_vec())], &[HostData::I32(b.to_vec())]);
        assert!(close(&[1, 100_000], &[1, 100_000]));
        assert!(!close(&[1, 100_000], &[2, 100_000]));
    }

    #[test]
    fn an_output_beside_larger_ones_may_differ_by_their_rounding() {
        let floats = |values: [f64; 2]| HostData::floats(DType::F32, values.to_vec());
        let close = |small: [f64; 2]| {
            are_close(&[floats([300.0, -1.0]), floats([0.001, 0.0])], &[floats([300.0, -1.0]), floats(small)])
        };
        assert!(close([-0.001, 0.002]));
        assert!(!close([0.001, 0.1]));
        let beside_whole = [HostData::I32(vec![1_000_000]), floats([0.001, 0.0])];
        assert!(!are_close(&beside_whole, &[HostData::I32(vec![1_000_000]), floats([0.0011, 0.0])]));
    }

    #[test]
    fn the_means_of_what_is_centred_are_close_whatever_is_left_of_them() {
        let Some(device) = crate::engine::gpu_if_any() else { return };
        let x = Tensor::uniform_on(&[40, 3001], -1.0, 1.0, &device);
        let x = &x - &x.mean_dims(&[1], true);
        let agreed = agree(&device, "reduce", "by_group", &mut |_| {
            let (var, mean) = x.try_var_mean(&[1], 1, false)?;
            Ok(smallvec![var, mean])
        });
        assert!(agreed.unwrap());
    }

    #[test]
    fn a_comparison_leaves_bad_indices_to_the_program() {
        let Some(device) = crate::engine::gpu_if_any() else { return };
        let ones = |shape: &[usize]| Tensor::full_on(shape, 1.0, DType::F32, &device);
        let index = Tensor::from_slice_on(&[9i32], &[1], &device);
        let sum = ones(&[4]).index_add(0, &index, &ones(&[1]), 1.0);
        let agreed = agree(&device, "matmul", "tiled", &mut |run| {
            let made = run.output(DType::F32, &[4]);
            crate::ops::copy_into(&made, &ones(&[4]))?;
            Ok(smallvec![made])
        });
        assert!(agreed.unwrap());
        assert!(matches!(sum.to_vec::<f32>(), Err(crate::Error::Index { .. })));
    }
}
