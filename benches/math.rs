//! How far the functions of `shaders/common/math.wgsl`, and the driver's own in their place, are from the exact value.
//!
//!     cargo bench --bench math
//!
//! Prints the largest error in units of the last place over a million numbers of a range and a million over all
//! floats, and the number that has it. The unrounded reference is the judge.

use lumigrad::ops::{self, cases::Fill, cases::Input};
use lumigrad::prelude::*;

type Method = fn(&Tensor) -> Tensor;

/// Name, method, built-in expression of WGSL (empty where there is none), and the range that matters most.
const FUNCTIONS: &[(&str, Method, &str, (f64, f64))] = &[
    ("exp", Tensor::exp, "exp(x)", (-87.0, 88.0)),
    ("expm1", Tensor::expm1, "exp(x) - 1.0", (-1.0, 1.0)),
    ("log", Tensor::log, "log(x)", (0.5, 2.0)),
    ("log1p", Tensor::log1p, "log(1.0 + x)", (-0.5, 1.0)),
    ("tanh", Tensor::tanh, "tanh(x)", (-10.0, 10.0)),
    ("sigmoid", Tensor::sigmoid, "1.0 / (1.0 + exp(-x))", (-80.0, 80.0)),
    ("erf", Tensor::erf, "", (-4.0, 4.0)),
    ("sin", Tensor::sin, "sin(x)", (-1e4, 1e4)),
    ("cos", Tensor::cos, "cos(x)", (-1e4, 1e4)),
];

const POINTS: usize = 1 << 20;

fn main() -> Result<()> {
    let device = Device::current();
    println!("device: {device}\n\nfunction     math.wgsl, worst at             driver, worst at");
    for (name, method, builtin, range) in FUNCTIONS {
        let kernel = ops::kernel(&format!("{name}.forward")).expect("each is an operation");
        let own = worst(&device, *method, *range)?;
        print!("{name:10} {own:28}");
        if !builtin.is_empty() {
            let maths = format!("fn forward(x: elem, a: vec4<elem>) -> result {{ return {builtin}; }}");
            device.replace_kernel(kernel, 0, Some(format!("{}\n{maths}", kernel.source[0])));
            print!(" {}", worst(&device, *method, *range)?);
            device.replace_kernel(kernel, 0, None);
        }
        println!();
    }
    Ok(())
}

fn worst(device: &Device, method: Method, (low, high): (f64, f64)) -> Result<String> {
    let reference = Device::reference_unrounded();
    let within = Input::floats(&[POINTS]).fill(Fill::Uniform(low, high)).make(&reference, 1).to_vec::<f32>()?;
    let step = u32::MAX / POINTS as u32;
    let all = (0..POINTS as u32).map(|i| f32::from_bits(i * step)).filter(|x| x.is_normal());
    let points: Vec<f32> = within.into_iter().chain(all).collect();
    let run = |device: &Device| method(&Tensor::from_slice_on(&points, &[points.len()], device)).to_vec::<f64>();
    let (got, want) = (run(device)?, run(&reference)?);
    let mut worst = (0.0, 0.0);
    for ((x, g), w) in points.iter().zip(got).zip(want) {
        let error = ulps(g, w);
        if error > worst.0 {
            worst = (error, *x);
        }
    }
    Ok(format!("{:9.3e} ulp at {:e}", worst.0, worst.1))
}

/// The distance in units of the last place; results that f32 can't hold as normal numbers do not count.
fn ulps(got: f64, want: f64) -> f64 {
    if !want.is_finite() || want.abs() > f64::from(f32::MAX) || want.abs() < f64::from(f32::MIN_POSITIVE) {
        return 0.0;
    }
    if !got.is_finite() {
        return f64::INFINITY;
    }
    (got - want).abs() / 2f64.powi(want.abs().log2().floor() as i32 - 23)
}
