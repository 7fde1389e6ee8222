//! An operation of your own: a shader, its scalar twin, its gradient, and a network that uses it.
//!
//!     cargo run --release --example custom_kernel
//!
//! The operation is the snake, `x + sin²(a·x) / a`, with which networks learn periodic functions (Ziyin, Hartwig and Ueda,
//! 2020). The program checks it against its twin and its gradient against differences, then fits a sine with it.

use std::process::ExitCode;

use lumigrad::engine::Bound;
use lumigrad::ops::{Attrs, CustomOp};
use lumigrad::{nn, optim, prelude::*};

/// One thread an element. `n` is filled in with the number of elements of the output.
const SHADER: &str = "
#import common/index
#import common/math

struct Params { n: u32, a: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = linear_id(group, groups, thread);
    if i >= params.n { return; }
    let s = lg_sin(params.a * x[i]);
    y[i] = x[i] + s * s / params.a;
}
";

fn snake() -> Result<CustomOp> {
    CustomOp::new("snake")
        .wgsl(SHADER)
        .input("x")
        .output("y")
        .param("a", |args| args.attrs().get_float("a"))
        // The same in plain Rust: what the shader means. It runs on the reference device and judges the shader.
        .reference(
            |call| {
                let (x, mut y, a) = (call.floats(0), call.floats_mut(1), call.param_f32("a"));
                for i in 0..call.param_u32("n") as usize {
                    y[i] = x[i] + (a * x[i]).sin().powi(2) / a;
                }
                Ok(())
            },
            // The sine's argument is rounded; for moderate arguments that is a few units in the last place of 1.
            |_| Bound::Relative { ulps: 8.0, floor: 1.0 },
        )
        // d/dx = 1 + sin(2·a·x), times the gradient that comes in.
        .saves(&["x"])
        .backward(|v| {
            let (x, a) = (v.saved(0), v.attrs().get_float("a"));
            let slope = x.try_mul_scalar(2.0 * a)?.try_sin()?.try_add_scalar(1.0)?;
            Ok(vec![Some(v.gradient().try_mul(&slope)?)])
        })
        .build()
}

#[derive(Module)]
struct Net {
    fc1: nn::Linear,
    #[module(skip)]
    snake: CustomOp,
    fc2: nn::Linear,
}

impl Forward for Net {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.snake.call(&[&self.fc1.call(x)], Attrs::new().float("a", 1.0));
        self.fc2.call(&hidden)
    }
}

fn run() -> Result<()> {
    let device = Device::current();
    device.manual_seed(0);
    let snake = snake()?;
    if !device.is_reference() {
        let x = Tensor::from_slice(&(-30..30).map(|i| i as f32 / 10.0).collect::<Vec<_>>(), &[60]);
        let comparisons = snake.check_against_reference(&[&x], &Attrs::new().float("a", 1.5))?;
        println!("{} results on {device} agree with their twins", comparisons.len());
    }

    let net = Net { fc1: nn::Linear::new(1, 32), snake, fc2: nn::Linear::new(32, 1) };
    let mut optimizer = optim::Adam::new(net.parameters(), 1e-2);
    let x = Tensor::uniform_on(&[256, 1], -6.0, 6.0, &device);
    let y = x.sin();
    for step in 0..=500 {
        let loss = net.call(&x).mse_loss(&y);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        if step % 100 == 0 {
            println!("step {step}: loss {:.5}", loss.item::<f32>()?);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
