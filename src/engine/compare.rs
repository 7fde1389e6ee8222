//! Holding a kernel's two bodies against each other.

use super::host::run_copy;
use super::kernel::{Bound, Dispatch};
use crate::Result;
use crate::dtype::HostData;

/// ε of f32.
const EPSILON: f64 = f32::EPSILON as f64;

/// One output of one dispatch, compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The kernel.
    pub kernel: &'static str,
    /// The variant's label.
    pub variant: &'static str,
    /// The binding that was compared.
    pub binding: &'static str,
    /// Its position among the dispatch's outputs; each is a comparison of its own.
    pub output: usize,
    /// Elements compared, guard band included.
    pub elements: usize,
    /// The element that is furthest from the twin's, measured in its bound.
    pub worst: Option<Worst>,
    /// From recording to the end of the run, in nanoseconds.
    pub nanos: u64,
}

/// The worst element of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// Position in the buffer.
    pub index: usize,
    /// What the shader wrote.
    pub got: f64,
    /// What the twin wrote.
    pub want: f64,
    /// Their distance divided by what is allowed; over 1 is a failure. Infinite where a NaN or an infinity has no
    /// counterpart, or nothing but equality is allowed.
    pub ratio: f64,
    /// Whether the element lies behind the tensor's end.
    pub in_guard: bool,
}

impl Comparison {
    /// Whether every element is within its bound.
    pub fn passed(&self) -> bool {
        self.worst.is_none_or(|w| w.ratio <= 1.0)
    }
}

/// Runs the twin on the inputs of a dispatch and compares what the shader wrote.
///
/// `before` and `after` hold the operands' whole allocations.
pub(crate) fn check(
    dispatch: &Dispatch<'_>,
    before: Vec<HostData>,
    after: &[Option<HostData>],
) -> Result<Vec<Comparison>> {
    let &Dispatch { kernel, variant, params, .. } = dispatch;
    let bound = (kernel.bound)(&params);
    let magnitudes = match bound {
        Bound::Magnitude { .. } => {
            let absolute = before.iter().map(absolute).collect();
            Some(run_copy(kernel, kernel.reference, variant, absolute, params)?)
        }
        Bound::Scaled { magnitude, .. } => Some(run_copy(kernel, magnitude, variant, before.clone(), params)?),
        Bound::Exact | Bound::Relative { .. } => None,
    };
    let mut twin = run_copy(kernel, kernel.reference, variant, before, params)?;
    twin.iter_mut().filter(|data| !is_half(data)).for_each(HostData::round);
    let operands = kernel.bindings.iter().filter(|b| b.is_operand()).enumerate();
    let mut comparisons = Vec::new();
    for (written, (operand, binding)) in operands.filter(|(_, b)| b.is_written()).enumerate() {
        let got = after[operand].as_ref().expect("what was written was read back");
        let scale = magnitudes.as_ref().map(|m| &m[written]);
        comparisons.push(Comparison {
            kernel: kernel.name,
            variant: kernel.variants[variant].label,
            binding: binding.name(),
            output: written,
            elements: got.len(),
            worst: worst(got, &twin[written], scale, bound, dispatch.operands[operand].len),
            nanos: 0,
        });
    }
    Ok(comparisons)
}

fn absolute(data: &HostData) -> HostData {
    match data {
        HostData::F32(v) => HostData::F32(v.iter().map(|x| x.abs()).collect()),
        HostData::F16(v) => HostData::F16(v.iter().map(|x| x.abs()).collect()),
        HostData::BF16(v) => HostData::BF16(v.iter().map(|x| x.abs()).collect()),
        other => other.clone(),
    }
}

fn worst(got: &HostData, want: &HostData, scale: Option<&HostData>, bound: Bound, len: usize) -> Option<Worst> {
    let mut worst: Option<Worst> = None;
    for index in 0..got.len() {
        let (g, w) = (got.get_f64(index), want.get_f64(index));
        let in_guard = index >= len;
        let bound = if matches!(got, HostData::I32(_) | HostData::U32(_)) { Bound::Exact } else { bound };
        // The last of an odd number of halves shares its word with a zero.
        let is_filling = is_half(got) && index == len && !len.is_multiple_of(2);
        let ratio = match in_guard {
            true if is_filling => {
                if g == 0.0 {
                    0.0
                } else {
                    f64::INFINITY
                }
            }
            // Bit by bit: what is there is a NaN, and what a kernel makes of memory behind the end is one too.
            true if g.to_bits() == w.to_bits() => 0.0,
            true => f64::INFINITY,
            false if is_half(got) => half_ratio(got, g, w, scale.map(|s| s.get_f64(index)), bound),
            false => ratio(g, w, scale.map(|s| s.get_f64(index)), bound),
        };
        // The first element counts even when it is exact, so that a table has something to show.
        if worst.is_none_or(|old| ratio > old.ratio) {
            worst = Some(Worst { index, got: g, want: w, ratio, in_guard });
        }
    }
    worst
}

fn is_half(data: &HostData) -> bool {
    matches!(data, HostData::F16(_) | HostData::BF16(_))
}

/// [`ratio`] for a half of `kind`: `got` is what a number within the bound of `want`, which is not rounded, may be
/// rounded to.
fn half_ratio(kind: &HostData, got: f64, want: f64, magnitude: Option<f64>, bound: Bound) -> f64 {
    let rounded = |x: f64| {
        let mut one = match kind {
            HostData::F16(_) => HostData::F16(vec![x]),
            _ => HostData::BF16(vec![x]),
        };
        one.round();
        one.get_f64(0)
    };
    let away = allowed(want, magnitude, bound).unwrap_or(0.0);
    let (low, high) = (rounded(want - away), rounded(want + away));
    let distance = ratio(got, rounded(want), magnitude, bound);
    // Two NaN are alike, and in no range.
    if (low..=high).contains(&got) || distance == 0.0 {
        return 0.0;
    }
    // Outside it is wrong, even where it is no further away than the bound and the rounding together.
    distance.max(1.0 + EPSILON)
}

/// How far `got` is from `want`, in units of what is allowed.
pub(crate) fn ratio(got: f64, want: f64, magnitude: Option<f64>, bound: Bound) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    if !got.is_finite() || !want.is_finite() {
        return f64::INFINITY;
    }
    allowed(want, magnitude, bound).map_or(f64::INFINITY, |allowed| (got - want).abs() / allowed)
}

/// The distance from `want` that is allowed, if any is.
fn allowed(want: f64, magnitude: Option<f64>, bound: Bound) -> Option<f64> {
    let allowed = match bound {
        Bound::Exact => return None,
        Bound::Relative { ulps, floor } => ulps * EPSILON * want.abs().max(floor),
        Bound::Magnitude { ulps } | Bound::Scaled { ulps, .. } => {
            ulps * EPSILON * magnitude.map_or(want.abs(), f64::abs)
        }
    };
    Some(allowed + f64::from(f32::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_mean_what_they_say() {
        assert_eq!(ratio(1.0, 1.0, None, Bound::Exact), 0.0);
        assert!(ratio(1.0 + EPSILON, 1.0, None, Bound::Exact).is_infinite());
        assert!(ratio(1.0 + EPSILON, 1.0, None, Bound::ulps(1.0)) <= 1.0);
        assert!(ratio(1.0 + 3.0 * EPSILON, 1.0, None, Bound::ulps(2.0)) > 1.0);
        assert!(ratio(EPSILON, 0.0, None, Bound::ulps(2.0)) > 1.0);
        assert!(ratio(EPSILON, 0.0, None, Bound::Relative { ulps: 2.0, floor: 1.0 }) <= 1.0);
        assert!(ratio(10.0 * EPSILON, 0.0, Some(20.0), Bound::Magnitude { ulps: 1.0 }) <= 1.0);
        assert!(ratio(1e-40, 0.0, None, Bound::ulps(1.0)) <= 1.0, "denormals may be flushed");
    }

    #[test]
    fn kinds_must_agree() {
        for (got, want) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, 3e38), (f64::INFINITY, f64::NEG_INFINITY)]
        {
            assert!(ratio(got, want, None, Bound::ulps(1e9)).is_infinite());
        }
        assert_eq!(ratio(f64::NAN, f64::NAN, None, Bound::Exact), 0.0);
    }

    #[test]
    fn a_write_behind_the_end_is_a_failure() {
        let w = worst(&HostData::F32(vec![1.0, 7.0]), &HostData::F32(vec![1.0, 7.0000001]), None, Bound::ulps(1e6), 1);
        assert!(w.unwrap().in_guard && w.unwrap().ratio.is_infinite());
        let nan = |payload: u32| HostData::F32(vec![f64::from(f32::from_bits(0x7fc0_0000 | payload))]);
        let ratio = |got: u32, want: u32| worst(&nan(got), &nan(want), None, Bound::Exact, 0).unwrap().ratio;
        assert_eq!(ratio(1, 1), 0.0);
        assert!(ratio(1, 2).is_infinite());
    }
}
