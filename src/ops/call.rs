//! One run of an operation, forward or back, and the function that every public method goes through.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Attrs, Operation, halves, observe};
use crate::amp;
use crate::autograd::{self, Edge, Leaf, Node, SavedTensor, Step, Target};
use crate::dtype::DType;
use crate::engine::fusion::ChainStep;
use crate::engine::{Binding, Buffer, Device, Dispatch, Grid, Kernel, ParamsBlock, place, profile};
use crate::tensor::{Gradient, Shape, Tensor};
use crate::{Error, Result};

/// What an operation gives back.
pub type Outputs = SmallVec<[Tensor; 1]>;

/// The gradients that a vector-Jacobian product gives back, one for each input; `None` for an input without gradient.
/// They may be larger than the input where it was broadcast.
pub type Gradients = SmallVec<[Option<Tensor>; 2]>;

/// Where an operation's kernels run.
///
/// A failure of the device does not stop the run: what follows is skipped and every output carries the error.
pub struct Run<'a> {
    device: &'a Device,
    poison: Option<Error>,
}

impl<'a> Run<'a> {
    /// A run outside of an operation's own.
    pub(crate) fn new(device: &'a Device) -> Self {
        Run { device, poison: None }
    }

    /// The device.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// Whether a processor does the work: that of a software driver, or the reference.
    pub(crate) fn is_software(&self) -> bool {
        self.device.adapter().is_none_or(|facts| facts.is_software())
    }

    /// Fresh memory; its content is whatever was there before.
    pub fn output(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        let content = match &self.poison {
            Some(error) => Err(error.clone()),
            None => {
                let made = self.device.alloc(dtype, crate::tensor::shape::numel(shape));
                made.map(Arc::new).map_err(|error| error.in_module(place::path))
            }
        };
        if let Err(error) = &content {
            self.poison.get_or_insert_with(|| error.clone());
        }
        Tensor::from_content(content, shape.into(), dtype, self.device.clone())
    }

    /// Runs a kernel on these operands, in the order of its bindings.
    pub fn dispatch<P: ParamsBlock>(
        &mut self,
        kernel: &'static Kernel,
        variant: usize,
        operands: &[&Tensor],
        params: &P,
    ) {
        self.dispatch_step(kernel, variant, operands, params, None);
    }

    /// [`Self::dispatch`] of what can be a step of a chain.
    pub(crate) fn dispatch_step<P: ParamsBlock>(
        &mut self,
        kernel: &'static Kernel,
        variant: usize,
        operands: &[&Tensor],
        params: &P,
        step: Option<ChainStep>,
    ) {
        let (device, params) = (self.device, crate::engine::Params(bytemuck::bytes_of(params)));
        let grid = (kernel.grid)(&params).step(step);
        self.with_buffers(kernel, operands, |operands| {
            device.dispatch(Dispatch { kernel, variant, operands, params, grid })
        });
    }

    /// [`Self::dispatch`] of a user's kernel: params that have no Rust type, a grid of the caller's, and what the driver
    /// does not take is an error here and not at the next read.
    pub(crate) fn dispatch_grid(&mut self, kernel: &'static Kernel, operands: &[&Tensor], params: &[u8], grid: Grid) {
        let (device, params) = (self.device, crate::engine::Params(params));
        self.with_buffers(kernel, operands, |operands| {
            device.prepare(kernel, 0)?;
            device.dispatch(Dispatch { kernel, variant: 0, operands, params, grid })
        });
    }

    /// Dispatches on the operands' buffers, unless something failed before.
    fn with_buffers(
        &mut self,
        kernel: &'static Kernel,
        operands: &[&Tensor],
        dispatch: impl FnOnce(&[&Buffer]) -> Result<()>,
    ) {
        if self.poison.is_some() {
            return;
        }
        if profile::is_on() {
            note_bytes(kernel, operands);
        }
        let buffers: Result<SmallVec<[&Buffer; 8]>> = operands.iter().map(|t| t.buffer().map(|b| &**b)).collect();
        if let Err(error) = buffers.and_then(|buffers| dispatch(&buffers)) {
            self.poison = Some(error.in_module(place::path));
        }
    }

    /// Writes into an existing tensor's memory count as a change of it.
    pub fn dispatch_in_place<P: ParamsBlock>(
        &mut self,
        kernel: &'static Kernel,
        variant: usize,
        operands: &[&Tensor],
        changed: &Tensor,
        params: &P,
    ) {
        self.dispatch(kernel, variant, operands, params);
        changed.bump_version();
    }

    /// The failure so far.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.poison.as_ref()
    }

    /// The tensor, or the failure in its place when a dispatch that writes it failed.
    fn seal(&self, tensor: Tensor) -> Tensor {
        match &self.poison {
            Some(error) if tensor.poison().is_none() => {
                let shape = tensor.shape().into();
                Tensor::from_content(Err(error.clone()), shape, tensor.dtype(), tensor.device().clone())
            }
            _ => tensor,
        }
    }
}

/// Tells a profile what a dispatch reads and writes: each element of its operands once, and twice what it updates. A
/// tensor that is bound twice counts once.
#[cold]
fn note_bytes(kernel: &Kernel, operands: &[&Tensor]) {
    let bindings = kernel.bindings.iter().filter(|b| b.is_operand());
    let bytes = bindings.zip(operands).enumerate().map(|(i, (binding, tensor))| {
        let again = operands[..i].iter().any(|other| other.is_same_place(tensor));
        let times = if again { 0 } else { 1 + u64::from(matches!(binding, Binding::ReadWrite(_))) };
        times * (tensor.distinct() * tensor.dtype().size()) as u64
    });
    profile::note_bytes(bytes.sum());
}

/// One forward run: inputs, arguments, and what is saved for the gradient.
pub struct Call<'a> {
    run: Run<'a>,
    operation: &'static Operation,
    inputs: &'a [&'a Tensor],
    attrs: &'a Attrs,
    recording: bool,
    saved: SmallVec<[SavedTensor; 2]>,
}

impl<'a> Call<'a> {
    /// The operation's name, for errors.
    pub fn op(&self) -> &'static str {
        self.operation.name
    }

    /// Input `i`.
    pub fn input(&self, i: usize) -> &'a Tensor {
        self.inputs[i]
    }

    /// All inputs.
    pub fn inputs(&self) -> &'a [&'a Tensor] {
        self.inputs
    }

    /// The arguments.
    pub fn attrs(&self) -> &'a Attrs {
        self.attrs
    }

    /// Whether the run is recorded for a gradient.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Whether the gradient of input `i` will be asked for.
    pub fn needs_gradient(&self, i: usize) -> bool {
        self.recording && self.inputs[i].is_requires_grad()
    }

    /// Keeps a tensor for the gradient, if there is to be one. The vector-Jacobian product finds them in this order.
    pub fn save(&mut self, tensor: &Tensor) {
        if self.recording {
            self.saved.push(SavedTensor::new(tensor));
        }
    }
}

impl<'a> Deref for Call<'a> {
    type Target = Run<'a>;
    fn deref(&self) -> &Run<'a> {
        &self.run
    }
}

impl DerefMut for Call<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.run
    }
}

/// One backward run: the gradients of the outputs, what was saved, and where results may go.
pub struct Vjp<'a> {
    run: Run<'a>,
    node: &'a Node,
    gradients: &'a [Option<Tensor>],
    saved: SmallVec<[Tensor; 2]>,
    destination: &'a dyn Fn(&Arc<Leaf>) -> Option<Tensor>,
}

impl<'a> Vjp<'a> {
    pub(crate) fn new(
        node: &'a Node,
        gradients: &'a [Option<Tensor>],
        saved: SmallVec<[Tensor; 2]>,
        destination: &'a dyn Fn(&Arc<Leaf>) -> Option<Tensor>,
    ) -> Self {
        let device = gradients.iter().flatten().next().expect("a node is reached by a gradient").device();
        Vjp { run: Run { device, poison: None }, node, gradients, saved, destination }
    }

    /// The failure of a dispatch, if there was one.
    pub(crate) fn finish(self) -> Result<()> {
        self.run.poison.map_or(Ok(()), Err)
    }

    /// The gradient of the first output.
    pub fn gradient(&self) -> &'a Tensor {
        self.gradient_of(0).expect("an operation with one output is reached through it")
    }

    /// The gradient of output `i`; `None` when nothing depends on it.
    pub fn gradient_of(&self, i: usize) -> Option<&'a Tensor> {
        self.gradients[i].as_ref()
    }

    /// Saved tensor `i`.
    pub fn saved(&self, i: usize) -> Tensor {
        self.saved[i].clone()
    }

    /// How many tensors were saved.
    pub fn saved_len(&self) -> usize {
        self.saved.len()
    }

    /// The arguments of the forward run.
    pub fn attrs(&self) -> &'a Attrs {
        &self.node.attrs
    }

    /// Whether input `i` needs a gradient.
    pub fn needs(&self, i: usize) -> bool {
        self.node.inputs[i].target.is_some()
    }

    /// How many inputs there were.
    pub fn inputs_len(&self) -> usize {
        self.node.inputs.len()
    }

    /// The shape of input `i`.
    pub fn input_shape(&self, i: usize) -> &'a [usize] {
        &self.node.inputs[i].shape
    }

    /// The type of input `i`, in which its gradient is to be; one of another type is converted.
    pub fn input_dtype(&self, i: usize) -> DType {
        self.node.inputs[i].dtype
    }

    /// The shape of output `i`.
    pub fn output_shape(&self, i: usize) -> &'a [usize] {
        &self.node.outputs[i]
    }

    /// Memory for the gradient of input `i`, in its shape: an optimiser's own where it may be written there.
    pub fn gradient_output(&mut self, i: usize) -> Tensor {
        let edge = &self.node.inputs[i];
        if let Some(autograd::Target::Leaf(leaf)) = &edge.target
            && let Some(home) = (self.destination)(leaf)
            && home.shape() == edge.shape.as_slice()
            && home.device() == self.run.device
            && home.dtype() == edge.dtype
            && !self.is_shared(i, leaf)
            && !self.reads_memory_of(&home)
        {
            home.bump_version();
            return home;
        }
        self.run.output(edge.dtype, &edge.shape)
    }
}

impl Vjp<'_> {
    /// Whether the leaf is another input of the operation too: then there are two gradients to add, and only one home.
    fn is_shared(&self, i: usize, leaf: &Arc<Leaf>) -> bool {
        let same = |edge: &Edge| matches!(&edge.target, Some(Target::Leaf(other)) if Arc::ptr_eq(leaf, other));
        self.node.inputs.iter().enumerate().any(|(j, edge)| j != i && same(edge))
    }

    /// Whether a kernel of this run may read the buffer that `home` lies in, as when a gradient is an operand: one
    /// dispatch can't read and write a buffer.
    fn reads_memory_of(&self, home: &Tensor) -> bool {
        let read = self.gradients.iter().flatten().chain(&self.saved);
        read.into_iter().any(|t| matches!((t.buffer(), home.buffer()), (Ok(a), Ok(b)) if Arc::ptr_eq(a, b)))
    }
}

impl<'a> Deref for Vjp<'a> {
    type Target = Run<'a>;
    fn deref(&self) -> &Run<'a> {
        &self.run
    }
}

impl DerefMut for Vjp<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.run
    }
}

/// Runs an operation: the one way in. Checks devices, runs `forward`, makes the node.
///
/// # Errors
/// Mistakes of the program; a failure of the device poisons the outputs and is only returned where there are none.
pub(crate) fn apply(operation: &'static Operation, inputs: &[&Tensor], attrs: Attrs) -> Result<Outputs> {
    let device = inputs.first().expect("an operation without inputs names its device").device();
    apply_on(device, operation, inputs, attrs)
}

/// [`apply`] for operations that may have no input.
pub(crate) fn apply_on(
    device: &Device,
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
) -> Result<Outputs> {
    let autocast = amp::autocast_dtype();
    if autocast.is_some() || inputs.iter().any(|t| t.dtype().is_half()) {
        return halves::apply(device, operation, inputs, attrs, autocast);
    }
    apply_as_is(device, operation, inputs, attrs)
}

/// [`apply_on`] without a look at the inputs' types.
pub(super) fn apply_as_is(
    device: &Device,
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
) -> Result<Outputs> {
    let ways = Ways { forward: &operation.forward, has_gradient: operation.vjp.is_some(), step: &|| None };
    apply_with(device, operation, inputs, attrs, ways)
}

/// The way forward and the way back of an operation, which may be closures.
#[derive(Clone, Copy)]
pub(crate) struct Ways<'a> {
    pub forward: &'a dyn Fn(&mut Call<'_>) -> Result<Outputs>,
    pub has_gradient: bool,
    /// The way back, where it is not the operation's own.
    pub step: &'a dyn Fn() -> Option<Step>,
}

/// [`apply_on`] in these ways.
pub(crate) fn apply_with(
    device: &Device,
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
    ways: Ways<'_>,
) -> Result<Outputs> {
    let _span = profile::operation(operation.name);
    if observe::is_on() {
        let outputs = observe::paused(|| run(device, operation, inputs, attrs.clone(), ways))?;
        observe::notice(operation, inputs, attrs, &outputs);
        return Ok(outputs);
    }
    run(device, operation, inputs, attrs, ways)
}

/// [`apply_with`] without an observer.
fn run(
    device: &Device,
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
    ways: Ways<'_>,
) -> Result<Outputs> {
    let poison = inputs.iter().find_map(|t| t.poison().cloned());
    for input in inputs.iter().filter(|_| poison.is_none()) {
        if input.device() != device {
            let (first, second) = (device.to_string(), input.device().to_string());
            return Err(Error::Devices { op: operation.name, first, second });
        }
    }
    if let Some(former) = inputs.iter().find(|t| matches!(t.gradient(), Gradient::Leaf(leaf) if leaf.is_former(t))) {
        return Err(Error::Autograd(format!(
            "{}: a tensor of shape {:?} is what a parameter held before an optimiser or `to` moved it; call the \
             parameter's `get()` again",
            operation.name,
            former.shape()
        )));
    }
    let differentiable = ways.has_gradient && autograd::is_grad_enabled();
    let needs_gradient = || inputs.iter().any(|t| t.is_requires_grad());
    let recording = differentiable && needs_gradient();
    if ways.has_gradient && !differentiable {
        autograd::checkpoint::notice(needs_gradient);
    }
    let run = Run { device, poison: poison.clone() };
    let mut call = Call { run, operation, inputs, attrs: &attrs, recording, saved: SmallVec::new() };
    // The shape of a poisoned input may be unknown: then it is the poison that is wrong and not the program.
    let outputs =
        (ways.forward)(&mut call).map_err(|mistake| poison.unwrap_or(mistake).of_operation(operation.name))?;
    let Call { run, saved, .. } = call;
    if let (true, Some(error)) = (outputs.is_empty(), &run.poison) {
        return Err(error.clone());
    }
    let outputs: Outputs =
        if run.poison.is_some() { outputs.into_iter().map(|t| run.seal(t)).collect() } else { outputs };
    let outputs = if autograd::anomaly::is_on() {
        autograd::anomaly::check_forward(operation, inputs, &attrs, outputs)?
    } else {
        outputs
    };
    if !recording {
        return Ok(outputs);
    }
    Ok(attach(operation, inputs, attrs, saved, outputs, (ways.step)()))
}

/// Puts outputs into the graph, behind the inputs.
pub(crate) fn attach(
    operation: &'static Operation,
    inputs: &[&Tensor],
    attrs: Attrs,
    saved: SmallVec<[SavedTensor; 2]>,
    outputs: Outputs,
    step: Option<Step>,
) -> Outputs {
    let edges =
        inputs.iter().map(|t| Edge { shape: t.shape().into(), dtype: t.dtype(), target: Target::of(t) }).collect();
    let shapes: SmallVec<[Shape; 1]> = outputs.iter().map(|t| t.shape().into()).collect();
    let node = Node::new(operation, attrs, edges, shapes, saved, step);
    let attached = outputs.into_iter().enumerate().map(|(i, output)| {
        if output.dtype().is_float() { output.with_gradient(Gradient::Node(node.clone(), i)) } else { output }
    });
    attached.collect()
}

/// Runs an operation of an input, a weight and perhaps a bias.
pub(crate) fn apply_biased(
    operation: &'static Operation,
    [x, weight]: [&Tensor; 2],
    bias: Option<&Tensor>,
    attrs: Attrs,
) -> Result<Tensor> {
    match bias {
        Some(bias) => single(apply(operation, &[x, weight, bias], attrs)),
        None => single(apply(operation, &[x, weight], attrs)),
    }
}

/// Both outputs of an operation that has two.
pub(crate) fn pair(outputs: Result<Outputs>) -> Result<(Tensor, Tensor)> {
    let mut outputs = outputs?;
    let second = outputs.pop().expect("the operation has two outputs");
    Ok((outputs.pop().expect("the operation has two outputs"), second))
}

/// The only output of an operation that has one.
pub(crate) fn single(outputs: Result<Outputs>) -> Result<Tensor> {
    outputs.map(|mut o| o.pop().expect("the operation has an output"))
}
