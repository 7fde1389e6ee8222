//! Recurrent layers one above the other, in one direction or both, over whole batches.

use super::{gru::GRU, lstm::LSTM, rnn::RNN, run};
use crate::ops::{Operation, Outputs, apply, methods};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The arguments of [`Tensor::lstm`], [`Tensor::gru`] and [`Tensor::rnn_tanh`] besides the tensors. The defaults are those
/// of PyTorch's layers.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentOptions<'a> {
    /// Whether the weights come with biases.
    pub bias: bool,
    /// Layers, each of which takes what the one below gives.
    pub num_layers: usize,
    /// While training, the share of each layer's output that is dropped, but of the last one's.
    pub dropout: f64,
    /// Whether to drop.
    pub training: bool,
    /// Whether each layer also runs from the last step to the first; its output then has both halves side by side.
    pub bidirectional: bool,
    /// Whether input and output are `[N, T, …]` and not `[T, N, …]`.
    pub batch_first: bool,
    /// How many steps of each sequence count, as `pack_padded_sequence` is told: outputs behind them are 0, the last states
    /// are those at each sequence's own end, where the way back begins too.
    pub lengths: Option<&'a [usize]>,
}

impl Default for RecurrentOptions<'_> {
    fn default() -> Self {
        RecurrentOptions {
            bias: true,
            num_layers: 1,
            dropout: 0.0,
            training: false,
            bidirectional: false,
            batch_first: false,
            lengths: None,
        }
    }
}

/// What a stack of layers gives: the output, and the last state (and cell) of every layer and direction.
struct Run {
    output: Tensor,
    states: Vec<Tensor>,
}

/// Runs all layers. `states` holds the first states, `[layers·directions, N, hidden]` each.
fn run_layers(
    operation: &'static Operation,
    x: &Tensor,
    states: &[&Tensor],
    weights: &[Tensor],
    options: &RecurrentOptions<'_>,
    relu: bool,
) -> Result<Run> {
    let op = operation.name;
    let directions = 1 + usize::from(options.bidirectional);
    let of_layer = 2 + 2 * usize::from(options.bias);
    let runs = options.num_layers * directions;
    if options.num_layers == 0 || weights.len() != runs * of_layer {
        let detail = format!(
            "{} layers in {directions} direction(s) need {} weights, got {}",
            options.num_layers,
            runs * of_layer,
            weights.len()
        );
        return Err(Error::argument(op, detail));
    }
    if !matches!(x.dim(), 2 | 3) {
        return Err(Error::shape(op, format!("the input needs 3 dims (or 2 without a batch), it has {:?}", x.shape())));
    }
    let batched = x.dim() == 3;
    // Time-major inside, whatever it is outside: a view.
    let batch_dim = i64::from(!options.batch_first);
    let time_major = |x: &Tensor| if options.batch_first { x.try_transpose(0, 1) } else { Ok(x.clone()) };
    let mut x = time_major(&if batched { x.clone() } else { x.try_unsqueeze(batch_dim)? })?;
    let states = first_states(op, states, runs, batched)?;
    let mut last: Vec<Vec<Tensor>> = Vec::new();
    for layer in 0..options.num_layers {
        let mut halves = Vec::with_capacity(directions);
        for direction in 0..directions {
            let i = layer * directions + direction;
            let own = states.iter().map(|s| s.try_select(0, i as i64)).collect::<Result<Vec<_>>>()?;
            let weights = &weights[i * of_layer..(i + 1) * of_layer];
            let tensors: Vec<&Tensor> = std::iter::once(&x).chain(weights).chain(&own).collect();
            let attrs = run::attrs(options.bias, !own.is_empty(), direction == 1, options.lengths.unwrap_or(&[]));
            let attrs = if relu { run::with_relu(attrs) } else { attrs };
            let mut outputs: Outputs = apply(operation, &tensors, attrs)?;
            last.push(outputs.drain(1..).collect());
            halves.push(outputs.pop().expect("a layer has an output"));
        }
        x = if let [one] = &halves[..] { one.clone() } else { Tensor::try_cat(&halves.iter().collect::<Vec<_>>(), 2)? };
        if layer + 1 < options.num_layers {
            x = x.try_dropout(options.dropout, options.training)?;
        }
    }
    let mut output = time_major(&x)?;
    if !batched {
        output = output.try_squeeze_dim(batch_dim)?;
    }
    let kinds = last[0].len();
    let states = (0..kinds).map(|kind| stacked(last.iter().map(|own| &own[kind]).collect(), batched));
    Ok(Run { output, states: states.collect::<Result<_>>()? })
}

/// The last states of all layers and directions, as `[layers·directions, N, hidden]`.
fn stacked(states: Vec<&Tensor>, batched: bool) -> Result<Tensor> {
    // One needs no copy.
    let all = if let [one] = &states[..] { one.try_unsqueeze(0)? } else { Tensor::try_stack(&states, 0)? };
    if batched { Ok(all) } else { all.try_squeeze_dim(1) }
}

fn first_states(op: &'static str, states: &[&Tensor], runs: usize, batched: bool) -> Result<Vec<Tensor>> {
    let prepare = |state: &&Tensor| {
        let dims = if batched { 3 } else { 2 };
        if state.dim() != dims || state.shape()[0] != runs {
            let detail = format!(
                "the first state needs {dims} dims, of which the first is {runs} (layers times directions), it has shape {:?}",
                state.shape()
            );
            return Err(Error::shape(op, detail));
        }
        if batched { Ok((*state).clone()) } else { state.try_unsqueeze(1) }
    };
    states.iter().map(prepare).collect()
}

/// Output and last state of a kind that has no cell.
fn two(run: Run) -> Result<(Tensor, Tensor)> {
    let mut states = run.states.into_iter();
    Ok((run.output, states.next().expect("there is a last state")))
}

methods! {
    /// Layers of an LSTM over this input `[T, N, in]`, or `[T, in]` without a batch; gives the output `[T, N, hidden]`, and
    /// the last states and cells `[layers·directions, N, hidden]`.
    ///
    /// `state` holds the first states and cells, which else are 0. `weights` are, layer by layer and in each layer the one
    /// direction after the other, `weight_ih [4·hidden, in]`, `weight_hh [4·hidden, hidden]`, `bias_ih` and `bias_hh
    /// [4·hidden]`; the gates are i, f, g, o. [`crate::nn::LSTM`] holds them.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html>
    ///
    /// ```
    /// use lumigrad::{RecurrentOptions, prelude::*};
    /// let weights = [Tensor::zeros(&[8, 3]), Tensor::zeros(&[8, 2]), Tensor::zeros(&[8]), Tensor::zeros(&[8])];
    /// let (y, h, c) = Tensor::ones(&[5, 1, 3]).lstm(None, &weights, &RecurrentOptions::default());
    /// assert_eq!((y.shape(), h.shape(), c.shape()), (&[5, 1, 2][..], &[1, 1, 2][..], &[1, 1, 2][..]));
    /// ```
    ///
    /// # Panics
    /// When the shapes or the number of weights do not fit.
    pub fn lstm / try_lstm (
        &self, state: Option<(&Tensor, &Tensor)>, weights: &[Tensor], options: &RecurrentOptions<'_>,
    ) -> (Tensor, Tensor, Tensor) {
        let states = state.map_or(vec![], |(h, c)| vec![h, c]);
        let run = run_layers(&LSTM, self, &states, weights, options, false)?;
        let mut states = run.states.into_iter();
        let mut next = || states.next().expect("there are a last state and a last cell");
        Ok((run.output, next(), next()))
    }

    /// Layers of a GRU, as [`Self::lstm`], with `[3·hidden, …]` for the gates r, z, n, and no cell.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.GRU.html>
    ///
    /// # Panics
    /// When the shapes or the number of weights do not fit.
    pub fn gru / try_gru (
        &self, state: Option<&Tensor>, weights: &[Tensor], options: &RecurrentOptions<'_>,
    ) -> (Tensor, Tensor) {
        let states = state.map_or(vec![], |h| vec![h]);
        two(run_layers(&GRU, self, &states, weights, options, false)?)
    }

    /// Layers of simple recurrent units with tanh, as [`Self::lstm`], with `[hidden, …]` for the weights, and no cell.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.RNN.html>
    ///
    /// # Panics
    /// When the shapes or the number of weights do not fit.
    pub fn rnn_tanh / try_rnn_tanh (
        &self, state: Option<&Tensor>, weights: &[Tensor], options: &RecurrentOptions<'_>,
    ) -> (Tensor, Tensor) {
        let states = state.map_or(vec![], |h| vec![h]);
        two(run_layers(&RNN, self, &states, weights, options, false)?)
    }

    /// [`Self::rnn_tanh`] with relu in tanh's place.
    ///
    /// # Panics
    /// When the shapes or the number of weights do not fit.
    pub fn rnn_relu / try_rnn_relu (
        &self, state: Option<&Tensor>, weights: &[Tensor], options: &RecurrentOptions<'_>,
    ) -> (Tensor, Tensor) {
        let states = state.map_or(vec![], |h| vec![h]);
        two(run_layers(&RNN, self, &states, weights, options, true)?)
    }
}
