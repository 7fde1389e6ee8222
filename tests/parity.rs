//! Every kernel on the GPU against its scalar twin. One process, one device; ignored without an adapter.

use libtest_mimic::{Arguments, Trial};
use lumigrad::{Device, doctor, ops::REGISTRY};

fn main() {
    let device = Device::shadow().unwrap();
    let args = Arguments::from_args();
    let trials = REGISTRY.iter().map(|op| {
        let device = device.clone();
        Trial::test(format!("parity::{}", op.name), move || {
            let report = doctor::run(&device, op.name, &mut |_, _, _| ()).map_err(|e| e.to_string())?;
            let failures: Vec<_> = report.failures().cloned().collect();
            if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
        })
    });
    let mut args = args;
    args.test_threads = Some(1);
    libtest_mimic::run(&args, trials.collect()).exit();
}
