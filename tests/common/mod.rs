//! What test programs share: tests on a GPU, as trials of one process that share one device, and tests on the reference.
//!
//! Without an adapter every trial is ignored, visibly; with `LUMIGRAD_REQUIRE_GPU=1` that is a failure.

// Every test program uses its part of this file.
#![allow(dead_code)]

use std::fmt::Debug;

use libtest_mimic::{Arguments, Failed, Trial};
use lumigrad::engine::GpuOptions;
use lumigrad::{Device, Error, Tensor};

/// Runs this on a reference of its own.
pub fn on_reference<R>(body: impl FnOnce() -> R) -> R {
    Device::new_reference(true).scope(body)
}

/// What a trial gives.
pub type Outcome = Result<(), Failed>;

/// A trial on any device.
pub type Test = fn(&Device) -> Outcome;

pub fn check(holds: bool, message: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

/// Both as text: NaN is NaN, and a list is a list whoever owns it.
pub fn same(what: &str, got: impl Debug, want: impl Debug) -> Outcome {
    let (got, want) = (format!("{got:?}"), format!("{want:?}"));
    check(got == want, format!("{what}: {got}, not {want}"))
}

pub fn mentions(text: &str, words: &[&str]) -> Outcome {
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    check(missing.is_empty(), format!("{text:?} does not mention {missing:?}"))
}

/// Trials on references of their own.
pub fn on_references(tests: &'static [(&'static str, Test)]) -> Vec<Trial> {
    let trial = |(name, test): &'static (&str, Test)| {
        Trial::test(format!("reference::{name}"), move || test(&Device::new_reference(true)))
    };
    tests.iter().map(trial).collect()
}

pub fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec().unwrap()
}

/// The device of a test program, or why there is none.
pub struct Gpu(Result<Device, Error>);

impl Gpu {
    /// The best adapter.
    pub fn open() -> Gpu {
        Gpu::from(Device::gpu())
    }

    /// The best adapter, opened with these options.
    pub fn open_with(options: &GpuOptions) -> Gpu {
        Gpu::from(Device::gpu_with(None, options))
    }

    /// The best adapter, with the reference behind it.
    pub fn open_shadow(options: &GpuOptions) -> Gpu {
        Gpu::from(Device::shadow_with(None, options))
    }

    fn from(device: Result<Device, Error>) -> Gpu {
        let required = std::env::var("LUMIGRAD_REQUIRE_GPU").is_ok_and(|v| v == "1");
        match &device {
            Err(error @ Error::NoAdapter { .. }) if !required => eprintln!("trials are ignored: {error}"),
            Err(error) => {
                eprintln!("error: {error}");
                std::process::exit(101);
            }
            Ok(_) => {}
        }
        Gpu(device)
    }

    pub fn device(&self) -> Option<Device> {
        self.0.as_ref().ok().cloned()
    }

    pub fn is_missing(&self) -> bool {
        self.0.is_err()
    }

    /// A trial on this device.
    pub fn trial<F>(&self, name: impl Into<String>, test: F) -> Trial
    where
        F: FnOnce(&Device) -> Outcome + Send + 'static,
    {
        let device = self.0.clone();
        // Also says so when ignored trials are asked for.
        let trial = Trial::test(name, move || test(&device?));
        trial.with_ignored_flag(self.is_missing())
    }

    /// Trials on this device, with a prefix to their names.
    pub fn trials(&self, prefix: &str, tests: &'static [(&'static str, Test)]) -> Vec<Trial> {
        tests.iter().map(|(name, test)| self.trial(format!("{prefix}::{name}"), test)).collect()
    }

    /// Runs the trials one after the other and ends the process.
    pub fn run(&self, trials: Vec<Trial>) -> ! {
        let mut arguments = Arguments::from_args();
        // The trials share a device, and some change what it does.
        arguments.test_threads = Some(1);
        if trials.is_empty() {
            eprintln!("error: there are no trials");
            std::process::exit(101);
        }
        libtest_mimic::run(&arguments, trials).exit()
    }
}
