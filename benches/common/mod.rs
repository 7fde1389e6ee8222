//! What benches share.

use std::time::{Duration, Instant};

use lumigrad::Device;

/// The time of `rounds` runs of `work` in a row, which read nothing, until the device has done them all.
pub fn device_time(device: &Device, rounds: u64, mut work: impl FnMut()) -> Duration {
    device.synchronize().expect("the device works");
    let start = Instant::now();
    (0..rounds).for_each(|_| work());
    device.synchronize().expect("the device works");
    start.elapsed()
}
