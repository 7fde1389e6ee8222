//! Who holds a device's memory, as a table.

use std::fmt;

use crate::engine::Device;
use crate::engine::memory::Row;

/// Rows of operations that a table shows for each class; the rest is one row more.
const PARTS: usize = 20;

/// Who holds a device's memory now, and held it at most: see [`Device::memory_report`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// By what it is for, each followed by its parts; nothing that never had memory.
    pub rows: Vec<MemoryRow>,
    /// Bytes of all live tensors.
    pub live: u64,
    /// The most that there was of them at a time.
    pub peak: u64,
    /// Free memory that waits for reuse.
    pub pooled: u64,
    /// Memory that recordings keep for their replays, beside live tensors.
    pub recorded: u64,
}

/// A row of a [`MemoryReport`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryRow {
    /// What the memory is for, or the operation and module that made it.
    pub label: String,
    /// Whether it is a part of the row without this mark before it.
    pub is_part: bool,
    /// Bytes now.
    pub live: u64,
    /// The most bytes that there were. Rows reach theirs at different times.
    pub peak: u64,
}

impl Device {
    /// Who holds this device's memory: parameters, gradients, states of optimisers, buffers of modules, inputs, and what
    /// operations made. Peaks are since the device was opened.
    ///
    /// What operations make shows by operation and module only for what was made in a profile; [`Profile::memory`] is
    /// the report of that. Bytes are those of the allocations, which are up to a quarter larger than the tensors.
    ///
    /// [`Profile::memory`]: crate::Profile::memory
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let device = Device::new_reference(true);
    /// let model = device.scope(|| nn::Linear::new(8, 4));
    /// let report = device.memory_report();
    /// let parameters = report.rows.iter().find(|row| row.label == "parameters").unwrap();
    /// assert_eq!(parameters.live, 4 * (8 * 4 + 4));
    /// println!("{report}");
    /// # drop(model);
    /// ```
    pub fn memory_report(&self) -> MemoryReport {
        self.memory_report_of(false)
    }

    pub(super) fn memory_report_of(&self, recent: bool) -> MemoryReport {
        let (rows, recent_peak) = self.memory_rows();
        let counters = self.counters();
        let peak_of = |row: &Row| if recent { row.recent_peak } else { row.peak };
        let mut rows: Vec<MemoryRow> = rows
            .iter()
            .map(|row| MemoryRow {
                label: row.name.clone(),
                is_part: row.part_of.is_some(),
                live: row.live,
                peak: peak_of(row),
            })
            .filter(|row| row.live > 0 || row.peak > 0)
            .collect();
        // Largest parts first.
        rows.chunk_by_mut(|a, b| a.is_part == b.is_part)
            .filter(|rows| rows[0].is_part)
            .for_each(|parts| parts.sort_by_key(|row| std::cmp::Reverse((row.peak, row.live))));
        let known: u64 = rows.iter().filter(|row| !row.is_part).map(|row| row.live).sum();
        let rest = counters.live_bytes.saturating_sub(known);
        if rest > 0 {
            rows.push(MemoryRow { label: "without a label".into(), is_part: false, live: rest, peak: rest });
        }
        let (pooled, recorded) = self.idle_memory();
        let peak = if recent { recent_peak.max(counters.live_bytes) } else { counters.peak_bytes };
        MemoryReport { rows, live: counters.live_bytes, peak, pooled, recorded }
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["memory", "live MiB", "peak MiB"].map(String::from)];
        let mib = |bytes: u64| format!("{:.3}", bytes as f64 / f64::from(1 << 20));
        for group in self.rows.chunk_by(|a, b| a.is_part == b.is_part) {
            let shown = if group[0].is_part { group.len().min(PARTS) } else { group.len() };
            for row in &group[..shown] {
                let indent = if row.is_part { "  " } else { "" };
                rows.push([format!("{indent}{}", row.label), mib(row.live), mib(row.peak)]);
            }
            if let rest @ [_, ..] = &group[shown..] {
                let live = rest.iter().map(|row| row.live).sum();
                rows.push([format!("  {} more", rest.len()), mib(live), String::new()]);
            }
        }
        rows.push(["all live tensors".into(), mib(self.live), mib(self.peak)]);
        rows.push(["free, waits for reuse".into(), mib(self.pooled), String::new()]);
        rows.push(["kept by recordings".into(), mib(self.recorded), String::new()]);
        super::table::write_rows(f, &rows)
    }
}
