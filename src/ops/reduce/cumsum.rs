//! `cumsum` along a dim: `y_j = Σ x_i` over i ≤ j. The gradient is the same sum from the other end.
//!
//! <https://pytorch.org/docs/stable/generated/torch.cumsum.html>

use smallvec::smallvec;

use super::cumulative::{Scan, counted, forward, scan, scan_kernel, twin};
use super::sum::SUM_KERNELS;
use super::{ReduceParams, grid_by_group, grid_by_thread};
use crate::Result;
use crate::engine::{Bound, HostCall, Kernel, Params};
use crate::ops::{Attrs, Operation, apply, cases, methods, single};
use crate::tensor::Tensor;

static BY_THREAD: Kernel = scan_kernel!("cumsum", "by_thread", 0, grid_by_thread, sums, bound);
static BY_GROUP: Kernel = scan_kernel!("cumsum", "by_group", 0, grid_by_group, sums, bound);
static SCAN: Scan = Scan { by_thread: &BY_THREAD, by_group: &BY_GROUP, parts: &SUM_KERNELS };

fn sums(call: &HostCall<'_>) -> Result<()> {
    twin(call, (0.0, |a, b| a + b), (0, |a, b| a.wrapping_add(b)))
}

/// As a sum of a part, whose every partial result counts.
fn bound(params: &Params<'_>) -> Bound {
    Bound::Magnitude { ulps: 4.0 + 2.0 * f64::from(params.get::<ReduceParams>().part).sqrt() }
}

/// The operation `cumsum`.
pub(crate) static CUMSUM: Operation = Operation {
    name: "cumsum",
    kernels: &[&BY_THREAD, &BY_GROUP],
    forward: |call| Ok(smallvec![forward(call, &SCAN)?]),
    vjp: Some(|v| {
        let (dim, reverse) = (v.attrs().get_int("dim"), v.attrs().get_bool("reverse"));
        let (g, dx) = (v.gradient(), v.gradient_output(0));
        scan(v, &SCAN, g, dim, !reverse, &dx)?;
        Ok(smallvec![Some(dx)])
    }),
    cases: || super::cumulative::cases(cases::ANY),
};

methods! {
    /// The sums of all elements up to each along a dim. Truth values are counted as i32.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]);
    /// assert_eq!(x.cumsum(0).to_vec::<f32>()?, [1.0, 3.0, 6.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dim does not exist.
    pub fn cumsum / try_cumsum (&self, dim: i64) -> Tensor {
        single(apply(&CUMSUM, &[&counted(self)?], Attrs::new().int("dim", dim).bool("reverse", false)))
    }
}
