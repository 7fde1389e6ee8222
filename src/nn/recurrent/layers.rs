//! Layers over whole sequences.

use super::{PackedSequence, RnnNonlinearity, Weights};
use crate::RecurrentOptions;
use crate::nn::dropout::check_dropout;
use crate::nn::{Forward, Module, Part, Training, Visitor};
use crate::tensor::Tensor;

/// What all three layers have: parameters, options, and the walk over them.
macro_rules! recurrent_layer {
    ($(#[$meta:meta])* $name:ident, gates: $gates:literal, state: $state:ty) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            weights: Weights,
            batch_first: bool,
            dropout: f64,
            training: Training,
        }

        impl $name {
            /// One layer with biases, from the first step to the last, time-major, on the current device.
            ///
            /// # Panics
            /// When `hidden_size` is 0.
            #[track_caller]
            pub fn new(input_size: usize, hidden_size: usize) -> $name {
                $name {
                    weights: Weights::new($gates, input_size, hidden_size),
                    batch_first: false,
                    dropout: 0.0,
                    training: Training::new(),
                }
            }

            /// So many layers, each over the output of the one below. Makes the parameters anew.
            #[track_caller]
            pub fn num_layers(mut self, num_layers: usize) -> $name {
                self.weights = Weights { num_layers, ..self.weights }.remade();
                self
            }

            /// With biases or without. Makes the parameters anew.
            #[track_caller]
            pub fn bias(mut self, bias: bool) -> $name {
                self.weights = Weights { bias, ..self.weights }.remade();
                self
            }

            /// Also from the last step to the first; the output has both halves side by side. Makes the parameters anew.
            #[track_caller]
            pub fn bidirectional(mut self, bidirectional: bool) -> $name {
                self.weights = Weights { bidirectional, ..self.weights }.remade();
                self
            }

            /// Input and output as `[N, T, …]` and not `[T, N, …]`. States stay as they are.
            pub fn batch_first(mut self, batch_first: bool) -> $name {
                self.batch_first = batch_first;
                self
            }

            /// While training, the share of each layer's output that is dropped, but of the last one's.
            ///
            /// # Panics
            /// When it does not lie between 0 and 1.
            #[track_caller]
            pub fn dropout(mut self, dropout: f64) -> $name {
                check_dropout(stringify!($name), dropout);
                self.dropout = dropout;
                self
            }

            /// The size of a step of the input.
            pub fn input_size(&self) -> usize {
                self.weights.input_size
            }

            /// Units of a layer in one direction.
            pub fn hidden_size(&self) -> usize {
                self.weights.hidden_size
            }

            #[track_caller]
            fn run(
                &self,
                x: &Tensor,
                state: Option<&$state>,
                (batch_first, lengths): (bool, Option<&[usize]>),
            ) -> (Tensor, $state) {
                let options = RecurrentOptions {
                    dropout: self.dropout,
                    training: self.training.is_training(),
                    batch_first,
                    lengths,
                    ..self.weights.options()
                };
                self.run_with(x, state, &options)
            }
        }

        impl Module for $name {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                self.weights.visit(visitor);
                visitor.part(Part::Training(&self.training));
            }
        }

        impl Forward for $name {
            type Output = (Tensor, $state);

            /// From a state of 0.
            ///
            /// # Panics
            /// When the last dim of `x` is not `input_size`.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> (Tensor, $state) {
                self.run(x, None, (self.batch_first, None))
            }
        }

        impl Forward<(Tensor, $state)> for $name {
            type Output = (Tensor, $state);

            /// # Panics
            /// When the input and the state do not fit the layer.
            #[track_caller]
            fn forward(&self, (x, state): &(Tensor, $state)) -> (Tensor, $state) {
                self.run(x, Some(state), (self.batch_first, None))
            }
        }

        impl Forward<PackedSequence> for $name {
            type Output = (PackedSequence, $state);

            /// From a state of 0, each sequence to its own end.
            #[track_caller]
            fn forward(&self, packed: &PackedSequence) -> (PackedSequence, $state) {
                let (y, state) = self.run(packed.data(), None, packed.layout());
                (packed.with_data(y), state)
            }
        }

        impl Forward<(PackedSequence, $state)> for $name {
            type Output = (PackedSequence, $state);

            #[track_caller]
            fn forward(&self, (packed, state): &(PackedSequence, $state)) -> (PackedSequence, $state) {
                let (y, state) = self.run(packed.data(), Some(state), packed.layout());
                (packed.with_data(y), state)
            }
        }
    };
}

recurrent_layer! {
    /// Layers of an LSTM over sequences `[T, N, input_size]`, or `[T, input_size]` without a batch; see [`Tensor::lstm`].
    ///
    /// Gives the output `[T, N, hidden_size]` (twice as wide in both directions) and the last states and cells
    /// `[layers·directions, N, hidden_size]`. The input may come with first states and cells, and as a
    /// [`PackedSequence`] of different lengths. The parameters are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`,
    /// `bias_hh_l0`, `weight_ih_l0_reverse` and so on, all uniform in ±1/√hidden_size at first.
    /// <https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let lstm = nn::LSTM::new(28, 64).num_layers(2).batch_first(true);
    /// let (output, (h, c)) = lstm.call(&Tensor::zeros(&[16, 10, 28]));
    /// assert_eq!((output.shape(), h.shape(), c.shape()), (&[16, 10, 64][..], &[2, 16, 64][..], &[2, 16, 64][..]));
    /// // On from where it stopped.
    /// let (output, _) = lstm.call(&(Tensor::zeros(&[16, 3, 28]), (h, c)));
    /// assert_eq!(output.shape(), [16, 3, 64]);
    /// ```
    LSTM, gates: 4, state: (Tensor, Tensor)
}

impl LSTM {
    #[track_caller]
    fn run_with(
        &self,
        x: &Tensor,
        state: Option<&(Tensor, Tensor)>,
        options: &RecurrentOptions<'_>,
    ) -> (Tensor, (Tensor, Tensor)) {
        let (y, h, c) = x.lstm(state.map(|(h, c)| (h, c)), &self.weights.tensors(), options);
        (y, (h, c))
    }
}

recurrent_layer! {
    /// Layers of a GRU, as [`LSTM`] but without a cell: the state is one tensor. See [`Tensor::gru`].
    /// <https://pytorch.org/docs/stable/generated/torch.nn.GRU.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let gru = nn::GRU::new(8, 16).bidirectional(true);
    /// let (output, h) = gru.call(&Tensor::zeros(&[5, 3, 8]));
    /// assert_eq!((output.shape(), h.shape()), (&[5, 3, 32][..], &[2, 3, 16][..]));
    /// ```
    GRU, gates: 3, state: Tensor
}

impl GRU {
    #[track_caller]
    fn run_with(&self, x: &Tensor, state: Option<&Tensor>, options: &RecurrentOptions<'_>) -> (Tensor, Tensor) {
        x.gru(state, &self.weights.tensors(), options)
    }
}

recurrent_layer! {
    /// Layers of simple recurrent units, as [`LSTM`] but without gates and cell: the state is one tensor. See
    /// [`Tensor::rnn_tanh`]. <https://pytorch.org/docs/stable/generated/torch.nn.RNN.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let rnn = nn::RNN::new(8, 16).nonlinearity(nn::RnnNonlinearity::Relu);
    /// let (output, h) = rnn.call(&Tensor::zeros(&[5, 8]));
    /// assert_eq!((output.shape(), h.shape()), (&[5, 16][..], &[1, 16][..]));
    /// ```
    RNN, gates: 1, state: Tensor
}

impl RNN {
    /// Relu in tanh's place.
    pub fn nonlinearity(mut self, nonlinearity: RnnNonlinearity) -> RNN {
        self.weights.nonlinearity = nonlinearity;
        self
    }

    #[track_caller]
    fn run_with(&self, x: &Tensor, state: Option<&Tensor>, options: &RecurrentOptions<'_>) -> (Tensor, Tensor) {
        match self.weights.nonlinearity {
            RnnNonlinearity::Tanh => x.rnn_tanh(state, &self.weights.tensors(), options),
            RnnNonlinearity::Relu => x.rnn_relu(state, &self.weights.tensors(), options),
        }
    }
}
