//! How fast a training is.

use super::{Callback, Moment, Status};
use crate::Result;
use crate::metrics::Throughput;

/// Logs `samples_per_second` and `steps_per_second` of the last 100 updates, every few steps: Lightning's
/// `ThroughputMonitor`. What a validation takes does not count.
///
/// ```
/// use lumigrad::train::{ThroughputMonitor, Trainer};
/// // Batches of 64.
/// let trainer = Trainer::new().callback(ThroughputMonitor::new(64));
/// ```
#[derive(Clone, Debug)]
pub struct ThroughputMonitor {
    samples: usize,
    steps: Throughput,
}

impl ThroughputMonitor {
    /// For updates with this many samples: those of a batch, times the batches whose gradients are accumulated.
    pub fn new(samples: usize) -> Self {
        ThroughputMonitor { samples, steps: Throughput::new() }
    }
}

impl Callback for ThroughputMonitor {
    fn name(&self) -> String {
        "ThroughputMonitor".into()
    }

    fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
        match moment {
            Moment::FitStart | Moment::EpochStart | Moment::ValidationEnd => self.steps.pause(),
            Moment::StepEnd => self.steps.update(1),
            _ => {}
        }
        if let (Moment::StepEnd, true, Some(rate)) = (moment, status.is_logged_step, self.steps.compute()) {
            status.to_log.push(("samples_per_second".into(), rate * self.samples as f64));
            status.to_log.push(("steps_per_second".into(), rate));
        }
        Ok(())
    }
}
