//! One layer in one direction, forward and back: what the three kinds have in common.
//!
//! Everything lies time-major, as `[T, N, …]`. The states have a slot more than there are steps, for the one before the
//! first, so that "the state before" of all steps is one matrix in the gradient of the state's weights.

use smallvec::{SmallVec, smallvec};

use super::{Cell, FAMILY, StepParams};
use crate::dtype::DType;
use crate::engine::tuner::class;
use crate::ops::matmul::{check_floats, multiply, transposed};
use crate::ops::reduce::sum::sum_into;
use crate::ops::{Attrs, Call, Gradients, Outputs, Run, Vjp, cases, copy_into, tune};
use crate::tensor::{Layout, Tensor};
use crate::{Error, Result};

/// The arguments of a layer's operation: which optional inputs there are, the direction, and how many steps each sequence
/// has (none: all of them).
pub(super) fn attrs(bias: bool, state: bool, reverse: bool, lengths: &[usize]) -> Attrs {
    Attrs::new().bool("bias", bias).bool("state", state).bool("reverse", reverse).sizes("lengths", lengths)
}

/// Relu in tanh's place.
pub(super) fn with_relu(attrs: Attrs) -> Attrs {
    attrs.bool("relu", true)
}

/// Sizes and switches of a layer.
struct Plan {
    steps: usize,
    batch: usize,
    features: usize,
    hidden: usize,
    bias: bool,
    state: bool,
    reverse: bool,
    relu: bool,
    has_lengths: bool,
}

impl Plan {
    fn new(attrs: &Attrs, x: &[usize], w_hh: &[usize]) -> Plan {
        Plan {
            steps: x[0],
            batch: x[1],
            features: x[2],
            hidden: w_hh[1],
            bias: attrs.get_bool("bias"),
            state: attrs.get_bool("state"),
            reverse: attrs.get_bool("reverse"),
            relu: attrs.get("relu").is_some(),
            has_lengths: !attrs.get_ints("lengths").is_empty(),
        }
    }

    /// The time steps in the order in which they run.
    fn order(&self) -> Vec<usize> {
        if self.reverse { (0..self.steps).rev().collect() } else { (0..self.steps).collect() }
    }

    /// Slots of the states before and after a step.
    fn slots(&self, step: usize) -> (usize, usize) {
        if self.reverse { (step + 1, step) } else { (step, step + 1) }
    }

    /// Slots of the first state and of the last.
    fn ends(&self) -> (usize, usize) {
        if self.reverse { (self.steps, 0) } else { (0, self.steps) }
    }

    /// What the params of a step are in both directions; `place` counts steps in the order of the forward run.
    fn params(&self, step: usize, place: usize, weight: &Tensor) -> StepParams {
        let (before, after) = self.slots(step);
        StepParams {
            batch: self.batch as u32,
            hidden: self.hidden as u32,
            step: step as u32,
            before: before as u32,
            after: after as u32,
            reverse: self.reverse.into(),
            steps: self.steps as u32,
            has_state: u32::from(self.state || place > 0),
            has_lengths: self.has_lengths.into(),
            relu: self.relu.into(),
            weight_offset: weight.offset() as u32,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    /// Runs all steps, which change what they are given, by the kernel that was measured to be the fastest.
    fn by_fastest(
        &self,
        run: &mut Run<'_>,
        cell: &Cell,
        direction: u32,
        written: &[&Tensor],
        steps: impl Fn(&mut Run<'_>, &[&Tensor]),
    ) -> Result<()> {
        let key = || {
            let [batch, hidden] = [self.batch, self.hidden].map(class);
            let kind = [cell.gates as u32, direction, u32::from(self.has_lengths)];
            [kind[0], kind[1], kind[2], class(self.steps), batch, hidden, 0, 0]
        };
        let choice = tune::fastest(run, FAMILY, key, |run| {
            let copies: Outputs = written.iter().map(|t| run.output(t.dtype(), t.shape())).collect();
            copies.iter().zip(written).try_for_each(|(copy, t)| copy_into(copy, t))?;
            steps(run, &copies.iter().collect::<Written<'_>>());
            Ok(copies)
        })?;
        choice.run(|| steps(run, written));
        Ok(())
    }
}

/// What the steps of a layer write, in the order of their bindings.
type Written<'a> = SmallVec<[&'a Tensor; 4]>;

/// A part of a contiguous tensor: rows of so many columns, that many elements apart.
fn rows_of(t: &Tensor, first: usize, [rows, columns]: [usize; 2], step: usize) -> Tensor {
    let layout = Layout { shape: smallvec![rows, columns], strides: smallvec![step, 1], offset: t.offset() + first };
    t.view_as_layout(layout)
}

fn contiguous(t: &Tensor) -> Result<Tensor> {
    t.detach().try_contiguous()
}

/// Runs a layer: `x [T, N, in]`, weights `[gates·hidden, in]` and `[gates·hidden, hidden]`, biases, first states.
pub(super) fn forward(call: &mut Call<'_>, cell: &'static Cell) -> Result<Outputs> {
    check(call, cell)?;
    let plan = Plan::new(call.attrs(), call.input(0).shape(), call.input(2).shape());
    let Plan { steps, batch, features, hidden, .. } = plan;
    let (x, weight) = (contiguous(call.input(0))?, contiguous(call.input(2))?);
    let bias = if plan.bias { Some(contiguous(call.input(4))?) } else { None };
    let width = cell.gates * hidden;
    let inputs = call.output(DType::F32, &[steps, batch, width]);
    let b_ih = if plan.bias { Some(contiguous(call.input(3))?) } else { None };
    let all = rows_of(&x, 0, [steps * batch, features], features);
    let w_ih = transposed(call.input(1));
    multiply(call, &all, &w_ih, b_ih.as_ref(), &rows_of(&inputs, 0, [steps * batch, width], width))?;

    let states = call.output(DType::F32, &[steps + 1, batch, hidden]);
    let cells = if cell.has_cell { Some(call.output(DType::F32, &[steps + 1, batch, hidden])) } else { None };
    let gates = if cell.saves_apart { Some(call.output(DType::F32, &[steps, batch, 4 * hidden])) } else { None };
    let slot = |t: &Tensor, slot: usize| rows_of(t, slot * batch * hidden, [batch, hidden], hidden);
    if plan.state {
        let first = 3 + 2 * usize::from(plan.bias);
        for (target, source) in std::iter::once(&states).chain(&cells).zip(&call.inputs()[first..]) {
            copy_into(&slot(target, plan.ends().0), &source.detach())?;
        }
    }
    let lengths = lengths(call, &plan)?;
    let given = [&weight, bias.as_ref().unwrap_or(&weight), lengths.as_ref().unwrap_or(&weight)];
    let written: Written<'_> =
        [Some(&inputs), gates.as_ref(), Some(&states), cells.as_ref()].into_iter().flatten().collect();
    let steps_of = |run: &mut Run<'_>, written: &[&Tensor]| {
        let kernel = cell.forward.on(run);
        let operands: SmallVec<[&Tensor; 8]> = given.iter().chain(written).copied().collect();
        for (place, step) in plan.order().into_iter().enumerate() {
            let params = plan.params(step, place, &weight);
            let params = StepParams {
                depth: params.has_state * hidden as u32,
                has_bias: plan.bias.into(),
                bias_offset: bias.as_ref().map_or(0, Tensor::offset) as u32,
                ..params
            };
            run.dispatch(kernel, 0, &operands, &params);
        }
    };
    plan.by_fastest(call, cell, 0, &written, steps_of)?;

    for tensor in [&x, call.input(1), call.input(2), &states] {
        call.save(tensor);
    }
    // What a step back needs of the gates: those of a simple layer follow from the state.
    for tensor in [gates.as_ref().or(cells.as_ref().map(|_| &inputs)), cells.as_ref(), lengths.as_ref()] {
        tensor.into_iter().for_each(|t| call.save(t));
    }
    let of_steps = Layout {
        shape: smallvec![steps, batch, hidden],
        strides: smallvec![batch * hidden, hidden, 1],
        offset: if plan.reverse { 0 } else { batch * hidden },
    };
    let y = padded(call, &plan, states.view_as_layout(of_steps))?;
    let mut outputs: Outputs = smallvec![y, slot(&states, plan.ends().1)];
    outputs.extend(cells.as_ref().map(|cells| slot(cells, plan.ends().1)));
    Ok(outputs)
}

/// The lengths on the device.
fn lengths(call: &Call<'_>, plan: &Plan) -> Result<Option<Tensor>> {
    if !plan.has_lengths {
        return Ok(None);
    }
    Tensor::try_from_slice_on(call.attrs().get_ints("lengths"), &[plan.batch], call.device()).map(Some)
}

/// Zeros where a sequence has ended.
fn padded(call: &Call<'_>, plan: &Plan, y: Tensor) -> Result<Tensor> {
    if !plan.has_lengths {
        return Ok(y);
    }
    let lengths = call.attrs().get_ints("lengths");
    let ended: Vec<bool> = (0..plan.steps as i64).flat_map(|t| lengths.iter().map(move |&len| t >= len)).collect();
    let ended = Tensor::try_from_slice_on(&ended, &[plan.steps, plan.batch, 1], call.device())?;
    y.try_masked_fill(&ended, 0.0)
}

fn check(call: &Call<'_>, cell: &Cell) -> Result<()> {
    let (op, attrs, inputs) = (call.op(), call.attrs(), call.inputs());
    check_floats(op, inputs)?;
    let (bias, state) = (attrs.get_bool("bias"), attrs.get_bool("state"));
    let want = 3 + 2 * usize::from(bias) + usize::from(state) * (1 + usize::from(cell.has_cell));
    if inputs.len() != want {
        return Err(Error::argument(op, format!("takes {want} tensors here, got {}", inputs.len())));
    }
    let (x, w_ih, w_hh) = (inputs[0].shape(), inputs[1].shape(), inputs[2].shape());
    let &[steps, batch, features] = x else {
        return Err(Error::shape(op, format!("the input needs 3 dims (or 2 without a batch), it has shape {x:?}")));
    };
    if steps == 0 {
        return Err(Error::shape(op, format!("an input of shape {x:?} has no time step; at least one is needed")));
    }
    let [rows, hidden] = *w_hh else {
        return Err(Error::shape(op, format!("the state's weight needs 2 dims, it has shape {w_hh:?}")));
    };
    let gates = cell.gates;
    if rows != gates * hidden || w_ih.first() != Some(&rows) || w_ih.len() != 2 || hidden == 0 {
        let detail = format!(
            "weights of shapes {w_ih:?} and {w_hh:?} do not fit: they need [{gates}·hidden, in] and [{gates}·hidden, hidden]"
        );
        return Err(Error::shape(op, detail));
    }
    if w_ih[1] != features {
        let detail = format!(
            "an input of shape {x:?} does not fit a weight of shape {w_ih:?}: the last dim must be {}",
            w_ih[1]
        );
        return Err(Error::shape(op, detail));
    }
    let expect = |name: &str, t: &Tensor, shape: &[usize]| {
        let detail = || format!("the {name} needs the shape {shape:?}, it has {:?}", t.shape());
        if t.shape() == shape { Ok(()) } else { Err(Error::shape(op, detail())) }
    };
    let (biases, states) = inputs[3..].split_at(2 * usize::from(bias));
    biases.iter().try_for_each(|b| expect("bias", b, &[rows]))?;
    states.iter().try_for_each(|s| expect("first state", s, &[batch, hidden]))?;
    check_lengths(op, attrs.get_ints("lengths"), steps, batch)
}

fn check_lengths(op: &'static str, lengths: &[i64], steps: usize, batch: usize) -> Result<()> {
    if lengths.is_empty() {
        return Ok(());
    }
    if lengths.len() != batch {
        return Err(Error::argument(op, format!("{} lengths were given for {batch} sequences", lengths.len())));
    }
    match lengths.iter().find(|&&len| !(1..=steps as i64).contains(&len)) {
        Some(len) => {
            Err(Error::argument(op, format!("a length must lie between 1 and the {steps} steps, it is {len}")))
        }
        None => Ok(()),
    }
}

/// What a layer saved, and the gradients that it gathers.
struct Walk {
    plan: Plan,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    states: Tensor,
    lengths: Option<Tensor>,
    /// Of what goes into each gate, `[T, N, gradients·hidden]`.
    d_gates: Tensor,
    /// What passes the gates by on the way back.
    carry: Option<Tensor>,
}

/// The gradients of a layer's inputs.
pub(super) fn backward(v: &mut Vjp<'_>, cell: &'static Cell) -> Result<Gradients> {
    let walk = walk_back(v, cell)?;
    let plan = &walk.plan;
    let mut gradients = Gradients::new();
    gradients.push(if v.needs(0) { Some(walk.of_input(v, cell)?) } else { None });
    gradients.push(if v.needs(1) { Some(walk.of_input_weight(v, cell)?) } else { None });
    gradients.push(if v.needs(2) { Some(walk.of_state_weight(v, cell)?) } else { None });
    if plan.bias {
        let d_ih = if v.needs(3) { Some(walk.of_input_bias(v, cell)?) } else { None };
        // Both biases are added up in all kinds but one: then their gradients are one tensor.
        let shared = d_ih.clone().filter(|_| cell.gradients == cell.gates);
        let d_hh = if v.needs(4) { Some(shared.map_or_else(|| walk.of_state_bias(v, cell), Ok)?) } else { None };
        gradients.extend([d_ih, d_hh]);
    }
    if plan.state {
        let first = 3 + 2 * usize::from(plan.bias);
        gradients.push(if v.needs(first) { Some(walk.of_state(v, cell)?) } else { None });
        if cell.has_cell {
            gradients.push(walk.carry.filter(|_| v.needs(first + 1)));
        }
    }
    Ok(gradients)
}

/// All steps, the last one first.
fn walk_back(v: &mut Vjp<'_>, cell: &'static Cell) -> Result<Walk> {
    let (x, w_ih, w_hh, states) = (v.saved(0), v.saved(1), v.saved(2), v.saved(3));
    let plan = Plan::new(v.attrs(), x.shape(), w_hh.shape());
    let Plan { steps, batch, hidden, .. } = plan;
    let w_hh = contiguous(&w_hh)?;
    let outside = |i: usize| v.gradient_of(i).map(contiguous).transpose();
    let (dy, dh) = (outside(0)?, outside(1)?);
    let dc = if cell.has_cell { outside(2)? } else { None };
    let lengths = plan.has_lengths.then(|| v.saved(v.saved_len() - 1));
    let gates = cell.carries.then(|| v.saved(4));
    let cells = if cell.has_cell { v.saved(5) } else { states.clone() };
    let d_gates = v.output(DType::F32, &[steps, batch, cell.gradients * hidden]);
    let carry = if cell.carries { Some(v.output(DType::F32, &[batch, hidden])) } else { None };
    if let (Some(carry), Some(dc)) = (&carry, &dc) {
        copy_into(carry, dc)?;
    }
    let given = [&lengths, &dy, &dh].map(|t| t.as_ref().unwrap_or(&w_hh));
    let written: Written<'_> = [Some(&d_gates), carry.as_ref()].into_iter().flatten().collect();
    let steps_of = |run: &mut Run<'_>, written: &[&Tensor]| {
        let kernel = cell.backward.on(run);
        let operands: SmallVec<[&Tensor; 8]> = [Some(&w_hh)]
            .into_iter()
            .chain(given.map(Some))
            .chain([Some(written[0]), gates.as_ref(), Some(&cells), written.get(1).copied()])
            .flatten()
            .collect();
        let mut next = None;
        for (place, step) in plan.order().into_iter().enumerate().rev() {
            let params = StepParams {
                depth: if next.is_some() { (cell.gates * hidden) as u32 } else { 0 },
                next: next.unwrap_or(0) as u32,
                has_dy: dy.is_some().into(),
                has_dh: dh.is_some().into(),
                has_dc: dc.is_some().into(),
                dy_offset: dy.as_ref().map_or(0, Tensor::offset) as u32,
                dh_offset: dh.as_ref().map_or(0, Tensor::offset) as u32,
                ..plan.params(step, place, &w_hh)
            };
            run.dispatch(kernel, 0, &operands, &params);
            next = Some(step);
        }
    };
    plan.by_fastest(v, cell, 1, &written, steps_of)?;
    drop(written);
    Ok(Walk { plan, x, w_ih, w_hh, states, lengths, d_gates, carry })
}

impl Walk {
    fn rows(&self) -> usize {
        self.plan.steps * self.plan.batch
    }

    /// Columns of the gates' gradients, of `rows` rows from the first one given.
    fn columns(&self, cell: &Cell, first_row: usize, rows: usize, first_gate: usize, gates: usize) -> Tensor {
        let hidden = self.plan.hidden;
        let width = cell.gradients * hidden;
        rows_of(&self.d_gates, first_row * width + first_gate * hidden, [rows, gates * hidden], width)
    }

    /// Runs of neighbouring gates whose gradients the state's weights take: where the run starts in the weights, where in
    /// the gradients, and how many there are.
    fn state_gates(&self, cell: &Cell) -> &'static [(usize, usize, usize)] {
        match (cell.gates, cell.gradients) {
            (1, _) => &[(0, 0, 1)],
            (4, _) => &[(0, 0, 4)],
            // The third of them has a gradient of its own.
            _ => &[(0, 0, 2), (2, 3, 1)],
        }
    }

    fn of_input(&self, v: &mut Vjp<'_>, cell: &Cell) -> Result<Tensor> {
        let features = self.plan.features;
        let dx = v.gradient_output(0);
        let d = self.columns(cell, 0, self.rows(), 0, cell.gates);
        multiply(v, &d, &self.w_ih, None, &rows_of(&dx, 0, [self.rows(), features], features))?;
        Ok(dx)
    }

    fn of_input_weight(&self, v: &mut Vjp<'_>, cell: &Cell) -> Result<Tensor> {
        let features = self.plan.features;
        let dw = v.gradient_output(1);
        let d = self.columns(cell, 0, self.rows(), 0, cell.gates);
        multiply(v, &transposed(&d), &rows_of(&self.x, 0, [self.rows(), features], features), None, &dw)?;
        Ok(dw)
    }

    /// The first step has no state before it unless one was given.
    fn of_state_weight(&self, v: &mut Vjp<'_>, cell: &Cell) -> Result<Tensor> {
        let Plan { batch, hidden, state, reverse, .. } = self.plan;
        let dw = v.gradient_output(2);
        let missing = if state { 0 } else { batch };
        let rows = self.rows() - missing;
        let first_row = if reverse { 0 } else { missing };
        let first_state = if reverse { batch } else { missing };
        let before = rows_of(&self.states, first_state * hidden, [rows, hidden], hidden);
        for &(to, from, gates) in self.state_gates(cell) {
            let d = self.columns(cell, first_row, rows, from, gates);
            let part = rows_of(&dw, to * hidden * hidden, [gates * hidden, hidden], hidden);
            multiply(v, &transposed(&d), &before, None, &part)?;
        }
        Ok(dw)
    }

    fn of_input_bias(&self, v: &mut Vjp<'_>, cell: &Cell) -> Result<Tensor> {
        let db = v.gradient_output(3);
        sum_into(v, &self.columns(cell, 0, self.rows(), 0, cell.gates), &[0], &db)?;
        Ok(db)
    }

    fn of_state_bias(&self, v: &mut Vjp<'_>, cell: &Cell) -> Result<Tensor> {
        let hidden = self.plan.hidden;
        let db = v.gradient_output(4);
        for &(to, from, gates) in self.state_gates(cell) {
            let part = rows_of(&db, to * hidden, [1, gates * hidden], gates * hidden);
            sum_into(v, &self.columns(cell, 0, self.rows(), from, gates), &[0], &part)?;
        }
        Ok(db)
    }

    /// Of the state before the first step. With lengths, walking in reverse, sequences begin at different steps.
    fn of_state(&self, v: &mut Vjp<'_>, cell: &Cell) -> Result<Tensor> {
        let Plan { steps, batch, hidden, reverse, .. } = self.plan;
        let index = 3 + 2 * usize::from(self.plan.bias);
        let width = cell.gradients * hidden;
        let all = match (&self.lengths, reverse) {
            (Some(_), true) => {
                let lengths = v.attrs().get_ints("lengths");
                let rows: Vec<i64> = (0..).zip(lengths).map(|(n, len)| (len - 1) * batch as i64 + n).collect();
                let rows = Tensor::try_from_slice_on(&rows, &[batch], v.device())?;
                rows_of(&self.d_gates, 0, [self.rows(), width], width).try_index_select(0, &rows)?
            }
            _ => {
                let first = if reverse { steps - 1 } else { 0 };
                rows_of(&self.d_gates, first * batch * width, [batch, width], width)
            }
        };
        let mut sum = self.carry.clone().filter(|_| !cell.has_cell);
        for &(to, from, gates) in self.state_gates(cell) {
            let d = rows_of(&all, from * hidden, [batch, gates * hidden], width);
            let weight = rows_of(&self.w_hh, to * hidden * hidden, [gates * hidden, hidden], hidden);
            let part = if sum.is_none() { v.gradient_output(index) } else { v.output(DType::F32, &[batch, hidden]) };
            multiply(v, &d, &weight, None, &part)?;
            sum = Some(match sum {
                Some(sum) => sum.try_add(&part)?,
                None => part,
            });
        }
        Ok(sum.expect("a layer has gates"))
    }
}

/// Cases of a layer with so many gates and first states.
pub(super) fn layer_cases(gates: usize, states: usize) -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    // Weights that leave gates on their slopes.
    let weight = |shape: &[usize]| Input::floats(shape).fill(Fill::Uniform(-0.6, 0.6));
    let case = |name: &str, [t, n, features, hidden]: [usize; 4], bias: bool, state: bool, attrs: Attrs| {
        let rows = gates * hidden;
        let mut inputs = vec![Input::floats(&[t, n, features]), weight(&[rows, features]), weight(&[rows, hidden])];
        inputs.extend((0..2 * usize::from(bias)).map(|_| weight(&[rows])));
        inputs.extend((0..if state { states } else { 0 }).map(|_| Input::floats(&[n, hidden])));
        Case::new(name, inputs).attrs(attrs)
    };
    let plain = |name: &str, sizes: [usize; 4], bias: bool, state: bool, reverse: bool| {
        case(name, sizes, bias, state, attrs(bias, state, reverse, &[]))
    };
    let mut list = vec![
        plain("typical", [4, 3, 2, 3], true, true, false),
        plain("no bias", [3, 2, 3, 2], false, true, false),
        plain("no state", [3, 2, 3, 2], true, false, false),
        plain("reverse", [4, 3, 2, 3], true, true, true),
        plain("reverse, no state", [3, 2, 2, 3], true, false, true),
        plain("one step", [1, 2, 3, 2], true, false, false),
        plain("one of all", [1, 1, 1, 1], true, true, false),
        plain("no sequence", [3, 0, 2, 2], true, true, false),
        plain("no features", [2, 2, 0, 3], true, true, false),
        case("lengths", [4, 3, 2, 3], true, true, attrs(true, true, false, &[4, 1, 2])),
        case("lengths, no state", [3, 2, 2, 3], true, false, attrs(true, false, false, &[2, 3])),
        case("lengths, reverse", [4, 3, 2, 3], true, true, attrs(true, true, true, &[2, 4, 1])),
        case("lengths, reverse, no state", [3, 2, 2, 3], true, false, attrs(true, false, true, &[2, 1])),
        plain("edges", [3, 19, 5, 70], true, true, false).no_gradcheck(),
        plain("edges, reverse", [2, 9, 33, 37], false, false, true).no_gradcheck(),
        plain("deep", [2, 4, 3, 131], true, true, false).no_gradcheck(),
        plain("no step", [0, 2, 3, 2], true, false, false).fails(),
        case("a length too long", [2, 2, 3, 2], true, false, attrs(true, false, false, &[2, 3])).fails(),
        case("a length of 0", [2, 2, 3, 2], true, false, attrs(true, false, false, &[2, 0])).fails(),
        case("a length missing", [2, 2, 3, 2], true, false, attrs(true, false, false, &[2])).fails(),
        plain("a bias missing", [2, 2, 3, 2], false, false, false).attrs(attrs(true, false, false, &[])).fails(),
    ];
    let strange = plain("strange layouts", [4, 3, 2, 3], true, true, false);
    let inputs = strange.inputs.iter().map(|i| match i.shape.len() {
        1 => i.clone().arranged(Arrangement::Strided),
        _ => i.clone().arranged(Arrangement::Transposed),
    });
    list.push(Case { inputs: inputs.collect(), ..strange });
    let mut saturated = plain("saturated", [3, 5, 4, 9], true, true, false).no_gradcheck();
    saturated.inputs[0] = Input::floats(&[3, 5, 4]).fill(Fill::Uniform(-300.0, 300.0));
    list.push(saturated);
    let mut features = plain("features", [2, 2, 3, 2], true, false, false).fails();
    features.inputs[0] = Input::floats(&[2, 2, 4]);
    list.push(features);
    let mut state = plain("a state of another size", [2, 2, 3, 2], true, true, false).fails();
    state.inputs[5] = Input::floats(&[1, 2]);
    list.push(state);
    list
}
