//! What users add themselves: operations made of their own WGSL, other shaders in place of built-in ones. On a GPU, with
//! the reference beside it, and checkpoints there.

mod common;

use common::{Gpu, Outcome, check, mentions};
use lumigrad::autograd::{detect_anomaly, gradcheck};
use lumigrad::engine::{Bound, HostCall};
use lumigrad::ops::{self, Attrs, Check, CustomOp, CustomOpBuilder};
use lumigrad::{nn, prelude::*};

fn main() {
    let gpu = Gpu::open();
    let trials = vec![
        gpu.trial("extend::custom_operation", custom_operation),
        gpu.trial("extend::operands_that_lie_anyhow", operands_that_lie_anyhow),
        gpu.trial("extend::several_outputs_and_param_types", several_outputs_and_param_types),
        gpu.trial("extend::backward_by_another_kernel", backward_by_another_kernel),
        gpu.trial("extend::mistakes_in_the_text", mistakes_in_the_text),
        gpu.trial("extend::mistakes_in_calls", mistakes_in_calls),
        gpu.trial("extend::wrong_twins_and_gradients_are_found", wrong_twins_and_gradients_are_found),
        gpu.trial("extend::hooks_and_anomalies", hooks_and_anomalies),
        gpu.trial("extend::replacements", replacements),
        gpu.trial("extend::wrong_replacements", wrong_replacements),
        gpu.trial("extend::checkpoints", checkpoints),
    ];
    gpu.run(trials);
}

/// A shader of one input and one output, with the body of its loop.
fn shader(params: &str, body: &str) -> String {
    format!(
        "#import common/index
#import common/math
struct Params {{ n: u32, {params} }}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {{
    let i = linear_id(group, groups, thread);
    if i >= params.n {{ return; }}
    {body}
}}
"
    )
}

fn twin(call: &HostCall<'_>) -> lumigrad::Result<()> {
    let (x, mut y) = (call.floats(0), call.floats_mut(1));
    for i in 0..call.param_u32("n") as usize {
        y[i] = x[i] * x[i] * call.param_f32("factor");
    }
    Ok(())
}

/// `factor · x²`.
fn square(params: &str, body: &str) -> CustomOpBuilder {
    CustomOp::new("scaled_square")
        .wgsl(shader(&format!("factor: f32, {params}"), body))
        .input("x")
        .output("y")
        .param("factor", |args| args.attrs().get_float("factor"))
        .reference(twin, |_| Bound::ulps(2.0))
        .saves(&["x"])
        .backward(|v| {
            let twice = v.saved(0).try_mul_scalar(2.0 * v.attrs().get_float("factor"))?;
            Ok(vec![Some(v.gradient().try_mul(&twice)?)])
        })
}

const SQUARE: &str = "y[i] = x[i] * x[i] * params.factor;";

fn factor(value: f64) -> Attrs {
    Attrs::new().float("factor", value)
}

fn custom_operation(device: &Device) -> Outcome {
    let op = square("", SQUARE).build()?;
    for device in [device, &Device::reference()] {
        let x = Tensor::from_slice_on(&[1.0f32, -2.0, 3.0], &[3], device).requires_grad();
        let y = op.call(&[&x], factor(0.5));
        check(y.to_vec::<f32>()? == [0.5, 2.0, 4.5], format!("{y:?} on {device}"))?;
        (&y * 3.0).sum().backward()?;
        check(x.grad().unwrap().to_vec::<f32>()? == [3.0, -6.0, 9.0], format!("{:?}", x.grad()))?;
    }
    let x = Tensor::from_slice_on(&[0.5f32, -2.0, 3.0], &[3], device);
    // Two results are compared: the forward dispatch, and those of the gradient.
    let random = device.random_state();
    let comparisons = op.check_against_reference(&[&x], &factor(0.7))?;
    check(device.random_state() == random, "the check draws random numbers")?;
    check(comparisons.len() >= 3 && comparisons[0].kernel == "scaled_square", format!("{comparisons:?}"))?;
    gradcheck(|x| op.try_call(&[&x[0]], factor(0.7)).map(|mut y| y.remove(0)), &[x], Default::default())?;
    // Many elements: the grid folds.
    let n = 64 * 65_535 + 1000;
    let ones = Tensor::full_on(&[n], 1.0, DType::F32, device);
    let sum = op.call(&[&ones], factor(1.0)).sum().item::<f64>()?;
    check(sum == n as f64, format!("{sum} for {n}"))?;
    let empty = op.call(&[&Tensor::full_on(&[0, 3], 1.0, DType::F32, device)], factor(1.0));
    check(empty.shape() == [0, 3] && empty.to_vec::<f32>()?.is_empty(), format!("{empty:?}"))
}

/// Views are copied, unless the shader knows of offsets; gradients find their way back.
fn operands_that_lie_anyhow(device: &Device) -> Outcome {
    let with_offset = square(
        "x_offset: u32, x_len: u32",
        "y[i] = x[params.x_offset + i] * x[params.x_offset + i] * params.factor * f32(params.x_len / params.n);",
    )
    .build()?;
    for op in [square("", SQUARE).build()?, with_offset] {
        let base = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2], device).requires_grad();
        let views: [&dyn Fn() -> Tensor; 4] =
            [&|| base.slice_step(0, 1, 3, 1), &|| base.t(), &|| base.select(1, 1), &|| {
                base.select(0, 0).expand([2, 2])
            }];
        for make in views {
            base.set_grad(None)?;
            let view = make();
            let expected = (&view * &view * 2.0).to_vec::<f32>()?;
            let y = op.call(&[&view], factor(2.0));
            check(y.to_vec::<f32>()? == expected, format!("{y:?} for {view:?}"))?;
            y.sum().backward()?;
            let own = base.grad().unwrap().to_vec::<f32>()?;
            base.set_grad(None)?;
            let view = make();
            (&view * &view * 2.0).sum().backward()?;
            let expected = base.grad().unwrap().to_vec::<f32>()?;
            check(own == expected, format!("{own:?} for {expected:?}"))?;
        }
    }
    Ok(())
}

fn several_outputs_and_param_types(device: &Device) -> Outcome {
    let op = CustomOp::new("shifted")
        .wgsl(
            "struct Params { size: vec2<u32>, low: i32, n: u32, weights: array<vec4<f32>, 2> }
            @group(0) @binding(0) var<storage, read> x: array<i32>;
            @group(0) @binding(1) var<storage, read_write> sums: array<f32>;
            @group(0) @binding(2) var<storage, read_write> flags: array<u32>;
            @group(0) @binding(8) var<uniform> params: Params;
            @compute @workgroup_size(32)
            fn rows(@builtin(global_invocation_id) id: vec3<u32>) {
                if id.x >= params.size.x { return; }
                var sum = 0.0;
                for (var j = 0u; j < params.size.y; j += 1u) {
                    let v = x[id.x * params.size.y + j] + params.low;
                    sum += f32(v) * params.weights[j / 4u][j % 4u];
                    flags[id.x * params.size.y + j] = select(0u, 1u, v > 0);
                }
                sums[id.x] = sum;
            }",
        )
        .entry("rows")
        .input("x")
        .output("sums")
        .output_as("flags", DType::Bool)
        .shapes(|args| match args.input(0).shape() {
            &[rows, columns] if columns <= 8 => Ok(vec![vec![rows], vec![rows, columns]]),
            other => Err(Error::shape("shifted", format!("takes [rows, up to 8], not {other:?}"))),
        })
        .param("size", |args| args.input(0).shape().to_vec())
        .param("low", |_| -2)
        .param("weights", |args| args.attrs().get_ints("weights").to_vec())
        .build()?;
    let x = Tensor::from_slice_on(&[1, 2, 3, 4, 5, 6], &[2, 3], device);
    let attrs = || Attrs::new().ints("weights", [1, 10, 100]);
    let y = op.try_call(&[&x], attrs())?;
    check(y[0].to_vec::<f32>()? == [99.0, 432.0], format!("{:?}", y[0]))?;
    check(y[1].dtype() == DType::Bool && y[1].to_vec::<u32>()? == [0, 0, 1, 1, 1, 1], format!("{:?}", y[1]))?;
    mentions(
        &op.try_call(&[&Tensor::from_slice_on(&[1], &[1], device)], attrs()).unwrap_err().to_string(),
        &["shifted: ", "[1]"],
    )?;
    // Without a twin only a GPU can run it.
    let text = op.try_call(&[&x.to(&Device::reference())], attrs()).unwrap_err().to_string();
    mentions(&text, &["shifted: ", "no", "twin", ".reference(..)"])
}

fn backward_by_another_kernel(device: &Device) -> Outcome {
    let double = square("", "y[i] = x[i] * 2.0 * params.factor;")
        .reference(
            |call| {
                let (x, mut y) = (call.floats(0), call.floats_mut(1));
                (0..call.param_u32("n") as usize).for_each(|i| y[i] = x[i] * 2.0 * call.param_f32("factor"));
                Ok(())
            },
            |_| Bound::ulps(2.0),
        )
        .build()?;
    let own = double.clone();
    let op = square("", SQUARE)
        .backward(move |v| {
            let slope = own.try_call(&[&v.saved(0)], v.attrs().clone())?;
            Ok(vec![Some(v.gradient().try_mul(&slope[0])?)])
        })
        .build()?;
    let x = Tensor::from_slice_on(&[1.5f32, -0.5, 2.0, 4.0], &[2, 2], device);
    op.check_against_reference(&[&x], &factor(1.25))?;
    // And in a model, with an optimiser.
    let w = Parameter::new(x);
    let mut optimizer = lumigrad::optim::SGD::new([w.clone()], 0.1);
    let mut last = f32::INFINITY;
    for _ in 0..5 {
        optimizer.zero_grad();
        let loss = op.call(&[&w.get()], factor(1.0)).sum();
        loss.backward()?;
        optimizer.step()?;
        let now = loss.item::<f32>()?;
        check(now < last, format!("{now} after {last}"))?;
        last = now;
    }
    Ok(())
}

fn refused(builder: CustomOpBuilder, parts: &[&str]) -> Outcome {
    let error = builder.build().err().ok_or_else(|| format!("nothing is wrong, but {parts:?} was expected"))?;
    check(matches!(error, Error::Kernel { .. }), format!("{error:?}"))?;
    mentions(&error.to_string(), parts)
}

fn mistakes_in_the_text(_: &Device) -> Outcome {
    // The line and column are those of the user's text, whatever is imported before it.
    let line =
        1 + shader("factor: f32, ", "@").lines().position(|line| line.contains('@') && line.trim() == "@").unwrap();
    refused(
        square("", "y[i] = x[i] *;"),
        &["scaled_square", &format!("--> scaled_square:{line}:18"), "y[i] = x[i] *;", "^"],
    )?;
    refused(square("", "y[i] = x[i] + 1u;"), &[&format!("scaled_square:{line}:"), "y[i] = x[i] + 1u;", "^"])?;
    refused(square("", "y[i] = unknown(x[i]);"), &["unknown", &format!(":{line}:12")])?;
    refused(square("", SQUARE).entry("other"), &["@compute fn other", "main"])?;
    refused(square("", SQUARE).input("z"), &["read x, read_write y", "declared are [read x, read z, read_write y]"])?;
    refused(square("", SQUARE).output("z"), &["declared are [read x, read_write y, read_write z]"])?;
    refused(square("more: u32", SQUARE), &["`more`", ".param(\"more\", ..)"])?;
    refused(square("", SQUARE).param("less", |_| 1), &["no param `less`", "n, factor"])?;
    refused(square("flag: vec3<bool>", SQUARE), &["host-shareable"])?;
    refused(square("", SQUARE).saves(&["w"]), &["`w`"])?;
    refused(square("", SQUARE).output_as("z", DType::Bool), &["z"])?;
    let wide = shader("factor: f32, ", SQUARE).replace("@workgroup_size(64)", "@workgroup_size(512)");
    refused(square("", "").wgsl(wide), &["512", "256"])?;
    refused(square("", "").wgsl("#import common/nothing\n"), &["common/nothing", "common/math"])
}

fn mistakes_in_calls(device: &Device) -> Outcome {
    let op = square("", SQUARE).build()?;
    let (x, whole) = (Tensor::ones(&[2]).to(device), Tensor::from_slice_on(&[1, 2], &[2], device));
    mentions(&op.try_call(&[], factor(1.0)).unwrap_err().to_string(), &["scaled_square: takes 1 inputs, not 0"])?;
    mentions(&op.try_call(&[&whole], factor(1.0)).unwrap_err().to_string(), &["`x` is an array of F32", "i32"])?;
    let silent = CustomOp::new("silent").wgsl(shader("", "y[i] = x[i];")).input("x").output("y").build()?;
    let leaf = x.clone().requires_grad();
    let y = silent.call(&[&leaf], Attrs::new());
    mentions(&y.sum().backward().unwrap_err().to_string(), &["silent", "no gradient", ".backward(..)"])?;
    silent.call(&[&x], Attrs::new()).to_vec::<f32>()?;
    let negative = CustomOp::new("negative")
        .wgsl(shader("count: u32,", "y[i] = x[i];"))
        .input("x")
        .output("y")
        .param("count", |_| -1)
        .build()?;
    mentions(&negative.try_call(&[&x], Attrs::new()).unwrap_err().to_string(), &["negative: ", "`count`", "-1"])?;
    let shadow = Device::shadow()?;
    mentions(&silent.try_call(&[&x.to(&shadow)], Attrs::new()).unwrap_err().to_string(), &["silent", "twin"])?;
    op.try_call(&[&x.to(&shadow)], factor(2.0))?[0].to_vec::<f32>()?;
    Ok(())
}

fn wrong_twins_and_gradients_are_found(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[1.0f32, -2.0, 3.0], &[3], device);
    let op = square("", "y[i] = x[i] * x[i] * params.factor * 1.00001;").build()?;
    match op.check_against_reference(&[&x], &factor(1.0)) {
        Err(Error::Diverged { kernel, detail }) => mentions(&format!("{kernel} {detail}"), &["scaled_square", "`y`"])?,
        other => return Err(format!("{other:?}").into()),
    }
    let x2 = Tensor::from_slice_on(&[1.0f32, -2.0, 3.0], &[3], &Device::shadow()?);
    let diverged = matches!(op.try_call(&[&x2], factor(1.0)), Err(Error::Diverged { .. }));
    check(diverged, "the shadow sees nothing")?;
    let op = square("", SQUARE).backward(|v| Ok(vec![Some(v.gradient().try_mul(&v.saved(0))?)])).build()?;
    let text = op.check_against_reference(&[&x], &factor(1.0)).unwrap_err().to_string();
    mentions(&text, &["gradcheck"])
}

fn hooks_and_anomalies(device: &Device) -> Outcome {
    #[derive(Module)]
    struct Squared {
        #[module(skip)]
        op: CustomOp,
        scale: Parameter,
    }
    impl Forward for Squared {
        type Output = Tensor;
        fn forward(&self, x: &Tensor) -> Tensor {
            self.op.call(&[&(x * self.scale.get())], factor(1e30))
        }
    }
    let net = device.scope(|| {
        let scale = Parameter::new(Tensor::ones(&[1]));
        Ok::<_, Error>(nn::Sequential::new().add(nn::ReLU).add(Squared { op: square("", SQUARE).build()?, scale }))
    })?;
    let x = Tensor::from_slice_on(&[1e10f32, 1.0], &[2], device);
    let text = detect_anomaly(|| net.call(&x).sum().backward()).unwrap_err().to_string();
    mentions(&text, &["scaled_square: gives an infinity at [0] of [2]", "in 1, at ", "extend.rs"])?;
    let hook = net.register_forward_hook_at("1", |_, _: &Tensor, y: &Tensor| Some(y * 0.0))?;
    let y = net.call(&x.select(0, 1)).to_vec::<f32>()?;
    drop(hook);
    check(y == [0.0], format!("{y:?}"))
}

fn product(device: &Device) -> lumigrad::Result<Vec<f32>> {
    let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], device);
    x.try_mul(&x)?.to_vec()
}

fn replacements(device: &Device) -> Outcome {
    let own = ops::kernel("mul.forward").unwrap().source.concat();
    let other = own.replace("x * y", "y * x");
    check(own != other, "the text has changed")?;
    let replacement = device.replace_kernel_with("mul.forward", &other, Check::Reference)?;
    check(replacement.comparisons().len() > 10, format!("{:?}", replacement.comparisons().len()))?;
    check(product(device)? == [1.0, 4.0, 9.0], "the product")?;
    replacement.restore();
    // One that is wrong and only compiles is used as long as it is held.
    let wrong = own.replace("x * y", "x + y");
    let replacement = device.replace_kernel_with("mul.forward[f32]", &wrong, Check::Compiles)?;
    check(product(device)? == [2.0, 4.0, 6.0], "the replacement is used")?;
    drop(replacement);
    check(product(device)? == [1.0, 4.0, 9.0], "the kernel's own is back")
}

fn wrong_replacements(device: &Device) -> Outcome {
    let own = ops::kernel("mul.forward").unwrap().source.concat();
    let refused = |name: &str, text: &str, how: Check, parts: &[&str]| -> Outcome {
        let error = device.replace_kernel_with(name, text, how).err().ok_or("it is accepted")?.to_string();
        mentions(&error, parts)?;
        check(product(device)? == [1.0, 4.0, 9.0], format!("after {error}"))
    };
    let wrong = own.replace("x * y", "x * y * 1.001");
    refused("mul.forward[f32]", &wrong, Check::Reference, &["mul.forward[f32]", "differs", "`z`"])?;
    refused(
        "mul.forward[f32]",
        &own.replace("x * y", "x *** y"),
        Check::Compiles,
        &["mul.forward[f32]", "x *** y", "^"],
    )?;
    refused("mul.forward", &own.replacen("@binding(2)", "@binding(3)", 1), Check::Compiles, &["0, 1, 2"])?;
    refused(
        "mul.forward",
        &own.replace("@workgroup_size(WG)", "@workgroup_size(32)"),
        Check::Compiles,
        &["[32, 1, 1]", "[64, 1, 1]"],
    )?;
    refused("mul.forwards", &own, Check::Compiles, &["mul.forwards", "mul.forward"])?;
    refused("mul.forward[f16]", &own, Check::Compiles, &["mul.forward[f16]", "mul.forward[f32]"])?;
    let text = Device::reference().replace_kernel_with("mul.forward", &own, Check::Compiles).unwrap_err().to_string();
    mentions(&text, &["reference"])
}

/// The same bits with less memory, on the GPU's pool.
fn checkpoints(device: &Device) -> Outcome {
    let part = || {
        let linear = nn::Linear::new(64, 64);
        nn::Sequential::new().add(linear).add(nn::Tanh).add(nn::Dropout::new(0.2)).add(nn::Sigmoid)
    };
    let (plain, spare) = device.scope(|| {
        let plain = (0..6).fold(nn::Sequential::new(), |net, _| net.add(part()));
        let spare = (0..6).fold(nn::Sequential::new(), |net, _| net.add(nn::Checkpoint::new(part())));
        (plain, spare)
    });
    spare.load_state_dict(&plain.state_dict())?;
    let x = Tensor::uniform_on(&[512, 64], -1.0, 1.0, device);
    let run = |net: &nn::Sequential| -> lumigrad::Result<(Vec<Vec<f32>>, u64)> {
        device.manual_seed(11);
        net.zero_grad();
        let before = device.counters().live_bytes;
        let loss = net.call(&x).powi(2).sum();
        let held = device.counters().live_bytes - before;
        loss.backward()?;
        let gradients =
            net.parameters().iter().map(|p| p.grad().expect("trained").to_vec()).collect::<lumigrad::Result<_>>()?;
        Ok((gradients, held))
    };
    let ((ours, less), (theirs, more)) = (run(&spare)?, run(&plain)?);
    check(ours == theirs, "the gradients differ")?;
    check(less * 3 < more * 2, format!("{less} bytes against {more}"))
}
