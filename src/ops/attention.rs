//! Scaled dot-product attention, of queries `Q [.., L, E]`, keys `K [.., S, E]` and values `V [.., S, Ev]`:
//!
//! `P = softmax(scale·Q·Kᵀ + mask)`, `Y = drop(P)·V`.
//!
//! With G the gradient of Y and D that of P, `D = drop(G·Vᵀ)`, the scores before the scale have
//! `dS = P∘(D − rowsum(P∘D))·scale`; `dQ = dS·K`, `dK = dSᵀ·Q`, `dV = drop(P)ᵀ·G`.
//!
//! No scores are kept for the way back, which makes them again; and where they would be many, queries are taken in blocks,
//! so that no more than [`BLOCK`] of them are in memory.
//!
//! The products are those of `matmul`, with one kernel between them: on lavapipe they take three quarters of the forward
//! run's time (`cargo bench --bench attention`), so that a kernel of everything could save a quarter at most, and would
//! first have to multiply as fast. Making the scores again costs a seventh of a forward and backward run.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html>

use smallvec::smallvec;

use super::attention_twins::{AttentionParams, backward_twin, forward_twin};
use super::elementwise::dropout::check_probability;
use super::matmul::{check_floats, multiply, transposed};
use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, copy_into, methods, single};
use crate::dtype::DType;
use crate::engine::{Binding, Bound, Grid, Item, Kernel, Params, ParamsLayout, Variant, WORKGROUP};
use crate::tensor::shape::{Walk, broadcast, broadcast_strides, numel};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

macro_rules! attention_kernel {
    ($name:literal, $entry:literal, $bindings:expr, $grid:expr, $twin:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!("../../shaders/attention.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<AttentionParams>(),
            variants: VARIANTS,
            grid: $grid,
            reference: |call| $twin(call, false),
            // An exponential of a rounded score, divided by a sum of such: what a score is rounded by counts as it is.
            bound: |p| Bound::Scaled {
                ulps: 4.0 + f64::from(p.get::<AttentionParams>().keys).sqrt(),
                magnitude: |call| $twin(call, true),
            },
        }
    };
}

/// Without a mask, with truth values, with numbers; then the same with dropout.
const VARIANTS: &[Variant] = &[
    Variant::new("plain", &[Item::Const("MASK", 0), Item::Const("DROPOUT", 0)]),
    Variant::new("bools", &[Item::Const("MASK", 1), Item::Const("DROPOUT", 0)]),
    Variant::new("numbers", &[Item::Const("MASK", 2), Item::Const("DROPOUT", 0)]),
    Variant::new("dropped", &[Item::Const("MASK", 0), Item::Const("DROPOUT", 1)]),
    Variant::new("bools_dropped", &[Item::Const("MASK", 1), Item::Const("DROPOUT", 1)]),
    Variant::new("numbers_dropped", &[Item::Const("MASK", 2), Item::Const("DROPOUT", 1)]),
];

fn variant(attrs: &Attrs, mask: Option<&Tensor>) -> usize {
    let kind = mask.map_or(0, |m| if m.dtype() == DType::Bool { 1 } else { 2 });
    kind + if attrs.get_float("dropout_p") > 0.0 { 3 } else { 0 }
}

const FORWARD: &[Binding] = &[Binding::Read("mask"), Binding::ReadWrite("scores")];
const BACKWARD: &[Binding] = &[Binding::Read("mask"), Binding::ReadWrite("scores"), Binding::ReadWrite("gradients")];

static BY_THREAD: Kernel = attention_kernel!("attention.by_thread", "by_thread", FORWARD, of_threads, forward_twin);
static BY_GROUP: Kernel = attention_kernel!("attention.by_group", "by_group", FORWARD, of_groups, forward_twin);
static BACKWARD_BY_THREAD: Kernel =
    attention_kernel!("attention.backward_by_thread", "backward_by_thread", BACKWARD, of_threads, backward_twin);
static BACKWARD_BY_GROUP: Kernel =
    attention_kernel!("attention.backward_by_group", "backward_by_group", BACKWARD, of_groups, backward_twin);

fn of_threads(params: &Params<'_>) -> Grid {
    let p: &AttentionParams = params.get();
    Grid::elements(p.rows).work(u64::from(p.rows) * u64::from(p.keys) * 90)
}

fn of_groups(params: &Params<'_>) -> Grid {
    let p: &AttentionParams = params.get();
    Grid::groups(u64::from(p.rows)).work(u64::from(p.rows) * u64::from(p.keys.max(WORKGROUP)) * 90)
}

/// Scores that are in memory at a time, 64 MiB of them.
const BLOCK: usize = 1 << 24;

/// The operation `scaled_dot_product_attention`: inputs queries, keys, values, and perhaps a mask.
pub(crate) static ATTENTION: Operation = Operation {
    name: "scaled_dot_product_attention",
    kernels: &[&BY_THREAD, &BY_GROUP, &BACKWARD_BY_THREAD, &BACKWARD_BY_GROUP],
    forward,
    vjp: Some(vjp),
    cases: attention_cases,
};

/// Shapes, and how the queries are taken in blocks.
struct Plan {
    /// Dims before the last two, broadcast.
    batch: Shape,
    queries: usize,
    keys: usize,
    /// Size of a query and of a value.
    sizes: [usize; 2],
    /// Queries of a block.
    rows: usize,
}

impl Plan {
    fn new(attrs: &Attrs, q: &[usize], k: &[usize], v: &[usize]) -> Result<Plan> {
        const OP: &str = ATTENTION.name;
        let ([outer_q @ .., queries, size], [outer_k @ .., keys, size_k], [outer_v @ .., keys_v, size_v]) = (q, k, v)
        else {
            return Err(Error::shape(OP, format!("needs at least 2 dims each, got {q:?}, {k:?} and {v:?}")));
        };
        if size != size_k || keys != keys_v {
            let detail = format!(
                "queries of shape {q:?}, keys of {k:?} and values of {v:?} do not fit: queries and keys need one size (last dim), \
                 and there must be a value for each key (last dim but one)"
            );
            return Err(Error::shape(OP, detail));
        }
        let batch = broadcast(OP, &broadcast(OP, outer_q, outer_k)?, outer_v)?;
        // A block of a given size is how the cases reach several.
        let rows = match attrs.get("block") {
            Some(_) => attrs.get_int("block") as usize,
            None => BLOCK / (numel(&batch) * keys).max(1),
        };
        let (queries, keys) = (*queries, *keys);
        Ok(Plan { batch, queries, keys, sizes: [*size, *size_v], rows: rows.clamp(1, queries.max(1)) })
    }

    fn shape(&self, rows: usize, columns: usize) -> Shape {
        self.batch.iter().copied().chain([rows, columns]).collect()
    }

    /// First query and number of queries of each block.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (queries, rows) = (self.queries, self.rows);
        (0..queries).step_by(rows).map(move |first| (first, rows.min(queries - first)))
    }

    fn is_whole(&self) -> bool {
        self.rows >= self.queries
    }

    fn params(&self, attrs: &Attrs, mask: Option<&Tensor>, (first, rows): (usize, usize)) -> Result<AttentionParams> {
        let full = self.shape(self.queries, self.keys);
        let p = attrs.get_float("dropout_p");
        let state = if p > 0.0 { attrs.get_ints("state") } else { &[0, 0] };
        let &[seed, counter] = state else { unreachable!("a state has two numbers") };
        let strides =
            mask.map_or(Shape::from_elem(0, full.len()), |m| broadcast_strides(m.shape(), m.strides(), &full));
        let (outer, inner) = strides.split_at(self.batch.len());
        let (walk, _) = Walk::new(ATTENTION.name, &self.batch, [outer], self.batch.len())?;
        let matrices = numel(&self.batch);
        let scale = attrs.get_float("scale") as f32;
        Ok(AttentionParams {
            block: rows as u32,
            first: first as u32,
            queries: self.queries as u32,
            keys: self.keys as u32,
            rows: (matrices * rows) as u32,
            causal: attrs.get_bool("is_causal").into(),
            scale,
            d_scale: scale,
            threshold: (p * 2f64.powi(32)).round() as u32,
            // At p = 1 the rare word that no threshold drops is multiplied by 0.
            keep: if p == 1.0 { 0.0 } else { (1.0 / (1.0 - p)) as f32 },
            state: [counter as u32, (counter >> 32) as u32, seed as u32, (seed >> 32) as u32],
            mask_offset: mask.map_or(0, Tensor::offset) as u32,
            mask_row: inner[0] as u32,
            mask_column: inner[1] as u32,
            mask_rank: walk.rank,
            padding: [0; 2],
            shape: walk.shape,
            mask_strides: walk.strides[0],
        })
    }

    /// Whether a thread each takes the rows, and not a workgroup each.
    fn by_thread(&self, run: &Run<'_>, rows: u32) -> Result<bool> {
        super::softmax::by_thread(ATTENTION.name, run, rows, self.keys as u32, 1)
    }

    /// A block of the queries, or of what has a row for each.
    fn part(&self, t: &Tensor, (first, rows): (usize, usize)) -> Result<Tensor> {
        if self.is_whole() { Ok(t.detach()) } else { t.detach().try_narrow(-2, first as i64, rows) }
    }

    /// `left·right` into a block of `target`, which has a row for each query.
    fn multiply_into(
        &self,
        run: &mut Run<'_>,
        (left, right): (&Tensor, &Tensor),
        target: &Tensor,
        block: (usize, usize),
    ) -> Result<()> {
        if self.is_whole() {
            return multiply(run, left, right, None, target);
        }
        let part = run.output(DType::F32, &self.shape(block.1, right.shape()[right.dim() - 1]));
        multiply(run, left, right, None, &part)?;
        copy_into(&self.part(target, block)?, &part)
    }

    /// `left·right` into `target`, or added to it by every block but the first.
    fn add_product(
        &self,
        run: &mut Run<'_>,
        (left, right): (&Tensor, &Tensor),
        target: &Tensor,
        first: bool,
    ) -> Result<()> {
        if first {
            return multiply(run, left, right, None, target);
        }
        let part = run.output(DType::F32, target.shape());
        multiply(run, left, right, None, &part)?;
        target.add_(&part)
    }
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let (q, k, v) = (call.input(0), call.input(1), call.input(2));
    let mask = call.inputs().get(3).copied();
    check_floats(call.op(), &[q, k, v])?;
    let plan = Plan::new(call.attrs(), q.shape(), k.shape(), v.shape())?;
    check_arguments(call.attrs(), mask, &plan.shape(plan.queries, plan.keys))?;
    let y = call.output(DType::F32, &plan.shape(plan.queries, plan.sizes[1]));
    for block in plan.blocks() {
        let scores = call.output(DType::F32, &plan.shape(block.1, plan.keys));
        multiply(call, &plan.part(q, block)?, &transposed(k), None, &scores)?;
        let params = plan.params(call.attrs(), mask, block)?;
        let kernel = if plan.by_thread(call, params.rows)? { &BY_THREAD } else { &BY_GROUP };
        // Without a mask something has to be bound in its place; it is not read.
        let variant = variant(call.attrs(), mask);
        call.dispatch(kernel, variant, &[mask.unwrap_or(q), &scores], &params);
        plan.multiply_into(call, (&scores, v), &y, block)?;
    }
    for tensor in [q, k, v].into_iter().chain(mask) {
        call.save(tensor);
    }
    Ok(smallvec![y])
}

fn check_arguments(attrs: &Attrs, mask: Option<&Tensor>, scores: &[usize]) -> Result<()> {
    const OP: &str = ATTENTION.name;
    check_probability(OP, attrs.get_float("dropout_p"))?;
    let Some(mask) = mask else { return Ok(()) };
    if attrs.get_bool("is_causal") {
        return Err(Error::argument(OP, "takes a mask or is causal, not both; put the causal part into the mask"));
    }
    if !matches!(mask.dtype(), DType::Bool | DType::F32) {
        return Err(Error::dtype(OP, format!("the mask holds truth values or f32, not {}", mask.dtype())));
    }
    match broadcast(OP, mask.shape(), scores) {
        Ok(shape) if shape.as_slice() == scores => Ok(()),
        _ => Err(Error::shape(OP, format!("a mask of shape {:?} does not broadcast to {scores:?}", mask.shape()))),
    }
}

fn vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (q, k, value) = (v.saved(0), v.saved(1), v.saved(2));
    let mask = (v.saved_len() > 3).then(|| v.saved(3));
    let plan = Plan::new(v.attrs(), q.shape(), k.shape(), value.shape())?;
    let shapes = [plan.shape(plan.queries, plan.sizes[0]), plan.shape(plan.keys, plan.sizes[0])];
    let targets = [shapes[0].clone(), shapes[1].clone(), plan.shape(plan.keys, plan.sizes[1])];
    let mut targets = (0..3).map(|i| gradient_target(v, i, &targets[i])).collect::<Vec<_>>();
    // The mask is added behind the scale, so its gradient is that of the scores before it is multiplied with the scale.
    let d_mask =
        mask.as_ref().filter(|_| v.needs(3)).map(|_| v.output(DType::F32, &plan.shape(plan.queries, plan.keys)));
    for block in plan.blocks() {
        let first = block.0 == 0;
        let g = plan.part(v.gradient(), block)?;
        let q = plan.part(&q, block)?;
        let scores = v.output(DType::F32, &plan.shape(block.1, plan.keys));
        multiply(v, &q, &transposed(&k), None, &scores)?;
        let d_scores = v.output(DType::F32, &plan.shape(block.1, plan.keys));
        multiply(v, &g, &transposed(&value), None, &d_scores)?;
        let mut params = plan.params(v.attrs(), mask.as_ref(), block)?;
        if d_mask.is_some() {
            params.d_scale = 1.0;
        }
        let kernel = if plan.by_thread(v, params.rows)? { &BACKWARD_BY_THREAD } else { &BACKWARD_BY_GROUP };
        let variant = variant(v.attrs(), mask.as_ref());
        v.dispatch(kernel, variant, &[mask.as_ref().unwrap_or(&q), &scores, &d_scores], &params);
        if let Some(dq) = &targets[0] {
            plan.multiply_into(v, (&d_scores, &k), dq, block)?;
        }
        if let Some(dk) = &targets[1] {
            plan.add_product(v, (&transposed(&d_scores), &q), dk, first)?;
        }
        if let Some(dv) = &targets[2] {
            plan.add_product(v, (&transposed(&scores), &g), dv, first)?;
        }
        if let Some(d_mask) = &d_mask {
            copy_into(&plan.part(d_mask, block)?, &d_scores)?;
        }
    }
    if plan.queries == 0 {
        targets.iter().flatten().try_for_each(Tensor::zero_)?;
    }
    if d_mask.is_some() {
        for target in targets[..2].iter_mut().flatten() {
            *target = target.try_mul_scalar(v.attrs().get_float("scale"))?;
        }
    }
    let mut gradients: Gradients = targets.into_iter().collect();
    if mask.is_some() {
        gradients.push(d_mask);
    }
    Ok(gradients)
}

/// Memory for a gradient over the broadcast batch.
fn gradient_target(v: &mut Vjp<'_>, i: usize, shape: &[usize]) -> Option<Tensor> {
    if !v.needs(i) {
        return None;
    }
    Some(if v.input_shape(i) == shape { v.gradient_output(i) } else { v.output(DType::F32, shape) })
}

fn attention_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let attrs = |causal: bool, scale: f64, p: f64| {
        let attrs = Attrs::new().bool("is_causal", causal).float("scale", scale).float("dropout_p", p);
        attrs.ints("state", [12345, 1 << 33])
    };
    let case = |name: &str, q: &[usize], k: &[usize], v: &[usize], attrs: Attrs| {
        Case::new(name, vec![Input::floats(q), Input::floats(k), Input::floats(v)]).attrs(attrs)
    };
    let with_mask = |case: Case, mask: Input| Case { inputs: case.inputs.into_iter().chain([mask]).collect(), ..case };
    let plain = |name: &str| case(name, &[2, 3, 4], &[2, 5, 4], &[2, 5, 3], attrs(false, 0.5, 0.0));
    let bools = |shape: &[usize]| Input::bools(shape);
    let infinite = Input::floats(&[3, 5]).fill(Fill::Values(&[0.5, f64::NEG_INFINITY, -1.0, 0.0])).constant();
    vec![
        plain("typical"),
        case("matrices", &[3, 4], &[5, 4], &[5, 2], attrs(false, 0.5, 0.0)),
        case("heads", &[2, 2, 3, 2], &[2, 2, 4, 2], &[2, 2, 4, 3], attrs(false, 0.7, 0.0)),
        case("broadcast", &[2, 1, 3, 2], &[3, 4, 2], &[1, 1, 4, 3], attrs(false, 0.7, 0.0)),
        case("causal", &[2, 4, 3], &[2, 4, 3], &[2, 4, 3], attrs(true, 0.6, 0.0)),
        case("causal, more keys", &[1, 3, 2], &[1, 5, 2], &[1, 5, 2], attrs(true, 0.6, 0.0)),
        case("causal, more queries", &[1, 5, 2], &[1, 3, 2], &[1, 3, 2], attrs(true, 0.6, 0.0)),
        with_mask(plain("truth values"), bools(&[3, 5])),
        with_mask(plain("truth values of each"), bools(&[2, 3, 5])),
        with_mask(plain("truth values of keys"), bools(&[2, 1, 5])),
        with_mask(plain("nothing to see"), bools(&[3, 5]).fill(Fill::Whole(0, 1))),
        with_mask(plain("numbers"), Input::floats(&[3, 5])),
        with_mask(plain("numbers of queries"), Input::floats(&[2, 3, 1])),
        with_mask(plain("numbers, transposed"), Input::floats(&[3, 5]).arranged(Arrangement::Transposed)),
        with_mask(plain("infinite numbers"), infinite),
        case("dropped", &[2, 4, 3], &[2, 5, 3], &[2, 5, 3], attrs(false, 0.6, 0.4)),
        with_mask(plain("truth values, dropped").attrs(attrs(false, 0.6, 0.4)), bools(&[3, 5])),
        with_mask(plain("numbers, dropped").attrs(attrs(false, 0.6, 0.4)), Input::floats(&[3, 5])),
        case("all dropped", &[2, 4, 3], &[2, 5, 3], &[2, 5, 3], attrs(false, 0.6, 1.0)),
        case("blocks", &[2, 5, 3], &[2, 4, 3], &[2, 4, 2], attrs(true, 0.6, 0.3).int("block", 2)),
        with_mask(plain("blocks with a mask").attrs(attrs(false, 0.6, 0.0).int("block", 2)), Input::floats(&[3, 5])),
        case("one", &[1, 1], &[1, 1], &[1, 1], attrs(false, 1.0, 0.0)),
        case("no queries", &[2, 0, 3], &[2, 4, 3], &[2, 4, 2], attrs(false, 1.0, 0.0)),
        case("no keys", &[2, 3, 4], &[2, 0, 4], &[2, 0, 2], attrs(false, 1.0, 0.0)),
        case("no batch", &[0, 3, 4], &[0, 5, 4], &[0, 5, 2], attrs(false, 1.0, 0.0)),
        case("no size", &[2, 3, 0], &[2, 5, 0], &[2, 5, 2], attrs(false, 1.0, 0.0)),
        Case::new(
            "strange layouts",
            vec![
                Input::floats(&[2, 3, 4]).arranged(Arrangement::Transposed),
                Input::floats(&[2, 5, 4]).arranged(Arrangement::Strided),
                Input::floats(&[2, 5, 3]).arranged(Arrangement::Expanded),
            ],
        )
        .attrs(attrs(false, 0.5, 0.0)),
        case("large", &[3, 65, 33], &[3, 130, 33], &[3, 130, 17], attrs(true, 0.2, 0.0)).no_gradcheck(),
        case("large, dropped", &[2, 33, 9], &[2, 300, 9], &[2, 300, 9], attrs(false, 0.3, 0.1)).no_gradcheck(),
        case("large scores", &[2, 9, 8], &[2, 7, 8], &[2, 7, 8], attrs(false, 100.0, 0.0)).no_gradcheck(),
        case("sizes", &[2, 3, 4], &[2, 5, 3], &[2, 5, 3], attrs(false, 1.0, 0.0)).fails(),
        case("values", &[2, 3, 4], &[2, 5, 4], &[2, 4, 3], attrs(false, 1.0, 0.0)).fails(),
        case("batches", &[2, 3, 4], &[3, 5, 4], &[3, 5, 3], attrs(false, 1.0, 0.0)).fails(),
        case("a vector", &[4], &[5, 4], &[5, 3], attrs(false, 1.0, 0.0)).fails(),
        case("too likely", &[3, 4], &[5, 4], &[5, 3], attrs(false, 1.0, 1.5)).fails(),
        with_mask(plain("a mask of another shape").fails(), bools(&[3, 4])),
        with_mask(plain("a mask with more dims").fails(), bools(&[2, 2, 3, 5])),
        with_mask(plain("a mask of integers").fails(), Input::ints(&[3, 5], 0, 2)),
        with_mask(plain("a mask and causal").attrs(attrs(true, 1.0, 0.0)).fails(), bools(&[3, 5])),
    ]
}

/// The arguments of attention besides the tensors; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionOptions<'a> {
    /// What broadcasts to `[.., L, S]`: truth values, where those that are false hide a key from a query, or numbers that
    /// are added to the scores.
    pub attn_mask: Option<&'a Tensor>,
    /// The share of the weights that is dropped, always: a layer gives 0 when it is not trained.
    pub dropout_p: f64,
    /// Whether a query sees the keys up to its own place only.
    pub is_causal: bool,
    /// What the scores are multiplied with; 1/√E if nothing is given.
    pub scale: Option<f64>,
    /// Whether there may be fewer heads (dim −3) of keys and values than of queries, each of which serves several.
    pub enable_gqa: bool,
}

methods! {
    /// For each of these queries `[.., L, E]` the mean of the values `[.., S, Ev]`, weighed by how well the query fits each of
    /// the keys `[.., S, E]`: `softmax(Q·Kᵀ/√E)·V`, `[.., L, Ev]`. The dims before the last two broadcast.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (q, k) = (Tensor::from_slice(&[0.0f32, 0.0], &[1, 2]), Tensor::ones(&[2, 2]));
    /// let v = Tensor::from_slice(&[1.0f32, 3.0], &[2, 1]);
    /// assert_eq!(q.scaled_dot_product_attention(&k, &v).item::<f32>()?, 2.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub fn scaled_dot_product_attention / try_scaled_dot_product_attention (&self, key: &Tensor, value: &Tensor) -> Tensor {
        self.try_scaled_dot_product_attention_with(key, value, &AttentionOptions::default())
    }

    /// [`Self::scaled_dot_product_attention`] with a mask, causal, with another scale, with dropout, or with heads that share
    /// keys. A query that sees no key gets 0.
    ///
    /// ```
    /// use lumigrad::{AttentionOptions, prelude::*};
    /// let (q, v) = (Tensor::zeros(&[2, 4]), Tensor::from_slice(&[1.0f32, 3.0], &[2, 1]));
    /// let causal = AttentionOptions { is_causal: true, ..AttentionOptions::default() };
    /// let y = q.scaled_dot_product_attention_with(&q, &v, &causal);
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the shapes do not fit, there are a mask and `is_causal`, or the probability does not lie between 0 and 1.
    pub fn scaled_dot_product_attention_with / try_scaled_dot_product_attention_with (
        &self, key: &Tensor, value: &Tensor, options: &AttentionOptions<'_>,
    ) -> Tensor {
        if options.enable_gqa && self.dim() >= 3 && key.dim() >= 3 && self.size(-3) != key.size(-3) {
            return shared_heads(self, key, value, options);
        }
        let size = self.shape().last().copied().unwrap_or(1).max(1) as f64;
        let mut attrs = Attrs::new()
            .bool("is_causal", options.is_causal)
            .float("scale", options.scale.unwrap_or(1.0 / size.sqrt()))
            .float("dropout_p", options.dropout_p);
        if options.dropout_p > 0.0 {
            let state = self.device().next_random();
            attrs = attrs.ints("state", [state.seed as i64, state.counter as i64]);
        }
        let inputs: Vec<&Tensor> = [self, key, value].into_iter().chain(options.attn_mask).collect();
        single(apply(&ATTENTION, &inputs, attrs))
    }
}

/// Several heads of queries for each head of keys and values: a dim more, over which these are broadcast.
fn shared_heads(q: &Tensor, k: &Tensor, v: &Tensor, options: &AttentionOptions<'_>) -> Result<Tensor> {
    const OP: &str = ATTENTION.name;
    let (heads, shared) = (q.size(-3), k.size(-3));
    if v.dim() < 3 || v.size(-3) != shared || shared == 0 || !heads.is_multiple_of(shared) {
        let detail = format!(
            "heads (dim -3) of queries {:?} must be a multiple of those of keys {:?} and values {:?}",
            q.shape(),
            k.shape(),
            v.shape()
        );
        return Err(Error::shape(OP, detail));
    }
    let split = |t: &Tensor| {
        let mut shape = t.shape().to_vec();
        let at = shape.len() - 3;
        shape.splice(at..=at, [shared, heads / shared]);
        t.try_reshape(shape)
    };
    let mask = match options.attn_mask {
        Some(mask) if mask.dim() >= 3 && mask.size(-3) == heads => Some(split(mask)?),
        Some(mask) if mask.dim() >= 3 => Some(mask.try_unsqueeze(-3)?),
        other => other.cloned(),
    };
    let options = AttentionOptions { attn_mask: mask.as_ref(), enable_gqa: false, ..*options };
    let (k, v) = (k.try_unsqueeze(-3)?, v.try_unsqueeze(-3)?);
    let y = split(q)?.try_scaled_dot_product_attention_with(&k, &v, &options)?;
    y.try_flatten(-4, -3)
}
