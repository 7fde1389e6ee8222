//! Conversion between element types, and the copy that makes a tensor contiguous.
//!
//! Floats are cut towards zero on the way to integers and limited to their range, NaN becomes 0; anything but zero is
//! `true`. The gradient of a float-to-float copy passes unchanged.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.to.html>

use smallvec::smallvec;

use super::elementwise::{ElementwiseParams, grid};
use super::{Attrs, Call, Operation, Outputs, apply, cases, methods, single};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, HostCall, Item, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;

const SOURCE: &str = include_str!("../../shaders/cast.wgsl");

/// From each stored type to f32, i32, u32 and bool.
const VARIANTS: &[Variant] = &[
    Variant::new("f32-f32", &[Item::Const("FROM", 0), Item::Const("TO", 0)]),
    Variant::new("f32-i32", &[Item::Const("FROM", 0), Item::Const("TO", 1)]),
    Variant::new("f32-u32", &[Item::Const("FROM", 0), Item::Const("TO", 2)]),
    Variant::new("f32-bool", &[Item::Const("FROM", 0), Item::Const("TO", 3)]),
    Variant::new("i32-f32", &[Item::Const("FROM", 1), Item::Const("TO", 0)]),
    Variant::new("i32-i32", &[Item::Const("FROM", 1), Item::Const("TO", 1)]),
    Variant::new("i32-u32", &[Item::Const("FROM", 1), Item::Const("TO", 2)]),
    Variant::new("i32-bool", &[Item::Const("FROM", 1), Item::Const("TO", 3)]),
    Variant::new("u32-f32", &[Item::Const("FROM", 2), Item::Const("TO", 0)]),
    Variant::new("u32-i32", &[Item::Const("FROM", 2), Item::Const("TO", 1)]),
    Variant::new("u32-u32", &[Item::Const("FROM", 2), Item::Const("TO", 2)]),
    Variant::new("u32-bool", &[Item::Const("FROM", 2), Item::Const("TO", 3)]),
];

static FORWARD: Kernel = Kernel {
    name: "cast.forward",
    source: &[SOURCE],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: VARIANTS,
    grid,
    reference: twin,
    bound: |_| Bound::ulps(1.0),
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let read: Box<dyn Fn(usize) -> f64> = match call.variant() / 4 {
        0 => {
            let x = call.floats(0);
            Box::new(move |i| x[i])
        }
        1 => {
            let x = call.ints(0);
            Box::new(move |i| f64::from(x[i]))
        }
        _ => {
            let x = call.words(0);
            Box::new(move |i| f64::from(x[i]))
        }
    };
    let elements = (0..p.n).map(|i| (p.result(i), read(p.operand(i, 0))));
    match call.variant() % 4 {
        0 => {
            let mut y = call.floats_mut(1);
            elements.for_each(|(at, x)| y[at] = x);
        }
        1 => {
            let mut y = call.ints_mut(1);
            // From u32, bits beyond i32 wrap as in C; from f32 the range limits.
            let wrap = call.variant() / 4 == 2;
            elements.for_each(|(at, x)| y[at] = if wrap { x as i64 as i32 } else { x as i32 });
        }
        2 => {
            let mut y = call.words_mut(1);
            let wrap = call.variant() / 4 == 1;
            elements.for_each(|(at, x)| y[at] = if wrap { x as i64 as u32 } else { x as u32 });
        }
        _ => {
            let mut y = call.words_mut(1);
            elements.for_each(|(at, x)| y[at] = u32::from(x != 0.0));
        }
    }
    Ok(())
}

fn target(dtype: DType) -> usize {
    [DType::F32, DType::I32, DType::U32, DType::Bool].iter().position(|&d| d == dtype).expect("all dtypes are listed")
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, dtype) = (call.input(0), call.attrs().get_dtype("dtype"));
    let y = call.output(dtype, x.shape());
    let params = ElementwiseParams::new(call.op(), x.shape(), &[x], &y)?;
    // A truth value is the u32 0 or 1 already.
    let to = if x.dtype() == dtype { x.dtype().storage_variant() } else { target(dtype) };
    call.dispatch(&FORWARD, 4 * x.dtype().storage_variant() + to, &[x, &y], &params);
    Ok(smallvec![y])
}

/// The operation `to`.
pub(crate) static CAST: Operation = Operation {
    name: "to",
    kernels: &[&FORWARD],
    forward,
    vjp: Some(|v| Ok(smallvec![Some(v.gradient().clone())])),
    cases,
};

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let all = [DType::F32, DType::I32, DType::U32, DType::Bool];
    let mut list = Vec::new();
    for to in all {
        let attrs = Attrs::new().dtype("dtype", to);
        for from in all {
            let whole = Fill::Whole(if from == DType::U32 || to == DType::U32 { 0 } else { -9 }, 9);
            let fill = if from == DType::F32 { Fill::Uniform(0.0, 9.0) } else { whole };
            let fill = if from == DType::Bool { Fill::Whole(0, 2) } else { fill };
            let input = Input::floats(&[3, 5]).fill(fill).dtype(from).arranged(Arrangement::Transposed);
            let case = Case::new(format!("{from} to {to}"), vec![input]).attrs(attrs.clone());
            list.push(if to.is_float() { case } else { case.no_gradcheck() });
        }
        let extreme = Input::floats(&[17]).fill(EXTREME);
        list.push(Case::new(format!("extreme to {to}"), vec![extreme]).attrs(attrs).no_gradcheck());
    }
    list
}

methods! {
    /// Converts the elements; the tensor itself when they have the type already.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-1.7f32, 0.0, 2.5], &[3]);
    /// assert_eq!(x.to_dtype(DType::I32).to_vec::<i32>()?, [-1, 0, 2]);
    /// assert_eq!(x.to_dtype(DType::Bool).to_vec::<bool>()?, [true, false, true]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn to_dtype / try_to_dtype (&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        single(apply(&CAST, &[self], Attrs::new().dtype("dtype", dtype)))
    }

    /// The same elements row by row: the tensor itself when they lie so already, else a copy.
    pub fn contiguous / try_contiguous (&self) -> Tensor {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        self.try_copy()
    }

    /// A copy with memory of its own: PyTorch's `clone()`. (`clone` in Rust copies the handle.) Gradients flow through.
    pub fn copy / try_copy (&self) -> Tensor {
        single(apply(&CAST, &[self], Attrs::new().dtype("dtype", self.dtype())))
    }
}
