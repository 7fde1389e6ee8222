//! Ending a training that no longer becomes better.

use serde_json::{Value as Json, json};

use super::{Callback, Mode, Moment, Status};
use crate::Result;

/// Ends the training when a metric has not become better for a while: Lightning's `EarlyStopping`.
///
/// It looks after every validation that brings the metric, or after every epoch for a metric of the training.
///
/// ```
/// use lumigrad::train::{EarlyStopping, Mode, Trainer};
/// let stop = EarlyStopping::new("val_accuracy").mode(Mode::Max).patience(5).min_delta(1e-3);
/// let trainer = Trainer::new().callback(stop);
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: String,
    patience: usize,
    mode: Mode,
    min_delta: f64,
    check_finite: bool,
    stopping_threshold: Option<f64>,
    divergence_threshold: Option<f64>,
    best: Option<f64>,
    waited: usize,
}

impl EarlyStopping {
    /// Watches this metric, smaller being better, and waits 3 times.
    pub fn new(monitor: &str) -> Self {
        EarlyStopping {
            monitor: monitor.into(),
            patience: 3,
            mode: Mode::Min,
            min_delta: 0.0,
            check_finite: true,
            stopping_threshold: None,
            divergence_threshold: None,
            best: None,
            waited: 0,
        }
    }

    /// How many times in a row without an improvement are too many (3).
    pub fn patience(mut self, times: usize) -> Self {
        self.patience = times;
        self
    }

    /// Whether smaller or larger is better.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Only more than this counts as an improvement (0).
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }

    /// Whether NaN or an infinity ends the training at once (true).
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }

    /// Ends the training at once when the metric is better than this.
    pub fn stopping_threshold(mut self, value: f64) -> Self {
        self.stopping_threshold = Some(value);
        self
    }

    /// Ends the training at once when the metric is worse than this.
    pub fn divergence_threshold(mut self, value: f64) -> Self {
        self.divergence_threshold = Some(value);
        self
    }

    /// Why it is time to stop, if it is.
    fn judge(&mut self, value: f64) -> Option<String> {
        let name = &self.monitor;
        let better = |than: f64| self.mode.is_better(value, Some(than), 0.0);
        if self.check_finite && !value.is_finite() {
            return Some(format!("{name} is {value}"));
        }
        if let Some(limit) = self.stopping_threshold.filter(|limit| better(*limit)) {
            return Some(format!("{name} is {value}, which is better than {limit}"));
        }
        if let Some(limit) = self.divergence_threshold.filter(|limit| value != *limit && !better(*limit)) {
            return Some(format!("{name} is {value}, which is worse than {limit}"));
        }
        if self.mode.is_better(value, self.best, self.min_delta) {
            (self.best, self.waited) = (Some(value), 0);
            return None;
        }
        self.waited += 1;
        let best = self.best.map_or("none".to_string(), |best| best.to_string());
        (self.waited >= self.patience)
            .then(|| format!("{name} has not become better than {best} {} times", self.waited))
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> String {
        format!("EarlyStopping({})", self.monitor)
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        let fresh = status.fresh(moment, &self.monitor, "EarlyStopping")?;
        if let Some(reason) = fresh.and_then(|value| self.judge(value)) {
            (status.say)(&format!("{reason}: stopping"));
            *status.should_stop = true;
        }
        Ok(())
    }

    fn state(&self) -> Json {
        json!({ "best": self.best, "waited": self.waited })
    }

    fn load_state(&mut self, state: &Json) -> Result<()> {
        self.best = state["best"].as_f64();
        self.waited = state["waited"].as_u64().unwrap_or(0) as usize;
        Ok(())
    }

    fn is_in_fast_dev_run(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(mut stop: EarlyStopping, values: &[f64]) -> Option<usize> {
        values.iter().position(|value| stop.judge(*value).is_some())
    }

    #[test]
    fn reasons_to_stop() {
        let loss = || EarlyStopping::new("x").patience(2);
        let accuracy = || loss().mode(Mode::Max);
        assert_eq!(stops(loss(), &[3.0, 2.0, 2.0, 1.0, 1.5, 1.0]), Some(5));
        assert_eq!(stops(accuracy(), &[3.0, 2.0, 4.0, 4.0, 1.0]), Some(4));
        assert_eq!(stops(loss().min_delta(0.5), &[3.0, 2.75, 2.6]), Some(2));
        assert_eq!(stops(loss(), &[3.0, f64::NAN]), Some(1));
        assert_eq!(stops(loss().check_finite(false), &[3.0, f64::NAN, f64::INFINITY]), Some(2));
        assert_eq!(stops(loss().stopping_threshold(1.0), &[3.0, 1.0, 0.9]), Some(2));
        assert_eq!(stops(accuracy().stopping_threshold(0.9), &[0.5, 0.95]), Some(1));
        assert_eq!(stops(loss().divergence_threshold(5.0), &[3.0, 5.0, 2.0, 6.0]), Some(3));
        assert_eq!(stops(accuracy().divergence_threshold(0.1), &[0.5, 0.05]), Some(1));
    }
}
