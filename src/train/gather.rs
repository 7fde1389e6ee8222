//! Values that a step logs: gathered on the device, read when they have arrived.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::task::noop_waker;

use crate::autograd::no_grad;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// A logged number: on the device as a scalar, or on the host.
#[derive(Clone, Debug)]
pub enum LogValue {
    /// On the device; it is not waited for.
    Tensor(Tensor),
    /// On the host.
    Number(f64),
}

impl From<&Tensor> for LogValue {
    fn from(tensor: &Tensor) -> Self {
        LogValue::Tensor(tensor.detach())
    }
}

impl From<Tensor> for LogValue {
    fn from(tensor: Tensor) -> Self {
        LogValue::from(&tensor)
    }
}

impl From<f64> for LogValue {
    fn from(number: f64) -> Self {
        LogValue::Number(number)
    }
}

/// What becomes of a logged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Written every few steps as it is.
    pub on_step: bool,
    /// Written at the end of the epoch as the mean over all samples.
    pub on_epoch: bool,
    /// Shown beside the progress bar.
    pub prog_bar: bool,
}

/// Takes what a step logs.
pub struct Log {
    defaults: LogOptions,
    pub(super) entries: Vec<Entry>,
}

/// One logged value.
pub(super) struct Entry {
    pub name: String,
    pub value: LogValue,
    pub options: LogOptions,
}

impl Log {
    /// For a training step: values of steps, and their mean at the end of the epoch.
    pub(super) fn of_training() -> Self {
        Log { defaults: LogOptions { on_step: true, on_epoch: true, prog_bar: true }, entries: Vec::new() }
    }

    /// For an evaluation: means only.
    pub(super) fn of_evaluation() -> Self {
        Log { defaults: LogOptions { on_step: false, on_epoch: true, prog_bar: true }, entries: Vec::new() }
    }

    /// Logs a scalar: in a training step its value every few steps and its mean over the epoch, in an evaluation the mean.
    ///
    /// # Panics
    /// When a tensor has more than one element.
    #[track_caller]
    pub fn log(&mut self, name: &str, value: impl Into<LogValue>) {
        self.log_with(name, value, self.defaults);
    }

    /// [`Log::log`] with a say in what becomes of it.
    ///
    /// # Panics
    /// When a tensor has more than one element.
    #[track_caller]
    pub fn log_with(&mut self, name: &str, value: impl Into<LogValue>, options: LogOptions) {
        let value = value.into();
        if let LogValue::Tensor(tensor) = &value {
            assert!(tensor.numel() == 1, "log: {name:?} has the shape {:?}, expected one number", tensor.shape());
        }
        self.entries.push(Entry { name: name.into(), value, options });
    }
}

/// Running means over an epoch, each sample counting the same.
#[derive(Default)]
pub(super) struct Means(BTreeMap<String, Mean>);

struct Mean {
    sum: LogValue,
    weight: f64,
}

impl Means {
    /// Adds a batch's values; those of the device are added there.
    pub fn add(&mut self, entries: &[Entry], samples: usize) -> Result<()> {
        for entry in entries.iter().filter(|e| e.options.on_epoch) {
            let weighted = match &entry.value {
                LogValue::Number(x) => LogValue::Number(x * samples as f64),
                LogValue::Tensor(x) => {
                    LogValue::Tensor(no_grad(|| x.try_mul_scalar(samples as f64)?.try_reshape([1usize]))?)
                }
            };
            let Some(mean) = self.0.get_mut(&entry.name) else {
                self.0.insert(entry.name.clone(), Mean { sum: weighted, weight: samples as f64 });
                continue;
            };
            mean.weight += samples as f64;
            mean.sum = match (&mean.sum, weighted) {
                (LogValue::Number(a), LogValue::Number(b)) => LogValue::Number(a + b),
                (LogValue::Tensor(a), LogValue::Tensor(b)) => LogValue::Tensor(no_grad(|| a.try_add(&b))?),
                _ => {
                    let detail = format!("{:?} is a tensor in one step and a number in another", entry.name);
                    return Err(Error::argument("log", detail));
                }
            };
        }
        Ok(())
    }

    /// The means, in one read. Waits for the device.
    pub fn finish(&mut self) -> Result<BTreeMap<String, f64>> {
        let means = std::mem::take(&mut self.0);
        let sums: Vec<&Tensor> = means
            .values()
            .filter_map(|mean| match &mean.sum {
                LogValue::Tensor(sum) => Some(sum),
                LogValue::Number(_) => None,
            })
            .collect();
        let mut read = match sums.is_empty() {
            true => Vec::new(),
            false => no_grad(|| Tensor::try_cat(&sums, 0))?.to_vec::<f64>()?,
        }
        .into_iter();
        let value = |mean: &Mean| match &mean.sum {
            LogValue::Number(sum) => sum / mean.weight,
            LogValue::Tensor(_) => read.next().expect("one sum a tensor") / mean.weight,
        };
        let values: Vec<f64> = means.values().map(value).collect();
        Ok(means.into_keys().zip(values).collect())
    }

    /// The sums so far, for a checkpoint: name, sum and weight.
    pub fn save(&self) -> Result<Vec<(String, f64, f64, bool)>> {
        let row = |(name, mean): (&String, &Mean)| {
            let (sum, on_device) = match &mean.sum {
                LogValue::Number(sum) => (*sum, false),
                LogValue::Tensor(sum) => (sum.item::<f64>()?, true),
            };
            Ok((name.clone(), sum, mean.weight, on_device))
        };
        self.0.iter().map(row).collect()
    }

    /// Goes on from saved sums.
    pub fn load(&mut self, rows: Vec<(String, f64, f64, bool)>, device: &crate::Device) -> Result<()> {
        self.0.clear();
        for (name, sum, weight, on_device) in rows {
            let sum = match on_device {
                true => LogValue::Tensor(Tensor::try_from_slice_on(&[sum], &[1], device)?),
                false => LogValue::Number(sum),
            };
            self.0.insert(name, Mean { sum, weight });
        }
        Ok(())
    }
}

/// Values on their way from the device, with what they belong to.
#[derive(Default)]
pub(super) struct Reads(Vec<(u64, Vec<String>, Read)>);

type Read = Pin<Box<dyn Future<Output = Result<Vec<f64>>> + Send>>;

impl Reads {
    /// Begins to read the values of a step. Numbers of the host are there at once, and given back.
    pub fn begin(&mut self, step: u64, entries: &[Entry]) -> Result<Vec<(String, f64)>> {
        let (mut here, mut names, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries.iter().filter(|e| e.options.on_step) {
            match &entry.value {
                LogValue::Number(x) => here.push((entry.name.clone(), *x)),
                LogValue::Tensor(x) => {
                    names.push(entry.name.clone());
                    tensors.push(no_grad(|| x.try_reshape([1usize]))?);
                }
            }
        }
        if !tensors.is_empty() {
            let all = no_grad(|| Tensor::try_cat(&tensors.iter().collect::<Vec<_>>(), 0))?;
            self.0.push((step, names, Box::pin(async move { all.to_vec_async::<f64>().await })));
        }
        Ok(here)
    }

    /// What has arrived, in order, without waiting.
    pub fn poll(&mut self) -> Result<Vec<(u64, String, f64)>> {
        let waker = noop_waker();
        let mut arrived = Vec::new();
        while let Some((step, names, read)) = self.0.first_mut() {
            match read.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => break,
                Poll::Ready(values) => {
                    arrived.extend(names.drain(..).zip(values?).map(|(name, value)| (*step, name, value)));
                    drop(self.0.remove(0));
                }
            }
        }
        Ok(arrived)
    }

    /// Everything that is still on its way. Waits for the device.
    pub fn finish(&mut self) -> Result<Vec<(u64, String, f64)>> {
        let mut arrived = Vec::new();
        for (step, names, read) in self.0.drain(..) {
            let values = pollster::block_on(read)?;
            arrived.extend(names.into_iter().zip(values).map(|(name, value)| (step, name, value)));
        }
        Ok(arrived)
    }
}
