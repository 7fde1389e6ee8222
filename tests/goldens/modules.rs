//! Whole modules beside PyTorch's, with its `state_dict` loaded by name: outputs, and the gradients of inputs and
//! parameters. `record/modules.py` recorded them.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use lumigrad::autograd::Backward;
use lumigrad::nn::{
    self, MultiheadAttentionOptions, PadPackedSequenceOptions, StateDict, TransformerActivation, TransformerMasks,
};
use lumigrad::prelude::*;
use lumigrad::{AttentionOptions, DType};

use crate::common::Gpu;
use crate::runner::{Body, differs};
use crate::values::{self, Values};

/// The inputs of a case by name.
type Inputs = BTreeMap<String, Tensor>;

/// A module, and how it is called.
type Case = (Box<dyn Module>, Box<dyn Fn(&dyn Module, &Inputs) -> Vec<Tensor>>);

/// A module of this type, called by a function.
fn case<M: Module>(module: M, call: impl Fn(&M, &Inputs) -> Vec<Tensor> + 'static) -> Case {
    let call = move |module: &dyn Module, given: &Inputs| {
        let module = (module as &dyn std::any::Any).downcast_ref::<M>().expect("the module that was made");
        call(module, given)
    };
    (Box::new(module), Box::new(call))
}

/// A recorded name and how its module is made.
type Named = (&'static str, fn() -> Case);

const CASES: &[Named] = &[
    ("lstm_packed", || {
        let lstm = nn::LSTM::new(3, 5).num_layers(2).bidirectional(true).batch_first(true);
        case(lstm, |lstm, given| {
            let (y, (h, c)) = lstm.call(&(packed(given), (given["h"].clone(), given["c"].clone())));
            vec![nn::pad_packed_sequence(&y, true).0, h, c]
        })
    }),
    ("gru_packed", || {
        let gru = nn::GRU::new(3, 5).num_layers(2).bidirectional(true).batch_first(true);
        case(gru, |gru, given| {
            let (y, h) = gru.call(&(packed(given), given["h"].clone()));
            vec![nn::pad_packed_sequence(&y, true).0, h]
        })
    }),
    ("rnn_packed", || {
        let rnn = nn::RNN::new(3, 5).num_layers(2).bidirectional(true).batch_first(true);
        case(rnn, |rnn, given| {
            let (y, h) = rnn.call(&packed(given));
            vec![nn::pad_packed_sequence(&y, true).0, h]
        })
    }),
    ("lstm_unbatched", || {
        case(nn::LSTM::new(3, 4).bias(false), |lstm, given| {
            let (y, (h, c)) = lstm.call(&given["x"]);
            vec![y, h, c]
        })
    }),
    ("lstm_cell", || {
        case(nn::LSTMCell::new(3, 4), |cell, given| {
            let (h, c) = cell.call(&(given["x"].clone(), (given["h"].clone(), given["c"].clone())));
            vec![h, c]
        })
    }),
    ("gru_cell", || {
        case(nn::GRUCell::new(3, 4), |cell, given| vec![cell.call(&(given["x"].clone(), given["h"].clone()))])
    }),
    ("rnn_cell", || {
        let cell = nn::RNNCell::new(3, 4).nonlinearity(nn::RnnNonlinearity::Relu);
        case(cell, |cell, given| vec![cell.call(&(given["x"].clone(), given["h"].clone()))])
    }),
    ("mha_weights", || {
        case(nn::MultiheadAttention::new(8, 2), |attention, given| {
            let options = MultiheadAttentionOptions { key_padding_mask: Some(&given["padding"]), ..Default::default() };
            let (y, weights) = attention.attend(&given["x"], &given["x"], &given["x"], &options);
            vec![y, weights.expect("weights were asked for")]
        })
    }),
    ("mha_each_head", || {
        case(nn::MultiheadAttention::new(8, 4).batch_first(true), |attention, given| {
            let options = MultiheadAttentionOptions {
                attn_mask: Some(&given["mask"]),
                average_attn_weights: false,
                ..Default::default()
            };
            let (y, weights) = attention.attend(&given["q"], &given["k"], &given["k"], &options);
            vec![y, weights.expect("weights were asked for")]
        })
    }),
    ("mha_sizes", || {
        case(nn::MultiheadAttention::new(8, 2).kdim(6).vdim(3).batch_first(true), |attention, given| {
            let options = MultiheadAttentionOptions {
                attn_mask: Some(&given["mask"]),
                key_padding_mask: Some(&given["padding"]),
                need_weights: false,
                ..Default::default()
            };
            vec![attention.attend(&given["q"], &given["k"], &given["v"], &options).0]
        })
    }),
    ("mha_bias_kv", || {
        let attention = nn::MultiheadAttention::new(8, 2).add_bias_kv(true).add_zero_attn(true);
        case(attention, |attention, given| {
            let options = MultiheadAttentionOptions {
                attn_mask: Some(&given["mask"]),
                key_padding_mask: Some(&given["padding"]),
                ..Default::default()
            };
            let (y, weights) = attention.attend(&given["q"], &given["k"], &given["k"], &options);
            vec![y, weights.expect("weights were asked for")]
        })
    }),
    ("mha_zero_attn", || {
        let attention = nn::MultiheadAttention::new(8, 4).add_zero_attn(true).batch_first(true);
        case(attention, |attention, given| {
            let options = MultiheadAttentionOptions {
                attn_mask: Some(&given["mask"]),
                need_weights: false,
                ..Default::default()
            };
            vec![attention.attend(&given["q"], &given["k"], &given["k"], &options).0]
        })
    }),
    // As in `encoder_causal`.
    ("mha_bias_kv_causal", || {
        let attention = nn::MultiheadAttention::new(8, 2).add_bias_kv(true).bias(false).kdim(3).batch_first(true);
        case(attention, |attention, given| {
            let options = MultiheadAttentionOptions { is_causal: true, need_weights: false, ..Default::default() };
            vec![attention.attend(&given["q"], &given["k"], &given["v"], &options).0]
        })
    }),
    ("lstm_padding", || {
        case(nn::LSTM::new(3, 4).batch_first(true), |lstm, given| {
            let (y, _) = lstm.call(&nn::pack_padded_sequence(&given["x"], &[3, 4, 1, 2], true));
            let options = PadPackedSequenceOptions { padding_value: -2.5, total_length: Some(6), ..Default::default() };
            vec![nn::pad_packed_sequence_with(&y, &options).0]
        })
    }),
    ("packed_alone", || {
        case(nn::Identity, |_, given| {
            let packed = nn::pack_padded_sequence(&given["x"], &[4, 4, 1], false);
            let options = PadPackedSequenceOptions { batch_first: true, padding_value: 0.5, ..Default::default() };
            vec![nn::pad_packed_sequence_with(&packed, &options).0]
        })
    }),
    ("encoder_layer", || {
        case(nn::TransformerEncoderLayer::new(8, 2).dim_feedforward(12).dropout(0.0), |layer, given| {
            let masks = TransformerMasks {
                mask: Some(&given["mask"]),
                src_key_padding_mask: Some(&given["padding"]),
                is_causal: false,
            };
            vec![layer.forward_with(&given["x"], &masks)]
        })
    }),
    ("encoder", || {
        let layer = nn::TransformerEncoderLayer::new(8, 4).dim_feedforward(10).dropout(0.0);
        let layer = layer.activation(TransformerActivation::Gelu).norm_first(true).batch_first(true);
        let encoder = nn::TransformerEncoder::new(&layer, 2).norm(nn::LayerNorm::new(8));
        case(encoder, |encoder, given| vec![encoder.call(&given["x"])])
    }),
    // The mask that comes with the recorded call says the same as `is_causal`.
    ("encoder_causal", || {
        let layer = nn::TransformerEncoderLayer::new(8, 2).dim_feedforward(10).dropout(0.0).bias(false);
        case(layer.batch_first(true), |layer, given| {
            vec![layer.forward_with(&given["x"], &TransformerMasks { is_causal: true, ..Default::default() })]
        })
    }),
    ("shared_heads", || {
        case(nn::Identity, |_, given| {
            let options = AttentionOptions {
                attn_mask: Some(&given["mask"]),
                scale: Some(0.4),
                enable_gqa: true,
                ..Default::default()
            };
            vec![given["q"].scaled_dot_product_attention_with(&given["k"], &given["v"], &options)]
        })
    }),
];

fn packed(given: &Inputs) -> nn::PackedSequence {
    nn::pack_padded_sequence(&given["x"], &[3, 5, 1, 5], true)
}

/// One trial for each case and body.
pub fn trials(gpu: &Gpu) -> Vec<Trial> {
    let mut trials = vec![Trial::test("modules::every_recorded_case_is_run", || {
        let recorded = values::read("modules.safetensors");
        let unknown = recorded.keys().find(|name| !CASES.iter().any(|(case, _)| name.split('.').next() == Some(*case)));
        unknown.map_or(Ok(()), |name| Err(format!("{name} belongs to no case").into()))
    })];
    for &(name, make) in CASES {
        for body in [Body::Reference, Body::Gpu] {
            let title = format!("modules::{name}::{}", if body == Body::Gpu { "gpu" } else { "reference" });
            let test = move |device: &Device| {
                let problems = check(name, make, body, device).map_err(|e| e.to_string())?;
                if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
            };
            trials.push(match body {
                Body::Reference => Trial::test(title, move || test(&Device::reference())),
                Body::Gpu => gpu.trial(title, test),
            });
        }
    }
    trials
}

/// What is recorded under a case and a part of it, by name.
fn part<'a>(file: &'a Values, case: &str, part: &str) -> Vec<(&'a str, &'a values::Value)> {
    let prefix = format!("{case}.{part}.");
    let mut found: Vec<_> = file.iter().filter_map(|(name, v)| Some((name.strip_prefix(&prefix)?, v))).collect();
    found.sort_by_key(|(name, _)| *name);
    found
}

fn check(name: &str, make: fn() -> Case, body: Body, device: &Device) -> Result<Vec<String>> {
    let file = values::read("modules.safetensors");
    let (module, call) = device.scope(make);
    let state = part(&file, name, "state").into_iter().map(|(name, v)| (name.to_string(), v.tensor(device)));
    module.load_state_dict(&state.collect::<StateDict>())?;
    let inputs: Inputs = part(&file, name, "in")
        .into_iter()
        .map(|(name, value)| {
            let tensor = value.tensor(device);
            let differentiable = tensor.dtype() == DType::F32;
            (name.to_string(), if differentiable { tensor.requires_grad() } else { tensor })
        })
        .collect();
    let outputs = call(&*module, &inputs);
    let wanted = part(&file, name, "out");
    let mut problems = Vec::new();
    if outputs.len() != wanted.len() {
        problems.push(format!("gave {} outputs, not {}", outputs.len(), wanted.len()));
    }
    // float32 strays a few 1e-7 from float64 here; the GPU's sums run in another order.
    let tolerance = if body == Body::Gpu { (1e-5, 2e-5) } else { (2e-6, 5e-6) };
    let mut compare = |what: String, got: &Tensor, want: &values::Value| {
        problems.extend(differs(got, want, tolerance).map(|problem| format!("{what}: {problem}")));
    };
    for ((number, want), output) in wanted.iter().zip(&outputs) {
        compare(format!("output {number}"), output, want);
        let upstream = file[&format!("{name}.upstream.{number}")].tensor(device);
        Backward::new().gradient(&upstream).retain_graph().run(output)?;
    }
    for (input, want) in part(&file, name, "grad.in") {
        compare(format!("the gradient of {input}"), &inputs[input].grad().expect("it was asked for"), want);
    }
    let parameters: BTreeMap<String, Parameter> = module.named_parameters().into_iter().collect();
    for (parameter, want) in part(&file, name, "grad.state") {
        let got = parameters[parameter].grad().expect("every parameter has a gradient");
        compare(format!("the gradient of {parameter}"), &got, want);
    }
    Ok(problems)
}
