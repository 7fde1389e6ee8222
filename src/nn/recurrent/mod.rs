//! Recurrent layers and their cells.

mod cells;
mod layers;
mod packed;

pub use cells::{GRUCell, LSTMCell, RNNCell};
pub use layers::{GRU, LSTM, RNN};
pub use packed::{
    PackedSequence, PadPackedSequenceOptions, pack_padded_sequence, pad_packed_sequence, pad_packed_sequence_with,
};

use super::{Module, Parameter, Visitor};
use crate::RecurrentOptions;
use crate::engine::Device;
use crate::tensor::Tensor;

/// The function of a simple recurrent layer: PyTorch's argument `nonlinearity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RnnNonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// The weights of a stack of layers, under PyTorch's names.
#[derive(Clone, Debug)]
struct Weights {
    gates: usize,
    input_size: usize,
    hidden_size: usize,
    num_layers: usize,
    bias: bool,
    bidirectional: bool,
    /// Of a simple recurrent layer.
    nonlinearity: RnnNonlinearity,
    /// Layer by layer, and in each layer one direction after the other: both weights, both biases.
    parameters: Vec<Parameter>,
}

impl Weights {
    #[track_caller]
    fn new(gates: usize, input_size: usize, hidden_size: usize) -> Weights {
        Self::on(gates, input_size, hidden_size, &Device::current())
    }

    #[track_caller]
    fn on(gates: usize, input_size: usize, hidden_size: usize, device: &Device) -> Weights {
        assert!(hidden_size > 0, "a recurrent layer needs at least one unit: hidden_size is 0");
        let weights = Weights {
            gates,
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            bidirectional: false,
            nonlinearity: RnnNonlinearity::default(),
            parameters: vec![],
        };
        weights.reset(device)
    }

    /// New parameters, uniform in ±1/√hidden.
    #[track_caller]
    fn reset(mut self, device: &Device) -> Weights {
        assert!(self.num_layers > 0, "a recurrent layer needs at least one layer: num_layers is 0");
        let bound = 1.0 / (self.hidden_size as f64).sqrt();
        let make = |(_, shape): (String, Vec<usize>)| Parameter::new(Tensor::uniform_on(&shape, -bound, bound, device));
        self.parameters = self.named_shapes().into_iter().map(make).collect();
        self
    }

    /// New parameters where the old ones are.
    #[track_caller]
    fn remade(self) -> Weights {
        let device = self.parameters[0].get().device().clone();
        self.reset(&device)
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// The names and shapes of all parameters, in order.
    fn named_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (rows, hidden) = (self.gates * self.hidden_size, self.hidden_size);
        let mut list = Vec::new();
        for layer in 0..self.num_layers {
            let features = if layer == 0 { self.input_size } else { hidden * self.directions() };
            for direction in 0..self.directions() {
                let name = |stem: &str| format!("{stem}_l{layer}{}", if direction == 0 { "" } else { "_reverse" });
                list.push((name("weight_ih"), vec![rows, features]));
                list.push((name("weight_hh"), vec![rows, hidden]));
                if self.bias {
                    list.push((name("bias_ih"), vec![rows]));
                    list.push((name("bias_hh"), vec![rows]));
                }
            }
        }
        list
    }

    fn tensors(&self) -> Vec<Tensor> {
        self.parameters.iter().map(Parameter::get).collect()
    }

    fn options(&self) -> RecurrentOptions<'static> {
        let Weights { bias, num_layers, bidirectional, .. } = *self;
        RecurrentOptions { bias, num_layers, bidirectional, ..RecurrentOptions::default() }
    }

    fn visit(&self, visitor: &mut Visitor<'_>) {
        for ((name, _), parameter) in self.named_shapes().iter().zip(&self.parameters) {
            visitor.child(name, parameter as &dyn Module);
        }
    }
}
