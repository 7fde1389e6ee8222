//! Operands of half the width: which kernels read them as they are, and where they become f32 first.
//!
//! The kernels for GPUs read halves and write them, and those that copy operands into vectors read them, all with sums in
//! f32. The other kernels for software drivers read one number at a time in their innermost loops, where widening it would
//! cost more than a conversion of all of them, which takes a few hundredths of a convolution's time there.
//!
//! Forward and back with a bias on lavapipe (`cargo bench --bench conv -- "forward and back"`), f16 beside f32, and where
//! every operand was converted first: 16→32 3×3 1.13 and 1.17 times its time, 64→64 3×3 1.05 and 1.06. With the kernels for
//! GPUs it is 6 dispatches (5 in f32, and 13 before), and what is saved for the gradient are the halves.

use std::cell::OnceCell;

use super::{ConvParams, choice, vectors};
use crate::Result;
use crate::dtype::DType;
use crate::ops::{Run, cast};
use crate::tensor::Tensor;

/// A tensor, and the same as f32 once a kernel has needed that.
pub(crate) struct Operand<'a> {
    tensor: &'a Tensor,
    wide: OnceCell<Tensor>,
}

impl<'a> Operand<'a> {
    pub fn new(tensor: &'a Tensor) -> Self {
        Operand { tensor, wide: OnceCell::new() }
    }

    pub fn is_half(&self) -> bool {
        self.tensor.dtype().is_half()
    }

    /// The tensor as f32.
    pub fn wide(&self) -> Result<&Tensor> {
        if !self.is_half() {
            return Ok(self.tensor);
        }
        if let Some(wide) = self.wide.get() {
            return Ok(wide);
        }
        let wide = self.tensor.detach().try_to_dtype(DType::F32)?;
        Ok(self.wide.get_or_init(|| wide))
    }

    /// The tensor as it is, or as f32.
    pub fn of_type(&self, as_is: bool) -> Result<&Tensor> {
        if as_is { Ok(self.tensor) } else { self.wide() }
    }

    /// What a gradient is best made from: where f32 was needed once, it will be again.
    pub fn kept(&self) -> &Tensor {
        self.wide.get().unwrap_or(self.tensor)
    }
}

/// What a convolution reads.
pub(crate) struct Operands<'a> {
    pub x: &'a Operand<'a>,
    pub weight: &'a Operand<'a>,
    pub bias: Option<&'a Operand<'a>>,
}

/// The tensors that its kernel reads and writes.
pub(super) struct Chosen<'a> {
    pub x: &'a Tensor,
    pub weight: &'a Tensor,
    pub bias: Option<&'a Tensor>,
    pub y: Tensor,
}

impl Operands<'_> {
    /// The operands, and memory for the result `y`, as the kernel takes them that serves such a convolution. `is_dense` says
    /// that it writes neighbouring places of `y` at a time.
    pub(super) fn chosen(
        &self,
        run: &mut Run<'_>,
        sizes: &ConvParams,
        y: &Tensor,
        is_dense: bool,
    ) -> Result<Chosen<'_>> {
        let all_half = self.x.is_half() && self.weight.is_half() && self.bias.is_none_or(Operand::is_half);
        let copies = choice(run, sizes.rows) == "lanes";
        // What is copied into vectors first is copied from either type.
        let as_is = if copies { vectors::fit(sizes) } else { all_half };
        let width = y.shape()[y.dim() - 1];
        let whole = is_dense && width.is_multiple_of(2) && y.offset().is_multiple_of(2);
        let keeps = !y.dtype().is_half() || (as_is && !copies && whole);
        Ok(Chosen {
            x: self.x.of_type(as_is)?,
            weight: self.weight.of_type(as_is)?,
            bias: self.bias.map(|bias| bias.of_type(as_is && !copies)).transpose()?,
            y: if keeps { y.clone() } else { run.output(DType::F32, y.shape()) },
        })
    }
}

impl Chosen<'_> {
    /// Brings the result into the memory that it was wanted in.
    pub fn finish(&self, run: &mut Run<'_>, y: &Tensor) -> Result<()> {
        if self.y.dtype() == y.dtype() { Ok(()) } else { cast::convert(run, &self.y, y) }
    }
}
