//! The sanitizer: what it says of kernels with a mistake, and that lumigrad's own have none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lumigrad::doctor::{self, Filter};
use lumigrad::engine::Bound;
use lumigrad::ops::{Attrs, CustomOp, Operation, REGISTRY};
use lumigrad::{Device, Tensor};

/// Larger cases are left to the doctor: `lumigrad doctor --device sanitizer`.
const MOST_ELEMENTS: usize = 1500;

/// What the sanitizer says of a kernel of one thread an element of `y`, with these lines; `n` elements.
fn run(n: usize, globals: &str, lines: &str) -> Result<Vec<f32>, String> {
    let text = format!(
        "#import common/index
         struct Params {{ n: u32 }}
         @group(0) @binding(0) var<storage, read> x: array<f32>;
         @group(0) @binding(1) var<storage, read_write> y: array<f32>;
         @group(0) @binding(8) var<uniform> params: Params;
         {globals}
         @compute @workgroup_size(64)
         fn main(
             @builtin(workgroup_id) group: vec3<u32>,
             @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) local: u32,
         ) {{
             let i = linear_id(group, groups, local);
             {lines}
         }}"
    );
    let op = CustomOp::new("planted").wgsl(&text).input("x").output("y");
    let op = op.reference(
        |call| {
            let (x, mut y) = (call.floats(0), call.floats_mut(1));
            // Blocks of 64, each backwards.
            (0..y.len()).for_each(|i| y[i] = x[(i / 64 * 64 + 63 - i % 64).min(x.len() - 1)]);
            Ok(())
        },
        |_| Bound::Exact,
    );
    let device = Device::sanitizer();
    let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let x = Tensor::from_slice(&values, &[n]).to(&device);
    let outputs = op.build().and_then(|op| op.try_call(&[&x], Attrs::new()));
    let read = outputs.and_then(|outputs| outputs[0].to_vec::<f32>());
    read.map_err(|error| error.to_string())
}

#[track_caller]
fn finds(result: Result<Vec<f32>, String>, parts: &[&str]) {
    let message = result.expect_err("there is something to find");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

const TILE: &str = "var<workgroup> tile: array<f32, 64>;";

#[test]
fn a_barrier_makes_the_difference() {
    let turned = run(128, TILE, "tile[local] = x[i]; workgroupBarrier(); y[i] = tile[63u - local];").unwrap();
    assert_eq!((turned[0], turned[63], turned[64]), (63.0, 0.0, 127.0));
    let parts = [
        "planted",
        "a race",
        "`tile`",
        "put a barrier",
        "y[i] = tile[63u - local]",
        "and before",
        "tile[local] = x[i]",
    ];
    finds(run(128, TILE, "tile[local] = x[i];\n y[i] = tile[63u - local];"), &parts);
    // One for another kind of memory orders nothing.
    finds(run(128, TILE, "tile[local] = x[i]; storageBarrier(); y[i] = tile[63u - local];"), &["a race"]);
}

#[test]
fn threads_that_write_the_same_race_with_one_that_then_writes_another() {
    let lines = "tile[0] = 1.0; if local == 0u { tile[0] = 2.0; } workgroupBarrier(); y[i] = tile[0];";
    finds(run(64, TILE, lines), &["thread 0 of workgroup 0 writes", "which thread 63 of workgroup 0 writes"]);
    let lines = "tile[0] = 1.0; workgroupBarrier(); let t = tile[0]; if local == 0u { tile[0] = t + 1.0; } y[i] = t;";
    finds(run(64, TILE, lines), &["thread 0 of workgroup 0 writes", "which thread 63 of workgroup 0 reads"]);
}

#[test]
fn numbers_of_one_vector_are_written_together() {
    let globals = "var<workgroup> tile: array<vec4<f32>, 16>;";
    let read = "workgroupBarrier(); y[i] = tile[(63u - local) / 4u][(63u - local) & 3u];";
    let message = ["a race", "byte 4 of `tile`", "may write back with another number of its vector"];
    finds(run(64, globals, &format!("tile[local / 4u][local & 3u] = x[i]; {read}")), &message);
    let whole = "if (local & 3u) == 0u { tile[local / 4u] = vec4<f32>(x[i], x[i + 1u], x[i + 2u], x[i + 3u]); }";
    run(64, globals, &format!("{whole} {read}")).unwrap();
    let one = "if (local & 3u) == 0u { for (var k = 0u; k < 4u; k += 1u) { tile[local / 4u][k] = x[i + k]; } }";
    run(64, globals, &format!("{one} {read}")).unwrap();
}

#[test]
fn neighbouring_truth_values_are_apart() {
    let lines = "flags[local] = x[i] > 8.0; workgroupBarrier(); let z = x[i / 64u * 64u + 63u - local];
                 y[i] = select(-1.0, z, flags[63u - local] == (z > 8.0));";
    run(128, "var<workgroup> flags: array<bool, 64>;", lines).unwrap();
    let lines = "if local != 2u { flags[local] = true; } workgroupBarrier(); y[i] = select(0.0, 1.0, flags[local]);";
    finds(
        run(64, "var<workgroup> flags: array<bool, 64>;", lines),
        &["reads byte 2 of `flags`, which nobody has written"],
    );
}

#[test]
fn private_variables_are_each_threads_own() {
    let globals = "var<private> kept: array<f32, 2> = array(0.5, 2.0); fn keep(v: f32) { kept[0] += v; }";
    let lines = "keep(x[i / 64u * 64u + 63u - local]); keep(kept[1] - 2.0); y[i] = kept[0] - 0.5;";
    assert_eq!(run(128, globals, lines).unwrap()[63..65], [0.0, 127.0]);
}

#[test]
fn workgroups_share_nothing() {
    let lines = "y[i] = 0.0; y[local] = x[i];";
    finds(run(128, "", lines), &["a race", "thread 0 of workgroup 1", "no barrier orders workgroups"]);
    run(64, "", "y[i] = x[63u - local];").unwrap();
}

#[test]
fn elements_outside_of_an_array() {
    let lines = "y[i] = x[i + 1u];";
    finds(run(128, "", lines), &["thread 63 takes element 128 of `x`, which has 128", lines]);
    finds(run(64, TILE, "tile[local + i] = 1.0; y[i] = 0.0;"), &["of `tile`, which has 64"]);
    // Lines are the text's own, as in messages of the compiler.
    finds(run(128, "", "\ny[i + 1u] = 1.0;"), &["element 128 of `y`", "here, in line 15: y[i + 1u] = 1.0;"]);
    finds(
        run(128, "fn at(i: u32) -> u32 { return u32(sqrt(-1.0 - f32(i))); }", "y[i] = x[128u + at(i)];"),
        &["line 14: y"],
    );
}

#[test]
fn memory_behind_the_end_of_a_tensor() {
    finds(run(126, "", "y[i] = 1.0;"), &["byte 504 of `y` was changed, behind its 504 bytes"]);
}

#[test]
fn memory_that_nobody_has_written() {
    finds(run(64, TILE, "y[i] = tile[local];"), &["reads byte 0 of `tile`, which nobody has written"]);
    finds(run(64, "", "y[i] = y[i] + x[i];"), &["of `y`, which nobody has written"]);
}

#[test]
fn elements_that_a_kernel_leaves_out() {
    // What it has to be is 0 there, which fresh memory need not hold.
    finds(run(64, "", "if local < 63u { y[i] = x[63u - local]; }"), &["`y` element 63", "NaN"]);
}

#[test]
fn a_text_that_is_bound_otherwise_is_an_error() {
    let device = Device::sanitizer();
    let kernel = lumigrad::ops::kernel("mul.forward").unwrap();
    let text = kernel.source.concat().replace("@binding(2)", "@binding(7)").replace("@binding(1)", "@binding(6)");
    device.replace_kernel(kernel, 0, Some(text));
    let x = Tensor::ones(&[3]).to(&device);
    let message = x.try_mul(&x).unwrap_err().to_string();
    assert!(message.contains("mul.forward") && message.contains("bindings"), "{message}");
}

#[test]
fn barriers_are_for_all_threads() {
    let lines = "if x[i] < 8.0 { workgroupBarrier(); } y[i] = x[i];";
    finds(run(64, TILE, lines), &["barrier"]);
}

#[test]
fn loops_that_do_not_end() {
    finds(run(64, "", "var k = 1u; while k != 0u { k |= params.n; } y[i] = x[i];"), &["has not ended"]);
}

#[test]
fn subgroups_have_a_power_of_two_of_threads() {
    assert_eq!(Device::sanitizer_with(8).to_string(), "sanitizer (subgroups of 8)");
    assert!(Device::sanitizer().has_subgroups(32) && !Device::sanitizer().has_subgroups(64));
    assert!(Device::sanitizer().has_matrices(16) && Device::sanitizer_with(8).has_matrices(8));
    assert!(std::panic::catch_unwind(|| Device::sanitizer_with(24)).is_err());
}

/// What the doctor finds in operations, on a sanitizer with subgroups of this many threads.
fn findings(operations: &[&'static Operation], subgroup: u32) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        let device = Device::sanitizer_with(subgroup);
        while let Some(operation) = operations.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report =
                doctor::run_up_to(&device, Filter::Operation(operation.name), MOST_ELEMENTS, &mut |_, _, _| ());
            let report = report.expect("a sanitizer compares");
            found.lock().unwrap().extend(report.failures().cloned());
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(work)));
    });
    found.into_inner().unwrap()
}

#[test]
fn lumigrads_own_kernels_are_free_of_them() {
    let found = findings(REGISTRY, 32);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Subgroups and matrices of both sizes that GPUs have.
#[test]
fn subgroups_have_any_size() {
    let has_subgroups = |op: &&&Operation| op.kernels.iter().any(|k| k.variants.iter().any(|v| v.min_subgroup > 0));
    let operations: Vec<&'static Operation> = REGISTRY.iter().filter(has_subgroups).copied().collect();
    assert!(!operations.is_empty());
    for subgroup in [8, 64] {
        let found = findings(&operations, subgroup);
        assert!(found.is_empty(), "subgroups of {subgroup}: {}", found.join("\n"));
    }
}
