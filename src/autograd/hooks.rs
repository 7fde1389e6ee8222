//! Functions that see gradients on their way.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::node::lock;
use crate::tensor::{Gradient, Tensor};
use crate::{Error, Result};

/// Sees a gradient and may give another in its place.
pub(crate) type TensorHook = Arc<dyn Fn(&Tensor) -> Option<Tensor> + Send + Sync>;

/// Is told that a leaf's `.grad` is complete.
pub(crate) type PostHook = Arc<dyn Fn() + Send + Sync>;

/// Hooks in the order in which they were registered, by number.
pub(crate) struct HookList<T>(Mutex<Vec<(u64, T)>>);

/// A place for hooks, empty until the first comes.
pub(crate) type Hooks<T> = OnceLock<Arc<HookList<T>>>;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Adds a hook to a place.
pub(crate) fn add<T: Send + 'static>(hooks: &Hooks<T>, hook: T) -> HookHandle {
    let list = hooks.get_or_init(|| Arc::new(HookList(Mutex::default())));
    let number = NUMBER.fetch_add(1, Relaxed);
    lock(&list.0).push((number, hook));
    let list: Arc<dyn Remove> = list.clone();
    HookHandle { list: Arc::downgrade(&list), number }
}

/// The hooks that are there now; one that is added or removed by another counts from the next time on.
pub(crate) fn all<T: Clone>(hooks: &Hooks<T>) -> Vec<T> {
    hooks.get().map_or_else(Vec::new, |list| lock(&list.0).iter().map(|(_, hook)| hook.clone()).collect())
}

trait Remove: Send + Sync {
    fn remove(&self, number: u64);
}

impl<T: Send> Remove for HookList<T> {
    fn remove(&self, number: u64) {
        let mut list = lock(&self.0);
        let gone = list.iter().position(|(n, _)| *n == number).map(|at| list.remove(at));
        // What the hook holds may have hooks itself: it goes after the lock.
        drop(list);
        drop(gone);
    }
}

/// What [`Tensor::register_hook`] gives: it can take the hook away again. Dropping it leaves the hook where it is, as in
/// PyTorch; the hook goes with the tensor's place in the graph.
pub struct HookHandle {
    list: Weak<dyn Remove>,
    number: u64,
}

impl HookHandle {
    /// Takes the hook away.
    pub fn remove(self) {
        if let Some(list) = self.list.upgrade() {
            list.remove(self.number);
        }
    }
}

impl std::fmt::Debug for HookHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HookHandle({})", self.number)
    }
}

/// Leads a gradient through hooks.
pub(crate) fn through(hooks: impl IntoIterator<Item = TensorHook>, mut gradient: Tensor) -> Result<Tensor> {
    for hook in hooks {
        if let Some(other) = hook(&gradient) {
            gradient = replacement("register_hook", &gradient, other)?;
        }
    }
    Ok(gradient)
}

/// A hook's gradient in place of another, which it must be like.
pub(crate) fn replacement(op: &str, of: &Tensor, other: Tensor) -> Result<Tensor> {
    let other = other.detach().healthy()?;
    if other.shape() == of.shape() && other.dtype() == of.dtype() && other.device() == of.device() {
        return Ok(other);
    }
    let describe = |t: &Tensor| format!("{} of shape {:?} on {}", t.dtype(), t.shape(), t.device());
    Err(Error::Autograd(format!(
        "{op}: the hook gives {} in place of a gradient of {}",
        describe(&other),
        describe(of)
    )))
}

impl Tensor {
    /// Calls `hook` with the gradient of this tensor whenever a backward pass has all of it; what the hook gives takes the
    /// gradient's place. Hooks run in the order in which they were registered, before the gradient is added to `.grad`.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.Tensor.register_hook.html>
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::scalar(3.0).requires_grad();
    /// let y = &x * &x;
    /// let handle = y.register_hook(|gradient| Some(gradient * 10.0));
    /// (&y * 2.0).backward()?;
    /// assert_eq!(x.grad().unwrap().item::<f32>()?, 120.0);
    /// handle.remove();
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// A parameter's gradient may lie in its optimiser's memory: copy it to keep it.
    ///
    /// # Panics
    /// When the tensor needs no gradient.
    #[track_caller]
    pub fn register_hook(&self, hook: impl Fn(&Tensor) -> Option<Tensor> + Send + Sync + 'static) -> HookHandle {
        match self.gradient() {
            Gradient::None => panic!("register_hook: this tensor needs no gradient, so there is none to see"),
            Gradient::Leaf(leaf) => add(leaf.hooks(), Arc::new(hook)),
            Gradient::Node(node, output) => add(&node.hooks, (*output, Arc::new(hook))),
        }
    }

    /// Calls `hook` with this leaf after each backward pass that added to its `.grad`, such as to update it at once.
    ///
    /// The leaves' gradients are added when the pass has walked the whole graph. The hook is not called when every
    /// handle of the tensor is gone.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use lumigrad::prelude::*;
    /// let x = Tensor::scalar(3.0).requires_grad();
    /// let seen = Arc::new(Mutex::new(Vec::new()));
    /// let list = seen.clone();
    /// x.register_post_accumulate_grad_hook(move |x| list.lock().unwrap().push(x.grad().unwrap().item::<f32>().unwrap()));
    /// (&x * 2.0).backward()?;
    /// (&x * 5.0).backward()?;
    /// assert_eq!(*seen.lock().unwrap(), [2.0, 7.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When this is no leaf that requires a gradient.
    #[track_caller]
    pub fn register_post_accumulate_grad_hook(&self, hook: impl Fn(&Tensor) + Send + Sync + 'static) -> HookHandle {
        let Gradient::Leaf(leaf) = self.gradient() else {
            panic!("register_post_accumulate_grad_hook: only a leaf that requires a gradient has a `.grad`");
        };
        // A handle would keep the leaf alive that the hook hangs on.
        let own = self.downgrade();
        let hook = move || {
            if let Some(tensor) = own.upgrade() {
                hook(&tensor);
            }
        };
        add(leaf.post_hooks(), Arc::new(hook))
    }
}
