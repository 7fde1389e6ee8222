//! The scalar twins of the kernels of attention.

use crate::Result;
use crate::engine::HostCall;
use crate::engine::kernel::params;
use crate::random::philox;
use crate::tensor::shape::strided_offset;

params! {
    /// Twin of `Params` in `shaders/attention.wgsl`.
    pub struct AttentionParams {
        block: u32,
        first: u32,
        queries: u32,
        keys: u32,
        rows: u32,
        causal: u32,
        scale: f32,
        d_scale: f32,
        threshold: u32,
        keep: f32,
        mask_offset: u32,
        mask_row: u32,
        state: [u32; 4],
        mask_column: u32,
        mask_rank: u32,
        padding: [u32; 2],
        shape: [u32; 8],
        mask_strides: [u32; 8],
    }
}

/// 0 none, 1 truth values, 2 numbers: from the variant.
fn mask_kind(call: &HostCall<'_>) -> usize {
    call.variant() % 3
}

/// One row: where it starts here and in the whole, its query, and where its mask starts.
struct Row {
    start: usize,
    whole: u32,
    query: u32,
    mask: usize,
}

impl AttentionParams {
    fn row(&self, row: u32) -> Row {
        let (matrix, query) = (row / self.block, self.first + row % self.block);
        let outer = if self.mask_rank == 0 {
            0
        } else {
            strided_offset(matrix, self.mask_rank, &self.shape, &self.mask_strides)
        };
        Row {
            start: (row * self.keys) as usize,
            whole: (matrix * self.queries + query) * self.keys,
            query,
            mask: self.mask_offset as usize + (query * self.mask_row) as usize + outer,
        }
    }

    /// A score, and the magnitude of what it is the sum of.
    fn score(&self, call: &HostCall<'_>, product: f64, row: &Row, key: u32) -> (f64, f64) {
        let at = row.mask + (key * self.mask_column) as usize;
        let scaled = product * f64::from(self.scale);
        let added = if mask_kind(call) == 2 { call.floats(0)[at] } else { 0.0 };
        let hidden = (self.causal != 0 && key > row.query) || (mask_kind(call) == 1 && call.words(0)[at] == 0);
        let score = scaled + added + if hidden { f64::NEG_INFINITY } else { 0.0 };
        (score, if score == f64::NEG_INFINITY { 0.0 } else { scaled.abs() + added.abs() })
    }

    /// What dropout multiplies a weight with.
    fn factor(&self, row: &Row, key: u32) -> f64 {
        if self.threshold == 0 && self.keep == 1.0 {
            return 1.0;
        }
        let i = row.whole + key;
        let [counter_low, counter_high, seed_low, seed_high] = self.state;
        let words = philox([i / 4, 0, counter_low, counter_high], [seed_low, seed_high]);
        if words[(i % 4) as usize] < self.threshold { 0.0 } else { f64::from(self.keep) }
    }
}

/// One key's part of a row: its weight, the weight's error in units of ulp, and what dropout multiplies it with.
struct Weight {
    weight: f64,
    magnitude: f64,
    factor: f64,
}

/// The weights of a row: all 0 where no key is seen. All scores of a row may be off by the magnitude of the largest, and the
/// distance to it is rounded once more.
fn weights(call: &HostCall<'_>, p: &AttentionParams, row: &Row, products: &[f64]) -> Vec<Weight> {
    let scores: Vec<(f64, f64)> =
        (0..p.keys).map(|j| p.score(call, products[row.start + j as usize], row, j)).collect();
    let largest = scores.iter().map(|s| s.0).fold(-f64::from(f32::MAX), f64::max);
    let sum: f64 = scores.iter().map(|s| (s.0 - largest).exp()).sum();
    let off = scores.iter().map(|s| s.1).fold(0.0, f64::max);
    let weigh = |(j, &(score, _)): (u32, &(f64, f64))| {
        let weight = match sum {
            0.0 => 0.0,
            _ if sum.is_nan() => f64::NAN,
            _ => (score - largest).exp() / sum,
        };
        let magnitude = if weight == 0.0 { 0.0 } else { weight * (2.0 + 2.0 * off + (largest - score)) };
        Weight { weight, magnitude, factor: p.factor(row, j) }
    };
    (0..).zip(&scores).map(weigh).collect()
}

/// `magnitude`: with what the errors are measured by in the place of each result.
pub(super) fn forward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AttentionParams = call.params();
    let mut products = call.floats_mut(1);
    for row in (0..p.rows).map(|i| p.row(i)) {
        for (j, w) in weights(call, p, &row, &products).into_iter().enumerate() {
            products[row.start + j] = w.factor * if magnitude { w.magnitude } else { w.weight };
        }
    }
    Ok(())
}

pub(super) fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &AttentionParams = call.params();
    let (mut products, mut gradients) = (call.floats_mut(1), call.floats_mut(2));
    for row in (0..p.rows).map(|i| p.row(i)) {
        let weights = weights(call, p, &row, &products);
        let weight = |w: &Weight| if magnitude { w.magnitude } else { w.weight };
        let gradient = |j: usize, g: f64| weights[j].factor * if magnitude { g.abs() } else { g };
        let total: f64 = (0..weights.len()).map(|j| weight(&weights[j]) * gradient(j, gradients[row.start + j])).sum();
        for (j, w) in weights.iter().enumerate() {
            let g = gradient(j, gradients[row.start + j]);
            gradients[row.start + j] = if magnitude {
                // The total's error counts with the weight itself, and the other way round.
                (w.magnitude * (g + total) + w.weight * total) * f64::from(p.d_scale).abs()
            } else {
                w.weight * (g - total) * f64::from(p.d_scale)
            };
            products[row.start + j] = weight(w) * w.factor;
        }
    }
    Ok(())
}
