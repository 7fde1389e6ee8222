//! How values of a type lie in memory, and as one word a number.

use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use wgpu::naga;

use naga::proc::TypeResolution;
use naga::{ArraySize, Handle, Module, Scalar, Type, TypeInner, VectorSize};

/// A number of a value.
#[derive(Clone, Copy)]
pub(super) struct Leaf {
    /// Bytes from the value's start in memory.
    pub at: u32,
    pub scalar: Scalar,
}

/// The step from an element of something to the next.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// In shared memory.
    pub bytes: u32,
    /// In values and a thread's own variables, where each number is a word.
    pub words: u32,
    /// Elements, unless the memory says how many.
    pub count: Option<u32>,
}

pub(super) struct Types<'m> {
    module: &'m Module,
    known: RefCell<FxHashMap<Handle<Type>, Rc<[Leaf]>>>,
}

impl<'m> Types<'m> {
    pub fn new(module: &'m Module) -> Self {
        Types { module, known: RefCell::default() }
    }

    pub fn inner<'a>(&'a self, resolution: &'a TypeResolution) -> &'a TypeInner {
        resolution.inner_with(&self.module.types)
    }

    pub fn of(&self, ty: Handle<Type>) -> &'m TypeInner {
        &self.module.types[ty].inner
    }

    /// The numbers of a type, in order.
    pub fn leaves(&self, ty: Handle<Type>) -> Rc<[Leaf]> {
        if let Some(known) = self.known.borrow().get(&ty) {
            return known.clone();
        }
        let leaves = self.leaves_of(self.of(ty));
        self.known.borrow_mut().insert(ty, leaves.clone());
        leaves
    }

    pub fn leaves_of(&self, inner: &TypeInner) -> Rc<[Leaf]> {
        let scalars = |scalar: Scalar, count: u32| -> Rc<[Leaf]> {
            (0..count).map(|i| Leaf { at: i * u32::from(scalar.width), scalar }).collect()
        };
        let repeated = |leaves: &[Leaf], count: u32, stride: u32| -> Rc<[Leaf]> {
            let one = |i| leaves.iter().map(move |leaf| Leaf { at: leaf.at + i * stride, ..*leaf });
            (0..count).flat_map(one).collect()
        };
        match *inner {
            TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => scalars(scalar, 1),
            TypeInner::Vector { size, scalar } => scalars(scalar, size as u32),
            TypeInner::Matrix { columns, rows, scalar } => {
                repeated(&scalars(scalar, rows as u32), columns as u32, column_bytes(rows, scalar))
            }
            TypeInner::CooperativeMatrix { columns, rows, scalar, .. } => scalars(scalar, columns as u32 * rows as u32),
            TypeInner::Array { base, size, stride } => {
                let count = if let ArraySize::Constant(n) = size { n.get() } else { 0 };
                repeated(&self.leaves(base), count, stride)
            }
            TypeInner::Struct { ref members, .. } => {
                let of = |member: &naga::StructMember| {
                    let offset = member.offset;
                    self.leaves(member.ty).iter().map(move |l| Leaf { at: l.at + offset, ..*l }).collect::<Vec<_>>()
                };
                members.iter().flat_map(of).collect()
            }
            TypeInner::Pointer { base, .. } => self.leaves(base),
            TypeInner::ValuePointer { size: Some(size), scalar, .. } => scalars(scalar, size as u32),
            TypeInner::ValuePointer { size: None, scalar, .. } => scalars(scalar, 1),
            _ => Rc::new([]),
        }
    }

    /// Bytes of the smallest number that memory of a type holds.
    pub fn grain(&self, ty: Handle<Type>) -> u8 {
        match *self.of(ty) {
            TypeInner::Array { base, .. } => self.grain(base),
            TypeInner::Struct { ref members, .. } => members.iter().map(|m| self.grain(m.ty)).min().unwrap_or(4),
            ref inner => inner.scalar().map_or(4, |scalar| scalar.width),
        }
    }

    /// From an element of a type, or of what a pointer leads to, to the next.
    pub fn step(&self, inner: &TypeInner) -> Option<Step> {
        match *inner {
            TypeInner::Pointer { base, .. } => self.step(self.of(base)),
            TypeInner::Array { base, size, stride } => {
                let count = if let ArraySize::Constant(n) = size { Some(n.get()) } else { None };
                Some(Step { bytes: stride, words: self.leaves(base).len() as u32, count })
            }
            TypeInner::Vector { size, scalar } | TypeInner::ValuePointer { size: Some(size), scalar, .. } => {
                Some(Step { bytes: u32::from(scalar.width), words: 1, count: Some(size as u32) })
            }
            TypeInner::Matrix { columns, rows, scalar } => {
                Some(Step { bytes: column_bytes(rows, scalar), words: rows as u32, count: Some(columns as u32) })
            }
            _ => None,
        }
    }

    /// Where member or element `index` begins, in bytes and in words, and how many words it has.
    pub fn member(&self, inner: &TypeInner, index: u32) -> Option<(u32, u32, u32)> {
        let target = if let TypeInner::Pointer { base, .. } = *inner { self.of(base) } else { inner };
        if let TypeInner::Struct { members, .. } = target {
            let words = |member: &naga::StructMember| self.leaves(member.ty).len() as u32;
            let before = members[..index as usize].iter().map(words).sum();
            let member = &members[index as usize];
            return Some((member.offset, before, words(member)));
        }
        let step = self.step(inner)?;
        Some((index * step.bytes, index * step.words, step.words))
    }
}

fn column_bytes(rows: VectorSize, scalar: Scalar) -> u32 {
    u32::from(scalar.width) * if rows == VectorSize::Bi { 2 } else { 4 }
}
