//! The scalar twins of the shared kernels, from the definitions. With `magnitude` each writes the scale of its own error.

use super::NormParams;
use crate::Result;
use crate::engine::HostCall;

const EPSILON: f64 = f32::EPSILON as f64;

impl NormParams {
    /// Where the elements of part `split` of a `k` lie.
    fn places(&self, k: u32, split: u32) -> impl Iterator<Item = usize> + Clone + '_ {
        let r = self.outer * self.inner;
        let first = split * self.part;
        let end = first.saturating_add(self.part).min(r);
        (first..end).map(move |j| ((j / self.inner * self.count + k) * self.inner + j % self.inner) as usize)
    }

    fn elements(&self) -> usize {
        self.outer as usize * self.count as usize * self.inner as usize
    }

    fn moments_at(&self, place: usize) -> usize {
        place / self.m_inner as usize % self.m_count as usize
    }

    fn weight_at(&self, place: usize) -> usize {
        place / self.a_inner as usize % self.a_count as usize
    }

    fn parts(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (splits, count) = (self.splits, self.count);
        (0..splits).flat_map(move |split| (0..count).map(move |k| (split, k)))
    }
}

/// Mean and sum of squared deviations of each part.
pub(super) fn moments(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (x, mut parts) = (call.floats(0), call.floats_mut(1));
    for (split, k) in p.parts() {
        let values = p.places(k, split).map(|i| x[p.x_offset as usize + i]);
        let n = values.clone().count() as f64;
        let mean = if p.centered == 1 { values.clone().sum::<f64>() / n } else { 0.0 };
        let size = values.clone().map(f64::abs).sum::<f64>() / n;
        // A deviation carries the rounding of the mean that it is taken from.
        let rounding = if magnitude { EPSILON * size * n.sqrt() } else { 0.0 };
        let squares = values.map(|v| ((v - mean).abs() + rounding).powi(2)).sum();
        let at = (split * p.count + k) as usize;
        parts[at] = if magnitude { size + mean.abs() } else { mean };
        parts[(p.splits * p.count) as usize + at] = squares;
    }
    Ok(())
}

/// Moments of a `k` from its parts: mean, sum of squared deviations, and the scales of the errors of both.
fn merged(p: &NormParams, made: &[f64], k: u32) -> [f64; 4] {
    let r = f64::from(p.outer * p.inner);
    let parts = (0..p.splits).map(|s| {
        let at = (s * p.count + k) as usize;
        let n = f64::from(p.part.min(p.outer * p.inner - s * p.part));
        (n, made[at], made[(p.splits * p.count) as usize + at])
    });
    let mean = parts.clone().map(|(n, m, _)| n * m).sum::<f64>() / r;
    let squares = parts.clone().map(|(n, m, squares)| squares + n * (m - mean).powi(2)).sum();
    let size = parts.clone().map(|(_, m, _)| m.abs()).fold(0.0, f64::max);
    // The mean is rounded before the deviations of the parts are taken from it.
    let moved =
        parts.map(|(n, m, squares)| squares + n * ((m - mean).abs() + EPSILON * size) * ((m - mean).abs() + size));
    [mean, squares, size, moved.sum()]
}

pub(super) fn merge(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (made, mut mean, mut spread) = (call.floats(0), call.floats_mut(1), call.floats_mut(2));
    for k in 0..p.count {
        (mean[k as usize], spread[k as usize]) = stored(p, merged(p, &made, k), magnitude);
    }
    Ok(())
}

/// Mean and reciprocal standard deviation, or (modes 2 and 3) variance and standard deviation.
fn stored(p: &NormParams, [mean, squares, mean_error, squares_error]: [f64; 4], magnitude: bool) -> (f64, f64) {
    let r = f64::from(p.outer * p.inner);
    if p.mode >= 2 {
        let divisor = f64::from(p.momentum);
        let (var, error) = (squares / divisor, squares_error / divisor);
        return match (p.mode, magnitude) {
            (2, false) => (mean, var),
            (2, true) => (mean_error, error),
            (_, false) => (mean, var.sqrt()),
            // A root moves by half of the relative error, near 0 by no more than the root of the error.
            (_, true) => (mean_error, var.sqrt() + (error / (2.0 * var.sqrt())).min((error / EPSILON).sqrt())),
        };
    }
    let var = squares / r + f64::from(p.eps);
    let reciprocal = 1.0 / var.sqrt();
    if magnitude { (mean_error, reciprocal * (1.0 + squares_error / r / var)) } else { (mean, reciprocal) }
}

pub(super) fn merge_running(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (made, mut mean, mut spread) = (call.floats(0), call.floats_mut(1), call.floats_mut(2));
    let (mut running_mean, mut running_var, mut batches) = (call.floats_mut(3), call.floats_mut(4), call.ints_mut(5));
    let seen = &mut batches[p.z_offset as usize];
    *seen += 1;
    let share = if p.mode == 1 { 1.0 / f64::from(*seen) } else { f64::from(p.momentum) };
    if p.outer * p.inner == 0 {
        return Ok(());
    }
    for k in 0..p.count {
        let moments = merged(p, &made, k);
        (mean[k as usize], spread[k as usize]) = stored(p, moments, magnitude);
        let degrees = f64::from(p.outer * p.inner) - 1.0;
        let [new_mean, squares, mean_error, squares_error] = moments;
        let (m, v) = (
            &mut running_mean[p.mean_offset as usize + k as usize],
            &mut running_var[p.spread_offset as usize + k as usize],
        );
        if magnitude {
            *m = m.abs() + mean_error;
            *v = v.abs() + (squares + squares_error) / degrees;
        } else {
            *m = (1.0 - share) * *m + share * new_mean;
            *v = (1.0 - share) * *v + share * (squares / degrees);
        }
    }
    Ok(())
}

/// What the kernels that visit every element know of one.
struct Element {
    distance: f64,
    reciprocal: f64,
    weight: f64,
}

/// `x` is binding `input`; mean, spread and weight are the bindings 1 to 3 everywhere.
fn element<'a>(call: &'a HostCall<'a>, input: usize) -> impl Fn(usize) -> Element + 'a {
    let p: &NormParams = call.params();
    let (x, mean, spread, weight) = (call.floats(input), call.floats(1), call.floats(2), call.floats(3));
    move |i| {
        let m = p.moments_at(i);
        let stored = spread[p.spread_offset as usize + m];
        let reciprocal = if p.from_variance == 1 { 1.0 / (stored + f64::from(p.eps)).sqrt() } else { stored };
        Element {
            distance: x[p.x_offset as usize + i] - mean[p.mean_offset as usize + m],
            reciprocal,
            weight: if p.has_weight == 1 { weight[p.weight_offset as usize + p.weight_at(i)] } else { 1.0 },
        }
    }
}

pub(super) fn apply(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (bias, mut y) = (call.floats(4), call.floats_mut(5));
    let element = element(call, 0);
    for i in 0..p.elements() {
        let e = element(i);
        let b = if p.has_bias == 1 { bias[p.bias_offset as usize + p.weight_at(i)] } else { 0.0 };
        let scaled = e.distance * e.reciprocal * e.weight;
        y[p.y_offset as usize + i] = if magnitude { scaled.abs() + b.abs() } else { scaled + b };
    }
    Ok(())
}

pub(super) fn input_gradient(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (g, sum_g, sum_gx, mut dx) = (call.floats(0), call.floats(5), call.floats(6), call.floats_mut(7));
    let element = element(call, 4);
    let share = f64::from(p.m_count) / p.elements() as f64;
    for i in 0..p.elements() {
        let (e, m) = (element(i), p.moments_at(i));
        let mut terms = [g[p.g_offset as usize + i], 0.0, 0.0];
        if p.mode != 1 {
            terms[0] *= e.weight;
        }
        if p.mode != 0 {
            terms[1] = if p.centered == 1 { -sum_g[p.y_offset as usize + m] * share } else { 0.0 };
            terms[2] = -sum_gx[p.z_offset as usize + m] * share * e.distance * e.reciprocal;
        }
        let factor = if p.mode == 1 { e.weight * e.reciprocal } else { e.reciprocal };
        let total = if magnitude { terms.map(f64::abs).iter().sum::<f64>() } else { terms.iter().sum() };
        dx[p.bias_offset as usize + i] = factor * total;
    }
    Ok(())
}

/// Sums of gradients, with the weight where it differs from element to element of a `k` with one mean, and of gradients
/// times normalised elements.
pub(super) fn sums(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (g, mut parts) = (call.floats(0), call.floats_mut(5));
    let element = element(call, 4);
    let size = |v: f64| if magnitude { v.abs() } else { v };
    let has_weights = call.kernel().variants[call.variant()].label == "rows";
    for (split, k) in p.parts() {
        let (mut plain, mut normalised) = (0.0, 0.0);
        for i in p.places(k, split) {
            let e = element(i);
            let v = g[p.g_offset as usize + i] * if has_weights { e.weight } else { 1.0 };
            plain += size(v);
            normalised += size(v * e.distance * e.reciprocal);
        }
        let at = (split * p.count + k) as usize;
        parts[at] = plain;
        parts[(p.splits * p.count) as usize + at] = normalised;
    }
    Ok(())
}

pub(super) fn merge_sums(call: &HostCall<'_>) -> Result<()> {
    let p: &NormParams = call.params();
    let (made, mut sums) = (call.floats(0), call.floats_mut(1));
    for k in 0..p.count {
        for (bit, half, offset) in [(1, 0, p.y_offset), (2, 1, p.z_offset)] {
            if p.mode & bit != 0 {
                let at = |s: u32| ((half * p.splits + s) * p.count + k) as usize;
                sums[(offset + k) as usize] = (0..p.splits).map(|s| made[at(s)]).sum();
            }
        }
    }
    Ok(())
}

/// A row normalised with its own moments, which are kept.
pub(super) fn row(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (x, weight, bias) = (call.floats(0), call.floats(1), call.floats(2));
    let (mut y, mut mean, mut spread) = (call.floats_mut(3), call.floats_mut(4), call.floats_mut(5));
    let n = f64::from(p.inner);
    for row in 0..p.count {
        let places = (row * p.inner) as usize..((row + 1) * p.inner) as usize;
        let values = places.clone().map(|i| x[p.x_offset as usize + i]);
        let middle = if p.centered == 1 { values.clone().sum::<f64>() / n } else { 0.0 };
        let squares: f64 = values.clone().map(|v| (v - middle).powi(2)).sum();
        let reciprocal = 1.0 / (squares / n + f64::from(p.eps)).sqrt();
        // The mean's error is that of numbers of the elements' size; the sum of squares has one for every addition.
        let size = if p.centered == 1 { values.clone().map(f64::abs).sum::<f64>() / n } else { 0.0 };
        let moved: f64 = values.map(|v| ((v - middle).abs() + EPSILON * size).powi(2)).sum();
        let of_root = 1.0 + n.sqrt() / 8.0 + (moved - squares) / EPSILON / n * reciprocal.powi(2);
        (mean[row as usize], spread[row as usize]) =
            if magnitude { (size + middle.abs(), reciprocal * of_root) } else { (middle, reciprocal) };
        for i in places {
            let distance = x[p.x_offset as usize + i] - middle;
            let w = if p.has_weight == 1 { weight[p.weight_offset as usize + p.weight_at(i)] } else { 1.0 };
            let b = if p.has_bias == 1 { bias[p.bias_offset as usize + p.weight_at(i)] } else { 0.0 };
            y[p.y_offset as usize + i] = if magnitude {
                (distance.abs() * of_root + size) * reciprocal * w.abs() + b.abs()
            } else {
                distance * reciprocal * w + b
            };
        }
    }
    Ok(())
}

/// The gradient of a row's elements, which share their moments.
pub(super) fn row_backward(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &NormParams = call.params();
    let (g, mut dx) = (call.floats(0), call.floats_mut(5));
    let element = element(call, 4);
    let n = f64::from(p.inner);
    let size = |v: f64| if magnitude { v.abs() } else { v };
    // A sum's error grows with its length.
    let grown = if magnitude { 1.0 + n.sqrt() / 8.0 } else { 1.0 };
    for row in 0..p.count {
        let places = (row * p.inner) as usize..((row + 1) * p.inner) as usize;
        let term = |i: usize| {
            let e = element(i);
            (size(g[p.g_offset as usize + i] * e.weight), size(e.distance * e.reciprocal), e.reciprocal)
        };
        let (mut plain, mut normalised) = (0.0, 0.0);
        for i in places.clone() {
            let (v, x, _) = term(i);
            plain += f64::from(p.centered) * v * grown / n;
            normalised += v * x * grown / n;
        }
        for i in places {
            let (v, x, reciprocal) = term(i);
            let rest = plain + x * normalised;
            dx[p.y_offset as usize + i] = reciprocal * if magnitude { v + rest } else { v - rest };
        }
    }
    Ok(())
}
