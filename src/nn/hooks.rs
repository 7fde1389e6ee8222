//! Functions that run round a module's `forward` and `backward`.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::calls;
use super::module::identity;
use super::state::nearest;
use super::{Forward, Module};
use crate::autograd::hooks::replacement;
use crate::autograd::{Step, is_grad_enabled};
use crate::engine::place::{self, Identity, short};
use crate::ops::{Attrs, Gradients, Operation, Vjp, attach};
use crate::tensor::{Gradient, Tensor};
use crate::{Error, Result};

/// The module whose hook is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookedModule {
    /// Its path in the outermost module that runs; empty for that one itself.
    pub path: String,
    /// Its type's name, such as `Linear`.
    pub type_name: &'static str,
}

/// Keeps a hook on a module; dropping it takes the hook away.
///
/// A hook belongs to a module's place in memory, since a struct of layers has no other identity. So its handle borrows the
/// module: the compiler sees to it that the module is neither moved nor dropped while it has a hook, and no hook can end
/// up on another module that later lies in the same place. Everything that a module does, training included, works
/// through `&self` and so goes on meanwhile.
///
/// ```compile_fail
/// use lumigrad::{nn, prelude::*};
/// let layer = nn::Linear::new(2, 3);
/// let hook = layer.register_forward_hook(|_, _, _| None);
/// let moved = layer;
/// drop(hook);
/// ```
#[must_use = "the hook is gone when its handle is dropped"]
pub struct ModuleHook<'a> {
    key: Key,
    number: u64,
    module: PhantomData<&'a ()>,
}

/// Which calls a hook is for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Module(Identity),
    /// A module without size, by its path from another one: many may lie in one place.
    Path(Identity, String),
}

#[derive(Clone)]
struct Hook {
    number: u64,
    kind: Kind,
    /// What it takes and gives, for the message when the module's types are others.
    types: &'static str,
    /// A `Before` or an `After`.
    function: Arc<dyn Any + Send + Sync>,
}

#[derive(Clone)]
enum Kind {
    Before,
    After,
    Backward(Arc<BackwardHook>),
}

type Before<In> = Box<dyn Fn(&HookedModule, &In) -> Option<In> + Send + Sync>;
type After<In, Out> = Box<dyn Fn(&HookedModule, &In, &Out) -> Option<Out> + Send + Sync>;
type BackwardHook =
    dyn Fn(&HookedModule, &[Option<Tensor>], &[Option<Tensor>]) -> Option<Vec<Option<Tensor>>> + Send + Sync;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static HOOKS: Mutex<Option<FxHashMap<Key, Vec<Hook>>>> = Mutex::new(None);

fn hooks() -> MutexGuard<'static, Option<FxHashMap<Key, Vec<Hook>>>> {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is any hook: all that a call without hooks asks.
pub(super) fn exist() -> bool {
    COUNT.load(Relaxed) > 0
}

impl ModuleHook<'_> {
    fn add(key: Key, kind: Kind, types: &'static str, function: Arc<dyn Any + Send + Sync>) -> Self {
        let number = NUMBER.fetch_add(1, Relaxed);
        let hook = Hook { number, kind, types, function };
        hooks().get_or_insert_default().entry(key.clone()).or_default().push(hook);
        COUNT.fetch_add(1, Relaxed);
        ModuleHook { key, number, module: PhantomData }
    }

    /// Takes the hook away, as dropping the handle does.
    pub fn remove(self) {}
}

impl Drop for ModuleHook<'_> {
    fn drop(&mut self) {
        let mut all = hooks();
        let mut gone = None;
        if let Some(map) = all.as_mut()
            && let Some(list) = map.get_mut(&self.key)
        {
            gone = list.iter().position(|hook| hook.number == self.number).map(|at| list.remove(at));
            if list.is_empty() {
                map.remove(&self.key);
            }
        }
        // What a hook holds may hold hooks.
        drop(all);
        if gone.is_some() {
            COUNT.fetch_sub(1, Relaxed);
        }
    }
}

/// Hooks are registered on a module itself or, with `_at`, by the path of a module below it.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use lumigrad::{nn, prelude::*};
///
/// let net = nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::ReLU).add(nn::Linear::new(3, 1));
/// let features = Arc::new(Mutex::new(None));
/// let slot = features.clone();
/// let hook = net.register_forward_hook_at("1", move |module, _: &Tensor, output: &Tensor| {
///     assert_eq!((module.path.as_str(), module.type_name), ("1", "ReLU"));
///     *slot.lock().unwrap() = Some(output.detach());
///     None
/// })?;
/// net.call(&Tensor::ones(&[4, 2]));
/// assert_eq!(features.lock().unwrap().take().unwrap().shape(), [4, 3]);
/// hook.remove();
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub trait Hooks: Module {
    /// Calls `hook` with the input before `forward`; what it gives takes the input's place.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.register_forward_pre_hook>
    ///
    /// # Panics
    /// When the module has no size, such as `ReLU`: then its place says nothing; name it by its path.
    #[track_caller]
    fn register_forward_pre_hook<In: 'static>(
        &self,
        hook: impl Fn(&HookedModule, &In) -> Option<In> + Send + Sync + 'static,
    ) -> ModuleHook<'_>
    where
        Self: Forward<In> + Sized,
    {
        ModuleHook::before(own_key(self), hook)
    }

    /// Calls `hook` with input and output after `forward`; what it gives takes the output's place.
    ///
    /// # Panics
    /// As [`Hooks::register_forward_pre_hook`].
    #[track_caller]
    fn register_forward_hook<In: 'static>(
        &self,
        hook: impl Fn(&HookedModule, &In, &Self::Output) -> Option<Self::Output> + Send + Sync + 'static,
    ) -> ModuleHook<'_>
    where
        Self: Forward<In> + Sized,
    {
        ModuleHook::after::<In, Self::Output>(own_key(self), hook)
    }

    /// Calls `hook` with the gradients of inputs and of outputs when a backward pass has all of them; what it gives takes
    /// the place of the inputs' gradients. They are `None` where none is needed.
    ///
    /// Inputs and outputs must be tensors, or tuples or lists of tensors. When no input needs a gradient, the hook is
    /// called with those of the outputs alone.
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let layer = nn::Linear::new(2, 1);
    /// let hook = layer.register_full_backward_hook(|_, inputs, outputs| {
    ///     assert_eq!(outputs[0].as_ref().unwrap().shape(), [4, 1]);
    ///     Some(inputs.iter().map(|g| g.as_ref().map(|g| g * 0.0)).collect())
    /// });
    /// let x = Tensor::ones(&[4, 2]).requires_grad();
    /// layer.call(&x).sum().backward()?;
    /// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [0.0; 8]);
    /// # drop(hook);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Hooks::register_forward_pre_hook`].
    #[track_caller]
    fn register_full_backward_hook(
        &self,
        hook: impl Fn(&HookedModule, &[Option<Tensor>], &[Option<Tensor>]) -> Option<Vec<Option<Tensor>>>
        + Send
        + Sync
        + 'static,
    ) -> ModuleHook<'_>
    where
        Self: Sized,
    {
        ModuleHook::backward(own_key(self), hook)
    }

    /// [`Hooks::register_forward_pre_hook`] on the module at a path. The hook states the module's input in its types.
    ///
    /// # Errors
    /// When there is no module of this path.
    fn register_forward_pre_hook_at<In: 'static>(
        &self,
        path: &str,
        hook: impl Fn(&HookedModule, &In) -> Option<In> + Send + Sync + 'static,
    ) -> Result<ModuleHook<'_>>
    where
        Self: Sized,
    {
        Ok(ModuleHook::before(key_at(self, path)?, hook))
    }

    /// [`Hooks::register_forward_hook`] on the module at a path. The hook states the module's input and output in its
    /// types.
    ///
    /// # Errors
    /// When there is no module of this path.
    fn register_forward_hook_at<In: 'static, Out: 'static>(
        &self,
        path: &str,
        hook: impl Fn(&HookedModule, &In, &Out) -> Option<Out> + Send + Sync + 'static,
    ) -> Result<ModuleHook<'_>>
    where
        Self: Sized,
    {
        Ok(ModuleHook::after::<In, Out>(key_at(self, path)?, hook))
    }

    /// [`Hooks::register_full_backward_hook`] on the module at a path.
    ///
    /// # Errors
    /// When there is no module of this path.
    fn register_full_backward_hook_at(
        &self,
        path: &str,
        hook: impl Fn(&HookedModule, &[Option<Tensor>], &[Option<Tensor>]) -> Option<Vec<Option<Tensor>>>
        + Send
        + Sync
        + 'static,
    ) -> Result<ModuleHook<'_>>
    where
        Self: Sized,
    {
        Ok(ModuleHook::backward(key_at(self, path)?, hook))
    }
}

impl<M: Module> Hooks for M {}

impl ModuleHook<'_> {
    fn before<In: 'static>(key: Key, hook: impl Fn(&HookedModule, &In) -> Option<In> + Send + Sync + 'static) -> Self {
        let function: Before<In> = Box::new(hook);
        Self::add(key, Kind::Before, std::any::type_name::<In>(), Arc::new(function))
    }

    fn after<In: 'static, Out: 'static>(
        key: Key,
        hook: impl Fn(&HookedModule, &In, &Out) -> Option<Out> + Send + Sync + 'static,
    ) -> Self {
        let function: After<In, Out> = Box::new(hook);
        Self::add(key, Kind::After, std::any::type_name::<fn(&In) -> Out>(), Arc::new(function))
    }

    fn backward(
        key: Key,
        hook: impl Fn(&HookedModule, &[Option<Tensor>], &[Option<Tensor>]) -> Option<Vec<Option<Tensor>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::add(key, Kind::Backward(Arc::new(hook)), "", Arc::new(()))
    }
}

#[track_caller]
fn own_key(module: &dyn Module) -> Key {
    let own = identity(module.concrete());
    assert!(
        own.has_size,
        "a hook on {} itself: a module without state has no place of its own; name it by its path from the module that \
         holds it, as in `net.register_forward_hook_at(\"relu\", ..)`",
        short(own.type_name)
    );
    Key::Module(own)
}

fn key_at(root: &dyn Module, path: &str) -> Result<Key> {
    let own = identity(root.concrete());
    let (mut found, mut paths) = (path.is_empty().then_some(own), Vec::new());
    root.apply(&mut |at, module| {
        paths.push(at.to_string());
        if at == path {
            found = Some(identity(module));
        }
    });
    match found {
        Some(module) if module.has_size => Ok(Key::Module(module)),
        Some(_) if own.has_size && !path.is_empty() => Ok(Key::Path(own, path.to_string())),
        Some(_) => Err(Error::argument("hook", "a module without state has no place of its own to hang a hook on")),
        None => {
            let hint = nearest(path, paths.iter().map(|p| &**p));
            Err(Error::argument("hook", format!("{} has no module {path:?}{hint}", short(own.type_name))))
        }
    }
}

/// The hooks of the module that was called last, and its path.
fn of_called(identity: Identity) -> (SmallVec<[Hook; 2]>, String) {
    let mut found = SmallVec::new();
    let roots: Vec<(Identity, String)> = {
        let all = hooks();
        let Some(map) = all.as_ref() else { return (found, String::new()) };
        if identity.has_size {
            found.extend(map.get(&Key::Module(identity)).into_iter().flatten().cloned());
            Vec::new()
        } else {
            let paths = map.keys().filter_map(|key| match key {
                Key::Path(root, path) => Some((*root, path.clone())),
                Key::Module(_) => None,
            });
            paths.collect()
        }
    };
    if identity.has_size && found.is_empty() || !identity.has_size && roots.is_empty() {
        return (found, String::new());
    }
    let frames = place::frames();
    let full = place::path_of(&frames);
    for (root, path) in roots {
        let hooked = frames.iter().enumerate().filter(|(_, frame)| frame.identity == root).any(|(depth, _)| {
            let base = place::path_of(&frames[..=depth]);
            let relative = if base.is_empty() { Some(&*full) } else { full.strip_prefix(&format!("{base}.")) };
            relative == Some(&path)
        });
        if hooked && let Some(map) = hooks().as_ref() {
            found.extend(map.get(&Key::Path(root, path)).into_iter().flatten().cloned());
        }
    }
    found.sort_by_key(|hook| hook.number);
    (found, full)
}

/// Sends every call of a module by way of [`run`] as long as it lives.
pub(super) struct Detour(());

impl Detour {
    pub fn new() -> Self {
        COUNT.fetch_add(1, Relaxed);
        Detour(())
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Relaxed);
    }
}

/// Runs a module with its hooks round it, and tells who lists the calls.
#[track_caller]
pub(super) fn run<In: 'static, M: Forward<In> + ?Sized>(module: &M, called: Identity, input: &In) -> M::Output {
    let output = run_hooked(module, called, input);
    calls::notice(&output);
    output
}

#[track_caller]
fn run_hooked<In: 'static, M: Forward<In> + ?Sized>(module: &M, called: Identity, input: &In) -> M::Output {
    let (hooks, path) = of_called(called);
    if hooks.is_empty() {
        return module.forward(input);
    }
    let place = HookedModule { path, type_name: short(called.type_name) };
    let mut own: Option<In> = None;
    for hook in hooks.iter().filter(|hook| matches!(hook.kind, Kind::Before)) {
        let function: &Before<In> = typed::<_, In>(hook, &place);
        if let Some(other) = function(&place, own.as_ref().unwrap_or(input)) {
            own = Some(other);
        }
    }
    let backward: Vec<_> = hooks
        .iter()
        .filter_map(|hook| match &hook.kind {
            Kind::Backward(function) => Some(function.clone()),
            _ => None,
        })
        .collect();
    let watch = (!backward.is_empty() && is_grad_enabled()).then(|| Watch::new(place.clone(), backward));
    if let Some(watch) = &watch {
        own = Some(watch.inputs(own.as_ref().unwrap_or(input)));
    }
    let input = own.as_ref().unwrap_or(input);
    let mut output = module.forward(input);
    for hook in hooks.iter().filter(|hook| matches!(hook.kind, Kind::After)) {
        let function: &After<In, M::Output> = typed::<_, fn(&In) -> M::Output>(hook, &place);
        if let Some(other) = function(&place, input, &output) {
            output = other;
        }
    }
    match watch {
        Some(watch) => watch.outputs(&output),
        None => output,
    }
}

/// The hook with the module's types; `T` names them.
#[track_caller]
fn typed<'a, F: 'static, T>(hook: &'a Hook, place: &HookedModule) -> &'a F {
    hook.function.downcast_ref().unwrap_or_else(|| {
        let name = if place.path.is_empty() { place.type_name } else { &place.path };
        panic!("{name}: the module is {}, the hook was made for {}", std::any::type_name::<T>(), hook.types)
    })
}

static WATCH: Operation = Operation::of_closures("backward hook");

/// One call whose gradients are watched: a node before the module and one behind it.
struct Watch {
    place: HookedModule,
    hooks: Vec<Arc<BackwardHook>>,
    state: Arc<Mutex<Watched>>,
}

#[derive(Default)]
struct Watched {
    outputs: Vec<Option<Tensor>>,
    /// The number of inputs when none of them needs a gradient: then the node behind the module calls the hooks.
    without_inputs: Option<usize>,
}

impl Watch {
    fn new(place: HookedModule, hooks: Vec<Arc<BackwardHook>>) -> Watch {
        Watch { place, hooks, state: Arc::default() }
    }

    #[track_caller]
    fn inputs<In: 'static>(&self, input: &In) -> In {
        let (place, hooks, state) = (self.place.clone(), self.hooks.clone(), self.state.clone());
        let needed = std::cell::Cell::new(false);
        let count = std::cell::Cell::new(0);
        let inputs = map_tensors(&self.place, input, &|tensors| {
            needed.set(tensors.iter().any(Tensor::is_requires_grad));
            count.set(tensors.len());
            let (place, hooks, state) = (place.clone(), hooks.clone(), state.clone());
            watched(tensors, move |v| {
                let outputs = std::mem::take(&mut state.lock().unwrap_or_else(PoisonError::into_inner).outputs);
                let inputs: Vec<Option<Tensor>> = (0..v.inputs_len()).map(|i| v.gradient_of(i).cloned()).collect();
                Ok(call_hooks(&hooks, &place, inputs, &outputs)?.into())
            })
        });
        if !needed.get() {
            state.lock().unwrap_or_else(PoisonError::into_inner).without_inputs = Some(count.get());
        }
        inputs
    }

    #[track_caller]
    fn outputs<Out: 'static>(&self, output: &Out) -> Out {
        let (place, hooks, state) = (self.place.clone(), self.hooks.clone(), self.state.clone());
        map_tensors(&self.place, output, &|tensors| {
            let (place, hooks, state) = (place.clone(), hooks.clone(), state.clone());
            watched(tensors, move |v| {
                let gradients: Gradients = (0..v.inputs_len()).map(|i| v.gradient_of(i).cloned()).collect();
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.outputs = gradients.to_vec();
                let without_inputs = state.without_inputs;
                drop(state);
                if let Some(inputs) = without_inputs {
                    call_hooks(&hooks, &place, vec![None; inputs], &gradients)?;
                }
                Ok(gradients)
            })
        })
    }
}

fn call_hooks(
    hooks: &[Arc<BackwardHook>],
    place: &HookedModule,
    mut inputs: Vec<Option<Tensor>>,
    outputs: &[Option<Tensor>],
) -> Result<Vec<Option<Tensor>>> {
    let op = "register_full_backward_hook";
    for hook in hooks {
        let Some(others) = hook(place, &inputs, outputs) else { continue };
        if others.len() != inputs.len() {
            let (given, wanted) = (others.len(), inputs.len());
            return Err(Error::Autograd(format!(
                "{op}: the hook gives {given} gradients, the module has {wanted} inputs"
            )));
        }
        for (input, other) in inputs.iter_mut().zip(others) {
            // Where no gradient is needed none is made.
            if let (Some(own), Some(other)) = (&input, other) {
                *input = Some(replacement(op, own, other)?);
            }
        }
    }
    Ok(inputs)
}

/// The same tensors behind a node that lets `see` look at their gradients.
fn watched(tensors: &[Tensor], see: impl Fn(&mut Vjp<'_>) -> Result<Gradients> + Send + Sync + 'static) -> Vec<Tensor> {
    if !tensors.iter().any(Tensor::is_requires_grad) {
        return tensors.to_vec();
    }
    let inputs: SmallVec<[&Tensor; 2]> = tensors.iter().collect();
    let outputs = tensors.iter().map(Tensor::detach).collect();
    let step = Some(Step::Watch(Box::new(see)));
    let attached = attach(&WATCH, &inputs, Attrs::new(), SmallVec::new(), outputs, step);
    // One that needed no gradient stays outside of the graph.
    let pairs = attached.into_iter().zip(tensors);
    pairs.map(|(new, old)| if matches!(old.gradient(), Gradient::None) { old.clone() } else { new }).collect()
}

/// A value with its tensors exchanged.
#[track_caller]
fn map_tensors<T: 'static>(place: &HookedModule, value: &T, f: &dyn Fn(&[Tensor]) -> Vec<Tensor>) -> T {
    let any: &dyn Any = value;
    let mapped: Option<Box<dyn Any>> = if let Some(t) = any.downcast_ref::<Tensor>() {
        f(std::slice::from_ref(t)).pop().map(|t| Box::new(t) as Box<dyn Any>)
    } else if let Some((a, b)) = any.downcast_ref::<(Tensor, Tensor)>() {
        let [a, b]: [Tensor; 2] = array(f(&[a.clone(), b.clone()]));
        Some(Box::new((a, b)))
    } else if let Some((a, b, c)) = any.downcast_ref::<(Tensor, Tensor, Tensor)>() {
        let [a, b, c]: [Tensor; 3] = array(f(&[a.clone(), b.clone(), c.clone()]));
        Some(Box::new((a, b, c)))
    } else {
        any.downcast_ref::<Vec<Tensor>>().map(|list| Box::new(f(list)) as Box<dyn Any>)
    };
    match mapped.map(Box::<dyn Any>::downcast::<T>) {
        Some(Ok(mapped)) => *mapped,
        _ => panic!(
            "{}: a backward hook sees tensors, tuples of them and lists of them, not {}",
            if place.path.is_empty() { place.type_name } else { &place.path },
            std::any::type_name::<T>()
        ),
    }
}

fn array<const N: usize>(list: Vec<Tensor>) -> [Tensor; N] {
    list.try_into().unwrap_or_else(|_| unreachable!("a tensor for each tensor"))
}
