//! From the start of a process to the end of its first training step, with a cold and with a warm driver cache.
//!
//!     cargo bench --bench startup
//!
//! The program starts itself anew for every measurement. The cache is Mesa's; other drivers keep theirs.

mod common;

use std::process::Command;
use std::time::Instant;

use lumigrad::{optim, prelude::*};

/// Set in the processes that are measured.
const CHILD: &str = "LUMIGRAD_STARTUP_CHILD";

const RUNS: usize = 5;

fn main() {
    if std::env::var_os(CHILD).is_some() {
        first_step().expect("the first step works");
        return;
    }
    println!("device: {}", Device::current());
    let cache = std::env::temp_dir().join(format!("lumigrad-startup-{}", std::process::id()));
    let warm: Vec<f64> = {
        run(&cache);
        (0..RUNS).map(|_| run(&cache)).collect()
    };
    let cold = (0..RUNS).map(|_| {
        std::fs::remove_dir_all(&cache).expect("the cache can be removed");
        std::fs::create_dir(&cache).expect("the cache can be made");
        run(&cache)
    });
    let cold: Vec<f64> = cold.collect();
    std::fs::remove_dir_all(&cache).expect("the cache can be removed");
    println!("process start to the end of the first training step, {RUNS} runs, seconds");
    println!("  cold driver cache: {}", summary(cold));
    println!("  warm driver cache: {}", summary(warm));
}

fn summary(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    format!("median {:.3} ({:.3} to {:.3})", seconds[RUNS / 2], seconds[0], seconds[RUNS - 1])
}

fn run(cache: &std::path::Path) -> f64 {
    std::fs::create_dir_all(cache).expect("the cache can be made");
    let program = std::env::current_exe().expect("the program knows its path");
    let mut command = Command::new(program);
    command.env(CHILD, "1").env("MESA_SHADER_CACHE_DIR", cache);
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "the measured process failed");
    seconds
}

/// One step of 784-512-256-10 with batch 64, and the loss.
fn first_step() -> Result<()> {
    let model = common::mlp();
    let mut optimizer = optim::Adam::new(model.parameters(), 1e-3);
    let x = Tensor::from_slice(&vec![0.5f32; 64 * 784], &[64, 784]);
    let y = Tensor::from_slice(&(0..64).map(|i| i % 10).collect::<Vec<i32>>(), &[64]);
    let loss = common::train(&model, &mut optimizer, &[x, y])?;
    loss.item::<f32>()?;
    Ok(())
}
