//! Options of the trainer: what is called when, what is looked at, what is kept.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lumigrad::nn;
use lumigrad::optim::SGD;
use lumigrad::optim::lr_scheduler::{PlateauMode, ReduceLROnPlateau};
use lumigrad::prelude::*;
use lumigrad::train::*;

use super::{Line, Net, devices, moons, trainer};

/// A net that keeps a list of what it was called for.
#[derive(Module)]
struct Watched {
    net: Net,
    #[module(skip)]
    events: Mutex<Vec<String>>,
    /// What each validation gives, the last one again and again.
    #[module(skip)]
    losses: Vec<f64>,
}

impl Watched {
    fn new(device: &Device, losses: &[f64]) -> Watched {
        Watched { net: Net::new(device), events: Mutex::default(), losses: losses.to_vec() }
    }

    fn note(&self, event: impl Into<String>) -> Result<()> {
        self.events.lock().unwrap().push(event.into());
        Ok(())
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    fn count(&self, event: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|e| *e == event).count()
    }
}

impl LightningModule for Watched {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        self.note(format!("step {} {}", log.current_epoch(), log.batch_idx()))?;
        self.net.training_step(batch, log)
    }
    fn validation_step(&self, _: &TensorBatch, log: &mut Log) -> Result<()> {
        if log.batch_idx() == 0 {
            self.note("validation_step")?;
        }
        Ok(())
    }
    fn configure_optimizers(&self) -> Result<Optimizers> {
        let optimizer = SGD::new(self.parameters(), 0.1);
        let plateau = ReduceLROnPlateau::new().mode(PlateauMode::Min).patience(1).factor(0.5);
        Ok(Optimizers::new(optimizer).reduce_on_plateau(plateau, "val_loss"))
    }
    fn on_fit_start(&self) -> Result<()> {
        self.note("fit_start")
    }
    fn on_fit_end(&self) -> Result<()> {
        self.note("fit_end")
    }
    fn on_train_epoch_start(&self, epoch: u64) -> Result<()> {
        self.note(format!("epoch_start {epoch}"))
    }
    fn on_train_epoch_end(&self, log: &mut Log) -> Result<()> {
        log.log_dict([("of_epoch", 7.0), ("other", 8.0)]);
        self.note("epoch_end")
    }
    fn on_before_optimizer_step(&self, log: &mut Log) -> Result<()> {
        let norm = self.parameters()[0].grad().expect("there are gradients").try_square()?.try_sum()?.try_sqrt()?;
        log.log("grad_norm", norm);
        self.note("before_update")
    }
    fn on_validation_epoch_end(&self, log: &mut Log) -> Result<()> {
        assert!(!self.parameters()[0].get().exp().is_requires_grad(), "a validation is not recorded");
        let validations = self.count("validation_end").min(self.losses.len() - 1);
        log.log("val_loss", self.losses[validations]);
        self.note("validation_end")
    }
    fn hparams(&self) -> HParams {
        HParams::new().set("lr", 0.1)
    }
}

#[test]
fn a_module_is_told_what_happens() {
    let device = Device::new_reference(true);
    let net = Watched::new(&device, &[1.0]);
    let mut trainer = trainer(&device).max_epochs(2).limit_train_batches(3).accumulate_grad_batches(2);
    trainer.fit(&net, &moons()).unwrap();
    let epoch = |epoch: usize| {
        let steps = ["step E 0", "step E 1", "before_update", "step E 2", "before_update"];
        let all = ["epoch_start E"].into_iter().chain(steps).chain(["epoch_end", "validation_step", "validation_end"]);
        all.map(move |event| event.replace('E', &epoch.to_string())).collect::<Vec<_>>()
    };
    let sanity = ["validation_step", "validation_end", "fit_start"].map(String::from).to_vec();
    assert_eq!(net.events(), [sanity, epoch(0), epoch(1), vec!["fit_end".into()]].concat());
    assert_eq!(trainer.metrics()["of_epoch"], 7.0);
    assert!(trainer.metrics()["grad_norm"] > 0.0);
    trainer.validate(&net, &moons()).unwrap();
    assert_eq!(net.events(), ["validation_step", "validation_end"]);
    let data = (moons().0, moons().1, moons().1);
    assert_eq!(trainer.test(&net, &data).unwrap()["val_loss"], 1.0);
    assert_eq!(net.events(), ["validation_step", "validation_end"]);
}

#[test]
fn validations_come_when_they_are_asked_for() {
    let device = Device::new_reference(true);
    let validations = |trainer: Trainer| {
        let net = Watched::new(&device, &[1.0]);
        let mut trainer = trainer.max_epochs(4).num_sanity_val_steps(0);
        trainer.fit(&net, &moons()).unwrap();
        let (mut at, mut step) = (Vec::new(), 0);
        for event in net.events() {
            step += usize::from(event == "before_update");
            if event == "validation_end" {
                at.push(step);
            }
        }
        at
    };
    // An epoch has 7 batches.
    assert_eq!(validations(trainer(&device)), [7, 14, 21, 28]);
    assert_eq!(validations(trainer(&device).check_val_every_n_epoch(3)), [21]);
    assert_eq!(validations(trainer(&device).val_check_interval(3)), [3, 6, 10, 13, 17, 20, 24, 27]);
    assert_eq!(validations(trainer(&device).val_check_interval(0.5).check_val_every_n_epoch(2)), [10, 13, 24, 27]);
    assert_eq!(validations(trainer(&device).val_check_interval(1.0)), [7, 14, 21, 28]);
    let e = trainer(&device).val_check_interval(8).fit(&Net::new(&device), &moons()).unwrap_err().to_string();
    assert!(e.contains("val_check_interval: 8 given, an epoch has 7"), "{e}");
}

#[test]
fn a_metric_is_judged_when_it_is_new() {
    let device = Device::new_reference(true);
    let fit = |trainer: Trainer, losses: &[f64]| {
        let mut trainer = trainer.max_epochs(30).limit_train_batches(1).num_sanity_val_steps(0);
        trainer.fit(&Watched::new(&device, losses), &moons()).unwrap();
        trainer.current_epoch()
    };
    let stop = || EarlyStopping::new("val_loss").patience(2);
    assert_eq!(fit(trainer(&device).callback(stop()), &[1.0]), 3);
    // In epochs without a validation nothing is new.
    assert_eq!(fit(trainer(&device).callback(stop()).check_val_every_n_epoch(2), &[1.0]), 6);
    assert_eq!(fit(trainer(&device).callback(stop()).min_epochs(5), &[1.0]), 5);
    assert_eq!(fit(trainer(&device).callback(stop()), &[3.0, 2.0, f64::NAN]), 3);
    // The learning rate falls after two bad validations, not after two epochs.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.csv");
    let logged = trainer(&device).log_every_n_steps(1).callback(LearningRateMonitor).check_val_every_n_epoch(2);
    fit(logged.logger(CsvLogger::new(&path).unwrap()).callback(stop().patience(4)), &[1.0]);
    let rates: Vec<f64> = column(&path, "lr");
    assert_eq!(rates, [[0.1; 6].as_slice(), &[0.05; 4]].concat());
}

/// The numbers of a column, where there are some.
fn column(path: &Path, name: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let place = rows.next().unwrap().iter().position(|n| *n == name).unwrap_or_else(|| panic!("no {name}: {text}"));
    rows.filter_map(|row| row[place].parse().ok()).collect()
}

#[test]
fn a_quick_run_leaves_nothing_behind() {
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    let (log, checkpoints) = (dir.path().join("log.csv"), dir.path().join("checkpoints"));
    let net = Watched::new(&device, &[1.0]);
    let mut trainer = trainer(&device).fast_dev_run(2).logger(CsvLogger::new(&log).unwrap());
    trainer = trainer.callback(ModelCheckpoint::new(&checkpoints)).callback(EarlyStopping::new("nothing"));
    trainer.fit(&net, &moons()).unwrap();
    assert_eq!((trainer.global_step(), trainer.current_epoch()), (2, 1));
    assert_eq!(net.count("validation_end"), 1);
    assert!(!log.exists() && !checkpoints.exists());
}

#[test]
fn a_few_batches_are_learnt_by_heart() {
    let device = Device::new_reference(true);
    struct Samples(Mutex<Vec<Vec<usize>>>, Net);
    impl Module for Samples {
        fn visit(&self, visitor: &mut nn::Visitor<'_>) {
            self.1.visit(visitor);
        }
    }
    impl LightningModule for Samples {
        fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
            self.0.lock().unwrap().push(batch.indices().to_vec());
            self.1.training_step(batch, log)
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.1.configure_optimizers()
        }
    }
    let net = Samples(Mutex::default(), Net::new(&device));
    trainer(&device).max_epochs(2).overfit_batches(2).fit(&net, &moons()).unwrap();
    let seen = net.0.lock().unwrap();
    let expected: Vec<Vec<usize>> = [0, 16, 0, 16].map(|first| (first..first + 16).collect()).to_vec();
    assert_eq!(*seen, expected);
}

#[test]
fn time_may_run_out() {
    let device = Device::new_reference(true);
    let mut trainer = trainer(&device).max_time(Duration::from_millis(300));
    let begun = Instant::now();
    trainer.fit(&Net::new(&device), &moons()).unwrap();
    assert!(trainer.global_step() > 0 && trainer.current_epoch() < 1000);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_sanity_check_finds_mistakes_and_changes_nothing() {
    let device = Device::new_reference(true);
    let bits = |batches: usize| {
        let net = Net::new(&device);
        trainer(&device).max_epochs(1).num_sanity_val_steps(batches).fit(&net, &moons()).unwrap();
        net.bits()
    };
    assert_eq!(bits(0), bits(2));
    struct Wrong(Net);
    impl Module for Wrong {
        fn visit(&self, visitor: &mut nn::Visitor<'_>) {
            self.0.visit(visitor);
        }
    }
    impl LightningModule for Wrong {
        fn training_step(&self, _: &TensorBatch, _: &mut Log) -> Result<Tensor> {
            panic!("the validation comes first")
        }
        fn validation_step(&self, _: &TensorBatch, _: &mut Log) -> Result<()> {
            Err(Error::argument("validation_step", "wrong"))
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.0.configure_optimizers()
        }
    }
    let net = Wrong(Net::new(&device));
    assert!(trainer(&device).fit(&net, &moons()).unwrap_err().to_string().contains("wrong"));
}

#[test]
fn anomalies_are_found() {
    #[derive(Module)]
    struct Root(Line);
    impl LightningModule for Root {
        fn training_step(&self, _: &TensorBatch, _: &mut Log) -> Result<Tensor> {
            (self.0.w.get() - 1.0).try_log()
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.0.configure_optimizers()
        }
    }
    let device = Device::new_reference(true);
    let root = Root(device.scope(|| Line { w: Parameter::new(Tensor::scalar(0.0)) }));
    let e = trainer(&device).detect_anomaly(true).fit(&root, &moons()).unwrap_err().to_string();
    assert!(e.contains("log") && e.contains("NaN"), "{e}");
}

#[test]
fn best_files_have_the_names_that_are_asked_for() {
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    let losses = [3.0, 1.0, 2.0, 1.0];
    let best = ModelCheckpoint::new(dir.path()).monitor("val_loss", Mode::Min, 2).save_last(false);
    let mut trainer = trainer(&device).max_epochs(4).num_sanity_val_steps(0);
    trainer = trainer.callback(best.filename("{step}-best-{val_loss:.1}"));
    trainer.fit(&Watched::new(&device, &losses), &moons()).unwrap();
    let mut names: Vec<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["step=14-best-val_loss=1.0.ckpt", "step=28-best-val_loss=1.0.ckpt"]);
    let (path, value) = trainer.best_model().unwrap();
    assert_eq!((path, value), (dir.path().join(&names[0]), 1.0));
    assert_eq!(trainer.last_checkpoint(), Some(dir.path().join(&names[1]).as_path()));
}

/// A training that validates within its epochs, and one that was stopped there and goes on: weights and logs.
#[test]
fn logs_of_a_resumed_training_are_those_of_a_whole_one() {
    for device in devices() {
        let run = |dir: &Path, every: u64, stops: &[u64]| {
            let mut bits = Vec::new();
            for stop in stops {
                let checkpoints = ModelCheckpoint::new(dir).monitor("val_loss", Mode::Min, 2);
                let checkpoints = checkpoints.every_n_train_steps(every);
                let mut trainer = trainer(&device).max_epochs(3).val_check_interval(3).log_every_n_steps(2);
                trainer = trainer.callback(checkpoints).callback(LearningRateMonitor).max_steps(*stop);
                trainer = trainer.logger(CsvLogger::new(dir.join("log.csv")).unwrap());
                trainer = trainer.logger(JsonLinesLogger::new(dir.join("log.jsonl")).unwrap());
                let last = dir.join("last.ckpt");
                // As after a kill: from an older checkpoint than the logs know of.
                let from = if *stop == 1000 { dir.join("previous.ckpt") } else { last };
                if from.exists() {
                    trainer = trainer.resume(from);
                }
                let net = Net::new(&device);
                trainer.fit(&net, &moons()).unwrap();
                bits = net.bits();
            }
            let lines = |name: &str| {
                let text = std::fs::read_to_string(dir.join(name)).unwrap();
                let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
                lines.sort();
                lines
            };
            (bits, lines("log.csv"), lines("log.jsonl"))
        };
        let dir = tempfile::tempdir().unwrap();
        let whole = run(&dir.path().join("whole"), 3, &[21]);
        assert!(whole.1.len() > 20, "{:?}", whole.1);
        // The last: from before the end of an epoch, with logs from after it.
        let stops = [
            (3, &[2, 21][..]),
            (3, &[3, 6, 21]),
            (3, &[7, 8, 21]),
            (3, &[11, 1000]),
            (3, &[20, 1000]),
            (7, &[7, 1000]),
        ];
        for (every, stops) in stops {
            let resumed = run(&dir.path().join(format!("{every} {stops:?}")), every, stops);
            assert_eq!(resumed, whole, "stopped after {stops:?} steps on {device}");
        }
    }
}

#[test]
fn an_interrupted_training_is_saved_in_any_case() {
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    struct Interrupt(Option<Box<dyn FnMut() + Send>>);
    impl Callback for Interrupt {
        fn name(&self) -> String {
            "Interrupt".into()
        }
        fn on(&mut self, moment: Moment, status: &mut Status<'_>) -> Result<()> {
            if let Some(mut interrupt) = self.0.take_if(|_| moment == Moment::StepEnd && status.global_step == 4) {
                interrupt();
            }
            Ok(())
        }
    }
    let first = trainer(&device).max_epochs(2).default_root_dir(dir.path());
    let handler = first.interrupt_handler();
    let mut first = first.callback(Interrupt(Some(Box::new(handler))));
    first.fit(&Net::new(&device), &moons()).unwrap();
    let path = dir.path().join("interrupted.ckpt");
    assert!(first.was_interrupted() && first.global_step() == 4);
    assert_eq!(first.last_checkpoint(), Some(path.as_path()));
    let whole = Net::new(&device);
    trainer(&device).max_epochs(2).fit(&whole, &moons()).unwrap();
    let resumed = Net::new(&device);
    device.manual_seed(999);
    trainer(&device).max_epochs(2).resume(&path).fit(&resumed, &moons()).unwrap();
    assert_eq!(resumed.bits(), whole.bits());
}
