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

    pub(super) fn with_data(&self, data: Tensor) -> PackedSequence {
        PackedSequence { data, ..self.clone() }
    }
}

/// A padded batch `[T, N, …]` (`[N, T, …]` with `batch_first`) with the length of each sequence, in any order.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html>, with `enforce_sorted=False`.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let lstm = nn::LSTM::new(4, 6).batch_first(true).bidirectional(true);
/// let packed = nn::pack_padded_sequence(&Tensor::rand(&[3, 7, 4]), &[2, 5, 3], true);
/// let (output, (h, _)) = lstm.call(&packed);
/// let (output, lengths) = nn::pad_packed_sequence(&output);
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
    PackedSequence { data, lengths: lengths.to_vec(), batch_first }
}

/// The padded tensor, as long as the longest sequence and 0 behind each one's end when it comes from a recurrent layer, and
/// the lengths. It lies as what [`pack_padded_sequence`] was given did.
///
/// <https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_packed_sequence.html>
pub fn pad_packed_sequence(packed: &PackedSequence) -> (Tensor, Vec<usize>) {
    (packed.data.clone(), packed.lengths.clone())
}
