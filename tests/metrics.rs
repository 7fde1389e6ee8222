//! Metrics held to torchmetrics' values on both bodies, batch by batch; what they refuse, and how a trainer logs them.

use lumigrad::data::{DataLoader, synthetic};
use lumigrad::engine::GpuOptions;
use lumigrad::metrics::*;
use lumigrad::nn;
use lumigrad::optim::Adam;
use lumigrad::prelude::*;
use lumigrad::train::*;
use serde_json::Value as Json;

/// Devices of the caller's own: tests run side by side.
fn devices() -> Vec<Device> {
    let required = std::env::var("LUMIGRAD_REQUIRE_GPU").is_ok_and(|v| v == "1");
    let gpu = Device::gpu_with(None, &GpuOptions::default());
    assert!(gpu.is_ok() || !required, "{}", gpu.unwrap_err());
    [Some(Device::new_reference(true)), gpu.ok()].into_iter().flatten().collect()
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The batches of a recorded case: predictions and labels, or targets.
fn batches(case: &Json, device: &Device) -> Vec<(Tensor, Tensor)> {
    let regression = case["name"].as_str().unwrap().starts_with("regression");
    let tensor = |values: &Json, shape: &Json, floats: bool| {
        let shape: Vec<usize> = numbers(shape).iter().map(|&x| x as usize).collect();
        match floats {
            true => Tensor::from_slice_on(&numbers(values), &shape, device),
            false => {
                let whole: Vec<i32> = numbers(values).iter().map(|&x| x as i32).collect();
                Tensor::from_slice_on(&whole, &shape, device)
            }
        }
    };
    let batch = |row: &Json| {
        let preds = tensor(&row["preds"], &row["shape"], row["scores"].as_bool().unwrap());
        (preds, tensor(&row["target"], &row["target_shape"], regression))
    };
    case["batches"].as_array().unwrap().iter().map(batch).collect()
}

/// What a case needs to know to make its metrics.
struct Case {
    classes: Option<usize>,
    ignore_index: Option<i64>,
    threshold: f64,
}

impl Case {
    fn of(name: &str) -> Case {
        let classes = match name {
            "multiclass" => Some(5),
            "probabilities" => Some(4),
            "holes" | "holes_scores" => Some(6),
            "ignored" | "ignored_class" | "pictures" => Some(3),
            _ => None,
        };
        let ignore_index = match name {
            "ignored" | "binary_ignored" => Some(-1),
            "ignored_class" => Some(1),
            "perplexity_ignored" => Some(-100),
            _ => None,
        };
        Case { classes, ignore_index, threshold: if name == "binary_logits" { 0.3 } else { 0.5 } }
    }
}

fn run<M: Metric>(metric: M, batches: &[(Tensor, Tensor)]) -> M {
    batches.iter().for_each(|(preds, target)| metric.update(preds, target).unwrap());
    metric
}

/// The value that is recorded under `label`.
fn value(label: &str, case: &Case, batches: &[(Tensor, Tensor)]) -> Vec<f64> {
    let parts: Vec<&str> = label.split('.').collect();
    let average = match parts.get(1) {
        Some(&"macro") => Average::Macro,
        Some(&"weighted") => Average::Weighted,
        _ => Average::Micro,
    };
    macro_rules! made {
        ($metric:ident, $with:expr) => {{
            let mut metric = match case.classes {
                Some(classes) => $metric::new(classes).average(average),
                None => $metric::binary().threshold(case.threshold),
            };
            if let Some(label) = case.ignore_index {
                metric = metric.ignore_index(label);
            }
            let metric = run($with(metric), batches);
            if parts[1] == "none" { metric.per_class().unwrap() } else { vec![metric.compute().unwrap()] }
        }};
    }
    let one = parts.get(2) == Some(&"one");
    match parts[0] {
        "accuracy" if parts.get(2) == Some(&"top2") => made!(Accuracy, |m: Accuracy| m.top_k(2)),
        "accuracy" => made!(Accuracy, |m| m),
        "precision" => made!(Precision, |m: Precision| if one { m.zero_division(1.0) } else { m }),
        "recall" => made!(Recall, |m: Recall| if one { m.zero_division(1.0) } else { m }),
        "f1" => made!(F1Score, |m: F1Score| if one { m.zero_division(1.0) } else { m }),
        "auroc" => {
            let mut metric = case.classes.map_or_else(Auroc::binary, Auroc::new);
            if average != Average::Micro {
                metric = metric.average(average);
            }
            if let Some(label) = case.ignore_index {
                metric = metric.ignore_index(label);
            }
            let metric = run(metric, batches);
            if parts[1] == "none" { metric.per_class().unwrap() } else { vec![metric.compute().unwrap()] }
        }
        "confusion" => {
            let mut metric = match case.classes {
                Some(classes) => ConfusionMatrix::new(classes),
                None => ConfusionMatrix::binary().threshold(case.threshold),
            };
            if let Some(label) = case.ignore_index {
                metric = metric.ignore_index(label);
            }
            let confusion = run(metric, batches).compute().unwrap();
            let by = |by| confusion.normalized(by).concat();
            match parts.get(1) {
                None => confusion.rows().concat().iter().map(|&count| count as f64).collect(),
                Some(&"true") => by(Normalize::True),
                Some(&"pred") => by(Normalize::Pred),
                _ => by(Normalize::All),
            }
        }
        "mse" => vec![run(MeanSquaredError::new(), batches).compute().unwrap()],
        "rmse" => vec![run(MeanSquaredError::new().squared(false), batches).compute().unwrap()],
        "mae" => vec![run(MeanAbsoluteError::new(), batches).compute().unwrap()],
        "perplexity" => {
            let metric = Perplexity::new();
            let metric = case.ignore_index.map_or(metric.clone(), |label| metric.ignore_index(label));
            vec![run(metric, batches).compute().unwrap()]
        }
        other => panic!("{other} is recorded and not tested"),
    }
}

#[test]
fn values_are_those_of_torchmetrics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/data/metrics.json");
    let cases: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut checked = 0;
    for device in devices() {
        for recorded in &cases {
            let name = recorded["name"].as_str().unwrap();
            let (case, batches) = (Case::of(name), batches(recorded, &device));
            for (label, expected) in recorded["values"].as_object().unwrap() {
                let expected = match expected {
                    Json::Array(rows) if rows[0].is_array() => rows.iter().flat_map(numbers).collect(),
                    Json::Array(_) => numbers(expected),
                    number => vec![number.as_f64().unwrap()],
                };
                let got = value(label, &case, &batches);
                // torchmetrics computes in f32.
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
                let agree = got.len() == expected.len() && got.iter().zip(&expected).all(near);
                assert!(agree, "{name}, {label} on {device}: {got:?}, torchmetrics has {expected:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "{checked}");
}

#[test]
fn an_update_reads_nothing() {
    let Some(device) = devices().into_iter().find(|d| !d.is_reference()) else { return };
    let logits = Tensor::from_slice_on(&[0.1f32, 0.9, 0.8, 0.2], &[2, 2], &device);
    let labels = Tensor::from_slice_on(&[1, 1], &[2], &device);
    let (accuracy, f1, confusion, auroc) = (Accuracy::new(2), F1Score::new(2), ConfusionMatrix::new(2), Auroc::new(2));
    let before = device.counters();
    for _ in 0..3 {
        accuracy.update(&logits, &labels).unwrap();
        f1.update(&logits, &labels).unwrap();
        confusion.update(&logits, &labels).unwrap();
        auroc.update(&logits, &labels).unwrap();
    }
    assert_eq!(device.counters().read_backs, before.read_backs);
    assert_eq!((accuracy.compute().unwrap(), confusion.compute().unwrap().count(1, 0)), (0.5, 3));
    assert!(device.counters().read_backs > before.read_backs);
}

#[test]
fn a_reset_metric_begins_anew() {
    for device in devices() {
        let confusion = ConfusionMatrix::new(2);
        let class = |k: i32| Tensor::from_slice_on(&[k], &[1], &device);
        confusion.update(&class(0), &class(1)).unwrap();
        confusion.reset();
        assert!(confusion.compute().unwrap_err().to_string().contains("before any update"));
        confusion.clone().update(&class(1), &class(1)).unwrap();
        assert_eq!(confusion.compute().unwrap().rows(), [[0, 0], [0, 1]], "a clone is the same metric");
        assert_eq!(confusion.compute().unwrap().to_string(), "0 0\n0 1");
    }
}

#[test]
fn batches_without_samples_count_for_nothing() {
    for device in devices() {
        let (scores, labels) =
            (Tensor::full_on(&[0, 3], 0.0, DType::F32, &device), Tensor::full_on(&[0], 0.0, DType::I32, &device));
        let (accuracy, auroc) = (Accuracy::new(3), Auroc::new(3));
        accuracy.update(&scores, &labels).unwrap();
        auroc.update(&scores, &labels).unwrap();
        assert_eq!((accuracy.compute().unwrap(), auroc.compute().unwrap()), (0.0, 0.0));
        let confusion = run(ConfusionMatrix::new(3), &[(scores.clone(), labels.clone())]);
        assert_eq!(confusion.compute().unwrap().total(), 0);
        let mse = run(MeanSquaredError::new(), &[(scores.clone(), scores)]);
        assert!(mse.compute().unwrap().is_nan());
    }
}

/// An error of an update, or of what is read after it.
fn refused<M: Metric>(metric: M, preds: &Tensor, target: &Tensor) -> String {
    let error = metric.update(preds, target).err().or_else(|| metric.compute().err());
    error.expect("it must be refused").to_string()
}

#[test]
fn what_does_not_fit_is_refused() {
    for device in devices() {
        let scores = Tensor::full_on(&[4, 3], 0.5, DType::F32, &device);
        let labels = |values: &[i32]| Tensor::from_slice_on(values, &[values.len()], &device);
        let fine = labels(&[0, 1, 2, 0]);
        let e = refused(Accuracy::new(5), &scores, &fine);
        assert!(e.contains("Accuracy") && e.contains("[4, 3]") && e.contains("[samples, 5, …]"), "{e}");
        let e = refused(ConfusionMatrix::new(3), &scores, &labels(&[0, 1]));
        assert!(e.contains("ConfusionMatrix") && e.contains("[2]"), "{e}");
        let e = refused(F1Score::new(3), &scores, &Tensor::full_on(&[4], 0.0, DType::F32, &device));
        assert!(e.contains("labels are whole numbers, not f32"), "{e}");
        let e = refused(Accuracy::binary(), &scores, &fine);
        assert!(e.contains("one score for each label"), "{e}");
        let e = refused(Accuracy::new(3).top_k(2), &fine, &fine);
        assert!(e.contains("top_k takes scores"), "{e}");
        let e = refused(MeanAbsoluteError::new(), &scores, &fine);
        assert!(e.contains("MeanAbsoluteError") && e.contains("[4, 3]") && e.contains("[4]"), "{e}");
        let e = refused(Perplexity::new(), &scores, &labels(&[0]));
        assert!(e.contains("Perplexity") && e.contains("[4, 3]"), "{e}");
        let e = refused(Auroc::new(3), &fine, &fine);
        assert!(e.contains("Auroc") && e.contains("i32"), "{e}");
    }
}

#[test]
fn labels_out_of_range_are_errors_that_name_the_line() {
    for device in devices() {
        let scores = Tensor::full_on(&[4, 3], 0.5, DType::F32, &device);
        for bad in [3, -1, 100] {
            let labels = Tensor::from_slice_on(&[0, bad, 2, 0], &[4], &device);
            let fine = Tensor::from_slice_on(&[0, 1, 2, 0], &[4], &device);
            let messages = [
                refused(Accuracy::new(3), &scores, &labels),
                refused(Recall::new(3), &labels, &fine),
                refused(ConfusionMatrix::new(3), &scores, &labels),
                refused(ConfusionMatrix::new(3), &labels, &fine),
                refused(Perplexity::new(), &scores, &labels),
            ];
            for e in messages {
                assert!(e.contains(&format!("index {bad} is out of range (expected 0 to 2)")), "{e}");
                assert!(e.contains("tests/metrics.rs"), "{e}");
            }
            let e = refused(Auroc::new(3), &scores, &labels);
            assert!(e.contains(&format!("label {bad}")), "{e}");
        }
    }
}

#[derive(Module)]
struct Lit {
    layer: nn::Linear,
    train_f1: F1Score,
    train_auroc: Auroc,
    train_mse: MeanSquaredError,
    val_f1: F1Score,
}

impl Lit {
    fn new(device: &Device) -> Lit {
        device.manual_seed(1);
        let f1 = || F1Score::new(2).average(Average::Macro);
        let layer = device.scope(|| nn::Linear::new(2, 2));
        Lit { layer, train_f1: f1(), train_auroc: Auroc::new(2), train_mse: MeanSquaredError::new(), val_f1: f1() }
    }
}

impl LightningModule for Lit {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let outputs = self.layer.call(&batch["x"]);
        self.train_f1.update(&outputs, &batch["y"])?;
        self.train_auroc.update(&outputs, &batch["y"])?;
        self.train_mse.update(&outputs, &(&outputs * 0.5).detach())?;
        log.log("train_f1", &self.train_f1);
        log.log("train_auroc", &self.train_auroc);
        log.log("train_mse", &self.train_mse);
        Ok(outputs.cross_entropy(&batch["y"]))
    }

    fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        self.val_f1.update(&self.layer.call(&batch["x"]), &batch["y"])?;
        log.log("val_f1", &self.val_f1);
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Adam::new(self.parameters(), 0.01).into())
    }
}

fn data() -> (DataLoader, DataLoader) {
    let train = DataLoader::new(synthetic::moons(50, 0.1, 0)).batch_size(8).shuffle(true);
    (train, DataLoader::new(synthetic::moons(40, 0.1, 1)).batch_size(16))
}

#[test]
fn a_trainer_logs_the_metric_of_the_whole_epoch() {
    for device in devices() {
        let lit = Lit::new(&device);
        let mut trainer = Trainer::new().device(&device).progress(false).max_epochs(2).log_every_n_steps(1);
        trainer = trainer.callback(ThroughputMonitor::new(8));
        trainer.fit(&lit, &data()).unwrap();
        let rates = ["samples_per_second", "steps_per_second"].map(|name| trainer.metrics()[name]);
        assert!(rates[1] > 0.0 && rates[0] == 8.0 * rates[1], "{rates:?}");
        let direct = F1Score::new(2).average(Average::Macro);
        for batch in data().1.epoch(0) {
            let batch = TensorBatch::upload(&batch.unwrap(), &device).unwrap();
            direct.update(&lit.layer.call(&batch["x"]), &batch["y"]).unwrap();
        }
        assert_eq!(trainer.metrics()["val_f1"], direct.compute().unwrap());
        assert_eq!(trainer.validate(&lit, &data()).unwrap()["val_f1"], direct.compute().unwrap());
        assert!(lit.train_f1.compute().is_err(), "it is reset after each epoch");
        assert!(trainer.metrics().contains_key("train_f1") && !trainer.metrics().contains_key("train_f1_epoch"));
    }
}

#[test]
fn a_resumed_epoch_has_the_metrics_of_the_whole_one() {
    for device in devices() {
        let run = |trainer: Trainer| {
            let mut trainer = trainer.device(&device).progress(false);
            trainer.fit(&Lit::new(&device), &data()).unwrap();
            let names = ["train_f1", "train_auroc", "train_mse"];
            names.map(|name| trainer.metrics().get(name).copied().unwrap_or(f64::NAN).to_bits())
        };
        let whole = run(Trainer::new().max_epochs(1));
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = || ModelCheckpoint::new(dir.path());
        run(Trainer::new().max_epochs(1).max_steps(5).callback(checkpoint()));
        let resumed = run(Trainer::new().max_epochs(1).resume(checkpoint().last()));
        assert_eq!(resumed, whole);
        assert!(whole.iter().all(|bits| f64::from_bits(*bits).is_finite()));
    }
}
