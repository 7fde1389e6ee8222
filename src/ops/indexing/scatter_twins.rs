//! What the kernels of `scatter_add` compute, element by element: their params and their scalar twins.

use crate::Result;
use crate::engine::kernel::params;
use crate::engine::{HostCall, WORKGROUP};
use crate::tensor::shape::strided_offset;

params! {
    /// Twin of `Params` in `shaders/indexing/scatter_add.wgsl`.
    pub struct ScatterParams {
        n: u32,
        m: u32,
        size: u32,
        skip: i32,
        site: u32,
        index_offset: u32,
        first_bit: u32,
        unsorted: u32,
        chunk: u32,
        tiles: u32,
        rest: u32,
        rank: u32,
        by_line: u32,
        source_step: u32,
        target_step: u32,
        source_offset: u32,
        target_offset: u32,
        accumulate: u32,
        block: u32,
        lines: u32,
        shape: [u32; 8],
        source_strides: [u32; 8],
        target_strides: [u32; 8],
    }
}

/// Bits that a counting pass sorts by.
pub(super) const DIGIT_BITS: u32 = 5;
/// Values of those bits.
pub(super) const DIGITS: u32 = 1 << DIGIT_BITS;
impl ScatterParams {
    /// Sums that a block of entries has: one for all if each element has a line of its own.
    pub(super) fn columns(&self) -> u32 {
        if self.by_line != 0 { 1 } else { self.rest }
    }

    /// The line of element `r` of all dims but the indexed one.
    fn line(&self, r: u32) -> u32 {
        if self.by_line != 0 { r } else { 0 }
    }

    fn source(&self, r: u32, j: u32) -> usize {
        let offset = strided_offset(r, self.rank, &self.shape, &self.source_strides);
        offset + (self.source_offset + j * self.source_step) as usize
    }

    fn target(&self, r: u32, k: u32) -> usize {
        let offset = strided_offset(r, self.rank, &self.shape, &self.target_strides);
        offset + (self.target_offset + k * self.target_step) as usize
    }

    /// What an entry is sorted by; those that count for nothing come last.
    fn key(&self, index: &[i32], entry: u32) -> u32 {
        let k = index[(self.index_offset + entry) as usize];
        if k < 0 || k as u32 >= self.size || k == self.skip { self.size } else { k as u32 }
    }

    /// The error of the first bad index, unless it was reported before.
    fn check(&self, call: &HostCall<'_>, index: &[i32]) -> Result<()> {
        let indices = &index[self.index_offset as usize..][..self.n as usize];
        match indices.iter().find(|&&k| k < 0 || k as u32 >= self.size) {
            Some(&k) if self.site != 0 => Err(call.fault(self.site, i64::from(k), i64::from(self.size))),
            _ => Ok(()),
        }
    }

    /// The entries so far in order. Numbers that are none, which a broken driver may have written, are left out.
    fn order(&self, call: &HostCall<'_>) -> Vec<u32> {
        if self.unsorted != 0 {
            return (0..self.n).collect();
        }
        self.entries(&call.ints(1)[..self.n as usize]).collect()
    }

    fn entries<'a>(&self, order: &'a [i32]) -> impl Iterator<Item = u32> + 'a {
        let n = self.n;
        order.iter().map(|&e| e as u32).filter(move |&e| e < n)
    }

    fn digit(&self, index: &[i32], entry: u32) -> u32 {
        self.key(index, entry) >> self.first_bit & (DIGITS - 1)
    }
}

/// Every source element to its target, in order. How the entries were sorted plays no part.
pub(super) fn add_twin(call: &HostCall<'_>, source: usize, target: usize) -> Result<()> {
    let p: &ScatterParams = call.params();
    let index = call.ints(0);
    p.check(call, &index)?;
    let targets = || (0..p.rest).flat_map(|r| (0..p.size).map(move |k| p.target(r, k)));
    let pairs = (0..p.rest).flat_map(|r| (0..p.m).map(move |j| (r, j))).filter_map(|(r, j)| {
        let k = p.key(&index, p.line(r) * p.m + j);
        (k < p.size).then(|| (p.source(r, j), p.target(r, k)))
    });
    match call.variant() {
        0 => {
            let (x, mut y) = (call.floats(source), call.floats_mut(target));
            if p.accumulate == 0 {
                targets().for_each(|at| y[at] = 0.0);
            }
            pairs.for_each(|(from, to)| y[to] += x[from]);
        }
        1 => {
            let (x, mut y) = (call.ints(source), call.ints_mut(target));
            if p.accumulate == 0 {
                targets().for_each(|at| y[at] = 0);
            }
            pairs.for_each(|(from, to)| y[to] = y[to].wrapping_add(x[from]));
        }
        _ => {
            let (x, mut y) = (call.words(source), call.words_mut(target));
            if p.accumulate == 0 {
                targets().for_each(|at| y[at] = 0);
            }
            pairs.for_each(|(from, to)| y[to] = y[to].wrapping_add(x[from]));
        }
    }
    Ok(())
}

pub(super) fn count_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ScatterParams = call.params();
    let index = call.ints(0);
    if p.unsorted != 0 {
        p.check(call, &index)?;
    }
    let order = p.order(call);
    let mut counts = call.ints_mut(2);
    counts[..(p.tiles * DIGITS) as usize].fill(0);
    for (at, &entry) in order.iter().enumerate() {
        let tile = at as u32 / (WORKGROUP * p.chunk);
        counts[(tile * DIGITS + p.digit(&index, entry)) as usize] += 1;
    }
    Ok(())
}

pub(super) fn place_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ScatterParams = call.params();
    let (index, mut order) = (call.ints(0), p.order(call));
    order.sort_by_key(|&entry| p.digit(&index, entry));
    let mut sorted = call.ints_mut(3);
    order.iter().enumerate().for_each(|(at, &entry)| sorted[at] = entry as i32);
    Ok(())
}

/// An index and line begin behind all entries of smaller ones.
pub(super) fn starts_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ScatterParams = call.params();
    let (index, mut found) = (call.ints(0), call.ints_mut(2));
    let mut counts = vec![0; (p.size * p.lines + p.lines) as usize];
    for entry in 0..p.n {
        counts[(p.key(&index, entry) * p.lines + entry / p.m) as usize] += 1;
    }
    let mut before = 0;
    for i in 0..=(p.size * p.lines) as usize {
        found[i] = before;
        before += counts[i];
    }
    Ok(())
}

pub(super) fn blocks_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ScatterParams = call.params();
    let order = call.ints(0);
    let columns = p.columns();
    let sums = (0..p.n.div_ceil(p.block) * columns).map(|i| {
        let first = i / columns * p.block;
        let entries = p.entries(&order[first as usize..(first + p.block).min(p.n) as usize]);
        let places = entries.map(move |e| p.source(if p.by_line != 0 { e / p.m } else { i % columns }, e % p.m));
        (i as usize, places)
    });
    match call.variant() {
        0 => {
            let (x, mut y) = (call.floats(1), call.floats_mut(2));
            sums.for_each(|(at, places)| y[at] = places.map(|i| x[i]).sum());
        }
        1 => {
            let (x, mut y) = (call.ints(1), call.ints_mut(2));
            sums.for_each(|(at, places)| y[at] = places.fold(0, |sum: i32, i| sum.wrapping_add(x[i])));
        }
        _ => {
            let (x, mut y) = (call.words(1), call.words_mut(2));
            sums.for_each(|(at, places)| y[at] = places.fold(0, |sum: u32, i| sum.wrapping_add(x[i])));
        }
    }
    Ok(())
}
