//! `lumigrad doctor`: every kernel on an adapter, against its scalar twin.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;
use lumigrad::Device;
use lumigrad::doctor::{self, Filter, Report, Row};
use lumigrad::engine::{DEVICE_VARIABLE, GpuOptions, Worst};
use serde_json::json;

use super::text::{self, count, fit};
use super::{Failure, devices};

/// Run every kernel on the GPU and compare each element with the scalar reference
///
/// Each variant of each kernel runs on all cases of its operations, forward and back. An error of 1 is as far as the
/// two may be apart; above it the kernel or the driver is wrong.
#[derive(clap::Args)]
pub struct Doctor {
    /// Only operations whose name, or one of whose kernels' names, contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// The adapter: a part of its name; or `sanitizer`, which runs the kernels on the host and finds races, uninitialised
    /// memory and indices out of bounds [default: LUMIGRAD_DEVICE, else the best]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Threads of the sanitizer's subgroups
    #[arg(long, value_name = "THREADS", default_value = "32", value_parser = ["4", "8", "16", "32", "64", "128"])]
    subgroup: String,
    /// Leave out cases whose inputs have more elements together (the sanitizer takes minutes for large ones)
    #[arg(long, value_name = "COUNT", default_value_t = usize::MAX, hide_default_value = true)]
    elements: usize,
    /// How the adapter is opened
    #[arg(long, value_enum, default_value_t = Limits::Adapter)]
    limits: Limits,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Limits {
    /// With all that the adapter offers
    Adapter,
    /// With WebGPU's guaranteed limits and no optional feature
    Webgpu,
}

impl Doctor {
    pub fn run(&self, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        let device = self.open()?;
        if !self.json {
            match device.adapter() {
                Some(adapter) => writeln!(out, "{adapter}")?,
                None => writeln!(out, "{device}")?,
            }
            if self.limits == Limits::Webgpu {
                writeln!(out, "opened with WebGPU's guaranteed limits and no optional feature")?;
            }
            out.flush()?;
        }
        let filter = self.filter.as_deref().map_or(Filter::All, Filter::Containing);
        let start = Instant::now();
        let report = doctor::run_up_to(&device, filter, self.elements, &mut progress())?;
        if self.json {
            writeln!(out, "{:#}", self.json(&device, &report))?;
        } else {
            writeln!(out)?;
            table(out, &report)?;
            summary(out, &report, start.elapsed().as_nanos() as u64)?;
        }
        Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn open(&self) -> Result<Device, Failure> {
        let options = match self.limits {
            Limits::Adapter => GpuOptions::new(),
            Limits::Webgpu => GpuOptions::webgpu_minimum(),
        };
        let name = self.device.clone().or_else(|| std::env::var(DEVICE_VARIABLE).ok()).unwrap_or_default();
        match name.trim().to_lowercase().as_str() {
            "" | "gpu" | "shadow" => Ok(Device::shadow_with(None, &options)?),
            "sanitizer" if self.limits == Limits::Webgpu => {
                Err(Failure::Message("the sanitizer has no adapter that `--limits` could be for".into()))
            }
            "sanitizer" => Ok(Device::sanitizer_with(self.subgroup.parse().expect("one of the possible values"))),
            "reference" | "cpu" => {
                let message = "the doctor holds a GPU against the reference; name an adapter with --device";
                Err(Failure::Message(message.into()))
            }
            part => Ok(Device::shadow_with(Some(part), &options)?),
        }
    }

    fn json(&self, device: &Device, report: &Report) -> serde_json::Value {
        json!({
            "device": device.to_string(),
            "adapter": device.adapter().map(devices::facts),
            "webgpu_minimum": self.limits == Limits::Webgpu,
            "passed": report.passed(),
            "kernels": report.kernels(),
            "variants": report.rows.len(),
            "cases": report.cases,
            "left_out": report.left_out,
            "comparisons": report.comparisons(),
            "failures": report.failures().collect::<Vec<_>>(),
            "unreached": report.unreached,
            "rows": report.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// Tells how far the run is, on a terminal only, in one line that is written over.
fn progress() -> impl FnMut(usize, usize, &str) {
    let shown = io::stderr().is_terminal();
    move |i, n, name| {
        if shown {
            // Progress that can't be shown is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{:3}% {name}", i * 100 / n.max(1));
            if i + 1 == n {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        }
    }
}

fn row(row: &Row) -> serde_json::Value {
    let worst = row.worst.as_ref().map(|(worst, place)| {
        json!({
            "ratio": text::json(worst.ratio),
            "place": place,
            "index": worst.index,
            "got": text::json(worst.got),
            "want": text::json(worst.want),
            "behind_the_end": worst.in_guard,
        })
    });
    json!({
        "kernel": row.kernel,
        "variant": row.variant,
        "dispatches": row.dispatches,
        "comparisons": row.comparisons,
        "elements": row.elements,
        "nanos": row.nanos,
        "worst": worst,
        "failures": row.failures,
    })
}

fn table(out: &mut dyn Write, report: &Report) -> Result<(), Failure> {
    let labels = report.rows.iter().map(|row| row.label().chars().count());
    let first = labels.max().unwrap_or(0).max("kernel".len());
    let head = format!("{:first$}  {:>10}  {:>7}  {:>7}  ", "kernel", "dispatches", "error", "time");
    let rest = text::width().map_or(usize::MAX, |width| width.saturating_sub(head.chars().count()));
    writeln!(out, "{head}{}", fit("worst element", rest))?;
    for row in &report.rows {
        let (ratio, place) = match &row.worst {
            // Where nothing differs no element is the worst.
            Some((worst, _)) if worst.ratio == 0.0 => ("0".into(), String::new()),
            Some((worst, place)) => (text::ratio(worst.ratio), position(worst, place)),
            None => ("-".into(), String::new()),
        };
        let (label, time) = (row.label(), text::duration(row.nanos));
        let mark = if row.failures.is_empty() { "" } else { "FAILED " };
        let place = fit(&format!("{mark}{place}"), rest);
        let line = format!("{label:first$}  {:>10}  {ratio:>7}  {time:>7}  {place}", row.dispatches);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn position(worst: &Worst, place: &str) -> String {
    format!("{place}[{}]{}", worst.index, if worst.in_guard { " behind the end" } else { "" })
}

/// Failures that are shown one by one; a wrong kernel has many.
const SHOWN: usize = 20;

fn summary(out: &mut dyn Write, report: &Report, nanos: u64) -> Result<(), Failure> {
    let failures: Vec<_> = report.failures().collect();
    writeln!(out)?;
    for failure in failures.iter().take(SHOWN) {
        writeln!(out, "failed: {failure}")?;
    }
    if failures.len() > SHOWN {
        writeln!(out, "and {} more", failures.len() - SHOWN)?;
    }
    for label in &report.unreached {
        writeln!(out, "failed: no case reaches {label}")?;
    }
    if let Some((row, worst, place)) = report.worst().filter(|(_, worst, _)| worst.ratio > 1.0) {
        let (label, place) = (row.label(), position(worst, place));
        writeln!(out, "worst: {label} at {place}: the shader gives {:?}, the reference {:?}", worst.got, worst.want)?;
    }
    if report.left_out > 0 {
        writeln!(out, "{} with more elements left out", count(report.left_out, "case"))?;
    }
    writeln!(
        out,
        "{}, {}, {}, {}: {} in {}",
        count(report.kernels(), "kernel"),
        count(report.rows.len(), "variant"),
        count(report.cases, "case"),
        count(report.comparisons(), "comparison"),
        count(failures.len() + report.unreached.len(), "failure"),
        text::duration(nanos),
    )?;
    Ok(())
}
