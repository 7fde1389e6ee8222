//! Where a leaf's gradient collects.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

use super::hooks::{self, Hooks, PostHook, TensorHook};
use super::node::lock;
use crate::Result;
use crate::engine::Device;
use crate::engine::memory::Class;
use crate::ops::{add_gradients, copy_into};
use crate::tensor::Tensor;

/// A leaf of the graph: a tensor that the user, or a parameter, made.
#[derive(Default)]
pub(crate) struct Leaf {
    collected: Mutex<Collected>,
    /// The storage that a parameter has now; 0 for a leaf that never moves.
    home: AtomicUsize,
    /// How many faults the device had reported when the gradient was set.
    faults: AtomicU64,
    hooks: OnceLock<Box<LeafHooks>>,
}

/// Most leaves have none.
#[derive(Default)]
struct LeafHooks {
    tensor: Hooks<TensorHook>,
    post: Hooks<PostHook>,
}

#[derive(Default)]
struct Collected {
    grad: Option<Tensor>,
    /// Memory of an optimiser that the gradient should be written to.
    destination: Option<Tensor>,
    /// Whether a walk has the destination to write to, and has not added its gradient yet.
    is_lent: bool,
}

impl Leaf {
    pub fn hooks(&self) -> &Hooks<TensorHook> {
        &self.hooks.get_or_init(Box::default).tensor
    }

    pub fn post_hooks(&self) -> &Hooks<PostHook> {
        &self.hooks.get_or_init(Box::default).post
    }

    /// Leads a pass's gradient through the hooks.
    pub fn through_hooks(&self, gradient: Tensor) -> Result<Tensor> {
        match self.hooks.get() {
            Some(own) => hooks::through(hooks::all(&own.tensor), gradient),
            None => Ok(gradient),
        }
    }

    pub fn run_post_hooks(&self) {
        if let Some(own) = self.hooks.get() {
            hooks::all(&own.post).iter().for_each(|hook| hook());
        }
    }

    pub fn grad(&self) -> Option<Tensor> {
        lock(&self.collected).grad.clone()
    }

    pub fn set_grad(&self, grad: Option<Tensor>) {
        self.store(&mut lock(&self.collected), grad);
    }

    fn store(&self, collected: &mut Collected, grad: Option<Tensor>) {
        if let Some(grad) = &grad {
            self.faults.store(grad.device().reported_faults(), Relaxed);
            grad.set_label(Class::Gradients);
        }
        collected.grad = grad;
    }

    /// Whether a bad index was reported after the gradient was made: it may come from that.
    pub fn is_suspect(&self, device: &Device) -> bool {
        self.faults.load(Relaxed) != device.reported_faults()
    }

    /// Notes where a parameter's elements are from now on.
    pub fn moved_to(&self, tensor: &Tensor) {
        self.home.store(tensor.storage_id(), Relaxed);
    }

    /// Whether this tensor is what its parameter held before it moved.
    pub fn is_former(&self, tensor: &Tensor) -> bool {
        let home = self.home.load(Relaxed);
        home != 0 && home != tensor.storage_id()
    }

    pub fn destination(&self) -> Option<Tensor> {
        lock(&self.collected).destination.clone()
    }

    pub fn set_destination(&self, destination: Option<Tensor>) {
        lock(&self.collected).destination = destination;
    }

    /// The destination, for a walk that brings the first gradient: nobody else gets it until [`Self::accumulate`] or
    /// [`Self::give_back`].
    pub fn borrow_destination(&self) -> Option<Tensor> {
        let mut collected = lock(&self.collected);
        if collected.is_lent || collected.grad.is_some() {
            return None;
        }
        let destination = collected.destination.clone()?;
        collected.is_lent = true;
        Some(destination)
    }

    /// Ends the loan of a walk that failed.
    pub fn give_back(&self) {
        lock(&self.collected).is_lent = false;
    }

    /// Adds to `.grad`, into the optimiser's memory where there is some. One step for other threads, whose walks may
    /// bring gradients of the same leaf. `has_destination`: the walk was lent the destination.
    pub fn accumulate(&self, gradient: Tensor, has_destination: bool) -> Result<()> {
        let mut collected = lock(&self.collected);
        let sum = match &collected.grad {
            None => gradient,
            Some(earlier) => add_gradients(earlier, &gradient)?,
        };
        let fits = |home: &&Tensor| {
            home.shape() == sum.shape() && home.device() == sum.device() && home.dtype() == sum.dtype()
        };
        // While another walk writes to the destination the sum waits elsewhere; that walk will add to it.
        let free = has_destination || !collected.is_lent;
        let grad = match collected.destination.as_ref().filter(fits).filter(|_| free) {
            Some(home) => {
                if !home.is_same_place(&sum) {
                    copy_into(home, &sum)?;
                }
                home.clone()
            }
            // Operations pass gradients on: what this leaf keeps must be nobody else's.
            None if sum.is_sole_owner() => sum,
            None => sum.try_copy()?,
        };
        if has_destination {
            collected.is_lent = false;
        }
        self.store(&mut collected, Some(grad));
        Ok(())
    }
}
