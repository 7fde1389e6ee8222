//! A tensor of one value, and filling one in place.

use smallvec::smallvec;

use super::elementwise::{ElementwiseParams, scalar_bits};
use super::{Attrs, Call, Operation, Outputs, apply_on, cases, single};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Device, Grid, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;

static FILL: Kernel = Kernel {
    name: "fill.forward",
    source: &[include_str!("../../shaders/fill.wgsl")],
    entry: "main",
    bindings: &[Binding::Write("y")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: Variant::STORAGE,
    grid: |p| Grid::elements(p.get::<ElementwiseParams>().n),
    reference: twin,
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let bits = p.scalars[0];
    match call.variant() {
        0 => {
            let mut y = call.floats_mut(0);
            (0..p.n).for_each(|i| y[p.operand(i, 0)] = f64::from(f32::from_bits(bits)));
        }
        1 => {
            let mut y = call.ints_mut(0);
            (0..p.n).for_each(|i| y[p.operand(i, 0)] = bits as i32);
        }
        _ => {
            let mut y = call.words_mut(0);
            (0..p.n).for_each(|i| y[p.operand(i, 0)] = bits);
        }
    }
    Ok(())
}

fn dispatch(call: &mut Call<'_>, y: &Tensor, value: f64) -> Result<()> {
    let mut params = ElementwiseParams::new(call.op(), y.shape(), &[y], y)?;
    params.scalars = scalar_bits([value, 0.0, 0.0, 0.0], y.dtype());
    call.dispatch(&FILL, y.dtype().storage_variant(), &[y], &params);
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (shape, dtype) = (call.attrs().get_sizes("size"), call.attrs().get_dtype("dtype"));
    let y = call.output(dtype, &shape);
    dispatch(call, &y, call.attrs().get_float("value"))?;
    Ok(smallvec![y])
}

/// The operation `full`.
pub(crate) static FULL: Operation = Operation { name: "full", kernels: &[&FILL], forward, vjp: None, cases };

fn cases() -> Vec<cases::Case> {
    let case = |name: &str, size: &[usize], dtype, value| {
        let attrs = Attrs::new().sizes("size", size).dtype("dtype", dtype).float("value", value);
        cases::Case::new(name, vec![]).attrs(attrs)
    };
    vec![
        case("floats", &[3, 5], DType::F32, 1.5),
        case("ints", &[7], DType::I32, -3.0),
        case("words", &[7], DType::U32, 3.0),
        case("bools", &[70], DType::Bool, 1.0),
        case("0-d", &[], DType::F32, f64::INFINITY),
        case("empty", &[0, 2], DType::F32, 1.0),
    ]
}

/// The operation `fill_`.
pub(crate) static FILL_IN_PLACE: Operation = Operation {
    name: "fill_",
    kernels: &[],
    forward: |call| {
        let target = call.input(0);
        dispatch(call, target, call.attrs().get_float("value"))?;
        target.bump_version();
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        use cases::{Arrangement, Case, Input};
        let case = |name: &str, input: Input| {
            Case::new(name, vec![input]).attrs(Attrs::new().float("value", 2.0)).no_gradcheck()
        };
        vec![
            case("typical", Input::floats(&[4, 6])),
            case("strided", Input::floats(&[2, 3, 4]).arranged(Arrangement::Strided)),
            case("transposed", Input::ints(&[5, 3], 0, 9).arranged(Arrangement::Transposed)),
        ]
    },
};

pub(crate) fn full(shape: &[usize], value: f64, dtype: DType, device: &Device) -> Result<Tensor> {
    crate::tensor::shape::checked_numel("full", shape)?;
    if dtype.is_half() {
        return full(shape, value, DType::F32, device)?.try_to_dtype(dtype);
    }
    let attrs = Attrs::new().sizes("size", shape).dtype("dtype", dtype).float("value", value);
    single(apply_on(device, &FULL, &[], attrs))
}
