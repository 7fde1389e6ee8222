//! ResNet-18 on a batch of 8 at 3×64×64, forward and back, beside PyTorch's numbers from the same weights.
//!
//! `tests/goldens/record/resnet18.py` recorded them. PyTorch's own float32 is off by what the file calls `f32.NAME`.

mod common;
#[path = "../examples/resnet18/model.rs"]
mod model;

use std::collections::HashMap;

use common::Gpu;
use libtest_mimic::Failed;
use lumigrad::nn::StateDict;
use lumigrad::prelude::*;
use model::ResNet;
use safetensors::SafeTensors;

/// How many times as far from the exact gradient as PyTorch's float32 a kernel may be. Both differ from it by roundings
/// in another order; the sample of a maximum over millions of elements swings by a small factor.
const FACTOR: f32 = 8.0;

/// Elements of a gradient that were recorded.
const SAMPLES: usize = 48;

/// The seed of the images: no activation of theirs is near a kink, where a rounding changes gradients by much.
const IMAGES: usize = 1008;

fn main() {
    let gpu = Gpu::open();
    gpu.run(vec![gpu.trial("resnet18_agrees_with_pytorch", |device| {
        let problems = step(device).map_err(|e| e.to_string())?;
        if problems.is_empty() { Ok(()) } else { Err(Failed::from(problems.join("\n"))) }
    })]);
}

/// Numbers in [-1, 1): the mixer of the recording script.
fn noise(seed: u32, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u32).map(move |i| {
        let mut x = i.wrapping_add(seed.wrapping_mul(0x9E37_79B9));
        x ^= x >> 16;
        x = x.wrapping_mul(0x7FEB_352D);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846C_A68B);
        x ^= x >> 16;
        f64::from(x >> 8) / f64::from(1 << 23) - 1.0
    })
}

fn tensor(seed: usize, shape: &[usize], scale: f64, middle: f64, device: &Device) -> Tensor {
    let values: Vec<f64> = noise(seed as u32, shape.iter().product()).map(|x| x * scale + middle).collect();
    Tensor::from_slice_on(&values, shape, device)
}

/// The recording's first weights.
fn weights(model: &ResNet, device: &Device) -> StateDict {
    let parameters = model.named_parameters().into_iter().enumerate().map(|(seed, (name, parameter))| {
        let shape = parameter.shape();
        let norm = shape.len() == 1 && name.ends_with("weight");
        let scale = match shape.len() {
            1 if norm => 0.25,
            1 => 1.0 / 64.0,
            _ => (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt(),
        };
        let value = tensor(seed, &shape, scale, if norm { 1.0 } else { 0.0 }, device);
        (name, value)
    });
    let buffers = model.named_buffers().into_iter().map(|(name, buffer)| (name, buffer.get()));
    parameters.chain(buffers).collect()
}

struct Recorded(HashMap<String, Vec<f32>>);

impl Recorded {
    fn read() -> Recorded {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/data/resnet18.safetensors");
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let floats =
            |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4"))).collect();
        Recorded(file.iter().map(|(name, view)| (name.to_string(), floats(view.data()))).collect())
    }

    /// The elements of `name` that differ by more than [`FACTOR`] times what PyTorch's float32 does.
    fn differs(&self, name: &str, got: &[f32]) -> Option<String> {
        let (want, gap) = (&self.0[name], self.0[&format!("f32.{name}")][0]);
        assert_eq!(want.len(), got.len(), "{name}");
        let worst = want
            .iter()
            .zip(got)
            .map(|(w, g)| (w - g).abs())
            .fold(0.0f32, |a, b| if b > a || b.is_nan() { b } else { a });
        (worst.is_nan() || worst > FACTOR * gap)
            .then(|| format!("{name} is off by {worst:e}; PyTorch's float32 by {gap:e}"))
    }
}

fn step(device: &Device) -> Result<Vec<String>> {
    let recorded = Recorded::read();
    let model = device.scope(|| ResNet::new([2, 2, 2, 2], 1000));
    model.load_state_dict(&weights(&model, device))?;
    let x = tensor(IMAGES, &[8, 3, 64, 64], 2.0, 0.0, device).requires_grad();
    let labels: Vec<i32> = (0..8).map(|i| i * 137 % 1000).collect();
    let logits = model.call(&x);
    let loss = logits.cross_entropy(&Tensor::from_slice_on(&labels, &[8], device));
    loss.backward()?;

    let mut problems: Vec<String> = Vec::new();
    problems.extend(recorded.differs("loss", &loss.to_vec()?));
    problems.extend(recorded.differs("logits", &logits.to_vec()?));
    let inputs = [("input".to_string(), x.grad())];
    let gradients = model.named_parameters().into_iter().map(|(name, parameter)| (name, parameter.grad()));
    for (name, gradient) in gradients.chain(inputs) {
        let all = gradient.expect("everything has a gradient").to_vec::<f32>()?;
        let count = all.len().min(SAMPLES);
        let picks: Vec<f32> = (0..count).map(|i| all[i * all.len() / count]).collect();
        problems.extend(recorded.differs(&format!("grad.{name}"), &picks));
        let norm = all.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let want = f64::from(recorded.0[&format!("norm.{name}")][0]);
        let gap = f64::from(FACTOR * recorded.0[&format!("f32.grad.{name}")][0]) * (all.len() as f64).sqrt();
        if norm.is_nan() || (norm - want).abs() > gap {
            problems.push(format!("the norm of grad.{name} is {norm}, not {want}"));
        }
    }
    for (name, buffer) in model.named_buffers().into_iter().filter(|(name, _)| name.contains("running")) {
        problems.extend(recorded.differs(&format!("buffer.{name}"), &buffer.get().to_vec()?));
    }
    Ok(problems)
}
