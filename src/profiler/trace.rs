//! A profile as a trace: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Dispatch, HostEvent, Profile, SpanKind, label};
use crate::{Error, Result};

/// Process numbers of the two tracks, which have one thread each; 0 would be the idle one.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

impl Profile {
    /// Writes a trace that <https://ui.perfetto.dev> and `chrome://tracing` open: the host's operations one inside the
    /// other, and below them the dispatches of the device, each with its kernel, workgroups, bytes, operation and module.
    ///
    /// Both are on one time axis: a device's clock is laid on the host's so that no dispatch begins before its submission,
    /// which may be wrong by as long as the quickest submission took to begin.
    ///
    /// Folders that are missing are made.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        crate::io::make_parent(path)?;
        let write = || -> std::io::Result<()> {
            let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
            writeln!(file, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
            for (i, event) in self.events().enumerate() {
                let comma = if i == 0 { "" } else { ",\n" };
                write!(file, "{comma}{event}")?;
            }
            writeln!(file, "\n]}}")?;
            file.flush()
        };
        write().map_err(|error| Error::file(path, error))
    }

    fn events(&self) -> impl Iterator<Item = Value> + '_ {
        let name = |pid: u32, kind: &str, name: &str| json!({ "ph": "M", "name": kind, "ts": 0, "dur": 0, "pid": pid, "tid": 1, "args": { "name": name } });
        let names = [
            name(HOST, "process_name", "host"),
            name(HOST, "thread_name", "operations"),
            name(DEVICE, "process_name", &self.device),
            name(DEVICE, "thread_name", "dispatches"),
        ];
        let host = self.spans.iter().map(|span| self.host_event(span));
        let device = self.dispatches.iter().map(|dispatch| self.device_event(dispatch));
        names.into_iter().chain(host).chain(device)
    }

    /// Microseconds since the profile began.
    fn micros(&self, nanos: f64) -> f64 {
        (nanos - self.start as f64).round() / 1e3
    }

    fn host_event(&self, span: &HostEvent) -> Value {
        let category = match span.kind {
            SpanKind::Operation => "operation",
            SpanKind::Backward => "backward",
            SpanKind::Phase => "phase",
            SpanKind::Replay => "replay",
            SpanKind::Compile => "compile",
            SpanKind::Upload => "upload",
            SpanKind::Submit => "submit",
            SpanKind::Wait => "wait",
        };
        let path = span.origin.as_ref().and_then(|origin| origin.path.as_deref());
        json!({
            "ph": "X",
            "name": label(span.kind, span.name),
            "cat": category,
            "ts": self.micros(span.start as f64),
            "dur": (span.end - span.start) as f64 / 1e3,
            "pid": HOST,
            "tid": 1,
            "args": { "module": path },
        })
    }

    fn device_event(&self, Dispatch { event, begin, end }: &Dispatch) -> Value {
        let work = &event.work;
        let origin = work.origin.as_deref();
        json!({
            "ph": "X",
            "name": work.kernel.label(work.variant),
            "cat": "dispatch",
            "ts": self.micros(*begin),
            "dur": (end - begin).max(0.0) / 1e3,
            "pid": DEVICE,
            "tid": 1,
            "args": {
                "workgroups": work.groups,
                "bytes": work.bytes,
                "flops": work.flops,
                "operation": origin.map(|o| label(o.kind(), o.operation)),
                "module": origin.and_then(|o| o.path.as_deref()),
            },
        })
    }
}
