//! The `lumigrad` command, run as a user does.

use std::process::{Command, Output};

use lumigrad::Device;
use serde_json::Value;

fn lumigrad(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
    // Mesa complains on standard error where there is no such folder.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command.args(arguments).env_remove("LUMIGRAD_DEVICE").output().unwrap()
}

fn json(arguments: &[&str]) -> (Value, bool) {
    let output = lumigrad(arguments);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (value, output.status.success())
}

/// The one line on standard error of a command that fails with code 1.
fn error(arguments: &[&str]) -> String {
    let output = lumigrad(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: ") && text.lines().count() == 1, "{text}");
    text
}

#[test]
fn devices_lists_every_adapter() {
    let adapters = Device::adapters();
    let (report, _) = json(&["devices", "--json"]);
    let names: Vec<_> = report["adapters"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, adapters.iter().map(|a| a.name.as_str()).collect::<Vec<_>>());
    if adapters.is_empty() {
        assert_eq!(report["chosen"]["device"], "reference");
        assert!(error(&["devices"]).contains("install"));
        return;
    }
    assert_eq!(report["chosen"]["adapter"], 0);
    let text = String::from_utf8(lumigrad(&["devices"]).stdout).unwrap();
    for adapter in adapters {
        assert!(text.contains(&adapter.name) && text.contains(&adapter.driver), "{text}");
    }
}

#[test]
fn doctor_reports_what_it_ran() {
    if Device::adapters().is_empty() {
        assert!(error(&["doctor"]).contains("install"));
        return;
    }
    for limits in ["adapter", "webgpu"] {
        let (report, success) = json(&["doctor", "--filter", "relu", "--json", "--limits", limits]);
        assert!(success && report["passed"] == true, "{report}");
        assert_eq!(report["webgpu_minimum"], limits == "webgpu");
        assert!(report["cases"].as_u64() > Some(5) && report["comparisons"].as_u64() > Some(5), "{report}");
        let rows = report["rows"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["kernel"] == "relu.forward" && row["variant"] == "f32"), "{report}");
    }
    let output = lumigrad(&["doctor", "--filter", "relu"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("relu.forward[f32]"), "{text}");
    assert!(text.lines().last().unwrap().contains("0 failures"), "{text}");
    assert!(error(&["doctor", "--filter", "no such operation"]).contains("no such operation"));
}

#[test]
fn unknown_devices_are_named() {
    assert!(error(&["doctor", "--device", "no such adapter"]).contains("reference, gpu, shadow"));
    assert!(error(&["doctor", "--device", "reference"]).contains("name an adapter"));
    assert!(error(&["doctor", "--device", "sanitizer", "--limits", "webgpu"]).contains("has no adapter"));
}
