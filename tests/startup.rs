//! The first training step of a process: what is compiled when, and by whom.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Gpu, Outcome, Test, check};
use libtest_mimic::Failed;
use lumigrad::{nn, optim, prelude::*};

/// Set in the processes that run a first step and tell of it.
const CHILD: &str = "LUMIGRAD_STARTUP_CHILD";

fn main() {
    if std::env::var_os(CHILD).is_some() {
        env_logger::init();
        return tell().expect("the step works");
    }
    let gpu = Gpu::open();
    let tests: [(&str, Test); 4] = [
        ("kernels_are_compiled_when_they_are_submitted", compiled_together),
        ("a_first_step_has_the_bits_of_a_later_one", same_bits),
        ("new_kernels_are_compiled_on_two_devices", compiled_ahead),
        ("pipelines_are_kept_in_the_cache_folder", kept),
    ];
    gpu.run(tests.into_iter().map(|(name, test)| gpu.trial(name, test)).collect())
}

fn compiled_together(_: &Device) -> Outcome {
    let device = Device::gpu()?;
    let x = Tensor::from_slice_on(&[0.5f32, 2.0], &[2], &device);
    let y = x.exp().log().add(&x).relu().sum();
    let before = device.counters().pipelines_created;
    let value = y.item::<f32>()?;
    let compiled = device.counters().pipelines_created - before;
    check((value - 5.0).abs() < 1e-5, format!("the sum is {value}"))?;
    check(before == 0 && compiled >= 4, format!("{before} kernels before the read, {compiled} with it"))
}

fn same_bits(_: &Device) -> Outcome {
    let device = Device::gpu()?;
    let (first, later) = (step(&device)?, step(&device)?);
    check(first == later, format!("{first:?} and then {later:?}"))
}

/// Where the driver is lavapipe, a second device compiles a part of the kernels that Mesa's cache does not have.
fn compiled_ahead(device: &Device) -> Outcome {
    let is_lavapipe = device.adapter().is_some_and(|facts| facts.name.starts_with("llvmpipe"));
    if !is_lavapipe || std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Ok(());
    }
    let [with, without, disabled] = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    // Files that can be counted, where they are not what the cache is made of anyway.
    let files_only = ("MESA_DISK_CACHE_MULTI_FILE", "true");
    let cold = child(with.path(), &[files_only])?;
    let alone = child(disabled.path(), &[("MESA_SHADER_CACHE_DISABLE", "true")])?;
    let (told, told_alone) = (String::from_utf8(cold.stdout)?, String::from_utf8(alone.stdout)?);
    check(told == told_alone, format!("with help {told}, without {told_alone}"))?;
    let helped = |stderr: &[u8]| String::from_utf8_lossy(stderr).contains("kernels ahead");
    check(helped(&cold.stderr), "nobody helps when the cache is empty")?;
    check(!helped(&alone.stderr), "a helper is there though it can't hand on what it compiles")?;
    // Both devices compile the same: the cache has no entry that only one of them looks for. How many there are is up to
    // Mesa: one a kernel and one of its own, or also some for what comes before the code. With one processor nobody helps.
    let Some(lone) = on_one_processor(without.path(), files_only)? else {
        eprintln!("without taskset the entries of one device alone can't be counted");
        return Ok(());
    };
    check(!helped(&lone.stderr), "somebody helps on one processor")?;
    let kernels: usize = told.split(' ').next().unwrap_or_default().parse()?;
    let (entries, needed) = (files(with.path())?, files(without.path())?);
    let text = format!("{kernels} kernels, {entries} entries in the cache, and {needed} of one device alone");
    check(entries >= kernels && entries == needed, text)
}

/// Where the back end gives them out; a damaged file is said, and done without.
fn kept(_: &Device) -> Outcome {
    let dir = tempfile::tempdir()?;
    let cache = dir.path().join("lumigrad");
    let run = || child(&dir.path().join("mesa"), &[("LUMIGRAD_CACHE", cache.to_str().unwrap_or_default())]);
    let told = run()?.stdout;
    let offered = cache.exists();
    let device = Device::gpu()?;
    let vulkan = device.adapter().is_some_and(|facts| facts.backend == "Vulkan");
    check(offered || !vulkan, "nothing is kept")?;
    if !offered {
        return Ok(());
    }
    let list = || -> Result<Vec<_>, Failed> {
        Ok(std::fs::read_dir(cache.join("kernels"))?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?)
    };
    let files = list()?;
    check(files.len() == 1, format!("there are {files:?}"))?;
    let whole = std::fs::read(&files[0])?;
    let damaged = |stderr: &[u8]| String::from_utf8_lossy(stderr).contains("is damaged");
    for (content, is_damaged) in [(&whole[..], false), (&whole[..whole.len() - 1], true)] {
        std::fs::write(&files[0], content)?;
        let again = run()?;
        check(again.stdout == told, "other results")?;
        check(damaged(&again.stderr) == is_damaged, String::from_utf8_lossy(&again.stderr))?;
        check(std::fs::read(&files[0])? == whole && list()?.len() == 1, "the file is not as before")?;
    }
    let nowhere = child(&dir.path().join("mesa"), &[("LUMIGRAD_CACHE", "")])?;
    check(nowhere.stdout == told, "other results without a folder")
}

fn child(cache: &Path, variables: &[(&str, &str)]) -> Result<Output, Failed> {
    run(Command::new(std::env::current_exe()?), cache, variables)
}

/// The same on the first processor that is allowed, where `taskset` sees to it.
fn on_one_processor(cache: &Path, variable: (&str, &str)) -> Result<Option<Output>, Failed> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim();
    let first = allowed.split([',', '-']).next().unwrap_or_default();
    let one = || {
        let mut command = Command::new("taskset");
        command.args(["-c", first]);
        command
    };
    if !one().arg("true").output().is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let mut command = one();
    command.arg(std::env::current_exe()?);
    run(command, cache, &[variable]).map(Some)
}

fn run(mut command: Command, cache: &Path, variables: &[(&str, &str)]) -> Result<Output, Failed> {
    command.env(CHILD, "1").env("MESA_SHADER_CACHE_DIR", cache).env("RUST_LOG", "lumigrad=debug");
    let output = command.envs(variables.iter().copied()).output()?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(output)
}

fn files(dir: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

/// Says how many kernels a first step has, and its results.
fn tell() -> lumigrad::Result<()> {
    let device = Device::gpu()?;
    let results = step(&device)?;
    // Mesa writes its cache behind the program's back.
    std::thread::sleep(std::time::Duration::from_millis(500));
    println!("{} {results:?}", device.counters().pipelines_created);
    Ok(())
}

/// The bits of a training step: the loss, and a weight after it.
fn step(device: &Device) -> lumigrad::Result<[u32; 2]> {
    device.scope(|| {
        device.manual_seed(0);
        let layers = nn::Sequential::new().add(nn::Linear::new(64, 32)).add(nn::ReLU).add(nn::Linear::new(32, 10));
        let mut optimizer = optim::Adam::new(layers.parameters(), 1e-3);
        let x = Tensor::from_slice(&[0.5f32; 64 * 64], &[64, 64]);
        let y = Tensor::from_slice(&(0..64).map(|i| i % 10).collect::<Vec<i32>>(), &[64]);
        let loss = layers.call(&x).cross_entropy(&y);
        loss.backward()?;
        optimizer.step()?;
        let weight = layers.parameters()[0].get().sum();
        Ok([loss.item::<f32>()?.to_bits(), weight.item::<f32>()?.to_bits()])
    })
}
