//! What the terminal shows of a training.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

/// All bars of the process.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Runs `body` while no progress bar is on the terminal: what it prints stays whole, above the bars.
///
/// `body` must not call this itself.
///
/// ```
/// lumigrad::train::suspend_progress(|| println!("a line of the program"));
/// ```
pub fn suspend_progress<R>(body: impl FnOnce() -> R) -> R {
    BARS.suspend(body)
}

/// Standard error, above the progress bars: where a logger of the `log` crate should write.
///
/// ```no_run
/// use env_logger::Target;
/// let terminal = Box::new(lumigrad::train::ProgressWriter);
/// env_logger::Builder::from_default_env().target(Target::Pipe(terminal)).init();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgressWriter;

impl Write for ProgressWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        suspend_progress(|| std::io::stderr().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// A bar on a terminal, a line an epoch elsewhere, or nothing.
pub(super) struct Progress {
    shown: Shown,
    bar: Bar,
    /// Beside the bar of a training.
    evaluation: Bar,
    title: String,
    started: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bar,
    Lines,
    Nothing,
}

/// Seconds between two looks at the numbers beside a bar: formatting them at every step costs more than a short step.
const REFRESH: f64 = 0.1;

/// How long a bar says nothing of its speed: at first steps only fill the device's queue.
const FIRST_LOOK: Duration = Duration::from_millis(700);

/// One line of the terminal, or nothing.
struct Bar {
    bar: ProgressBar,
    refreshed: Instant,
}

impl Bar {
    fn hidden() -> Self {
        Bar { bar: ProgressBar::hidden(), refreshed: Instant::now() }
    }

    fn new(title: &str, batches: usize, done: usize) -> Self {
        let style = "{prefix} {pos}/{len} {bar:12} {rate} {left} {wide_msg}";
        // Over the whole of the bar, without what was done before: steps come in bursts, as a device has a queue.
        let speed = move |state: &ProgressState| {
            (state.pos().saturating_sub(done as u64)) as f64 / state.elapsed().as_secs_f64()
        };
        let known = |state: &ProgressState| state.elapsed() >= FIRST_LOOK;
        let rate = move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = if known(state) { write!(text, "{:.1}/s", speed(state)) } else { write!(text, "…") };
        };
        let left = move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let seconds = (batches as u64).saturating_sub(state.pos()) as f64 / speed(state);
            let _ = match Duration::try_from_secs_f64(seconds) {
                Ok(time) if known(state) => write!(text, "{:#}", HumanDuration(time)),
                _ => Ok(()),
            };
        };
        let style = ProgressStyle::with_template(style).expect("a valid template");
        let style = style.with_key("rate", rate).with_key("left", left);
        let bar = ProgressBar::new(batches as u64).with_position(done as u64).with_style(style);
        Bar { bar: BARS.add(bar.with_prefix(title.to_string())), refreshed: Instant::now() }
    }

    fn step(&mut self, metrics: impl FnOnce() -> String) {
        if self.refreshed.elapsed().as_secs_f64() >= REFRESH {
            self.refreshed = Instant::now();
            self.bar.set_message(metrics());
        }
        self.bar.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        BARS.remove(&self.bar);
    }
}

impl Progress {
    pub fn new(wanted: bool) -> Self {
        let shown = match (wanted, std::io::stderr().is_terminal()) {
            (false, _) => Shown::Nothing,
            (true, true) => Shown::Bar,
            (true, false) => Shown::Lines,
        };
        let (bar, evaluation, started) = (Bar::hidden(), Bar::hidden(), Instant::now());
        Progress { shown, bar, evaluation, title: String::new(), started }
    }

    /// An epoch begins, or goes on after `done` batches.
    pub fn start(&mut self, epoch: u64, epochs: Option<u64>, batches: usize, done: usize) {
        let of = epochs.map_or(String::new(), |n| format!("/{n}"));
        self.title = format!("epoch {}{of}", epoch + 1);
        self.started = Instant::now();
        if self.shown == Shown::Bar {
            self.bar = Bar::new(&self.title, batches, done);
        }
    }

    /// A batch is done. Shows the latest value of these metrics.
    pub fn step<'a>(&mut self, metrics: &BTreeMap<String, f64>, names: impl Iterator<Item = &'a String>) {
        if self.shown == Shown::Bar {
            let values = || text(names.filter_map(|name| Some((name, *metrics.get(name)?))));
            self.bar.step(values);
        }
    }

    /// A validation or another evaluation begins.
    pub fn start_evaluation(&mut self, title: &str, batches: usize) {
        if self.shown == Shown::Bar {
            self.evaluation = Bar::new(title, batches, 0);
        }
    }

    /// A batch of it is done.
    pub fn step_evaluation(&mut self) {
        if self.shown == Shown::Bar {
            self.evaluation.step(String::new);
        }
    }

    /// It is over.
    pub fn end_evaluation(&mut self) {
        self.evaluation = Bar::hidden();
    }

    /// An epoch is done.
    pub fn epoch(&mut self, means: &BTreeMap<String, f64>) {
        self.bar = Bar::hidden();
        let values = text(means.iter().map(|(name, value)| (name, *value)));
        let comma = if values.is_empty() { "" } else { ", " };
        if self.shown != Shown::Nothing {
            self.say(&format!("{}: {values}{comma}{:.1} s", self.title, self.started.elapsed().as_secs_f64()));
        }
    }

    /// A line that stays; to the log when nothing is shown.
    pub fn say(&self, line: &str) {
        match self.shown {
            Shown::Nothing => log::info!("{line}"),
            _ => suspend_progress(|| eprintln!("{line}")),
        }
    }
}

fn text<'a>(metrics: impl Iterator<Item = (&'a String, f64)>) -> String {
    let number = |value: f64| match value.abs() {
        x if x != 0.0 && !(1e-3..1e5).contains(&x) => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    };
    metrics.map(|(name, value)| format!("{name} {}", number(value))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let metrics = [("loss", 0.123456), ("lr", 1e-4), ("steps", 250_000.0), ("zero", 0.0)];
        let metrics = metrics.map(|(name, value)| (name.to_string(), value));
        let shown = text(metrics.iter().map(|(name, value)| (name, *value)));
        assert_eq!(shown, "loss 0.1235, lr 1.00e-4, steps 2.50e5, zero 0.0000");
    }
}
