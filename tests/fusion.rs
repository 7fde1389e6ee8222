//! Chains of small elementwise operations that run as one dispatch: the same bits as one by one, whatever the program, who
//! holds what and how often memory changes hands.

mod common;

use common::{Gpu, Outcome, Test, check, same, values};
use lumigrad::prelude::*;

const TESTS: &[(&str, Test)] = &[
    ("dependent_sums_are_one_dispatch", sums),
    ("random_programs_have_the_same_bits", random_programs),
    ("special_values_have_the_same_bits", special_values),
    ("training_steps_have_the_same_bits", training_steps),
    ("replays_have_the_same_bits", replays),
    ("what_is_held_is_written", held),
    ("in_place_changes_are_seen", in_place),
    ("views_of_one_memory_keep_apart", views),
    ("strided_targets_are_written_where_they_lie", strided_targets),
    ("random_views_have_the_same_bits", random_views),
    ("threads_share_a_device", threads),
    ("random_replays_have_the_same_bits", random_replays),
    ("more_dispatches_than_a_submission_takes", many),
    ("a_profile_shows_the_steps", profiled),
    ("a_refused_interpreter_leaves_the_steps", refused),
    ("kernels_in_between_read_what_they_should", in_between),
    ("large_tensors_stay_apart", large),
    ("replaced_kernels_run_themselves", replaced),
    ("unused_kernels_are_not_compiled", lazily),
];

fn main() {
    let gpu = Gpu::open();
    gpu.run(gpu.trials("gpu", TESTS));
}

/// What `body` gives with chains joined and without, and how many dispatches joining has saved.
fn both<R>(device: &Device, mut body: impl FnMut() -> R) -> (R, R, u64) {
    device.synchronize().expect("the device works");
    let before = device.counters().fused;
    let joined = body();
    device.synchronize().expect("the device works");
    let saved = device.counters().fused - before;
    device.set_fusion(false);
    let apart = body();
    device.synchronize().expect("the device works");
    device.set_fusion(true);
    (joined, apart, saved)
}

fn bits(t: &Tensor) -> Vec<u32> {
    // Which NaN it is says nothing.
    values(t).iter().map(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }).collect()
}

fn sums(device: &Device) -> Outcome {
    let one = Tensor::from_slice_on(&[1.0f32], &[1], device);
    let (joined, apart, saved) = both(device, || bits(&(0..100).fold(one.clone(), |x, _| x.add(&one))));
    same("joined", &joined, [101f32.to_bits()])?;
    same("apart", apart, joined)?;
    same("dispatches saved", saved, 99)
}

/// Numbers for tests (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }
}

/// One operation on some of these tensors, which have as many elements as the first or one.
fn operation(random: &mut Random, held: &[Tensor]) -> Tensor {
    let full: Vec<&Tensor> = held.iter().filter(|t| t.numel() == held[0].numel()).collect();
    let x = full[random.below(full.len())];
    let y = &held[random.below(held.len())];
    let number = random.below(7) as f64 / 2.0 - 1.5;
    match random.below(17) {
        0 | 1 => x.add(y),
        2 => x.sub(y),
        3 | 4 => x.mul(y),
        5 => x.div(y),
        6 => x.maximum(y),
        7 => x.minimum(y),
        8 => x.add_scalar(number),
        9 => x.mul_scalar(number),
        10 => x.div_scalar(number + 0.25),
        11 => x.neg(),
        12 => x.abs().sqrt(),
        13 => x.relu(),
        14 => x.leaky_relu(0.1),
        15 => x.square(),
        // No step of a chain.
        _ => x.tanh(),
    }
}

/// A program of so many operations, which now and then forgets and now and then changes something in place.
fn program(device: &Device, seed: u64, n: usize) -> Vec<Vec<u32>> {
    let mut random = Random(seed);
    let input = |k: usize| -> Vec<f32> { (0..n).map(|i| ((i * 37 + k * 101) % 64) as f32 / 16.0 - 1.9).collect() };
    let mut held: Vec<Tensor> = (0..3).map(|k| Tensor::from_slice_on(&input(k), &[n], device)).collect();
    held.push(Tensor::from_slice_on(&[1.25f32], &[1], device));
    for _ in 0..40 {
        let made = operation(&mut random, &held);
        match random.below(6) {
            0 => held.push(made),
            1 => {
                let target = random.below(held.len());
                if held[target].numel() == n {
                    held[target].copy_(&made).expect("the shapes fit");
                }
            }
            2 => {
                let target = random.below(held.len());
                if held[target].numel() == n {
                    held[target].add_(&made).expect("the shapes fit");
                }
            }
            _ => {
                let place = random.below(held.len());
                if place > 0 && held[place].numel() == n {
                    held[place] = made;
                } else {
                    held[0] = made;
                }
            }
        }
        if held.len() > 7 {
            let forgotten = 1 + random.below(held.len() - 1);
            held.remove(forgotten);
        }
    }
    held.iter().map(bits).collect()
}

fn random_programs(device: &Device) -> Outcome {
    let mut saved = 0;
    for seed in 1..=60 {
        let n = [1, 2, 7, 64, 65, 300][seed as usize % 6];
        let (joined, apart, fewer) = both(device, || program(device, seed * 7919, n));
        for (i, (joined, apart)) in joined.iter().zip(&apart).enumerate() {
            same(&format!("program {seed} of {n} elements, tensor {i}"), joined, apart)?;
        }
        saved += fewer;
    }
    check(saved > 600, format!("only {saved} dispatches were saved"))
}

fn special_values(device: &Device) -> Outcome {
    let special = [0.0, -0.0, 1.0, -1.0, 1e-40, 3e38, -3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-30];
    let n = special.len();
    let pairs = |of: fn(usize, usize) -> usize| (0..n * n).map(|i| special[of(i, n)]).collect::<Vec<f32>>();
    let x = Tensor::from_slice_on(&pairs(|i, n| i / n), &[n * n], device);
    let y = Tensor::from_slice_on(&pairs(|i, n| i % n), &[n * n], device);
    let operations: [fn(&Tensor, &Tensor) -> Tensor; 12] = [
        |x, y| x.add(y),
        |x, y| x.sub(y),
        |x, y| x.mul(y),
        |x, y| x.div(y),
        |x, y| x.maximum(y),
        |x, y| x.minimum(y),
        |x, _| x.neg(),
        |x, _| x.abs(),
        |x, _| x.sqrt(),
        |x, _| x.relu(),
        |x, _| x.leaky_relu(0.1),
        |x, _| x.square(),
    ];
    for (i, operation) in operations.iter().enumerate() {
        // A second step, so that there is a chain.
        let (joined, apart, saved) = both(device, || bits(&operation(&x, &y).neg()));
        same(&format!("operation {i}"), joined, apart)?;
        same("dispatches saved", saved, 1)?;
    }
    let gradients: [fn(&Tensor) -> Tensor; 3] = [|x| x.relu(), |x| x.leaky_relu(0.1), |x| x.square()];
    for (i, operation) in gradients.iter().enumerate() {
        let (joined, apart, saved) = both(device, || {
            let x = x.detach().requires_grad();
            operation(&x).neg().mul(&y).sum().backward().expect("the shapes fit");
            bits(&x.grad().expect("it was asked for"))
        });
        same(&format!("gradient {i}"), joined, apart)?;
        check(saved > 0, format!("gradient {i}: nothing was joined"))?;
    }
    Ok(())
}

/// Adam written by hand.
fn adam(parameter: &Tensor, gradient: &Tensor, m: &mut Tensor, v: &mut Tensor) -> Tensor {
    *m = m.mul_scalar(0.9).add(&gradient.mul_scalar(0.1));
    *v = v.mul_scalar(0.999).add(&gradient.square().mul_scalar(0.001));
    let step = m.div_scalar(0.1).div(&v.div_scalar(0.001).sqrt().add_scalar(1e-8)).mul_scalar(0.01);
    parameter.sub(&step)
}

fn training_steps(device: &Device) -> Outcome {
    let (joined, apart, saved) = both(device, || {
        let mut w = Tensor::from_slice_on(&[0.5f32, -0.25, 1.5], &[3, 1], device);
        let (mut m, mut v) = (w.mul_scalar(0.0), w.mul_scalar(0.0));
        let x: Vec<f32> = (0..24).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect();
        let x = Tensor::from_slice_on(&x, &[8, 3], device);
        let mut losses = Vec::new();
        for _ in 0..20 {
            let leaf = w.detach().requires_grad();
            let error = x.matmul(&leaf).relu().sub(&x.sum_dims(&[-1], true));
            let loss = error.square().mul_scalar(0.5).mean();
            loss.backward().expect("there is a graph");
            w = adam(&w, &leaf.grad().expect("it was asked for"), &mut m, &mut v);
            losses.push(loss.detach());
        }
        let mut all: Vec<_> = losses.iter().map(bits).collect();
        all.push(bits(&w));
        all
    });
    same("losses and weights", joined, apart)?;
    check(saved > 200, format!("only {saved} dispatches were saved"))
}

fn replays(device: &Device) -> Outcome {
    let (joined, apart, saved) = both(device, || {
        let state = Tensor::from_slice_on(&[1.0f32, -2.0, 3.0], &[3], device);
        let mut capture = device.capture();
        let mut all = Vec::new();
        for i in 0..8 {
            let x = Tensor::from_slice_on(&[i as f32, 0.5, -0.25], &[3], device);
            let step = |inputs: &[Tensor]| {
                let moved = state.mul_scalar(0.75).add(&inputs[0]).maximum(&inputs[0].neg());
                state.copy_(&moved.sub(&state.square().mul_scalar(0.125)))?;
                Ok(moved.add(&state).relu())
            };
            let result = capture.run(&[&x], step).expect("the step can be recorded");
            all.push((bits(&result), bits(&state)));
        }
        all
    });
    same("results and state", joined, apart)?;
    check(saved > 20, format!("only {saved} dispatches were saved"))
}

fn held(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[1.0f32, 2.0], &[2], device);
    let all: Vec<Tensor> = (0..30)
        .scan(x.clone(), |y, _| {
            *y = y.add(&x);
            Some(y.clone())
        })
        .collect();
    for (i, y) in all.iter().enumerate() {
        same(&format!("sum {i}"), values(y), [(i + 2) as f32, 2.0 * (i + 2) as f32])?;
    }
    Ok(())
}

fn in_place(device: &Device) -> Outcome {
    let (joined, apart, saved) = both(device, || {
        let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], device);
        let old = x.mul_scalar(1.0);
        for _ in 0..5 {
            x.add_(x.mul_scalar(0.5)).expect("the shapes fit");
            x.copy_(&x.sub(&old)).expect("the shapes fit");
        }
        (bits(&x), bits(&old))
    });
    same("joined", &joined, &apart)?;
    check(saved > 10, format!("only {saved} dispatches were saved"))
}

fn views(device: &Device) -> Outcome {
    let (joined, apart, saved) = both(device, || {
        let whole = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[6], device);
        let (left, right) = (whole.slice(0, 0, 3), whole.slice(0, 3, 6));
        let (middle, first) = (whole.slice(0, 2, 5), whole.slice(0, 0, 1));
        left.add_(right.mul_scalar(2.0)).expect("the shapes fit");
        right.copy_(&left.add(&middle)).expect("the shapes fit");
        middle.add_(right.add(&first)).expect("the shapes fit");
        left.copy_(&middle.neg().add(&first)).expect("the shapes fit");
        bits(&whole)
    });
    same("joined", joined, apart)?;
    check(saved > 0, "nothing was joined")
}

fn strided_targets(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], device);
    let (joined, apart, _) = both(device, || {
        let whole = Tensor::from_slice_on(&[0.5f32; 12], &[3, 4], device);
        whole.select(1, 1).copy_(&x.neg()).expect("the shapes fit");
        whole.select(1, 2).add_(x.neg()).expect("the shapes fit");
        whole.select(1, 0).slice(0, 0, 1).copy_(&x.slice(0, 2, 3).neg()).expect("the shapes fit");
        values(&whole)
    });
    same("joined", &joined, [-3.0, -1.0, -0.5, 0.5, 0.5, -2.0, -1.5, 0.5, 0.5, -3.0, -2.5, 0.5])?;
    same("apart", apart, joined)
}

/// Six elements of a matrix of [4, 6], or four: rows, parts of rows, columns, one element for all.
fn view(random: &mut Random, matrix: &Tensor) -> Tensor {
    match random.below(7) {
        0 | 1 => matrix.select(0, random.below(4) as i64),
        2 => matrix.reshape([24]).slice(0, 3, 9),
        3 => {
            let first = random.below(18) as i64;
            matrix.reshape([24]).slice(0, first, first + 6)
        }
        4 => matrix.slice(1, 2, 3).expand([4, 6]).select(0, 1),
        5 => matrix.slice(0, 0, 2).slice(1, 0, 3).reshape([6]),
        _ => matrix.select(1, random.below(6) as i64),
    }
}

/// A program on views of three matrices, with uploads and reads in the middle. Operands that don't fit are left alone.
fn views_program(device: &Device, seed: u64) -> Vec<Vec<u32>> {
    let mut random = Random(seed);
    let matrices = matrices(device);
    let mut held: Vec<Tensor> = vec![matrices[0].select(0, 0).mul_scalar(1.0)];
    let mut results = Vec::new();
    for _ in 0..60 {
        let operand = |random: &mut Random| match random.below(2) {
            0 => held[random.below(held.len())].clone(),
            _ => {
                let matrix = &matrices[random.below(3)];
                view(random, matrix)
            }
        };
        let (x, y) = (operand(&mut random), operand(&mut random));
        let y = if y.numel() == x.numel() { y } else { y.slice(0, 1, 2) };
        let made = match random.below(7) {
            0 => x.add(&y),
            1 => x.mul(&y),
            2 => x.sub(&y),
            3 => x.maximum(&y),
            4 => x.neg(),
            5 => x.mul_scalar(0.5),
            _ => x.relu(),
        };
        let matrix = &matrices[random.below(3)];
        let target = view(&mut random, matrix);
        let fits = target.numel() == made.numel() && target.strides().iter().all(|&stride| stride > 0);
        match random.below(7) {
            0 if fits => target.copy_(&made).expect("the shapes fit"),
            1 if fits => target.add_(&made).expect("the shapes fit"),
            2 => matrix.select(0, 1).copy_(&made.slice(0, 1, 2)).expect("the shapes fit"),
            3 => {
                let fresh = Tensor::from_slice_on(&vec![random.below(9) as f32; made.numel()], &[made.numel()], device);
                held.push(fresh.add(&made));
            }
            4 if random.below(4) == 0 => results.push(bits(&made)),
            5 => {
                let sums = matrix.sum_dims(&[0], false).mul_scalar(0.125);
                matrices[0].select(0, 3).copy_(&sums).expect("the shapes fit");
            }
            _ => held.push(made),
        }
        if held.len() > 6 {
            held.remove(random.below(6));
        }
    }
    results.extend(held.iter().chain(&matrices).map(bits));
    results
}

fn matrices(device: &Device) -> Vec<Tensor> {
    let values = |k: usize| -> Vec<f32> { (0..24).map(|i| ((i * 37 + k * 101) % 64) as f32 / 16.0 - 1.9).collect() };
    (0..3).map(|k| Tensor::from_slice_on(&values(k), &[4, 6], device)).collect()
}

fn random_views(device: &Device) -> Outcome {
    let mut saved = 0;
    for seed in 1..=60 {
        let (joined, apart, fewer) = both(device, || views_program(device, seed * 104_729));
        for (i, (joined, apart)) in joined.iter().zip(&apart).enumerate() {
            same(&format!("program {seed}, tensor {i}"), joined, apart)?;
        }
        saved += fewer;
    }
    check(saved > 600, format!("only {saved} dispatches were saved"))
}

fn threads(device: &Device) -> Outcome {
    device.set_fusion(false);
    let want: Vec<_> = (1..=24).map(|seed| views_program(device, seed * 7907)).collect();
    device.set_fusion(true);
    let got = std::thread::scope(|scope| {
        let of_thread = |thread: usize| {
            let seeds = (1..=24u64).skip(thread).step_by(3);
            scope.spawn(move || seeds.map(|seed| (seed, views_program(device, seed * 7907))).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..3).map(of_thread).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    for (seed, got) in got {
        same(&format!("program {seed}"), got, &want[seed as usize - 1])?;
    }
    Ok(())
}

/// A step on three matrices that changes some of their rows and columns.
fn step_on(matrices: &[Tensor], input: &Tensor, seed: u64) -> Result<Tensor> {
    let mut random = Random(seed);
    let mut held = vec![input.clone(), input.neg()];
    for _ in 0..25 {
        let x = held[random.below(held.len())].clone();
        let y = matrices[random.below(3)].select(0, random.below(4) as i64);
        let made = match random.below(5) {
            0 => x.add(&y),
            1 => x.mul(&y).mul_scalar(0.25),
            2 => x.maximum(&y),
            3 => x.sub(&y),
            _ => y.relu(),
        };
        match random.below(4) {
            0 => matrices[random.below(3)].select(0, random.below(4) as i64).copy_(&made)?,
            1 => held.push(made),
            _ => {
                let place = random.below(held.len());
                held[place] = made;
            }
        }
        if held.len() > 4 {
            held.remove(1);
        }
    }
    Ok(held.pop().expect("there are some"))
}

fn random_replays(device: &Device) -> Outcome {
    for seed in 1..=15 {
        let (joined, apart, _) = both(device, || {
            let (matrices, mut capture) = (matrices(device), device.capture());
            let (mut read, mut kept) = (Vec::new(), Vec::new());
            for i in 0..7 {
                let x = Tensor::from_slice_on(&[i as f32, 0.5, -0.25, 1.0, 2.0, 3.0], &[6], device);
                let step = |inputs: &[Tensor]| step_on(&matrices, &inputs[0], seed * 7919);
                let result = capture.run(&[&x], step).expect("the step can be recorded");
                match i % 3 {
                    2 => read.push(bits(&result)),
                    _ => kept.push(result.mul_scalar(1.0)),
                }
            }
            read.extend(kept.iter().chain(&matrices).map(bits));
            read
        });
        for (i, (joined, apart)) in joined.iter().zip(&apart).enumerate() {
            same(&format!("step {seed}, tensor {i}"), joined, apart)?;
        }
    }
    Ok(())
}

/// Also where each chain has a result too many, so that the search for its end goes on for a while.
fn many(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[1.0f32, 2.0], &[2], device);
    let sums: Vec<Tensor> = (0..4).map(|_| x.mul_scalar(0.0)).collect();
    let (_, _, saved) = both(device, || (0..1500).for_each(|i| sums[i % 4].add_(&x).expect("the shapes fit")));
    for sum in &sums {
        same("sum", values(sum), [750.0, 1500.0])?;
    }
    check(saved > 900, format!("only {saved} dispatches were saved"))
}

fn profiled(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[1.0f32, 2.0], &[2], device);
    let before = device.counters().fused;
    let (sum, profile) = device.scope(|| lumigrad::profile(|| values(&x.add(&x).add(&x).neg())));
    same("sum", sum, [-3.0, -6.0])?;
    same("dispatches saved", device.counters().fused - before, 0)?;
    common::mentions(&profile.to_string(), &["add.forward", "neg.forward"])
}

fn refused(_: &Device) -> Outcome {
    let device = Device::gpu()?;
    let kernel = lumigrad::ops::kernel("chain.forward").expect("there is such a kernel");
    device.replace_kernel(kernel, 0, Some("nothing that compiles".into()));
    let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], &device);
    same("result", values(&x.add(&x).mul(&x).sub(&x)), [1.0, 6.0, 15.0])?;
    same("dispatches saved", device.counters().fused, 0)?;
    device.synchronize()?;
    device.replace_kernel(kernel, 0, None);
    same("result", values(&x.add(&x).mul(&x).sub(&x)), [1.0, 6.0, 15.0])?;
    same("dispatches saved", device.counters().fused, 2)
}

fn in_between(device: &Device) -> Outcome {
    let (joined, apart, saved) = both(device, || {
        let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2], device);
        let mut y = x.clone();
        for _ in 0..10 {
            let a = y.mul_scalar(0.5).add(&x);
            let product = a.matmul(&x).mul_scalar(0.125).sub(&a);
            y = product.add(&a.sum()).div_scalar(4.0).maximum(&a);
        }
        bits(&y)
    });
    same("joined", joined, apart)?;
    check(saved > 20, format!("only {saved} dispatches were saved"))
}

fn large(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&vec![1.0f32; 1 << 16], &[1 << 16], device);
    let (_, _, saved) = both(device, || bits(&x.add(&x).add(&x)));
    same("dispatches saved", saved, 0)
}

fn replaced(device: &Device) -> Outcome {
    let kernel = lumigrad::ops::kernel("add.forward").expect("there is such a kernel");
    let text = kernel.source.concat().replace("return x + y;", "return x + y + 1.0;");
    device.replace_kernel(kernel, 0, Some(text));
    let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], device);
    let got = values(&x.add(&x).add(&x));
    device.replace_kernel(kernel, 0, None);
    same("with another text", got, [5.0, 8.0, 11.0])?;
    same("with its own", values(&x.add(&x).add(&x)), [3.0, 6.0, 9.0])
}

fn lazily(_: &Device) -> Outcome {
    let fresh = Device::gpu()?;
    let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], &fresh);
    let sum = values(&x.add(&x).mul(&x).sub(&x));
    same("result", sum, [1.0, 6.0, 15.0])?;
    same("pipelines", fresh.counters().pipelines_created, 1)
}
