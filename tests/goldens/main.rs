//! Every operation held to values that PyTorch computed: outputs, gradients, types, shapes and refusals, on both
//! bodies; and whole trainings. What was recorded is in `data/`; how each operation is called here, in `operations/`.

mod args;
#[path = "../common/mod.rs"]
mod common;
mod layout;
mod modules;
mod operations;
mod runner;
mod schedules;
mod training;
mod values;

use std::collections::HashSet;
use std::sync::Arc;

use common::Gpu;
use libtest_mimic::{Failed, Trial};
use lumigrad::Device;
use operations::{NOT_RUN, NOT_YET};
use runner::{Body, Call};
use serde_json::Value as Json;

fn main() {
    let recorded = Arc::new(recorded());
    let gpu = Gpu::open();
    let mut trials = vec![
        Trial::test("tables_agree_with_the_files", {
            let recorded = recorded.clone();
            move || tables(&recorded)
        }),
        Trial::test("comparison_tells_wrong_from_right", || fail_with(runner::check_comparison())),
    ];
    for (name, call) in operations::all() {
        let parts = [Part::Reference, Part::Gpu, Part::GpuNonfinite];
        trials.extend(parts.into_iter().filter_map(|part| operation(name, call, &recorded, part, &gpu)));
    }
    trials.extend(modules::trials(&gpu));
    trials.extend(training::trials(&gpu));
    trials.extend(schedules::trials());
    gpu.run(trials);
}

/// All recorded operations: those of the first list, and those of the second, made by `record/operations.py`.
fn recorded() -> Json {
    let mut all = values::json("ops.json");
    let Json::Object(more) = values::json("more.json") else { panic!("operations by name") };
    let known = all.as_object_mut().expect("operations by name");
    for (name, operation) in more {
        assert!(known.insert(name.clone(), operation).is_none(), "`{name}` is recorded twice");
    }
    all
}

fn cases<'a>(recorded: &'a Json, operation: &str) -> &'a [Json] {
    recorded[operation]["cases"].as_array().map_or(&[], Vec::as_slice)
}

fn id(case: &Json) -> &str {
    case["id"].as_str().expect("every case has an id")
}

/// The calls of an operation that make one trial.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Reference,
    Gpu,
    /// Calls with infinities or NaN, on the GPU. WGSL lets an implementation assume that there are none, so these are
    /// judged apart.
    GpuNonfinite,
}

impl Part {
    fn label(self) -> &'static str {
        match self {
            Part::Reference => "reference",
            Part::Gpu => "gpu",
            Part::GpuNonfinite => "gpu::nonfinite",
        }
    }

    fn body(self) -> Body {
        if self == Part::Reference { Body::Reference } else { Body::Gpu }
    }

    fn has(self, case: &Json) -> bool {
        let nonfinite = case["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == "nonfinite"));
        let here = match self {
            Part::Reference => true,
            Part::Gpu => !nonfinite,
            Part::GpuNonfinite => nonfinite,
        };
        here && !NOT_RUN.iter().any(|(listed, _)| *listed == id(case))
    }
}

/// The trial of one part of an operation's calls, if it has any.
fn operation(name: &'static str, call: Call, recorded: &Arc<Json>, part: Part, gpu: &Gpu) -> Option<Trial> {
    cases(recorded, name).iter().find(|case| part.has(case))?;
    let recorded = recorded.clone();
    let run = move |device: &Device| {
        let tensors = values::read(&format!("ops/{name}.safetensors"));
        let mut problems = Vec::new();
        for case in cases(&recorded, name).iter().filter(|case| part.has(case)) {
            let wrong = runner::check(call, &recorded[name], case, &tensors, part.body(), device);
            problems.extend(wrong.into_iter().map(|problem| format!("{}: {problem}", id(case))));
        }
        fail_with(problems)
    };
    let title = format!("{name}::{}", part.label());
    Some(match part.body() {
        Body::Reference => Trial::test(title, move || run(&Device::reference())),
        Body::Gpu => gpu.trial(title, run),
    })
}

fn fail_with(problems: Vec<String>) -> Result<(), Failed> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

/// Nothing is left out silently: every recorded call is run or listed with a reason, and no list names what is not
/// there.
fn tables(recorded: &Json) -> Result<(), Failed> {
    let written: Vec<&str> = operations::all().map(|(name, _)| name).collect();
    let known = recorded.as_object().expect("operations by name");
    let mut problems = Vec::new();
    for name in known.keys().map(String::as_str) {
        match (written.contains(&name), NOT_YET.contains(&name)) {
            (true, true) => problems.push(format!("`{name}` is written, and still in NOT_YET")),
            (false, false) => problems.push(format!("`{name}` is neither written nor in NOT_YET")),
            _ => {}
        }
        if cases(recorded, name).is_empty() {
            problems.push(format!("`{name}` has no recorded call"));
        }
    }
    let unknown = written.iter().chain(NOT_YET).filter(|name| !known.contains_key(**name));
    problems.extend(unknown.map(|name| format!("`{name}` is not among the recorded operations")));
    let ids: HashSet<&str> = written.iter().flat_map(|name| cases(recorded, name)).map(id).collect();
    let unknown = NOT_RUN.iter().filter(|(listed, _)| !ids.contains(listed));
    problems
        .extend(unknown.map(|(listed, _)| format!("NOT_RUN names {listed}, which is no call of a written operation")));
    let all = written.iter().chain(NOT_YET).copied().chain(NOT_RUN.iter().map(|(listed, _)| *listed));
    let mut seen = HashSet::new();
    problems.extend(all.filter(|name| !seen.insert(*name)).map(|name| format!("{name} is listed twice")));
    let run = ids.len() - NOT_RUN.len();
    println!(
        "{} operations, {run} calls run on each body, {} listed; {} operations not yet",
        written.len(),
        NOT_RUN.len(),
        NOT_YET.len()
    );
    fail_with(problems)
}
