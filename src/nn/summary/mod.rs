//! A table of a model's layers: shapes, parameters, multiply-adds, memory.

mod cost;
mod table;

use rustc_hash::FxHashSet;

use super::EvaluationMode;
use super::calls::{Called, record};
use super::graph::tensors;
use super::{Forward, Module, Part, Visitor};
use crate::autograd::no_grad;
use crate::engine::place::short;
use crate::ops::observe::{Observed, observe};

/// What a model is made of and what a forward pass of it takes, as torchinfo's `summary` tells.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let net = nn::Sequential::new()
///     .add(nn::Conv2d::new(1, 8, 3).padding(1))
///     .add(nn::ReLU)
///     .add(nn::Flatten::new())
///     .add(nn::Linear::new(8 * 28 * 28, 10));
/// let summary = nn::summary(&net, &Tensor::zeros(&[1, 1, 28, 28]));
/// println!("{summary}");
/// # let expected = "
/// // Layer          Output shape    Parameters  Trainable  Mult-adds    Memory
/// // ─────────────────────────────────────────────────────────────────────────
/// // Sequential     [1, 10]             62,810     62,810    119.2 k  301.5 kB
/// // ├─ 0: Conv2d   [1, 8, 28, 28]          80         80    56.45 k  25.41 kB
/// // ├─ 1: ReLU     [1, 8, 28, 28]           0          0          0  25.09 kB
/// // ├─ 2: Flatten  [1, 6272]                0          0          0       0 B
/// // └─ 3: Linear   [1, 10]             62,730     62,730    62.72 k  251.0 kB
/// // ─────────────────────────────────────────────────────────────────────────
/// // 62,810 parameters, all of them trainable
/// // 119.2 k multiply-adds
/// // 304.6 kB: input 3.136 kB, parameters and buffers 251.2 kB, activations 50.22 kB
/// # ";
/// # let expected: Vec<String> = expected.lines().filter_map(|line| line.strip_prefix("// ").map(Into::into)).collect();
/// # assert_eq!(summary.to_string().lines().map(str::trim_end).collect::<Vec<_>>(), expected);
/// # assert_eq!(summary.mult_adds(), 72 * 784 + 62_720);
/// ```
///
/// The rows are the modules, each with what it is made of: `layer1` has the parameters and the work of all its blocks.
/// Shapes and work come from one run on this input, in evaluation mode and without a graph for gradients; all
/// activations are kept while it runs.
///
/// *Multiply-adds* are those of matrix products, linear layers, convolutions, attention and recurrent layers, counted from
/// the operations that really run, whichever module runs them, in a forward pass; two floating-point operations each.
/// Biases, elementwise operations, reductions, normalisations and pooling are not counted, nor what operations of your
/// own do.
///
/// *Memory* is that of parameters, buffers and everything that the operations of the pass write. A training keeps most
/// of the activations for the way back, and has gradients as large as parameters and activations, and the optimiser's state.
///
/// # Panics
/// When the model does not take the input.
#[track_caller]
pub fn summary<M: Forward<In>, In: 'static>(model: &M, input: &In) -> Summary {
    let _restore = EvaluationMode::of(model);
    let ((_, called), operations) = observe(|| record(|| no_grad(|| model.call(input))));
    let mut rows = tree(model);
    rows.iter_mut().for_each(|row| row.take_calls(&called));
    operations.iter().for_each(|operation| take_operation(&mut rows, operation));
    let input_bytes = tensors(input).iter().map(|t| (t.numel() * t.dtype().size()) as u64).sum();
    Summary { rows, input_bytes, max_depth: usize::MAX }
}

/// What [`summary`] found. Its `Display` is the table.
#[derive(Clone, Debug)]
pub struct Summary {
    rows: Vec<SummaryRow>,
    input_bytes: u64,
    max_depth: usize,
}

/// A module, with all that it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummaryRow {
    /// Its path in the model; empty for the model itself.
    pub path: String,
    /// Its type's name, such as `Linear`.
    pub type_name: String,
    /// How many modules are round it.
    pub depth: usize,
    /// How often it was called.
    pub calls: usize,
    /// The shapes of the tensors that its last call gave, as far as its output is known to hold some.
    pub output_shapes: Vec<Vec<usize>>,
    /// Elements of its parameters, a shared one once.
    pub parameters: usize,
    /// Those of parameters that are not frozen.
    pub trainable: usize,
    /// Multiply-adds of a forward pass.
    pub mult_adds: u64,
    /// Bytes of its parameters and buffers.
    pub state_bytes: u64,
    /// Bytes that operations write in a forward pass.
    pub activation_bytes: u64,
}

impl Summary {
    /// The modules, each before those that it is made of.
    pub fn rows(&self) -> &[SummaryRow] {
        &self.rows
    }

    /// Shows only modules that are in at most so many others.
    pub fn depth(mut self, depth: usize) -> Self {
        self.max_depth = depth;
        self
    }

    /// Elements of all parameters.
    pub fn parameters(&self) -> usize {
        self.whole().parameters
    }

    /// Elements of all parameters that are not frozen.
    pub fn trainable(&self) -> usize {
        self.whole().trainable
    }

    /// Multiply-adds of a forward pass: half the floating-point operations.
    pub fn mult_adds(&self) -> u64 {
        self.whole().mult_adds
    }

    /// Bytes of input, parameters, buffers and activations.
    pub fn total_bytes(&self) -> u64 {
        self.input_bytes + self.whole().state_bytes + self.whole().activation_bytes
    }

    /// Bytes of the input.
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    fn whole(&self) -> &SummaryRow {
        &self.rows[0]
    }
}

/// A row for each module, with its parameters and buffers.
fn tree(model: &dyn Module) -> Vec<SummaryRow> {
    let mut rows = vec![SummaryRow::of("", model)];
    model.visit(&mut Visitor::of_modules(&mut |path, module| rows.push(SummaryRow::of(path, module))));
    rows
}

impl SummaryRow {
    fn of(path: &str, module: &dyn Module) -> Self {
        let type_name = short(module.concrete().type_name()).to_string();
        let depth = if path.is_empty() { 0 } else { path.split('.').count() };
        let mut row = SummaryRow { path: path.to_string(), type_name, depth, ..SummaryRow::default() };
        let mut seen = FxHashSet::default();
        module.visit(&mut Visitor::new(&mut |_, part| match part {
            Part::Parameter(p) if seen.insert(p.id()) => {
                row.parameters += p.numel();
                row.trainable += if p.is_requires_grad() { p.numel() } else { 0 };
                row.state_bytes += (p.numel() * p.get().dtype().size()) as u64;
            }
            Part::Buffer(b) => {
                let buffer = b.get();
                row.state_bytes += (buffer.numel() * buffer.dtype().size()) as u64;
            }
            _ => {}
        }));
        row
    }

    fn take_calls(&mut self, called: &[Called]) {
        let own: Vec<&Called> = called.iter().filter(|call| call.path == self.path).collect();
        self.calls = own.len();
        self.output_shapes = own.last().map(|call| call.shapes.clone()).unwrap_or_default();
    }

    fn holds(&self, path: &str) -> bool {
        let below = || path.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('.'));
        self.path.is_empty() || self.path == path || below()
    }
}

/// Adds what an operation takes to the modules that ran it.
fn take_operation(rows: &mut [SummaryRow], operation: &Observed) {
    let (mult_adds, bytes) = (cost::mult_adds(operation), cost::written(operation));
    let path = operation.scopes.last().map_or("", |scope| &scope.path);
    for row in rows.iter_mut().filter(|row| row.holds(path)) {
        row.mult_adds += mult_adds;
        row.activation_bytes += bytes;
    }
}
