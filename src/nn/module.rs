//! The module: a named tree of parameters, buffers and other modules.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

use super::hooks;
use super::parameter::move_all;
use super::{Buffer, IncompatibleKeys, LoadOptions, Parameter, StateDict, Training};
use crate::Result;
use crate::engine::Device;
use crate::engine::place::{Identity, Seen, enter_module, short};
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
///         self.fc2.call(&self.relu.call(&self.fc1.call(x)))
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
pub trait Module: Any + Send + Sync + AsModule {
    /// Shows every part, in order, to the visitor. Written by `#[derive(Module)]`.
    fn visit(&self, visitor: &mut Visitor<'_>);

    /// The module in a box or an option.
    #[doc(hidden)]
    fn concrete(&self) -> &dyn Module {
        self.as_module()
    }

    /// Whether it is a module in PyTorch's sense, and not a parameter or another part of one.
    #[doc(hidden)]
    fn is_module(&self) -> bool {
        true
    }

    /// The type, as the compiler names it.
    #[doc(hidden)]
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// The paths and types of all modules below this one, this one first under the empty path, a container or layer
    /// that is shared under each of its names.
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let net = nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::ReLU);
    /// let names: Vec<(String, &str)> = net.named_modules();
    /// assert_eq!(names[1], ("0".to_string(), "Linear"));
    /// assert_eq!(names[2], ("1".to_string(), "ReLU"));
    /// ```
    fn named_modules(&self) -> Vec<(String, &'static str)> {
        let mut list = vec![(String::new(), short(self.concrete().type_name()))];
        self.visit(&mut Visitor::of_modules(&mut |path, module| {
            list.push((path.to_string(), short(module.type_name())));
        }));
        list
    }

    /// The names and types of the modules that this one is made of, without theirs.
    fn named_children(&self) -> Vec<(String, &'static str)> {
        self.named_modules().into_iter().skip(1).filter(|(name, _)| !name.contains('.')).collect()
    }

    /// Calls `f` with the path of each module below this one and the module itself, those of a module before it and this
    /// one, under the empty path, last: PyTorch's `apply`.
    ///
    /// ```
    /// use std::any::Any;
    /// use lumigrad::{nn, prelude::*};
    /// let net = nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::ReLU).add(nn::Linear::new(3, 1));
    /// net.apply(&mut |_, module| {
    ///     if let Some(linear) = (module as &dyn Any).downcast_ref::<nn::Linear>() {
    ///         linear.weight.set(&Tensor::full(&linear.weight.shape(), 0.5)).unwrap();
    ///     }
    /// });
    /// assert_eq!(net.call(&Tensor::ones(&[1, 2])).shape(), [1, 1]);
    /// ```
    fn apply(&self, f: &mut dyn FnMut(&str, &dyn Module)) {
        self.visit(&mut Visitor::after_modules(f));
        f("", self.concrete());
    }

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
        self.load_state_dict_with(state, &LoadOptions::default()).map(|_| ())
    }

    /// [`Module::load_state_dict`] with options: `strict: false` takes what fits and tells which keys did not.
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let (small, large) = (nn::Linear::new(2, 3).bias(false), nn::Linear::new(2, 3));
    /// let keys = large.load_state_dict_with(&small.state_dict(), &nn::LoadOptions { strict: false })?;
    /// assert_eq!((keys.missing, keys.unexpected), (vec!["bias".to_string()], vec![]));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Module::load_state_dict`]; a key whose shape or type is another fails in any case.
    fn load_state_dict_with(&self, state: &StateDict, options: &LoadOptions) -> Result<IncompatibleKeys> {
        super::state::load(&|visitor| self.visit(visitor), state, options)
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

    /// Freezes all parameters, or trains them again; see [`Parameter::requires_grad_`].
    fn requires_grad_(&self, on: bool) {
        self.parameters().iter().for_each(|p| p.requires_grad_(on));
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
        move_all(self.as_module(), device)
    }

    /// The number of elements of all parameters, frozen ones too, a shared one once. PyTorch has no such method; there it
    /// is `sum(p.numel() for p in module.parameters())`.
    fn num_parameters(&self) -> usize {
        self.parameters().iter().map(Parameter::numel).sum()
    }
}

/// The way from any module to a trait object.
#[doc(hidden)]
pub trait AsModule {
    fn as_module(&self) -> &dyn Module;
}

impl<M: Module> AsModule for M {
    fn as_module(&self) -> &dyn Module {
        self
    }
}

/// A module as a function of its input: a tensor unless said otherwise.
///
/// Several inputs are a tuple or a struct: `impl Forward<(Tensor, State)> for Lstm`.
///
/// A layer implements [`Forward::forward`]; who uses it writes [`Forward::call`], as in PyTorch, where `self.fc1(x)` runs
/// `forward` and what belongs around it:
///
/// ```should_panic
/// use lumigrad::{nn, prelude::*};
/// let net = nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::ReLU).add(nn::Linear::new(4, 1));
/// net.call(&Tensor::ones(&[8, 2]));  // panics with "2: linear: …": the third layer takes 4 features and gets 3
/// ```
pub trait Forward<In: 'static = Tensor>: Module {
    /// What it gives.
    type Output: 'static;

    /// What the module computes. Implement this, and use [`Forward::call`].
    fn forward(&self, input: &In) -> Self::Output;

    /// Runs the module: [`Forward::forward`] with the module's [hooks](super::Hooks) round it, and with errors that name
    /// its path in the outermost module that is called.
    #[track_caller]
    fn call(&self, input: &In) -> Self::Output {
        let identity = Identity {
            address: std::ptr::from_ref(self).cast::<()>() as usize,
            type_name: self.type_name(),
            has_size: size_of_val(self) > 0,
        };
        enter_module!(identity, Location::caller(), |seen: &mut Vec<Seen>| list(self.as_module(), seen));
        if hooks::exist() {
            return hooks::run(self, identity, input);
        }
        self.forward(input)
    }
}

/// The tree below a module.
fn list(module: &dyn Module, seen: &mut Vec<Seen>) {
    module.visit(&mut Visitor::of_modules(&mut |path, module| {
        seen.push(Seen { path: path.to_string(), identity: identity(module) });
    }));
}

/// A module as its calls are known by.
pub(super) fn identity(module: &dyn Module) -> Identity {
    Identity {
        address: std::ptr::from_ref(module).cast::<()>() as usize,
        type_name: module.type_name(),
        has_size: size_of_val(module) > 0,
    }
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
    shown: Shown<'a>,
}

/// What a walk is for.
enum Shown<'a> {
    Parts(&'a mut dyn FnMut(&str, Part<'_>)),
    /// A module comes before those that it is made of.
    Modules(&'a mut dyn FnMut(&str, &dyn Module)),
    /// A module comes after those that it is made of.
    AfterModules(&'a mut dyn FnMut(&str, &dyn Module)),
}

impl<'a> Visitor<'a> {
    /// A walk that calls `f` with each part.
    pub fn new(f: &'a mut dyn FnMut(&str, Part<'_>)) -> Self {
        Visitor { path: String::new(), shown: Shown::Parts(f) }
    }

    /// A walk that calls `f` with each module, then with those that it is made of.
    pub(crate) fn of_modules(f: &'a mut dyn FnMut(&str, &dyn Module)) -> Self {
        Visitor { path: String::new(), shown: Shown::Modules(f) }
    }

    /// A walk that calls `f` with each module after those that it is made of.
    fn after_modules(f: &'a mut dyn FnMut(&str, &dyn Module)) -> Self {
        Visitor { path: String::new(), shown: Shown::AfterModules(f) }
    }

    /// Visits a part of a module under its name.
    pub fn child(&mut self, name: &str, module: &dyn Module) {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        if let Shown::Modules(f) = &mut self.shown
            && module.is_module()
        {
            f(&self.path, module.concrete());
        }
        module.visit(self);
        if let Shown::AfterModules(f) = &mut self.shown
            && module.is_module()
        {
            f(&self.path, module.concrete());
        }
        self.path.truncate(len);
    }

    /// Shows a part under the path so far.
    pub fn part(&mut self, part: Part<'_>) {
        if let Shown::Parts(f) = &mut self.shown {
            f(&self.path, part);
        }
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }

    fn concrete(&self) -> &dyn Module {
        self.as_ref().map_or(self, M::concrete)
    }

    fn is_module(&self) -> bool {
        self.as_ref().is_some_and(M::is_module)
    }
}

macro_rules! through {
    ($($ty:ident),*) => {$(
        impl<M: Module + ?Sized> Module for $ty<M> {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                (**self).visit(visitor);
            }

            fn concrete(&self) -> &dyn Module {
                (**self).concrete()
            }

            fn is_module(&self) -> bool {
                (**self).is_module()
            }
        }

        impl<In: 'static, F: Forward<In> + ?Sized> Forward<In> for $ty<F> {
            type Output = F::Output;

            #[track_caller]
            fn forward(&self, input: &In) -> F::Output {
                (**self).forward(input)
            }

            #[track_caller]
            fn call(&self, input: &In) -> F::Output {
                (**self).call(input)
            }
        }
    )*};
}
through!(Box, Arc);

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
