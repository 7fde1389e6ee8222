//! The params of kernels that treat elements one by one.

use crate::Result;
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::tensor::shape::{Walk, broadcast_strides, contiguous_strides, numel, strided_offset};
use crate::tensor::{Shape, Tensor};

params! {
    /// Twin of `Params` in `shaders/common/elementwise.wgsl`.
    pub struct ElementwiseParams {
        n: u32,
        rank: u32,
        extra: [u32; 2],
        scalars: [u32; 4],
        offsets: [u32; 4],
        shape: [u32; 8],
        strides: [u32; 24],
    }
}

/// How the operands lie beside the result, which lies in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// All like the result, in whole vectors of four.
    Quads,
    /// Four neighbours of the result come from four neighbours in a whole vector, or from one element.
    Rows,
    /// In any way.
    Any,
}

impl ElementwiseParams {
    /// Params for operands that were broadcast to one shape, and a contiguous result.
    pub fn new(op: &'static str, shape: &[usize], operands: &[&Tensor], result: &Tensor) -> Result<Self> {
        let mut strides: [Shape; 3] = Default::default();
        for (strides, operand) in strides.iter_mut().zip(operands) {
            *strides = broadcast_strides(operand.shape(), operand.strides(), shape);
        }
        for unused in &mut strides[operands.len()..] {
            *unused = contiguous_strides(shape);
        }
        let (walk, _) = Walk::new(op, shape, std::array::from_fn::<_, 3, _>(|i| &strides[i][..]), shape.len())?;
        let mut params = ElementwiseParams {
            n: numel(shape) as u32,
            rank: walk.rank,
            extra: [0; 2],
            scalars: [0; 4],
            offsets: [0, 0, 0, result.offset() as u32],
            shape: walk.shape,
            strides: [0; 24],
        };
        for (i, strides) in walk.strides.iter().enumerate() {
            params.strides[8 * i..8 * (i + 1)].copy_from_slice(strides);
        }
        for (offset, operand) in params.offsets.iter_mut().zip(operands) {
            *offset = operand.offset() as u32;
        }
        Ok(params)
    }

    /// Where element `i` of an operand lies: twin of `operand_offset`.
    pub fn operand(&self, i: u32, operand: usize) -> usize {
        let strides = &self.strides[8 * operand..8 * (operand + 1)];
        self.offsets[operand] as usize + strided_offset(i, self.rank, &self.shape, strides)
    }

    /// How the operands lie.
    pub fn arrangement(&self) -> Arrangement {
        let rank = self.rank as usize;
        let whole = |n: &u32| n.is_multiple_of(4);
        if rank == 0 || !whole(&self.shape[rank - 1]) || !whole(&self.offsets[3]) {
            return Arrangement::Any;
        }
        let strides = |operand: usize| &self.strides[8 * operand..][..rank];
        let is_whole = |operand: usize| {
            let (step, outer) = strides(operand).split_last().expect("a rank above 0");
            *step == 1 && whole(&self.offsets[operand]) && outer.iter().all(whole)
        };
        if rank == 1 && (0..3).all(is_whole) {
            Arrangement::Quads
        } else if (0..3).all(|operand| strides(operand)[rank - 1] == 0 || is_whole(operand)) {
            Arrangement::Rows
        } else {
            Arrangement::Any
        }
    }

    /// How far apart neighbours of the result lie in an operand; 0 if there are none.
    pub fn last_step(&self, operand: usize) -> u32 {
        (self.rank as usize).checked_sub(1).map_or(0, |last| self.strides[8 * operand + last])
    }

    /// Whether all operands lie like the result, in whole vectors of eight.
    pub fn lies_in_eights(&self) -> bool {
        let whole = |n: &u32| n.is_multiple_of(8);
        self.arrangement() == Arrangement::Quads && whole(&self.n) && self.offsets.iter().all(whole)
    }

    /// How far apart four neighbours of the result lie in its only operand, if that is always the same and they are neither
    /// a vector of it nor one element.
    pub fn step_of_quads(&self) -> Option<u32> {
        let last = (self.rank as usize).checked_sub(1)?;
        let whole = self.shape[last].is_multiple_of(4) && self.offsets[3].is_multiple_of(4);
        (whole && self.arrangement() == Arrangement::Any).then_some(self.last_step(0))
    }

    /// Where element `i` of the result lies.
    pub fn result(&self, i: u32) -> usize {
        (self.offsets[3] + i) as usize
    }
}

/// The bits of numbers that every element meets.
pub(crate) fn scalar_bits(scalars: [f64; 4], dtype: DType) -> [u32; 4] {
    scalars.map(|s| match dtype {
        DType::F32 | DType::F16 | DType::BF16 => (s as f32).to_bits(),
        DType::I32 => (s as i32) as u32,
        DType::U32 | DType::Bool => s as i64 as u32,
    })
}
