//! `lumigrad devices`: every adapter, best first, and which of them programs use now.

use std::io::Write;
use std::process::ExitCode;

use lumigrad::engine::{AdapterFacts, DEVICE_VARIABLE};
use lumigrad::{Device, Error};
use serde_json::json;

use super::Failure;
use super::text::bytes;

/// List the adapters that lumigrad can use, best first, and which one programs use now
#[derive(clap::Args)]
pub struct Devices {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub fn run(&self, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        let adapters = Device::adapters();
        let variable = std::env::var(DEVICE_VARIABLE).unwrap_or_default();
        let named = !variable.trim().is_empty();
        // Opening it is the only way to know whether it can be.
        let chosen = if named || !adapters.is_empty() { Device::from_env() } else { Ok(Device::reference()) };
        if self.json {
            writeln!(out, "{:#}", report(&adapters, &chosen))?;
            return Ok(ExitCode::SUCCESS);
        }
        for (i, adapter) in adapters.iter().enumerate() {
            let mark = if Some(i) == position(&adapters, &chosen) { "  ← chosen" } else { "" };
            describe(out, i + 1, adapter, mark)?;
        }
        if adapters.is_empty() && !named {
            return Err(Error::NoAdapter { detail: String::new() }.into());
        }
        let why = if named { format!("={variable}") } else { " is not set".into() };
        writeln!(out, "{DEVICE_VARIABLE}{why}: programs run on {}.", chosen?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Which adapter a device is open on.
fn position(adapters: &[AdapterFacts], device: &lumigrad::Result<Device>) -> Option<usize> {
    let facts = device.as_ref().ok()?.adapter()?;
    adapters.iter().position(|adapter| adapter == facts)
}

fn describe(out: &mut dyn Write, number: usize, adapter: &AdapterFacts, mark: &str) -> Result<(), Failure> {
    let limits = &adapter.limits;
    let subgroup = match adapter.subgroup {
        (low, high) if low == high => format!("{low}"),
        (low, high) => format!("{low} to {high}"),
    };
    let features = if adapter.features.is_empty() { "none".into() } else { adapter.features.join(", ") };
    writeln!(out, "{number}. {}{mark}", adapter.name)?;
    writeln!(out, "   kind       {}", adapter.kind)?;
    writeln!(out, "   backend    {}", adapter.backend)?;
    writeln!(out, "   driver     {}", if adapter.driver.is_empty() { "unknown" } else { &adapter.driver })?;
    writeln!(out, "   features   {features}")?;
    writeln!(out, "   subgroups  {subgroup} threads")?;
    if !adapter.matrices.is_empty() {
        let sizes: Vec<_> = adapter.matrices.iter().map(|rows| format!("{rows}×{rows}")).collect();
        writeln!(out, "   matrices   {} of f16, summed in f32", sizes.join(" and "))?;
    }
    writeln!(
        out,
        "   limits     tensors of {}, {} storage buffers a kernel, workgroups of {} threads and {}",
        bytes(limits.binding_bytes),
        limits.storage_buffers,
        limits.workgroup_threads,
        bytes(u64::from(limits.workgroup_bytes)),
    )?;
    writeln!(out)?;
    Ok(())
}

fn report(adapters: &[AdapterFacts], chosen: &lumigrad::Result<Device>) -> serde_json::Value {
    let list: Vec<_> = adapters.iter().map(facts).collect();
    json!({
        "adapters": list,
        "chosen": {
            "device": chosen.as_ref().map(ToString::to_string).ok(),
            "adapter": position(adapters, chosen),
            "error": chosen.as_ref().map_err(ToString::to_string).err(),
        },
    })
}

/// An adapter in JSON.
pub fn facts(adapter: &AdapterFacts) -> serde_json::Value {
    json!({
        "name": adapter.name,
        "kind": adapter.kind.to_string(),
        "backend": adapter.backend,
        "driver": adapter.driver,
        "features": adapter.features,
        "subgroup": [adapter.subgroup.0, adapter.subgroup.1],
        "matrices": adapter.matrices,
        "limits": {
            "binding_bytes": adapter.limits.binding_bytes,
            "storage_buffers": adapter.limits.storage_buffers,
            "workgroup_threads": adapter.limits.workgroup_threads,
            "workgroup_bytes": adapter.limits.workgroup_bytes,
        },
    })
}
