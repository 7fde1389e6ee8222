//! Single steps.

use super::{RnnNonlinearity, Weights};
use crate::RecurrentOptions;
use crate::nn::{Forward, Module, Parameter};
use crate::tensor::Tensor;

macro_rules! recurrent_cell {
    ($(#[$meta:meta])* $name:ident, gates: $gates:literal, state: $state:ty, output: $output:ty) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            /// What the input is multiplied with.
            pub weight_ih: Parameter,
            /// What the state is multiplied with.
            pub weight_hh: Parameter,
            /// What is added to the input's product.
            pub bias_ih: Option<Parameter>,
            /// What is added to the state's product.
            pub bias_hh: Option<Parameter>,
            #[module(skip)]
            sizes: (usize, usize),
            #[module(skip)]
            nonlinearity: RnnNonlinearity,
        }

        impl $name {
            /// A cell with biases, on the current device; all parameters are uniform in ±1/√hidden_size.
            ///
            /// # Panics
            /// When `hidden_size` is 0.
            #[track_caller]
            pub fn new(input_size: usize, hidden_size: usize) -> $name {
                Self::of(Weights::new($gates, input_size, hidden_size).parameters, (input_size, hidden_size))
            }

            fn of(parameters: Vec<Parameter>, sizes: (usize, usize)) -> $name {
                let mut all = parameters.into_iter();
                let mut next = || all.next().expect("a layer has four parameters");
                let (weight_ih, weight_hh, bias_ih, bias_hh) = (next(), next(), Some(next()), Some(next()));
                let nonlinearity = RnnNonlinearity::Tanh;
                $name { weight_ih, weight_hh, bias_ih, bias_hh, sizes, nonlinearity }
            }

            /// With biases or without. Makes the parameters anew.
            #[track_caller]
            pub fn bias(self, bias: bool) -> $name {
                let weight = self.weight_ih.get();
                let weights = Weights::on($gates, self.sizes.0, self.sizes.1, weight.device());
                let new = $name { nonlinearity: self.nonlinearity, ..Self::of(weights.parameters, self.sizes) };
                if bias { new } else { $name { bias_ih: None, bias_hh: None, ..new } }
            }

            fn weights(&self) -> Vec<Tensor> {
                let biases = [&self.bias_ih, &self.bias_hh].into_iter().flatten();
                [&self.weight_ih, &self.weight_hh].into_iter().chain(biases).map(Parameter::get).collect()
            }

            fn options(&self) -> RecurrentOptions<'static> {
                RecurrentOptions { bias: self.bias_ih.is_some(), ..RecurrentOptions::default() }
            }
        }

        impl Forward for $name {
            type Output = $output;

            /// From a state of 0: `[N, input_size]`, or `[input_size]` without a batch.
            #[track_caller]
            fn forward(&self, x: &Tensor) -> $output {
                self.step(x, None)
            }
        }

        impl Forward<(Tensor, $state)> for $name {
            type Output = $output;

            #[track_caller]
            fn forward(&self, (x, state): &(Tensor, $state)) -> $output {
                self.step(x, Some(state))
            }
        }
    };
}

/// One step as a sequence of length 1.
#[track_caller]
fn sequence(x: &Tensor) -> Tensor {
    x.unsqueeze(0)
}

recurrent_cell! {
    /// One step of an LSTM: the input `[N, input_size]` and perhaps the state and cell `[N, hidden_size]`, which else are 0,
    /// give the next state and cell. <https://pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let cell = nn::LSTMCell::new(4, 6);
    /// let (h, c) = cell.call(&Tensor::zeros(&[3, 4]));
    /// let (h, c) = cell.call(&(Tensor::zeros(&[3, 4]), (h, c)));
    /// assert_eq!((h.shape(), c.shape()), (&[3, 6][..], &[3, 6][..]));
    /// ```
    LSTMCell, gates: 4, state: (Tensor, Tensor), output: (Tensor, Tensor)
}

impl LSTMCell {
    #[track_caller]
    fn step(&self, x: &Tensor, state: Option<&(Tensor, Tensor)>) -> (Tensor, Tensor) {
        let state = state.map(|(h, c)| (sequence(h), sequence(c)));
        let state = state.as_ref().map(|(h, c)| (h, c));
        let (_, h, c) = sequence(x).lstm(state, &self.weights(), &self.options());
        (h.squeeze_dim(0), c.squeeze_dim(0))
    }
}

recurrent_cell! {
    /// One step of a GRU: the input `[N, input_size]` and perhaps the state `[N, hidden_size]`, which else is 0, give the
    /// next state. <https://pytorch.org/docs/stable/generated/torch.nn.GRUCell.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let cell = nn::GRUCell::new(4, 6);
    /// let h = cell.call(&(Tensor::zeros(&[3, 4]), Tensor::zeros(&[3, 6])));
    /// assert_eq!(h.shape(), [3, 6]);
    /// ```
    GRUCell, gates: 3, state: Tensor, output: Tensor
}

impl GRUCell {
    #[track_caller]
    fn step(&self, x: &Tensor, state: Option<&Tensor>) -> Tensor {
        let state = state.map(sequence);
        sequence(x).gru(state.as_ref(), &self.weights(), &self.options()).1.squeeze_dim(0)
    }
}

recurrent_cell! {
    /// One step of a simple recurrent unit: the input `[N, input_size]` and perhaps the state `[N, hidden_size]`, which else
    /// is 0, give the next state. <https://pytorch.org/docs/stable/generated/torch.nn.RNNCell.html>
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let cell = nn::RNNCell::new(4, 6).nonlinearity(nn::RnnNonlinearity::Relu);
    /// assert_eq!(cell.call(&Tensor::zeros(&[4])).shape(), [6]);
    /// ```
    RNNCell, gates: 1, state: Tensor, output: Tensor
}

impl RNNCell {
    /// Relu in tanh's place.
    pub fn nonlinearity(mut self, nonlinearity: RnnNonlinearity) -> RNNCell {
        self.nonlinearity = nonlinearity;
        self
    }

    #[track_caller]
    fn step(&self, x: &Tensor, state: Option<&Tensor>) -> Tensor {
        let (x, state, options) = (sequence(x), state.map(sequence), self.options());
        let run = match self.nonlinearity {
            RnnNonlinearity::Tanh => x.rnn_tanh(state.as_ref(), &self.weights(), &options),
            RnnNonlinearity::Relu => x.rnn_relu(state.as_ref(), &self.weights(), &options),
        };
        run.1.squeeze_dim(0)
    }
}
