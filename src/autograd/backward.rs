//! The walk back: iterative, in reverse order of creation.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::anomaly;
use super::hooks;
use super::leaf::Leaf;
use super::node::{Edge, Node, RecomputeFunction, Step, Target};
use super::{enable_grad, no_grad};
use crate::amp::with_autocast;
use crate::engine::profile::{self, SpanKind};
use crate::ops::{Gradients, Vjp, add_gradients, ones_like, sum_to_shape};
use crate::tensor::{Gradient, Tensor};
use crate::{Error, Result};

/// How a backward pass is run.
///
/// ```
/// use lumigrad::{autograd::Backward, prelude::*};
/// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).requires_grad();
/// let y = &x * &x;
/// let upstream = Tensor::from_slice(&[1.0f32, 10.0], &[2]);
/// Backward::new().gradient(&upstream).retain_graph().run(&y)?;
/// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 40.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
/// Gradients have no graph of their own, so there is no double backward (PyTorch's `create_graph`): going back from one is
/// refused.
#[derive(Clone, Default)]
pub struct Backward {
    gradient: Option<Tensor>,
    retain_graph: bool,
}

impl Backward {
    /// A pass from a scalar, which frees the graph as it goes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradient of the output; without it the output must have one element and the gradient is 1.
    pub fn gradient(mut self, gradient: &Tensor) -> Self {
        self.gradient = Some(gradient.detach());
        self
    }

    /// Keeps saved tensors, so that a second pass can follow.
    pub fn retain_graph(mut self) -> Self {
        self.retain_graph = true;
        self
    }

    /// Adds the gradients of `output` to the `.grad` of every leaf that it depends on.
    ///
    /// # Errors
    /// When `output` needs no gradient or is no scalar, a saved tensor was changed or freed, or the device failed.
    pub fn run(self, output: &Tensor) -> Result<()> {
        let _span = profile::span(SpanKind::Phase, "backward");
        outside(|| {
            let seed = self.seed(output)?;
            let mut walk = Walk { retain_graph: self.retain_graph, into_destinations: true, ..Walk::default() };
            walk.start(output, seed)?;
            walk.run()?;
            walk.accumulate()
        })
    }

    fn seed(&self, output: &Tensor) -> Result<Tensor> {
        if let Some(error) = output.poison() {
            return Err(error.clone());
        }
        if !output.is_requires_grad() {
            return Err(Error::Autograd(
                "backward: this tensor does not depend on anything that requires a gradient; gradients themselves are \
                 outside of the graph (there is no double backward)"
                    .into(),
            ));
        }
        if let Some(gradient) = &self.gradient {
            check_gradient("backward", gradient, output)?;
        }
        match &self.gradient {
            Some(gradient) if gradient.shape() == output.shape() => Ok(gradient.clone()),
            Some(gradient) => Err(Error::Autograd(format!(
                "backward: the gradient has shape {:?}, the output {:?}",
                gradient.shape(),
                output.shape()
            ))),
            None if output.numel() == 1 => ones_like(output),
            None => Err(Error::Autograd(format!(
                "backward: the output has shape {:?}; only a scalar needs no gradient. Reduce it (`.sum()`, `.mean()`) \
                 or give one with `Backward::new().gradient(..)`",
                output.shape()
            ))),
        }
    }
}

/// Gradients are computed without a graph, and in the types that the forward pass chose.
fn outside<R>(body: impl FnOnce() -> R) -> R {
    no_grad(|| with_autocast(None, body))
}

/// A gradient that comes from outside must be of the tensor's type and on its device.
fn check_gradient(op: &str, gradient: &Tensor, of: &Tensor) -> Result<()> {
    if gradient.dtype() != of.dtype() || gradient.device() != of.device() {
        return Err(Error::Autograd(format!(
            "{op}: the gradient holds {} on {}, the tensor {} on {}",
            gradient.dtype(),
            gradient.device(),
            of.dtype(),
            of.device()
        )));
    }
    Ok(())
}

/// The gradients of `output` with respect to `inputs`, without touching any `.grad`: `torch.autograd.grad`.
///
/// # Errors
/// As [`Backward::run`], and when `output` does not depend on one of the inputs.
pub fn grad(output: &Tensor, inputs: &[&Tensor], options: Backward) -> Result<Vec<Tensor>> {
    let _span = profile::span(SpanKind::Phase, "backward");
    outside(|| {
        let seed = options.seed(output)?;
        let mut walk = Walk { retain_graph: options.retain_graph, ..Walk::default() };
        for input in inputs {
            if let Gradient::Node(node, index) = input.gradient() {
                walk.wanted.insert((Arc::as_ptr(node) as usize, *index), None);
            }
        }
        walk.start(output, seed)?;
        walk.run()?;
        inputs.iter().map(|input| walk.result(input)).collect()
    })
}

/// One node waiting for its turn, the latest made first.
struct Pending(Arc<Node>);

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.0.sequence == other.0.sequence
    }
}
impl Eq for Pending {}
impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.sequence.cmp(&other.0.sequence)
    }
}

type OutputGradients = SmallVec<[Option<Tensor>; 1]>;

#[derive(Default)]
struct Walk {
    retain_graph: bool,
    /// Whether a gradient may be written straight into an optimiser's memory.
    into_destinations: bool,
    queue: BinaryHeap<Pending>,
    gradients: FxHashMap<u64, OutputGradients>,
    leaves: FxHashMap<usize, (Arc<Leaf>, Tensor)>,
    wanted: FxHashMap<(usize, usize), Option<Tensor>>,
    /// Leaves whose destination was lent to this walk.
    borrowed: Borrowed,
}

#[derive(Default)]
struct Borrowed(RefCell<FxHashMap<usize, Arc<Leaf>>>);

/// Leaves that got no gradient after all, because the walk failed.
impl Drop for Borrowed {
    fn drop(&mut self) {
        self.0.get_mut().values().for_each(|leaf| leaf.give_back());
    }
}

impl Walk {
    fn start(&mut self, output: &Tensor, seed: Tensor) -> Result<()> {
        match Target::of(output) {
            Some(target) => self.send(target, seed),
            None => Ok(()),
        }
    }

    fn run(&mut self) -> Result<()> {
        while let Some(Pending(node)) = self.queue.pop() {
            let mut gradients = self.gradients.remove(&node.sequence).expect("a queued node has gradients");
            self.show(&node, &mut gradients)?;
            match &node.step {
                Some(Step::Recompute(again)) => self.recompute(&node, gradients, again)?,
                _ => self.step(&node, &gradients)?,
            }
        }
        Ok(())
    }

    /// Lets hooks and those who asked for it see the gradients of a node's outputs.
    fn show(&mut self, node: &Arc<Node>, gradients: &mut OutputGradients) -> Result<()> {
        for (output, hook) in hooks::all(&node.hooks) {
            if let Some(gradient) = gradients[output].take() {
                gradients[output] = Some(hooks::through([hook], gradient)?);
            }
        }
        for (output, leaf) in node.retained().iter() {
            if let Some(gradient) = &gradients[*output] {
                leaf.accumulate(gradient.clone(), false)?;
            }
        }
        for (output, gradient) in gradients.iter().enumerate() {
            if let Some(slot) = self.wanted.get_mut(&(Arc::as_ptr(node) as usize, output)) {
                slot.clone_from(gradient);
            }
        }
        Ok(())
    }

    /// One vector-Jacobian product.
    fn step(&mut self, node: &Arc<Node>, gradients: &OutputGradients) -> Result<()> {
        let saved = node.take_saved(self.retain_graph)?;
        let _span = profile::backward(node.operation.name, node.origin.as_ref());
        let destination = |leaf: &Arc<Leaf>| self.destination(leaf);
        let run = |saved| -> Result<Gradients> {
            let mut vjp = Vjp::new(node, gradients, saved, &destination);
            let results = match (&node.step, node.operation.vjp) {
                (Some(Step::Vjp(closure) | Step::Watch(closure)), _) => closure(&mut vjp)?,
                (_, own) => own.expect("only operations with a gradient make nodes")(&mut vjp)?,
            };
            vjp.finish()?;
            Ok(results)
        };
        let results = if anomaly::is_on() {
            let results = anomaly::paused(|| run(saved.clone()))?;
            anomaly::check_backward(node, gradients.iter().flatten().chain(&saved), &results)?;
            results
        } else {
            run(saved)?
        };
        debug_assert_eq!(results.len(), node.inputs.len(), "{}: a gradient for each input", node.operation.name);
        for (edge, result) in node.inputs.iter().zip(results) {
            let Some(target) = &edge.target else { continue };
            let gradient = match (result, &node.step) {
                (Some(gradient), _) => gradient,
                (None, Some(Step::Watch(_))) => continue,
                (None, _) => {
                    let name = node.operation.name;
                    return Err(Error::Autograd(format!("`{name}` has no gradient for one of its inputs")));
                }
            };
            // Broadcasting and promotion are undone here, so that no operation has to think of them.
            let gradient = sum_to_shape(gradient, &edge.shape)?.try_to_dtype(edge.dtype)?;
            self.send(target.clone(), gradient)?;
        }
        Ok(())
    }

    /// Makes the outputs of a node again, with their graph, and goes on in that. Its nodes are the youngest, so they have
    /// their turn next, in the order that they would have had: sums come out the same to the bit.
    fn recompute(&mut self, node: &Arc<Node>, gradients: OutputGradients, again: &RecomputeFunction) -> Result<()> {
        let saved = node.take_saved(self.retain_graph)?;
        let in_graph = |(tensor, edge): (Tensor, &Edge)| match &edge.target {
            None => tensor,
            Some(Target::Leaf(leaf)) => tensor.with_gradient(Gradient::Leaf(leaf.clone())),
            Some(Target::Node(node, output)) => tensor.with_gradient(Gradient::Node(node.clone(), *output)),
        };
        let inputs: Vec<Tensor> = saved.into_iter().zip(&node.inputs).map(in_graph).collect();
        let outputs = enable_grad(|| again(&inputs))?;
        if outputs.len() != gradients.len() || outputs.iter().zip(&node.outputs).any(|(t, s)| t.shape() != &s[..]) {
            let name = node.operation.name;
            return Err(Error::Autograd(format!("{name}: the function gives other outputs when it is run again")));
        }
        for (output, gradient) in outputs.iter().zip(gradients) {
            if let (Some(target), Some(gradient)) = (Target::of(output), gradient) {
                self.send(target, gradient)?;
            }
        }
        Ok(())
    }

    /// Where the first gradient of a leaf may be written; a second one is added to the first.
    fn destination(&self, leaf: &Arc<Leaf>) -> Option<Tensor> {
        let key = Arc::as_ptr(leaf) as usize;
        if !self.into_destinations || self.leaves.contains_key(&key) {
            return None;
        }
        let mut borrowed = self.borrowed.0.borrow_mut();
        if borrowed.contains_key(&key) {
            return leaf.destination();
        }
        let destination = leaf.borrow_destination()?;
        borrowed.insert(key, leaf.clone());
        Some(destination)
    }

    /// Adds what the leaves got to their `.grad`.
    fn accumulate(&mut self) -> Result<()> {
        for (key, (leaf, gradient)) in std::mem::take(&mut self.leaves) {
            let gradient = leaf.through_hooks(gradient)?;
            let has_destination = self.borrowed.0.get_mut().contains_key(&key);
            leaf.accumulate(gradient, has_destination)?;
            self.borrowed.0.get_mut().remove(&key);
            leaf.run_post_hooks();
        }
        Ok(())
    }

    fn send(&mut self, target: Target, gradient: Tensor) -> Result<()> {
        if let Some(error) = gradient.poison() {
            return Err(error.clone());
        }
        match target {
            Target::Leaf(leaf) => match self.leaves.entry(Arc::as_ptr(&leaf) as usize) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert((leaf, gradient));
                }
                std::collections::hash_map::Entry::Occupied(mut entry) => {
                    let sum = add_gradients(&entry.get().1, &gradient)?;
                    entry.get_mut().1 = sum;
                }
            },
            Target::Node(node, output) => {
                let slots = self.gradients.entry(node.sequence).or_insert_with(|| {
                    self.queue.push(Pending(node.clone()));
                    smallvec::smallvec![None; node.outputs.len()]
                });
                slots[output] = Some(match slots[output].take() {
                    None => gradient,
                    Some(earlier) => add_gradients(&earlier, &gradient)?,
                });
            }
        }
        Ok(())
    }

    fn result(&self, input: &Tensor) -> Result<Tensor> {
        let found = match input.gradient() {
            Gradient::None => None,
            Gradient::Leaf(leaf) => {
                let collected = self.leaves.get(&(Arc::as_ptr(leaf) as usize)).map(|(_, g)| g.clone());
                collected.map(|gradient| leaf.through_hooks(gradient)).transpose()?
            }
            Gradient::Node(node, output) => self.wanted[&(Arc::as_ptr(node) as usize, *output)].clone(),
        };
        found.ok_or_else(|| {
            Error::Autograd(format!(
                "grad: the output does not depend on the input of shape {:?}, or that input needs no gradient",
                input.shape()
            ))
        })
    }
}

impl Tensor {
    /// Computes the gradients of this scalar with respect to every leaf that it depends on and adds them to their
    /// `.grad`. The graph is freed on the way.
    ///
    /// # Errors
    /// As [`Backward::run`].
    pub fn backward(&self) -> Result<()> {
        Backward::new().run(self)
    }

    /// The gradient collected so far, of a leaf or of a tensor with [`Tensor::retain_grad`].
    ///
    /// A parameter's gradient lives in its optimiser's memory and is overwritten by the next backward pass: copy it to
    /// keep it.
    pub fn grad(&self) -> Option<Tensor> {
        match self.gradient() {
            Gradient::None => None,
            Gradient::Leaf(leaf) => leaf.grad(),
            Gradient::Node(node, output) => {
                node.retained().iter().find(|(o, _)| o == output).and_then(|(_, leaf)| leaf.grad())
            }
        }
    }

    /// Replaces the gradient of a leaf, or removes it.
    ///
    /// # Errors
    /// When this is no leaf, or the gradient has another shape.
    pub fn set_grad(&self, grad: Option<&Tensor>) -> Result<()> {
        let Gradient::Leaf(leaf) = self.gradient() else {
            return Err(Error::Autograd("set_grad: only a leaf that requires a gradient has one to set".into()));
        };
        if let Some(grad) = grad.filter(|g| g.shape() != self.shape()) {
            let (given, own) = (grad.shape(), self.shape());
            return Err(Error::Autograd(format!("set_grad: the gradient has shape {given:?}, the tensor {own:?}")));
        }
        if let Some(grad) = grad {
            check_gradient("set_grad", grad, self)?;
        }
        leaf.set_grad(grad.map(Tensor::detach));
        Ok(())
    }

    /// Asks that the gradient of this intermediate result be kept in `.grad`. Leaves keep theirs anyway.
    pub fn retain_grad(&self) {
        if let Gradient::Node(node, output) = self.gradient() {
            let mut retained = node.retained();
            if !retained.iter().any(|(o, _)| o == output) {
                retained.push((*output, Arc::default()));
            }
        }
    }
}
