//! Naming devices: by function, by name, by environment variable.

use std::panic::AssertUnwindSafe;
use std::process::Command;

use lumigrad::engine::DEVICE_VARIABLE;
use lumigrad::{Device, Error};

#[test]
fn an_unknown_name_is_refused_with_those_that_would_do() {
    let error = Device::named("no such adapter").unwrap_err();
    assert!(matches!(error, Error::UnknownDevice { .. }), "{error:?}");
    let message = error.to_string();
    for name in ["no such adapter", "reference", "gpu", "shadow"] {
        assert!(message.contains(name), "{name:?} is not in {message:?}");
    }
    for adapter in Device::adapters() {
        assert!(message.contains(&adapter.name), "{:?} is not in {message:?}", adapter.name);
    }
}

#[test]
fn the_reference_has_two_names_and_is_one() {
    for name in ["reference", "cpu", " Reference "] {
        let device = Device::named(name).unwrap();
        assert_eq!(device, Device::reference());
        assert!(device.is_reference() && !device.is_shadow() && device.adapter().is_none());
        assert_eq!(device.to_string(), "reference");
    }
    assert_ne!(Device::reference(), Device::reference_unrounded());
    assert_ne!(Device::new_reference(true), Device::new_reference(true));
}

#[test]
fn a_scope_ends_with_its_device() {
    let inner = Device::new_reference(true);
    Device::reference().scope(|| {
        assert_eq!(Device::current(), Device::reference());
        assert_eq!(inner.scope(Device::current), inner);
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| inner.scope(|| panic!("on purpose"))));
        assert!(unwound.is_err());
        assert_eq!(Device::current(), Device::reference());
    });
}

/// A loader of Vulkan (1.4.309) crashes when threads connect to it and let go beside each other.
#[test]
fn threads_list_and_open_devices_beside_each_other() {
    let expected = Device::adapters();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert_eq!(Device::adapters(), expected);
                    drop(Device::gpu());
                }
            });
        }
    });
}

/// What the next test runs in a process of its own.
#[test]
fn prints_the_default_device() {
    match Device::from_env() {
        Ok(device) => println!("\ndefault device: {device}"),
        Err(error) => println!("\nno default device: {error}"),
    }
}

#[test]
fn the_environment_names_the_default_device() {
    let said = |value: Option<&str>| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "prints_the_default_device", "--nocapture"]).env_remove(DEVICE_VARIABLE);
        let output = child.envs(value.map(|v| (DEVICE_VARIABLE, v))).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.contains("default device")).expect("the child says").to_string()
    };
    assert_eq!(said(Some("reference")), "default device: reference");
    assert!(said(Some("no such adapter")).starts_with("no default device: unknown device \"no such adapter\""));
    // Without the variable, and with an empty one: the best adapter, or the reference where there is none.
    let best = Device::adapters().first().map_or("reference".to_string(), |adapter| adapter.name.clone());
    assert_eq!(said(None), format!("default device: {best}"));
    assert_eq!(said(Some("")), said(None));
}
