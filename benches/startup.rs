//! From the start of a process to the end of its first training step, with a cold and with a warm driver cache: how long
//! the device takes to open, the kernels to compile and the step to run, in wall and in processor time, and how much memory
//! it takes at most.
//!
//!     cargo bench --bench startup
//!
//! The program starts itself anew for every measurement. The cache is Mesa's; other drivers keep theirs. Processor time and
//! memory are Linux's, and missing elsewhere.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use lumigrad::{optim, prelude::*};

/// Set in the processes that are measured.
const CHILD: &str = "LUMIGRAD_STARTUP_CHILD";

const RUNS: usize = 7;

fn main() {
    if std::env::var_os(CHILD).is_some() {
        measured();
        return;
    }
    println!("device: {}", Device::current());
    println!("process start to the end of the first training step, medians of {RUNS} runs (and the range)");
    let cache = std::env::temp_dir().join(format!("lumigrad-startup-{}", std::process::id()));
    let cold: Vec<Run> = (0..RUNS)
        .map(|_| {
            let _ = std::fs::remove_dir_all(&cache);
            run(&cache)
        })
        .collect();
    let warm: Vec<Run> = (0..RUNS).map(|_| run(&cache)).collect();
    std::fs::remove_dir_all(&cache).expect("the cache can be removed");
    for (name, runs) in [("cold", cold), ("warm", warm)] {
        print(name, &runs);
    }
}

/// What was measured of one process, in seconds and megabytes.
struct Run {
    wall: f64,
    /// Opening the device, the first step, the same step again: wall and processor time.
    parts: [[f64; 2]; 3],
    peak: f64,
}

fn print(name: &str, runs: &[Run]) {
    let seconds = |value: &dyn Fn(&Run) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        format!("{:.3} ({:.3} to {:.3})", all[RUNS / 2], all[0], all[RUNS - 1])
    };
    println!("{name} driver cache: {} s", seconds(&|run| run.wall));
    for (i, clock) in ["wall", "processor"].into_iter().enumerate() {
        let [device, compile, again] =
            [seconds(&|r| r.parts[0][i]), seconds(&|r| r.parts[1][i] - r.parts[2][i]), seconds(&|r| r.parts[2][i])];
        println!("  {clock} time: device {device}, compile {compile}, run {again}");
    }
    println!("  peak memory: {} MB", seconds(&|run| run.peak));
}

fn run(cache: &Path) -> Run {
    use std::io::BufRead;

    std::fs::create_dir_all(cache).expect("the cache can be made");
    let program = std::env::current_exe().expect("the program knows its path");
    let mut command = Command::new(program);
    command.env(CHILD, "1").env("MESA_SHADER_CACHE_DIR", cache).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("the child tells").expect("the child can be heard");
    assert_eq!(line(), DONE);
    let wall = start.elapsed().as_secs_f64();
    let numbers: Vec<f64> = line().split(' ').map(|number| number.parse().expect("a number")).collect();
    assert!(child.wait().expect("the child ends").success(), "the measured process failed");
    let part = |i: usize| [numbers[i], numbers[i + 1]];
    Run { wall, parts: [part(0), part(2), part(4)], peak: numbers[6] }
}

/// What the child says at the end of its first step.
const DONE: &str = "done";

/// What happens in the measured process.
fn measured() {
    let mut parts = Vec::new();
    let mut last = (Instant::now(), processor_time());
    let mut lap = || {
        let now = (Instant::now(), processor_time());
        parts.extend([(now.0 - last.0).as_secs_f64(), now.1 - last.1]);
        last = now;
    };
    Device::current();
    lap();
    step().expect("the first step works");
    println!("{DONE}");
    lap();
    let peak = peak_memory();
    step().expect("the second step works");
    lap();
    let numbers: Vec<String> = parts.iter().chain([&peak]).map(|number| number.to_string()).collect();
    println!("{}", numbers.join(" "));
}

/// One step of 784-512-256-10 with batch 64, from the making of the model to the value of the loss.
fn step() -> Result<()> {
    let model = common::mlp();
    let mut optimizer = optim::Adam::new(model.parameters(), 1e-3);
    let x = Tensor::from_slice(&vec![0.5f32; 64 * 784], &[64, 784]);
    let y = Tensor::from_slice(&(0..64).map(|i| i % 10).collect::<Vec<i32>>(), &[64]);
    let loss = common::train(&model, &mut optimizer, &[x, y])?;
    loss.item::<f32>()?;
    Ok(())
}

/// Seconds that this process has had of all processors.
fn processor_time() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return f64::NAN };
    // The second field is a name that may hold blanks; of the fields behind it, time is counted in hundredths.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory that this process has had, in megabytes.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(f64::NAN, |kb| kb / 1024.0)
}
