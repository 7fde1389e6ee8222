//! Profiles: what is counted, when it ran, and that nothing is left behind.

mod common;

use std::time::{Duration, Instant};

use common::{Gpu, Outcome, Test, check, same};
use libtest_mimic::Failed;
use lumigrad::engine::{GpuOptions, Timing};
use lumigrad::optim::Adam;
use lumigrad::{MemoryReport, Profile, nn, prelude::*};
use serde_json::Value;

/// On every device, timed in every way.
const TESTS: &[(&str, Test)] = &[
    ("calls_are_exact", calls),
    ("sizes_and_operations_are_known", sizes),
    ("times_are_plausible", times),
    ("replays_appear", replays),
    ("many_submissions", many_submissions),
    ("threads_have_profiles_of_their_own", threads),
    ("a_profile_inside_a_profile", nested),
    ("panics_and_errors_end_it", failures),
    ("nothing_is_heard_outside", outside),
    ("places_are_named", places),
    ("traces_are_well_formed", traces),
    ("memory_has_owners", memory),
    ("memory_of_operations_shows_in_a_profile", memory_of_operations),
];

fn main() {
    let gpu = Gpu::open();
    let by_passes = Gpu::open_with(&passes());
    let minimum = Gpu::open_with(&GpuOptions::webgpu_minimum());
    let mut trials = common::on_references(TESTS);
    for (prefix, gpu) in [("gpu", &gpu), ("gpu_by_passes", &by_passes), ("gpu_minimum", &minimum)] {
        trials.extend(gpu.trials(prefix, TESTS));
    }
    trials.push(gpu.trial("gpu::timestamps_are_used", timestamps));
    gpu.run(trials);
}

/// Without timestamps inside of passes.
fn passes() -> GpuOptions {
    let mut options = GpuOptions::new();
    options.no_timestamps_in_passes = true;
    options
}

/// Calls of all kernels whose label begins with `name`.
fn calls_of(profile: &Profile, name: &str) -> usize {
    profile.kernels().iter().filter(|k| k.label.starts_with(name)).map(|k| k.calls).sum()
}

fn all_calls(profile: &Profile) -> usize {
    calls_of(profile, "")
}

fn network(device: &Device) -> nn::Sequential {
    device.scope(|| nn::Sequential::new().add(nn::Linear::new(6, 16)).add(nn::ReLU).add(nn::Linear::new(16, 4)))
}

fn input(device: &Device, shape: &[usize]) -> Tensor {
    Tensor::full_on(shape, 0.5, DType::F32, device)
}

fn train(model: &nn::Sequential, optimizer: &mut Adam, x: &Tensor) -> Result<Tensor> {
    let loss = model.call(x).square().mean();
    optimizer.zero_grad();
    loss.backward()?;
    optimizer.step()?;
    Ok(loss)
}

fn calls(device: &Device) -> Outcome {
    let x = input(device, &[5, 7]);
    let before = device.counters().dispatches;
    let (_, profile) = device.profile(|| {
        for _ in 0..3 {
            x.exp();
        }
        x.relu();
    });
    same("exp", calls_of(&profile, "exp"), 3)?;
    same("all", all_calls(&profile) as u64, device.counters().dispatches - before)?;
    let model = network(device);
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let x = input(device, &[8, 6]);
    train(&model, &mut optimizer, &x)?;
    let before = device.counters().dispatches;
    let (result, profile) = device.profile(|| (0..4).try_for_each(|_| train(&model, &mut optimizer, &x).map(drop)));
    result?;
    same("of a step", all_calls(&profile) as u64, device.counters().dispatches - before)?;
    same("missing", profile.missing(), 0)?;
    let of = |label: &str| profile.operations().iter().find(|op| op.label == label).map_or(0, |op| op.calls);
    same("operation relu", of("relu"), 4)?;
    same("relu back", of("relu (backward)"), 4)?;
    same("steps", of("[optimizer step]"), 4)?;
    same("backward passes", of("[backward]"), 4)
}

fn sizes(device: &Device) -> Outcome {
    let (a, b) = (input(device, &[8, 32]), input(device, &[32, 16]));
    let (_, profile) = device.profile(|| a.matmul(&b));
    let row = &profile.kernels()[0];
    same("flops", row.flops, Some(2 * 8 * 32 * 16))?;
    same("bytes", row.bytes, 4 * (8 * 32 + 32 * 16 + 8 * 16))?;
    // A dim that is expanded is read once; a tensor that is bound twice is read once.
    let row_of = |body: &dyn Fn() -> Tensor| device.profile(body).1.kernels()[0].clone();
    let expanded = input(device, &[1, 16]).expand([32, 16]);
    same("expanded", row_of(&|| &expanded + &b).bytes, 4 * (16 + 2 * 32 * 16))?;
    same("twice", row_of(&|| &b * &b).bytes, 4 * 2 * 32 * 16)?;
    let half = b.narrow(0, 0, 8);
    same("a part", row_of(&|| half.exp()).bytes, 4 * 2 * 8 * 16)?;
    same("no flops", row_of(&|| half.exp()).flops, None::<u64>)?;
    let (x, w) = (input(device, &[2, 3, 8, 8]), input(device, &[4, 3, 3, 3]));
    let options = lumigrad::Conv2dOptions::default();
    let row = row_of(&|| x.conv2d(&w, None, &options));
    same("conv", row.flops, Some(2 * (2 * 4 * 6 * 6) * (3 * 3 * 3)))?;
    same("bytes of conv", row.bytes, 4 * (2 * 3 * 64 + 4 * 27 + 2 * 4 * 36))
}

fn times(device: &Device) -> Outcome {
    let x = input(device, &[64, 64]);
    let work = || (0..20).fold(x.clone(), |y, _| y.matmul(&x).tanh());
    work();
    device.synchronize()?;
    let start = Instant::now();
    let (_, profile) = device.profile(work);
    let wall = start.elapsed();
    let shares: f64 = profile.kernels().iter().map(|k| k.share).sum();
    check((shares - 1.0).abs() < 1e-9, format!("shares add up to {shares}"))?;
    let slow = profile.kernels().iter().find(|k| k.time.is_zero());
    check(slow.is_none(), format!("no time: {slow:?}"))?;
    let (host, device_time, all) = (profile.host_time(), profile.device_time(), profile.wall_time());
    check(host <= all && all <= wall, format!("host {host:?}, wall {all:?} of {wall:?}"))?;
    // The two clocks need not go alike to the last percent.
    check(device_time <= all.mul_f64(1.02) + Duration::from_micros(50), format!("{device_time:?} in {all:?}"))?;
    check(profile.waited() <= host, format!("waited {:?} of {host:?}", profile.waited()))?;
    let inside: Duration = profile.operations().iter().map(|op| op.host).sum();
    check(inside <= host, format!("operations {inside:?} in {host:?}"))?;
    let sorted = profile.kernels().is_sorted_by(|a, b| a.time >= b.time);
    check(sorted, "the kernels are not in order")
}

fn replays(device: &Device) -> Outcome {
    let model = network(device);
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let x = input(device, &[8, 6]);
    let mut capture = device.capture();
    let mut step = || capture.run(&[&x], |inputs| train(&model, &mut optimizer, &inputs[0]));
    for _ in 0..2 {
        step()?;
    }
    let (result, written) = device.profile(&mut step);
    result?;
    for _ in 0..2 {
        step()?;
    }
    let before = device.counters().dispatches;
    let (result, replayed) = device.profile(|| (0..3).try_for_each(|_| step().map(drop)));
    result?;
    same("all", all_calls(&replayed) as u64, device.counters().dispatches - before)?;
    for kernel in written.kernels() {
        let again = replayed.kernels().iter().find(|k| k.label == kernel.label);
        let again = again.ok_or_else(|| format!("{} does not appear", kernel.label))?;
        same(&kernel.label, (again.calls, again.bytes), (3 * kernel.calls, 3 * kernel.bytes))?;
        same(&kernel.label, again.flops, kernel.flops.map(|f| 3 * f))?;
    }
    let times = replayed.operations().iter().filter(|op| op.label == "[replay]").map(|op| op.calls).sum::<usize>();
    same("replays", times, if device.is_reference() { 0 } else { 3 })?;
    let back = replayed.operations().iter().find(|op| op.label == "relu (backward)");
    check(back.is_some_and(|op| !op.device.is_zero()), format!("relu's way back: {back:?}"))
}

fn many_submissions(device: &Device) -> Outcome {
    let x = input(device, &[3]);
    // Without timestamps each is waited for.
    let times = if device.timing() == Timing::Host { 200 } else { 3000 };
    let (_, profile) = device.profile(|| (0..times).fold(x.clone(), |y, _| &y + &x));
    same("all", all_calls(&profile), times)?;
    same("missing", profile.missing(), 0)
}

fn threads(device: &Device) -> Outcome {
    let run = |times: usize| {
        let x = input(device, &[17]);
        let (_, profile) = device.profile(|| {
            for _ in 0..times {
                if times.is_multiple_of(2) {
                    x.exp()
                } else {
                    x.relu()
                };
            }
        });
        profile
    };
    let (even, odd) = std::thread::scope(|scope| {
        let even = scope.spawn(|| run(300));
        let odd = scope.spawn(|| run(501));
        (even.join().expect("no panic"), odd.join().expect("no panic"))
    });
    same("even", (calls_of(&even, "exp"), all_calls(&even)), (300, 300))?;
    same("odd", (calls_of(&odd, "relu"), all_calls(&odd)), (501, 501))
}

fn nested(device: &Device) -> Outcome {
    let x = input(device, &[17]);
    let (inner, outer) = device.profile(|| {
        x.exp();
        let (_, inner) = device.profile(|| (x.relu(), x.exp()));
        x.exp();
        inner
    });
    same("inner", (calls_of(&inner, "exp"), calls_of(&inner, "relu")), (1, 1))?;
    same("outer", (calls_of(&outer, "exp"), calls_of(&outer, "relu")), (3, 1))?;
    // Of another device: its dispatches are its own.
    let other = Device::new_reference(true);
    let y = input(&other, &[2]);
    let (inner, outer) = device.profile(|| other.profile(|| (x.exp(), y.relu())).1);
    same("the other's", (calls_of(&inner, "exp"), calls_of(&inner, "relu")), (0, 1))?;
    same("this one's", (calls_of(&outer, "exp"), calls_of(&outer, "relu")), (1, 0))
}

fn failures(device: &Device) -> Outcome {
    let x = input(device, &[17]);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        device.profile(|| {
            x.exp();
            x.matmul(&x.reshape([17, 1]).expand([17, 2]).t());
        })
    }));
    check(caught.is_err(), "the shapes do not fit")?;
    x.relu();
    let (_, profile) = device.profile(|| x.exp());
    same("after a panic", (calls_of(&profile, "exp"), all_calls(&profile)), (1, 1))?;
    let (result, profile) = device.profile(|| -> Result<f32> {
        x.exp();
        let index = Tensor::from_slice_on(&[99i32], &[1], device);
        x.index_select(0, &index).sum().item::<f32>()
    });
    check(matches!(result, Err(Error::Index { .. })), format!("{result:?}"))?;
    same("with an error", calls_of(&profile, "exp"), 1)?;
    // Nothing at all.
    let ((), profile) = device.profile(|| ());
    same("nothing", (all_calls(&profile), profile.device_time()), (0, Duration::ZERO))?;
    check(profile.to_string().contains("kernel"), profile.to_string())
}

fn outside(device: &Device) -> Outcome {
    let x = input(device, &[17]);
    x.relu();
    let (_, profile) = device.profile(|| x.exp());
    x.relu();
    same("before and after", calls_of(&profile, "relu"), 0)?;
    let labels: Vec<&str> = profile.operations().iter().map(|op| op.label.as_str()).collect();
    check(!labels.contains(&"relu"), format!("{labels:?}"))?;
    // A copy is what it was, whatever runs afterwards.
    let copy = profile.clone();
    device.profile(|| x.relu());
    same("a copy", copy.kernels(), profile.kernels())
}

/// The events of a profile's trace.
fn events(profile: &Profile) -> std::result::Result<Vec<Value>, Failed> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("trace.json");
    profile.save_trace(&path)?;
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let trace: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    Ok(trace["traceEvents"].as_array().ok_or("no events")?.clone())
}

fn places(device: &Device) -> Outcome {
    let model = network(device);
    let x = input(device, &[8, 6]);
    let (result, profile) = device.profile(|| model.call(&x).sum().backward());
    result?;
    let events = events(&profile)?;
    let has = |operation: &str, module: &str| {
        events.iter().filter(|e| e["cat"] == "dispatch").any(|e| {
            let args = &e["args"];
            args["operation"] == operation && args["module"] == module
        })
    };
    for (operation, module) in
        [("linear", "0"), ("relu", "1"), ("linear", "2"), ("linear (backward)", "2"), ("relu (backward)", "1")]
    {
        check(has(operation, module), format!("no {operation} of {module} in {events:#?}"))?;
    }
    Ok(())
}

fn traces(device: &Device) -> Outcome {
    let model = network(device);
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let x = input(device, &[8, 6]);
    train(&model, &mut optimizer, &x)?;
    device.synchronize()?;
    let (loss, profile) = device.profile(|| train(&model, &mut optimizer, &x)?.item::<f32>());
    loss?;
    let events = events(&profile)?;
    let complete: Vec<&Value> = events.iter().filter(|e| e["ph"] == "X").collect();
    let number = |e: &Value, key: &str| e[key].as_f64().ok_or_else(|| format!("no {key} in {e}"));
    let wall = profile.wall_time().as_secs_f64() * 1e6;
    for event in &events {
        for key in ["ts", "dur", "pid", "tid"] {
            number(event, key)?;
        }
        check(event["ph"].is_string() && event["name"].is_string(), event.to_string())?;
    }
    let mut spans = Vec::new();
    for event in &complete {
        let (start, duration) = (number(event, "ts")?, number(event, "dur")?);
        let fits = start >= -0.01 && duration >= 0.0 && start + duration <= wall * 1.05 + 100.0;
        check(fits, format!("{event} in {wall} µs"))?;
        spans.push((event["pid"].as_u64().unwrap_or(0), start, start + duration));
    }
    // One inside the other, or one behind the other.
    for (i, a) in spans.iter().enumerate() {
        for b in spans[..i].iter().filter(|b| b.0 == a.0) {
            let apart = a.2 <= b.1 + 0.002 || b.2 <= a.1 + 0.002;
            let inside = a.1 >= b.1 - 0.002 && a.2 <= b.2 + 0.002 || b.1 >= a.1 - 0.002 && b.2 <= a.2 + 0.002;
            check(apart || inside, format!("{a:?} and {b:?} overlap"))?;
        }
    }
    let dispatches = complete.iter().filter(|e| e["cat"] == "dispatch").count();
    same("dispatches", dispatches, all_calls(&profile))
}

/// Live and peak bytes of a row.
fn row_of(report: &MemoryReport, label: &str) -> (u64, u64) {
    report.rows.iter().find(|row| row.label == label).map_or((0, 0), |row| (row.live, row.peak))
}

/// Rows that are no parts make up all that is live; parts are no more than what they are a part of.
fn adds_up(report: &MemoryReport) -> Outcome {
    let whole = |part: bool| report.rows.iter().filter(|r| r.is_part == part).map(|r| r.live).sum::<u64>();
    same("rows", whole(false), report.live)?;
    check(whole(true) <= whole(false) && report.live <= report.peak, report.to_string())?;
    let grown = report.rows.iter().find(|row| row.live > row.peak);
    check(grown.is_none(), format!("{grown:?}"))
}

fn memory(device: &Device) -> Outcome {
    let before = device.memory_report();
    adds_up(&before)?;
    let more = |label: &str| row_of(&device.memory_report(), label).0 - row_of(&before, label).0;
    let model = network(device);
    // Allocations are larger than tensors.
    let (least, most) = (4 * (6 * 16 + 16 + 16 * 4 + 4), 4 * 2048);
    let fits = |what: &str, bytes: u64, times: u64| {
        check((times * least..=times * most).contains(&bytes), format!("{what}: {bytes} bytes"))
    };
    fits("parameters", more("parameters"), 1)?;
    same("no gradients yet", more("gradients of parameters"), 0)?;
    let x = Tensor::from_slice_on(&[0.5f32; 48], &[8, 6], device);
    check(more("inputs") >= 48 * 4, format!("inputs: {}", more("inputs")))?;
    model.call(&x).sum().backward()?;
    fits("gradients", more("gradients of parameters"), 1)?;
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    train(&model, &mut optimizer, &x)?;
    fits("moments", more("optimizer state"), 2)?;
    fits("parameters in an arena", more("parameters"), 1)?;
    fits("gradients in an arena", more("gradients of parameters"), 1)?;
    let norm = device.scope(|| nn::BatchNorm1d::new(16));
    check(more("buffers of modules") >= 2 * 16 * 4, device.memory_report().to_string())?;
    adds_up(&device.memory_report())?;
    drop((model, optimizer, x, norm));
    let after = device.memory_report();
    for label in ["parameters", "gradients of parameters", "optimizer state", "buffers of modules", "inputs"] {
        same(label, row_of(&after, label).0, row_of(&before, label).0)?;
    }
    check(row_of(&after, "optimizer state").1 >= 2 * least, after.to_string())
}

fn memory_of_operations(device: &Device) -> Outcome {
    let model = network(device);
    let x = input(device, &[64, 6]);
    let (loss, profile) = device.profile(|| {
        let loss = model.call(&x).square().mean();
        loss.backward().map(|()| loss)
    });
    let loss = loss?;
    let report = profile.memory();
    adds_up(report)?;
    let hidden = 64 * 16 * 4;
    for (label, bytes) in [("linear of 0", hidden), ("relu of 1", hidden), ("linear of 2", 64 * 4 * 4)] {
        let (_, peak) = row_of(report, label);
        check((bytes..=bytes * 5 / 4).contains(&peak), format!("{label}: {peak} bytes of {bytes}\n{report}"))?;
    }
    check(row_of(report, "made on the way back").1 >= hidden, report.to_string())?;
    check(report.peak >= report.live + hidden, report.to_string())?;
    // A backward pass lets go of what was saved.
    same("relu, afterwards", row_of(report, "relu of 1").0, 0)?;
    check(row_of(report, "mean").0 >= 4, report.to_string())?;
    drop(loss);
    // The next profile's peaks are its own.
    let (_, profile) = device.profile(|| x.exp());
    same("relu, in another profile", row_of(profile.memory(), "relu of 1"), (0, 0))
}

fn timestamps(device: &Device) -> Outcome {
    let has = device.adapter().is_some_and(|facts| facts.features.contains(&"timestamps"));
    check(!has || device.timing() != Timing::Host, "the adapter's timestamps are not used")?;
    let minimum = Device::gpu_with(None, &GpuOptions::webgpu_minimum())?;
    same("without features", minimum.timing(), Timing::Host)?;
    let passes = Device::gpu_with(None, &passes())?;
    check(passes.timing() != Timing::Timestamps, "timestamps inside of a pass")
}
