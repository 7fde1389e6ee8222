//! What an operation leaves behind for the walk back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::anomaly::Place;
use super::hooks::{Hooks, TensorHook};
use super::leaf::Leaf;
use crate::dtype::DType;
use crate::engine::profile::{self, Origin};
use crate::ops::{Attrs, Gradients, Operation, Vjp};
use crate::tensor::{Gradient, Shape, Tensor};
use crate::{Error, Result};

/// One operation that was run, with what its derivative needs.
pub(crate) struct Node {
    pub operation: &'static Operation,
    pub attrs: Attrs,
    /// Where the gradient of each input goes; `None` where none is needed.
    pub inputs: SmallVec<[Edge; 2]>,
    pub outputs: SmallVec<[Shape; 1]>,
    saved: Mutex<Saved>,
    /// Position in the order of creation, which is a topological order.
    pub sequence: u64,
    /// The gradients of outputs that [`Tensor::retain_grad`] asks to keep.
    pub retained: Mutex<Retained>,
    /// Functions that see the gradient of an output.
    pub hooks: Hooks<(usize, TensorHook)>,
    /// What is done in the place of the operation's own vector-Jacobian product.
    pub step: Option<Step>,
    /// Where it was called, when anomalies are looked for.
    pub place: Option<Box<Place>>,
    /// Where it was called, for profiles.
    pub origin: Option<Arc<Origin>>,
}

/// A way back that is a closure.
pub(crate) enum Step {
    /// Gives a gradient for each input that needs one.
    Vjp(Box<VjpFunction>),
    /// Passes on what comes, and nothing where nothing comes.
    Watch(Box<VjpFunction>),
    /// Makes the outputs again, from the inputs, with a graph in which the walk goes on.
    Recompute(Box<RecomputeFunction>),
}

pub(crate) type VjpFunction = dyn Fn(&mut Vjp<'_>) -> Result<Gradients> + Send + Sync;
pub(crate) type RecomputeFunction = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;

/// Outputs, by number, with the leaves that keep their gradients.
pub(crate) type Retained = SmallVec<[(usize, Arc<Leaf>); 1]>;

/// An input of a node.
pub(crate) struct Edge {
    pub shape: Shape,
    pub dtype: DType,
    pub target: Option<Target>,
}

#[derive(Clone)]
pub(crate) enum Target {
    Leaf(Arc<Leaf>),
    Node(Arc<Node>, usize),
}

impl Target {
    pub fn of(tensor: &Tensor) -> Option<Target> {
        match tensor.gradient() {
            Gradient::None => None,
            Gradient::Leaf(leaf) => Some(Target::Leaf(leaf.clone())),
            Gradient::Node(node, output) => Some(Target::Node(node.clone(), *output)),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tensor kept for the walk back, outside of the graph, with the version that it had.
#[derive(Clone)]
pub(crate) struct SavedTensor {
    tensor: Tensor,
    version: u64,
}

impl SavedTensor {
    pub fn new(tensor: &Tensor) -> Self {
        SavedTensor { tensor: tensor.detach(), version: tensor.version() }
    }
}

enum Saved {
    Held(SmallVec<[SavedTensor; 2]>),
    Freed,
}

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

impl Node {
    #[track_caller]
    pub fn new(
        operation: &'static Operation,
        attrs: Attrs,
        inputs: SmallVec<[Edge; 2]>,
        outputs: SmallVec<[Shape; 1]>,
        saved: SmallVec<[SavedTensor; 2]>,
        step: Option<Step>,
    ) -> Arc<Node> {
        let sequence = SEQUENCE.fetch_add(1, Relaxed);
        let saved = Mutex::new(Saved::Held(saved));
        let (retained, hooks) = (Mutex::default(), Hooks::new());
        Arc::new(Node {
            operation,
            attrs,
            inputs,
            outputs,
            saved,
            sequence,
            retained,
            hooks,
            step,
            place: Place::here(),
            origin: profile::origin(),
        })
    }

    /// The saved tensors, which the node lets go of unless the graph is to be kept.
    ///
    /// # Errors
    /// When they are gone already, or were changed since.
    pub fn take_saved(&self, keep: bool) -> Result<SmallVec<[Tensor; 2]>> {
        let mut slot = lock(&self.saved);
        let saved = match &*slot {
            Saved::Freed => {
                return Err(Error::Autograd(format!(
                    "backward through `{}` a second time: its saved tensors are freed; keep them with \
                     `Backward::new().retain_graph()`",
                    self.operation.name
                )));
            }
            Saved::Held(saved) => saved,
        };
        for s in saved {
            let now = s.tensor.version();
            if now != s.version {
                return Err(Error::Autograd(format!(
                    "a tensor of shape {:?} that `{}` saved for its gradient was changed in place since (version {now}, \
                     saved at {}); change it after `backward`, or change a copy",
                    s.tensor.shape(),
                    self.operation.name,
                    s.version
                )));
            }
        }
        let tensors = saved.iter().map(|s| s.tensor.clone()).collect();
        if !keep {
            *slot = Saved::Freed;
        }
        Ok(tensors)
    }

    pub fn retained(&self) -> MutexGuard<'_, Retained> {
        lock(&self.retained)
    }
}

/// Dropping the last handle of a long graph would recurse through it: take it apart on a list instead.
impl Drop for Node {
    fn drop(&mut self) {
        let mut pending: Vec<Arc<Node>> = Vec::new();
        let detach = |inputs: &mut SmallVec<[Edge; 2]>, pending: &mut Vec<Arc<Node>>| {
            for edge in inputs.drain(..) {
                if let Some(Target::Node(node, _)) = edge.target {
                    pending.push(node);
                }
            }
        };
        detach(&mut self.inputs, &mut pending);
        while let Some(node) = pending.pop() {
            if let Some(mut last) = Arc::into_inner(node) {
                detach(&mut last.inputs, &mut pending);
            }
        }
    }
}
