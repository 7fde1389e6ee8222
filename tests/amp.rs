//! Autocast and the scaling of gradients: PyTorch's types, values and steps, and trainings in halves.

mod common;

use std::cell::RefCell;
use std::path::Path;

use common::Gpu;
use lumigrad::amp::{GradScaler, autocast_dtype, no_autocast};
use lumigrad::autograd::checkpoint;
use lumigrad::data::{DataLoader, Mnist, Split, synthetic};
use lumigrad::nn::utils::{clip_grad_norm_, clip_grad_value_};
use lumigrad::nn::{self, Layer};
use lumigrad::optim::{Adam, SGD};
use lumigrad::prelude::*;
use lumigrad::train::*;
use lumigrad::{autocast, io};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

/// The reference, and the GPU where there is one. Devices of the caller's own.
fn devices() -> Vec<Device> {
    [Some(Device::new_reference(true)), Gpu::open().device()].into_iter().flatten().collect()
}

fn goldens() -> (Vec<u8>, serde_json::Value, serde_json::Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/data/autocast.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let json = |name: &str| serde_json::from_str(&header.metadata().as_ref().unwrap()[name]).unwrap();
    let (types, scaler) = (json("types"), json("scaler"));
    (bytes, types, scaler)
}

/// The networks of `record/autocast.py`.
fn network(name: &str, device: &Device) -> Vec<Box<dyn Layer>> {
    device.scope(|| -> Vec<Box<dyn Layer>> {
        match name {
            "mlp" => vec![
                Box::new(nn::Linear::new(12, 16)),
                Box::new(nn::ReLU),
                Box::new(nn::Linear::new(16, 8)),
                Box::new(nn::ReLU),
                Box::new(nn::Linear::new(8, 6)),
            ],
            _ => vec![
                Box::new(nn::Conv2d::new(2, 4, 3).padding(1)),
                Box::new(nn::BatchNorm2d::new(4)),
                Box::new(nn::ReLU),
                Box::new(nn::MaxPool2d::new(2)),
                Box::new(nn::Conv2d::new(4, 6, 3)),
                Box::new(nn::ReLU),
                Box::new(nn::Flatten::new()),
                Box::new(nn::Linear::new(24, 6)),
            ],
        }
    })
}

/// Two right results of a layer may be rounded to neighbouring halves, 2u apart; what follows passes that on, so there are
/// as many such distances as layers, forward, and as many again back. The largest element gives the scale.
fn assert_close(got: &Tensor, want: &Tensor, dtype: DType, roundings: f64, place: &str) {
    let unit = if dtype == DType::F16 { 2f64.powi(-11) } else { 2f64.powi(-8) };
    let (got, want) = (got.to_vec::<f64>().unwrap(), want.to_vec::<f64>().unwrap());
    assert_eq!(got.len(), want.len(), "{place}");
    let scale = want.iter().fold(0f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= 2.0 * unit * roundings * scale, "{place}[{i}]: {g}, PyTorch {w}, largest {scale}");
    }
}

#[test]
fn networks_compute_as_in_pytorch() {
    let (_, types, _) = goldens();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/data/autocast.safetensors");
    for device in devices() {
        let all = io::load_safetensors(&path, &device).unwrap();
        let value = |name: String| all.get(&name).unwrap_or_else(|| panic!("{name}")).clone();
        for name in ["mlp", "cnn"] {
            for dtype in HALVES {
                let key = format!("{name}.{dtype}");
                let layers = network(name, &device);
                let prefix = format!("{name}.state.");
                let state: nn::StateDict =
                    all.iter().filter_map(|(n, t)| Some((n.strip_prefix(&prefix)?.to_string(), t.clone()))).collect();
                layers.load_state_dict(&state).unwrap();
                let mut seen = Vec::new();
                let (out, loss) = autocast(dtype, || {
                    let out = layers.iter().fold(value(format!("{name}.in")), |x, layer| {
                        let y = layer.call(&x);
                        seen.push(y.dtype().to_string());
                        y
                    });
                    let loss = out.cross_entropy(&value(format!("{name}.target")));
                    seen.push(loss.dtype().to_string());
                    (out, loss)
                });
                let want: Vec<&str> = types[&key].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
                assert_eq!(seen, want, "{key}");
                loss.backward().unwrap();
                let depth = layers.len() as f64;
                let place = |what: &str| format!("{key}.{what} on {device}");
                assert_close(&out, &value(format!("{key}.out")), dtype, depth, &place("out"));
                assert_close(&loss, &value(format!("{key}.loss")), dtype, depth, &place("loss"));
                for (path, parameter) in layers.named_parameters() {
                    let gradient = parameter.grad().unwrap();
                    assert_eq!(gradient.dtype(), DType::F32, "{path}");
                    let what = format!("grad.{path}");
                    // The bias before a batch norm has no effect: its gradient is what rounding leaves of terms as
                    // large as the weight's.
                    let scale = if key.starts_with("cnn") && path == "0.bias" { "grad.0.weight" } else { &what };
                    let unit = value(format!("{key}.{scale}")).abs().max().item::<f64>().unwrap();
                    let want = value(format!("{key}.{what}"));
                    let own = want.abs().max().item::<f64>().unwrap();
                    assert_close(&gradient, &want, dtype, 2.0 * depth * unit / own, &place(&what));
                }
                for (path, buffer) in layers.named_buffers().into_iter().filter(|(_, b)| b.get().dtype().is_float()) {
                    let what = format!("buffer.{path}");
                    assert_close(&buffer.get(), &value(format!("{key}.{what}")), dtype, depth, &place(&what));
                }
            }
        }
    }
}

#[test]
fn operations_run_in_the_types_of_the_lists() {
    let device = Device::new_reference(true);
    let x = Tensor::full_on(&[4, 4], 0.5, DType::F32, &device);
    for dtype in HALVES {
        autocast(dtype, || {
            assert_eq!(autocast_dtype(), Some(dtype));
            let h = x.matmul(&x);
            assert_eq!(h.dtype(), dtype);
            for (name, y) in [
                ("linear", h.linear(&x, None)),
                ("addmm", x.addmm(&x, &x, 1.0, 1.0)),
                ("bmm", x.unsqueeze(0).bmm(&h.unsqueeze(0))),
                ("relu", h.relu()),
                ("mul by a number", &h * 2.0),
                ("view", h.transpose(0, 1).reshape([16])),
                ("max", h.amax(&[0], false)),
                ("mean", h.mean()),
                ("sigmoid", h.sigmoid()),
            ] {
                assert_eq!(y.dtype(), dtype, "{name}");
            }
            for (name, y) in [
                ("exp", h.exp()),
                ("log", h.log()),
                ("pow", h.powf(2.5)),
                ("softmax", h.softmax(1)),
                ("log_softmax", h.log_softmax(1)),
                ("sum", h.sum()),
                ("cumsum", h.cumsum(0)),
                ("prod", h.prod()),
                ("square", h.square()),
                ("logsumexp", h.logsumexp(&[1], false)),
                ("mse_loss", h.mse_loss(&h)),
                ("cosine_similarity", h.cosine_similarity(&h, 1, 1e-8)),
                ("soft_margin_loss", h.soft_margin_loss(&h, lumigrad::Reduction::Mean)),
                ("layer_norm", h.layer_norm(&[4], None, None, 1e-5)),
                ("cross_entropy", h.cross_entropy(&Tensor::full_on(&[4], 1.0, DType::I32, &device))),
                // The widest of its inputs.
                ("add", &h + &x),
                ("cat", Tensor::cat(&[&h, &x], 0)),
            ] {
                assert_eq!(y.dtype(), DType::F32, "{name}");
            }
            let refused = h.try_binary_cross_entropy(&h).unwrap_err().to_string();
            assert!(refused.contains("not safe under autocast") && refused.contains("logits"), "{refused}");
            assert_eq!(no_autocast(|| (x.matmul(&x).dtype(), autocast_dtype())), (DType::F32, None));
            assert_eq!(x.matmul(&x).dtype(), dtype, "on again");
        });
    }
    assert_eq!(autocast_dtype(), None);
    assert!(std::panic::catch_unwind(|| autocast(DType::F32, || ())).is_err());
    let panicked = std::panic::catch_unwind(|| autocast(DType::F16, || panic!("as planned")));
    assert!(panicked.is_err() && autocast_dtype().is_none());
}

#[test]
fn a_weight_is_converted_once_and_anew_when_it_has_changed() {
    let device = Device::new_reference(true);
    let layer = device.scope(|| nn::Linear::new(3, 3).bias(false));
    let x = Tensor::full_on(&[2, 3], 1.0, DType::F16, &device);
    autocast(DType::F16, || {
        let count = |body: &dyn Fn() -> Tensor| {
            let before = device.counters().dispatches;
            let y = body();
            (device.counters().dispatches - before, y)
        };
        let (first, y) = count(&|| layer.call(&x));
        let (second, z) = count(&|| layer.call(&x));
        assert!(second < first, "{second} dispatches and {first}");
        (&y + &z).sum().backward().unwrap();
        assert_eq!(layer.weight.grad().unwrap().to_vec::<f32>().unwrap(), [4.0; 9]);
        no_grad(|| layer.weight.get().fill_(0.5)).unwrap();
        assert_eq!(layer.call(&x).to_vec::<f32>().unwrap(), [1.5; 6]);
    });
}

#[test]
fn what_is_run_again_runs_in_the_same_types() {
    for device in devices() {
        let model =
            device.scope(|| nn::Sequential::new().add(nn::Linear::new(4, 8)).add(nn::ReLU).add(nn::Linear::new(8, 2)));
        let model = std::sync::Arc::new(model);
        let x = Tensor::full_on(&[3, 4], 0.3, DType::F32, &device);
        let gradients = |again: bool| {
            model.parameters().iter().for_each(Parameter::zero_grad);
            let own = model.clone();
            let loss = autocast(DType::BF16, || {
                let y = if again { checkpoint(move |x| own.call(&x[0]), &[&x]) } else { model.call(&x) };
                y.powi(2).sum()
            });
            loss.backward().unwrap();
            model.parameters().iter().map(|p| p.grad().unwrap().to_vec::<f32>().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(gradients(true), gradients(false), "{device}");
    }
}

/// PyTorch's factors, parameters and counts of steps, through infinities and NaN.
#[test]
fn the_scaler_steps_as_in_pytorch() {
    let (_, _, trace) = goldens();
    for device in devices() {
        for run in trace.as_array().unwrap() {
            let w = Parameter::new(Tensor::from_slice_on(&[2.0f32, -1.0], &[2], &device));
            let mut optimizer = Adam::new([w.clone()], 0.1);
            let mut scaler =
                GradScaler::new().init_scale(8.0).growth_factor(4.0).backoff_factor(0.5).growth_interval(3);
            for (i, row) in run["rows"].as_array().unwrap().iter().enumerate() {
                let place = format!("step {i} with clipping {} on {device}", run["clip"]);
                let gradient: f64 = row["gradient"].as_str().unwrap().parse().unwrap();
                let factors = Tensor::from_slice_on(&[gradient as f32, 1.0], &[2], &device);
                optimizer.zero_grad();
                let before = device.counters().read_backs;
                scaler.scale(&(w.get() * factors).sum()).backward().unwrap();
                if let Some(clip) = run["clip"].as_f64() {
                    scaler.unscale_(&optimizer).unwrap();
                    clip_grad_norm_([w.clone()], clip).unwrap();
                }
                scaler.step(&mut optimizer).unwrap();
                scaler.update().unwrap();
                assert_eq!(device.counters().read_backs, before, "nothing waits: {place}");
                assert_eq!(scaler.get_scale().unwrap(), row["scale"].as_f64().unwrap(), "{place}");
                let state = scaler.state_dict().unwrap();
                assert_eq!(u64::from(state.growth_tracker), row["tracker"].as_u64().unwrap(), "{place}");
                let got = w.get().to_vec::<f64>().unwrap();
                for (got, want) in got.iter().zip(row["w"].as_array().unwrap()) {
                    assert!((got - want.as_f64().unwrap()).abs() < 1e-6, "{place}: {got}, not {want}");
                }
                let state = optimizer.state_dict().unwrap();
                let step = state.tensors.iter().find(|(name, _)| name.ends_with("step")).map(|(_, t)| t.item::<f64>());
                assert_eq!(step.map_or(0.0, Result::unwrap), row["step"].as_f64().unwrap(), "{place}");
            }
        }
    }
}

#[test]
fn other_optimisers_leave_out_a_step_too() {
    for device in devices() {
        let step = |gradient: f32, make: &dyn Fn(Parameter) -> Box<dyn Optimizer>| {
            let w = Parameter::new(Tensor::from_slice_on(&[2.0f32, -1.0, 0.5], &[3], &device));
            let mut optimizer = make(w.clone());
            let mut scaler = GradScaler::new().init_scale(1024.0);
            let factors = Tensor::from_slice_on(&[gradient, 1.0, 1.0], &[3], &device);
            scaler.scale(&(w.get() * factors).sum()).backward().unwrap();
            scaler.step(&mut optimizer).unwrap();
            scaler.update().unwrap();
            (w.get().to_vec::<f32>().unwrap(), scaler.get_scale().unwrap())
        };
        let plain = |w: Parameter| Box::new(SGD::new([w], 0.5)) as Box<dyn Optimizer>;
        let momentum = |w: Parameter| Box::new(SGD::new([w], 0.5).momentum(0.9)) as Box<dyn Optimizer>;
        for make in [&plain as &dyn Fn(Parameter) -> Box<dyn Optimizer>, &momentum] {
            assert_eq!(step(3.0, make), (vec![0.5, -1.5, 0.0], 1024.0), "{device}");
            assert_eq!(step(f32::INFINITY, make), (vec![2.0, -1.0, 0.5], 512.0), "{device}");
        }
    }
}

#[test]
fn one_scaler_serves_two_optimisers() {
    for device in devices() {
        let parameter = || Parameter::new(Tensor::full_on(&[2], 1.0, DType::F32, &device));
        let (a, b) = (parameter(), parameter());
        let (mut first, mut second) = (SGD::new([a.clone()], 1.0), SGD::new([b.clone()], 1.0));
        let mut scaler = GradScaler::new();
        let infinite = Tensor::full_on(&[2], f64::INFINITY, DType::F32, &device);
        scaler.scale(&(a.get().sum() + (b.get() * infinite).sum())).backward().unwrap();
        scaler.step(&mut first).unwrap();
        scaler.step(&mut second).unwrap();
        scaler.update().unwrap();
        // Each optimiser leaves out what its own gradients forbid; the factor is of all.
        assert_eq!(a.get().to_vec::<f32>().unwrap(), [0.0; 2]);
        assert_eq!(b.get().to_vec::<f32>().unwrap(), [1.0; 2]);
        assert_eq!(scaler.get_scale().unwrap(), 32768.0);
    }
}

#[test]
fn mistakes_with_the_scaler_are_errors() {
    let device = Device::new_reference(true);
    let w = Parameter::new(Tensor::full_on(&[2], 1.0, DType::F32, &device));
    let mut optimizer = SGD::new([w.clone()], 1.0);
    let mut scaler = GradScaler::new();
    let text = |result: Result<()>| result.unwrap_err().to_string();
    assert!(text(scaler.step(&mut optimizer)).contains("no loss was scaled"));
    scaler.scale(&w.get().sum()).backward().unwrap();
    assert!(text(scaler.update()).contains("no step since"));
    scaler.unscale_(&optimizer).unwrap();
    assert!(text(scaler.unscale_(&optimizer)).contains("since the last update"));
    scaler.step(&mut optimizer).unwrap();
    assert!(text(scaler.step(&mut optimizer)).contains("since the last update"));
    assert!(text(scaler.unscale_(&optimizer)).contains("after the optimiser's step"));
    scaler.update().unwrap();
    optimizer.zero_grad();
    assert!(text(scaler.step(&mut optimizer)).contains("no parameter of the optimiser has a gradient"));
    // Without a scaler's work.
    let mut off = GradScaler::new().enabled(false);
    off.scale(&w.get().sum()).backward().unwrap();
    off.step(&mut optimizer).unwrap();
    off.update().unwrap();
    assert_eq!((w.get().to_vec::<f32>().unwrap(), off.get_scale().unwrap()), (vec![-1.0; 2], 1.0));
    // An optimiser keeps parameters in f32.
    let half = Parameter::new(Tensor::full_on(&[2], 1.0, DType::F16, &device));
    half.get().sum().backward().unwrap();
    assert!(text(SGD::new([half], 0.1).step()).contains("autocast"));
}

#[test]
fn a_scaler_goes_on_from_its_state() {
    let device = Device::new_reference(true);
    let w = Parameter::new(Tensor::full_on(&[2], 1.0, DType::F32, &device));
    let mut optimizer = SGD::new([w.clone()], 0.01);
    let mut scaler = GradScaler::new().init_scale(4.0).growth_interval(3);
    let mut run = |scaler: &mut GradScaler| {
        optimizer.zero_grad();
        scaler.scale(&w.get().sum()).backward().unwrap();
        scaler.step(&mut optimizer).unwrap();
        scaler.update().unwrap();
        scaler.get_scale().unwrap()
    };
    assert_eq!([run(&mut scaler), run(&mut scaler)], [4.0, 4.0]);
    let state = scaler.state_dict().unwrap();
    assert_eq!((state.scale, state.growth_tracker), (4.0, 2));
    let mut fresh = GradScaler::new();
    fresh.load_state_dict(&state).unwrap();
    assert_eq!(fresh.state_dict().unwrap(), state);
    assert_eq!([run(&mut fresh), run(&mut fresh)], [8.0, 8.0]);
    fresh.load_state_dict(&state).unwrap();
    assert_eq!(run(&mut fresh), 8.0, "also when it has run");
}

#[derive(Module)]
struct Net {
    layers: nn::Sequential,
}

impl Net {
    fn new(device: &Device, widths: &[usize]) -> Net {
        device.manual_seed(3);
        let layers = device.scope(|| {
            widths.windows(2).fold(nn::Sequential::new(), |layers, pair| {
                let layers =
                    if layers.is_empty() { layers } else { layers.add(nn::BatchNorm1d::new(pair[0])).add(nn::ReLU) };
                layers.add(nn::Linear::new(pair[0], pair[1]))
            })
        });
        Net { layers }
    }

    /// Inputs and classes, of moons or of digits.
    fn parts(batch: &TensorBatch) -> (Tensor, &Tensor) {
        match batch.get("images") {
            Some(images) => (images.flatten(1, -1), &batch["labels"]),
            None => (batch["x"].clone(), &batch["y"]),
        }
    }

    fn bits(&self) -> Vec<(String, Vec<u32>)> {
        let bits = |t: &Tensor| t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
        self.state_dict().iter().map(|(name, t)| (name.to_string(), bits(t))).collect()
    }
}

impl LightningModule for Net {
    fn training_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<Tensor> {
        let (x, y) = Net::parts(batch);
        let loss = self.layers.call(&x).cross_entropy(y);
        log.log("train_loss", &loss);
        Ok(loss)
    }

    fn validation_step(&self, batch: &TensorBatch, log: &mut Log) -> Result<()> {
        let (x, y) = Net::parts(batch);
        let scores = self.layers.call(&x);
        log.log("accuracy", scores.argmax(Some(1), false).eq(y).to_dtype(DType::F32).mean());
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizers::new(Adam::new(self.parameters(), 2e-3)))
    }
}

fn trainer(device: &Device, precision: FloatPrecision) -> Trainer {
    Trainer::new().device(device).progress(false).precision(precision)
}

/// 100 steps on real digits: mixed precision learns what f32 does.
#[test]
fn digits_are_learnt_in_halves() {
    let Some(device) = Gpu::open().device() else { return };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist-10k");
    let accuracy = |precision: FloatPrecision| {
        let digits = |split| Mnist::load(folder, split).unwrap();
        let train = DataLoader::new(digits(Split::Train)).batch_size(64).shuffle(true).seed(1);
        let data = (train, DataLoader::new(digits(Split::Test)).batch_size(500));
        let net = Net::new(&device, &[784, 128, 10]);
        let mut trainer = trainer(&device, precision).max_steps(100);
        trainer.fit(&net, &data).unwrap();
        trainer.validate(&net, &data).unwrap()["accuracy"]
    };
    let whole = accuracy(FloatPrecision::F32);
    assert!(whole > 0.85, "f32: {whole}");
    for precision in [FloatPrecision::F16Mixed, FloatPrecision::BF16Mixed] {
        let mixed = accuracy(precision);
        // 2,000 digits: a share of 0.9 is known to 0.007, one standard deviation.
        assert!(mixed > whole - 0.02, "{precision:?}: {mixed}, f32: {whole}");
    }
}

fn moons() -> (DataLoader, DataLoader) {
    let train = DataLoader::new(synthetic::moons(96, 0.1, 0)).batch_size(16).shuffle(true).seed(5);
    (train, DataLoader::new(synthetic::moons(32, 0.1, 1)).batch_size(16))
}

#[test]
fn a_resumed_training_in_f16_ends_with_the_same_bits() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let run = |net: &Net, trainer: Trainer| {
            let mut trainer = trainer.gradient_clip_val(0.5).accumulate_grad_batches(2);
            trainer = trainer.callback(ModelCheckpoint::new(dir.path()).every_n_train_steps(1));
            trainer.fit(net, &moons()).unwrap();
        };
        let whole = Net::new(&device, &[2, 8, 2]);
        run(&whole, trainer(&device, FloatPrecision::F16Mixed).max_epochs(3));
        let first = Net::new(&device, &[2, 8, 2]);
        run(&first, trainer(&device, FloatPrecision::F16Mixed).max_epochs(3).max_steps(4));
        let saved = Checkpoint::load(dir.path().join("last.ckpt"), &device).unwrap();
        let state = saved.scaler.expect("a training in f16 saves its scaler");
        assert_eq!((state.scale, state.growth_tracker), (65536.0, 4));
        let second = Net::new(&device, &[2, 8, 2]);
        run(&second, trainer(&device, FloatPrecision::F16Mixed).max_epochs(3).resume(dir.path().join("last.ckpt")));
        assert_eq!(second.bits(), whole.bits(), "{device}");
    }
}

/// What this thread was warned of.
struct Warnings;

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
        }
    }
    fn flush(&self) {}
}

#[test]
fn a_scale_that_does_not_come_or_go_along_is_told() {
    log::set_logger(&Warnings).expect("no other logger");
    log::set_max_level(log::LevelFilter::Warn);
    let device = Device::new_reference(true);
    let dir = tempfile::tempdir().unwrap();
    let last = dir.path().join("last.ckpt");
    let warned = |from: FloatPrecision, to: FloatPrecision| {
        let save = ModelCheckpoint::new(dir.path()).every_n_train_steps(1);
        let mut first = trainer(&device, from).max_steps(1).callback(save);
        first.fit(&Net::new(&device, &[2, 8, 2]), &moons()).unwrap();
        WARNINGS.with_borrow_mut(Vec::clear);
        trainer(&device, to).max_steps(2).resume(&last).fit(&Net::new(&device, &[2, 8, 2]), &moons()).unwrap();
        WARNINGS.with_borrow(|warnings| warnings.iter().filter(|text| text.contains("scale")).count())
    };
    let (f32, f16) = (FloatPrecision::F32, FloatPrecision::F16Mixed);
    assert_eq!([warned(f32, f16), warned(f16, f32), warned(f16, f16), warned(f32, f32)], [1, 1, 0, 0]);
}

#[test]
fn a_recorded_step_in_halves_trains_as_without() {
    for device in devices() {
        for precision in [FloatPrecision::F16Mixed, FloatPrecision::BF16Mixed] {
            let fit = |captures: bool| {
                let net = Net::new(&device, &[2, 8, 2]);
                let mut trainer = trainer(&device, precision).max_epochs(3).capture(captures);
                trainer = trainer.gradient_clip(Clip::Norm(0.5));
                trainer.fit(&net, &moons()).unwrap();
                net.bits()
            };
            assert_eq!(fit(true), fit(false), "{precision:?} on {device}");
        }
    }
}

#[test]
fn steps_of_the_trainer_are_those_of_the_loop() {
    let device = Device::new_reference(true);
    let by_trainer = Net::new(&device, &[2, 8, 2]);
    let trainer = trainer(&device, FloatPrecision::F16Mixed).max_steps(6).num_sanity_val_steps(0);
    let mut trainer = trainer.gradient_clip(Clip::Value(0.1));
    trainer.fit(&by_trainer, &moons()).unwrap();
    let by_hand = Net::new(&device, &[2, 8, 2]);
    let mut optimizer = Adam::new(by_hand.parameters(), 2e-3);
    let mut scaler = GradScaler::new();
    for batch in moons().0.epoch(0) {
        let batch = TensorBatch::upload(&batch.unwrap(), &device).unwrap();
        let loss = autocast(DType::F16, || by_hand.layers.call(&batch["x"]).cross_entropy(&batch["y"]));
        scaler.scale(&loss).backward().unwrap();
        scaler.unscale_(&optimizer).unwrap();
        clip_grad_value_(by_hand.parameters(), 0.1).unwrap();
        scaler.step(&mut optimizer).unwrap();
        scaler.update().unwrap();
        optimizer.zero_grad();
    }
    assert_eq!(by_trainer.bits(), by_hand.bits());
}
