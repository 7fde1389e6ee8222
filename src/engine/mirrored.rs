//! A buffer, or a part of one, whose content the host knows, so that only what changes is written.

use std::ops::Range;

/// Bytes that are compared at a time.
const BLOCK: usize = 256;

/// A buffer, or a part of one, that nobody but the host writes, before submissions.
///
/// A step of a training loop has mostly the params of the one before. A write costs a staging buffer, a copy and a command
/// buffer of its own, whatever its size, which shows in the replays of `cargo bench --bench engine`.
pub(crate) struct Mirrored {
    pub buffer: wgpu::Buffer,
    /// Where its part of the buffer begins.
    start: u64,
    holds: Vec<u8>,
}

impl Mirrored {
    pub fn new(buffer: wgpu::Buffer) -> Self {
        Mirrored::from(buffer, 0)
    }

    /// A part of a buffer, from byte `start` on.
    pub fn from(buffer: wgpu::Buffer, start: u64) -> Self {
        Mirrored { buffer, start, holds: Vec::new() }
    }

    /// Makes it begin with `bytes`, whole words, for the submission that follows.
    pub fn write(&mut self, queue: &wgpu::Queue, bytes: &[u8]) {
        let Some(changed) = changed(&self.holds, bytes) else { return };
        queue.write_buffer(&self.buffer, self.start + changed.start as u64, &bytes[changed.clone()]);
        let known = self.holds.len().min(changed.end);
        self.holds[changed.start..known].copy_from_slice(&bytes[changed.start..known]);
        self.holds.extend_from_slice(&bytes[known..changed.end]);
    }
}

/// From the first block of `new` that is not the same in `old` to the end of the last one.
fn changed(old: &[u8], new: &[u8]) -> Option<Range<usize>> {
    let places = |i: usize| i * BLOCK..((i + 1) * BLOCK).min(new.len());
    let differs = |i: &usize| old.get(places(*i)) != Some(&new[places(*i)]);
    let mut blocks = 0..new.len().div_ceil(BLOCK);
    let first = blocks.find(differs)?;
    let last = blocks.rfind(differs).unwrap_or(first);
    Some(places(first).start..places(last).end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_found_in_whole_blocks() {
        let old = [0u8; 4 * BLOCK];
        assert_eq!(changed(&old, &old), None);
        assert_eq!(changed(&old, &old[..BLOCK + 8]), None, "what lies behind does not matter");
        assert_eq!(changed(&old, &[]), None);
        assert_eq!(changed(&[], &old[..8]), Some(0..8));
        assert_eq!(changed(&old, &[0; 5 * BLOCK]), Some(4 * BLOCK..5 * BLOCK));
        assert_eq!(changed(&old[..8], &old[..BLOCK]), Some(0..BLOCK));
        let mut new = old;
        new[BLOCK + 3] = 1;
        assert_eq!(changed(&old, &new), Some(BLOCK..2 * BLOCK));
        new[3 * BLOCK] = 1;
        assert_eq!(changed(&old, &new), Some(BLOCK..4 * BLOCK));
        assert_eq!(changed(&old, &new[..3 * BLOCK + 4]), Some(BLOCK..3 * BLOCK + 4));
    }
}
