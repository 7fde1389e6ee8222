//! Changing a tensor's elements where they are.

use super::Tensor;
use crate::autograd::is_grad_enabled;
use crate::ops::{self, Attrs, apply};
use crate::{Error, Result};

impl Tensor {
    /// Whether one element of the storage may show in several places, as after `expand` or `unfold`.
    fn overlaps(&self) -> bool {
        let dims = self.shape().iter().zip(self.strides()).filter(|(size, _)| **size > 1);
        let mut dims: Vec<(usize, usize)> = dims.map(|(&size, &stride)| (stride, size)).collect();
        dims.sort_unstable();
        // Each dim steps over all that the smaller ones reach.
        let mut reach = 0;
        self.numel() > 0
            && dims.into_iter().any(|(stride, size)| {
                let inside = stride <= reach;
                reach += stride * (size - 1);
                inside
            })
    }

    /// Whether the elements may be changed in place, and an error that says why not.
    pub(crate) fn check_in_place(&self, op: &'static str, source: Option<&Tensor>) -> Result<()> {
        let refuse = |why: &str| Err(Error::Autograd(format!("{op}: {why}")));
        if self.overlaps() {
            return refuse(
                "the tensor shows one element in several places, as expanding does; write to a `.copy()` of it",
            );
        }
        if !is_grad_enabled() {
            return Ok(());
        }
        if self.is_requires_grad() {
            let view = if self.is_view() { "a view inside a graph" } else { "a tensor inside a graph" };
            return refuse(if self.is_leaf() {
                "a leaf that requires a gradient is changed only inside of `no_grad(|| ..)`"
            } else {
                return Err(Error::Autograd(format!(
                    "{op}: {view} can't be changed in place; write `x += ..` or `x = x.{op}(..)` without the underscore"
                )));
            });
        }
        if source.is_some_and(Tensor::is_requires_grad) {
            return refuse(
                "the source requires a gradient and the target is not part of a graph, so the gradient would be lost; \
                 `.detach()` the source or run inside of `no_grad(|| ..)`",
            );
        }
        Ok(())
    }

    /// Copies the elements of `source`, broadcast, into this tensor's memory; views of it see the change.
    ///
    /// # Errors
    /// When the shapes or types do not fit, autograd forbids it (a leaf that requires a gradient outside of `no_grad`,
    /// a tensor inside a graph, an expanded tensor), or the device fails.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::zeros(&[2, 2]);
    /// x.select(0, 1).copy_(&Tensor::from_slice(&[5.0f32, 6.0], &[2]))?;
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.0, 5.0, 6.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn copy_(&self, source: &Tensor) -> Result<()> {
        self.check_in_place("copy_", Some(source))?;
        apply(&ops::assign::ASSIGN, &[self, source], Attrs::new()).map(|_| ())
    }

    /// Adds the elements of `other`, broadcast, to this tensor's.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn add_(&self, other: &Tensor) -> Result<()> {
        self.check_in_place("add_", Some(other))?;
        apply(&ops::assign::ADD_IN_PLACE, &[self, other], Attrs::new()).map(|_| ())
    }

    /// Sets every element.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn fill_(&self, value: f64) -> Result<()> {
        self.check_in_place("fill_", None)?;
        apply(&ops::fill::FILL_IN_PLACE, &[self], Attrs::new().float("value", value)).map(|_| ())
    }

    /// Sets every element to 0.
    ///
    /// # Errors
    /// As [`Tensor::copy_`].
    pub fn zero_(&self) -> Result<()> {
        self.fill_(0.0)
    }
}
