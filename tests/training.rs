//! Training on the GPU: the same losses as the reference, flat memory, the same bits twice, and going on after errors.
//! One process, one device; ignored without an adapter.

mod common;

use common::{Gpu, Outcome, Test, check};
use lumigrad::data::{DataLoader, Mnist, Split};
use lumigrad::nn::{CrossEntropyLoss, Linear, ReLU, Sequential};
use lumigrad::optim::{Adam, SGD};
use lumigrad::prelude::*;

const TESTS: &[(&str, Test)] = &[
    ("same_losses_as_the_reference", same_losses),
    ("same_seed_same_bits", same_bits),
    ("initialisation_is_that_of_the_reference", initialisation),
    ("memory_is_flat", memory_is_flat),
    ("bad_labels_change_nothing", bad_labels),
    ("out_of_memory_is_an_error", out_of_memory),
    ("errors_pass_through_poisoned_tensors", poison),
    ("a_reported_fault_keeps_its_gradients_out", fault_and_gradients),
    ("reads_and_dispatches_of_two_threads", reads_beside_dispatches),
    ("an_upload_does_not_overtake_recorded_commands", upload_order),
    ("large_uploads_go_in_pieces", large_upload),
    ("tensors_move_between_devices", transfer),
    ("threads_share_a_device", threads),
    ("reads_do_not_block_a_future", async_read),
];

fn main() {
    let gpu = Gpu::open();
    gpu.run(gpu.trials("gpu", TESTS));
}

/// Every starting value is the reference's to the bit; normals, which a kernel draws, within a few ulp.
fn initialisation(gpu: &Device) -> Outcome {
    use lumigrad::nn::init::{self, FanMode, Nonlinearity};
    type Init = fn(&Parameter) -> lumigrad::Result<()>;
    let inits: [(&str, Init, f32); 8] = [
        ("kaiming_uniform_", |p| init::kaiming_uniform_(p, 0.5, FanMode::FanIn, Nonlinearity::LeakyRelu), 0.0),
        ("xavier_uniform_", |p| init::xavier_uniform_(p, 1.0), 0.0),
        ("trunc_normal_", |p| init::trunc_normal_(p, 0.0, 0.02, -0.04, 0.04), 0.0),
        ("orthogonal_", |p| init::orthogonal_(p, 1.0), 0.0),
        ("sparse_", |p| init::sparse_(p, 0.5, 1.0), 0.0),
        ("eye_", |p| init::eye_(p), 0.0),
        ("ones_", |p| init::ones_(p), 0.0),
        ("normal_", |p| init::normal_(p, 0.0, 1.0), 2e-6),
    ];
    for (name, fill, distance) in inits {
        let draw = |device: &Device| -> lumigrad::Result<Vec<f32>> {
            device.manual_seed(17);
            let p = Parameter::new(Tensor::full_on(&[7, 33], 0.0, DType::F32, device));
            fill(&p)?;
            p.get().to_vec()
        };
        let (got, want) = (draw(gpu)?, draw(&Device::reference())?);
        for (g, w) in got.iter().zip(&want) {
            if (g - w).abs() > distance * w.abs() {
                return Err(format!("{name}: {g}, not {w}").into());
            }
        }
    }
    Ok(())
}

/// The tutorial's network and batches of random digits, the same on every device.
struct Task {
    device: Device,
    model: Sequential,
    batches: Vec<(Vec<f32>, Vec<i32>)>,
}

impl Task {
    fn new(device: &Device, widths: &[usize], batch: usize) -> Task {
        device.manual_seed(3);
        let model = device.scope(|| {
            let mut model = Sequential::new();
            for pair in widths.windows(2) {
                model = if model.is_empty() { model } else { model.add(ReLU) };
                model = model.add(Linear::new(pair[0], pair[1]));
            }
            model
        });
        let (pixels, classes) = (widths[0], widths[widths.len() - 1]);
        let batches = (0..7)
            .map(|b| {
                let labels: Vec<i32> = (0..batch).map(|i| ((i * 7 + b * 3) % classes) as i32).collect();
                // A pattern for each class, with noise.
                let value = |i: usize, p: usize| {
                    let noise = ((i * 131 + p * 71 + b * 17) % 97) as f32 / 97.0;
                    let pattern = ((labels[i] as usize + 1) * (p + 3) % 11) as f32 / 11.0;
                    0.7 * pattern + 0.3 * noise
                };
                ((0..batch * pixels).map(|n| value(n / pixels, n % pixels)).collect(), labels.clone())
            })
            .collect();
        Task { device: device.clone(), model, batches }
    }

    fn batch(&self, step: usize) -> (Tensor, Tensor) {
        let (pixels, labels) = &self.batches[step % self.batches.len()];
        let shape = [labels.len(), pixels.len() / labels.len()];
        let images = Tensor::from_slice_on(pixels, &shape, &self.device);
        (images, Tensor::from_slice_on(labels, &[labels.len()], &self.device))
    }

    fn step(&self, optimizer: &mut impl Optimizer, step: usize) -> Result<Tensor> {
        let (x, y) = self.batch(step);
        let loss = CrossEntropyLoss::new().call(&(self.model.call(&x), y));
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(loss.detach())
    }
}

/// Fifty steps of the tutorial's network on MNIST: the losses, and the share of test digits that it names then.
fn mnist(device: &Device) -> Result<(Vec<f64>, f64)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k");
    let train = DataLoader::new(Mnist::load(folder, Split::Train)?).batch_size(64).shuffle(true).seed(1);
    let test = DataLoader::new(Mnist::load(folder, Split::Test)?).batch_size(500);
    // The same weights everywhere: uniform random numbers are equal to the bit.
    let model = Task::new(device, &[784, 512, 256, 10], 1).model;
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let forward = |images: &Tensor| model.call(&images.flatten(1, -1));
    let mut losses = Vec::new();
    for batch in train.epoch(0).take(50) {
        let batch = batch?;
        let loss = forward(&batch["images"].to_tensor(device)?).cross_entropy(&batch["labels"].to_tensor(device)?);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        losses.push(loss.detach());
    }
    let mut correct = 0.0;
    for batch in test.epoch(0) {
        let batch = batch?;
        let digits = no_grad(|| Ok::<_, Error>(forward(&batch["images"].to_tensor(device)?).argmax(Some(1), false)))?;
        correct += digits.eq(&batch["labels"].to_tensor(device)?).sum().item::<f64>()?;
    }
    let losses = losses.iter().map(Tensor::item).collect::<Result<Vec<f64>>>()?;
    Ok((losses, correct / test.dataset().len() as f64))
}

fn same_losses(gpu: &Device) -> Outcome {
    let ((got, got_accuracy), (want, want_accuracy)) = (mnist(gpu)?, mnist(&Device::new_reference(true))?);
    for (step, (g, w)) in got.iter().zip(&want).enumerate() {
        check((g - w).abs() <= 1e-4 * w.abs(), format!("step {step}: {g} on the GPU, {w} on the reference"))?;
    }
    check(want[49] < 0.5 * want[0], "the reference does not learn")?;
    let accuracies = format!("{got_accuracy} on the GPU, {want_accuracy} on the reference");
    check((got_accuracy - want_accuracy).abs() <= 0.01 && want_accuracy > 0.7, accuracies)
}

fn same_bits(gpu: &Device) -> Outcome {
    let run = || -> Result<(Vec<f64>, Vec<f32>)> {
        let task = Task::new(gpu, &[784, 64, 10], 33);
        let mut optimizer = Adam::new(task.model.parameters(), 1e-2);
        let losses = (0..20).map(|s| task.step(&mut optimizer, s)?.item()).collect::<Result<Vec<f64>>>()?;
        Ok((losses, task.model.parameters()[0].get().to_vec()?))
    };
    let (first, second) = (run()?, run()?);
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    check(first.0 == second.0 && bits(&first.1) == bits(&second.1), "two runs from one seed differ")
}

fn memory_is_flat(gpu: &Device) -> Outcome {
    let task = Task::new(gpu, &[784, 64, 32, 10], 64);
    let mut optimizer = Adam::new(task.model.parameters(), 1e-3);
    let mut run = |from: usize, to: usize| -> Result<lumigrad::engine::Counters> {
        for step in from..to {
            let loss = task.step(&mut optimizer, step)?;
            if step % 25 == 24 {
                loss.item::<f32>()?;
            }
        }
        gpu.synchronize()?;
        Ok(gpu.counters())
    };
    let warm = run(0, 50)?;
    let late = run(50, 1000)?;
    check(
        warm.live_bytes == late.live_bytes,
        format!("live bytes grew from {} to {}", warm.live_bytes, late.live_bytes),
    )?;
    let created = late.buffers_created - warm.buffers_created;
    check(created == 0, format!("{created} buffers were created after step 50"))?;
    let misses = late.bind_group_misses - warm.bind_group_misses;
    let hits = late.bind_group_hits - warm.bind_group_hits;
    check(misses * 50 < hits, format!("{misses} bind groups were made after step 50, {hits} found"))
}

fn bad_labels(gpu: &Device) -> Outcome {
    for device in [gpu, &Device::new_reference(true)] {
        let task = Task::new(device, &[8, 6, 4], 5);
        let mut optimizer = SGD::new(task.model.parameters(), 0.1).momentum(0.9);
        task.step(&mut optimizer, 0)?;
        let weights = |task: &Task| -> Result<Vec<f32>> { task.model.parameters()[0].get().to_vec() };
        let before = weights(&task)?;

        let (x, _) = task.batch(1);
        let bad = Tensor::from_slice_on(&[0, 1, 4, 2, 3], &[5], device);
        let loss = task.model.call(&x).cross_entropy(&bad);
        optimizer.zero_grad();
        // On the reference `backward` knows at once; on a GPU the next read does.
        let backward = loss.backward();
        let step = if backward.is_ok() { optimizer.step() } else { Ok(()) };
        let error = backward.and(step).and_then(|()| loss.item::<f32>()).expect_err("label 4 of 4 classes");
        let text = error.to_string();
        for part in ["cross_entropy", "4", "0 to 3", "training.rs"] {
            check(text.contains(part), format!("{device}: {part:?} is not in: {text}"))?;
        }
        check(weights(&task)? == before, format!("{device}: a bad label changed the weights"))?;

        task.step(&mut optimizer, 2)?.item::<f32>()?;
        check(weights(&task)? != before, format!("{device}: training does not go on"))?;
    }
    Ok(())
}

fn out_of_memory(gpu: &Device) -> Outcome {
    let task = Task::new(gpu, &[64, 32, 10], 16);
    let mut optimizer = SGD::new(task.model.parameters(), 0.1);
    task.step(&mut optimizer, 0)?.item::<f32>()?;
    gpu.set_memory_budget(Some(gpu.counters().live_bytes + (4 << 20)));
    let x = Tensor::full_on(&[4096, 1024], 1.0, DType::F32, gpu);
    let y = (&x * 2.0).sum();
    let error = y.item::<f32>().expect_err("16 MiB do not fit into 4");
    gpu.set_memory_budget(None);
    check(matches!(error, Error::OutOfMemory { .. }), format!("another error: {error}"))?;
    check(error.to_string().contains("smaller batch"), format!("no advice: {error}"))?;
    task.step(&mut optimizer, 1)?.item::<f32>()?;
    Ok(())
}

fn poison(gpu: &Device) -> Outcome {
    let w = Tensor::full_on(&[4], 1.0, DType::F32, gpu).requires_grad();
    gpu.set_memory_budget(Some(0));
    let bad = Tensor::full_on(&[1 << 20], 1.0, DType::F32, gpu);
    gpu.set_memory_budget(None);
    check(bad.poison().is_some(), "an allocation over the budget is not poisoned")?;
    // A failure inside a composed method leaves a shape that nothing knows; the next method must not call it a mistake.
    let matrix = Tensor::full_on(&[1000, 700], 1.0, DType::F32, gpu);
    gpu.set_memory_budget(Some(0));
    let copied = matrix.t().reshape([700_000]).reshape([1000, 700]).narrow(0, 5, 10).transpose(0, 1);
    gpu.set_memory_budget(None);
    check(copied.poison().is_some() && copied.item::<f32>().is_err(), "a failed copy is not poisoned")?;
    let y = bad.narrow(0, 0, 4).add(&w).sum();
    check(y.shape().is_empty() && y.poison().is_some(), "the poison is lost on the way")?;
    check(
        y.backward().is_err() && y.item::<f32>().is_err() && y.try_relu().is_err(),
        "the failure does not come back",
    )?;
    check(w.grad().is_none(), "a failed pass left a gradient")?;
    (&w * 2.0).sum().backward()?;
    Ok(())
}

fn fault_and_gradients(gpu: &Device) -> Outcome {
    let task = Task::new(gpu, &[8, 6, 4], 5);
    let mut optimizer = SGD::new(task.model.parameters(), 0.1);
    task.step(&mut optimizer, 0)?.item::<f32>()?;
    let weights = |task: &Task| -> Result<Vec<f32>> { task.model.parameters()[0].get().to_vec() };
    let before = weights(&task)?;
    let bad = Tensor::from_slice_on(&[0, 1, 9, 2, 3], &[5], gpu);
    let loss = task.model.call(&task.batch(1).0).cross_entropy(&bad);
    optimizer.zero_grad();
    loss.backward()?;
    // Printing reads, but has nobody to tell.
    check(loss.to_string().contains("nan"), format!("the loss of a bad label is shown as {loss}"))?;
    check(loss.item::<f32>().is_err(), "printing swallowed the fault")?;
    let error = optimizer.step().expect_err("these gradients are NaN").to_string();
    check(error.contains("zero_grad"), error)?;
    check(weights(&task)? == before, "the weights changed")?;
    task.step(&mut optimizer, 2)?.item::<f32>()?;
    check(weights(&task)? != before, "training does not go on")
}

fn reads_beside_dispatches(gpu: &Device) -> Outcome {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let one = Tensor::full_on(&[1], 1.0, DType::F32, gpu);
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                one.add(&one);
                gpu.flush();
            }
        });
        let two = Tensor::full_on(&[1], 2.0, DType::F32, gpu);
        let result = (0..300).try_for_each(|round| {
            let got = two.add_scalar(f64::from(round)).item::<f64>()?;
            check(got == 2.0 + f64::from(round), format!("round {round}: {got}"))
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        result
    })
}

fn upload_order(gpu: &Device) -> Outcome {
    // Uploads run before the recorded commands: they must not take memory that one of these still reads or writes.
    let mut sums = Vec::new();
    for round in 0..200 {
        let x = Tensor::from_slice_on(&[round as f32; 300], &[300], gpu);
        sums.push((&x + 1.0).sum());
    }
    for (round, sum) in sums.iter().enumerate() {
        let got = sum.item::<f32>()?;
        check(got == 300.0 * (round as f32 + 1.0), format!("round {round}: {got}"))?;
    }
    Ok(())
}

fn large_upload(gpu: &Device) -> Outcome {
    // More than is staged at a time, and than one submission takes.
    let n = 20 << 20;
    let values: Vec<f32> = (0..n).map(|i| (i % 1021) as f32).collect();
    let x = Tensor::from_slice_on(&values, &[n], gpu);
    check(x.to_vec::<f32>()? == values, "80 MiB do not come back as they went")
}

fn transfer(gpu: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2], &Device::reference()).requires_grad();
    let y = x.to(gpu).t().mul(&Tensor::full_on(&[2, 2], 3.0, DType::F32, gpu)).to(&Device::reference());
    check(y.to_vec::<f32>()? == [3.0, 9.0, 6.0, 12.0], "wrong values after the way there and back")?;
    y.sum().backward()?;
    let grad = x.grad().expect("the gradient comes back");
    check(grad.device() == x.device() && grad.to_vec::<f32>()? == [3.0; 4], "wrong gradient")
}

fn threads(gpu: &Device) -> Outcome {
    let work = |seed: usize| -> Result<f32> {
        let mut x = Tensor::full_on(&[257], seed as f64, DType::F32, gpu);
        for _ in 0..100 {
            x = x.add_scalar(1.0);
        }
        x.sum().item()
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..4).map(|seed| (seed, scope.spawn(move || work(seed)))).collect();
        for (seed, handle) in handles {
            let got = handle.join().map_err(|_| "a thread panicked")??;
            check(got == 257.0 * (seed as f32 + 100.0), format!("thread {seed}: {got}"))?;
        }
        Ok(())
    })
}

fn async_read(gpu: &Device) -> Outcome {
    let x = Tensor::full_on(&[3], 2.0, DType::F32, gpu);
    let read = pollster::block_on(x.mul(&x).to_vec_async::<f32>())?;
    check(read == [4.0; 3], "wrong values")
}
