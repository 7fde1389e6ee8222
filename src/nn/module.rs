//! The module: a named tree of parameters, buffers and other modules.

use std::sync::Arc;

use super::parameter::move_all;
use super::{Buffer, Parameter, StateDict, Training};
use crate::Result;
use crate::engine::Device;
use crate::tensor::Tensor;

/// A part of a network.
///
/// Declared in one line for a struct whose fields are modules:
///
/// ```
/// use lumigrad::{nn, prelude::*};
///
/// #[derive(Module)]
/// struct Net {
///     fc1: nn::Linear,
///     relu: nn::ReLU,
///     fc2: nn::Linear,
/// }
///
/// impl Forward for Net {
///     type Output = Tensor;
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.fc2.forward(&self.relu.forward(&self.fc1.forward(x)))
///     }
/// }
///
/// let net = Net { fc1: nn::Linear::new(784, 500), relu: nn::ReLU, fc2: nn::Linear::new(500, 10) };
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
/// ```
///
/// A field that is no module makes the derive fail to compile, so that no layer stays untrained unseen:
///
/// ```compile_fail
/// use lumigrad::prelude::*;
/// #[derive(Module)]
/// struct Net {
///     features: usize,
/// }
/// ```
///
/// Mark it as one that holds nothing to train or save:
///
/// ```
/// use lumigrad::prelude::*;
/// #[derive(Module)]
/// struct Net {
///     #[module(skip)]
///     features: usize,
/// }
/// ```
///
/// What a module holds changes through `&self`: `train()`, `to()`, `load_state_dict()` take no `&mut`.
pub trait Module: Send + Sync {
    /// Shows every part, in order, to the visitor. Written by `#[derive(Module)]`.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// All parameters with their paths, such as `layer1.0.weight`; a shared one once, under its first name.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        let mut list: Vec<(String, Parameter)> = Vec::new();
        let mut seen = rustc_hash::FxHashSet::default();
        self.visit(&mut Visitor::new(&mut |path, part| {
            if let Part::Parameter(p) = part
                && seen.insert(p.id())
            {
                list.push((path.to_string(), p.clone()));
            }
        }));
        list
    }

    /// All parameters, a shared one once.
    fn parameters(&self) -> Vec<Parameter> {
        self.named_parameters().into_iter().map(|(_, p)| p).collect()
    }

    /// All buffers with their paths.
    fn named_buffers(&self) -> Vec<(String, Buffer)> {
        let mut list = Vec::new();
        self.visit(&mut Visitor::new(&mut |path, part| {
            if let Part::Buffer(b) = part {
                list.push((path.to_string(), b.clone()));
            }
        }));
        list
    }

    /// Parameters and buffers by name, in order; a shared parameter under each of its names, as in PyTorch.
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        self.visit(&mut Visitor::new(&mut |path, part| match part {
            Part::Parameter(p) => state.insert(path, p.get().detach()),
            Part::Buffer(b) => state.insert(path, b.get()),
            Part::Training(_) => {}
        }));
        state
    }

    /// Overwrites parameters and buffers with those of `state`.
    ///
    /// # Errors
    /// [`crate::Error::StateDict`] with every missing, unexpected and misshapen key at once; then nothing is changed.
    fn load_state_dict(&self, state: &StateDict) -> Result<()> {
        super::state::load(&|visitor| self.visit(visitor), state)
    }

    /// Switches to training: dropout drops, batch norm takes the batch's statistics.
    fn train(&self) {
        self.set_training(true);
    }

    /// Switches to evaluation.
    fn eval(&self) {
        self.set_training(false);
    }

    /// Switches between training and evaluation.
    fn set_training(&self, on: bool) {
        self.visit(&mut Visitor::new(&mut |_, part| {
            if let Part::Training(t) = part {
                t.switch(on);
            }
        }));
    }

    /// Forgets all gradients.
    fn zero_grad(&self) {
        self.parameters().iter().for_each(Parameter::zero_grad);
    }

    /// Moves parameters and buffers to a device. Optimisers made before go on working.
    ///
    /// # Errors
    /// When a device fails; what was moved by then stays moved.
    fn to(&self, device: &Device) -> Result<()> {
        struct Whole<'a>(&'a (dyn Fn(&mut Visitor<'_>) + Send + Sync));
        impl Module for Whole<'_> {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                (self.0)(visitor);
            }
        }
        move_all(&Whole(&|visitor: &mut Visitor<'_>| self.visit(visitor)), device)
    }

    /// The number of trained elements.
    fn num_parameters(&self) -> usize {
        self.parameters().iter().map(Parameter::numel).sum()
    }
}

/// A module as a function of its input: a tensor unless said otherwise.
///
/// Several inputs are a tuple or a struct: `impl Forward<(Tensor, State)> for Lstm`.
pub trait Forward<In: ?Sized = Tensor> {
    /// What it gives.
    type Output;

    /// Runs the module.
    fn forward(&self, input: &In) -> Self::Output;
}

/// A layer from tensor to tensor: what [`super::Sequential`] holds.
pub trait Layer: Module + Forward<Tensor, Output = Tensor> {}

impl<L: Module + Forward<Tensor, Output = Tensor>> Layer for L {}

/// Something that a module holds.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// A trained tensor.
    Parameter(&'a Parameter),
    /// A tensor that is saved but not trained.
    Buffer(&'a Buffer),
    /// A switch between training and evaluation.
    Training(&'a Training),
}

/// Walks a module and calls a function with the path and each part.
pub struct Visitor<'a> {
    path: String,
    f: &'a mut dyn FnMut(&str, Part<'_>),
}

impl<'a> Visitor<'a> {
    /// A walk that calls `f`.
    pub fn new(f: &'a mut dyn FnMut(&str, Part<'_>)) -> Self {
        Visitor { path: String::new(), f }
    }

    /// Visits a part of a module under its name.
    pub fn child(&mut self, name: &str, module: &(impl Module + ?Sized)) {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        module.visit(self);
        self.path.truncate(len);
    }

    /// Shows a part under the path so far.
    pub fn part(&mut self, part: Part<'_>) {
        (self.f)(&self.path, part);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

macro_rules! through {
    ($($ty:ty),*) => {$(
        impl<M: Module + ?Sized> Module for $ty {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                (**self).visit(visitor);
            }
        }
    )*};
}
through!(Box<M>, Arc<M>);

impl<In: ?Sized, F: Forward<In> + ?Sized> Forward<In> for Box<F> {
    type Output = F::Output;
    fn forward(&self, input: &In) -> F::Output {
        (**self).forward(input)
    }
}

macro_rules! numbered {
    ($(impl [$($generics:tt)*] for $ty:ty),*) => {$(
        impl<$($generics)*> Module for $ty {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                for (i, module) in self.iter().enumerate() {
                    visitor.child(&i.to_string(), module);
                }
            }
        }
    )*};
}
numbered!(impl [M: Module] for Vec<M>, impl [M: Module, const N: usize] for [M; N]);

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Module),*> Module for ($($name,)*) {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                $(visitor.child(stringify!($index), &self.$index);)*
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
