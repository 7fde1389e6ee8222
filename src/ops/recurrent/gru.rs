//! A layer of a GRU. With the parts of `W_ih·x + b_ih` and `W_hh·h + b_hh` in the order r, z, n, and q the last part of the
//! second:
//!
//! `r, z = σ(… + …)`, `n = tanh(… + r·q)`, `h' = (1 − z)·n + z·h`.
//!
//! With d the gradient of h', what went into the gates has `e·q·r(1−r)`, `d·(h − n)·z(1−z)` and `e = d·(1−z)·(1−n²)`; q has
//! `e·r`, and h has `d·z`.
//!
//! Cho et al. 2014, with PyTorch's order of the reset gate: <https://pytorch.org/docs/stable/generated/torch.nn.GRU.html>

use super::{Cell, StepParams, backward, forward, size, step_kernels};
use crate::Result;
use crate::engine::{Binding, HostCall};
use crate::ops::Operation;
use crate::ops::elementwise::sigmoid::logistic;

static CELL: Cell = Cell {
    gates: 3,
    gradients: 4,
    has_cell: false,
    saves_apart: true,
    carries: true,
    forward: step_kernels!(
        "gru",
        "forward",
        &[
            Binding::Read("weight"),
            Binding::Read("bias"),
            Binding::Read("lengths"),
            Binding::Read("inputs"),
            Binding::ReadWrite("gates"),
            Binding::ReadWrite("states"),
        ],
        3,
        1,
        step_twin
    ),
    backward: step_kernels!(
        "gru_backward",
        "backward",
        &[
            Binding::Read("weight"),
            Binding::Read("lengths"),
            Binding::Read("dy"),
            Binding::Read("dh"),
            Binding::ReadWrite("d_gates"),
            Binding::Read("gates"),
            Binding::Read("states"),
            Binding::ReadWrite("carry"),
        ],
        3,
        4,
        backward_twin
    ),
};

/// `magnitude`: with what the errors are measured by in the place of each result. Gates are no larger than 1 and no steeper
/// than what goes into them, so their errors are those of their arguments and of themselves.
fn step_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &StepParams = call.params();
    let (inputs, mut gates, mut states) = (call.floats(3), call.floats_mut(4), call.floats_mut(5));
    let hidden = p.hidden as usize;
    let size = size(magnitude);
    for (row, unit) in p.places() {
        let mut h = if p.has_state == 0 { 0.0 } else { states[p.state_at(p.before, row, unit)] };
        if p.is_running(call, 2, row) {
            let from = p.row_at(p.step, row, 3 * hidden) + unit;
            let input = |gate| size(inputs[from + gate * hidden]);
            let recurrent = |gate| p.recurrent(call, &states, gate, (row, unit), size);
            let (r, z, q) = (input(0) + recurrent(0), input(1) + recurrent(1), recurrent(2));
            let all = if magnitude {
                // The reset gate's error is multiplied by q, and q's by a reset gate of at most 1.
                let (r, z) = (r + 1.0, z + 1.0);
                let n = input(2) + r * q + q + 1.0;
                h = n + z * (2.0 + h.abs());
                [r, z, n, q]
            } else {
                let (r, z) = (logistic(r), logistic(z));
                let n = (input(2) + r * q).tanh();
                h = (1.0 - z) * n + z * h;
                [r, z, n, q]
            };
            let at = p.row_at(p.step, row, 4 * hidden) + unit;
            all.into_iter().enumerate().for_each(|(gate, v)| gates[at + gate * hidden] = v);
        }
        states[p.state_at(p.after, row, unit)] = h;
    }
    Ok(())
}

/// `magnitude`: slopes count as 1, since `1 − z` and `1 − n²` round to an ulp of 1.
fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &StepParams = call.params();
    let (mut d_gates, gates, states, mut carry) =
        (call.floats_mut(4), call.floats(5), call.floats(6), call.floats_mut(7));
    let hidden = p.hidden as usize;
    let size = size(magnitude);
    let slope = |slope: f64| if magnitude { 1.0 } else { slope };
    // The third of the state's gates lies fourth.
    let column = |k: usize, hidden: usize| if k < 2 * hidden { k } else { k + hidden };
    for (row, unit) in p.places() {
        let at = p.row_at(p.step, row, 4 * hidden) + unit;
        let mut d_gate = [0.0; 4];
        if p.is_running(call, 1, row) {
            let own = &mut carry[row * hidden + unit];
            let [r, z, n, q] = [0, 1, 2, 3].map(|gate| size(gates[at + gate * hidden]));
            let h = if p.has_state == 0 { 0.0 } else { size(states[p.state_at(p.before, row, unit)]) };
            let past = if p.is_last(call, 1, row) { 0.0 } else { size(*own) };
            let d = p.state_gradient(call, &d_gates, (4, column), (row, unit), size) + past;
            let e = d * slope(1.0 - z) * slope(1.0 - n * n);
            let dz = d * if magnitude { h + n } else { h - n };
            d_gate = [e * q * r * slope(1.0 - r), dz * z * slope(1.0 - z), e, e * r];
            *own = d * z;
        }
        d_gate.into_iter().enumerate().for_each(|(gate, d)| d_gates[at + gate * hidden] = d);
    }
    Ok(())
}

/// The operation `gru`: inputs `x [T, N, in]`, both weights, perhaps both biases, perhaps the first state `[N, hidden]`;
/// outputs the states of all steps and the last state.
pub(crate) static GRU: Operation = Operation {
    name: "gru",
    kernels: &[CELL.forward.blocks, CELL.forward.octets, CELL.backward.blocks, CELL.backward.octets],
    forward: |call| forward(call, &CELL),
    vjp: Some(|v| backward(v, &CELL)),
    cases: || super::run::layer_cases(3, 1),
};
