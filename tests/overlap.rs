//! The host goes on while the device works: uploads and new operations don't wait, and a read waits for its own work only.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::{Gpu, Outcome, Test, check, same};
use lumigrad::prelude::*;

const TESTS: &[(&str, Test)] =
    &[("a_read_waits_for_its_own_work", early_read), ("the_host_goes_on_while_the_device_works", host_goes_on)];

fn main() {
    let gpu = Gpu::open();
    gpu.run(gpu.trials("gpu", TESTS));
}

/// A square matrix whose product with itself takes the device a while, and the time that it takes.
fn long_work(device: &Device) -> Result<(Tensor, Duration)> {
    let mut n = 512;
    loop {
        let x = Tensor::full_on(&[n, n], 1e-3, DType::F32, device);
        drop(x.matmul(&x));
        device.synchronize()?;
        let start = Instant::now();
        drop(x.matmul(&x));
        device.synchronize()?;
        let time = start.elapsed();
        if time > Duration::from_millis(80) || n >= 8192 {
            return Ok((x, time));
        }
        n = n * 5 / 4 / 4 * 4;
    }
}

fn early_read(device: &Device) -> Outcome {
    let (x, time) = long_work(device)?;
    let early = Tensor::from_slice_on(&[1.0f32, 2.0], &[2], device).sum();
    let mut read = pin!(early.item_async::<f32>());
    // The first look hands over the work so far, and the copy behind it.
    let mut cx = Context::from_waker(Waker::noop());
    let first = read.as_mut().poll(&mut cx);
    let product = x.matmul(&x);
    device.flush();
    let start = Instant::now();
    let value = match first {
        Poll::Ready(value) => value?,
        Poll::Pending => pollster::block_on(read)?,
    };
    let waited = start.elapsed();
    device.synchronize()?;
    drop(product);
    same("value", value, 3.0)?;
    check(waited < time / 2, format!("the read took {waited:?}, the work behind it takes {time:?}"))
}

fn host_goes_on(device: &Device) -> Outcome {
    let (x, time) = long_work(device)?;
    let start = Instant::now();
    let product = x.matmul(&x);
    device.flush();
    let host: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
    let next = Tensor::from_slice_on(&host, &[10_000], device);
    let sum = next.mul_scalar(2.0).sum();
    let recorded = start.elapsed();
    let value = sum.item::<f32>()?;
    let all = start.elapsed();
    drop(product);
    same("value", value, 99_990_000.0)?;
    check(
        recorded < all / 2,
        format!("uploading and recording took {recorded:?} of {all:?}; the device works {time:?}"),
    )
}
