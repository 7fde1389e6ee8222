//! Recurrent layers.

use lumigrad::{RecurrentOptions, Tensor};

use crate::args::Args;
use crate::runner::Call;

pub const TABLE: &[(&str, Call)] = &[
    ("rnn", |a| {
        let (x, weights, h0) = (a.tensor("input"), weights(a, 1), a.opt_tensor("h0"));
        let run = match a.text("nonlinearity") {
            "tanh" => Tensor::try_rnn_tanh,
            "relu" => Tensor::try_rnn_relu,
            other => panic!("no nonlinearity {other}"),
        };
        run(&x, h0.as_ref(), &weights, &options(a)).map(|(y, h)| vec![y, h])
    }),
    ("gru", |a| {
        let (x, weights, h0) = (a.tensor("input"), weights(a, 3), a.opt_tensor("h0"));
        x.try_gru(h0.as_ref(), &weights, &options(a)).map(|(y, h)| vec![y, h])
    }),
    ("lstm", |a| {
        a.only("proj_size", 0);
        let (x, weights, h0, c0) = (a.tensor("input"), weights(a, 4), a.opt_tensor("h0"), a.opt_tensor("c0"));
        x.try_lstm(h0.as_ref().zip(c0.as_ref()), &weights, &options(a)).map(|(y, h, c)| vec![y, h, c])
    }),
];

fn options(a: &Args<'_>) -> RecurrentOptions<'static> {
    RecurrentOptions {
        bias: a.bool("bias"),
        num_layers: a.size("num_layers"),
        bidirectional: a.bool("bidirectional"),
        batch_first: a.bool("batch_first"),
        ..RecurrentOptions::default()
    }
}

/// The weights in the order of the layers; their shapes are those that the sizes ask for.
fn weights(a: &Args<'_>, gates: usize) -> Vec<Tensor> {
    let given = a.dict("params");
    let mut list = Vec::new();
    for layer in 0..a.size("num_layers") {
        for ending in ["", "_reverse"].into_iter().take(1 + usize::from(a.bool("bidirectional"))) {
            for stem in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
                list.extend(given.get(&*format!("{stem}_l{layer}{ending}")).cloned());
            }
        }
    }
    assert_eq!(list.len(), given.len(), "every weight is used");
    assert_eq!(list[0].shape(), [gates * a.size("hidden_size"), a.size("input_size")]);
    list
}
