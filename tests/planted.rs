//! Wrong kernels, planted in the place of right ones: the doctor, shadow mode and the parity tests, which are the
//! doctor's, have to find each of them and name the kernel and the element.

mod common;

use common::{Gpu, Outcome, check};
use lumigrad::doctor::{self, Filter, Report};
use lumigrad::engine::{GpuOptions, Kernel};
use lumigrad::prelude::*;

/// The victim: a kernel with a wrapper and a file of its own, in its variant for floats.
const KERNEL: &str = "mul.forward";
const LABEL: &str = "mul.forward[f32]";

/// A mistake: its name, what it replaces in the kernel's text and with what, and where it shows in a tensor of 3 × 5.
struct Mistake {
    name: &'static str,
    right: &'static str,
    wrong: &'static str,
    shows_at: &'static str,
}

const MISTAKES: &[Mistake] = &[
    Mistake { name: "inexact", right: "x * y", wrong: "x * y * 1.001", shows_at: "element " },
    Mistake {
        name: "behind_the_end",
        right: "i >= params.n",
        wrong: "i > params.n",
        shows_at: "element 15 (behind the end",
    },
    Mistake { name: "last_is_unwritten", right: "i >= params.n", wrong: "i + 1u >= params.n", shows_at: "element 14" },
    Mistake {
        name: "one_nan",
        right: "] = forward(",
        wrong: "] = select(0.0, bitcast<f32>(0x7fbffff9u + i), i == 7u) + forward(",
        shows_at: "element 7:",
    },
    Mistake { name: "wrong_operand", right: "y[at.y]", wrong: "y[at.x]", shows_at: "element " },
];

fn main() {
    let gpu = Gpu::open_shadow(&GpuOptions::new());
    let mut trials: Vec<_> = MISTAKES
        .iter()
        .map(|mistake| gpu.trial(format!("planted::{}", mistake.name), move |device| is_found(device, mistake)))
        .collect();
    trials.push(gpu.trial("planted::not_wgsl", not_wgsl));
    trials.push(gpu.trial("planted::other_bindings", other_bindings));
    gpu.run(trials);
}

fn kernel() -> &'static Kernel {
    lumigrad::ops::kernel(KERNEL).expect("the kernel is listed")
}

/// The doctor's report on the operation, as the parity tests get it.
fn examine(device: &Device) -> Result<Report> {
    doctor::run(device, Filter::Operation("mul"), &mut |_, _, _| ())
}

fn product(device: &Device) -> Result<Vec<f32>> {
    let x: Vec<f32> = (0..15).map(|i| i as f32).collect();
    let x = Tensor::from_slice_on(&x, &[3, 5], device);
    x.mul(&Tensor::from_slice_on(&[2.0f32, 3.0, 4.0, 5.0, 6.0], &[5], device)).to_vec()
}

/// Runs `body` with another text in the kernel's place, and then makes sure that all is well again.
fn with_text(device: &Device, text: String, body: impl FnOnce() -> Outcome) -> Outcome {
    device.replace_kernel(kernel(), 0, Some(text));
    let result = body();
    device.replace_kernel(kernel(), 0, None);
    result?;
    let failures: Vec<_> = examine(device)?.failures().cloned().collect();
    check(failures.is_empty(), format!("with the right kernel back in its place: {}", failures.join("\n")))?;
    product(device)?;
    Ok(())
}

fn is_found(device: &Device, mistake: &Mistake) -> Outcome {
    let right = kernel().source.concat();
    let text = right.replacen(mistake.right, mistake.wrong, 1);
    check(text != right, format!("{:?} is not in the kernel's text", mistake.right))?;
    with_text(device, text, || {
        let report = examine(device)?;
        check(!report.passed(), "the doctor finds nothing")?;
        let failed: Vec<_> = report.rows.iter().filter(|row| !row.failures.is_empty()).map(|row| row.label()).collect();
        check(failed == [LABEL], format!("the doctor blames {failed:?}"))?;
        let worst = report.worst().map(|(row, worst, _)| (row.label(), worst.ratio));
        check(worst.as_ref().is_some_and(|(l, r)| l == LABEL && *r > 1.0), format!("the worst is {worst:?}"))?;

        match product(device) {
            Err(Error::Diverged { kernel, detail }) => {
                let named = kernel == LABEL && detail.starts_with("`z`") && detail.contains(mistake.shows_at);
                check(named, format!("shadow mode names {kernel}: {detail}"))
            }
            other => Err(format!("shadow mode gives {other:?}").into()),
        }
    })
}

/// A text that does not compile is an error with the compiler's message and the place.
fn not_wgsl(device: &Device) -> Outcome {
    let text = kernel().source.concat().replacen("x * y", "x *** y", 1);
    with_text(device, text, || is_refused(device, "x *** y"))
}

/// A text that compiles and does not fit the kernel's bindings is refused as well.
fn other_bindings(device: &Device) -> Outcome {
    let text = kernel().source.concat().replacen("@binding(2)", "@binding(3)", 1);
    with_text(device, text, || is_refused(device, LABEL))
}

fn is_refused(device: &Device, excerpt: &str) -> Outcome {
    match product(device) {
        Err(Error::Kernel { kernel, message }) => {
            check(kernel == LABEL && message.contains(excerpt), format!("{kernel}: {message}"))?;
        }
        other => return Err(format!("the tensor gives {other:?}").into()),
    }
    let failures: Vec<_> = examine(device)?.failures().cloned().collect();
    check(failures.iter().any(|f| f.contains(LABEL)), format!("the doctor finds {failures:?}"))
}
