//! Recorded steps: the same bits as without, and a clear refusal of what can't be replayed.

mod common;

use std::cell::Cell;

use common::{Gpu, Outcome, Test, mentions, same};
use libtest_mimic::Failed;
use lumigrad::optim::lr_scheduler::StepLR;
use lumigrad::optim::{Adam, AdamW, SGD};
use lumigrad::{Capture, nn, prelude::*};

const TESTS: &[(&str, Test)] = &[
    ("replays_have_the_same_bits", same_bits),
    ("options_change_between_replays", options_change),
    ("a_change_of_kernels_is_recorded_anew", kernels_change),
    ("shapes_have_recordings_of_their_own", shapes),
    ("moved_parameters_are_noticed", moved),
    ("loaded_states_are_noticed", loaded),
    ("evaluation_is_no_replay", evaluation),
    ("changes_at_any_time", changes_at_any_time),
    ("replaced_kernels_are_noticed", replaced_kernels),
    ("outputs_are_copies", outputs),
    ("host_writes_keep_their_place", host_writes),
    ("gradients_outside_an_optimiser", bare_gradients),
    ("a_bad_index_updates_nothing", bad_index),
    ("seeds_between_replays", seeds),
    ("constants_stay", constants),
    ("reads_are_refused", reads),
    ("host_numbers_are_refused", host_numbers),
    ("host_data_is_refused", host_data),
    ("new_tensors_are_refused", new_tensors),
    ("moves_are_refused", moves),
    ("other_operations_are_refused", other_operations),
    ("errors_and_panics_leave_it_usable", failures),
    ("memory_is_flat_and_given_back", memory),
    ("other_threads_are_not_recorded", threads),
    ("inputs_of_another_device_are_refused", other_device),
];

fn main() {
    let gpu = Gpu::open();
    let mut trials = common::on_references(&TESTS[..2]);
    trials.extend(gpu.trials("gpu", TESTS));
    gpu.run(trials);
}

/// The text of the refusal of a step that is run until it is recorded.
fn refusal(device: &Device, mut step: impl FnMut(&Tensor) -> Result<Tensor>) -> std::result::Result<String, Failed> {
    let mut capture = device.capture();
    let x = Tensor::from_slice_on(&[0.5f32, -1.0, 2.0], &[3], device);
    for _ in 0..8 {
        match capture.run(&[&x], |inputs| step(&inputs[0])) {
            Ok(_) => {}
            Err(error @ Error::Capture { .. }) => return Ok(error.to_string()),
            Err(other) => return Err(other.into()),
        }
    }
    Err("nothing was refused".into())
}

fn network(device: &Device) -> nn::Sequential {
    device.manual_seed(3);
    device.scope(|| {
        nn::Sequential::new()
            .add(nn::Linear::new(6, 16))
            .add(nn::BatchNorm1d::new(16))
            .add(nn::ReLU)
            .add(nn::Dropout::new(0.3))
            .add(nn::Linear::new(16, 4))
    })
}

fn batch(device: &Device, i: usize, rows: usize) -> (Tensor, Tensor) {
    let x: Vec<f32> = (0..rows * 6).map(|k| ((k * 7 + i * 13) % 23) as f32 / 11.0 - 1.0).collect();
    let y: Vec<i32> = (0..rows).map(|k| ((k + i) % 4) as i32).collect();
    (Tensor::from_slice_on(&x, &[rows, 6], device), Tensor::from_slice_on(&y, &[rows], device))
}

/// Everything that a step changes, bit by bit.
fn bits(model: &nn::Sequential) -> Result<Vec<Vec<u32>>> {
    let state = model.state_dict();
    state.iter().map(|(_, t)| Ok(t.to_vec::<f64>()?.iter().map(|v| (*v as f32).to_bits()).collect())).collect()
}

/// Steps of a network on batches; `between` runs after each step.
fn train<O: Optimizer>(
    device: &Device,
    captured: bool,
    steps: usize,
    make: impl Fn(&nn::Sequential) -> O,
    mut between: impl FnMut(usize, &nn::Sequential, &mut O) -> Result<()>,
) -> Result<(Vec<u32>, Vec<Vec<u32>>, usize)> {
    let model = network(device);
    let mut optimizer = make(&model);
    let mut capture = device.capture();
    let calls = Cell::new(0);
    let mut losses = Vec::new();
    for i in 0..steps {
        let (x, y) = batch(device, i, 8);
        let mut step = |inputs: &[Tensor]| {
            calls.set(calls.get() + 1);
            let loss = model.call(&inputs[0]).cross_entropy(&inputs[1]);
            optimizer.zero_grad();
            loss.backward()?;
            optimizer.step()?;
            Ok(loss)
        };
        let loss = if captured { capture.run(&[&x, &y], step)? } else { step(&[x, y])? };
        losses.push(loss.item::<f32>()?.to_bits());
        between(i, &model, &mut optimizer)?;
    }
    Ok((losses, bits(&model)?, calls.get()))
}

fn compare<O: Optimizer>(
    device: &Device,
    make: impl Fn(&nn::Sequential) -> O,
    between: impl Fn(usize, &nn::Sequential, &mut O) -> Result<()>,
    calls: usize,
) -> Outcome {
    const STEPS: usize = 12;
    let (want, state, _) = train(device, false, STEPS, &make, &between)?;
    let (losses, captured, called) = train(device, true, STEPS, &make, &between)?;
    same("losses", losses, want)?;
    same("state", captured, state)?;
    same("calls of the step", called, if device.is_reference() { STEPS } else { calls })
}

/// Dropout, batch norm, and a schedule that changes the learning rate at every step.
fn same_bits(device: &Device) -> Outcome {
    compare(device, |m| AdamW::new(m.parameters(), 1e-2), |_, _, _| Ok(()), 3)?;
    let scheduled = |captured| -> Result<_> {
        let schedule = Cell::new(None);
        let out = train(
            device,
            captured,
            10,
            |m| SGD::new(m.parameters(), 0.1).momentum(0.9),
            |i, _, optimizer| {
                let mut lr = match schedule.take() {
                    Some(lr) => lr,
                    None => StepLR::new(2).gamma(0.7).on(optimizer),
                };
                if i > 0 {
                    lr.step(optimizer);
                }
                schedule.set(Some(lr));
                Ok(())
            },
        )?;
        Ok(out)
    };
    let (want, got) = (scheduled(false)?, scheduled(true)?);
    same("losses with a schedule", got.0, want.0)?;
    same("state with a schedule", got.1, want.1)
}

fn options_change(device: &Device) -> Outcome {
    let change = |i: usize, _: &nn::Sequential, optimizer: &mut Adam| {
        optimizer.set_lr(1e-2 / (1.0 + i as f64));
        optimizer.param_groups_mut()[0].set("betas", (0.9 - 0.01 * i as f64, 0.999))?;
        optimizer.param_groups_mut()[0].set("weight_decay", 0.001 * i as f64)
    };
    compare(device, |m| Adam::new(m.parameters(), 1e-2), change, 3)
}

/// AMSGrad has a kernel of its own and more memory.
fn kernels_change(device: &Device) -> Outcome {
    let change = |i: usize, _: &nn::Sequential, optimizer: &mut Adam| match i {
        6 => optimizer.param_groups_mut()[0].set("amsgrad", true),
        _ => Ok(()),
    };
    compare(device, |m| Adam::new(m.parameters(), 1e-2), change, 6)
}

fn shapes(device: &Device) -> Outcome {
    let run = |captured: bool| -> Result<(Vec<u32>, usize)> {
        let model = network(device);
        let mut optimizer = Adam::new(model.parameters(), 1e-2);
        let (mut capture, mut calls, mut losses) = (device.capture(), 0, Vec::new());
        for i in 0..15 {
            // Every third batch is smaller.
            let (x, y) = batch(device, i, if i % 3 == 2 { 5 } else { 8 });
            let mut step = |inputs: &[Tensor]| {
                calls += 1;
                optimizer.zero_grad();
                let loss = model.call(&inputs[0]).cross_entropy(&inputs[1]);
                loss.backward()?;
                optimizer.step()?;
                Ok(loss)
            };
            let loss = if captured { capture.run(&[&x, &y], step)? } else { step(&[x, y])? };
            losses.push(loss.item::<f32>()?.to_bits());
        }
        Ok((losses, calls))
    };
    let ((want, _), (got, calls)) = (run(false)?, run(true)?);
    same("losses", got, want)?;
    same("calls", calls, 6)
}

fn moved(device: &Device) -> Outcome {
    let reference = Device::new_reference(true);
    let there_and_back = |i: usize, model: &nn::Sequential, _: &mut Adam| {
        if i == 6 {
            model.to(&reference)?;
            model.to(device)?;
        }
        Ok(())
    };
    compare(device, |m| Adam::new(m.parameters(), 1e-2), there_and_back, 6)
}

fn loaded(device: &Device) -> Outcome {
    let load = |i: usize, model: &nn::Sequential, optimizer: &mut Adam| {
        if i == 6 {
            let (weights, state) = (model.state_dict(), optimizer.state_dict()?);
            let halved = weights.iter().map(|(name, t)| {
                let t = if t.dtype().is_float() { no_grad(|| t * 0.5) } else { t.copy() };
                (name.to_string(), t)
            });
            model.load_state_dict(&halved.collect())?;
            optimizer.load_state_dict(&state)?;
        }
        Ok(())
    };
    compare(device, |m| Adam::new(m.parameters(), 1e-2), load, 6)
}

fn evaluation(device: &Device) -> Outcome {
    let model = network(device);
    let x = batch(device, 0, 8).0;
    let mut capture = device.capture();
    let mut calls = 0;
    let mut run = |capture: &mut Capture| {
        capture.run(&[&x], |inputs| {
            calls += 1;
            Ok(no_grad(|| model.call(&inputs[0])))
        })
    };
    for _ in 0..4 {
        run(&mut capture)?;
    }
    model.eval();
    let evaluated = run(&mut capture)?.to_vec::<f32>()?;
    same("evaluated", &evaluated, no_grad(|| model.call(&x)).to_vec::<f32>()?)?;
    model.train();
    let dropped = run(&mut capture)?.to_vec::<f32>()?;
    if dropped == evaluated {
        return Err("training again drops nothing".into());
    }
    same("calls", calls, 4)
}

/// A recording has the pipelines that were there when it was made.
fn replaced_kernels(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[-3.0f32, 3.0], &[2, 1], device);
    let other = Tensor::full_on(&[1, 70], 1.0, DType::F32, device);
    let mut capture = device.capture();
    let mut run = || capture.run(&[&x, &other], |inputs| Ok(inputs[0].matmul(&inputs[1]).sum()));
    for i in 0..8 {
        if i == 4 {
            device.force_choice("matmul", Some("tiled"));
        }
        let before = device.counters().pipelines_created;
        same("sum", run()?.item::<f32>()?, 0.0)?;
        if i == 4 {
            same("the forced kernel is compiled", device.counters().pipelines_created > before, true)?;
        }
    }
    device.force_choice("matmul", None);
    Ok(())
}

/// Whatever run it happens after, the first ones included.
fn changes_at_any_time(device: &Device) -> Outcome {
    let reference = Device::new_reference(true);
    for at in 0..5 {
        let change = |i: usize, model: &nn::Sequential, optimizer: &mut Adam| {
            if i == at {
                model.to(&reference)?;
                model.to(device)?;
            }
            if i == at + 1 {
                model.eval();
            }
            if i == at + 2 {
                model.train();
                optimizer.param_groups_mut()[0].set("amsgrad", true)?;
            }
            Ok(())
        };
        let make = |m: &nn::Sequential| Adam::new(m.parameters(), 1e-2);
        let (want, got) = (train(device, false, 12, make, change)?, train(device, true, 12, make, change)?);
        same("losses", got.0, want.0)?;
        same("state", got.1, want.1)?;
        same("replays", got.2 < 12, true)?;
    }
    Ok(())
}

fn outputs(device: &Device) -> Outcome {
    let mut capture = device.capture();
    let mut kept = Vec::new();
    for i in 0..6 {
        let x = Tensor::full_on(&[2], f64::from(i), DType::F32, device);
        let (a, b): (Tensor, Tensor) = capture.run(&[&x], |inputs| Ok((&inputs[0] * 2.0, inputs[0].sum())))?;
        kept.push((a, b));
    }
    for (i, (a, b)) in kept.iter().enumerate() {
        same("first output", a.to_vec::<f32>()?, vec![2.0 * i as f32; 2])?;
        same("second output", b.item::<f32>()?, 2.0 * i as f32)?;
    }
    Ok(())
}

/// A write from the host between two replays comes between them, though nothing was submitted.
fn host_writes(device: &Device) -> Outcome {
    let state = Tensor::full_on(&[1], 0.0, DType::F32, device);
    let weight = nn::Parameter::new(Tensor::from_slice_on(&[1.0f32], &[1], device));
    let one = Tensor::from_slice_on(&[1.0f32], &[1], device);
    let mut capture = device.capture();
    for i in 0..8 {
        capture.run(&[&one], |inputs| no_grad(|| state.add_(&(&inputs[0] * &weight.get()))))?;
        if i == 5 {
            weight.set(&Tensor::from_slice_on(&[10.0f32], &[1], device))?;
        }
    }
    same("sum", state.item::<f32>()?, 6.0 + 20.0)
}

fn bare_gradients(device: &Device) -> Outcome {
    let w = nn::Parameter::new(Tensor::from_slice_on(&[1.0f32, 2.0], &[2], device));
    let mut capture = device.capture();
    for i in 0..6 {
        let x = Tensor::full_on(&[2], f64::from(i), DType::F32, device);
        capture.run(&[&x], |inputs| {
            w.zero_grad();
            (w.get() * &inputs[0]).sum().backward()
        })?;
        same("gradient", w.grad().map(|g| g.to_vec::<f32>()).transpose()?, Some(vec![i as f32; 2]))?;
    }
    Ok(())
}

fn bad_index(device: &Device) -> Outcome {
    let model = network(device);
    let mut optimizer = Adam::new(model.parameters(), 1e-2);
    let mut capture = device.capture();
    let mut run = |y: &Tensor, i: usize| -> Result<f32> {
        let x = batch(device, i, 8).0;
        let loss = capture.run(&[&x, y], |inputs| {
            optimizer.zero_grad();
            let loss = model.call(&inputs[0]).cross_entropy(&inputs[1]);
            loss.backward()?;
            optimizer.step()?;
            Ok(loss)
        })?;
        loss.item()
    };
    let good = batch(device, 0, 8).1;
    for i in 0..5 {
        run(&good, i)?;
    }
    let before = model.parameters()[0].get().to_vec::<f32>()?;
    let bad = Tensor::from_slice_on(&[0, 1, 2, 3, 4, 0, 1, 2], &[8], device);
    match run(&bad, 5) {
        Err(Error::Index { op: "cross_entropy", value: 4, bound: 4, .. }) => {}
        other => return Err(format!("{other:?}").into()),
    }
    same("parameters", model.parameters()[0].get().to_vec::<f32>()?, &before)?;
    if run(&good, 6)?.is_finite() && model.parameters()[0].get().to_vec::<f32>()? != before {
        return Ok(());
    }
    Err("it does not go on".into())
}

fn seeds(device: &Device) -> Outcome {
    let x = Tensor::full_on(&[64], 1.0, DType::F32, device);
    let mut capture = device.capture();
    for i in 0..8 {
        device.manual_seed(if i < 4 { 5 } else { i });
        let drops = capture.run(&[&x], |inputs| Ok(inputs[0].dropout(0.5, true).dropout(0.1, true)))?;
        let state = device.random_state();
        device.manual_seed(if i < 4 { 5 } else { i });
        same("dropped", drops.to_vec::<f32>()?, x.dropout(0.5, true).dropout(0.1, true).to_vec::<f32>()?)?;
        same("state", device.random_state(), state)?;
    }
    // Without new seeds it goes on from where it is.
    let draw = |capture: &mut Capture| {
        capture.run(&[&x], |inputs| Ok(inputs[0].dropout(0.5, true).dropout(0.1, true)))?.to_vec::<f32>()
    };
    let runs = [draw(&mut capture)?, draw(&mut capture)?, draw(&mut capture)?, draw(&mut capture)?];
    if (1..4).any(|i| runs[i] == runs[i - 1]) {
        return Err("two runs drop the same".into());
    }
    Ok(())
}

/// Host data that is the same in each step, whose memory later parts of the step would like to have.
fn constants(device: &Device) -> Outcome {
    let mut capture = device.capture();
    for i in 0..6 {
        let x = Tensor::full_on(&[4], f64::from(i), DType::F32, device);
        let y = capture.run(&[&x], |inputs| {
            let scaled = &inputs[0] * &Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[4], device);
            Ok((&(&scaled + 1.0) + 1.0) * 2.0)
        })?;
        let want: Vec<f32> = (1..5).map(|k| (k as f32 * i as f32 + 2.0) * 2.0).collect();
        same("scaled", y.to_vec::<f32>()?, want)?;
    }
    Ok(())
}

fn reads(device: &Device) -> Outcome {
    mentions(&refusal(device, |x| Ok(x * x.sum().item::<f64>()?))?, &["item", "tests/capture.rs", "outside"])?;
    mentions(&refusal(device, |x| x.try_nonzero())?, &["nonzero"])?;
    mentions(&refusal(device, |x| x.try_masked_select(&x.gt_scalar(0.0)))?, &["nonzero", "tests/capture.rs"])
}

fn host_numbers(device: &Device) -> Outcome {
    let mut steps = 0;
    let text = refusal(device, |x| {
        steps += 1;
        Ok(x * (1.0 / f64::from(steps)))
    })?;
    mentions(&text, &["mul_scalar", "not the same in each step"])
}

fn host_data(device: &Device) -> Outcome {
    let mut steps = 0;
    let text = refusal(device, |x| {
        steps += 1;
        Ok(x * &Tensor::from_slice_on(&[steps as f32], &[1], device))
    })?;
    mentions(&text, &["host data", "inputs"])?;
    let target = Tensor::full_on(&[3], 0.0, DType::F32, device);
    let text = refusal(device, |x| {
        let fresh = Tensor::from_slice_on(&[1.0f32, 1.0, 1.0], &[3], device);
        fresh.add_(x)?;
        target.copy_(&fresh)?;
        Ok(target.clone())
    })?;
    mentions(&text, &["host data"])
}

/// A running mean that is replaced instead of changed.
fn new_tensors(device: &Device) -> Outcome {
    let mut mean = Tensor::full_on(&[3], 0.0, DType::F32, device);
    let text = refusal(device, |x| {
        mean = &(&mean * 0.9) + x;
        Ok(mean.clone())
    })?;
    mentions(&text, &["another tensor in each step", "in place"])
}

/// A buffer that is replaced in each step.
fn moves(device: &Device) -> Outcome {
    let buffer = nn::Buffer::new(Tensor::full_on(&[3], 0.0, DType::F32, device));
    let text = refusal(device, |x| {
        buffer.set(&(buffer.get() + x));
        Ok(buffer.get())
    })?;
    mentions(&text, &["moves", "in place"])
}

fn other_operations(device: &Device) -> Outcome {
    let mut steps = 0;
    let mut alternate = |x: &Tensor| {
        steps += 1;
        Ok(if steps % 2 == 0 { x.exp() } else { x.abs() })
    };
    mentions(&refusal(device, &mut alternate)?, &["exp", "abs"])?;
    let mut steps = 0;
    let text = refusal(device, |x| {
        steps += 1;
        Ok((0..steps).fold(x.clone(), |x, _| x.tanh()))
    })?;
    mentions(&text, &["tanh", "not in the next"])
}

fn failures(device: &Device) -> Outcome {
    let x = Tensor::full_on(&[3], 1.0, DType::F32, device);
    for fails_at in 0..4 {
        let mut capture = device.capture();
        let mut runs = 0;
        for i in 0..8 {
            let mut step = |inputs: &[Tensor]| {
                runs += 1;
                match i == fails_at {
                    true if i % 2 == 0 => Err(Error::Autograd("on purpose".into())),
                    // Without the hook's message.
                    true => std::panic::resume_unwind(Box::new("on purpose")),
                    false => Ok(&inputs[0] + 1.0),
                }
            };
            let run = std::panic::AssertUnwindSafe(|| capture.run(&[&x], &mut step));
            let result = std::panic::catch_unwind(run);
            match result {
                Ok(Ok(y)) => same("sum", y.to_vec::<f32>()?, [2.0f32; 3])?,
                Ok(Err(Error::Autograd(_))) | Err(_) if i == fails_at => {}
                other => return Err(format!("run {i}: {:?}", other.map(|r| r.map(|_| ()))).into()),
            }
        }
        same("runs", runs, if fails_at == 3 { 3 } else { fails_at + 4 })?;
    }
    Ok(())
}

fn memory(device: &Device) -> Outcome {
    let model = network(device);
    let mut optimizer = Adam::new(model.parameters(), 1e-2);
    let mut capture = device.capture();
    let mut run = |i: usize| -> Result<()> {
        let (x, y) = batch(device, i, 8);
        let step = |inputs: &[Tensor]| {
            optimizer.zero_grad();
            let loss = model.call(&inputs[0]).cross_entropy(&inputs[1]);
            loss.backward()?;
            optimizer.step()?;
            Ok(loss)
        };
        capture.run(&[&x, &y], step).map(|_: Tensor| ())
    };
    // Batches take fresh memory until the first submission.
    (0..100).try_for_each(&mut run)?;
    let before = device.counters();
    (100..300).try_for_each(&mut run)?;
    device.synchronize()?;
    let after = device.counters();
    same("live bytes", after.live_bytes, before.live_bytes)?;
    same("buffers", after.buffers_created, before.buffers_created)?;
    drop(capture);
    // A second training finds the memory of the first.
    let mut capture = device.capture();
    let x = Tensor::full_on(&[8, 16], 1.0, DType::F32, device);
    for _ in 0..5 {
        capture.run(&[&x], |inputs| Ok(&inputs[0] + 1.0))?;
    }
    same("buffers of the second", device.counters().buffers_created <= before.buffers_created + 3, true)
}

fn threads(device: &Device) -> Outcome {
    let x = Tensor::full_on(&[16], 1.0, DType::F32, device);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..3)
            .map(|t| {
                let x = x.clone();
                scope.spawn(move || -> Result<bool> {
                    let mut capture = device.capture();
                    for i in 0..60 {
                        let input = &x * f64::from(i + t);
                        let y = capture.run(&[&input], |inputs| Ok(&(&inputs[0] * 2.0) + f64::from(t)))?;
                        let plain = &(&input * 3.0) - 1.0;
                        let want = 2.0 * f64::from(i + t) + f64::from(t);
                        if y.to_vec::<f64>()? != [want; 16]
                            || plain.to_vec::<f64>()? != [3.0 * f64::from(i + t) - 1.0; 16]
                        {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                })
            })
            .collect();
        for other in others {
            same("all right", other.join().map_err(|_| "a thread panicked")??, true)?;
        }
        Ok(())
    })
}

fn other_device(device: &Device) -> Outcome {
    let x = Tensor::full_on(&[3], 1.0, DType::F32, &Device::new_reference(true));
    match device.capture().run(&[&x], |inputs| Ok(inputs[0].clone())) {
        Err(Error::Devices { .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}
