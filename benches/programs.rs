//! Whole programs, as `benches/peers` runs them on other frameworks: training steps of an MLP and of a CNN, chains of
//! matrix products and of additions.
//!
//!     cargo bench --bench programs [-- part of a name]
//!
//! One line each: name, milliseconds, and steps or GFLOP a second. The median over five rounds, after a warm-up.

mod common;

use std::cell::RefCell;

use common::{median_time, mlp, named, train};
use lumigrad::optim::{Adadelta, Adam};
use lumigrad::{nn, prelude::*};

struct Bench {
    only: String,
    device: Device,
}

impl Bench {
    /// Milliseconds of one call, in rounds of so many.
    fn row(&self, name: &str, calls: u64, rate: impl Fn(f64) -> String, call: impl FnMut()) {
        if !name.contains(&self.only) {
            return;
        }
        let seconds = median_time(&self.device, calls, call);
        println!("{name}\t{:.3}\t{}", seconds * 1e3, rate(seconds));
    }

    /// Training steps on a batch that is uploaded each time; nothing is read. As they are written, and replayed.
    fn training(&self, name: &str, shape: &[usize], calls: u64, model: nn::Sequential, mut optimizer: impl Optimizer) {
        let batch = shape[0];
        let pixels: Vec<f32> = (0..batch * 784).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
        let labels: Vec<i32> = (0..batch).map(|i| i as i32 % 10).collect();
        let data = || [Tensor::from_slice(&pixels, shape), Tensor::from_slice(&labels, &[batch])];
        let step = RefCell::new(|inputs: &[Tensor]| train(&model, &mut optimizer, inputs));
        let rate = |seconds: f64| format!("{:.1} steps/s", 1.0 / seconds);
        self.row(name, calls, rate, || drop::<Result<Tensor>>((step.borrow_mut())(&data())));
        let mut capture = self.device.capture();
        self.row(&format!("{name}, replayed"), calls, rate, || {
            let [x, y] = data();
            capture.run(&[&x, &y], |inputs| (step.borrow_mut())(inputs)).expect("the step can be replayed");
        });
    }
}

fn cnn() -> nn::Sequential {
    let layers = nn::Sequential::new().add(nn::Conv2d::new(1, 16, 3)).add(nn::ReLU);
    let layers = layers.add(nn::Conv2d::new(16, 32, 3)).add(nn::ReLU).add(nn::MaxPool2d::new(2));
    let layers = layers.add(nn::Dropout::new(0.1)).add(nn::Flatten::new()).add(nn::Linear::new(4608, 64));
    layers.add(nn::ReLU).add(nn::Dropout::new(0.25)).add(nn::Linear::new(64, 10))
}

fn main() {
    let bench = Bench { only: named(), device: Device::current() };
    println!("# {}", bench.device);
    let model = mlp();
    let optimizer = Adam::new(model.parameters(), 1e-3);
    bench.training("MLP batch 64", &[64, 784], 60, model, optimizer);
    for (batch, calls) in [(32, 20), (128, 6)] {
        let model = cnn();
        let optimizer = Adadelta::new(model.parameters(), 0.5);
        bench.training(&format!("CNN batch {batch}"), &[batch, 1, 28, 28], calls, model, optimizer);
    }
    for n in [256, 512, 1024] {
        let limit = (3.0 / n as f64).sqrt();
        let m = Tensor::uniform_on(&[n, n], -limit, limit, &bench.device);
        let mut c = Tensor::uniform_on(&[n, n], -1.0, 1.0, &bench.device);
        let operations = 2.0 * (n as f64).powi(3);
        let rate = |seconds: f64| format!("{:.1} GFLOP/s", operations / seconds / 1e9);
        bench.row(&format!("matmul {n}"), (2_000_000_000 / (n * n * n)).max(8) as u64, rate, || c = m.matmul(&c));
    }
    let one = Tensor::ones(&[1]);
    let rate = |seconds: f64| format!("{:.2} µs an addition", seconds * 1e3);
    bench.row("1000 dependent additions of one element", 5, rate, || {
        (0..1000).fold(one.clone(), |x, _| x.add(&one));
    });
}
