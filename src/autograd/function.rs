//! Differentiable functions of the user's own.

use std::sync::Arc;

use super::checkpoint::notice;
use super::{SavedTensor, Step, is_grad_enabled, no_grad};
use crate::ops::{Attrs, Operation, Vjp, attach, or_panic};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// A function with a derivative of the user's own: `torch.autograd.Function`.
///
/// ```
/// use lumigrad::{autograd::Function, prelude::*};
///
/// // Rounds, and lets the gradient through as if it had not.
/// let round = Function::new(
///     "straight_through_round",
///     |_, x| Ok(vec![x[0].try_round()?]),
///     |v| Ok(vec![v.gradient_of(0).cloned()]),
/// );
/// let x = Tensor::from_slice(&[0.4f32, 1.6], &[2]).requires_grad();
/// let y = round.call(&[&x]);
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 2.0]);
/// (&y * 3.0).sum().backward()?;
/// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Function(Arc<Parts>);

struct Parts {
    operation: &'static Operation,
    forward: Box<ForwardFunction>,
    backward: Arc<BackwardFunction>,
}

type ForwardFunction = dyn Fn(&mut ToSave, &[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;
type BackwardFunction = dyn Fn(&mut Vjp<'_>) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// Collects what the backward function will need.
#[derive(Default)]
pub struct ToSave(Vec<Tensor>);

impl ToSave {
    /// Keeps a tensor; the backward function finds it as [`crate::ops::Vjp::saved`], in this order.
    pub fn save(&mut self, tensor: &Tensor) {
        self.0.push(tensor.clone());
    }
}

impl Function {
    /// `forward` computes the outputs, outside of any graph; `backward` gives a gradient for each input that needs one, from
    /// those of the outputs and what was saved.
    ///
    /// A name lives as long as the program; make a function once and call it often.
    pub fn new(
        name: &str,
        forward: impl Fn(&mut ToSave, &[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
        backward: impl Fn(&mut Vjp<'_>) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Function {
        let name: &'static str = Box::leak(name.to_string().into_boxed_str());
        let operation: &'static Operation = Box::leak(Box::new(Operation::of_closures(name)));
        Function(Arc::new(Parts { operation, forward: Box::new(forward), backward: Arc::new(backward) }))
    }

    /// The only output.
    ///
    /// # Panics
    /// With a mistake that `forward` returns, or when it gives no output.
    #[track_caller]
    pub fn call(&self, inputs: &[&Tensor]) -> Tensor {
        let name = self.0.operation.name;
        let first = |outputs: Vec<Tensor>| {
            outputs.into_iter().next().ok_or_else(|| Error::argument(name, "the function gives no output"))
        };
        or_panic(self.try_call(inputs).and_then(first))
    }

    /// All outputs.
    ///
    /// # Errors
    /// What `forward` returns.
    pub fn try_call(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let given: Vec<Tensor> = inputs.iter().map(|t| t.detach()).collect();
        let mut to_save = ToSave::default();
        let outputs = no_grad(|| (self.0.forward)(&mut to_save, &given))?;
        let needs_gradient = || inputs.iter().any(|t| t.is_requires_grad());
        if !is_grad_enabled() {
            notice(needs_gradient);
            return Ok(outputs);
        }
        if !needs_gradient() {
            return Ok(outputs);
        }
        let saved = to_save.0.iter().map(SavedTensor::new).collect();
        let backward = self.0.backward.clone();
        let step = Some(Step::Vjp(Box::new(move |v| backward(v).map(Into::into))));
        let outputs = outputs.into_iter().map(|t| t.detach()).collect();
        Ok(attach(self.0.operation, inputs, Attrs::new(), saved, outputs, step).into_vec())
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Function").field(&self.0.operation.name).finish()
    }
}
