//! Every kernel × variant × case on an adapter, against the reference.
//!
//! The same walk serves the `lumigrad doctor` command and the parity tests: each operation of the registry is run on its
//! cases, forward and back, on a shadow device, which compares every dispatch with the kernel's scalar twin, guard
//! bands included. Where several kernels compute the same, each is forced in turn. Cases that an operation must refuse
//! have to end in an error that says what is wrong with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Comparison, Device, Kernel, Worst};
use crate::ops::cases::{Arrangement, Case};
use crate::ops::{Operation, REGISTRY, family_of, kernels};
use crate::tensor::Tensor;
use crate::tensor::shape::numel;
use crate::{Error, Result};

/// What was found about one kernel variant.
#[derive(Clone, Debug)]
pub struct Row {
    /// The kernel.
    pub kernel: &'static str,
    /// The variant's label; empty for the only one.
    pub variant: &'static str,
    /// Dispatches that were compared.
    pub dispatches: usize,
    /// Comparisons: one for each output of each dispatch.
    pub comparisons: usize,
    /// Elements that were compared.
    pub elements: usize,
    /// The worst element over all cases, with its operation, case and binding.
    pub worst: Option<(Worst, String)>,
    /// The fastest dispatch, from recording to the end of the run, in nanoseconds.
    pub nanos: u64,
    /// Every comparison that failed, or case that could not be run.
    pub failures: Vec<String>,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// Every operation; then a kernel variant that no case reached is a failure too.
    All,
    /// Operations whose name, or one of whose kernels' names, contains this.
    Containing(&'a str),
    /// The operation with exactly this name.
    Operation(&'a str),
}

impl Filter<'_> {
    fn matches(&self, operation: &Operation) -> bool {
        match self {
            Filter::All => true,
            Filter::Containing(part) => {
                operation.name.contains(part) || operation.kernels.iter().any(|k| k.name.contains(part))
            }
            Filter::Operation(name) => operation.name == *name,
        }
    }
}

/// What the doctor found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One row a kernel variant, in the order of their names.
    pub rows: Vec<Row>,
    /// Cases run.
    pub cases: usize,
    /// Cases that were too large for [`run_up_to`].
    pub left_out: usize,
    /// Cases that failed for a reason that no kernel is to blame for.
    pub failures: Vec<String>,
    /// Kernel variants of the registry that no case reached, when everything was run.
    pub unreached: Vec<String>,
}

impl Row {
    /// `kernel[variant]`.
    pub fn label(&self) -> String {
        match self.variant {
            "" => self.kernel.to_string(),
            variant => format!("{}[{variant}]", self.kernel),
        }
    }
}

impl Report {
    /// How many kernels have at least one row.
    pub fn kernels(&self) -> usize {
        let mut names: Vec<_> = self.rows.iter().map(|r| r.kernel).collect();
        names.dedup();
        names.len()
    }

    /// How many outputs of dispatches were compared.
    pub fn comparisons(&self) -> usize {
        self.rows.iter().map(|row| row.comparisons).sum()
    }

    /// The element that is furthest from the reference in units of what is allowed, with its kernel's row.
    pub fn worst(&self) -> Option<(&Row, &Worst, &str)> {
        let found = self.rows.iter().filter_map(|row| row.worst.as_ref().map(|(worst, place)| (row, worst, &**place)));
        found.max_by(|a, b| a.1.ratio.total_cmp(&b.1.ratio))
    }

    /// All failures.
    pub fn failures(&self) -> impl Iterator<Item = &String> {
        self.failures.iter().chain(self.rows.iter().flat_map(|r| &r.failures))
    }

    /// Whether everything agreed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none() && self.unreached.is_empty()
    }
}

type Rows = BTreeMap<(&'static str, &'static str), Row>;

/// Runs every case of the operations that `filter` chooses.
///
/// `device` must be a shadow device or a sanitizer. `progress` is called before each operation with its number, the number
/// of all and its name.
///
/// # Errors
/// When `device` compares nothing, when nothing matches `filter`, or when the device is lost.
pub fn run(device: &Device, filter: Filter<'_>, progress: &mut dyn FnMut(usize, usize, &str)) -> Result<Report> {
    run_up_to(device, filter, usize::MAX, progress)
}

/// [`run`] without the cases whose inputs have more than this many elements together: on a sanitizer, large ones take
/// minutes.
///
/// # Errors
/// As [`run`].
pub fn run_up_to(
    device: &Device,
    filter: Filter<'_>,
    elements: usize,
    progress: &mut dyn FnMut(usize, usize, &str),
) -> Result<Report> {
    if !device.is_shadow() {
        return Err(Error::argument("doctor", "needs a shadow device or a sanitizer, which compare each dispatch"));
    }
    let chosen: Vec<&'static Operation> = REGISTRY.iter().copied().filter(|op| filter.matches(op)).collect();
    if let (true, Filter::Containing(name) | Filter::Operation(name)) = (chosen.is_empty(), filter) {
        return Err(Error::argument("doctor", format!("no operation or kernel is named {name:?}")));
    }
    let rows: Arc<Mutex<Rows>> = Arc::default();
    let mut report = Report::default();
    for (i, operation) in chosen.iter().enumerate() {
        progress(i, chosen.len(), operation.name);
        for choice in choices(operation) {
            for case in (operation.cases)() {
                if case.inputs.iter().map(|input| numel(&input.shape)).sum::<usize>() > elements {
                    report.left_out += 1;
                    continue;
                }
                report.cases += 1;
                let place = match choice {
                    Some((_, option)) => format!("{} / {} / {option}", operation.name, case.name),
                    None => format!("{} / {}", operation.name, case.name),
                };
                observe(device, &rows, &place);
                set_choice(device, choice, true);
                let result = run_case(device, operation, &case);
                set_choice(device, choice, false);
                device.observe(None);
                match if case.fails { refused(result) } else { result } {
                    Err(error @ Error::DeviceLost(_)) => return Err(error),
                    Err(error) => report.failures.push(format!("{place}: {error}")),
                    Ok(()) => {}
                }
            }
        }
    }
    report.rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect();
    if filter == Filter::All && report.left_out == 0 {
        report.unreached = unreached(&report.rows, device);
    }
    Ok(report)
}

/// Runs an operation's cases on any GPU and gives the comparisons of all dispatches with their twins. Cases that it must
/// refuse are left out.
///
/// # Errors
/// What a case fails with.
pub(crate) fn compare(device: &Device, operation: &'static Operation) -> Result<Vec<Comparison>> {
    let run = || -> Result<()> {
        for choice in choices(operation) {
            set_choice(device, choice, true);
            let mut cases = (operation.cases)().into_iter().filter(|case| !case.fails);
            let result = cases.try_for_each(|case| run_case(device, operation, &case));
            set_choice(device, choice, false);
            result?;
        }
        Ok(())
    };
    let (result, comparisons) = Device::compare(run);
    result.map(|()| comparisons)
}

/// A case that must fail has to, for a reason that lies in the case.
fn refused(result: Result<()>) -> Result<()> {
    match result {
        Ok(()) => Err(Error::argument("doctor", "the operation must refuse this case, and ran")),
        Err(Error::Shape { .. } | Error::Dim { .. } | Error::DType { .. } | Error::Argument { .. }) => Ok(()),
        Err(Error::Index { .. } | Error::Weights { .. } | Error::ZeroDivision { .. }) => Ok(()),
        Err(Error::Limit { .. } | Error::Autograd(_)) => Ok(()),
        Err(other) => Err(other),
    }
}

/// The families of kernels that an operation may be served by: each option once, or nothing to choose.
fn choices(operation: &Operation) -> Vec<Option<(&'static str, &'static str)>> {
    match family_of(operation) {
        Some((name, options)) => options.iter().map(|option| Some((*name, *option))).collect(),
        None => vec![None],
    }
}

fn set_choice(device: &Device, choice: Option<(&'static str, &'static str)>, on: bool) {
    if let Some((family, option)) = choice {
        device.force_choice(family, on.then_some(option));
    }
}

fn observe(device: &Device, rows: &Arc<Mutex<Rows>>, place: &str) {
    let (rows, place) = (rows.clone(), place.to_string());
    device.observe(Some(Arc::new(move |comparison: &Comparison| {
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry((comparison.kernel, comparison.variant)).or_insert_with(|| Row {
            kernel: comparison.kernel,
            variant: comparison.variant,
            dispatches: 0,
            comparisons: 0,
            elements: 0,
            worst: None,
            nanos: u64::MAX,
            failures: Vec::new(),
        });
        record(row, comparison, &place);
    })));
}

fn record(row: &mut Row, comparison: &Comparison, place: &str) {
    row.dispatches += usize::from(comparison.output == 0);
    row.comparisons += 1;
    row.elements += comparison.elements;
    row.nanos = row.nanos.min(comparison.nanos);
    let Some(worst) = comparison.worst else { return };
    let place = format!("{place} / {}", comparison.binding);
    if !comparison.passed() {
        let guard = if worst.in_guard { " behind the end" } else { "" };
        row.failures.push(format!(
            "{place}[{}]{guard}: the shader gives {:?}, the reference {:?}, {:.1} times the allowed distance",
            worst.index, worst.got, worst.want, worst.ratio
        ));
    }
    if row.worst.as_ref().is_none_or(|(old, _)| worst.ratio > old.ratio) {
        row.worst = Some((worst, place));
    }
}

/// Forward, and back where there is a gradient, with an upstream gradient that is not 1.
fn run_case(device: &Device, operation: &'static Operation, case: &Case) -> Result<()> {
    let inputs: Vec<Tensor> = case
        .make_inputs(device)
        .into_iter()
        .zip(&case.inputs)
        .map(|(tensor, input)| if input.differentiable { tensor.detach().requires_grad() } else { tensor })
        .collect();
    let outputs = case.run(operation, device, &inputs)?;
    for output in &outputs {
        output.to_vec::<f64>()?;
        if output.is_requires_grad() && output.numel() > 0 {
            for shape in upstream_shapes(case, output.shape()) {
                let size = case.upstream;
                let upstream = Tensor::uniform_on(shape, 0.5 * size, 1.5 * size, device).to_dtype(output.dtype());
                let upstream = upstream.expand(output.shape());
                crate::autograd::Backward::new().gradient(&upstream).retain_graph().run(output)?;
            }
        }
    }
    // What the cases left behind is read, so that a failure on the device comes out here.
    for input in &inputs {
        if let Some(gradient) = input.grad() {
            gradient.to_vec::<f64>()?;
        }
    }
    Ok(())
}

/// The shapes of upstream gradients: the output's, and where an input is repeated, also one number that is, as the gradient
/// of a sum.
fn upstream_shapes<'a>(case: &Case, output: &'a [usize]) -> impl Iterator<Item = &'a [usize]> {
    let is_repeated = case.inputs.iter().any(|input| input.arrangement == Arrangement::Expanded);
    std::iter::once(output).chain(is_repeated.then_some(&[][..]))
}

/// Kernel variants that the device can run and that no row is about.
pub fn unreached(rows: &[Row], device: &Device) -> Vec<String> {
    let runs = |kernel: &Kernel, v: usize| kernel.variants[v].runs_on(device);
    let missing =
        kernels().flat_map(|(_, kernel)| (0..kernel.variants.len()).map(move |v| (kernel, v))).filter(|(kernel, v)| {
            let label = kernel.variants[*v].label;
            runs(kernel, *v) && !rows.iter().any(|row| row.kernel == kernel.name && row.variant == label)
        });
    missing.map(|(kernel, variant)| kernel.label(variant)).collect()
}
