//! A training step that is recorded once and replayed, and what it logs.

use super::gather::Entry;
use super::{Log, LogValue, TensorBatch};
use crate::capture::Capture;
use crate::tensor::{Shape, Tensor};
use crate::{Device, Error, Result};

pub(super) struct CapturedStep {
    capture: Capture,
    records: bool,
    /// What the step logged when it last ran, by the shapes of its batch.
    logged: Vec<(Vec<Shape>, Vec<Entry>)>,
}

impl CapturedStep {
    pub fn new(device: &Device) -> Self {
        CapturedStep { capture: device.capture(), records: device.records(), logged: Vec::new() }
    }

    /// Runs the step, or what was recorded of it. What it logs is in `log` afterwards.
    pub fn run(
        &mut self,
        batch: &TensorBatch,
        log: &mut Log,
        step: impl FnOnce(&TensorBatch, &mut Log) -> Result<()>,
    ) -> Result<()> {
        let inputs: Vec<&Tensor> = batch.tensors().iter().collect();
        let mut ran = false;
        let tensors: Vec<Tensor> = self.capture.run(&inputs, |inputs| {
            ran = true;
            step(&batch.with_tensors(inputs.to_vec()), log)?;
            Ok(log.entries.iter().filter_map(|entry| tensor_of(&entry.value).cloned()).collect())
        })?;
        let shapes: Vec<Shape> = inputs.iter().map(|t| t.shape().into()).collect();
        let known = self.logged.iter().position(|(of, _)| *of == shapes);
        if ran {
            let entries = log.entries.clone();
            match known {
                Some(i) => {
                    if self.records {
                        check_numbers(&self.logged[i].1, &entries)?;
                    }
                    self.logged[i].1 = entries;
                }
                None => self.logged.push((shapes, entries)),
            }
        } else if let Some(i) = known {
            log.entries = self.logged[i].1.clone();
        }
        let values = log.entries.iter_mut().filter(|entry| tensor_of(&entry.value).is_some());
        values.zip(tensors).for_each(|(entry, tensor)| entry.value = LogValue::Tensor(tensor));
        Ok(())
    }
}

fn tensor_of(value: &LogValue) -> Option<&Tensor> {
    if let LogValue::Tensor(tensor) = value { Some(tensor) } else { None }
}

/// A replay would log the same number for ever.
fn check_numbers(before: &[Entry], now: &[Entry]) -> Result<()> {
    let differs = |(a, b): &(&Entry, &Entry)| match (&a.value, &b.value) {
        (LogValue::Number(x), LogValue::Number(y)) => a.name == b.name && x.to_bits() != y.to_bits(),
        _ => false,
    };
    match before.iter().zip(now).find(differs) {
        None => Ok(()),
        Some((entry, _)) => Err(Error::Capture {
            op: "log",
            detail: format!(
                "{:?} is a number of the host that is not the same in each step, and a replay would not change it; log a \
                 tensor, or log it in a callback",
                entry.name
            ),
        }),
    }
}
