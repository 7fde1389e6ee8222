//! Shapes, strides and what the host does with them so that kernels see few dims.

use smallvec::SmallVec;

use crate::engine::MAX_RANK;
use crate::{Error, Result};

/// Sizes of the dims, outermost first. A 0-d tensor has none.
pub type Shape = SmallVec<[usize; 4]>;

/// Dims of a tensor that is reduced, at most, as in PyTorch.
const MAX_DIMS: usize = 64;

/// Elements of a shape.
pub(crate) fn numel(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The number of elements, unless it overflows.
pub(crate) fn checked_numel(op: &'static str, shape: &[usize]) -> Result<usize> {
    let product = |least: usize| shape.iter().try_fold(1usize, |acc, &d| acc.checked_mul(d.max(least)));
    // Strides are products of sizes too, also where there is not one element.
    if shape.contains(&0) && product(1).is_none() {
        return Err(Error::Limit { op, detail: format!("the strides of a tensor of shape {shape:?} overflow") });
    }
    product(0).filter(|&n| n <= 1 << 31).ok_or_else(|| Error::Limit {
        op,
        detail: format!("a tensor of shape {shape:?} has more than 2^31 elements, the most that shaders index"),
    })
}

/// Strides of a tensor that lies row by row.
pub(crate) fn contiguous_strides(shape: &[usize]) -> Shape {
    let mut strides: Shape = SmallVec::from_elem(1, shape.len());
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d].max(1);
    }
    strides
}

/// Whether the strides are those of [`contiguous_strides`], where they matter.
pub(crate) fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size != 1 && stride != expected {
            return size == 0 || numel(shape) == 0;
        }
        expected *= size;
    }
    true
}

/// The shape that both broadcast to.
pub(crate) fn broadcast(op: &'static str, a: &[usize], b: &[usize]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let size = |s: &[usize], d: usize| if d + s.len() >= rank { s[d + s.len() - rank] } else { 1 };
    let mut out = Shape::with_capacity(rank);
    for d in 0..rank {
        match (size(a, d), size(b, d)) {
            (x, y) if x == y => out.push(x),
            (1, y) => out.push(y),
            (x, 1) => out.push(x),
            (x, y) => {
                let dim = d as i64 - rank as i64;
                return Err(Error::shape(
                    op,
                    format!(
                        "shapes {a:?} and {b:?} do not broadcast: dim {dim} has {x} and {y} elements, and neither is 1"
                    ),
                ));
            }
        }
    }
    Ok(out)
}

/// Strides that read a tensor of `shape` as if it had the larger shape `to`.
pub(crate) fn broadcast_strides(shape: &[usize], strides: &[usize], to: &[usize]) -> Shape {
    let missing = to.len() - shape.len();
    let own = (0..shape.len()).map(|d| if shape[d] == 1 && to[missing + d] != 1 { 0 } else { strides[d] });
    std::iter::repeat_n(0, missing).chain(own).collect()
}

/// A dim that may count from the end, as an index.
pub(crate) fn dim_index(op: &'static str, dim: i64, rank: usize) -> Result<usize> {
    // A 0-d tensor takes 0 and -1, as in PyTorch.
    let n = rank.max(1) as i64;
    if (-n..n).contains(&dim) { Ok(dim.rem_euclid(n) as usize) } else { Err(Error::Dim { op, dim, rank }) }
}

/// A list of dims as a sorted list of indices; an empty one means all.
pub(crate) fn dim_indices(op: &'static str, dims: &[i64], rank: usize) -> Result<SmallVec<[usize; 4]>> {
    if rank > MAX_DIMS {
        return Err(Error::argument(op, format!("takes tensors with up to {MAX_DIMS} dims, this one has {rank}")));
    }
    if dims.is_empty() {
        return Ok((0..rank).collect());
    }
    let mut indices = dims.iter().map(|&d| dim_index(op, d, rank)).collect::<Result<SmallVec<[usize; 4]>>>()?;
    indices.sort_unstable();
    if indices.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::argument(op, format!("dims {dims:?} name a dim twice")));
    }
    if rank == 0 {
        indices.clear();
    }
    Ok(indices)
}

/// Several operands walked together: dims of size 1 dropped, dims that lie one behind the other in every operand merged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Walk<const N: usize> {
    pub rank: u32,
    pub shape: [u32; MAX_RANK],
    pub strides: [[u32; MAX_RANK]; N],
}

impl<const N: usize> Walk<N> {
    /// `split`: a dim at which merging stops, since a kernel treats what is before and behind it differently. Gives the
    /// walk and how many of its dims come from before the split.
    pub fn new(op: &'static str, shape: &[usize], strides: [&[usize]; N], split: usize) -> Result<(Self, u32)> {
        let mut dims: SmallVec<[(usize, [usize; N]); 8]> = SmallVec::new();
        let mut before = 0;
        for d in 0..shape.len() {
            if d == split {
                before = dims.len();
            }
            if shape[d] == 1 {
                continue;
            }
            let step: [usize; N] = std::array::from_fn(|i| strides[i][d]);
            let first = if d >= split { before } else { 0 };
            match dims[first..].last_mut() {
                Some((size, last)) if (0..N).all(|i| last[i] == step[i] * shape[d]) => {
                    *size *= shape[d];
                    *last = step;
                }
                _ => dims.push((shape[d], step)),
            }
        }
        if split >= shape.len() {
            before = dims.len();
        }
        if dims.len() > MAX_RANK {
            let detail = format!(
                "a tensor of shape {shape:?} has {} dims that can't be merged, kernels take {MAX_RANK}; call `.contiguous()` first",
                dims.len()
            );
            return Err(Error::Limit { op, detail });
        }
        let mut walk = Walk { rank: dims.len() as u32, shape: [1; MAX_RANK], strides: [[0; MAX_RANK]; N] };
        for (d, (size, step)) in dims.iter().enumerate() {
            walk.shape[d] = *size as u32;
            for (strides, step) in walk.strides.iter_mut().zip(step) {
                strides[d] = *step as u32;
            }
        }
        Ok((walk, before as u32))
    }
}

/// Twin of `operand_offset` in `shaders/common/elementwise.wgsl`: where element `i` lies.
pub(crate) fn strided_offset(mut i: u32, rank: u32, shape: &[u32], strides: &[u32]) -> usize {
    if rank <= 1 {
        return (i * strides[0]) as usize;
    }
    let mut offset = 0;
    for d in (0..rank as usize).rev() {
        offset += (i % shape[d]) * strides[d];
        i /= shape[d];
    }
    offset as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_pytorch() {
        assert_eq!(broadcast("t", &[2, 1, 3], &[4, 1]).unwrap().as_slice(), [2, 4, 3]);
        assert_eq!(broadcast("t", &[], &[0]).unwrap().as_slice(), [0]);
        assert_eq!(broadcast_strides(&[4, 1], &[1, 1], &[2, 4, 3]).as_slice(), [0, 1, 0]);
        let text = broadcast("add", &[2, 3], &[2]).unwrap_err().to_string();
        assert!(text.contains("[2, 3]") && text.contains("[2]") && text.contains("dim -1"), "{text}");
    }

    #[test]
    fn contiguous_dims_merge() {
        let (walk, _) = Walk::new("t", &[2, 3, 4], [&[12, 4, 1], &[12, 4, 1]], 3).unwrap();
        assert_eq!((walk.rank, walk.shape[0], walk.strides[0][0]), (1, 24, 1));
        // a broadcast row: the outer dims merge in the first operand only
        let (walk, _) = Walk::new("t", &[2, 3, 4], [&[12, 4, 1], &[0, 0, 1]], 3).unwrap();
        assert_eq!((walk.rank, &walk.shape[..2]), (2, &[6, 4][..]));
        assert_eq!(walk.strides[1][..2], [0, 1]);
    }

    #[test]
    fn merging_stops_at_the_split() {
        let (walk, before) = Walk::new("t", &[2, 3, 4], [&[12, 4, 1]], 1).unwrap();
        assert_eq!((walk.rank, before, &walk.shape[..2]), (2, 1, &[2, 12][..]));
        let (walk, before) = Walk::new("t", &[1, 3, 4], [&[12, 4, 1]], 1).unwrap();
        assert_eq!((walk.rank, before), (1, 0));
    }

    #[test]
    fn offsets_walk_strides() {
        let (walk, _) = Walk::new("t", &[3, 2], [&[1, 3]], 2).unwrap();
        let offsets: Vec<_> = (0..6).map(|i| strided_offset(i, walk.rank, &walk.shape, &walk.strides[0])).collect();
        assert_eq!(offsets, [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn contiguity_ignores_dims_that_do_not_matter() {
        assert!(is_contiguous(&[3, 1, 2], &[2, 99, 1]));
        assert!(!is_contiguous(&[3, 2], &[1, 3]));
        assert!(is_contiguous(&[0, 5], &[7, 7]));
        assert!(is_contiguous(&[], &[]));
    }

    #[test]
    fn strides_of_no_elements_are_counted_too() {
        assert!(checked_numel("zeros", &[0, 1 << 40]).is_ok_and(|n| n == 0));
        assert!(checked_numel("zeros", &[0, 1 << 40, 1 << 40]).is_err());
    }

    #[test]
    fn dims_count_from_both_ends() {
        assert_eq!(dim_index("t", -1, 3).unwrap(), 2);
        assert_eq!(dim_index("t", 0, 0).unwrap(), 0);
        let text = dim_index("sum", 3, 3).unwrap_err().to_string();
        assert!(text.contains("-3 to 2"), "{text}");
        assert!(dim_indices("t", &[0, -3], 3).is_err());
    }
}
