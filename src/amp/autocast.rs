//! Which type operations run in, by their names.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::lists::{Policy, policy};
use crate::autograd::is_grad_enabled;
use crate::dtype::DType;
use crate::ops::Operation;
use crate::scoped;
use crate::tensor::{Gradient, Tensor};
use crate::{Error, Result};

thread_local! {
    static TYPE: Cell<Option<DType>> = const { Cell::new(None) };
    /// Leaves in a half type, so that a weight is converted once: by the leaf, the type, and whether gradients flow.
    static CONVERTED: RefCell<FxHashMap<(usize, DType, bool), Converted>> = RefCell::default();
}

#[derive(Clone)]
struct Converted {
    from: Tensor,
    version: u64,
    to: Tensor,
}

/// Runs `body` with matrix products and convolutions in `dtype` on this thread, and what loses too much there, such as
/// exponentials, sums and losses, in f32: PyTorch's `torch.autocast`, with the lists of its `cuda` backend.
///
/// Parameters stay what they are; their gradients come out in f32. What is called inside of a backward pass runs in the
/// types that the forward pass chose. With [`DType::F16`] small gradients are lost unless a
/// [`GradScaler`](crate::amp::GradScaler) scales the loss; [`DType::BF16`] needs none.
///
/// ```
/// use lumigrad::{autocast, nn, prelude::*};
/// let (model, x) = (nn::Linear::new(3, 2), Tensor::ones(&[4, 3]));
/// let (y, loss) = autocast(DType::BF16, || {
///     let y = model.call(&x);
///     (y.clone(), y.mse_loss(&Tensor::zeros(&[4, 2])))
/// });
/// assert_eq!((y.dtype(), loss.dtype()), (DType::BF16, DType::F32));
/// loss.backward()?;
/// assert_eq!(model.weight.grad().unwrap().dtype(), DType::F32);
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Panics
/// When `dtype` is not [`DType::F16`] or [`DType::BF16`].
#[track_caller]
pub fn autocast<R>(dtype: DType, body: impl FnOnce() -> R) -> R {
    assert!(dtype.is_half(), "autocast: takes f16 or bf16, not {dtype}");
    with_autocast(Some(dtype), body)
}

/// Runs `body` without [`autocast`], also inside of one: PyTorch's `torch.autocast(.., enabled=False)`.
///
/// ```
/// use lumigrad::{amp::no_autocast, autocast, prelude::*};
/// let x = Tensor::ones(&[2, 2]);
/// let y = autocast(DType::F16, || no_autocast(|| x.matmul(&x)));
/// assert_eq!(y.dtype(), DType::F32);
/// ```
pub fn no_autocast<R>(body: impl FnOnce() -> R) -> R {
    with_autocast(None, body)
}

/// The type that [`autocast`] was given, inside of it.
pub fn autocast_dtype() -> Option<DType> {
    TYPE.get()
}

/// Lets go of converted weights.
pub(crate) fn forget_converted() {
    drop(CONVERTED.take());
}

/// Runs the inside of an operation, to which autocast does not apply. What was converted is kept.
pub(crate) fn with_autocast_paused<R>(body: impl FnOnce() -> R) -> R {
    scoped::set(&TYPE, None, body)
}

pub(crate) fn with_autocast<R>(dtype: Option<DType>, body: impl FnOnce() -> R) -> R {
    /// Outside of autocast, also after a panic, no converted weights are kept.
    struct Forget(bool);
    impl Drop for Forget {
        fn drop(&mut self) {
            if self.0 {
                forget_converted();
            }
        }
    }
    let _forget = Forget(TYPE.get().is_none() && dtype.is_some());
    scoped::set(&TYPE, dtype, body)
}

/// The inputs in the types that autocast gives an operation, or `None` where they stay as they are. Called with autocast
/// off.
pub(crate) fn autocast_to(
    operation: &'static Operation,
    inputs: &[&Tensor],
    dtype: DType,
) -> Result<Option<Vec<Tensor>>> {
    let floats = || inputs.iter().map(|t| t.dtype()).filter(|d| d.is_float());
    let to = match policy(operation.name) {
        Policy::Half => dtype,
        Policy::Single => DType::F32,
        Policy::Widest if floats().any(|d| d == DType::F32) => DType::F32,
        Policy::Widest | Policy::AsGiven => return Ok(None),
        Policy::Refused => {
            let hint = "use the loss with logits, which takes what comes before the sigmoid, or `no_autocast`";
            return Err(Error::argument(operation.name, format!("is not safe under autocast; {hint}")));
        }
    };
    if floats().all(|d| d == to) {
        return Ok(None);
    }
    let convert = |t: &&Tensor| if t.dtype().is_float() { converted(t, to) } else { Ok((*t).clone()) };
    inputs.iter().map(convert).collect::<Result<Vec<_>>>().map(Some)
}

/// Operands of a method that is one operation for PyTorch's autocast, which runs it in f32; `None` where nothing is to be
/// converted.
pub(crate) fn single<const N: usize>(operands: [&Tensor; N]) -> Result<Option<[Tensor; N]>> {
    if TYPE.get().is_none() || operands.iter().all(|t| !t.dtype().is_half()) {
        return Ok(None);
    }
    let mut wide = operands.map(Clone::clone);
    for t in wide.iter_mut().filter(|t| t.dtype().is_half()) {
        *t = t.try_to_dtype(DType::F32)?;
    }
    Ok(Some(wide))
}

/// An operand of a method that is one operation for PyTorch's autocast, which runs it in halves.
pub(crate) fn half(operand: &Tensor) -> Result<Tensor> {
    match TYPE.get() {
        Some(dtype) if operand.dtype().is_float() => converted(operand, dtype),
        _ => Ok(operand.clone()),
    }
}

/// A tensor in another type; a leaf that collects gradients is converted once in an [`autocast`].
fn converted(t: &Tensor, to: DType) -> Result<Tensor> {
    let Gradient::Leaf(leaf) = t.gradient() else { return t.try_to_dtype(to) };
    if !to.is_half() || t.dtype() != DType::F32 {
        return t.try_to_dtype(to);
    }
    let key = (Arc::as_ptr(leaf) as usize, to, is_grad_enabled());
    let same = |known: &&Converted| known.from.is_same_place(t) && known.version == t.version();
    if let Some(known) = CONVERTED.with_borrow(|all| all.get(&key).filter(same).cloned()) {
        return Ok(known.to);
    }
    let new = Converted { from: t.clone(), version: t.version(), to: t.try_to_dtype(to)? };
    let old = CONVERTED.with_borrow_mut(|all| all.insert(key, new.clone()));
    drop(old);
    Ok(new.to)
}
