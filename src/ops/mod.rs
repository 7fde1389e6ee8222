//! Operations: the registry, and the one function that every public method goes through.
//!
//! An operation is a page: `ops/NAME.rs` beside `shaders/NAME.wgsl`. It holds the params, the kernels with both their
//! bodies, the operation with its shape rule and gradient, and the methods of [`crate::Tensor`]. Listing it in
//! [`REGISTRY`] gives it gradcheck, parity, shader validation and the doctor.

mod attrs;
mod call;
pub mod cases;
pub(crate) mod methods;
pub(crate) use methods as methods_support;
mod registry;

pub(crate) mod arrange;
pub(crate) mod assign;
pub(crate) mod attention;
pub(crate) mod attention_twins;
pub(crate) mod cast;
pub(crate) mod cat;
pub(crate) mod class_loss;
pub(crate) mod clip_grad;
pub(crate) mod convolution;
pub(crate) mod copy_blocks;
pub(crate) mod cross_entropy;
pub(crate) mod cross_entropy_probs;
mod custom;
pub(crate) mod diagonal;
pub(crate) mod dropout_kinds;
pub(crate) mod einsum;
pub(crate) mod elementwise;
pub(crate) mod fill;
pub(crate) mod from_bytes;
pub(crate) mod grad_scaler;
pub(crate) mod halves;
pub(crate) mod indexing;
pub(crate) mod interpolate;
pub(crate) mod linear;
pub(crate) mod losses;
pub(crate) mod matmul;
pub(crate) mod multinomial;
pub(crate) mod nll_loss;
pub(crate) mod norm;
pub(crate) mod observe;
pub mod optim;
pub(crate) mod order;
pub(crate) mod pad;
pub(crate) mod pixel_shuffle;
pub(crate) mod pooling;
pub(crate) mod random;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod remap;
mod replace;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod transfer;
pub(crate) mod triangle;
pub(crate) mod truth;
pub(crate) mod tune;
pub(crate) mod unbind;
pub(crate) mod unfold;
pub(crate) mod views;

pub use attrs::{Attr, Attrs};
pub use call::{Call, Gradients, Outputs, Run, Vjp};
pub use custom::{CustomArgs, CustomOp, CustomOpBuilder, ParamValue};
pub use registry::{FAMILIES, REGISTRY, family_of, kernel, kernels, operation};
pub use replace::{Check, Replacement};

pub(crate) use call::{apply, apply_biased, apply_on, attach, pair, single};
pub(crate) use methods::{methods, or_panic};
pub(crate) use transfer::transfer;

use crate::Result;
use crate::engine::Kernel;
use crate::tensor::Tensor;

/// One row of the registry.
pub struct Operation {
    /// The name that errors, traces and tables show: PyTorch's.
    pub name: &'static str,
    /// Every kernel that it dispatches itself (one of another operation is listed there).
    pub kernels: &'static [&'static Kernel],
    /// The shape rule and the dispatches.
    pub forward: fn(&mut Call<'_>) -> Result<Outputs>,
    /// The vector-Jacobian product: a gradient for each input. `None` when no output is differentiable.
    pub vjp: Option<fn(&mut Vjp<'_>) -> Result<Gradients>>,
    /// What the generic tests run it with.
    pub cases: fn() -> Vec<cases::Case>,
}

impl Operation {
    /// An operation that is no row of the registry: its nodes have closures for their way back.
    pub(crate) const fn of_closures(name: &'static str) -> Operation {
        let forward = |_: &mut Call<'_>| -> Result<Outputs> { unreachable!("its forward is a closure") };
        Operation { name, kernels: &[], forward, vjp: None, cases: Vec::new }
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The sum of two gradients.
pub(crate) fn add_gradients(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.try_add(b)
}

/// A tensor of ones like `tensor`.
pub(crate) fn ones_like(tensor: &Tensor) -> Result<Tensor> {
    Tensor::try_full_on(tensor.shape(), 1.0, tensor.dtype(), tensor.device())
}

/// Undoes broadcasting: sums over the dims in which `gradient` is larger than `shape`.
pub(crate) fn sum_to_shape(gradient: Tensor, shape: &[usize]) -> Result<Tensor> {
    if gradient.shape() == shape {
        return Ok(gradient);
    }
    let extra = gradient.dim() - shape.len();
    let dims: Vec<i64> = (0..gradient.dim())
        .filter(|&d| d < extra || (shape[d - extra] == 1 && gradient.shape()[d] != 1))
        .map(|d| d as i64)
        .collect();
    let summed = if dims.is_empty() { gradient } else { gradient.try_sum_dims(&dims, true)? };
    summed.try_reshape(shape)
}

/// Copies `source` into the memory of `target`.
pub(crate) fn copy_into(target: &Tensor, source: &Tensor) -> Result<()> {
    assign::assign(target, source)
}
