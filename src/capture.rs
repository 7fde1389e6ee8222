//! Training steps that are recorded once and replayed.
//!
//! A step of a small model is many small dispatches, and most of what the host does for them (shapes, nodes, memory) is
//! the same each time. [`Capture::run`] runs the step as it is written three times, and from the fourth time on gives the
//! device its dispatches again and runs nothing else of it. The results are the same to the last bit.

use std::sync::atomic::Ordering::Relaxed;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use crate::autograd::{anomaly, is_grad_enabled, no_grad};
use crate::dtype::DType;
use crate::engine::Device;
use crate::engine::recording::{self, Recorder, Recording, Switches};
use crate::ops::copy_into;
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// Recordings of different shapes that one [`Capture`] keeps; the least recently used one goes.
const MAX_SHAPES: usize = 8;

/// Runs in a row that may move parameters, buffers or an optimiser's memory before that is taken for what the step does.
const MAX_MOVES: usize = 3;

/// A step that is recorded once and then replayed.
///
/// ```
/// use lumigrad::{nn, optim::Adam, prelude::*};
/// let device = Device::current();
/// let model = nn::Linear::new(3, 1);
/// let mut optimizer = Adam::new(model.parameters(), 1e-2);
/// let mut step = device.capture();
/// for i in 0..10 {
///     let (x, y) = (Tensor::full(&[8, 3], f64::from(i)), Tensor::ones(&[8, 1]));
///     let loss = step.run(&[&x, &y], |inputs| {
///         let loss = model.call(&inputs[0]).mse_loss(&inputs[1]);
///         optimizer.zero_grad();
///         loss.backward()?;
///         optimizer.step()?;
///         Ok(loss)
///     })?;
///     assert!(loss.item::<f32>()?.is_finite());
/// }
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// The first run is as without, so that an optimiser finds its memory. The next two run too, and are recorded and
/// compared; from then on the closure is not called any more. So whatever it does on the host happens three times
/// only, and a number that it computes there must be the same each time: what changes belongs into the inputs, which
/// are copied into memory of the recording. These change as they should: random numbers, step counts, learning rates
/// and all other options of optimisers (as a scheduler outside of the closure sets them), `train()` and `eval()`.
///
/// Inputs of other shapes are recorded on their own. A recording is made anew when parameters or buffers have moved to
/// other memory. On the reference and on a shadow device nothing is recorded, and every run calls the closure.
///
/// A recording keeps the memory of its step, so that live memory is that of one step for each shape of the inputs. What
/// the closure puts elsewhere (in a variable outside, as `p.grad()`) is overwritten by the next run; what it returns
/// is a copy.
pub struct Capture {
    device: Device,
    entries: Vec<Entry>,
    runs: u64,
}

/// Inputs with the same key share a recording.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    inputs: SmallVec<[(Shape, DType); 4]>,
    grad: bool,
}

struct Entry {
    key: Key,
    /// Where the recording finds its inputs.
    inputs: Vec<Tensor>,
    state: State,
    last_run: u64,
}

enum State {
    /// Never run, or run before something moved.
    Cold,
    /// Run once, and so many times more in which it moved something.
    Warm(usize),
    /// Recorded once, under these circumstances.
    Once(Box<Held<Recorder>>, Circumstances),
    Ready(Box<Ready>),
}

struct Ready {
    recording: Held<Recording>,
    outputs: Vec<Tensor>,
    circumstances: Circumstances,
}

/// What a step depends on beside its inputs.
#[derive(Clone)]
struct Circumstances {
    switches: Switches,
    /// [`Device::changes`] before the step.
    changes: u64,
}

impl Circumstances {
    /// Whether nothing has moved since.
    fn is_in_place(&self, device: &Device) -> bool {
        self.changes == device.changes()
    }

    /// Whether all modules that the step asked are in the same mode now.
    fn is_same_mode(&self) -> bool {
        self.switches.iter().all(|(switch, on)| switch.load(Relaxed) == *on)
    }
}

/// What has memory pinned, which it gives back.
struct Held<T: Pins> {
    value: Option<T>,
    device: Device,
}

trait Pins {
    fn pinned(&self) -> &FxHashSet<u64>;
}

impl Pins for Recorder {
    fn pinned(&self) -> &FxHashSet<u64> {
        self.used()
    }
}

impl Pins for Recording {
    fn pinned(&self) -> &FxHashSet<u64> {
        self.used()
    }
}

impl<T: Pins> Held<T> {
    fn new(value: T, device: &Device) -> Self {
        Held { value: Some(value), device: device.clone() }
    }

    fn get(&mut self) -> &mut T {
        self.value.as_mut().expect("it is taken only when it goes")
    }

    fn take(mut self) -> T {
        self.value.take().expect("it is taken only when it goes")
    }
}

impl<T: Pins> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(value) = &self.value {
            self.device.release_recording(value.pinned());
        }
    }
}

/// What a recorded step may return: tensors.
pub trait StepOutput: Sized {
    /// The tensors, in order.
    fn tensors(&self) -> Vec<Tensor>;

    /// The same with other tensors in their places; `None` when it takes another number of them.
    fn with_tensors(tensors: Vec<Tensor>) -> Option<Self>;
}

impl StepOutput for () {
    fn tensors(&self) -> Vec<Tensor> {
        Vec::new()
    }

    fn with_tensors(tensors: Vec<Tensor>) -> Option<Self> {
        tensors.is_empty().then_some(())
    }
}

impl StepOutput for Tensor {
    fn tensors(&self) -> Vec<Tensor> {
        vec![self.clone()]
    }

    fn with_tensors(tensors: Vec<Tensor>) -> Option<Self> {
        <[Tensor; 1]>::with_tensors(tensors).map(|[tensor]| tensor)
    }
}

impl StepOutput for Vec<Tensor> {
    fn tensors(&self) -> Vec<Tensor> {
        self.clone()
    }

    fn with_tensors(tensors: Vec<Tensor>) -> Option<Self> {
        Some(tensors)
    }
}

impl<const N: usize> StepOutput for [Tensor; N] {
    fn tensors(&self) -> Vec<Tensor> {
        self.to_vec()
    }

    fn with_tensors(tensors: Vec<Tensor>) -> Option<Self> {
        tensors.try_into().ok()
    }
}

impl StepOutput for (Tensor, Tensor) {
    fn tensors(&self) -> Vec<Tensor> {
        vec![self.0.clone(), self.1.clone()]
    }

    fn with_tensors(tensors: Vec<Tensor>) -> Option<Self> {
        <[Tensor; 2]>::with_tensors(tensors).map(|[a, b]| (a, b))
    }
}

impl Device {
    /// A step on this device that is to be recorded and replayed; see [`Capture`].
    pub fn capture(&self) -> Capture {
        Capture { device: self.clone(), entries: Vec::new(), runs: 0 }
    }
}

impl Capture {
    /// Runs the step on these inputs: calls it, or replays what it did.
    ///
    /// The outputs are outside of the graph.
    ///
    /// # Errors
    /// What the step returns. [`Error::Capture`] when it does what can't be replayed: it waits for the device (`item`,
    /// `to_vec`, a shape that depends on data), or it does not do the same each time; the message names the operation.
    pub fn run<R: StepOutput>(&mut self, inputs: &[&Tensor], step: impl FnOnce(&[Tensor]) -> Result<R>) -> Result<R> {
        if !self.device.records() || anomaly::is_on() || recording::is_capturing() {
            let inputs: Vec<Tensor> = inputs.iter().map(|t| t.detach()).collect();
            return detached(step(&inputs)?);
        }
        for input in inputs {
            input.buffer()?;
            if input.device() != &self.device {
                let (first, second) = (self.device.to_string(), input.device().to_string());
                return Err(Error::Devices { op: "capture", first, second });
            }
        }
        self.runs += 1;
        let at = self.entry(inputs)?;
        let (device, entry) = (self.device.clone(), &mut self.entries[at]);
        entry.last_run = self.runs;
        no_grad(|| entry.inputs.iter().zip(inputs).try_for_each(|(fixed, input)| feed(fixed, input)))?;
        if let State::Ready(ready) = &mut entry.state {
            if ready.circumstances.is_in_place(&device) && !ready.circumstances.is_same_mode() {
                // In another mode than the recording: as without.
                return detached(step(&entry.inputs)?);
            }
            if ready.circumstances.is_in_place(&device) && device.replay(ready.recording.get())? {
                return copies(&ready.outputs);
            }
            entry.state = State::Cold;
        }
        entry.record(&device, step)
    }

    /// The entry for these inputs, made where there is none.
    fn entry(&mut self, inputs: &[&Tensor]) -> Result<usize> {
        let shapes = inputs.iter().map(|t| (Shape::from(t.shape()), t.dtype())).collect();
        let key = Key { inputs: shapes, grad: is_grad_enabled() };
        if let Some(at) = self.entries.iter().position(|e| e.key == key) {
            return Ok(at);
        }
        if self.entries.len() == MAX_SHAPES {
            let oldest = (0..MAX_SHAPES).min_by_key(|&i| self.entries[i].last_run).expect("there are some");
            self.entries.remove(oldest);
        }
        let fixed = |input: &&Tensor| Tensor::try_full_on(input.shape(), 0.0, input.dtype(), &self.device);
        let inputs = inputs.iter().map(fixed).collect::<Result<_>>()?;
        self.entries.push(Entry { key, inputs, state: State::Cold, last_run: 0 });
        Ok(self.entries.len() - 1)
    }
}

impl Entry {
    /// Runs the step, and records it when it is warm.
    fn record<R: StepOutput>(&mut self, device: &Device, step: impl FnOnce(&[Tensor]) -> Result<R>) -> Result<R> {
        let state = std::mem::replace(&mut self.state, State::Cold);
        if matches!(state, State::Cold) {
            let (result, _) = recording::capturing(|| step(&self.inputs));
            let result = result?;
            self.state = State::Warm(0);
            return detached(result);
        }
        let Some(listening) = Listening::begin(device) else {
            // Another thread records a step on this device: this one waits for the next run.
            self.state = state;
            return detached(step(&self.inputs)?);
        };
        let changes = device.changes();
        let (result, seen) = recording::capturing(|| step(&self.inputs));
        let mut recorder = listening.end();
        let result = result?;
        let outputs: Vec<Tensor> = result.tensors().iter().map(Tensor::detach).collect();
        let circumstances = Circumstances { switches: seen.switches, changes };
        self.state = match state {
            State::Warm(MAX_MOVES) if seen.moves => {
                let detail = "the step moves a parameter, a buffer or an optimiser's memory each time; change them in \
                              place, and do what has to be done once outside";
                return Err(Error::Capture { op: "capture", detail: detail.into() });
            }
            // An optimiser makes its memory anew, say.
            State::Warm(times) if seen.moves => State::Warm(times + 1),
            State::Once(..) if seen.moves => State::Warm(0),
            State::Once(mut first, before) if before.changes == changes && before.is_same_mode() => {
                match recording::compare(first.get(), recorder.get(), device.random_state())? {
                    None => State::Once(Box::new(recorder), circumstances),
                    Some(draws) => {
                        let recording = Held::new(Recording::new(recorder.take(), draws), device);
                        State::Ready(Box::new(Ready { recording, outputs: outputs.clone(), circumstances }))
                    }
                }
            }
            _ => State::Once(Box::new(recorder), circumstances),
        };
        copies(&outputs)
    }
}

/// Ends the listening, after a panic too.
struct Listening<'a>(&'a Device);

impl<'a> Listening<'a> {
    fn begin(device: &'a Device) -> Option<Self> {
        device.begin_recording().then_some(Listening(device))
    }

    fn end(self) -> Held<Recorder> {
        let device = self.0;
        std::mem::forget(self);
        Held::new(device.end_recording().expect("this thread began it"), device)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        // What holds it gives its memory back.
        drop(self.0.end_recording().map(|recorder| Held::new(recorder, self.0)));
    }
}

/// Brings an input to where the recording finds it, unless it is there.
fn feed(fixed: &Tensor, input: &Tensor) -> Result<()> {
    if fixed.is_same_place(input) { Ok(()) } else { copy_into(fixed, &input.detach()) }
}

fn detached<R: StepOutput>(result: R) -> Result<R> {
    rebuilt(result.tensors().iter().map(Tensor::detach).collect())
}

/// Copies of what the next run overwrites.
fn copies<R: StepOutput>(outputs: &[Tensor]) -> Result<R> {
    rebuilt(no_grad(|| outputs.iter().map(Tensor::copy).collect()))
}

fn rebuilt<R: StepOutput>(tensors: Vec<Tensor>) -> Result<R> {
    R::with_tensors(tensors)
        .ok_or_else(|| Error::argument("capture", "the step returns another number of tensors than before"))
}
