//! Elementwise kernels, and reductions, by how their operands lie.
//!
//!     cargo bench --bench elementwise [-- part of a name]
//!
//! One line each: name, milliseconds, and GB/s of what is read once and written once (four bytes an element, also where it
//! is two), for a million elements. A number of elements that is no multiple of four goes one by one, a multiple in vectors
//! of four; a row that is broadcast, or one number, lies in vectors too. The copies are those that `contiguous` makes. At
//! the end chains of few elements.

mod common;

use common::{median_time, named};
use lumigrad::prelude::*;

type Unary = (&'static str, fn(&Tensor) -> Tensor);
type Reduction = (&'static str, fn(&Tensor, &[i64]) -> Tensor);
type Binary = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

fn main() {
    let (device, only) = (Device::current(), named());
    println!("# {device}");
    let row = |name: &str, operands: usize, n: usize, mut call: Box<dyn FnMut()>| {
        if name.contains(&only) {
            let seconds = median_time(&device, 20, &mut call);
            println!("{name}\t{:.3}\t{:.2} GB/s", seconds * 1e3, (4 * (operands + 1) * n) as f64 / seconds / 1e9);
        }
    };
    let uniform = |shape: &[usize]| Tensor::uniform_on(shape, 0.5, 2.0, &device);
    for (lie, n) in [("one by one", (1 << 20) - 1), ("in vectors", 1 << 20)] {
        let (x, y) = (uniform(&[n]), uniform(&[n]));
        let functions: [Unary; 4] =
            [("relu", Tensor::relu), ("exp", Tensor::exp), ("tanh", Tensor::tanh), ("gelu", Tensor::gelu)];
        for (name, function) in functions {
            let x = x.clone();
            row(&format!("{name} {lie}"), 1, n, Box::new(move || drop(function(&x))));
        }
        let functions: [Binary; 3] = [("add", Tensor::add), ("mul", Tensor::mul), ("pow", Tensor::pow)];
        for (name, function) in functions {
            let (x, y) = (x.clone(), y.clone());
            row(&format!("{name} {lie}"), 2, n, Box::new(move || drop(function(&x, &y))));
        }
    }
    for (lie, n) in [("one by one", (1 << 20) - 1), ("in vectors", 1 << 20)] {
        for dtype in [DType::F16, DType::BF16] {
            let wide = uniform(&[n]);
            let half = wide.to_dtype(dtype);
            row(&format!("f32 to {dtype} {lie}"), 1, n, Box::new(move || drop(wide.to_dtype(dtype))));
            row(&format!("{dtype} to f32 {lie}"), 1, n, Box::new(move || drop(half.float())));
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        let n = 1 << 20;
        let (x, y) = (uniform(&[n]).to_dtype(dtype), uniform(&[n]).to_dtype(dtype));
        let functions: [Unary; 3] = [("relu", Tensor::relu), ("tanh", Tensor::tanh), ("gelu", Tensor::gelu)];
        for (name, function) in functions {
            let (x, half) = (x.clone(), x.clone());
            row(&format!("{name} of {dtype}"), 1, n, Box::new(move || drop(function(&half))));
            let by_f32 = move || drop(function(&x.float()).to_dtype(dtype));
            row(&format!("{name} of {dtype} by way of f32"), 1, n, Box::new(by_f32));
        }
        let (left, right) = (x.clone(), y.clone());
        row(&format!("add of {dtype}"), 2, n, Box::new(move || drop(left.add(&right))));
        let by_f32 = move || drop(x.float().add(&y.float()).to_dtype(dtype));
        row(&format!("add of {dtype} by way of f32"), 2, n, Box::new(by_f32));
    }
    for (lie, rows, columns) in [("one by one", 1025, 1023), ("in vectors", 1024, 1024)] {
        let (x, y, one) = (uniform(&[rows, columns]), uniform(&[columns]), uniform(&[rows, 1]));
        let m = x.clone();
        row(&format!("add a row {lie}"), 1, rows * columns, Box::new(move || drop(m.add(&y))));
        row(&format!("add a column {lie}"), 1, rows * columns, Box::new(move || drop(x.add(&one))));
    }
    for (lie, columns) in [("one by one", 1023), ("in vectors", 1024)] {
        let (x, mask) = (uniform(&[1024, columns]), uniform(&[columns]).gt_scalar(1.0));
        let n = x.numel();
        let (m, y) = (mask.clone(), x.clone());
        row(&format!("masked_fill by a row {lie}"), 1, n, Box::new(move || drop(y.masked_fill(&m, 0.0))));
        row(&format!("where by a row {lie}"), 1, n, Box::new(move || drop(mask.where_(&x, 0.0))));
    }
    // A shape and the order in which its dims are read.
    let copies: [(&str, &[usize], &[i64]); 8] = [
        ("copy one by one", &[(1 << 20) - 1], &[0]),
        ("copy in vectors", &[1 << 20], &[0]),
        ("copy of a transpose one by one", &[1023, 1025], &[1, 0]),
        ("copy of a transpose", &[1024, 1024], &[1, 0]),
        ("copy of a transpose, not by powers of two", &[1000, 1048], &[1, 0]),
        ("copy of an attention's heads", &[8, 128, 16, 64], &[0, 2, 1, 3]),
        ("copy of images, channels last", &[16, 64, 32, 32], &[0, 2, 3, 1]),
        ("copy of images, channels first", &[16, 32, 32, 64], &[0, 3, 1, 2]),
    ];
    for (name, shape, dims) in copies {
        let x = uniform(shape).permute(dims);
        row(name, 1, x.numel(), Box::new(move || drop(x.copy())));
    }
    let x = uniform(&[1024, 2048]).slice_step(1, 0, 2048, 2);
    row("copy of every second", 1, 1 << 20, Box::new(move || drop(x.copy())));
    let x = uniform(&[1024, 1]).expand([1024, 1024]);
    row("copy of a column that is repeated", 1, 1 << 20, Box::new(move || drop(x.copy())));
    for (lie, rows, columns) in [("one by one", 1025, 1023), ("in vectors", 1024, 1024)] {
        let x = uniform(&[rows, columns]);
        for (name, dims) in [("rows", &[1][..]), ("columns", &[0]), ("all", &[0, 1])] {
            let x = x.clone();
            let reductions: [Reduction; 6] = [
                ("sum", |x, dims| x.sum_dims(dims, false)),
                ("amax", |x, dims| x.amax(dims, false)),
                ("prod", |x, dims| x.prod_dim(dims[0], false)),
                ("argmax", |x, dims| x.argmax(Some(dims[0]), false)),
                ("logsumexp", |x, dims| x.logsumexp(dims, false)),
                ("norm", |x, dims| x.norm(2.0, dims, false)),
            ];
            for (function, reduce) in reductions {
                // Which takes one dim, and can't be asked for more.
                if dims.len() > 1 && matches!(function, "prod" | "argmax") {
                    continue;
                }
                let x = x.clone();
                row(&format!("{function} of {name} {lie}"), 0, x.numel(), Box::new(move || drop(reduce(&x, dims))));
            }
        }
    }
    chains(&device, &only);
}

/// Dependent sums of few elements, as one dispatch and as one each: microseconds for each sum.
fn chains(device: &Device, only: &str) {
    const SUMS: u32 = 500;
    for n in [1, 64, 512, 2048] {
        let one = Tensor::uniform_on(&[n], 0.5, 2.0, device);
        for (how, joined) in [("joined", true), ("apart", false)] {
            let name = format!("chain of sums of {n} {how}");
            if name.contains(only) {
                device.set_fusion(joined);
                let chain = || drop((0..SUMS).fold(one.clone(), |x, _| x.add(&one)));
                println!("{name}\t{:.2} µs each", median_time(device, 5, chain) * 1e6 / f64::from(SUMS));
            }
        }
    }
    device.set_fusion(true);
}
