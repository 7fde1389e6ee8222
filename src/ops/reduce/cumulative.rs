//! What `cumsum` and `cumprod` share: a scan along a dim, in parts where rows are long.

use super::{Kernels, ReduceParams, by_thread, split};
use crate::Result;
use crate::dtype::DType;
use crate::engine::{HostCall, Kernel};
use crate::ops::{Run, cases};
use crate::tensor::Tensor;
use crate::tensor::shape::{dim_indices, numel};

/// A scan, and the reduction that gives the results of parts.
pub(super) struct Scan {
    pub by_thread: &'static Kernel,
    pub by_group: &'static Kernel,
    pub parts: &'static Kernels,
}

/// Declares one of the two kernels of a scan.
macro_rules! scan_kernel {
    ($name:literal, $entry:literal, $product:literal, $grid:expr, $twin:expr, $bound:expr) => {
        $crate::engine::Kernel {
            name: concat!($name, ".", $entry),
            source: &[include_str!("../../../shaders/reduce/cumulative.wgsl")],
            entry: $entry,
            bindings: &[
                $crate::engine::Binding::Read("x"),
                $crate::engine::Binding::Read("carry"),
                $crate::engine::Binding::Write("y"),
            ],
            params: $crate::engine::ParamsLayout::of::<$crate::ops::reduce::ReduceParams>(),
            variants: &[
                $crate::engine::Variant::new(
                    "f32",
                    &[$crate::engine::Item::Alias("elem", "f32"), $crate::engine::Item::Const("PRODUCT", $product)],
                ),
                $crate::engine::Variant::new(
                    "i32",
                    &[$crate::engine::Item::Alias("elem", "i32"), $crate::engine::Item::Const("PRODUCT", $product)],
                ),
                $crate::engine::Variant::new(
                    "u32",
                    &[$crate::engine::Item::Alias("elem", "u32"), $crate::engine::Item::Const("PRODUCT", $product)],
                ),
            ],
            grid: $grid,
            reference: $twin,
            bound: $bound,
        }
    };
}
pub(super) use scan_kernel;

/// Writes the scan of `x` along `dim` to the contiguous `y`.
pub(super) fn scan(run: &mut Run<'_>, scan: &Scan, x: &Tensor, dim: i64, reverse: bool, y: &Tensor) -> Result<()> {
    let dims = dim_indices(scan.by_group.name, &[dim], x.dim())?;
    let mut params = ReduceParams::new(scan.by_group.name, x, &dims, y)?;
    params.inner = dims.first().map_or(1, |&d| numel(&x.shape()[d + 1..])) as u32;
    if x.numel() == 0 {
        return Ok(());
    }
    let alone = by_thread(run, &params);
    split(&mut params, alone);
    let variant = x.dtype().storage_variant();
    // What the parts before (or behind) each give, in their turn.
    let carry = if params.splits == 1 {
        x.clone()
    } else {
        let shape = [params.n as usize, params.splits as usize];
        let (totals, carry) = (run.output(x.dtype(), &shape), run.output(x.dtype(), &shape));
        run.dispatch(
            scan.parts.of_outputs(alone, &params),
            variant,
            &[x, &totals],
            &ReduceParams { result_offset: 0, ..params },
        );
        self::scan(run, scan, &totals, 1, reverse, &carry)?;
        carry
    };
    params.merging = u32::from(reverse);
    let kernel = if alone { scan.by_thread } else { scan.by_group };
    run.dispatch(kernel, variant, &[x, &carry, y], &params);
    Ok(())
}

/// The twin: from a start, one element after the other.
pub(super) fn twin(
    call: &HostCall<'_>,
    floats: (f64, fn(f64, f64) -> f64),
    ints: (i64, fn(i64, i64) -> i64),
) -> Result<()> {
    let p: &ReduceParams = call.params();
    match call.variant() {
        0 => {
            let (x, carry, mut y) = (call.floats(0), call.floats(1), call.floats_mut(2));
            walk(
                p,
                floats.0,
                |i| carry[i],
                |total, from, to| {
                    y[to] = floats.1(total, x[from]);
                    y[to]
                },
            );
        }
        1 => {
            let (x, carry, mut y) = (call.ints(0), call.ints(1), call.ints_mut(2));
            walk(
                p,
                ints.0,
                |i| i64::from(carry[i]),
                |total, from, to| {
                    y[to] = ints.1(total, i64::from(x[from])) as i32;
                    i64::from(y[to])
                },
            );
        }
        _ => {
            let (x, carry, mut y) = (call.words(0), call.words(1), call.words_mut(2));
            walk(
                p,
                ints.0,
                |i| i64::from(carry[i]),
                |total, from, to| {
                    y[to] = ints.1(total, i64::from(x[from])) as u32;
                    i64::from(y[to])
                },
            );
        }
    }
    Ok(())
}

/// For every part: what comes before it, then its elements in order, by their places in `x` and `y`.
fn walk<T>(p: &ReduceParams, identity: T, carry: impl Fn(usize) -> T, mut step: impl FnMut(T, usize, usize) -> T)
where
    T: Copy,
{
    let reverse = p.merging == 1;
    for i in 0..p.n * p.splits {
        let (row, part) = (i / p.splits, i % p.splits);
        let mut total = match reverse {
            false if part > 0 => carry(i as usize - 1),
            true if part + 1 < p.splits => carry(i as usize + 1),
            _ => identity,
        };
        let (first, end) = (part * p.part, ((part + 1) * p.part).min(p.r));
        let start = p.result_offset + row / p.inner * p.r * p.inner + row % p.inner;
        for k in 0..end - first {
            let j = if reverse { end - 1 - k } else { first + k };
            total = step(total, p.output_base(row) + p.element_offset(j), (start + j * p.inner) as usize);
        }
    }
}

/// Cases of a scan.
pub(super) fn cases(fill: cases::Fill) -> Vec<cases::Case> {
    use crate::ops::Attrs;
    use cases::{Arrangement, Case, Input};
    let attrs = |dim| Attrs::new().int("dim", dim).bool("reverse", false);
    let input = |shape: &[usize]| Input::floats(shape).fill(fill);
    let case = |name: &str, input: Input, dim| Case::new(name, vec![input]).attrs(attrs(dim));
    vec![
        case("typical", input(&[4, 6]), -1),
        case("first", input(&[5, 3]), 0),
        case("middle", input(&[2, 5, 3]), 1),
        Case::new("reverse", vec![input(&[2, 5, 3])]).attrs(Attrs::new().int("dim", 1).bool("reverse", true)),
        case("0-d", input(&[]), 0),
        case("one", input(&[3, 1]), 1),
        case("empty", input(&[0, 3]), 1),
        case("empty rows", input(&[3, 0]), 1),
        case("transposed", input(&[5, 3]).arranged(Arrangement::Transposed), 1),
        case("strided", input(&[2, 3, 4]).arranged(Arrangement::Strided), 2),
        case("expanded", input(&[3, 4]).arranged(Arrangement::Expanded), 0),
        case("long", input(&[3, 1300]), 1).no_gradcheck(),
        case("longer", input(&[2, 40_000]), 1).no_gradcheck(),
        case("long columns", input(&[5000, 3]), 0).no_gradcheck(),
        case("many", input(&[700, 9]), 1).no_gradcheck(),
        case("i32", Input::ints(&[3, 700], -3, 4), 1),
        case("u32", Input::ints(&[3, 7], 1, 4).dtype(DType::U32), 1),
        case("bad dim", input(&[2, 3]), 2).fails(),
    ]
}

/// The one input of a scan: truth values are counted as i32.
pub(super) fn counted(x: &Tensor) -> Result<Tensor> {
    if x.dtype() == DType::Bool { x.try_to_dtype(DType::I32) } else { Ok(x.clone()) }
}

/// The outputs of a scan.
pub(super) fn forward(call: &mut crate::ops::Call<'_>, scan: &Scan) -> Result<Tensor> {
    let (x, attrs) = (call.input(0), call.attrs());
    dim_indices(call.op(), &[attrs.get_int("dim")], x.dim())?;
    let y = call.output(x.dtype(), x.shape());
    self::scan(call, scan, x, attrs.get_int("dim"), attrs.get_bool("reverse"), &y)?;
    Ok(y)
}
