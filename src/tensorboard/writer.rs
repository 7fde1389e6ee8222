//! The writer, with the methods of PyTorch's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::picture::Picture;
use super::proto::{Content, Metadata, PluginData, SessionLog, Summary, TensorProto, Value, What};
use super::record::EventFile;
use super::{graph, histogram, hparams};
use crate::nn::{Forward, Graph};
use crate::tensor::Tensor;
use crate::train::{HParams, LogValue};
use crate::{Error, Result};

/// Writes a run for TensorBoard: PyTorch's `torch.utils.tensorboard.SummaryWriter`.
///
/// A handle: clones write to the same file, from any thread. Every call appends whole records, so that a killed program
/// leaves a file that TensorBoard reads to its end. Values of a device are waited for.
///
/// ```
/// use lumigrad::{nn, prelude::*, tensorboard::SummaryWriter};
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path().join("run");
///
/// let writer = SummaryWriter::new(&dir)?; // tensorboard --logdir runs
/// for step in 0..100 {
///     writer.add_scalar("loss", 1.0 / (step + 1) as f64, step)?;
/// }
/// let layer = nn::Linear::new(28 * 28, 10);
/// writer.add_histogram("weight", &layer.weight.get(), 0)?;
/// writer.add_image("filters", &layer.weight.get().reshape([10, 28, 28]).slice(0, 0, 1), 0)?;
/// writer.add_graph(&layer, &Tensor::zeros(&[1, 28 * 28]))?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone)]
pub struct SummaryWriter(Arc<Mutex<Inner>>);

struct Inner {
    dir: PathBuf,
    file: EventFile,
    /// Folders of their own, by name, for lines that share a chart.
    beside: BTreeMap<String, EventFile>,
}

impl SummaryWriter {
    /// A new file in this folder, which is a run for TensorBoard. PyTorch's default is `runs/DATE_HOST`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        let file = EventFile::create(&dir)?;
        Ok(SummaryWriter(Arc::new(Mutex::new(Inner { dir, file, beside: BTreeMap::new() }))))
    }

    /// Goes on with a run: TensorBoard hides what an earlier file has of this step and later ones. PyTorch's `purge_step`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn with_purge_step(dir: impl AsRef<Path>, step: u64) -> Result<Self> {
        let writer = Self::new(dir)?;
        writer.purge(step)?;
        Ok(writer)
    }

    pub(super) fn purge(&self, step: u64) -> Result<()> {
        self.write(step, What::SessionLog(SessionLog::START))
    }

    /// The folder.
    pub fn log_dir(&self) -> PathBuf {
        self.inner().dir.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, step: u64, what: What) -> Result<()> {
        self.inner().file.write(step, what)
    }

    fn value(&self, tag: &str, content: Content, metadata: Option<Metadata>, step: u64) -> Result<()> {
        let value = Value { tag: tag.into(), metadata, content: Some(content) };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    /// A number.
    ///
    /// # Errors
    /// When it is no single number or can't be read or written.
    pub fn add_scalar(&self, tag: &str, value: impl Into<LogValue>, step: u64) -> Result<()> {
        self.add_numbers(&[(tag.to_string(), value.into().read()?)], step)
    }

    /// Several numbers.
    pub(super) fn add_numbers(&self, values: &[(String, f64)], step: u64) -> Result<()> {
        let value = values.iter().map(|(tag, value)| Value::number(tag, *value)).collect();
        self.write(step, What::Summary(Summary { value }))
    }

    /// Numbers that share a chart. Each has a run of its own, in a folder beside the file.
    ///
    /// # Errors
    /// As [`SummaryWriter::add_scalar`].
    pub fn add_scalars(&self, main_tag: &str, values: &[(&str, f64)], step: u64) -> Result<()> {
        let mut guard = self.inner();
        let inner = &mut *guard;
        for (tag, value) in values {
            let name = format!("{}_{tag}", main_tag.replace('/', "_"));
            if !inner.beside.contains_key(&name) {
                let file = EventFile::create(&inner.dir.join(&name))?;
                inner.beside.insert(name.clone(), file);
            }
            let value = Value::number(main_tag, *value);
            let file = inner.beside.get_mut(&name).expect("it is there by now");
            file.write(step, What::Summary(Summary { value: vec![value] }))?;
        }
        Ok(())
    }

    /// A picture `[channels, height, width]` with 1, 3 or 4 channels, or `[height, width]`.
    ///
    /// # Errors
    /// When the shape is another, or the pixels can't be read or the file not written.
    pub fn add_image(&self, tag: &str, image: impl Into<Picture>, step: u64) -> Result<()> {
        self.value(tag, Content::Image(image.into().single("add_image")?), None, step)
    }

    /// Pictures `[n, channels, height, width]` on one sheet, eight in a row.
    ///
    /// # Errors
    /// As [`SummaryWriter::add_image`].
    pub fn add_images(&self, tag: &str, images: impl Into<Picture>, step: u64) -> Result<()> {
        self.value(tag, Content::Image(images.into().sheet("add_images")?), None, step)
    }

    /// The distribution of a tensor's elements, in TensorFlow's buckets. NaN and infinities are left out.
    ///
    /// # Errors
    /// When there is no finite element, or they can't be read or the file not written.
    pub fn add_histogram(&self, tag: &str, values: &Tensor, step: u64) -> Result<()> {
        let histogram = histogram::histogram(tag, &values.to_vec::<f64>()?)?;
        self.value(tag, Content::Histogram(histogram), None, step)
    }

    /// A text; Markdown is shown as such.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn add_text(&self, tag: &str, text: &str, step: u64) -> Result<()> {
        let plugin_data = Some(PluginData { plugin_name: "text".into(), content: Vec::new() });
        let content = Content::Tensor(TensorProto::text(text));
        self.value(&format!("{tag}/text_summary"), content, Some(Metadata { plugin_data }), step)
    }

    /// The operations of the model's forward pass on this input; see [`Graph`].
    ///
    /// # Errors
    /// When it can't be written.
    ///
    /// # Panics
    /// When the model does not take the input.
    #[track_caller]
    pub fn add_graph<M: Forward<In>, In: 'static>(&self, model: &M, input: &In) -> Result<()> {
        self.write(0, graph::event(&Graph::of(model, input)))
    }

    /// Hyper-parameters and what came of them: a line in TensorBoard's table, as a run `name` below this one.
    ///
    /// TensorBoard takes the table's columns from one run, so that all runs of a folder should have the same names.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn add_hparams(&self, hparams: &HParams, metrics: &[(&str, f64)], name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::argument("add_hparams", "the run has no name"));
        }
        let writer = SummaryWriter::new(self.log_dir().join(name))?;
        for what in [hparams::experiment(hparams, metrics), hparams::session_start(hparams), hparams::session_end(true)]
        {
            writer.write(0, what)?;
        }
        metrics.iter().try_for_each(|(tag, value)| writer.add_scalar(tag, *value, 0))
    }

    /// Waits until everything is on the disk. The system keeps what a killed program has written; this is for a failing
    /// machine.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> Result<()> {
        let mut inner = self.inner();
        inner.file.flush()?;
        inner.beside.values_mut().try_for_each(EventFile::flush)
    }
}
