//! What the terminal shows of a training.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, a line an epoch elsewhere, or nothing.
pub(super) struct Progress {
    shown: Shown,
    bar: ProgressBar,
    title: String,
    started: Instant,
    /// When the numbers beside the bar were last written: formatting them at every step costs more than a short step.
    refreshed: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bar,
    Lines,
    Nothing,
}

/// Seconds between two looks at the numbers.
const REFRESH: f64 = 0.1;

impl Progress {
    pub fn new(wanted: bool) -> Self {
        let shown = match (wanted, std::io::stderr().is_terminal()) {
            (false, _) => Shown::Nothing,
            (true, true) => Shown::Bar,
            (true, false) => Shown::Lines,
        };
        let (bar, title, now) = (ProgressBar::hidden(), String::new(), Instant::now());
        Progress { shown, bar, title, started: now, refreshed: now }
    }

    /// An epoch begins, or goes on after `done` batches.
    pub fn start(&mut self, epoch: u64, epochs: Option<u64>, batches: usize, done: usize) {
        let of = epochs.map_or(String::new(), |n| format!("/{n}"));
        self.title = format!("epoch {}{of}", epoch + 1);
        self.started = Instant::now();
        if self.shown == Shown::Bar {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} {msg}");
            self.bar = ProgressBar::new(batches as u64).with_style(style.expect("a valid template"));
            self.bar.set_prefix(self.title.clone());
            self.bar.set_position(done as u64);
        }
    }

    /// A batch is done.
    pub fn step(&mut self, metrics: &BTreeMap<String, f64>) {
        if self.shown != Shown::Bar {
            return;
        }
        self.bar.inc(1);
        if self.refreshed.elapsed().as_secs_f64() >= REFRESH {
            self.refreshed = Instant::now();
            self.bar.set_message(text(metrics));
        }
    }

    /// An epoch is done.
    pub fn epoch(&mut self, means: &BTreeMap<String, f64>) {
        let line = format!("{}: {}, {:.1} s", self.title, text(means), self.started.elapsed().as_secs_f64());
        match self.shown {
            Shown::Nothing => {}
            Shown::Lines => eprintln!("{line}"),
            Shown::Bar => {
                self.bar.finish_and_clear();
                eprintln!("{line}");
            }
        }
    }

    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn text(metrics: &BTreeMap<String, f64>) -> String {
    let number = |value: f64| match value.abs() {
        x if x != 0.0 && !(1e-3..1e5).contains(&x) => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    };
    metrics.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let metrics = [("loss", 0.123456), ("lr", 1e-4), ("steps", 250_000.0), ("zero", 0.0)];
        let metrics = metrics.map(|(name, value)| (name.to_string(), value)).into();
        assert_eq!(text(&metrics), "loss 0.1235, lr 1.00e-4, steps 2.50e5, zero 0.0000");
    }
}
