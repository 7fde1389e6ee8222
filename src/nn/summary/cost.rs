//! What an operation takes.

use crate::ops::observe::Observed;
use crate::tensor::Tensor;

/// Multiply-adds, of operations that are made of them.
pub(super) fn mult_adds(operation: &Observed) -> u64 {
    let input = |i: usize| &operation.inputs[i];
    let size = |i: usize, from_end: usize| input(i).shape()[input(i).dim() - from_end] as u64;
    let output = || operation.outputs[0].numel() as u64;
    match operation.operation.name {
        // Each element of the output is a sum over the last dim.
        "linear" | "matmul" => output() * size(0, 1),
        // Over the part of the weight that makes its channel: [out, in / groups, …].
        "conv1d" | "conv2d" => output() * per_first(input(1)),
        // Each element of the input goes to the part of the weight that belongs to its channel: [in, out / groups, …].
        "conv_transpose1d" | "conv_transpose2d" => input(0).numel() as u64 * per_first(input(1)),
        // Queries [.., l, e] with keys [.., s, e], and the weights [.., l, s] with values [.., s, v].
        "scaled_dot_product_attention" => {
            let rows = input(0).numel() as u64 / size(0, 1).max(1);
            rows * size(1, 2) * (size(0, 1) + size(2, 1))
        }
        // Both matrices for each sample in each step.
        "lstm" | "gru" | "rnn" => {
            let x = input(0).shape();
            (x[0] * x[1] * (input(1).numel() + input(2).numel())) as u64
        }
        _ => 0,
    }
}

/// Elements of a weight for one index of its first dim.
fn per_first(weight: &Tensor) -> u64 {
    (weight.numel() / weight.shape()[0].max(1)) as u64
}

/// Bytes that an operation writes: its outputs, without those that are views of its inputs.
pub(super) fn written(operation: &Observed) -> u64 {
    let is_view = |output: &Tensor| operation.inputs.iter().any(|input| input.shares_storage(output));
    let own = operation.outputs.iter().filter(|output| !is_view(output));
    own.map(|output| (output.numel() * output.dtype().size()) as u64).sum()
}
