//! The tensor: a cheap handle to strided elements on a device.

mod create;
mod display;
pub(crate) mod index;
mod inplace;
mod operators;
mod read;
pub(crate) mod shape;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use crate::autograd::{Leaf, Node};
use crate::dtype::DType;
use crate::engine::memory::Class;
use crate::engine::{Buffer, Device};
use crate::{Error, Result};

pub use create::IntoShape;
pub use index::{Ellipsis, Index, IntoIndex, NewAxis, Slice, Value};
pub use shape::Shape;

/// A strided array of numbers on a device, with its place in the autograd graph.
///
/// A handle: cloning it is cheap and shares the elements. Operations are methods; each returns a new tensor, leaving its
/// inputs as they are, unless its name ends in an underscore.
///
/// Mistakes (shapes that don't fit, a dim that isn't there) panic at the caller's line; each such method has a twin with
/// `try_` before its name that returns them as [`Error`]. Failures of the device never panic: the result is *poisoned*
/// and the error comes back from the next call that returns a `Result`, such as [`Tensor::item`] or
/// [`Tensor::backward`].
///
/// ```
/// use lumigrad::prelude::*;
///
/// let x = Tensor::scalar(2.0).requires_grad();
/// let y = x.powi(2) + 2.0 * &x + 1.0;
/// y.backward()?;
/// assert_eq!(x.grad().unwrap().item::<f32>()?, 6.0);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    storage: Arc<Storage>,
    shape: Shape,
    strides: Shape,
    offset: usize,
    dtype: DType,
    device: Device,
    gradient: Gradient,
    is_view: bool,
}

/// The elements that a tensor and its views share, and how often they were changed.
pub(crate) struct Storage {
    content: Result<Arc<Buffer>>,
    version: AtomicU64,
}

/// How a tensor takes part in autograd.
#[derive(Clone)]
pub(crate) enum Gradient {
    /// Not at all.
    None,
    /// As a leaf, which collects `.grad`.
    Leaf(Arc<Leaf>),
    /// As output `.1` of a node.
    Node(Arc<Node>, usize),
}

/// A tensor that may be gone.
pub(crate) struct WeakTensor(Weak<Inner>);

impl WeakTensor {
    pub fn upgrade(&self) -> Option<Tensor> {
        self.0.upgrade().map(Tensor)
    }
}

/// A view's place in its storage.
pub(crate) struct Layout {
    pub shape: Shape,
    pub strides: Shape,
    pub offset: usize,
}

impl Tensor {
    /// A contiguous tensor over a whole buffer, or a poisoned one.
    pub(crate) fn from_content(content: Result<Arc<Buffer>>, shape: Shape, dtype: DType, device: Device) -> Tensor {
        let strides = shape::contiguous_strides(&shape);
        let storage = Arc::new(Storage { content, version: AtomicU64::new(0) });
        let gradient = Gradient::None;
        Tensor(Arc::new(Inner { storage, shape, strides, offset: 0, dtype, device, gradient, is_view: false }))
    }

    /// A contiguous tensor over a part of a buffer that has a version of its own: a parameter in an optimiser's arena.
    pub(crate) fn in_arena(arena: &Arc<Buffer>, offset: usize, shape: Shape, device: Device) -> Tensor {
        let tensor = Tensor::from_content(Ok(arena.clone()), shape, arena.dtype, device);
        let mut inner = Arc::unwrap_or_clone(tensor.0);
        inner.offset = offset;
        Tensor(Arc::new(inner))
    }

    /// The same elements, arranged differently.
    pub(crate) fn view_as_layout(&self, layout: Layout) -> Tensor {
        let Layout { shape, strides, offset } = layout;
        let storage = self.0.storage.clone();
        let (dtype, device) = (self.0.dtype, self.0.device.clone());
        let gradient = Gradient::None;
        Tensor(Arc::new(Inner { storage, shape, strides, offset, dtype, device, gradient, is_view: true }))
    }

    pub(crate) fn with_gradient(self, gradient: Gradient) -> Tensor {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.gradient = gradient;
        Tensor(Arc::new(inner))
    }

    /// A handle that keeps nothing alive.
    pub(crate) fn downgrade(&self) -> WeakTensor {
        WeakTensor(Arc::downgrade(&self.0))
    }

    pub(crate) fn gradient(&self) -> &Gradient {
        &self.0.gradient
    }

    /// Sizes of the dims.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The size of one dim, which may count from the end.
    ///
    /// # Panics
    /// When there is no such dim.
    #[track_caller]
    pub fn size(&self, dim: i64) -> usize {
        match shape::dim_index("size", dim, self.dim()) {
            Ok(d) if d < self.dim() => self.0.shape[d],
            Ok(_) => panic!("{}", Error::Dim { op: "size", dim, rank: 0 }),
            Err(error) => panic!("{error}"),
        }
    }

    /// The number of dims.
    pub fn dim(&self) -> usize {
        self.0.shape.len()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        shape::numel(&self.0.shape)
    }

    /// Steps between neighbours in each dim, in elements.
    pub fn strides(&self) -> &[usize] {
        &self.0.strides
    }

    /// Position of the first element in the storage.
    pub(crate) fn offset(&self) -> usize {
        self.0.offset
    }

    /// The number of elements in memory that this is a view of: those of expanded dims count once.
    pub(crate) fn distinct(&self) -> usize {
        let sizes = self.0.shape.iter().zip(&self.0.strides);
        let all = if self.numel() == 0 { 0 } else { sizes.filter(|(_, step)| **step > 0).map(|(n, _)| n).product() };
        // Windows that overlap have no more than their storage.
        self.buffer().map_or(all, |buffer| all.min(buffer.len))
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Where the elements are.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Whether the elements lie row by row, without gaps.
    pub fn is_contiguous(&self) -> bool {
        shape::is_contiguous(&self.0.shape, &self.0.strides)
    }

    /// Whether two tensors share their elements.
    pub fn shares_storage(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0.storage, &other.0.storage)
    }

    /// Whether both are one handle, and so one place in the graph.
    pub(crate) fn is(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether both are the same elements in the same arrangement.
    pub(crate) fn is_same_place(&self, other: &Tensor) -> bool {
        let layout = |t: &Tensor| (t.0.shape.clone(), t.0.strides.clone(), t.0.offset);
        self.shares_storage(other) && layout(self) == layout(other)
    }

    /// Whether no other tensor has these elements, and they lie row by row.
    pub(crate) fn is_sole_owner(&self) -> bool {
        let handles = (Arc::strong_count(&self.0), Arc::strong_count(&self.0.storage));
        handles == (1, 1) && !self.0.is_view && self.is_contiguous()
    }

    /// Identity of the storage.
    pub(crate) fn storage_id(&self) -> usize {
        Arc::as_ptr(&self.0.storage) as usize
    }

    /// The failure that this tensor carries, if an operation that it depends on failed.
    pub fn poison(&self) -> Option<&Error> {
        self.0.storage.content.as_ref().err()
    }

    /// The tensor, or the failure that it carries.
    pub(crate) fn healthy(self) -> Result<Tensor> {
        match self.poison() {
            Some(error) => Err(error.clone()),
            None => Ok(self),
        }
    }

    pub(crate) fn buffer(&self) -> Result<&Arc<Buffer>> {
        self.0.storage.content.as_ref().map_err(Clone::clone)
    }

    /// Says what the memory is for.
    pub(crate) fn set_label(&self, class: Class) {
        if let Ok(buffer) = self.buffer() {
            buffer.set_label(class.label());
        }
    }

    pub(crate) fn is_view(&self) -> bool {
        self.0.is_view
    }

    /// How often the elements were changed in place; shared by all views.
    pub(crate) fn version(&self) -> u64 {
        self.0.storage.version.load(Relaxed)
    }

    pub(crate) fn bump_version(&self) {
        self.0.storage.version.fetch_add(1, Relaxed);
    }

    /// The same elements outside of any graph: gradients do not flow through it.
    pub fn detach(&self) -> Tensor {
        match self.0.gradient {
            Gradient::None => self.clone(),
            _ => self.clone().with_gradient(Gradient::None),
        }
    }

    /// The same elements as a leaf that collects gradients: PyTorch's `requires_grad_()`.
    ///
    /// # Panics
    /// When the elements are not floats: integers have no gradient.
    #[track_caller]
    #[must_use = "`requires_grad` returns the leaf; the tensor that it is called on stays as it is"]
    pub fn requires_grad(self) -> Tensor {
        assert!(
            self.dtype().is_float(),
            "requires_grad: only floats have gradients, this tensor holds {}",
            self.dtype()
        );
        if let Gradient::Leaf(_) = self.0.gradient {
            return self;
        }
        self.with_gradient(Gradient::Leaf(Arc::new(Leaf::default())))
    }

    /// Whether gradients flow to this tensor.
    pub fn is_requires_grad(&self) -> bool {
        !matches!(self.0.gradient, Gradient::None)
    }

    /// Whether it was made by the user and not by an operation in the graph.
    pub fn is_leaf(&self) -> bool {
        !matches!(self.0.gradient, Gradient::Node(..))
    }

    /// A copy on another device; the tensor itself when it is there already. Gradients flow through.
    ///
    /// Reads the elements back to the host, which waits for the device. A failed read poisons the result.
    pub fn to(&self, device: &Device) -> Tensor {
        if self.device() == device {
            return self.clone();
        }
        crate::ops::transfer(self, device)
    }
}
