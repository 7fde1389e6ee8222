//! Sequences of different lengths in one batch.

use crate::engine::Device;
use crate::tensor::Tensor;

/// A batch of sequences of different lengths: what a recurrent layer takes and gives in the place of a tensor.
///
/// PyTorch lays the steps that count one behind the other; here they stay in their padded tensor, and the lengths go with
/// it. Results are the same: nothing behind a sequence's end counts.
/// <https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.PackedSequence.html>
#[derive(Clone, Debug)]
pub struct PackedSequence {
    data: Tensor,
    lengths: Vec<usize>,
    batch_first: bool,
    /// Whether 0 stands behind every sequence's end.
    zeros_behind: bool,
}

impl PackedSequence {
    /// The padded tensor, as long as the longest sequence.
    pub fn data(&self) -> &Tensor {
        &self.data
    }

    /// Steps of each sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Where the elements are.
    pub fn device(&self) -> &Device {
        self.data.device()
    }

    pub(super) fn layout(&self) -> (bool, Option<&[usize]>) {
        (self.batch_first, Some(&self.lengths))
    }

    /// The output of a layer for these sequences, which is 0 behind their ends.
    pub(super) fn with_data(&self, data: Tensor) -> PackedSequence {
        PackedSequence { data, zeros_behind: true, ..self.clone() }
    }
}

/// A padded batch `[T, N, …]` (`[N, T, …]` with `batch_first`) with the length of each sequence, in any order: PyTorch's
/// `enforce_sorted=False`, which also takes sequences that are sorted and needs no other layout here.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let lstm = nn::LSTM::new(4, 6).batch_first(true).bidirectional(true);
/// let packed = nn::pack_padded_sequence(&Tensor::rand(&[3, 7, 4]), &[2, 5, 3], true);
/// let (output, (h, _)) = lstm.call(&packed);
/// let (output, lengths) = nn::pad_packed_sequence(&output, true);
/// assert_eq!((output.shape(), h.shape(), &lengths[..]), (&[3, 5, 12][..], &[2, 3, 6][..], &[2, 5, 3][..]));
/// ```
///
/// # Panics
/// When there are fewer than two dims, not as many lengths as sequences, or a length is 0 or more than there are steps.
#[track_caller]
pub fn pack_padded_sequence(x: &Tensor, lengths: &[usize], batch_first: bool) -> PackedSequence {
    assert!(x.dim() >= 2, "pack_padded_sequence: needs at least two dims, got shape {:?}", x.shape());
    let time = usize::from(batch_first);
    let (steps, batch) = (x.shape()[time], x.shape()[1 - time]);
    assert!(lengths.len() == batch, "pack_padded_sequence: {} lengths for {batch} sequences", lengths.len());
    if let Some(bad) = lengths.iter().find(|&&len| len == 0 || len > steps) {
        panic!("pack_padded_sequence: a length must lie between 1 and the {steps} steps, it is {bad}");
    }
    let longest = lengths.iter().copied().max().unwrap_or(steps);
    let data = if longest == steps { x.clone() } else { x.narrow(time as i64, 0, longest) };
    PackedSequence { data, lengths: lengths.to_vec(), batch_first, zeros_behind: false }
}

/// The arguments of [`pad_packed_sequence_with`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PadPackedSequenceOptions {
    /// The result as `[N, T, …]` and not `[T, N, …]`, however the sequences were packed.
    pub batch_first: bool,
    /// What stands behind a sequence's end.
    pub padding_value: f64,
    /// Steps of the result; as many as the longest sequence has if not set.
    pub total_length: Option<usize>,
}

/// A padded tensor again, `[T, N, …]` or with `batch_first` `[N, T, …]`, as long as the longest sequence and 0 behind each
/// one's end; and the lengths.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_packed_sequence.html>
#[track_caller]
pub fn pad_packed_sequence(packed: &PackedSequence, batch_first: bool) -> (Tensor, Vec<usize>) {
    pad_packed_sequence_with(packed, &PadPackedSequenceOptions { batch_first, ..PadPackedSequenceOptions::default() })
}

/// [`pad_packed_sequence`] with another number behind the ends, or more steps.
///
/// ```
/// use lumigrad::nn::{PadPackedSequenceOptions, pack_padded_sequence, pad_packed_sequence_with};
/// use lumigrad::prelude::*;
/// let packed = pack_padded_sequence(&Tensor::from_slice(&[1, 2, 3, 4], &[2, 2]), &[1, 2], true);
/// let options = PadPackedSequenceOptions { batch_first: true, padding_value: -1.0, total_length: Some(3) };
/// let (padded, _) = pad_packed_sequence_with(&packed, &options);
/// assert_eq!(padded.to_vec::<i32>()?, [1, -1, -1, 3, 4, -1]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Panics
/// When `total_length` is below the longest sequence's length.
#[track_caller]
pub fn pad_packed_sequence_with(packed: &PackedSequence, options: &PadPackedSequenceOptions) -> (Tensor, Vec<usize>) {
    let &PadPackedSequenceOptions { batch_first, padding_value, total_length } = options;
    let PackedSequence { data, lengths, batch_first: packed_so, .. } = packed;
    let data = if batch_first == *packed_so { data.clone() } else { data.transpose(0, 1) };
    if data.poison().is_some() {
        return (data, lengths.clone());
    }
    let time = usize::from(batch_first);
    let steps = data.shape()[time];
    let total = total_length.unwrap_or(steps);
    assert!(
        total >= steps,
        "pad_packed_sequence: a total length of {total} is below that of the longest sequence, {steps}"
    );
    let clean = padding_value == 0.0 && packed.zeros_behind;
    let data = if clean || lengths.iter().all(|&len| len == steps) {
        data
    } else {
        data.masked_fill(&behind(lengths, steps, batch_first, &data), padding_value)
    };
    if total == steps {
        return (data, lengths.clone());
    }
    // The pads of the dims after the time, then its own.
    let mut pad = vec![0; 2 * (data.dim() - 1 - time)];
    pad.extend([0, total - steps]);
    (data.pad(&pad[..], padding_value), lengths.clone())
}

/// Which steps are behind the end of their sequence, in a shape that broadcasts to that of `data`.
#[track_caller]
fn behind(lengths: &[usize], steps: usize, batch_first: bool, data: &Tensor) -> Tensor {
    let over: Vec<bool> = lengths.iter().flat_map(|&len| (0..steps).map(move |step| step >= len)).collect();
    let mut shape = vec![1; data.dim()];
    shape[..2].copy_from_slice(&[lengths.len(), steps]);
    let over = Tensor::from_slice_on(&over, &shape, data.device());
    if batch_first { over } else { over.transpose(0, 1) }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn the_longest_sequence_bounds_the_length() {
        Device::reference().scope(|| {
            let packed = pack_padded_sequence(&Tensor::ones(&[5, 2]), &[1, 3], false);
            assert_eq!(pad_packed_sequence(&packed, false).0.to_vec::<f32>().unwrap(), [1.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
            let options = PadPackedSequenceOptions { total_length: Some(2), ..Default::default() };
            let run = AssertUnwindSafe(|| pad_packed_sequence_with(&packed, &options));
            let text = catch_unwind(run).unwrap_err();
            let text = text.downcast_ref::<String>().unwrap();
            assert!(text.contains("a total length of 2") && text.contains("longest sequence, 3"), "{text}");
        });
    }
}
