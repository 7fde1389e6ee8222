//! A layer of an LSTM. With the gates `i, f, o = σ(…)` and `g = tanh(…)` of `W_ih·x + b_ih + W_hh·h + b_hh`, in the order
//! i, f, g, o:
//!
//! `c' = f·c + i·g`, `h' = o·tanh(c')`.
//!
//! With d the gradient of h', that of c' gets `d·o·(1 − tanh²c')` from it; call it e. What went into the gates has
//! `e·g·i(1−i)`, `e·c·f(1−f)`, `e·i·(1−g²)`, `d·tanh(c')·o(1−o)`, and c has `e·f`.
//!
//! Hochreiter, Schmidhuber 1997; <https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html>

use super::{Cell, StepParams, backward, forward, size, step_kernels};
use crate::Result;
use crate::engine::{Binding, HostCall};
use crate::ops::Operation;
use crate::ops::elementwise::sigmoid::logistic;

static CELL: Cell = Cell {
    gates: 4,
    gradients: 4,
    has_cell: true,
    saves_apart: false,
    carries: true,
    forward: step_kernels!(
        "lstm",
        "forward",
        &[
            Binding::Read("weight"),
            Binding::Read("bias"),
            Binding::Read("lengths"),
            Binding::ReadWrite("gates"),
            Binding::ReadWrite("states"),
            Binding::ReadWrite("cells"),
        ],
        4,
        1,
        step_twin
    ),
    backward: step_kernels!(
        "lstm_backward",
        "backward",
        &[
            Binding::Read("weight"),
            Binding::Read("lengths"),
            Binding::Read("dy"),
            Binding::Read("dh"),
            Binding::ReadWrite("d_gates"),
            Binding::Read("gates"),
            Binding::Read("cells"),
            Binding::ReadWrite("carry"),
        ],
        4,
        4,
        backward_twin
    ),
};

/// `magnitude`: with what the errors are measured by in the place of each result. A gate is no larger than 1 and no steeper
/// than what goes into it, so its error is that of its argument and of itself.
fn step_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &StepParams = call.params();
    let (mut gates, mut states, mut cells) = (call.floats_mut(3), call.floats_mut(4), call.floats_mut(5));
    let hidden = p.hidden as usize;
    for (row, unit) in p.places() {
        let before = p.state_at(p.before, row, unit);
        let (mut h, mut c) = if p.has_state == 0 { (0.0, 0.0) } else { (states[before], cells[before]) };
        if p.is_running(call, 2, row) {
            let at = p.row_at(p.step, row, 4 * hidden) + unit;
            let size = size(magnitude);
            let argument = |gate| size(gates[at + gate * hidden]) + p.recurrent(call, &states, gate, (row, unit), size);
            let arguments = [argument(0), argument(1), argument(2), argument(3)];
            let [i, f, g, o] = if magnitude {
                arguments.map(|a| a + 1.0)
            } else {
                let [i, f, g, o] = arguments;
                [logistic(i), logistic(f), g.tanh(), logistic(o)]
            };
            [i, f, g, o].into_iter().enumerate().for_each(|(gate, v)| gates[at + gate * hidden] = v);
            (c, h) = if magnitude {
                let c = f * c.abs() + i + g;
                (c, o + c)
            } else {
                let c = f * c + i * g;
                (c, o * c.tanh())
            };
        }
        let after = p.state_at(p.after, row, unit);
        (states[after], cells[after]) = (h, c);
    }
    Ok(())
}

/// `magnitude`: slopes count as 1, since `1 − i` and `1 − g²` round to an ulp of 1.
fn backward_twin(call: &HostCall<'_>, magnitude: bool) -> Result<()> {
    let p: &StepParams = call.params();
    let (mut d_gates, gates, cells, mut carry) =
        (call.floats_mut(4), call.floats(5), call.floats(6), call.floats_mut(7));
    let hidden = p.hidden as usize;
    let size = size(magnitude);
    let slope = |slope: f64| if magnitude { 1.0 } else { slope };
    for (row, unit) in p.places() {
        let at = p.row_at(p.step, row, 4 * hidden) + unit;
        let mut d_gate = [0.0; 4];
        if p.is_running(call, 1, row) {
            let own = &mut carry[row * hidden + unit];
            let dc = if p.has_dc != 0 || !p.is_last(call, 1, row) { size(*own) } else { 0.0 };
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| size(gates[at + gate * hidden]));
            let c_before = if p.has_state == 0 { 0.0 } else { size(cells[p.state_at(p.before, row, unit)]) };
            let t = size(cells[p.state_at(p.after, row, unit)]).tanh();
            let d = p.state_gradient(call, &d_gates, (4, |k, _| k), (row, unit), size);
            let e = dc + d * o * slope(1.0 - t * t);
            d_gate = [
                e * g * i * slope(1.0 - i),
                e * c_before * f * slope(1.0 - f),
                e * i * slope(1.0 - g * g),
                d * t * o * slope(1.0 - o),
            ];
            *own = e * f;
        }
        d_gate.into_iter().enumerate().for_each(|(gate, d)| d_gates[at + gate * hidden] = d);
    }
    Ok(())
}

/// The operation `lstm`: inputs `x [T, N, in]`, both weights, perhaps both biases, perhaps the first state and cell
/// `[N, hidden]`; outputs the states of all steps, the last state and the last cell.
pub(crate) static LSTM: Operation = Operation {
    name: "lstm",
    kernels: &[CELL.forward.blocks, CELL.forward.octets, CELL.backward.blocks, CELL.backward.octets],
    forward: |call| forward(call, &CELL),
    vjp: Some(|v| backward(v, &CELL)),
    cases: || super::run::layer_cases(4, 2),
};
