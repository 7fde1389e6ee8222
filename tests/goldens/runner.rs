//! One recorded call: made again and compared.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lumigrad::autograd::Backward;
use lumigrad::{Device, Result, Tensor};
use serde_json::Value as Json;

use crate::args::Args;
use crate::values::{Value, Values};

/// How an operation is called here.
pub type Call = fn(&Args<'_>) -> Result<Vec<Tensor>>;

/// Which of the two bodies runs, and so how close it has to come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Reference,
    Gpu,
}

impl Body {
    fn rtol(self, operation: &Json, of: &str) -> f64 {
        let column = if self == Body::Reference { "cpu" } else { "gpu" };
        operation["rtol"][column][of].as_f64().expect("a tolerance")
    }
}

/// Makes one call and says what is wrong with it.
pub fn check(call: Call, operation: &Json, case: &Json, values: &Values, body: Body, device: &Device) -> Vec<String> {
    let checked = catch_unwind(AssertUnwindSafe(|| match case["error"].as_str() {
        Some(error) => check_refusal(call, case, error, values, device),
        None => check_values(call, operation, case, values, body, device),
    }));
    checked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        vec![format!("panicked: {}", text.unwrap_or_default())]
    })
}

/// An error is due: at once, or for an index that only the device sees, when the result is read.
fn check_refusal(call: Call, case: &Json, error: &str, values: &Values, device: &Device) -> Vec<String> {
    let args = Args::new(&case["args"], values, &[], device);
    let read = call(&args).and_then(|outputs| outputs.iter().map(Tensor::to_vec::<f64>).collect::<Result<Vec<_>>>());
    match read {
        Err(_) => unasked(&args),
        Ok(got) => vec![format!("was accepted and gave {got:?}; PyTorch says: {error}")],
    }
}

fn check_values(
    call: Call,
    operation: &Json,
    case: &Json,
    values: &Values,
    body: Body,
    device: &Device,
) -> Vec<String> {
    let constants: Vec<&str> = strings(&case["nondiff"]).collect();
    let args = Args::new(&case["args"], values, &constants, device);
    let outputs = match call(&args) {
        Ok(outputs) => outputs,
        Err(error) => return vec![format!("was refused: {error}")],
    };
    let mut problems = unasked(&args);
    let names: Vec<&str> = strings(&case["outputs"]).collect();
    if outputs.len() != names.len() {
        problems.push(format!("gave {} outputs, not {}", outputs.len(), names.len()));
        return problems;
    }
    let tolerance = |name: &str, of: &str| {
        let short = name.split_once('.').expect("case.tensor").1;
        let atol = &case["atol"][short][usize::from(body == Body::Gpu)];
        // Integers and truth values are recorded without a tolerance and must be equal.
        (atol.as_f64().unwrap_or(0.0), body.rtol(operation, of))
    };
    for (name, output) in names.iter().zip(&outputs) {
        problems.extend(compare(name, output, values, tolerance(name, "out")));
    }
    if let Err(error) = walk_back(case, &outputs, values, device) {
        problems.push(format!("backward: {error}"));
        return problems;
    }
    for (input, recorded) in case["grads"].as_object().expect("gradients") {
        match (recorded.as_str(), args.by_name(input).grad()) {
            (None, None) => {}
            (None, Some(_)) => problems.push(format!("{input} got a gradient; PyTorch gives none")),
            (Some(name), Some(got)) => problems.extend(compare(name, &got, values, tolerance(name, "grad"))),
            (Some(_), None) => problems.push(format!("{input} got no gradient")),
        }
    }
    problems
}

/// From every output with its upstream gradient; the leaves add up.
fn walk_back(case: &Json, outputs: &[Tensor], values: &Values, device: &Device) -> Result<()> {
    let upstream = case["grad_outputs"].as_array().expect("upstream gradients");
    for (output, upstream) in outputs.iter().zip(upstream) {
        let Some(name) = upstream.as_str() else {
            assert!(!output.is_requires_grad(), "an output that PyTorch can't differentiate takes a gradient");
            continue;
        };
        // Running statistics, say. An input that so misses its gradient is found where gradients are compared.
        if !output.is_requires_grad() {
            continue;
        }
        Backward::new().gradient(&values[name].tensor(device)).retain_graph().run(output)?;
    }
    Ok(())
}

fn unasked(args: &Args<'_>) -> Vec<String> {
    args.unasked().into_iter().map(|name| format!("argument `{name}` is not passed on")).collect()
}

fn strings(list: &Json) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(|name| name.as_str().expect("a name"))
}

/// Type, shape and every element; a few values have a second right answer.
fn compare(name: &str, got: &Tensor, values: &Values, tolerance: (f64, f64)) -> Option<String> {
    let want = &values[name];
    let problem = differs(got, want, tolerance)?;
    let other = values.get(&format!("{name}.alt"));
    if other.is_some_and(|other| differs(got, other, tolerance).is_none()) {
        return None;
    }
    Some(format!("{name}: {problem}"))
}

/// What is wrong with a tensor, if anything. The tolerances are absolute and relative.
pub fn differs(got: &Tensor, want: &Value, (atol, rtol): (f64, f64)) -> Option<String> {
    if got.dtype() != want.dtype || got.shape() != want.shape {
        let (dtype, shape) = (got.dtype(), got.shape());
        return Some(format!("is {dtype} of shape {shape:?}, not {} of shape {:?}", want.dtype, want.shape));
    }
    let got = match got.to_vec::<f64>() {
        Ok(got) => got,
        Err(error) => return Some(format!("can't be read: {error}")),
    };
    let wrong: Vec<usize> = (0..got.len()).filter(|&i| !is_close(got[i], want.elements[i], atol, rtol)).collect();
    let &first = wrong.first()?;
    Some(format!(
        "{} of {} elements differ; element {first} is {:e}, not {:e} (atol {atol:e}, rtol {rtol:e})",
        wrong.len(),
        got.len(),
        got[first],
        want.elements[first],
    ))
}

/// NaN matches NaN, infinity one of the same sign.
fn is_close(got: f64, want: f64, atol: f64, rtol: f64) -> bool {
    if want.is_finite() {
        (got - want).abs() <= atol + rtol * want.abs()
    } else {
        got == want || got.is_nan() && want.is_nan()
    }
}

/// The comparison itself: what must not pass does not.
pub fn check_comparison() -> Vec<String> {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let rows: &[(f64, f64, bool)] = &[
        (1.0, 1.0, true),
        (1.0 + 1.5e-3, 1.0, true),
        (1.0 + 2.5e-3, 1.0, false),
        (nan, nan, true),
        (nan, 1.0, false),
        (1.0, nan, false),
        (inf, inf, true),
        (inf, -inf, false),
        (inf, 1.0, false),
        (1.0, inf, false),
        (nan, inf, false),
        (inf, nan, false),
    ];
    let wrong = rows.iter().filter(|&&(got, want, close)| is_close(got, want, 1e-3, 1e-3) != close);
    wrong.map(|row| format!("{row:?} is judged wrongly")).collect()
}
