//! Where the time goes: kernels on the device, operations on the host.
//!
//! [`profile`] runs a closure and gives a [`Profile`], which prints as two tables and saves as a trace that
//! <https://ui.perfetto.dev> and `chrome://tracing` show.

mod memory;
mod table;
mod trace;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::profile::{Events, GpuEvent, HostEvent, SpanKind};
use crate::engine::{Device, Timing};

pub use memory::{MemoryReport, MemoryRow};

/// Runs `body` and tells where its time went, on the current device. [`Device::profile`] is for another one.
///
/// ```
/// use lumigrad::prelude::*;
/// let x = Tensor::rand(&[64, 32]);
/// let (y, profile) = lumigrad::profile(|| x.matmul(&x.t()).relu());
/// println!("{profile}");
/// let product = profile.kernels().iter().find(|kernel| kernel.label.starts_with("matmul")).unwrap();
/// assert_eq!((product.calls, product.flops), (1, Some(2 * 64 * 64 * 32)));
/// # y.to_vec::<f32>()?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// What this thread runs on that device counts, and nothing else; a profile inside of a profile counts in both. The
/// profile waits for the device before and after `body`. A kernel that runs for the first time is compiled, which takes
/// long: run a step or two before.
pub fn profile<R>(body: impl FnOnce() -> R) -> (R, Profile) {
    Device::current().profile(body)
}

impl Device {
    /// [`profile`] on this device.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let device = Device::new_reference(true);
    /// let x = Tensor::full_on(&[4], 0.5, DType::F32, &device);
    /// let (_, profile) = device.profile(|| (x.exp(), x.exp()));
    /// assert_eq!(profile.kernels()[0].calls, 2);
    /// ```
    pub fn profile<R>(&self, body: impl FnOnce() -> R) -> (R, Profile) {
        let (result, events, times) = self.listen(body);
        (result, Profile::new(self, events, times))
    }
}

/// Where the time of a piece of a program went; see [`profile`].
///
/// Prints as a table of kernels by their time on the device, and one of operations by their time on the host.
#[derive(Clone)]
pub struct Profile {
    device: String,
    timing: Timing,
    kernels: Vec<KernelTime>,
    operations: Vec<OperationTime>,
    start: u64,
    host: u64,
    wall: u64,
    missing: usize,
    memory: MemoryReport,
    spans: Vec<HostEvent>,
    dispatches: Vec<Dispatch>,
}

/// A dispatch with its times in nanoseconds on the host's clock.
#[derive(Clone)]
struct Dispatch {
    event: GpuEvent,
    begin: f64,
    end: f64,
}

/// A kernel's row in a [`Profile`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KernelTime {
    /// The kernel's name, with its variant.
    pub label: String,
    /// How often it ran.
    pub calls: usize,
    /// Its time on the device, of all calls together.
    pub time: Duration,
    /// Part of the time of all kernels.
    pub share: f64,
    /// Bytes that the calls have to read and write at least: every element of an operand once, and twice what is changed
    /// in place. A kernel that reads something several times moves more.
    pub bytes: u64,
    /// Floating-point operations by the usual count, for kernels that have one: two for each term of a sum of products
    /// in matrix products, convolutions and recurrent steps.
    pub flops: Option<u64>,
}

impl KernelTime {
    /// The time of a call.
    pub fn mean(&self) -> Duration {
        self.time.div_f64(self.calls.max(1) as f64)
    }

    /// 10⁹ bytes a second.
    pub fn gigabytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.time.as_nanos().max(1) as f64
    }

    /// 10⁹ floating-point operations a second, where they are known.
    pub fn gigaflops(&self) -> Option<f64> {
        self.flops.map(|flops| flops as f64 / self.time.as_nanos().max(1) as f64)
    }
}

/// An operation's row in a [`Profile`], or that of something else that the host does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OperationTime {
    /// What it is.
    pub label: String,
    /// How often it ran. An operation of a replay runs on the device only, and counts as 0.
    pub calls: usize,
    /// Its time on the host, without what ran inside of it.
    pub host: Duration,
    /// The time of its dispatches on the device.
    pub device: Duration,
    /// Whether the host did nothing but wait.
    pub is_wait: bool,
}

impl Profile {
    fn new(device: &Device, events: Events, [start, end, done]: [u64; 3]) -> Profile {
        let timing = device.timing();
        let mut profile = Profile {
            device: device.to_string(),
            timing,
            kernels: Vec::new(),
            operations: Vec::new(),
            start,
            host: end - start,
            wall: done - start,
            missing: events.missing,
            memory: device.memory_report_of(true),
            dispatches: on_host_clock(events.dispatches, &events.anchors, device.tick(), timing),
            spans: events.host,
        };
        profile.kernels = profile.by_kernel();
        profile.operations = profile.by_operation();
        profile
    }

    /// The kernels, the one that took longest first.
    pub fn kernels(&self) -> &[KernelTime] {
        &self.kernels
    }

    /// Operations and what else the host did, what took longest first.
    pub fn operations(&self) -> &[OperationTime] {
        &self.operations
    }

    /// The time of all kernels.
    pub fn device_time(&self) -> Duration {
        self.kernels.iter().map(|kernel| kernel.time).sum()
    }

    /// The time of the closure on the host.
    pub fn host_time(&self) -> Duration {
        Duration::from_nanos(self.host)
    }

    /// The time from the closure's beginning until the device had done everything.
    pub fn wall_time(&self) -> Duration {
        Duration::from_nanos(self.wall)
    }

    /// How long the host waited for the device in the closure.
    pub fn waited(&self) -> Duration {
        self.operations.iter().filter(|op| op.is_wait).map(|op| op.host).sum()
    }

    /// How the dispatches were timed.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Dispatches whose times did not come back, because the device failed.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Who held the device's memory when the profile ended, and at most while it ran.
    pub fn memory(&self) -> &MemoryReport {
        &self.memory
    }

    fn by_kernel(&self) -> Vec<KernelTime> {
        let mut rows: BTreeMap<String, (usize, f64, u64, Option<u64>)> = BTreeMap::new();
        for Dispatch { event, begin, end } in &self.dispatches {
            let work = &event.work;
            let row = rows.entry(work.kernel.label(work.variant)).or_insert((0, 0.0, 0, Some(0)));
            row.0 += 1;
            row.1 += end - begin;
            row.2 += work.bytes;
            row.3 = row.3.zip(work.flops).map(|(all, flops)| all + flops);
        }
        let total: f64 = rows.values().map(|row| row.1).sum();
        let mut rows: Vec<KernelTime> = rows
            .into_iter()
            .map(|(label, (calls, nanos, bytes, flops))| KernelTime {
                label,
                calls,
                time: nanoseconds(nanos),
                share: if total > 0.0 { nanos / total } else { 0.0 },
                bytes,
                flops,
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.time));
        rows
    }

    fn by_operation(&self) -> Vec<OperationTime> {
        let mut rows: BTreeMap<(SpanKind, &str), OperationTime> = BTreeMap::new();
        let empty = |kind, name| OperationTime {
            label: label(kind, name),
            calls: 0,
            host: Duration::ZERO,
            device: Duration::ZERO,
            is_wait: kind == SpanKind::Wait,
        };
        for span in &self.spans {
            let row = rows.entry((span.kind, span.name)).or_insert_with(|| empty(span.kind, span.name));
            row.calls += 1;
            row.host += Duration::from_nanos(span.own);
        }
        for Dispatch { event, begin, end } in &self.dispatches {
            let Some(origin) = &event.work.origin else { continue };
            let (kind, name) = (origin.kind(), origin.operation);
            let row = rows.entry((kind, name)).or_insert_with(|| empty(kind, name));
            row.device += nanoseconds(end - begin);
        }
        let mut rows: Vec<OperationTime> = rows.into_values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.host, row.device)));
        rows
    }
}

fn label(kind: SpanKind, name: &str) -> String {
    match kind {
        SpanKind::Backward => format!("{name} (backward)"),
        SpanKind::Operation => name.to_string(),
        SpanKind::Phase
        | SpanKind::Replay
        | SpanKind::Compile
        | SpanKind::Upload
        | SpanKind::Submit
        | SpanKind::Wait => format!("[{name}]"),
    }
}

fn nanoseconds(nanos: f64) -> Duration {
    Duration::from_nanos(nanos.max(0.0).round() as u64)
}

/// Brings the device's clock to the host's. Nothing runs before it is submitted: the submission that began soonest says
/// how far the clocks are apart.
fn on_host_clock(events: Vec<GpuEvent>, anchors: &[(u64, u64)], tick: f64, timing: Timing) -> Vec<Dispatch> {
    let base = events.first().map_or(0, |event| event.begin);
    let nanos = |ticks: u64| ticks.wrapping_sub(base) as i64 as f64 * tick;
    let offset = match timing {
        Timing::Host => base as f64,
        _ => anchors.iter().map(|(host, first)| *host as f64 - nanos(*first)).fold(f64::NEG_INFINITY, f64::max),
    };
    let offset = if offset.is_finite() { offset } else { 0.0 };
    let mut dispatches: Vec<Dispatch> = events
        .into_iter()
        .map(|event| Dispatch { begin: nanos(event.begin) + offset, end: nanos(event.end) + offset, event })
        .collect();
    dispatches.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    dispatches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_meet_at_the_submission_that_began_soonest() {
        let kernel = crate::ops::kernel("matmul.tiled").expect("it is registered");
        let work =
            || crate::engine::profile::Work { kernel, variant: 0, groups: [1; 3], bytes: 0, flops: None, origin: None };
        let event = |begin, end| GpuEvent { work: work(), begin, end };
        let events = vec![event(1000, 1010), event(1010, 1030)];
        // Ticks of two nanoseconds; the second submission began at once, the first after 50 of them.
        let anchors = [(400, 975), (500, 1000)];
        let placed = on_host_clock(events, &anchors, 2.0, Timing::Timestamps);
        let times: Vec<(f64, f64)> = placed.iter().map(|d| (d.begin, d.end)).collect();
        assert_eq!(times, [(500.0, 520.0), (520.0, 560.0)]);
    }
}
