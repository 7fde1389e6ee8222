//! What a module holds: parameters, buffers, and whether it is being trained.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Module, Part, Visitor};
use crate::Result;
use crate::autograd::{HookHandle, Leaf, hooks, no_grad};
use crate::engine::memory::Class;
use crate::engine::{Device, recording, tape};
use crate::ops::copy_into;
use crate::tensor::{Gradient, Tensor};

/// A tensor that is trained.
///
/// A handle with an identity: clones are the same parameter, so an optimiser, a module and another module that shares
/// the weight all see one tensor. What it holds can be exchanged (by `to`, by `load_state_dict`, by an optimiser that
/// moves it into its arena) without any of them noticing.
///
/// ```
/// use lumigrad::prelude::*;
/// let w = Parameter::new(Tensor::ones(&[2]));
/// (w.get() * 3.0).sum().backward()?;
/// assert_eq!(w.grad().unwrap().to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Parameter(Arc<Slot>);

struct Slot {
    /// A leaf of the graph, or outside of it when the parameter is frozen.
    tensor: RwLock<Tensor>,
    leaf: Arc<Leaf>,
}

impl Parameter {
    /// A parameter that starts from this tensor's elements, outside of the graph that made them.
    ///
    /// # Panics
    /// When the elements are not floats.
    #[track_caller]
    pub fn new(tensor: Tensor) -> Parameter {
        let tensor = tensor.detach().requires_grad();
        tensor.set_label(Class::Parameters);
        let Gradient::Leaf(leaf) = tensor.gradient() else { unreachable!("it was just made one") };
        let leaf = leaf.clone();
        Parameter(Arc::new(Slot { tensor: RwLock::new(tensor), leaf }))
    }

    /// The tensor, a leaf of the graph. Ask anew for every forward pass: an optimiser's first step and `to` move the
    /// elements, and an operation refuses what a parameter held before.
    pub fn get(&self) -> Tensor {
        self.0.tensor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Freezes the parameter, or trains it again. A frozen one gets no gradient, forgets the one that it had, and no
    /// optimiser changes it.
    ///
    /// PyTorch's optimisers go on stepping with a gradient from before the freezing.
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::Linear::new(2, 1);
    /// layer.weight.requires_grad_(false);
    /// layer.call(&Tensor::ones(&[1, 2])).sum().backward()?;
    /// assert!(layer.weight.grad().is_none() && layer.bias.as_ref().unwrap().grad().is_some());
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn requires_grad_(&self, on: bool) {
        let mut slot = self.0.tensor.write().unwrap_or_else(PoisonError::into_inner);
        if slot.is_requires_grad() != on {
            recording::changed(slot.device());
        }
        *slot = self.marked(slot.detach(), on);
        if !on {
            self.0.leaf.set_grad(None);
        }
    }

    /// Whether it is trained: not frozen.
    pub fn is_requires_grad(&self) -> bool {
        self.get().is_requires_grad()
    }

    fn marked(&self, tensor: Tensor, trained: bool) -> Tensor {
        if trained { tensor.with_gradient(Gradient::Leaf(self.0.leaf.clone())) } else { tensor }
    }

    /// The gradient collected so far.
    pub fn grad(&self) -> Option<Tensor> {
        self.get().grad()
    }

    /// Forgets the gradient.
    pub fn zero_grad(&self) {
        self.leaf().set_grad(None);
    }

    /// Sizes of the dims.
    pub fn shape(&self) -> crate::tensor::Shape {
        self.get().shape().into()
    }

    /// The number of dims.
    pub fn dim(&self) -> usize {
        self.get().dim()
    }

    /// Its elements outside of any graph: the same memory, so they change with it, until they are moved (see [`Self::get`]).
    /// `detach().copy()` keeps them.
    pub fn detach(&self) -> Tensor {
        self.get().detach()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.get().numel()
    }

    /// Whether both are the same parameter.
    pub fn is(&self, other: &Parameter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Overwrites the elements; the tensor keeps its place.
    ///
    /// # Errors
    /// When the shapes differ or the device fails.
    pub fn set(&self, values: &Tensor) -> Result<()> {
        let own = self.get();
        if own.shape() != values.shape() {
            let detail = format!("a parameter of shape {:?} can't take values of {:?}", own.shape(), values.shape());
            return Err(crate::Error::shape("set", detail));
        }
        no_grad(|| copy_into(&own, &values.detach().to(own.device())))
    }

    /// [`Tensor::register_hook`] on this parameter, wherever its elements are.
    pub fn register_hook(&self, hook: impl Fn(&Tensor) -> Option<Tensor> + Send + Sync + 'static) -> HookHandle {
        hooks::add(self.0.leaf.hooks(), Arc::new(hook))
    }

    /// [`Tensor::register_post_accumulate_grad_hook`] on this parameter.
    pub fn register_post_accumulate_grad_hook(&self, hook: impl Fn(&Parameter) + Send + Sync + 'static) -> HookHandle {
        // A handle would keep the leaf alive that the hook hangs on.
        let own = Arc::downgrade(&self.0);
        let hook = move || {
            if let Some(slot) = own.upgrade() {
                hook(&Parameter(slot));
            }
        };
        hooks::add(self.0.leaf.post_hooks(), Arc::new(hook))
    }

    pub(crate) fn leaf(&self) -> Arc<Leaf> {
        self.0.leaf.clone()
    }

    /// Puts the elements elsewhere; the gradient and the place that it goes to stay.
    pub(crate) fn rehome(&self, tensor: Tensor) {
        self.0.leaf.moved_to(&tensor);
        tensor.set_label(Class::Parameters);
        let mut slot = self.0.tensor.write().unwrap_or_else(PoisonError::into_inner);
        recording::changed(slot.device());
        *slot = self.marked(tensor, slot.is_requires_grad());
    }

    /// A parameter of its own with the same elements, frozen when this one is, without its gradient and hooks.
    pub(crate) fn copied(&self) -> Parameter {
        let own = self.get();
        let copy = Parameter::new(no_grad(|| own.detach().copy()));
        if !own.is_requires_grad() {
            copy.requires_grad_(false);
        }
        copy
    }

    /// Identity, for maps.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    fn move_to(&self, device: &Device) -> Result<()> {
        let own = self.get();
        if own.device() == device {
            return Ok(());
        }
        let moved = no_grad(|| own.detach().to(device)).healthy()?;
        let leaf = self.leaf();
        // An optimiser's memory is on the old device; it makes new at its next step.
        leaf.set_destination(None);
        let grad = leaf.grad().map(|g| no_grad(|| g.to(device)));
        leaf.set_grad(grad);
        self.rehome(moved);
        Ok(())
    }
}

impl Module for Parameter {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.part(Part::Parameter(self));
    }

    fn is_module(&self) -> bool {
        false
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({:?})", self.get())
    }
}

/// A tensor that belongs to a module's state but is not trained, such as a running mean.
///
/// Like [`Parameter`] a handle with an identity; it changes through `&self`.
#[derive(Clone)]
pub struct Buffer(Arc<RwLock<Tensor>>);

impl Buffer {
    /// A buffer with these elements.
    pub fn new(tensor: Tensor) -> Buffer {
        tensor.set_label(Class::ModuleBuffers);
        Buffer(Arc::new(RwLock::new(tensor.detach())))
    }

    /// The tensor.
    pub fn get(&self) -> Tensor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another tensor in its place.
    pub fn set(&self, tensor: &Tensor) {
        tensor.set_label(Class::ModuleBuffers);
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        recording::changed(own.device());
        *own = tensor.detach();
    }

    fn move_to(&self, device: &Device) -> Result<()> {
        let moved = no_grad(|| self.get().to(device)).healthy()?;
        self.set(&moved);
        Ok(())
    }
}

impl Module for Buffer {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.part(Part::Buffer(self));
    }

    fn is_module(&self) -> bool {
        false
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({:?})", self.get())
    }
}

/// Whether a layer that cares (dropout, batch norm) is being trained; `train()` and `eval()` of the module around it
/// switch it.
#[derive(Clone, Debug)]
pub struct Training(Arc<AtomicBool>);

impl Training {
    /// In training, as new modules are.
    pub fn new() -> Self {
        Training(Arc::new(AtomicBool::new(true)))
    }

    /// Whether the module is being trained.
    pub fn is_training(&self) -> bool {
        let on = self.0.load(Relaxed);
        recording::note_switch(&self.0, on);
        tape::training(on)
    }

    pub(crate) fn switch(&self, on: bool) {
        self.0.store(on, Relaxed);
    }

    /// The switch's position, whatever a recorded step says.
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// A switch of its own in the same position.
    pub(crate) fn copied(&self) -> Training {
        Training(Arc::new(AtomicBool::new(self.is_on())))
    }
}

/// Evaluation mode for a while; then every switch is where it was.
pub(crate) struct EvaluationMode(Vec<(Training, bool)>);

impl EvaluationMode {
    pub fn of(model: &dyn Module) -> Self {
        let mut switches = Vec::new();
        model.visit(&mut Visitor::new(&mut |_, part| {
            if let Part::Training(training) = part {
                switches.push((training.clone(), training.is_on()));
                training.switch(false);
            }
        }));
        EvaluationMode(switches)
    }
}

impl Drop for EvaluationMode {
    fn drop(&mut self) {
        self.0.iter().rev().for_each(|(training, on)| training.switch(*on));
    }
}

impl Default for Training {
    fn default() -> Self {
        Self::new()
    }
}

impl Module for Training {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.part(Part::Training(self));
    }

    fn is_module(&self) -> bool {
        false
    }
}

/// Where a module's first parameter or buffer is; the current device for a module without any.
pub(crate) fn device_of(module: &(impl Module + ?Sized)) -> Device {
    let mut found = None;
    module.visit(&mut Visitor::new(&mut |_, part| {
        let device = match part {
            Part::Parameter(p) => p.get().device().clone(),
            Part::Buffer(b) => b.get().device().clone(),
            Part::Training(_) => return,
        };
        found.get_or_insert(device);
    }));
    found.unwrap_or_else(Device::current)
}

/// Moves everything that a module holds to a device.
pub(crate) fn move_all(module: &(impl Module + ?Sized), device: &Device) -> Result<()> {
    let mut result = Ok(());
    module.visit(&mut Visitor::new(&mut |_, part| {
        let moved = match part {
            Part::Parameter(p) => p.move_to(device),
            Part::Buffer(b) => b.move_to(device),
            Part::Training(_) => Ok(()),
        };
        if result.is_ok() {
            result = moved;
        }
    }));
    result
}
