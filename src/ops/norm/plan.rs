//! How a normalisation is cut into dispatches.

use smallvec::smallvec;

use super::*;
use crate::dtype::DType;
use crate::engine::tuner::{self, class};
use crate::ops::elementwise::half_variant;
use crate::ops::reduce::are_quads;
use crate::ops::{Run, reduce, tune};

/// A contiguous tensor seen as `[outer, count, inner]`: its elements have a number `k` below `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    pub outer: usize,
    pub count: usize,
    pub inner: usize,
}

impl Domain {
    /// The channels of `[N, C, …]`.
    pub fn channels(shape: &[usize]) -> Domain {
        Domain { outer: shape[0], count: shape[1], inner: shape[2..].iter().product() }
    }

    /// Elements with the same `k`.
    pub fn len(&self) -> usize {
        self.outer * self.inner
    }

    /// What the choice of kernels goes by that walk `x`: sizes, and whether runs, or neighbours where runs are of one
    /// element, are whole vectors of four.
    fn key(&self, kernel: &str, x: &Tensor) -> tuner::Key {
        let [outer, count, inner] = [self.outer, self.count, self.inner].map(class);
        let neighbours = if self.inner == 1 { self.count } else { self.inner };
        let whole = are_quads(&[neighbours as u32, x.offset() as u32]);
        [tuner::number(kernel), outer, count, inner, x.dtype() as u32, u32::from(whole), 0, 0]
    }
}

/// A normalisation: whose moments, whose weights, and their tensors.
pub(crate) struct Norm<'a> {
    /// Elements that share their moments.
    pub moments: Domain,
    /// Elements that share weight and bias.
    pub weights: Domain,
    pub mean: &'a Tensor,
    /// Reciprocals of standard deviations, or variances.
    pub spread: &'a Tensor,
    pub from_variance: bool,
    /// Whether the mean is subtracted.
    pub centered: bool,
    pub weight: Option<&'a Tensor>,
    pub bias: Option<&'a Tensor>,
    pub eps: f64,
}

/// Runs of fewer elements are not worth a workgroup.
pub(super) const RUN: u32 = 32;

/// Whether a workgroup takes a piece of a run, and not any elements.
pub(super) fn in_segments(p: &NormParams) -> bool {
    p.inner >= RUN && (p.count, p.inner) == (p.m_count, p.m_inner) && (p.count, p.inner) == (p.a_count, p.a_inner)
}

/// The same for halves, of which a thread makes two.
pub(super) fn in_whole_segments(p: &NormParams) -> bool {
    in_segments(p) && p.inner.is_multiple_of(2)
}

/// Elements of a part on a software driver, where one thread takes it and finds it in its cache the second time, and on a
/// GPU by thread and by workgroup.
const PART: (u32, u32, u32) = (512, 32, 1_024);

/// Threads, and workgroups, that keep a GPU busy: more parts bring nothing.
const BUSY: (u32, u32) = (16_384, 2_048);

/// Iterations of the loops over parts, and over the elements of one: lavapipe ends all loops of a shader after 65,535
/// iterations together, and there are two loops over each.
const MOST: u32 = 16_384;

/// Splits the elements of each `k` into parts; gives whether a thread each takes them, and not a workgroup.
fn split(run: &Run<'_>, p: &mut NormParams) -> bool {
    let software = run.is_software();
    let alone = match run.device().forced_choice(reduce::FAMILY.0) {
        Some("by_thread") => true,
        Some("by_group") => false,
        // Neighbouring threads take neighbouring k: they read neighbours where runs are short.
        _ => software || p.inner < RUN,
    };
    let r = p.outer * p.inner;
    let (least, busy, most) = match (software, alone) {
        (true, _) => (PART.0, u32::MAX, MOST),
        (false, true) => (PART.1, BUSY.0, MOST),
        (false, false) => (PART.2, BUSY.1, MOST * WORKGROUP),
    };
    // Parts that the merge walks: of every k by one thread, or (running statistics) of many k by one.
    let walked = (MOST / p.count.div_ceil(WORKGROUP).max(1)).clamp(1, 1_024);
    let wanted = r.div_ceil(least).min(busy.div_ceil(p.count.max(1))).clamp(1, walked);
    p.part = r.div_ceil(wanted).clamp(1, most);
    if are_quads(&[p.inner]) {
        p.part = p.part.next_multiple_of(4);
    }
    p.splits = r.div_ceil(p.part).max(1);
    alone
}

/// Whether two tensors lie in one buffer, as gradients in an optimiser's memory do: a dispatch can't write to it twice, or
/// read it too.
pub(crate) fn same_buffer(a: &Tensor, b: &Tensor) -> bool {
    matches!((a.buffer(), b.buffer()), (Ok(a), Ok(b)) if std::sync::Arc::ptr_eq(a, b))
}

impl NormParams {
    fn new(walk: Domain, moments: Domain, weights: Domain, eps: f64) -> NormParams {
        NormParams {
            outer: walk.outer as u32,
            count: walk.count as u32,
            inner: walk.inner as u32,
            splits: 1,
            part: walk.len() as u32,
            m_count: moments.count as u32,
            m_inner: moments.inner as u32,
            a_count: weights.count as u32,
            a_inner: weights.inner as u32,
            centered: 1,
            eps: eps as f32,
            ..bytemuck::Zeroable::zeroed()
        }
    }
}

/// Statistics that a run of batch norm changes in place.
pub(crate) struct Running<'a> {
    pub mean: &'a Tensor,
    pub var: &'a Tensor,
    pub batches: Option<&'a Tensor>,
    /// The share of this batch; `None` for one over the number of batches.
    pub momentum: Option<f64>,
}

/// Mean and reciprocal standard deviation of the elements of each `k` of the contiguous `x`.
pub(crate) fn moments(
    run: &mut Run<'_>,
    x: &Tensor,
    domain: Domain,
    centered: bool,
    eps: f64,
    running: Option<&Running<'_>>,
) -> Result<(Tensor, Tensor)> {
    if x.numel() == 0 {
        return Ok(moments_as_chosen(run, x, domain, centered, eps, running));
    }
    let key = || domain.key("moments", x);
    let choice = tune::fastest(run, reduce::BY_ROWS, key, |run| {
        let (mean, spread) = moments_as_chosen(run, x, domain, centered, eps, None);
        Ok(smallvec![mean, spread])
    })?;
    Ok(choice.run(|| moments_as_chosen(run, x, domain, centered, eps, running)))
}

fn moments_as_chosen(
    run: &mut Run<'_>,
    x: &Tensor,
    domain: Domain,
    centered: bool,
    eps: f64,
    running: Option<&Running<'_>>,
) -> (Tensor, Tensor) {
    let mut p = NormParams::new(domain, domain, domain, eps);
    p.x_offset = x.offset() as u32;
    p.centered = u32::from(centered);
    let (mean, spread) = (run.output(DType::F32, &[domain.count]), run.output(DType::F32, &[domain.count]));
    let half = half_variant(x.dtype());
    let alone = split(run, &mut p);
    let kernel = match (alone, half) {
        (true, None) if are_quads_of_runs(&p, &[p.x_offset]) => &MOMENTS_BY_QUADS,
        (true, Some(_)) if are_quads_of_runs(&p, &[p.x_offset]) => &HALF_MOMENTS_BY_QUADS,
        (true, None) => &MOMENTS_BY_THREAD,
        (true, Some(_)) => &HALF_MOMENTS_BY_THREAD,
        (false, None) => &MOMENTS_BY_GROUP,
        (false, Some(_)) => &HALF_MOMENTS_BY_GROUP,
    };
    let parts = run.output(DType::F32, &[2, p.splits as usize, domain.count]);
    if x.numel() > 0 {
        run.dispatch(kernel, half.unwrap_or(0), &[x, &parts], &p);
    }
    let Some(running) = running else {
        if x.numel() > 0 {
            run.dispatch(&MERGE, 0, &[&parts, &mean, &spread], &p);
        }
        return (mean, spread);
    };
    let nobody = run.output(DType::I32, &[1]);
    let batches = running.batches.unwrap_or(&nobody);
    p.mean_offset = running.mean.offset() as u32;
    p.spread_offset = running.var.offset() as u32;
    p.z_offset = batches.offset() as u32;
    p.mode = u32::from(running.momentum.is_none());
    p.momentum = running.momentum.unwrap_or(0.0) as f32;
    run.dispatch(&MERGE_RUNNING, 0, &[&parts, &mean, &spread, running.mean, running.var, batches], &p);
    [running.mean, running.var].into_iter().chain(running.batches).for_each(Tensor::bump_version);
    (mean, spread)
}

/// Means and variances (or their roots) of the elements of each `k` of the contiguous `x`, which has some; the sums of
/// squares are divided by `divisor`.
pub(crate) fn variances(
    run: &mut Run<'_>,
    x: &Tensor,
    domain: Domain,
    divisor: f64,
    root: bool,
) -> Result<(Tensor, Tensor)> {
    let key = || domain.key("variances", x);
    let choice = tune::fastest(run, reduce::BY_ROWS, key, |run| {
        let (mean, spread) = variances_as_chosen(run, x, domain, divisor, root);
        Ok(smallvec![mean, spread])
    })?;
    Ok(choice.run(|| variances_as_chosen(run, x, domain, divisor, root)))
}

fn variances_as_chosen(run: &mut Run<'_>, x: &Tensor, domain: Domain, divisor: f64, root: bool) -> (Tensor, Tensor) {
    let mut p = NormParams::new(domain, domain, domain, 0.0);
    p.x_offset = x.offset() as u32;
    (p.mode, p.momentum) = (if root { 3 } else { 2 }, divisor as f32);
    let (mean, spread) = (run.output(DType::F32, &[domain.count]), run.output(DType::F32, &[domain.count]));
    let kernel = match split(run, &mut p) {
        true if are_quads_of_runs(&p, &[p.x_offset]) => &MOMENTS_BY_QUADS,
        true => &MOMENTS_BY_THREAD,
        false => &MOMENTS_BY_GROUP,
    };
    let parts = run.output(DType::F32, &[2, p.splits as usize, domain.count]);
    run.dispatch(kernel, 0, &[x, &parts], &p);
    run.dispatch(&MERGE, 0, &[&parts, &mean, &spread], &p);
    (mean, spread)
}

/// Kernels that visit all elements, for f32 and for halves: [`PLACES`] and [`HALF_PLACES`], and by segments of whole vectors.
struct Places {
    words: [&'static Kernel; 2],
    quads: [&'static Kernel; 2],
}

const APPLYING: Places = Places { words: [&APPLY, &HALF_APPLY], quads: [&APPLY_QUADS, &HALF_APPLY_QUADS] };

const GRADIENTS: Places = Places {
    words: [&INPUT_GRADIENT, &HALF_INPUT_GRADIENT],
    quads: [&INPUT_GRADIENT_QUADS, &HALF_INPUT_GRADIENT_QUADS],
};

impl Places {
    /// The kernel for tensors of this type that begin at `offsets`, and its variant.
    fn kernel(&self, p: &NormParams, dtype: DType, offsets: &[u32]) -> (&'static Kernel, usize) {
        let half = half_variant(dtype);
        let at = usize::from(half.is_some());
        match half {
            _ if in_segments(p) && are_quads(&[p.inner]) && are_quads(offsets) => (self.quads[at], half.unwrap_or(0)),
            None => (self.words[at], usize::from(in_segments(p))),
            Some(half) => (self.words[at], 2 * half + usize::from(in_whole_segments(p))),
        }
    }
}

/// Whether runs, and parts of them, lie in whole vectors of four in tensors that begin at `offsets`.
fn are_quads_of_runs(p: &NormParams, offsets: &[u32]) -> bool {
    are_quads(&[p.inner, p.part]) && are_quads(offsets)
}

impl Norm<'_> {
    fn params(&self, walk: Domain, x: &Tensor) -> NormParams {
        let offset = |t: Option<&Tensor>| t.map_or(0, |t| t.offset() as u32);
        NormParams {
            x_offset: x.offset() as u32,
            mean_offset: self.mean.offset() as u32,
            spread_offset: self.spread.offset() as u32,
            weight_offset: offset(self.weight),
            bias_offset: offset(self.bias),
            has_weight: u32::from(self.weight.is_some()),
            has_bias: u32::from(self.bias.is_some()),
            from_variance: u32::from(self.from_variance),
            centered: u32::from(self.centered),
            ..NormParams::new(walk, self.moments, self.weights, self.eps)
        }
    }

    /// Writes the normalised elements of the contiguous `x` to `y`, which has its type.
    pub fn apply(&self, run: &mut Run<'_>, x: &Tensor, y: &Tensor) {
        let p = NormParams { y_offset: y.offset() as u32, ..self.params(self.moments, x) };
        let (weight, bias) = (self.weight.unwrap_or(self.mean), self.bias.unwrap_or(self.mean));
        let (kernel, variant) = APPLYING.kernel(&p, x.dtype(), &[p.x_offset, p.y_offset]);
        run.dispatch(kernel, variant, &[x, self.mean, self.spread, weight, bias, y], &p);
    }

    /// Which of [`KINDS`] sums over `domain` are.
    fn kind(&self, domain: Domain) -> usize {
        match (domain == self.moments, domain == self.weights) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    }

    /// For each `k` of `domain` (that of the moments, or that of the weights) the sums of gradients and of gradients times
    /// normalised elements, written to `first` and `second`, as far as they are given.
    pub fn sums(
        &self,
        run: &mut Run<'_>,
        x: &Tensor,
        g: &Tensor,
        domain: Domain,
        first: Option<&Tensor>,
        second: Option<&Tensor>,
    ) -> Result<()> {
        let key = || domain.key(["sums of channels", "sums of rows", "sums of columns"][self.kind(domain)], x);
        let choice = tune::fastest(run, reduce::BY_ROWS, key, |run| {
            let made = [0; 2].map(|_| run.output(DType::F32, &[domain.count]));
            self.sums_as_chosen(run, x, g, domain, Some(&made[0]), Some(&made[1]));
            Ok(made.into_iter().collect())
        })?;
        choice.run(|| self.sums_as_chosen(run, x, g, domain, first, second));
        Ok(())
    }

    fn sums_as_chosen(
        &self,
        run: &mut Run<'_>,
        x: &Tensor,
        g: &Tensor,
        domain: Domain,
        first: Option<&Tensor>,
        second: Option<&Tensor>,
    ) {
        let mut p = NormParams { g_offset: g.offset() as u32, ..self.params(domain, x) };
        let variant = self.kind(domain);
        let half = half_variant(x.dtype());
        let alone = split(run, &mut p);
        let runs = variant == 0 && are_quads_of_runs(&p, &[p.x_offset, p.g_offset]);
        let (kernel, variant) = match (alone, half) {
            (true, None) if runs => (&SUMS_BY_QUADS, 0),
            (true, Some(half)) if runs => (&HALF_SUMS_BY_QUADS, half),
            (true, None) if variant == 2 && are_quads_of_columns(&p) => (&SUMS_BY_COLUMNS, 0),
            (true, None) => (&SUMS_BY_THREAD, variant),
            (true, Some(half)) => (&HALF_SUMS_BY_THREAD, half),
            (false, None) => (&SUMS_BY_GROUP, variant),
            (false, Some(half)) => (&HALF_SUMS_BY_GROUP, half),
        };
        let parts = run.output(DType::F32, &[2, p.splits as usize, domain.count]);
        let weight = self.weight.unwrap_or(self.mean);
        if x.numel() > 0 {
            run.dispatch(kernel, variant, &[g, self.mean, self.spread, weight, x, &parts], &p);
        } else {
            // No elements: a walk over no parts makes sums of 0.
            p.splits = 0;
        }
        let offset = |t: Option<&Tensor>| t.map_or(0, |t| t.offset() as u32);
        (p.y_offset, p.z_offset) = (offset(first), offset(second));
        match (first, second) {
            (Some(a), Some(b)) if same_buffer(a, b) => {
                run.dispatch(&MERGE_SUMS, 0, &[&parts, a], &NormParams { mode: 3, ..p });
            }
            _ => {
                for (mode, target) in (1..).zip([first, second]) {
                    if let Some(target) = target {
                        run.dispatch(&MERGE_SUMS, 0, &[&parts, target], &NormParams { mode, ..p });
                    }
                }
            }
        }
    }

    /// The gradient of the input, from the sums over the elements that share their moments; without them the moments are
    /// constants.
    pub fn input_gradient(
        &self,
        run: &mut Run<'_>,
        x: &Tensor,
        g: &Tensor,
        sums: Option<(&Tensor, &Tensor)>,
        dx: &Tensor,
    ) {
        let weighted = if self.moments == self.weights { 1 } else { 2 };
        let (sum_g, sum_gx) = sums.unwrap_or((self.mean, self.mean));
        let p = NormParams {
            g_offset: g.offset() as u32,
            y_offset: sum_g.offset() as u32,
            z_offset: sum_gx.offset() as u32,
            bias_offset: dx.offset() as u32,
            mode: if sums.is_some() { weighted } else { 0 },
            ..self.params(self.moments, x)
        };
        let weight = self.weight.unwrap_or(self.mean);
        let operands = [g, self.mean, self.spread, weight, x, sum_g, sum_gx, dx];
        let (kernel, variant) = GRADIENTS.kernel(&p, x.dtype(), &[p.x_offset, p.g_offset, p.bias_offset]);
        run.dispatch(kernel, variant, &operands, &p);
    }
}

/// Elements of a row that a thread, and a workgroup, take alone at most: three loops over it stay below the iterations
/// after which lavapipe ends all loops. A GPU has no such limit, but few long rows would leave most of it idle.
const ROW: (usize, usize) = (8_192, 16_384);

/// Rows that keep a GPU busy, whatever their length.
const ROWS: usize = 256;

/// Elements of a row that a thread takes alone on a GPU, where threads of a row read neighbours together.
const SHORT: usize = 32;

/// Whether a kernel takes whole rows, a thread each or (false) a workgroup each; `None` for rows that are cut into parts.
fn whole_rows(run: &Run<'_>, rows: Domain) -> Option<bool> {
    let software = run.is_software();
    if rows.inner > ROW.1 && (software || rows.count < ROWS) {
        return None;
    }
    Some(
        rows.inner <= ROW.0
            && match run.device().forced_choice(reduce::FAMILY.0) {
                Some("by_thread") => true,
                Some("by_group") => false,
                // Barriers are dear on a processor.
                _ => rows.inner <= SHORT || (software && rows.count >= 16),
            },
    )
}

/// Which of [`WEIGHTS`] the vectors of four of rows have, where the rows are such, and begin at `offsets`.
fn quads_of_rows(p: &NormParams, offsets: &[u32]) -> Option<usize> {
    if !are_quads(&[p.inner]) || !are_quads(offsets) {
        return None;
    }
    match p.a_inner {
        1 => are_quads(&[p.a_count, p.weight_offset, p.bias_offset]).then_some(0),
        run => are_quads(&[run]).then_some(1),
    }
}

/// Whether four neighbouring columns of rows that have moments of their own lie in one vector.
fn are_quads_of_columns(p: &NormParams) -> bool {
    p.inner == 1 && p.m_inner == p.count && are_quads(&[p.count, p.g_offset, p.x_offset])
}

impl<'a> Norm<'a> {
    /// Normalises the rows of the contiguous `x` into `y` by their own moments, which are written to `mean` and `spread`
    /// where one kernel does it all; else gives them back, made in parts.
    pub fn rows(&self, run: &mut Run<'_>, x: &Tensor, y: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
        if whole_rows(run, self.moments).is_none() {
            let (mean, spread) = moments(run, x, self.moments, self.centered, self.eps, None)?;
            Norm { mean: &mean, spread: &spread, ..*self }.apply(run, x, y);
            return Ok(Some((mean, spread)));
        }
        let choice = tune::fastest(
            run,
            reduce::BY_ROWS,
            || self.moments.key("rows", x),
            |run| {
                let y = run.output(y.dtype(), y.shape());
                let [mean, spread] = [self.mean, self.spread].map(|t| run.output(DType::F32, t.shape()));
                Norm { mean: &mean, spread: &spread, ..*self }.rows_as_chosen(run, x, &y);
                Ok([y, mean, spread].into_iter().collect())
            },
        )?;
        choice.run(|| self.rows_as_chosen(run, x, y));
        Ok(None)
    }

    fn rows_as_chosen(&self, run: &mut Run<'_>, x: &Tensor, y: &Tensor) {
        let p = NormParams { y_offset: y.offset() as u32, ..self.params(self.moments, x) };
        let (weight, bias) = (self.weight.unwrap_or(x), self.bias.unwrap_or(x));
        let alone = whole_rows(run, self.moments).is_some_and(|alone| alone);
        let (kernel, variant) = match quads_of_rows(&p, &[p.x_offset, p.y_offset]) {
            Some(weights) if alone => (&ROWS_BY_QUADS, weights),
            _ if alone => (&ROWS_BY_THREAD, 0),
            _ => (&ROWS_BY_GROUP, 0),
        };
        run.dispatch(kernel, variant, &[x, weight, bias, y, self.mean, self.spread], &p);
    }

    /// The gradient of rows that were normalised by their own moments.
    pub fn rows_gradient(&self, run: &mut Run<'_>, x: &Tensor, g: &Tensor, dx: &Tensor) -> Result<()> {
        if whole_rows(run, self.moments).is_none() {
            let sums = [0; 2].map(|_| run.output(DType::F32, &[self.moments.count]));
            self.sums(run, x, g, self.moments, Some(&sums[0]), Some(&sums[1]))?;
            self.input_gradient(run, x, g, Some((&sums[0], &sums[1])), dx);
            return Ok(());
        }
        let key = || self.moments.key("rows_gradient", x);
        tune::with_fastest(run, reduce::BY_ROWS, key, dx, |run, dx| {
            let offsets = (g.offset() as u32, dx.offset() as u32);
            let p = NormParams { g_offset: offsets.0, y_offset: offsets.1, ..self.params(self.moments, x) };
            let weight = self.weight.unwrap_or(self.mean);
            let alone = whole_rows(run, self.moments).is_some_and(|alone| alone);
            let (kernel, variant) = match quads_of_rows(&p, &[p.x_offset, p.g_offset, p.y_offset]) {
                Some(weights) if alone => (&ROWS_BACKWARD_BY_QUADS, weights),
                _ if alone => (&ROWS_BACKWARD_BY_THREAD, 0),
                _ => (&ROWS_BACKWARD_BY_GROUP, 0),
            };
            run.dispatch(kernel, variant, &[g, self.mean, self.spread, weight, x, dx], &p);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Device;

    /// A choice that was measured with kernels for whole vectors of four says nothing of those for other sizes and places.
    #[test]
    fn what_vectors_were_measured_for_is_not_what_others_are() {
        let x = Tensor::full_on(&[2048], 0.0, DType::F32, &Device::reference());
        let key = |inner, x: &Tensor| Domain { outer: 1, count: 30, inner }.key("rows", x);
        assert_eq!(key(64, &x), key(60, &x));
        assert_ne!(key(64, &x), key(63, &x));
        assert_ne!(key(64, &x), key(64, &x.narrow(0, 1, 2047)));
        let columns = |count| Domain { outer: 30, count, inner: 1 }.key("sums of columns", &x);
        assert_ne!(columns(64), columns(63));
    }
}
