//! Single layers, forward and back, as `benches/peers` runs them on other frameworks.
//!
//!     cargo bench --bench layers [-- part of a name]
//!
//! One line each: name, milliseconds, GFLOP/s for convolutions and LSTM or GB/s for the others, and the most memory that
//! the device held. The bytes of a rate are those that have to be moved: every input read once and every output written
//! once.

mod common;

use std::hint::black_box;

use common::{device_time, named};
use lumigrad::autograd::Backward;
use lumigrad::{nn, prelude::*};

/// What the rate of a row is made of.
#[derive(Clone, Copy)]
enum Work {
    Flops(usize),
    /// Elements read and written, 4 bytes each.
    Elements(usize),
}

struct Bench {
    only: String,
}

impl Bench {
    /// The median over five rounds of the time of one call, after a warm-up. `make` gives the call, on a device of its
    /// own, whose memory is this row's.
    fn row<C: FnMut()>(&self, name: &str, work: Work, make: impl FnOnce() -> C) {
        if !name.contains(&self.only) {
            return;
        }
        let device = Device::from_env().expect("a device");
        let mut call = device.scope(make);
        let mut round = |calls: u64| device_time(&device, calls, &mut call).as_secs_f64() / calls as f64;
        round(3);
        let calls = ((0.4 / round(3)) as u64).clamp(3, 200);
        let mut rounds: Vec<f64> = (0..5).map(|_| round(calls)).collect();
        rounds.sort_by(f64::total_cmp);
        let rate = match work {
            Work::Flops(n) => format!("{:.2} GFLOP/s", n as f64 / rounds[2] / 1e9),
            Work::Elements(n) => format!("{:.2} GB/s", 4.0 * n as f64 / rounds[2] / 1e9),
        };
        let peak = device.counters().peak_bytes as f64 / f64::from(1 << 20);
        println!("{name}\t{:.3}\t{rate}\t{peak:.1} MiB", rounds[2] * 1e3);
    }

    /// A layer's forward pass alone, and with the gradients of input and parameters. Forward work is `work`; back, a
    /// layer with parameters does it twice more.
    fn layer<L: Forward<Output = Tensor>>(&self, name: &str, make: impl Fn() -> L, shape: &[usize], work: Work) {
        let uniform = |shape: &[usize]| Tensor::uniform_on(shape, -1.0, 1.0, &Device::current());
        self.row(&format!("{name} forward"), work, || {
            let (layer, x) = (make(), uniform(shape));
            move || no_grad(|| drop(black_box(layer.call(&x))))
        });
        let elements = shape.iter().product::<usize>();
        let both = match work {
            Work::Flops(n) => Work::Flops(3 * n),
            // Forward, then the input and the upstream gradient read, and the input's gradient written.
            Work::Elements(n) => Work::Elements(n + (n - elements) + 2 * elements),
        };
        self.row(&format!("{name} forward+backward"), both, || {
            let (layer, x) = (make(), uniform(shape));
            let g = uniform(no_grad(|| layer.call(&x)).shape());
            let x = x.requires_grad();
            move || {
                layer.zero_grad();
                x.set_grad(None).expect("a leaf");
                (layer.call(&x) * &g).sum().backward().expect("the device works");
            }
        });
    }
}

impl Bench {
    /// A layer forward and back on halves as it takes them, and on f32 copies of them.
    fn halves<L: Forward<Output = Tensor>>(&self, name: &str, make: impl Fn() -> L, shape: &[usize]) {
        let work = Work::Elements(4 * shape.iter().product::<usize>() / 2);
        for (how, as_is) in [("", true), (" by way of f32", false)] {
            self.row(&format!("{name} forward+backward of f16{how}"), work, || {
                let layer = make();
                let x = Tensor::uniform_on(shape, -1.0, 1.0, &Device::current()).half().requires_grad();
                let call = move || if as_is { layer.call(&x) } else { layer.call(&x.float()).half() };
                let g = call().ones_like();
                move || Backward::new().gradient(&g).run(&call()).expect("the device works")
            });
        }
    }
}

/// An LSTM as a layer from sequences to sequences.
#[derive(Module)]
struct Output(nn::LSTM);

impl Forward for Output {
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.call(x).0
    }
}

fn main() {
    let bench = Bench { only: named() };
    println!("# {}", Device::from_env().expect("a device"));
    for (cin, cout, size, batch) in [(1, 16, 28, 32), (16, 32, 28, 32), (64, 64, 56, 8)] {
        let layer = || nn::Conv2d::new(cin, cout, 3).padding(1);
        let flops = 2 * batch * cout * size * size * cin * 9;
        let name = format!("conv2d {cin}->{cout} 3x3 {size}x{size} batch {batch}");
        bench.layer(&name, layer, &[batch, cin, size, size], Work::Flops(flops));
    }
    for (c, size, batch) in [(32, 28, 32), (64, 56, 8)] {
        let shape = [batch, c, size, size];
        let elements = 2 * shape.iter().product::<usize>();
        bench.layer(
            &format!("batch_norm {batch}x{c}x{size}x{size}"),
            || nn::BatchNorm2d::new(c),
            &shape,
            Work::Elements(elements),
        );
        bench.halves(&format!("batch_norm {batch}x{c}x{size}x{size}"), || nn::BatchNorm2d::new(c), &shape);
    }
    for (c, size, batch, kernel, stride, padding) in [(32, 24, 32, 2, 2, 0), (64, 112, 8, 3, 2, 1)] {
        let layer = || nn::MaxPool2d::new(kernel).stride(stride).padding(padding);
        let shape = [batch, c, size, size];
        let elements = shape.iter().product::<usize>();
        let name = format!("max_pool2d {kernel}x{kernel}/{stride} {batch}x{c}x{size}x{size}");
        bench.layer(&name, layer, &shape, Work::Elements(elements + elements / stride / stride));
        bench.halves(&name, layer, &shape);
    }
    bench.layer("softmax 256x1000", || nn::Softmax::new(1), &[256, 1000], Work::Elements(2 * 256_000));
    // 4 gates of 128 from 28 inputs and 128 states, at each of 28 steps.
    let lstm = || Output(nn::LSTM::new(28, 128).batch_first(true));
    let flops = 2 * 64 * 28 * 4 * 128 * (28 + 128);
    bench.layer("lstm 28->128 28 steps batch 64", lstm, &[64, 28, 28], Work::Flops(flops));
    bench.layer("layer_norm 512x768", || nn::LayerNorm::new([768]), &[512, 768], Work::Elements(2 * 512 * 768));
}
