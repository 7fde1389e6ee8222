//! Single layers on burn, as `benches/layers.rs` runs them on lumigrad: one line each, `name<TAB>milliseconds`.
//! usage: layers [part of a name]
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNormConfig, LayerNormConfig, LstmConfig, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::Distribution;
use burn::tensor::activation::softmax;
use std::time::Instant;

/// The median over five rounds of the time of one call, after a warm-up in which kernels are compiled and tuned.
fn time<T>(device: &Device, mut call: impl FnMut() -> T) -> f64 {
    let mut round = |calls: usize| {
        let start = Instant::now();
        for _ in 0..calls {
            std::hint::black_box(call());
        }
        device.sync().unwrap();
        start.elapsed().as_secs_f64() / calls as f64
    };
    round(3);
    let once = round(3);
    let calls = ((0.4 / once) as usize).clamp(3, 200);
    let mut rounds: Vec<f64> = (0..5).map(|_| round(calls)).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[2] * 1e3
}

fn main() {
    // A tensor whose rank the caller's type gives.
    let only = std::env::args().nth(1).unwrap_or_default();
    let plain = Device::wgpu(Default::default());
    let device = plain.clone().autodiff();
    let random = |shape: Vec<usize>, on: &Device| (shape, on.clone());
    fn tensor<const D: usize>((shape, device): (Vec<usize>, Device)) -> Tensor<D> {
        let shape: [usize; D] = shape.try_into().unwrap();
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &device)
    }
    let row = |name: String, device: &Device, call: &mut dyn FnMut()| {
        if name.contains(&only) {
            println!("{name}\t{:.3}", time(device, call));
        }
    };

    for (cin, cout, size, batch) in [(1, 16, 28, 32), (16, 32, 28, 32), (64, 64, 56, 8)] {
        let config = Conv2dConfig::new([cin, cout], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
        let name = format!("conv2d {cin}->{cout} 3x3 {size}x{size} batch {batch}");
        let shape = vec![batch, cin, size, size];
        let (layer, x) = (config.init(&plain), tensor::<4>(random(shape.clone(), &plain)));
        row(format!("{name} forward"), &plain, &mut || drop(std::hint::black_box(layer.forward(x.clone()))));
        let (layer, x) = (config.init(&device), tensor::<4>(random(shape, &device)).require_grad());
        let g = tensor::<4>(random(vec![batch, cout, size, size], &device));
        row(format!("{name} forward+backward"), &device, &mut || {
            let _ = std::hint::black_box((layer.forward(x.clone()) * g.clone()).sum().backward());
        });
    }
    for (c, size, batch) in [(32, 28, 32), (64, 56, 8)] {
        // Of the batch's own statistics, as in training.
        let (layer, x) =
            (BatchNormConfig::new(c).init(&device), tensor::<4>(random(vec![batch, c, size, size], &device)));
        row(format!("batch_norm {batch}x{c}x{size}x{size} forward"), &device, &mut || {
            drop(std::hint::black_box(layer.forward(x.clone())));
        });
        let layer = BatchNormConfig::new(c).init(&device);
        let x = tensor::<4>(random(vec![batch, c, size, size], &device)).require_grad();
        let g = tensor::<4>(random(vec![batch, c, size, size], &device));
        row(format!("batch_norm {batch}x{c}x{size}x{size} forward+backward"), &device, &mut || {
            let _ = std::hint::black_box((layer.forward(x.clone()) * g.clone()).sum().backward());
        });
    }
    for (c, size, batch, kernel, stride, padding) in [(32, 24, 32, 2, 2, 0), (64, 112, 8, 3, 2, 1)] {
        let config = MaxPool2dConfig::new([kernel, kernel])
            .with_strides([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding));
        let layer = config.init();
        let name = format!("max_pool2d {kernel}x{kernel}/{stride} {batch}x{c}x{size}x{size}");
        let x = tensor::<4>(random(vec![batch, c, size, size], &plain));
        row(format!("{name} forward"), &plain, &mut || drop(std::hint::black_box(layer.forward(x.clone()))));
        let x = tensor::<4>(random(vec![batch, c, size, size], &device)).require_grad();
        let g = tensor::<4>(random(layer.forward(x.clone()).dims().to_vec(), &device));
        row(format!("{name} forward+backward"), &device, &mut || {
            let _ = std::hint::black_box((layer.forward(x.clone()) * g.clone()).sum().backward());
        });
    }
    let x = tensor::<2>(random(vec![256, 1000], &plain));
    row("softmax 256x1000 forward".into(), &plain, &mut || drop(std::hint::black_box(softmax(x.clone(), 1))));
    let x = tensor::<2>(random(vec![256, 1000], &device)).require_grad();
    let g = tensor::<2>(random(vec![256, 1000], &device));
    row("softmax 256x1000 forward+backward".into(), &device, &mut || {
        let _ = std::hint::black_box((softmax(x.clone(), 1) * g.clone()).sum().backward());
    });
    let (layer, x) = (LayerNormConfig::new(768).init(&plain), tensor::<2>(random(vec![512, 768], &plain)));
    row("layer_norm 512x768 forward".into(), &plain, &mut || drop(std::hint::black_box(layer.forward(x.clone()))));
    let layer = LayerNormConfig::new(768).init(&device);
    let x = tensor::<2>(random(vec![512, 768], &device)).require_grad();
    let g = tensor::<2>(random(vec![512, 768], &device));
    row("layer_norm 512x768 forward+backward".into(), &device, &mut || {
        let _ = std::hint::black_box((layer.forward(x.clone()) * g.clone()).sum().backward());
    });
    let config = LstmConfig::new(28, 128, true);
    let (layer, x) = (config.init(&plain), tensor::<3>(random(vec![64, 28, 28], &plain)));
    row("lstm 28->128 28 steps batch 64 forward".into(), &plain, &mut || {
        drop(std::hint::black_box(layer.forward(x.clone(), None)));
    });
    let (layer, x) = (config.init(&device), tensor::<3>(random(vec![64, 28, 28], &device)).require_grad());
    let g = tensor::<3>(random(vec![64, 28, 128], &device));
    row("lstm 28->128 28 steps batch 64 forward+backward".into(), &device, &mut || {
        let _ = std::hint::black_box((layer.forward(x.clone(), None).0 * g.clone()).sum().backward());
    });
}
