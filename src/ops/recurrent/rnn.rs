//! A layer of simple recurrent units, `h' = tanh(W_ih·x + b_ih + W_hh·h + b_hh)`, or relu in tanh's place. With d the
//! gradient of h', what went into tanh has `d·(1 − h'²)`, and into relu d where h' is positive.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.RNN.html>

use super::{Cell, StepParams, backward, forward, size, step_kernels};
use crate::Result;
use crate::engine::{Binding, HostCall};
use crate::ops::{Operation, cases};

static CELL: Cell = Cell {
    gates: 1,
    gradients: 1,
    has_cell: false,
    saves_apart: false,
    carries: false,
    forward: step_kernels!(
        "rnn",
        "forward",
        &[
            Binding::Read("weight"),
            Binding::Read("bias"),
            Binding::Read("lengths"),
            Binding::Read("inputs"),
            Binding::ReadWrite("states"),
        ],
        1,
        4,
        step_twin
    ),
    backward: step_kernels!(
        "rnn_backward",
        "backward",
        &[
            Binding::Read("weight"),
            Binding::Read("lengths"),
            Binding::Read("dy"),
            Binding::Read("dh"),
            Binding::ReadWrite("d_gates"),
            Binding::Read("states"),
        ],
        1,
        4,
        backward_twin
    ),
};

/// `magnitude`: with what the errors are measured by in the place of each result. Neither function is steeper than 1.
fn step_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &StepParams = call.params();
    let (inputs, mut states) = (call.floats(3), call.floats_mut(4));
    for (row, unit) in p.places() {
        let mut h = if p.has_state == 0 { 0.0 } else { states[p.state_at(p.before, row, unit)] };
        if p.is_running(call, 2, row) {
            let size = size(magnitude);
            let a = size(inputs[p.state_at(p.step, row, unit)]) + p.recurrent(call, &states, 0, (row, unit), size);
            h = match (magnitude, p.relu != 0) {
                (true, _) => a + 1.0,
                (false, true) => {
                    if a < 0.0 {
                        0.0
                    } else {
                        a
                    }
                }
                (false, false) => a.tanh(),
            };
        }
        states[p.state_at(p.after, row, unit)] = h;
    }
    Ok(())
}

fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &StepParams = call.params();
    let (mut d_gates, states) = (call.floats_mut(4), call.floats(5));
    for (row, unit) in p.places() {
        let mut d = 0.0;
        if p.is_running(call, 1, row) {
            let h = states[p.state_at(p.after, row, unit)];
            d = p.state_gradient(call, &d_gates, (1, |k, _| k), (row, unit), size(magnitude));
            d *= match (magnitude, p.relu != 0) {
                (true, _) => 1.0,
                (false, true) => {
                    if h > 0.0 || h.is_nan() {
                        1.0
                    } else {
                        0.0
                    }
                }
                (false, false) => 1.0 - h * h,
            };
        }
        d_gates[p.state_at(p.step, row, unit)] = d;
    }
    Ok(())
}

/// The operation `rnn`: inputs `x [T, N, in]`, both weights, perhaps both biases, perhaps the first state `[N, hidden]`;
/// outputs the states of all steps and the last state.
pub(crate) static RNN: Operation = Operation {
    name: "rnn",
    kernels: &[CELL.forward.blocks, CELL.forward.octets, CELL.backward.blocks, CELL.backward.octets],
    forward: |call| forward(call, &CELL),
    vjp: Some(|v| backward(v, &CELL)),
    cases: rnn_cases,
};

fn rnn_cases() -> Vec<cases::Case> {
    let mut list = super::run::layer_cases(1, 1);
    // Weights and inputs as they are would leave relu's kink within a difference's reach: positive ones stay away from it.
    let positive = |case: cases::Case| {
        let inputs = case.inputs.into_iter().map(|i| i.fill(cases::Fill::Uniform(0.1, 0.6))).collect();
        cases::Case { name: format!("relu, {}", case.name), inputs, attrs: case.attrs, ..case }
    };
    let relu: Vec<_> = super::run::layer_cases(1, 1)
        .into_iter()
        .filter(|c| !c.fails)
        .map(positive)
        .map(|c| cases::Case { attrs: super::run::with_relu(c.attrs), inputs: c.inputs, name: c.name, ..c })
        .collect();
    list.extend(relu);
    list
}
