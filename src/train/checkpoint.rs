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
        let means: Vec<Json> = self
            .means
            .iter()
            .map(|mean| {
                json!([mean.name, bits_to_json(mean.sum), bits_to_json(mean.weight), mean.on_device, mean.on_step])
            })
            .collect();
        let metrics: BTreeMap<_, _> = self.metrics.iter().map(|(name, value)| (name, bits_to_json(*value))).collect();
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
        let damaged = |name: &str| wrong(&format!("`{name}` is damaged"));
        let number = |name: &str| json[name].as_u64().ok_or_else(|| damaged(name));
        let wide = |name: &str| json[name].as_str().and_then(|text| text.parse().ok()).ok_or_else(|| damaged(name));
        let object = |name: &str| json[name].as_object().ok_or_else(|| damaged(name));
        let mean = |row: &Json| {
            Some(SavedMean {
                name: text(&row[0])?,
                sum: bits_from_json(&row[1])?,
                weight: bits_from_json(&row[2])?,
                on_device: row[3].as_bool()?,
                on_step: row[4].as_bool()?,
            })
        };
        let metric = |(name, value): (&String, &Json)| Some((name.clone(), bits_from_json(value)?));
        let scaler = match &json["scaler"] {
            Json::Null => None,
            state => Some(scaler_from_json(state).ok_or_else(|| damaged("scaler"))?),
        };
        let validated_at = (json["validated_at"][0].as_u64(), json["validated_at"][1].as_u64());
        let (Some(epoch), Some(batch)) = validated_at else { return Err(damaged("validated_at")) };
        Ok(Checkpoint {
            module: part("module."),
            optimizer: OptimizerState {
                optimizer: text(&json["optimizer"]).ok_or_else(|| damaged("optimizer"))?,
                groups: OptimizerState::groups_from_json(&json["param_groups"]).map_err(|e| wrong(&e))?,
                tensors: part("optimizer."),
            },
            scaler,
            schedule: json["schedule"].clone(),
            position: Position {
                epoch: number("epoch")?,
                batch: number("batch")? as usize,
                global_step: number("global_step")?,
            },
            random: RandomState { seed: wide("seed")?, counter: wide("random")? },
            means: list(&json["means"], mean).ok_or_else(|| damaged("means"))?,
            metric_states: part("metric."),
            metrics: object("metrics")?.iter().map(metric).collect::<Option<_>>().ok_or_else(|| damaged("metrics"))?,
            logged: list(&json["logged"], Json::as_u64).ok_or_else(|| damaged("logged"))?,
            validated: list(&json["validated"], text).ok_or_else(|| damaged("validated"))?,
            validated_at: (epoch, batch as usize),
            callbacks: object("callbacks")?.iter().map(|(name, state)| (name.clone(), state.clone())).collect(),
        })
    }
}

/// A list whose entries are all understood.
fn list<T, C: FromIterator<T>>(json: &Json, read: impl Fn(&Json) -> Option<T>) -> Option<C> {
    json.as_array()?.iter().map(read).collect()
}

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::to_string)
}

/// NaN and infinities have no place in JSON: numbers go as their bits.
pub(super) fn bits_to_json(x: f64) -> Json {
    json!(format!("{:016x}", x.to_bits()))
}

pub(super) fn bits_from_json(json: &Json) -> Option<f64> {
    u64::from_str_radix(json.as_str()?, 16).ok().map(f64::from_bits)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let mean = SavedMean { name: "loss".into(), sum: f64::INFINITY, weight: 0.1, on_device: true, on_step: false };
        Checkpoint {
            module: StateDict::new(),
            optimizer: OptimizerState { optimizer: "SGD".into(), groups: Vec::new(), tensors: StateDict::new() },
            scaler: Some(crate::amp::GradScaler::new().state_dict().unwrap()),
            schedule: Json::Null,
            position: Position { epoch: 1, batch: 2, global_step: 3 },
            random: RandomState { seed: u64::MAX, counter: 5 },
            means: vec![mean],
            metric_states: StateDict::new(),
            metrics: [("loss".to_string(), f64::NAN)].into(),
            validated: ["val_loss".to_string()].into(),
            validated_at: (1, 2),
            logged: vec![7],
            callbacks: BTreeMap::new(),
        }
    }

    #[test]
    fn what_json_has_not_comes_back() {
        let (dir, device) = (tempfile::tempdir().unwrap(), Device::reference());
        let path = dir.path().join("some.ckpt");
        checkpoint().save(&path).unwrap();
        let loaded = Checkpoint::load(&path, &device).unwrap();
        assert!(loaded.metrics["loss"].is_nan());
        assert_eq!((loaded.means[0].sum, loaded.means[0].weight), (f64::INFINITY, 0.1));
        assert_eq!((loaded.random, loaded.scaler), (checkpoint().random, checkpoint().scaler));
    }

    #[test]
    fn an_entry_that_is_not_understood_is_an_error() {
        let (dir, device) = (tempfile::tempdir().unwrap(), Device::reference());
        let path = dir.path().join("some.ckpt");
        checkpoint().save(&path).unwrap();
        let (tensors, metadata) = io::read_checked(&path, &device).unwrap();
        let whole: Json = serde_json::from_str(&metadata["checkpoint"]).unwrap();
        let half = &whole["means"][0][1];
        for (name, odd) in [
            ("optimizer", json!(1)),
            ("scaler", json!({"scale": 65536.0})),
            ("epoch", json!("1")),
            ("random", json!("-1")),
            ("means", json!([["loss", half, half, true]])),
            ("means", json!([["loss", 0.5, half, true, true]])),
            ("metrics", json!({"loss": 0.5})),
            ("logged", Json::Null),
            ("logged", json!([-1])),
            ("validated", json!(["val_loss", 1])),
            ("validated_at", json!([1])),
            ("callbacks", json!([])),
        ] {
            let mut rest = whole.clone();
            rest[name] = odd;
            io::write_checked(&tensors, [("checkpoint".to_string(), rest.to_string())].into(), &path).unwrap();
            let error = Checkpoint::load(&path, &device).expect_err(name).to_string();
            assert!(error.contains("some.ckpt") && error.contains(&format!("`{name}` is damaged")), "{error}");
        }
    }
}
