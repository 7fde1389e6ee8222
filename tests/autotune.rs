//! Kernels that are chosen by measuring them: what is chosen runs, is kept, and is read by the next process.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Gpu, Outcome, Test, check, same};
use libtest_mimic::Failed;
use lumigrad::prelude::*;
use lumigrad::{BatchNormOptions, RecurrentOptions};

/// Set in the processes that measure, to what they are to do.
const CHILD: &str = "LUMIGRAD_AUTOTUNE_CHILD";

const TESTS: &[(&str, Test)] = &[
    ("choices_are_kept_for_the_next_process", kept),
    ("every_family_is_measured", families),
    ("a_bad_index_is_still_reported", bad_index),
    ("a_damaged_file_is_measured_anew", damaged),
    ("a_kernel_that_can_not_run_is_not_chosen", broken),
    ("nothing_is_measured_unasked", unasked),
    ("captured_steps_are_not_measured", captured),
];

fn main() {
    if let Ok(what) = std::env::var(CHILD) {
        env_logger::init();
        return child(&what).expect("the child works");
    }
    let gpu = Gpu::open();
    gpu.run(TESTS.iter().map(|(name, test)| gpu.trial(*name, test)).collect())
}

/// What a process said.
struct Told {
    results: String,
    log: String,
}

impl Told {
    /// How many computations it measured.
    fn measured(&self) -> usize {
        self.log.lines().filter(|line| line.contains("INFO") && line.contains("lumigrad::ops::tune")).count()
    }
}

fn run(dir: &Path, what: &str) -> Result<Told, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(CHILD, what).env("LUMIGRAD_CACHE", dir).env("RUST_LOG", "lumigrad=info");
    let output = command.output()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    check(output.status.success(), log.clone())?;
    Ok(Told { results: String::from_utf8(output.stdout)?, log })
}

/// The file of the choices.
fn file(dir: &Path) -> Result<PathBuf, Failed> {
    for entry in std::fs::read_dir(dir.join("kernels"))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("choices_")) {
            return Ok(path);
        }
    }
    Err("no choices are kept".into())
}

fn kept(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let first = run(dir.path(), "tune")?;
    // A product and both its gradients, a convolution and its gradient, softmax and its gradient, two sums.
    check(first.measured() == 9, format!("{} computations were measured: {}", first.measured(), first.log))?;
    let text = String::from_utf8_lossy(&std::fs::read(file(dir.path())?)?).into_owned();
    let kept = ["matmul", "conv", "reduce"].map(|family| text.matches(&format!("\"{family} ")).count());
    check(kept == [3, 2, 4], text)?;
    let second = run(dir.path(), "tune")?;
    same("computations measured by the second process", second.measured(), 0)?;
    same("results", second.results, first.results)
}

/// What writes several tensors, or changes them in place, is measured on memory of its own: the results stay what they are.
fn families(_: &Device) -> Outcome {
    let numbers = |told: &Told| -> Result<Vec<f32>, Failed> {
        let list = told.results.trim().trim_matches(['[', ']']).split(", ");
        Ok(list.map(str::parse).collect::<Result<_, _>>()?)
    };
    let dir = tempfile::tempdir()?;
    let first = run(dir.path(), "families")?;
    let text = String::from_utf8_lossy(&std::fs::read(file(dir.path())?)?).into_owned();
    let kept = ["recurrent", "sort", "scatter_add"].map(|family| text.matches(&format!("\"{family} ")).count());
    check(kept == [2, 1, 1], text.clone())?;
    // Rows and their gradient, weights of rows; moments, and sums for the gradient of a batch; a variance.
    check(text.matches("\"reduce ").count() >= 6, text)?;
    let second = run(dir.path(), "families")?;
    same("computations measured by the second process", second.measured(), 0)?;
    same("results", &second.results, &first.results)?;
    let usual = numbers(&run(dir.path(), "families, usual")?)?;
    let first = numbers(&first)?;
    same("numbers", first.len(), usual.len())?;
    let far = first.iter().zip(&usual).find(|(a, b)| (*a - *b).abs() > 1e-4 * b.abs().max(1.0));
    check(far.is_none(), format!("measured and usual kernels disagree: {far:?}"))
}

fn bad_index(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let told = run(dir.path(), "bad index")?;
    common::mentions(&told.results, &["index_add", "index 9"])
}

fn damaged(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let measured = run(dir.path(), "tune")?.measured();
    let path = file(dir.path())?;
    let mut bytes = std::fs::read(&path)?;
    *bytes.last_mut().ok_or("an empty file")? ^= 1;
    std::fs::write(&path, bytes)?;
    let again = run(dir.path(), "tune")?;
    common::mentions(&again.log, &["WARN", "is damaged"])?;
    same("computations measured again", again.measured(), measured)?;
    same("computations measured when all is well again", run(dir.path(), "tune")?.measured(), 0)
}

/// The child's usual kernels for matrix products are broken, and only the choice goes round them.
fn broken(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let first = run(dir.path(), "broken")?;
    same("computations measured", first.measured(), 1)?;
    check(first.results.starts_with("[19.0, 22.0, 43.0, 50.0"), first.results.clone())?;
    let second = run(dir.path(), "broken")?;
    same("computations measured by the second process", second.measured(), 0)?;
    same("results", second.results, first.results)
}

fn unasked(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    same("computations measured", run(dir.path(), "off")?.measured(), 0)?;
    check(file(dir.path()).is_err(), "choices are kept")
}

fn captured(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let told = run(dir.path(), "capture")?;
    same("computations measured", told.measured(), 0)?;
    same("results", told.results.trim(), "[7.0, 7.0, 7.0, 7.0]")
}

fn child(what: &str) -> lumigrad::Result<()> {
    let device = Device::gpu()?;
    device.set_autotune(!["off", "families, usual"].contains(&what));
    device.manual_seed(0);
    match what {
        "tune" | "off" => println!("{:?}", step(&device)?),
        "families" | "families, usual" => println!("{:?}", other_families(&device)?),
        "bad index" => {
            let index = Tensor::from_slice_on(&[0i32, 9], &[2], &device);
            let ones = |shape: &[usize]| Tensor::full_on(shape, 1.0, DType::F32, &device);
            let sum = ones(&[4, 3]).try_index_add(0, &index, &ones(&[2, 3]), 1.0)?;
            // Another measurement reads its results before the program does.
            let product = sum.try_matmul(&sum.t())?;
            println!("{}", product.to_vec::<f32>().expect_err("index 9 of 4 is none"));
        }
        "broken" => {
            for name in ["matmul.vectors", "matmul.subgroups"].into_iter().chain(usual(&device)) {
                let kernel = lumigrad::ops::kernel(name).expect("the kernel is listed");
                for variant in 0..kernel.variants.len() {
                    device.replace_kernel(kernel, variant, Some("nothing that compiles".into()));
                }
            }
            let (a, b) = ([1.0f32, 2.0, 3.0, 4.0], [5.0f32, 6.0, 7.0, 8.0]);
            let product =
                Tensor::from_slice_on(&a, &[2, 2], &device).try_matmul(&Tensor::from_slice_on(&b, &[2, 2], &device))?;
            println!("{:?}", product.to_vec::<f32>()?);
        }
        _ => {
            let x = Tensor::full_on(&[1, 7], 1.0, DType::F32, &device);
            let y = Tensor::full_on(&[7, 1], 1.0, DType::F32, &device);
            let mut capture = device.capture();
            let mut sums = Vec::new();
            for _ in 0..4 {
                sums.push(capture.run(&[&x, &y], |inputs| inputs[0].try_matmul(&inputs[1]))?.item::<f32>()?);
            }
            println!("{sums:?}");
        }
    }
    Ok(())
}

/// The kernel that serves where no adapter fact says otherwise, where it is not one of those for software drivers.
fn usual(device: &Device) -> Option<&'static str> {
    let software = device.adapter().is_some_and(|facts| facts.is_software());
    (!software).then_some("matmul.tiled")
}

/// Norms, an LSTM, sorting, sums of scattered elements, and gradients of all of them.
fn other_families(device: &Device) -> lumigrad::Result<Vec<f32>> {
    let leaf = |shape: &[usize]| Tensor::uniform_on(shape, -1.0, 1.0, device).requires_grad();
    let leaves = [leaf(&[6, 5, 12]), leaf(&[12]), leaf(&[5]), leaf(&[32, 12]), leaf(&[32, 8])];
    let [x, weight, channels, w_ih, w_hh] = &leaves;
    let [mean, var] = [0.0, 1.0].map(|value| Tensor::full_on(&[5], value, DType::F32, device));
    let rows = x.layer_norm(&[12], Some(weight), None, 1e-5);
    let options = BatchNormOptions {
        weight: Some(channels),
        running_mean: Some(&mean),
        running_var: Some(&var),
        training: true,
        ..Default::default()
    };
    let batch = rows.batch_norm(&options);
    let options = RecurrentOptions { bias: false, ..Default::default() };
    let (sequence, _, cell) = batch.lstm(None, &[w_ih.clone(), w_hh.clone()], &options);
    let (sorted, places) = sequence.reshape([6, 40]).sort(1, true);
    let index = Tensor::from_slice_on(&[0i32, 2, 2, 1, 0, 2], &[6], device);
    let scattered = Tensor::full_on(&[3, 40], 0.5, DType::F32, device).index_add(0, &index, &sorted, 2.0);
    let varied = scattered.var(&[1], 1, false);
    (varied.sum() + scattered.square().sum() + cell.square().sum()).backward()?;
    let mut numbers = Vec::new();
    for tensor in [&scattered, &mean, &var].into_iter().cloned().chain(leaves.iter().filter_map(Tensor::grad)) {
        numbers.extend(tensor.detach().to_vec::<f32>()?);
    }
    numbers.extend(places.to_vec::<i32>()?.iter().map(|&place| place as f32));
    Ok(numbers)
}

/// Bits of a product, its softmax, a convolution and their gradients.
fn step(device: &Device) -> lumigrad::Result<Vec<u32>> {
    let leaf = |shape: &[usize]| Tensor::uniform_on(shape, -1.0, 1.0, device).requires_grad();
    let (a, b) = (leaf(&[32, 48]), leaf(&[48, 64]));
    // The gradient of a weight would add up parts, on some adapters.
    let (x, w) = (leaf(&[2, 8, 9, 9]), leaf(&[8, 8, 3, 3]).detach());
    let (product, images) = (a.matmul(&b), x.conv2d(&w, None, &Default::default()));
    (product.softmax(1).square().sum() + images.square().sum()).backward()?;
    let results = [Some(product), Some(images), a.grad(), b.grad(), x.grad()];
    let mut bits = Vec::new();
    for tensor in results.into_iter().flatten() {
        bits.extend(tensor.detach().to_vec::<f32>()?.iter().map(|value| value.to_bits()));
    }
    Ok(bits)
}
