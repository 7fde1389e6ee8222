//! The norm of many gradients together, `(Σ|g|ᵖ)^(1/p)` or `max|g|`, and their clipping in place: `g ← g·min(1, limit /
//! (norm + 10⁻⁶))`, or each element to `−limit … limit`.
//!
//! A dispatch for each buffer that gradients lie in (one, once an optimiser has stepped), and one for the norm. Sums have
//! a fixed order that does not depend on where the gradients lie.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html>

use smallvec::smallvec;

use super::{Attrs, Call, Operation, apply, cases, single};
use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, Params, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/clip_grad.wgsl`.
    pub struct ClipParams {
        ranges: u32,
        chunks: u32,
        power: f32,
        root: f32,
        limit: f32,
    }
}

/// Elements of a chunk, as in the shader.
pub(crate) const CHUNK: usize = 2048;
/// Numbers of a row of the table: offset (a multiple of four), length, first chunk in the buffer, first part of the sum.
pub(crate) const ROW: usize = 4;

/// By norm: the largest magnitude, the sum of magnitudes, that of squares, that of powers.
static NORMS: [Variant; 4] = [
    Variant::new("max", &[Item::Const("NORM", 0)]),
    Variant::new("1", &[Item::Const("NORM", 1)]),
    Variant::new("2", &[Item::Const("NORM", 2)]),
    Variant::new("p", &[Item::Const("NORM", 3)]),
];
pub(super) static CLIPPING: [Variant; 1] = [Variant::new("", &[Item::Const("NORM", 0)])];

macro_rules! clip_kernel {
    ($kernel:ident, $entry:literal, $bindings:expr, $variants:expr, $grid:expr, $twin:expr, $bound:expr) => {
        static $kernel: Kernel = Kernel {
            name: concat!("clip_grad.", $entry),
            source: &[include_str!("../../shaders/clip_grad.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<ClipParams>(),
            variants: $variants,
            grid: $grid,
            reference: $twin,
            bound: $bound,
        };
    };
}
clip_kernel!(
    PART,
    "part",
    &[Binding::Read("ranges"), Binding::Read("gradient"), Binding::ReadWrite("parts")],
    &NORMS,
    chunks,
    part_twin,
    // Terms that are not negative, 32 to a thread and six levels of a tree, half an ulp each; a power of 2 ulp.
    |_| Bound::ulps(22.0)
);
clip_kernel!(
    TOTAL,
    "total",
    &[Binding::Read("all_parts"), Binding::Write("norm")],
    &NORMS,
    |_| Grid::groups(1),
    total_twin,
    // As many terms as a thread takes and six levels of a tree, half an ulp each; a root of 2 ulp.
    |p| Bound::ulps(f64::from(p.get::<ClipParams>().chunks.div_ceil(64)) * 0.5 + 6.0)
);
clip_kernel!(
    SCALE,
    "scale",
    &[Binding::Read("ranges"), Binding::ReadWrite("clipped"), Binding::Read("total_norm")],
    &CLIPPING,
    chunks,
    scale_twin,
    // A sum, a quotient of 2.5 ulp, a product.
    |_| Bound::ulps(4.0)
);
clip_kernel!(
    BOUND,
    "bound",
    &[Binding::Read("ranges"), Binding::ReadWrite("clipped")],
    &CLIPPING,
    chunks,
    bound_twin,
    |_| Bound::Exact
);

pub(super) fn chunks(params: &Params<'_>) -> Grid {
    let chunks = u64::from(params.get::<ClipParams>().chunks);
    Grid::groups(chunks).work(chunks * CHUNK as u64 * 4)
}

pub(super) fn ranges(call: &HostCall<'_>) -> Vec<(std::ops::Range<usize>, usize)> {
    let table = call.words(0);
    let rows = table.chunks_exact(ROW).take(call.params::<ClipParams>().ranges as usize);
    rows.map(|r| (r[0] as usize..(r[0] + r[1]) as usize, r[3] as usize)).collect()
}

/// The larger one, or NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn part_twin(call: &HostCall<'_>) -> Result<()> {
    let power = f64::from(call.params::<ClipParams>().power);
    let (gradient, mut parts) = (call.floats(1), call.floats_mut(2));
    for (range, first) in ranges(call) {
        for (i, chunk) in gradient[range].chunks(CHUNK).enumerate() {
            let sizes = chunk.iter().map(|g| g.abs());
            parts[first + i] = match call.variant() {
                0 => sizes.fold(0.0, larger),
                1 => sizes.sum(),
                2 => sizes.map(|g| g * g).sum(),
                _ => sizes.map(|g| g.powf(power)).sum(),
            };
        }
    }
    Ok(())
}

fn total_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ClipParams = call.params();
    let parts = call.floats(0);
    let parts = parts[..p.chunks as usize].iter().copied();
    call.floats_mut(1)[0] = match call.variant() {
        0 => parts.fold(0.0, larger),
        1 => parts.sum(),
        2 => parts.sum::<f64>().sqrt(),
        _ => parts.sum::<f64>().powf(f64::from(p.root)),
    };
    Ok(())
}

fn scale_twin(call: &HostCall<'_>) -> Result<()> {
    let limit = f64::from(call.params::<ClipParams>().limit);
    let norm = call.floats(2)[0];
    let factor = limit / (norm + 1e-6);
    // Not `min`, which would take 1 for NaN.
    let factor = if factor > 1.0 { 1.0 } else { factor };
    let mut gradient = call.floats_mut(1);
    ranges(call).into_iter().for_each(|(range, _)| gradient[range].iter_mut().for_each(|g| *g *= factor));
    Ok(())
}

fn bound_twin(call: &HostCall<'_>) -> Result<()> {
    let limit = f64::from(call.params::<ClipParams>().limit);
    let mut gradient = call.floats_mut(1);
    // `clamp` keeps NaN.
    ranges(call)
        .into_iter()
        .for_each(|(range, _)| gradient[range].iter_mut().for_each(|g| *g = g.clamp(-limit, limit)));
    Ok(())
}

/// Calls `run` with the params of each pair of inputs from `first` on: a table of ranges and the buffer that has them.
pub(super) fn each(
    call: &mut Call<'_>,
    first: usize,
    params: ClipParams,
    mut run: impl FnMut(&mut Call<'_>, &Tensor, &Tensor, ClipParams),
) {
    let chunks = call.attrs().get_ints("chunks");
    for (pair, &chunks) in call.inputs()[first..].chunks_exact(2).zip(chunks) {
        let ranges = (pair[0].numel() / ROW) as u32;
        run(call, pair[0], pair[1], ClipParams { ranges, chunks: chunks as u32, ..params });
    }
}

pub(super) fn plain(limit: f64) -> ClipParams {
    ClipParams { ranges: 0, chunks: 0, power: 1.0, root: 1.0, limit: limit as f32 }
}

/// The operation `grad_norm`: inputs are pairs of a table and a buffer; the output is the norm of all.
pub(crate) static GRAD_NORM: Operation = Operation {
    name: "grad_norm",
    kernels: &[&PART, &TOTAL],
    forward: |call| {
        let p = call.attrs().get_float("norm_type");
        if p.is_nan() || p <= 0.0 {
            return Err(Error::argument("clip_grad_norm_", format!("norm_type: {p} given, but it must be above 0")));
        }
        let variant = match p {
            p if p.is_infinite() => 0,
            1.0 => 1,
            2.0 => 2,
            _ => 3,
        };
        let chunks: i64 = call.attrs().get_ints("chunks").iter().sum();
        let parts = call.output(DType::F32, &[chunks as usize]);
        let params = ClipParams { power: p as f32, root: (1.0 / p) as f32, ..plain(0.0) };
        each(call, 0, params, |call, table, gradient, params| {
            call.dispatch(&PART, variant, &[table, gradient, &parts], &params);
        });
        let norm = call.output(DType::F32, &[]);
        let params = ClipParams { chunks: chunks as u32, ..params };
        call.dispatch(&TOTAL, variant, &[&parts, &norm], &params);
        Ok(smallvec![norm])
    },
    vjp: None,
    cases: || {
        let norms = [("max", f64::INFINITY), ("1", 1.0), ("2", 2.0), ("half", 0.5), ("three", 3.0)];
        let case = |(name, p): (&str, f64), fill| {
            cases::Case::new(name, two_buffers(fill)).attrs(Attrs::new().float("norm_type", p).ints("chunks", [5, 1]))
        };
        let extreme = |name: &str, p| {
            let inputs = vec![table(&[0., 17., 0., 0.]), cases::Input::floats(&[17]).constant().fill(cases::EXTREME)];
            cases::Case::new(name, inputs).attrs(Attrs::new().float("norm_type", p).ints("chunks", [1]))
        };
        let mut list: Vec<_> = norms.into_iter().map(|norm| case(norm, cases::ANY)).collect();
        list.extend([extreme("extreme max", f64::INFINITY), extreme("extreme 2", 2.0)]);
        list.extend([case(("zero", 0.0), cases::ANY).fails(), case(("negative", -1.0), cases::ANY).fails()]);
        list
    },
};

/// The operation `clip_grad_norm_`: inputs are the norm, then pairs as of `grad_norm`, whose gradients change.
pub(crate) static CLIP_NORM: Operation = Operation {
    name: "clip_grad_norm_",
    kernels: &[&SCALE],
    forward: |call| {
        let norm = call.input(0);
        each(call, 1, plain(call.attrs().get_float("max_norm")), |call, table, gradient, params| {
            call.dispatch(&SCALE, 0, &[table, gradient, norm], &params);
        });
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        let case = |name: &str, norm: &'static [f64], max_norm| {
            let mut inputs = vec![cases::Input::floats(&[]).constant().fill(cases::Fill::Values(norm))];
            inputs.extend(two_buffers(cases::ANY));
            cases::Case::new(name, inputs).attrs(Attrs::new().float("max_norm", max_norm).ints("chunks", [5, 1]))
        };
        vec![
            case("above", &[5.0], 1.0),
            case("below", &[0.5], 1.0),
            case("zero", &[0.0], 1.0),
            case("infinite", &[f64::INFINITY], 1.0),
            case("nan", &[f64::NAN], 1.0),
        ]
    },
};

/// The operation `clip_grad_value_`: inputs are pairs as of `grad_norm`, whose gradients change.
pub(crate) static CLIP_VALUE: Operation = Operation {
    name: "clip_grad_value_",
    kernels: &[&BOUND],
    forward: |call| {
        let limit = call.attrs().get_float("clip_value");
        if limit.is_nan() || limit < 0.0 {
            return Err(Error::argument(call.op(), format!("clip_value: {limit} given, but it must not be negative")));
        }
        each(call, 0, plain(limit), |call, table, gradient, params| {
            call.dispatch(&BOUND, 0, &[table, gradient], &params);
        });
        Ok(smallvec![])
    },
    vjp: None,
    cases: || {
        let case = |name: &str, fill, limit| {
            let attrs = Attrs::new().float("clip_value", limit).ints("chunks", [5, 1]);
            cases::Case::new(name, two_buffers(fill)).attrs(attrs)
        };
        vec![
            case("typical", cases::ANY, 0.5),
            case("extreme", cases::EXTREME, 100.0),
            case("zero", cases::ANY, 0.0),
            case("negative", cases::ANY, -1.0).fails(),
        ]
    },
};

fn table(rows: &'static [f64]) -> cases::Input {
    cases::Input::ints(&[rows.len()], 0, 1).dtype(DType::U32).fill(cases::Fill::Values(rows))
}

/// Three ranges with gaps in one buffer, one of them longer than a chunk, and one range in another.
pub(super) fn two_buffers(fill: cases::Fill) -> Vec<cases::Input> {
    let flat = |n: usize| cases::Input::floats(&[n]).constant().fill(fill);
    let first = table(&[4., 1., 0., 0., 64., 4100., 1., 1., 4200., 70., 4., 5.]);
    vec![first, flat(4300), table(&[0., 33., 0., 4.]), flat(33)]
}

/// Gradients of one device, by the buffers that they lie in: a table and a tensor of the buffer for each.
pub(crate) struct Ranges {
    pub pairs: Vec<(Tensor, Tensor)>,
    /// The chunks of each.
    pub chunks: Vec<i64>,
}

impl Ranges {
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Tensor> {
        self.pairs.iter().flat_map(|(table, gradient)| [table, gradient])
    }

    /// The norm of all gradients.
    pub fn norm(&self, norm_type: f64) -> Result<Tensor> {
        let inputs: Vec<&Tensor> = self.inputs().collect();
        single(apply(&GRAD_NORM, &inputs, Attrs::new().float("norm_type", norm_type).ints("chunks", &*self.chunks)))
    }

    /// Scales all gradients so that their norm, which is given, is at most this large.
    pub fn clip_norm(&self, norm: &Tensor, max_norm: f64) -> Result<()> {
        let inputs: Vec<&Tensor> = std::iter::once(norm).chain(self.inputs()).collect();
        let attrs = Attrs::new().float("max_norm", max_norm).ints("chunks", &*self.chunks);
        apply(&CLIP_NORM, &inputs, attrs).map(|_| ())
    }

    /// Brings every element to `−limit … limit`.
    pub fn clip_value(&self, limit: f64) -> Result<()> {
        let inputs: Vec<&Tensor> = self.inputs().collect();
        let attrs = Attrs::new().float("clip_value", limit).ints("chunks", &*self.chunks);
        apply(&CLIP_VALUE, &inputs, attrs).map(|_| ())
    }
}
