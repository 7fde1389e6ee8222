//! Everything that a training needs to go on, in one file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::precision::{scaler_from_json, scaler_to_json};
use crate::amp::GradScalerState;
use crate::engine::RandomState;
use crate::io;
use crate::nn::StateDict;
use crate::optim::OptimizerState;
use crate::{Device, Error, Result};

/// Where a training is: what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub epoch: u64,
    /// Batches of the epoch that are done.
    pub batch: usize,
    pub global_step: u64,
}

/// A sum over the batches so far.
#[derive(Clone, Debug)]
pub(super) struct SavedMean {
    pub name: String,
    pub sum: f64,
    pub weight: f64,
    pub on_device: bool,
    pub on_step: bool,
}

/// The state of a training: module, optimiser, schedule, random numbers, callbacks, and the place in the data.
///
/// In the file, which is in the safetensors format, the module's tensors are `module.NAME`, the optimiser's
/// `optimizer.NAME` and what metrics hold `metric.NAME.NUMBER`; all else is JSON in its metadata, with a checksum of
/// everything. It is written beside its place and put there in one step, so that a kill or a full disk leaves what
/// was there before.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The module's parameters and buffers.
    pub module: StateDict,
    /// The optimiser's state.
    pub optimizer: OptimizerState,
    /// The scaler's state, of a training in f16.
    pub scaler: Option<GradScalerState>,
    pub(super) schedule: Json,
    pub(super) position: Position,
    pub(super) random: RandomState,
    pub(super) means: Vec<SavedMean>,
    pub(super) metric_states: StateDict,
    pub(super) metrics: BTreeMap<String, f64>,
    /// Those of them that come from validations.
    pub(super) validated: BTreeSet<String>,
    /// Epoch and batch of the last validation.
    pub(super) validated_at: (u64, usize),
    /// How many entries each logger had.
    pub(super) logged: Vec<u64>,
    pub(super) callbacks: BTreeMap<String, Json>,
}

/// The version of the file's form.
const FORMAT: u64 = 2;

impl Checkpoint {
    /// The epoch that comes next, or is in progress.
    pub fn epoch(&self) -> u64 {
        self.position.epoch
    }

    /// Updates so far.
    pub fn global_step(&self) -> u64 {
        self.position.global_step
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When a tensor can't be read from its device or the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut tensors = StateDict::new();
        self.module.iter().for_each(|(name, t)| tensors.insert(format!("module.{name}"), t.clone()));
        self.optimizer.tensors.iter().for_each(|(name, t)| tensors.insert(format!("optimizer.{name}"), t.clone()));
        self.metric_states.iter().for_each(|(name, t)| tensors.insert(format!("metric.{name}"), t.clone()));
        // NaN and infinities have no place in JSON: numbers go as their bits.
        let bits = |x: f64| json!(format!("{:016x}", x.to_bits()));
        let means: Vec<Json> = self
            .means
            .iter()
            .map(|mean| json!([mean.name, bits(mean.sum), bits(mean.weight), mean.on_device, mean.on_step]))
            .collect();
        let metrics: BTreeMap<_, _> = self.metrics.iter().map(|(name, value)| (name, bits(*value))).collect();
        let rest = json!({
            "format": FORMAT,
            "optimizer": self.optimizer.optimizer,
            "param_groups": self.optimizer.groups_to_json(),
            "scaler": self.scaler.as_ref().map(scaler_to_json),
            "schedule": self.schedule,
            "epoch": self.position.epoch,
            "batch": self.position.batch,
            "global_step": self.position.global_step,
            // As text: 64 bits do not fit every reader's numbers.
            "seed": self.random.seed.to_string(),
            "random": self.random.counter.to_string(),
            "means": means,
            "metrics": metrics,
            "logged": self.logged,
            "validated": self.validated,
            "validated_at": self.validated_at,
            "callbacks": self.callbacks,
        });
        io::write_checked(&tensors, [("checkpoint".to_string(), rest.to_string())].into(), path.as_ref())
    }

    /// The checkpoint of a folder (`*.ckpt`) that is furthest in its training, to go on from.
    ///
    /// Damaged ones are passed over with a warning: each costs only the steps since the one before. Nothing when the
    /// folder has none, or is not there.
    ///
    /// # Errors
    /// When the folder can't be read, or none of its checkpoints can.
    ///
    /// ```
    /// use lumigrad::train::{Checkpoint, Trainer};
    ///
    /// let mut trainer = Trainer::new().max_epochs(10);
    /// if let Some(path) = Checkpoint::latest("out/checkpoints")? {
    ///     trainer = trainer.resume(path);
    /// }
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn latest(dir: impl AsRef<Path>) -> Result<Option<PathBuf>> {
        let dir = dir.as_ref();
        let entries = match std::fs::read_dir(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(|e| Error::file(dir, e))?,
        };
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = entry.map_err(|e| Error::file(dir, e))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden || path.extension().is_none_or(|e| e != "ckpt") {
                continue;
            }
            let step = io::read_metadata_checked(&path).and_then(|metadata| {
                let step = rest(&path, &metadata)?["global_step"].as_u64();
                step.ok_or_else(|| Error::format(&path, format!("{NOT_ONE}: `global_step` is no number")))
            });
            match step {
                // Of those of one step, the last has seen the most of it.
                Ok(step) => good.push((step, path.ends_with("last.ckpt"), path)),
                Err(e) => {
                    log::warn!("{e}; an older checkpoint is looked for");
                    bad.push(e);
                }
            }
        }
        match (good.into_iter().max(), bad.into_iter().next()) {
            (Some((_, _, path)), _) => Ok(Some(path)),
            (None, Some(first)) => Err(first),
            (None, None) => Ok(None),
        }
    }

    /// Reads a file; its tensors come to a device.
    ///
    /// # Errors
    /// When the file can't be read, is damaged, or is no checkpoint.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        let (tensors, metadata) = io::read_checked(path, device)?;
        let wrong = |detail: &str| Error::format(path, format!("{NOT_ONE}: {detail}"));
        let json = rest(path, &metadata)?;
        let part = |prefix: &str| -> StateDict {
            let strip = |(name, t): (&str, &crate::Tensor)| Some((name.strip_prefix(prefix)?.to_string(), t.clone()));
            tensors.iter().filter_map(strip).collect()
        };
        let number = |name: &str| json[name].as_u64().ok_or_else(|| wrong(&format!("`{name}` is no number")));
        let wide = |name: &str| {
            let parsed = json[name].as_str().and_then(|text| text.parse::<u64>().ok());
            parsed.ok_or_else(|| wrong(&format!("`{name}` is no number")))
        };
        let bits = |value: &Json| u64::from_str_radix(value.as_str()?, 16).ok().map(f64::from_bits);
        let mean = |row: &Json| {
            Some(SavedMean {
                name: row[0].as_str()?.to_string(),
                sum: bits(&row[1])?,
                weight: bits(&row[2])?,
                on_device: row[3].as_bool()?,
                // Not in older files.
                on_step: row[4].as_bool().unwrap_or(true),
            })
        };
        let whole = |value: &Json| value.as_u64().unwrap_or(0);
        let text = |value: &Json| value.as_str().map(str::to_string);
        let rows = json["means"].as_array().ok_or_else(|| wrong("`means` is no list"))?;
        let entries = json["metrics"].as_object().ok_or_else(|| wrong("`metrics` is no object"))?;
        let metrics = entries.iter().map(|(name, value)| Some((name.clone(), bits(value)?))).collect::<Option<_>>();
        let callbacks = json["callbacks"].as_object().ok_or_else(|| wrong("`callbacks` is no object"))?;
        Ok(Checkpoint {
            module: part("module."),
            optimizer: OptimizerState {
                optimizer: json["optimizer"].as_str().unwrap_or_default().to_string(),
                groups: OptimizerState::groups_from_json(&json["param_groups"]).map_err(|e| wrong(&e))?,
                tensors: part("optimizer."),
            },
            // Not in older files.
            scaler: scaler_from_json(&json["scaler"]),
            schedule: json["schedule"].clone(),
            position: Position {
                epoch: number("epoch")?,
                batch: number("batch")? as usize,
                global_step: number("global_step")?,
            },
            random: RandomState { seed: wide("seed")?, counter: wide("random")? },
            means: rows.iter().map(mean).collect::<Option<_>>().ok_or_else(|| wrong("`means` is damaged"))?,
            metric_states: part("metric."),
            metrics: metrics.ok_or_else(|| wrong("`metrics` is damaged"))?,
            // Not in older files.
            logged: json["logged"].as_array().into_iter().flatten().filter_map(Json::as_u64).collect(),
            validated: json["validated"].as_array().into_iter().flatten().filter_map(text).collect(),
            validated_at: (whole(&json["validated_at"][0]), whole(&json["validated_at"][1]) as usize),
            callbacks: callbacks.iter().map(|(name, state)| (name.clone(), state.clone())).collect(),
        })
    }
}

/// How a file begins its excuse.
const NOT_ONE: &str = "is no checkpoint that can be read";

/// What is not tensors, if it is of this version.
fn rest(path: &Path, metadata: &HashMap<String, String>) -> Result<Json> {
    let wrong = |detail: &str| Error::format(path, format!("{NOT_ONE}: {detail}"));
    let text = metadata.get("checkpoint").ok_or_else(|| wrong("its metadata has no `checkpoint`"))?;
    let json: Json = serde_json::from_str(text).map_err(|e| wrong(&e.to_string()))?;
    if json["format"] != FORMAT {
        return Err(wrong(&format!("its form is {}, this version reads {FORMAT}", json["format"])));
    }
    Ok(json)
}
