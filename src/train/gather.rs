//! Values that a step logs: gathered on the device, read when they have arrived.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::task::noop_waker;

use super::checkpoint::{Position, SavedMean};
use super::progress::suspend_progress;
use crate::autograd::no_grad;
use crate::metrics::Metric;
use crate::nn::StateDict;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// A logged number: on the device as a scalar, on the host, or what a metric comes to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogValue {
    /// On the device; it is not waited for.
    Tensor(Tensor),
    /// On the host.
    Number(f64),
    /// Computed at the end of the epoch over all that the metric has taken in, and reset then. It has no value of a step.
    Metric(Arc<dyn Metric<Value = f64>>),
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

impl LogValue {
    /// The number. Waits for the device.
    #[cfg(feature = "tensorboard")]
    pub(crate) fn read(&self) -> Result<f64> {
        match self {
            LogValue::Tensor(tensor) => tensor.item(),
            LogValue::Number(number) => Ok(*number),
            LogValue::Metric(metric) => metric.compute(),
        }
    }
}

impl From<f32> for LogValue {
    fn from(number: f32) -> Self {
        LogValue::Number(f64::from(number))
    }
}

impl From<f64> for LogValue {
    fn from(number: f64) -> Self {
        LogValue::Number(number)
    }
}

impl<M: Metric<Value = f64> + Clone + 'static> From<&M> for LogValue {
    fn from(metric: &M) -> Self {
        LogValue::Metric(Arc::new(metric.clone()))
    }
}

/// What becomes of a logged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Written every few steps as it is.
    pub on_step: bool,
    /// Written at the end of the epoch as the mean over all samples, or the value of a metric. In a training its name ends
    /// with `_epoch` when there are values of steps too.
    pub on_epoch: bool,
    /// Shown beside the progress bar.
    pub prog_bar: bool,
}

/// Takes what a step logs, and knows which step it is.
pub struct Log {
    defaults: LogOptions,
    batch: usize,
    at: Position,
    pub(super) entries: Vec<Entry>,
}

/// One logged value.
#[derive(Clone)]
pub(super) struct Entry {
    pub name: String,
    pub value: LogValue,
    pub options: LogOptions,
}

impl Log {
    /// For a training step: values of steps, and their mean at the end of the epoch.
    pub(super) fn of_training(at: Position) -> Self {
        let defaults = LogOptions { on_step: true, on_epoch: true, prog_bar: true };
        Log { defaults, batch: at.batch, at, entries: Vec::new() }
    }

    /// For batch `batch` of an evaluation, or the end of an epoch: means only.
    pub(super) fn of_epoch(at: Position, batch: usize) -> Self {
        let defaults = LogOptions { on_step: false, on_epoch: true, prog_bar: true };
        Log { defaults, batch, at, entries: Vec::new() }
    }

    /// The number of the batch in its epoch, from 0: Lightning's `batch_idx`.
    pub fn batch_idx(&self) -> usize {
        self.batch
    }

    /// The epoch of the training, from 0.
    pub fn current_epoch(&self) -> u64 {
        self.at.epoch
    }

    /// Updates so far.
    pub fn global_step(&self) -> u64 {
        self.at.global_step
    }

    /// Writes a line on standard output without breaking the progress bar.
    pub fn print(&self, text: impl std::fmt::Display) {
        suspend_progress(|| println!("{text}"));
    }

    /// Logs a scalar: in a training step its value every few steps and its mean over the epoch, in an evaluation the mean.
    ///
    /// A [metric](crate::metrics) itself is computed at the end of the epoch and reset: log it in every step that updates
    /// it, and give training and validation one each.
    ///
    /// # Panics
    /// When a tensor has more than one element.
    #[track_caller]
    pub fn log(&mut self, name: &str, value: impl Into<LogValue>) {
        self.log_with(name, value, self.defaults);
    }

    /// [`Log::log`] of several values: Lightning's `log_dict`.
    ///
    /// # Panics
    /// When a tensor has more than one element.
    #[track_caller]
    pub fn log_dict<V: Into<LogValue>>(&mut self, values: impl IntoIterator<Item = (impl AsRef<str>, V)>) {
        for (name, value) in values {
            self.log(name.as_ref(), value);
        }
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

/// Running means over an epoch, each sample counting the same, and its metrics.
#[derive(Default)]
pub(super) struct Means {
    means: BTreeMap<String, Mean>,
    metrics: BTreeMap<String, Arc<dyn Metric<Value = f64>>>,
    /// What metrics held at a checkpoint, until they are logged again.
    restored: BTreeMap<String, Vec<Tensor>>,
}

struct Mean {
    sum: LogValue,
    weight: f64,
    on_step: bool,
}

/// What an epoch came to.
pub(super) struct Finished {
    pub value: f64,
    /// Whether it has values of steps as well.
    pub on_step: bool,
}

impl Means {
    /// Adds a batch's values; those of the device are added there.
    pub fn add(&mut self, entries: &[Entry], samples: usize) -> Result<()> {
        for entry in entries.iter().filter(|e| e.options.on_epoch) {
            let weighted = match &entry.value {
                LogValue::Metric(metric) if !self.means.contains_key(&entry.name) => {
                    self.metric(&entry.name, metric)?;
                    continue;
                }
                LogValue::Metric(_) => return Err(two_kinds(&entry.name)),
                _ if self.metrics.contains_key(&entry.name) => return Err(two_kinds(&entry.name)),
                LogValue::Number(x) => LogValue::Number(x * samples as f64),
                LogValue::Tensor(x) => {
                    LogValue::Tensor(no_grad(|| x.try_mul_scalar(samples as f64)?.try_reshape([1usize]))?)
                }
            };
            let Some(mean) = self.means.get_mut(&entry.name) else {
                let mean = Mean { sum: weighted, weight: samples as f64, on_step: entry.options.on_step };
                self.means.insert(entry.name.clone(), mean);
                continue;
            };
            mean.weight += samples as f64;
            mean.sum = match (&mean.sum, weighted) {
                (LogValue::Number(a), LogValue::Number(b)) => LogValue::Number(a + b),
                (LogValue::Tensor(a), LogValue::Tensor(b)) => LogValue::Tensor(no_grad(|| a.try_add(&b))?),
                _ => return Err(two_kinds(&entry.name)),
            };
        }
        Ok(())
    }

    /// Remembers a metric. After a checkpoint was loaded it goes on from what it held then.
    fn metric(&mut self, name: &str, metric: &Arc<dyn Metric<Value = f64>>) -> Result<()> {
        if let Some(state) = self.restored.remove(name) {
            metric.prepend_state(&state)?;
        }
        self.metrics.insert(name.to_string(), metric.clone());
        Ok(())
    }

    /// The means, in one read, and the metrics, which begin anew. Waits for the device.
    pub fn finish(&mut self) -> Result<BTreeMap<String, Finished>> {
        let mut finished = BTreeMap::new();
        for (name, metric) in &self.metrics {
            finished.insert(name.clone(), Finished { value: metric.compute()?, on_step: false });
        }
        self.forget();
        let means = std::mem::take(&mut self.means);
        let sums: Vec<&Tensor> = means
            .values()
            .filter_map(|mean| match &mean.sum {
                LogValue::Tensor(sum) => Some(sum),
                _ => None,
            })
            .collect();
        let mut read = match sums.is_empty() {
            true => Vec::new(),
            false => no_grad(|| Tensor::try_cat(&sums, 0))?.to_vec::<f64>()?,
        }
        .into_iter();
        for (name, mean) in means {
            let sum = match mean.sum {
                LogValue::Number(sum) => sum,
                _ => read.next().expect("one sum a tensor"),
            };
            finished.insert(name, Finished { value: sum / mean.weight, on_step: mean.on_step });
        }
        Ok(finished)
    }

    /// Resets the metrics and lets go of them.
    fn forget(&mut self) {
        self.restored.clear();
        std::mem::take(&mut self.metrics).values().for_each(|metric| metric.reset());
    }

    /// What the metrics hold, for a checkpoint.
    pub fn save_metrics(&self) -> Result<StateDict> {
        let mut state = StateDict::new();
        for (name, metric) in &self.metrics {
            let tensors = metric.state()?;
            tensors.into_iter().enumerate().for_each(|(i, tensor)| state.insert(format!("{name}.{i}"), tensor));
        }
        Ok(state)
    }

    /// Goes on from what metrics held.
    pub fn load_metrics(&mut self, state: &StateDict) {
        self.forget();
        for (name, _) in state.iter().filter_map(|(key, _)| key.rsplit_once('.')) {
            let tensors = self.restored.entry(name.to_string()).or_default();
            // The order of a file is its own.
            tensors.extend(state.get(&format!("{name}.{}", tensors.len())).cloned());
        }
    }

    /// The sums so far, for a checkpoint.
    pub fn save(&self) -> Result<Vec<SavedMean>> {
        let row = |(name, mean): (&String, &Mean)| {
            let (sum, on_device) = match &mean.sum {
                LogValue::Tensor(sum) => (sum.item::<f64>()?, true),
                LogValue::Number(sum) => (*sum, false),
                LogValue::Metric(_) => unreachable!("metrics are no means"),
            };
            Ok(SavedMean { name: name.clone(), sum, weight: mean.weight, on_device, on_step: mean.on_step })
        };
        self.means.iter().map(row).collect()
    }

    /// Goes on from saved sums.
    pub fn load(&mut self, rows: Vec<SavedMean>, device: &crate::Device) -> Result<()> {
        self.means.clear();
        for SavedMean { name, sum, weight, on_device, on_step } in rows {
            let sum = match on_device {
                true => LogValue::Tensor(Tensor::try_from_slice_on(&[sum], &[1], device)?),
                false => LogValue::Number(sum),
            };
            self.means.insert(name, Mean { sum, weight, on_step });
        }
        Ok(())
    }
}

fn two_kinds(name: &str) -> Error {
    Error::argument("log", format!("{name:?} must be a tensor in all steps, or a number, or a metric"))
}

/// Metrics of an epoch that was broken off are of no use to another one.
impl Drop for Means {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Values on their way from the device, with what they belong to.
#[derive(Default)]
pub(super) struct Reads(Vec<(u64, Vec<String>, Read)>);

/// Names with their numbers.
pub(super) type Values = Vec<(String, f64)>;

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
                LogValue::Metric(_) => {}
            }
        }
        if !tensors.is_empty() {
            let all = no_grad(|| Tensor::try_cat(&tensors.iter().collect::<Vec<_>>(), 0))?;
            self.0.push((step, names, Box::pin(async move { all.to_vec_async::<f64>().await })));
        }
        Ok(here)
    }

    /// What has arrived, in order, without waiting.
    pub fn poll(&mut self) -> Result<Vec<(u64, Values)>> {
        let waker = noop_waker();
        let mut arrived = Vec::new();
        while let Some((step, names, read)) = self.0.first_mut() {
            match read.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => break,
                Poll::Ready(values) => {
                    arrived.push((*step, names.drain(..).zip(values?).collect()));
                    drop(self.0.remove(0));
                }
            }
        }
        Ok(arrived)
    }

    /// Everything that is still on its way. Waits for the device.
    pub fn finish(&mut self) -> Result<Vec<(u64, Values)>> {
        let read = |(step, names, read): (u64, Vec<String>, Read)| {
            Ok((step, names.into_iter().zip(pollster::block_on(read)?).collect()))
        };
        self.0.drain(..).map(read).collect()
    }
}
