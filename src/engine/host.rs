//! The reference device: buffers on the host, twins run at once.

use std::cell::{Ref, RefCell, RefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::fault;
use super::kernel::{Binding, Dispatch, Kernel, Operands, Params, ParamsBlock};
use crate::dtype::HostData;
use crate::{Error, Result};

/// A buffer of the reference device.
///
/// Readers take a snapshot of the `Arc`, so a kernel that reads one buffer twice needs no second lock.
#[derive(Debug)]
pub(crate) struct HostBuffer(Mutex<Arc<HostData>>);

impl HostBuffer {
    pub fn new(data: HostData) -> Self {
        HostBuffer(Mutex::new(Arc::new(data)))
    }

    pub fn snapshot(&self) -> Arc<HostData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the content out for writing; [`Self::put`] must follow before anyone else looks.
    fn take(&self) -> HostData {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let content = std::mem::replace(&mut *slot, Arc::new(HostData::U32(Vec::new())));
        Arc::try_unwrap(content).unwrap_or_else(|shared| (*shared).clone())
    }

    pub fn put(&self, data: HostData) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(data);
    }
}

enum Slot {
    Read(Arc<HostData>),
    Write(RefCell<HostData>),
    /// The fault buffer: a twin reports a fault by returning the error.
    Faults,
}

/// What a scalar twin is called with: the same bindings and params as the shader.
pub struct HostCall<'a> {
    kernel: &'static Kernel,
    slots: Operands<Slot>,
    params: Params<'a>,
    variant: usize,
}

impl<'a> HostCall<'a> {
    /// The params block.
    pub fn params<T: ParamsBlock>(&self) -> &'a T {
        self.params.get()
    }

    /// The kernel.
    pub(crate) fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// A number of the params block by its name in the shader, as its bits.
    fn param_bits(&self, name: &str) -> u32 {
        let field = self.kernel.params.fields.iter().find(|(field, ..)| *field == name);
        let (_, offset, _) = field.unwrap_or_else(|| panic!("{}: there is no param `{name}`", self.kernel.name));
        u32::from_le_bytes(std::array::from_fn(|i| self.params.0[offset + i]))
    }

    /// The param of this name, declared as u32 in the shader.
    ///
    /// # Panics
    /// When the shader has no such param; so do the other two.
    pub fn param_u32(&self, name: &str) -> u32 {
        self.param_bits(name)
    }

    /// The param of this name, declared as i32 in the shader.
    pub fn param_i32(&self, name: &str) -> i32 {
        self.param_bits(name).cast_signed()
    }

    /// The param of this name, declared as f32 in the shader.
    pub fn param_f32(&self, name: &str) -> f64 {
        f64::from(f32::from_bits(self.param_bits(name)))
    }

    /// Which of the kernel's variants was asked for.
    pub fn variant(&self) -> usize {
        self.variant
    }

    fn read_slot(&self, binding: usize) -> HostView<'_> {
        match &self.slots[binding] {
            Slot::Read(data) => HostView::Shared(data),
            Slot::Write(cell) => HostView::Cell(cell.borrow()),
            Slot::Faults => unreachable!("twins return faults as errors"),
        }
    }

    /// Binding `i` as floats.
    pub fn floats(&self, i: usize) -> Floats<'_> {
        Floats(self.read_slot(i))
    }

    /// Binding `i` as signed integers.
    pub fn ints(&self, i: usize) -> Ints<'_> {
        Ints(self.read_slot(i))
    }

    /// Binding `i` as unsigned integers or truth values.
    pub fn words(&self, i: usize) -> Words<'_> {
        Words(self.read_slot(i))
    }

    /// Element `at` of read binding `i`, whatever its type: all are exact in `f64`.
    pub fn element(&self, i: usize, at: usize) -> f64 {
        self.read_slot(i).data().get_f64(at)
    }

    /// How many bindings there are.
    pub fn operands(&self) -> usize {
        self.slots.len()
    }

    fn write_slot(&self, binding: usize) -> RefMut<'_, HostData> {
        match &self.slots[binding] {
            Slot::Write(cell) => cell.borrow_mut(),
            _ => panic!("binding {binding} is not written by this kernel"),
        }
    }

    /// Binding `i`, written as floats.
    pub fn floats_mut(&self, i: usize) -> RefMut<'_, [f64]> {
        RefMut::map(self.write_slot(i), |d| match d {
            HostData::F32(v) | HostData::F16(v) | HostData::BF16(v) => v.as_mut_slice(),
            _ => panic!("binding {i} does not hold floats"),
        })
    }

    /// Binding `i`, written as signed integers.
    pub fn ints_mut(&self, i: usize) -> RefMut<'_, [i32]> {
        RefMut::map(self.write_slot(i), |d| match d {
            HostData::I32(v) => v.as_mut_slice(),
            _ => panic!("binding {i} does not hold signed integers"),
        })
    }

    /// Binding `i`, written as unsigned integers or truth values.
    pub fn words_mut(&self, i: usize) -> RefMut<'_, [u32]> {
        RefMut::map(self.write_slot(i), |d| match d {
            HostData::U32(v) => v.as_mut_slice(),
            _ => panic!("binding {i} does not hold unsigned integers"),
        })
    }

    /// Copies elements of binding `from` to written binding `to`, whatever their type; where there is none to copy, a zero.
    pub fn copy_elements(&self, from: usize, to: usize, places: impl Iterator<Item = (Option<usize>, usize)>) {
        let (source, mut target) = (self.read_slot(from), self.write_slot(to));
        match (source.data(), &mut *target) {
            (HostData::F32(x), HostData::F32(y)) => places.for_each(|(i, at)| y[at] = i.map_or(0.0, |i| x[i])),
            (HostData::I32(x), HostData::I32(y)) => places.for_each(|(i, at)| y[at] = i.map_or(0, |i| x[i])),
            (HostData::U32(x), HostData::U32(y)) => places.for_each(|(i, at)| y[at] = i.map_or(0, |i| x[i])),
            _ => panic!("bindings {from} and {to} hold different types"),
        }
    }

    /// The error for an index outside `0..bound`, which the twin returns.
    pub fn fault(&self, site: u32, value: i64, bound: i64) -> Error {
        fault::error(site, value, bound)
    }
}

enum HostView<'a> {
    Shared(&'a HostData),
    Cell(Ref<'a, HostData>),
}

impl HostView<'_> {
    fn data(&self) -> &HostData {
        match self {
            HostView::Shared(d) => d,
            HostView::Cell(d) => d,
        }
    }
}

macro_rules! view {
    ($(#[$meta:meta])* $name:ident, $($variant:ident)|+, $elem:ty) => {
        $(#[$meta])*
        pub struct $name<'a>(HostView<'a>);
        impl std::ops::Deref for $name<'_> {
            type Target = [$elem];
            fn deref(&self) -> &[$elem] {
                match self.0.data() {
                    $(HostData::$variant(v))|+ => v,
                    other => panic!("the binding holds {} elements of another type", other.len()),
                }
            }
        }
    };
}
view!(
    /// A read binding of f32, f16 or bf16 elements, as `f64`.
    Floats, F32 | F16 | BF16, f64
);
view!(
    /// A read binding of i32 elements.
    Ints, I32, i32
);
view!(
    /// A read binding of u32 or bool elements.
    Words, U32, u32
);

/// Runs a twin on the buffers of the reference device.
///
/// `rounding` stores floats as the f32 nearest to them. On an error nothing that the twin wrote can be trusted.
pub(crate) fn dispatch(dispatch: &Dispatch<'_>, rounding: bool) -> Result<()> {
    let &Dispatch { kernel, variant, operands, params, .. } = dispatch;
    let buffers: Operands<&HostBuffer> = operands.iter().map(|buffer| buffer.on_host()).collect();
    run(kernel, kernel.reference, variant, &buffers, params, rounding)
}

/// A scalar body of a kernel.
pub(crate) type Body = fn(&HostCall) -> Result<()>;

fn run(
    kernel: &'static Kernel,
    body: Body,
    variant: usize,
    buffers: &[&HostBuffer],
    params: Params<'_>,
    rounding: bool,
) -> Result<()> {
    let mut operands = buffers.iter();
    let mut slots = Operands::new();
    for binding in kernel.bindings {
        slots.push(match binding {
            Binding::Faults | Binding::FaultFlag => Slot::Faults,
            Binding::Read(_) => Slot::Read(operands.next().expect("a buffer for every operand").snapshot()),
            Binding::Write(_) | Binding::ReadWrite(_) => {
                Slot::Write(RefCell::new(operands.next().expect("a buffer for every operand").take()))
            }
        });
    }
    let call = HostCall { kernel, slots, params, variant };
    let result = body(&call);
    let mut operands = buffers.iter();
    for (binding, slot) in kernel.bindings.iter().zip(call.slots) {
        if !binding.is_operand() {
            continue;
        }
        let buffer = operands.next().expect("a buffer for every operand");
        if let Slot::Write(cell) = slot {
            let mut data = cell.into_inner();
            if rounding {
                data.round();
            }
            buffer.put(data);
        }
    }
    result
}

/// Runs a scalar body on copies of data: what shadow mode and the doctor compare a GPU with. Gives back the written
/// bindings' contents, in binding order, as the body computed them.
pub(crate) fn run_copy(
    kernel: &'static Kernel,
    body: Body,
    variant: usize,
    operands: Vec<HostData>,
    params: Params<'_>,
) -> Result<Vec<HostData>> {
    let buffers: Vec<HostBuffer> = operands.into_iter().map(HostBuffer::new).collect();
    let refs: Vec<&HostBuffer> = buffers.iter().collect();
    run(kernel, body, variant, &refs, params, false)?;
    let written = kernel.bindings.iter().filter(|b| b.is_operand()).zip(&buffers).filter(|(b, _)| b.is_written());
    Ok(written.map(|(_, buffer)| (*buffer.snapshot()).clone()).collect())
}
