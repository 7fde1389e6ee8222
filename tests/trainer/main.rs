//! The trainer: what it counts, logs, stops at, and that a training that was taken up again ends with the same bits.

mod options;

use std::path::Path;
use std::sync::atomic::Ordering;

use lumigrad::data::{ArrayDataset, DataLoader, HostArray, synthetic};
use lumigrad::engine::GpuOptions;
use lumigrad::nn;
use lumigrad::optim::lr_scheduler::{Schedule, StepLR};
use lumigrad::optim::{Adam, SGD};
use lumigrad::prelude::*;
use lumigrad::train::*;

#[derive(Module)]
struct Net {
    layers: nn::Sequential,
}

impl Net {
    fn new(device: &Device) -> Net {
        device.manual_seed(3);
        let layers = device.scope(|| {
            nn::Sequential::new()
                .add(nn::Linear::new(2, 8))
                .add(nn::BatchNorm1d::new(8))
                .add(nn::ReLU)
                .add(nn::Dropout::new(0.3))
                .add(nn::Linear::new(8, 2))
        });
        Net { layers }
    }

    fn bits(&self) -> Vec<(String, Vec<u32>)> {
        let bits = |t: &Tensor| t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
        self.state_dict().iter().map(|(name, t)| (name.to_string(), bits(t))).collect()
    }
}

impl LightningModule for Net {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let loss = self.layers.call(&batch["x"]).cross_entropy(&batch["y"]);
        log.log("train_loss", &loss);
        log.log("samples", batch.len() as f64);
        Ok(loss)
    }

    fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        log.log("val_loss", self.layers.call(&batch["x"]).cross_entropy(&batch["y"]));
        Ok(())
    }

    fn predict_step(&self, batch: &TensorBatch) -> Result<Tensor> {
        self.layers.call(&batch["x"]).try_argmax(Some(1), false)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let mut optimizer = Adam::new(self.parameters(), 0.02);
        let schedule = StepLR::new(2).gamma(0.5).on(&mut optimizer);
        Ok(Optimizers::new(optimizer).schedule(schedule, Interval::Epoch))
    }
}

fn moons() -> (DataLoader, DataLoader) {
    let train = DataLoader::new(synthetic::moons(100, 0.1, 0)).batch_size(16).shuffle(true).seed(5);
    (train, DataLoader::new(synthetic::moons(40, 0.1, 1)).batch_size(16))
}

/// Devices of the caller's own: tests run side by side, and a device's random numbers go on with every draw.
fn devices() -> Vec<Device> {
    let required = std::env::var("LUMIGRAD_REQUIRE_GPU").is_ok_and(|v| v == "1");
    let gpu = Device::gpu_with(None, &GpuOptions::default());
    assert!(gpu.is_ok() || !required, "{}", gpu.unwrap_err());
    [Some(Device::new_reference(true)), gpu.ok()].into_iter().flatten().collect()
}

fn trainer(device: &Device) -> Trainer {
    Trainer::new().device(device).progress(false)
}

#[test]
fn epochs_steps_and_metrics_are_counted() {
    for device in devices() {
        let net = Net::new(&device);
        let mut trainer = trainer(&device).max_epochs(3);
        trainer.fit(&net, &moons()).unwrap();
        assert_eq!((trainer.global_step(), trainer.current_epoch()), (21, 3));
        // 6 batches of 16 and one of 4: each sample counts the same.
        assert_eq!(trainer.metrics()["samples_epoch"], (96.0 * 16.0 + 4.0 * 4.0) / 100.0);
        let validated = trainer.validate(&net, &moons()).unwrap();
        assert_eq!(validated["val_loss"], trainer.metrics()["val_loss"]);
        assert!(validated["val_loss"] < 0.6, "{validated:?}");
        let predicted = trainer.predict(&net, &moons().1).unwrap();
        assert_eq!(predicted.iter().map(Tensor::numel).collect::<Vec<_>>(), [16, 16, 8]);
        assert!(trainer.test(&net, &moons()).is_err(), "the pair has no data to test on");
    }
}

/// Counts its steps on the host, and clips.
#[derive(Module)]
struct Counted {
    net: Net,
    #[module(skip)]
    steps: std::sync::atomic::AtomicUsize,
    /// Whether the step logs a number that changes.
    #[module(skip)]
    logs_number: bool,
}

impl LightningModule for Counted {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        if self.logs_number {
            log.log("step", step as f64);
        }
        self.net.training_step(batch, log)
    }

    fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        self.net.validation_step(batch, log)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let mut optimizer = Adam::new(self.parameters(), 0.02);
        let schedule = StepLR::new(3).gamma(0.9).on(&mut optimizer);
        Ok(Optimizers::new(optimizer).schedule(schedule, Interval::Step))
    }
}

#[test]
fn a_recorded_step_trains_as_without() {
    for device in devices() {
        let fit = |captures: bool| {
            let module = Counted { net: Net::new(&device), steps: Default::default(), logs_number: false };
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("log.jsonl");
            let trainer = trainer(&device).max_epochs(6).capture(captures).gradient_clip(Clip::Norm(0.5));
            let trainer = trainer.val_check_interval(3).log_every_n_steps(1);
            trainer.logger(JsonLinesLogger::new(&log).unwrap()).fit(&module, &moons()).unwrap();
            // Values of steps are written when they have arrived.
            let mut lines: Vec<String> = std::fs::read_to_string(log).unwrap().lines().map(str::to_string).collect();
            lines.sort();
            (module.net.bits(), lines, module.steps.into_inner())
        };
        let (plain, captured) = (fit(false), fit(true));
        assert_eq!(captured.0, plain.0);
        assert_eq!(captured.1, plain.1);
        // Three runs for the batches of 16, and three for those of 4.
        assert_eq!((plain.2, captured.2), (42, if device.is_reference() { 42 } else { 6 }));
    }
}

#[test]
fn a_recorded_step_refuses_what_would_stand_still() {
    for device in devices().into_iter().filter(|device| !device.is_reference()) {
        let module = Counted { net: Net::new(&device), steps: Default::default(), logs_number: true };
        let e = trainer(&device).max_epochs(2).capture(true).fit(&module, &moons()).unwrap_err();
        assert!(e.to_string().contains("\"step\" is a number of the host"), "{e}");
        let e = trainer(&device).capture(true).accumulate_grad_batches(2).fit(&module, &moons()).unwrap_err();
        assert!(e.to_string().contains("accumulate_grad_batches"), "{e}");
    }
}

#[test]
fn limits_end_a_run() {
    let device = Device::new_reference(true);
    let steps = |trainer: Trainer| {
        let mut trainer = trainer;
        trainer.fit(&Net::new(&device), &moons()).unwrap();
        trainer.global_step()
    };
    assert_eq!(steps(trainer(&device).max_steps(10)), 10);
    assert_eq!(steps(trainer(&device).max_epochs(2).limit_train_batches(3)), 6);
    assert_eq!(steps(trainer(&device).max_epochs(1).limit_train_batches(0.5)), 3);
    assert_eq!(steps(trainer(&device).fast_dev_run(1)), 1);
    assert_eq!(steps(trainer(&device).max_epochs(2).accumulate_grad_batches(3)), 6, "3 + 3 + 1 batches an epoch");
    let e = trainer(&device).limit_train_batches(0).fit(&Net::new(&device), &moons()).unwrap_err();
    assert!(e.to_string().contains("no training batch"), "{e}");
}

/// `y = w·x`, whose gradient is simple.
#[derive(Module)]
struct Line {
    w: Parameter,
}

impl LightningModule for Line {
    fn training_step(&self, batch: &TensorBatch, _: &mut Log) -> Result<Tensor> {
        Ok((self.w.get() * &batch["x"]).mean())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(SGD::new(self.parameters(), 1.0).into())
    }
}

#[test]
fn gradients_add_up_and_are_clipped() {
    let device = Device::new_reference(true);
    let data = || DataLoader::new(ArrayDataset::new([("x", HostArray::new(&[4], vec![1.0f32, 2.0, 3.0, 6.0]))]));
    let trained = |trainer: Trainer| {
        let line = device.scope(|| Line { w: Parameter::new(Tensor::scalar(0.0)) });
        let mut trainer = trainer;
        trainer.fit(&line, &data()).unwrap();
        line.w.get().item::<f64>().unwrap()
    };
    assert_eq!(trained(trainer(&device).max_epochs(1)), -12.0);
    // Means of two: (1 + 2)/2, then (3 + 6)/2.
    assert_eq!(trained(trainer(&device).max_epochs(1).accumulate_grad_batches(2)), -6.0);
    assert_eq!(trained(trainer(&device).max_epochs(1).gradient_clip(Clip::Value(2.0))), -7.0);
    let clipped = trained(trainer(&device).max_epochs(1).gradient_clip(Clip::Norm(0.5)));
    assert!((clipped + 2.0).abs() < 1e-5, "{clipped}");
}

/// Trains to the end; or stops after `stop` steps and goes on from the checkpoint with everything made anew.
fn train(device: &Device, dir: &Path, stop: Option<u64>) -> Vec<(String, Vec<u32>)> {
    let checkpoints = || ModelCheckpoint::new(dir).monitor("val_loss", Mode::Min, 2).every_n_train_steps(1);
    let run = |net: &Net, trainer: Trainer| {
        let mut trainer = trainer.callback(EarlyStopping::new("val_loss").patience(50)).callback(checkpoints());
        trainer.fit(net, &moons()).unwrap();
        trainer
    };
    if let Some(steps) = stop {
        let first = run(&Net::new(device), trainer(device).max_epochs(4).max_steps(steps));
        assert_eq!(first.global_step(), steps);
        let net = Net::new(device);
        device.manual_seed(999); // what a new process would have, for all it knows
        let second = run(&net, trainer(device).max_epochs(4).resume(dir.join("last.ckpt")));
        assert_eq!((second.global_step(), second.current_epoch()), (28, 4));
        return net.bits();
    }
    let net = Net::new(device);
    run(&net, trainer(device).max_epochs(4));
    net.bits()
}

#[test]
fn a_resumed_training_ends_with_the_same_bits() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let whole = train(&device, &dir.path().join("whole"), None);
        for stop in [1, 7, 10, 27] {
            let resumed = train(&device, &dir.path().join(stop.to_string()), Some(stop));
            assert_eq!(resumed, whole, "stopped after {stop} steps on {device}");
        }
    }
}

#[test]
fn the_best_checkpoints_are_kept() {
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    let net = Net::new(&device);
    let best = ModelCheckpoint::new(dir.path()).monitor("val_loss", Mode::Min, 2);
    let log = dir.path().join("log.csv");
    let mut trainer = trainer(&device).max_epochs(6).log_every_n_steps(3);
    trainer = trainer.callback(best).callback(LearningRateMonitor).logger(CsvLogger::new(&log).unwrap());
    trainer.fit(&net, &moons()).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names[0].starts_with("epoch=") && names[1].starts_with("epoch="), "{names:?}");
    assert_eq!(names[2..], ["last.ckpt", "log.csv", "previous.ckpt"]);

    // They are the two best of what was logged.
    let text = std::fs::read_to_string(&log).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    for name in ["epoch", "step", "lr", "train_loss", "train_loss_epoch", "val_loss"] {
        assert!(header.contains(&name), "{name} is not in {header:?}");
    }
    let column = header.iter().position(|name| *name == "val_loss").unwrap();
    let mut losses: Vec<f64> = rows.filter_map(|row| row[column].parse().ok()).collect();
    assert_eq!(losses.len(), 6);
    losses.sort_by(f64::total_cmp);
    for loss in &losses[..2] {
        assert!(names.iter().any(|name| name.contains(&format!("val_loss={loss:.4}"))), "{loss} of {names:?}");
    }
    let loaded = Checkpoint::load(dir.path().join(&names[0]), &device).unwrap();
    net.load_state_dict(&loaded.module).unwrap();
    let again = trainer.validate(&net, &moons()).unwrap()["val_loss"];
    assert!(names[0].contains(&format!("val_loss={again:.4}")), "{again} of {}", names[0]);
}

#[test]
fn early_stopping_waits_and_stops() {
    struct Worse(Net);
    impl Module for Worse {
        fn visit(&self, visitor: &mut nn::Visitor<'_>) {
            self.0.visit(visitor);
        }
    }
    impl LightningModule for Worse {
        fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
            self.0.training_step(batch, log)
        }
        fn validation_step(&self, _: &TensorBatch, log: &mut Log) -> Result<()> {
            log.log("val_loss", 1.0);
            Ok(())
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.0.configure_optimizers()
        }
    }
    let device = Device::new_reference(true);
    let mut trainer = trainer(&device).max_epochs(20).callback(EarlyStopping::new("val_loss").patience(3));
    trainer.fit(&Worse(Net::new(&device)), &moons()).unwrap();
    assert_eq!(trainer.current_epoch(), 4);
    let mut wrong =
        Trainer::new().device(&device).progress(false).max_epochs(1).callback(EarlyStopping::new("val_los"));
    let e = wrong.fit(&Net::new(&device), &moons()).unwrap_err().to_string();
    assert!(e.contains("\"val_los\"") && e.contains("\"val_loss\""), "{e}");
}

#[test]
fn an_interruption_ends_after_the_step_and_saves() {
    struct Interrupt(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Callback for Interrupt {
        fn name(&self) -> String {
            "Interrupt".into()
        }
        fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
            if moment == Moment::StepEnd && status.global_step == 9 {
                self.0.store(true, Ordering::Relaxed);
            }
            Ok(())
        }
    }
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    let trainer = trainer(&device).max_epochs(4);
    let handle = trainer.interrupt_handle();
    let mut trainer = trainer.callback(Interrupt(handle)).callback(ModelCheckpoint::new(dir.path()));
    trainer.fit(&Net::new(&device), &moons()).unwrap();
    assert!(trainer.was_interrupted());
    let saved = Checkpoint::load(dir.path().join("last.ckpt"), &device).unwrap();
    assert_eq!((saved.global_step(), saved.epoch()), (9, 1));
}

#[test]
fn every_damaged_checkpoint_is_refused() {
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&device).max_epochs(1).callback(ModelCheckpoint::new(dir.path()));
    trainer.fit(&Net::new(&device), &moons()).unwrap();
    let path = dir.path().join("last.ckpt");
    let good = std::fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::load(&path, &device)
    };
    assert!(load(&good).is_ok());
    for cut in [0, 7, 100, good.len() / 2, good.len() - 1] {
        let e = load(&good[..cut]).unwrap_err().to_string();
        assert!(e.contains("last.ckpt"), "{e}");
    }
    // Any one bit: of the lengths, of names and numbers in the header, of the tensors.
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        let e = load(&flipped).expect_err(&format!("byte {at} of {}", good.len())).to_string();
        assert!(e.contains("last.ckpt"), "{e}");
    }
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let e = load(&flipped).unwrap_err().to_string();
    assert!(e.contains("checksum"), "{e}");
    // Nothing of it was loaded into a module.
    let net = Net::new(&device);
    let before = net.bits();
    let mut again = Trainer::new().device(&device).progress(false).resume(&path);
    assert!(again.fit(&net, &moons()).is_err());
    assert_eq!(net.bits(), before);
}

#[test]
fn a_damaged_checkpoint_costs_only_itself() {
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Checkpoint::latest(dir.path().join("none")).unwrap(), None);
    assert_eq!(Checkpoint::latest(dir.path()).unwrap(), None);
    let train = |epochs, from: Option<&Path>| {
        let mut trainer = trainer(&device).max_epochs(epochs).callback(ModelCheckpoint::new(dir.path()));
        if let Some(path) = from {
            trainer = trainer.resume(path);
        }
        let net = Net::new(&device);
        trainer.fit(&net, &moons()).unwrap();
        net.bits()
    };
    let step = |path: &Path| Checkpoint::load(path, &device).unwrap().global_step();
    let (last, previous) = (dir.path().join("last.ckpt"), dir.path().join("previous.ckpt"));
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let whole = train(4, None);
    // The last of an epoch, and that of the end, which is the same.
    assert_eq!((step(&last), step(&previous)), (28, 28));
    train(3, None);
    std::fs::remove_file(&previous).unwrap();
    std::fs::copy(&last, dir.path().join("epoch=2.ckpt")).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "no checkpoint").unwrap();
    train(4, Some(&last));
    assert_eq!(Checkpoint::latest(dir.path()).unwrap().as_deref(), Some(last.as_path()));
    flip(&last);
    assert_eq!(Checkpoint::latest(dir.path()).unwrap().as_deref(), Some(previous.as_path()));
    // A file of a killed write does not count, and a damaged older one is passed over, too.
    std::fs::write(dir.path().join(".last.ckpt.1.tmp"), std::fs::read(&previous).unwrap()).unwrap();
    std::fs::write(&previous, b"").unwrap();
    let older = Checkpoint::latest(dir.path()).unwrap().unwrap();
    assert_eq!((older.file_name().unwrap().to_str(), step(&older)), (Some("epoch=2.ckpt"), 21));
    assert_eq!(train(4, Some(&older)), whole);
    assert_eq!(step(&last), 28);
    for name in ["last.ckpt", "previous.ckpt", "epoch=2.ckpt"] {
        flip(&dir.path().join(name));
    }
    let e = Checkpoint::latest(dir.path()).unwrap_err().to_string();
    assert!(e.contains(".ckpt: ") && e.contains("damaged"), "{e}");
}
