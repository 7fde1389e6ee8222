//! The tables of a profile.

use std::fmt;
use std::time::Duration;

use super::{Profile, Timing};

/// Rows that a table shows; the rest is one row more.
const ROWS: usize = 40;

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}

/// A rate with three digits or all that it has before the point.
fn rate(value: f64) -> String {
    let digits = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.digits$}")
}

/// Writes rows with the first column to the left and the others to the right.
pub(super) fn write_rows<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for (i, row) in rows.iter().enumerate() {
        write!(f, "{:<width$}", row[0], width = width(0))?;
        for (column, cell) in row.iter().enumerate().skip(1) {
            write!(f, "  {cell:>width$}", width = width(column))?;
        }
        writeln!(f)?;
        if i == 0 {
            writeln!(f, "{}", "─".repeat((0..N).map(width).sum::<usize>() + 2 * (N - 1)))?;
        }
    }
    Ok(())
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.timing {
            Timing::Timestamps => "timestamps of the device",
            Timing::PassTimestamps => "timestamps of the device, a pass for each dispatch",
            Timing::Host => "the host's clock",
        };
        writeln!(f, "Kernels on {}, by {how}", self.device)?;
        self.write_kernels(f)?;
        if self.missing > 0 {
            writeln!(f, "{} dispatches are missing: the device failed", self.missing)?;
        }
        writeln!(f, "\nOperations on the host, without what runs inside of them")?;
        self.write_operations(f)?;
        let (wall, device) = (self.wall_time(), self.device_time());
        let busy = 100.0 * device.as_secs_f64() / wall.as_secs_f64().max(1e-9);
        writeln!(
            f,
            "\n{} ms until the device was done: kernels {} ms ({busy:.0}%), host {} ms, of which {} ms waited",
            millis(wall),
            millis(device),
            millis(self.host_time()),
            millis(self.waited())
        )
    }
}

impl Profile {
    fn write_kernels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["kernel", "calls", "ms", "µs each", "share", "GB/s", "GFLOP/s"];
        let mut rows = vec![heads.map(String::from)];
        for kernel in self.kernels.iter().take(ROWS) {
            rows.push([
                kernel.label.clone(),
                kernel.calls.to_string(),
                millis(kernel.time),
                micros(kernel.mean()),
                format!("{:.1}%", kernel.share * 100.0),
                rate(kernel.gigabytes_per_second()),
                kernel.gigaflops().map(rate).unwrap_or_default(),
            ]);
        }
        let rest = self.kernels.get(ROWS..).unwrap_or_default();
        let calls: usize = rest.iter().map(|kernel| kernel.calls).sum();
        if calls > 0 {
            let time: Duration = rest.iter().map(|kernel| kernel.time).sum();
            let share: f64 = rest.iter().map(|kernel| kernel.share).sum();
            let label = format!("{} more", rest.len());
            let share = format!("{:.1}%", share * 100.0);
            rows.push([label, calls.to_string(), millis(time), String::new(), share, String::new(), String::new()]);
        }
        let calls: usize = self.kernels.iter().map(|kernel| kernel.calls).sum();
        let time = self.device_time();
        let mean = time.div_f64(calls.max(1) as f64);
        let blank = String::new;
        rows.push(["all".into(), calls.to_string(), millis(time), micros(mean), blank(), blank(), blank()]);
        write_rows(f, &rows)
    }

    fn write_operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["operation", "calls", "host ms", "µs each", "share", "device ms"];
        let mut rows = vec![heads.map(String::from)];
        let share = |time: Duration| 100.0 * time.as_secs_f64() / self.host_time().as_secs_f64().max(1e-9);
        let blank = String::new;
        for op in self.operations.iter().take(ROWS) {
            let ran = |cell: String| if op.calls > 0 { cell } else { blank() };
            rows.push([
                op.label.clone(),
                ran(op.calls.to_string()),
                ran(millis(op.host)),
                ran(micros(op.host.div_f64(op.calls.max(1) as f64))),
                ran(format!("{:.1}%", share(op.host))),
                if op.device.is_zero() { blank() } else { millis(op.device) },
            ]);
        }
        let rest: Duration = self.operations.iter().skip(ROWS).map(|op| op.host).sum();
        if !rest.is_zero() {
            let label = format!("{} more", self.operations.len() - ROWS);
            rows.push([label, blank(), millis(rest), blank(), format!("{:.1}%", share(rest)), blank()]);
        }
        let inside: Duration = self.operations.iter().map(|op| op.host).sum();
        let outside = self.host_time().saturating_sub(inside);
        rows.push([
            "outside of operations".into(),
            blank(),
            millis(outside),
            blank(),
            format!("{:.1}%", share(outside)),
            blank(),
        ]);
        write_rows(f, &rows)
    }
}
