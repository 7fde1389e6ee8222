//! Every kernel on the GPU against its scalar twin: all operations of the registry on all their cases, forward and back,
//! once with all that the adapter offers and once with what WebGPU guarantees.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::Gpu;
use libtest_mimic::{Failed, Trial};
use lumigrad::Device;
use lumigrad::doctor::{self, Filter, Row};
use lumigrad::engine::GpuOptions;
use lumigrad::ops::REGISTRY;

/// What the operations that ran so far found.
type Found = Arc<Mutex<BTreeMap<&'static str, Vec<Row>>>>;

fn main() {
    let full = Gpu::open_shadow(&GpuOptions::new());
    let minimum = Gpu::open_shadow(&GpuOptions::webgpu_minimum());
    let mut trials = parity("parity", &full);
    trials.extend(parity("webgpu", &minimum));
    full.run(trials);
}

fn parity(prefix: &str, gpu: &Gpu) -> Vec<Trial> {
    let found = Found::default();
    let mut trials: Vec<Trial> = REGISTRY
        .iter()
        .map(|operation| {
            let found = found.clone();
            gpu.trial(format!("{prefix}::{}", operation.name), move |device| check(device, operation.name, &found))
        })
        .collect();
    trials.push(gpu.trial(format!("{prefix}::every_variant_is_reached"), move |device| reached(device, &found)));
    trials
}

fn check(device: &Device, operation: &'static str, found: &Found) -> Result<(), Failed> {
    let report = doctor::run(device, Filter::Operation(operation), &mut |_, _, _| ())?;
    let failures: Vec<_> = report.failures().cloned().collect();
    found.lock()?.insert(operation, report.rows);
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// A kernel variant that no case reaches is not tested at all.
fn reached(device: &Device, found: &Found) -> Result<(), Failed> {
    for operation in REGISTRY {
        // Run here what a filter left out; a failure is another trial's.
        let missing = !found.lock()?.contains_key(operation.name);
        if missing {
            let _ = check(device, operation.name, found);
        }
    }
    let rows: Vec<Row> = found.lock()?.values().flatten().cloned().collect();
    let unreached = doctor::unreached(&rows, device);
    if unreached.is_empty() { Ok(()) } else { Err(format!("no case reaches {}", unreached.join(", ")).into()) }
}
