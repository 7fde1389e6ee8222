//! Layers that normalise: their statistics through training, evaluation, errors, moves and saved states.

mod common;

use common::{Gpu, Outcome, Test, check, same};
use lumigrad::autograd::{Backward, grad};
use lumigrad::optim::SGD;
use lumigrad::{BatchNormOptions, nn, prelude::*};

const TESTS: &[(&str, Test)] = &[
    ("running_statistics", running_statistics),
    ("cumulative_average", cumulative_average),
    ("one_value_a_channel_is_refused", one_value),
    ("a_bad_index_leaves_the_statistics", bad_index),
    ("poison_leaves_the_statistics", poison),
    ("states_fit", states),
    ("training_with_an_optimiser", training),
    ("options", options),
    ("layers_of_rows", rows),
    ("instances", instances),
    ("rows_learn_in_an_optimisers_memory", rows_learn),
    ("gradients_at_the_edges", edges),
    ("operands_begin_anywhere", anywhere),
];

fn main() {
    let gpu = Gpu::open();
    let mut trials = common::on_references(TESTS);
    trials.extend(gpu.trials("gpu", TESTS));
    gpu.run(trials);
}

fn near(got: &Tensor, want: &[f64]) -> Outcome {
    let got = got.to_vec::<f64>()?;
    let close = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-5 * w.abs().max(1.0));
    if close { Ok(()) } else { Err(format!("{got:?}, not {want:?}").into()) }
}

/// Mean, variance and count of a layer.
fn statistics(layer: &nn::BatchNorm1d) -> lumigrad::Result<(Vec<f32>, Vec<f32>, i32)> {
    let get = |buffer: &Option<nn::Buffer>| buffer.as_ref().expect("the layer has statistics").get();
    let count = get(&layer.num_batches_tracked).item::<i32>()?;
    Ok((get(&layer.running_mean).to_vec()?, get(&layer.running_var).to_vec()?, count))
}

fn batch(device: &Device, values: [f32; 4]) -> Tensor {
    Tensor::from_slice_on(&values, &[2, 2], device)
}

/// Channels (1, 3) and (10, 20): means 2 and 15, unbiased variances 2 and 50.
fn typical(device: &Device) -> Tensor {
    batch(device, [1.0, 10.0, 3.0, 20.0])
}

fn running_statistics(device: &Device) -> Outcome {
    let layer = device.scope(|| nn::BatchNorm1d::new(2));
    let shared = layer.clone();
    no_grad(|| layer.call(&typical(device)));
    let (mean, var) = ([0.2, 1.5], [0.9 + 0.2, 0.9 + 5.0]);
    near(&shared.running_mean.as_ref().unwrap().get(), &mean)?;
    near(&shared.running_var.as_ref().unwrap().get(), &var)?;
    layer.eval();
    let y = shared.call(&typical(device));
    let at = |x: f64, c: usize| (x - mean[c]) / (var[c] + 1e-5).sqrt();
    near(&y, &[at(1.0, 0), at(10.0, 1), at(3.0, 0), at(20.0, 1)])?;
    same("evaluation counts nothing", statistics(&layer)?.2, 1)?;
    layer.reset_running_stats();
    same("after a reset", statistics(&layer)?, (vec![0.0f32; 2], vec![1.0f32; 2], 0))
}

fn cumulative_average(device: &Device) -> Outcome {
    let layer = device.scope(|| nn::BatchNorm1d::new(2).momentum(None));
    layer.call(&typical(device));
    layer.call(&batch(device, [5.0, 0.0, 7.0, 2.0]));
    layer.call(&batch(device, [0.0, 0.0, 1.0, 4.0]));
    near(&layer.running_mean.as_ref().unwrap().get(), &[(2.0 + 6.0 + 0.5) / 3.0, (15.0 + 1.0 + 2.0) / 3.0])?;
    near(&layer.running_var.as_ref().unwrap().get(), &[(2.0 + 2.0 + 0.5) / 3.0, (50.0 + 2.0 + 8.0) / 3.0])?;
    same("batches", statistics(&layer)?.2, 3)
}

fn one_value(device: &Device) -> Outcome {
    let x = Tensor::full_on(&[1, 2], 0.0, DType::F32, device);
    let error = x.try_batch_norm(&BatchNormOptions { training: true, ..Default::default() }).unwrap_err().to_string();
    same("the message", error.contains("more than 1 value per channel") && error.contains("[1, 2]"), true)?;
    let layer = device.scope(|| nn::BatchNorm1d::new(2));
    layer.eval();
    near(&layer.call(&x), &[0.0, 0.0])
}

fn bad_index(device: &Device) -> Outcome {
    let layer = device.scope(|| nn::BatchNorm1d::new(2));
    layer.call(&typical(device));
    let before = statistics(&layer)?;
    let table = Tensor::full_on(&[3, 2], 1.0, DType::F32, device);
    let bad = Tensor::from_slice_on(&[0, 3], &[2], device);
    let y = layer.call(&table.index_select(0, &bad));
    same("the read fails", matches!(y.to_vec::<f32>(), Err(lumigrad::Error::Index { .. })), true)?;
    same("the statistics", statistics(&layer)?, &before)?;
    // The next batch counts again.
    layer.call(&typical(device));
    same("batches", statistics(&layer)?.2, before.2 + 1)
}

fn poison(device: &Device) -> Outcome {
    if device.is_reference() {
        return Ok(());
    }
    let layer = device.scope(|| nn::BatchNorm1d::new(2));
    let before = statistics(&layer)?;
    device.set_memory_budget(Some(device.counters().live_bytes));
    let bad = Tensor::full_on(&[1 << 20, 2], 1.0, DType::F32, device);
    device.set_memory_budget(None);
    let y = layer.call(&bad);
    same("poisoned", y.poison().is_some(), true)?;
    same("the statistics", statistics(&layer)?, before)
}

fn states(device: &Device) -> Outcome {
    let (layer, other) = device.scope(|| (nn::BatchNorm1d::new(2), nn::BatchNorm1d::new(2)));
    layer.call(&typical(device));
    let state = layer.state_dict();
    let names: Vec<&str> = state.iter().map(|(name, _)| name).collect();
    same("names", names, ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"])?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state.safetensors");
    lumigrad::io::save_safetensors(&state, &path)?;
    let loaded = lumigrad::io::load_safetensors(&path, &Device::reference())?;
    same("the count keeps its shape", loaded.get("num_batches_tracked").unwrap().shape(), [0usize; 0])?;
    other.load_state_dict(&loaded)?;
    same("what was loaded", statistics(&other)?, statistics(&layer)?)?;
    // The copy goes its own way.
    layer.call(&typical(device));
    same("batches", (statistics(&layer)?.2, statistics(&other)?.2), (2, 1))?;
    other.to(&Device::reference())?;
    other.call(&typical(&Device::reference()));
    same("moved", statistics(&other)?.2, 2)?;
    near(&other.running_mean.as_ref().unwrap().get(), &[0.38, 2.85])
}

fn training(device: &Device) -> Outcome {
    // The gradients of weight and bias go into the optimiser's memory, both at once; so would that of the input.
    let run = |in_arena: bool| -> lumigrad::Result<Vec<Vec<f32>>> {
        let layer = device.scope(|| nn::BatchNorm1d::new(2));
        let x = Parameter::new(typical(device));
        let target = batch(device, [0.5, 0.0, -1.0, 2.0]);
        let parameters: Vec<Parameter> = layer.parameters().into_iter().chain([x.clone()]).collect();
        let mut optimizer = SGD::new(parameters.clone(), 0.1);
        for _ in 0..3 {
            let loss = layer.call(&x.get()).mse_loss(&target);
            optimizer.zero_grad();
            loss.backward()?;
            if in_arena {
                optimizer.step()?;
            } else {
                no_grad(|| parameters.iter().try_for_each(|p| p.set(&(p.get() - p.grad().unwrap() * 0.1))))?;
            }
        }
        parameters.iter().map(|p| p.get().to_vec()).collect()
    };
    let (arena, by_hand) = (run(true)?, run(false)?);
    for (a, b) in arena.iter().flatten().zip(by_hand.iter().flatten()) {
        if (a - b).abs() > 1e-4 * b.abs().max(1.0) {
            return Err(format!("{arena:?}, by hand {by_hand:?}").into());
        }
    }
    same("something was learned", arena[0] != [1.0, 1.0], true)
}

fn options(device: &Device) -> Outcome {
    device.scope(|| {
        let plain = nn::BatchNorm2d::new(3).affine(false).track_running_stats(false);
        same("nothing is saved", plain.state_dict().len(), 0)?;
        let x = Tensor::randn(&[2, 3, 4, 4]);
        let trained = plain.call(&x).to_vec::<f32>()?;
        plain.eval();
        same("without statistics evaluation takes the batch's", plain.call(&x).to_vec::<f32>()?, trained)?;
        let wide = nn::BatchNorm2d::new(3).eps(100.0).call(&x);
        same("eps", wide.abs().max().item::<f32>()? < 0.6, true)
    })
}

fn rows(device: &Device) -> Outcome {
    device.scope(|| {
        let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 20.0], &[2, 2]);
        let layer = nn::LayerNorm::new(2).eps(0.0);
        near(&layer.call(&x), &[-1.0, 1.0, -1.0, 1.0])?;
        let names = |m: &dyn Module| m.state_dict().iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        same("names", names(&layer), ["weight", "bias"])?;
        same("names", names(&nn::LayerNorm::new([2, 3]).bias(false)), ["weight"])?;
        same("names", names(&nn::LayerNorm::new(2).elementwise_affine(false).bias(true)), [""; 0])?;
        layer.weight.as_ref().unwrap().set(&Tensor::from_slice(&[2.0f32, 3.0], &[2]))?;
        layer.bias.as_ref().unwrap().set(&Tensor::from_slice(&[0.5f32, 0.0], &[2]))?;
        near(&layer.call(&x), &[-1.5, 3.0, -1.5, 3.0])?;
        let rms = nn::RMSNorm::new(2).eps(0.0);
        let roots = [5f64.sqrt(), 250f64.sqrt()];
        near(&rms.call(&x), &[1.0 / roots[0], 3.0 / roots[0], 10.0 / roots[1], 20.0 / roots[1]])?;
        let group = nn::GroupNorm::new(1, 2).eps(0.0);
        near(&group.call(&x), &[-1.0, 1.0, -1.0, 1.0])
    })
}

fn instances(device: &Device) -> Outcome {
    device.scope(|| {
        let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 20.0], &[2, 1, 2]);
        let layer = nn::InstanceNorm1d::new(1).track_running_stats(true).eps(0.0);
        near(&layer.call(&x), &[-1.0, 1.0, -1.0, 1.0])?;
        // Means 2 and 15, unbiased variances 2 and 50: their averages enter with a tenth.
        near(&layer.running_mean.as_ref().unwrap().get(), &[0.85])?;
        near(&layer.running_var.as_ref().unwrap().get(), &[0.9 + 2.6])?;
        layer.eval();
        near(&layer.call(&x.select(0, 0)), &[0.15 / 3.5f64.sqrt(), 2.15 / 3.5f64.sqrt()])?;
        let error = Tensor::zeros(&[2, 3, 1]).try_instance_norm(&Default::default()).unwrap_err().to_string();
        same("the message", error.contains("more than 1 value"), true)
    })
}

fn rows_learn(device: &Device) -> Outcome {
    let run = |with_optimizer: bool| -> lumigrad::Result<Vec<f32>> {
        let (layer, x) = (
            device.scope(|| nn::LayerNorm::new(3)),
            Parameter::new(Tensor::from_slice_on(&[1.0f32, -2.0, 0.5, 3.0, 0.0, 1.0], &[2, 3], device)),
        );
        let parameters: Vec<Parameter> = layer.parameters().into_iter().chain([x.clone()]).collect();
        let mut optimizer = SGD::new(parameters.clone(), 0.1);
        let target = Tensor::full_on(&[2, 3], 0.5, DType::F32, device);
        for _ in 0..3 {
            layer.call(&x.get()).mse_loss(&target).backward()?;
            if with_optimizer {
                optimizer.step()?;
            } else {
                no_grad(|| parameters.iter().try_for_each(|p| p.set(&(p.get() - p.grad().unwrap() * 0.1))))?;
            }
            optimizer.zero_grad();
        }
        Ok(parameters.iter().map(|p| p.get().to_vec::<f32>()).collect::<lumigrad::Result<Vec<_>>>()?.concat())
    };
    let (optimised, by_hand) = (run(true)?, run(false)?);
    near(&Tensor::from_slice(&optimised, &[12]), &by_hand.iter().map(|&v| f64::from(v)).collect::<Vec<_>>())
}

/// Where a norm, a deviation or a sum of exponentials has a corner: what PyTorch gives.
fn edges(device: &Device) -> Outcome {
    let gradient = |values: &[f32], f: &dyn Fn(&Tensor) -> Tensor| -> lumigrad::Result<Tensor> {
        let x = Tensor::from_slice_on(values, &[values.len()], device).requires_grad();
        f(&x).backward()?;
        Ok(x.grad().expect("the result depends on the input"))
    };
    for p in [0.5, 1.0, 1.5, 2.0, 3.0, -1.0, f64::INFINITY, f64::NEG_INFINITY] {
        near(&gradient(&[0.0; 3], &|x| x.norm(p, &[], false))?, &[0.0; 3]).map_err(|e| format!("p {p}: {e:?}"))?;
    }
    near(&gradient(&[0.0, 3.0, 4.0], &|x| x.norm(0.5, &[], false))?, &[0.0, 2.1547005, 1.8660254])?;
    near(&gradient(&[0.0, 3.0, 4.0], &|x| x.norm(3.0, &[], false))?, &[0.0, 0.4448564, 0.7908558])?;
    near(&gradient(&[0.0, 3.0, 4.0], &|x| x.norm(-1.0, &[], false))?, &[0.0; 3])?;
    near(&gradient(&[-2.0, 2.0, 1.0], &|x| x.norm(f64::INFINITY, &[], false))?, &[-0.5, 0.5, 0.0])?;
    near(&gradient(&[2.0, 2.0], &|x| x.std(&[], 1, false))?, &[0.0, 0.0])?;
    near(&gradient(&[1.0, 2.0], &|x| x.var(&[], 3, false))?, &[1.0, -1.0])?;
    let (log, minus) =
        (Tensor::full_on(&[2], f64::NEG_INFINITY, DType::F32, device).logsumexp(&[], false), f32::NEG_INFINITY);
    same("the sum of nothing", log.item::<f32>()?, minus)?;
    same("its gradient", gradient(&[minus, minus], &|x| x.logsumexp(&[], false))?.to_vec::<f32>()?, [f32::NAN; 2])
}

/// Kernels that read vectors of four serve operands that begin with one, and no others.
fn anywhere(device: &Device) -> Outcome {
    type Norm = fn(&Tensor, &Tensor, &Tensor) -> Tensor;
    let norms: [(&str, &[usize], usize, Norm); 4] = [
        ("layer_norm", &[20, 8], 8, |x, w, b| x.layer_norm(&[8], Some(w), Some(b), 1e-5)),
        ("group_norm", &[3, 8, 2, 4], 8, |x, w, b| x.group_norm(2, Some(w), Some(b), 1e-5)),
        ("group_norm without places", &[20, 8], 8, |x, w, b| x.group_norm(2, Some(w), Some(b), 1e-5)),
        ("batch_norm", &[3, 4, 6, 6], 4, |x, w, b| {
            let options = BatchNormOptions { weight: Some(w), bias: Some(b), training: true, ..Default::default() };
            x.batch_norm(&options)
        }),
    ];
    for (name, shape, weights, norm) in norms {
        let results = |starts: [usize; 4]| -> lumigrad::Result<Vec<f32>> {
            // Numbers that are not of the operand lie before it and behind it.
            let operand = |shape: &[usize], i: usize| {
                let n: usize = shape.iter().product();
                let number = |k: usize| ((k * 37 + i * 11) % 23) as f32 / 7.0 - 1.0;
                let mut values = vec![1e3f32; starts[i] + n + 5];
                (0..n).for_each(|k| values[starts[i] + k] = number(k));
                let all = Tensor::from_slice_on(&values, &[values.len()], device);
                all.narrow(0, starts[i] as i64, n).reshape(shape)
            };
            let inputs = [operand(shape, 0), operand(&[weights], 1), operand(&[weights], 2)].map(|t| t.requires_grad());
            let [x, w, b] = &inputs;
            let y = norm(x, w, b);
            let gradients = grad(&y, &[x, w, b], Backward::new().gradient(&operand(shape, 3)))?;
            let made = std::iter::once(&y).chain(&gradients).map(|t| t.detach().to_vec::<f32>());
            Ok(made.collect::<lumigrad::Result<Vec<_>>>()?.concat())
        };
        let usual = results([0; 4])?;
        for starts in [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1], [4, 8, 4, 8], [3, 3, 3, 3]] {
            let far = usual.iter().zip(results(starts)?).position(|(a, b)| (a - b).abs() > 1e-4 * a.abs().max(1.0));
            check(far.is_none(), format!("{name}, operands from {starts:?}: result {far:?} is another"))?;
        }
    }
    Ok(())
}
