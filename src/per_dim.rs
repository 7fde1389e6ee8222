//! Sizes of windows and kernels, as PyTorch takes them: one number or one for each dim.

/// A number for each spatial dim: one for all of them, or an array.
///
/// ```
/// use lumigrad::PerDim;
/// assert_eq!(PerDim::<2>::from(3), PerDim([3, 3]));
/// assert_eq!(PerDim::from([1, 2]), PerDim([1, 2]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerDim<const N: usize>(pub [usize; N]);

impl<const N: usize> From<usize> for PerDim<N> {
    fn from(all: usize) -> Self {
        PerDim([all; N])
    }
}

impl<const N: usize> From<[usize; N]> for PerDim<N> {
    fn from(each: [usize; N]) -> Self {
        PerDim(each)
    }
}

impl From<(usize, usize)> for PerDim<2> {
    fn from((h, w): (usize, usize)) -> Self {
        PerDim([h, w])
    }
}

/// The sizes that an adaptive pooling gives: one for all dims, or one for each; `None` keeps the input's.
///
/// ```
/// use lumigrad::OutputSize;
/// assert_eq!(OutputSize::<2>::from(7), OutputSize([Some(7), Some(7)]));
/// assert_eq!(OutputSize::from([5, 7]), OutputSize([Some(5), Some(7)]));
/// assert_eq!(OutputSize::from([None, Some(7)]), OutputSize([None, Some(7)]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputSize<const N: usize>(pub [Option<usize>; N]);

impl<const N: usize> From<usize> for OutputSize<N> {
    fn from(all: usize) -> Self {
        OutputSize([Some(all); N])
    }
}

impl<const N: usize> From<[usize; N]> for OutputSize<N> {
    fn from(each: [usize; N]) -> Self {
        OutputSize(each.map(Some))
    }
}

impl<const N: usize> From<[Option<usize>; N]> for OutputSize<N> {
    fn from(each: [Option<usize>; N]) -> Self {
        OutputSize(each)
    }
}

impl From<(usize, usize)> for OutputSize<2> {
    fn from((h, w): (usize, usize)) -> Self {
        OutputSize([Some(h), Some(w)])
    }
}
