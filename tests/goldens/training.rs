//! Whole trainings beside PyTorch's: the loss of every step and the weights on the way.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use lumigrad::nn::utils::{ClipGradNormOptions, clip_grad_norm_with, clip_grad_value_};
use lumigrad::nn::{Conv2d, LSTM, Layer, Linear, StateDict};
use lumigrad::optim::lr_scheduler::{AnnealStrategy, OneCycleLR};
use lumigrad::optim::{ASGD, Adadelta, Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop, Rprop, SGD};
use lumigrad::prelude::*;
use serde_json::Value as Json;

use crate::common::Gpu;
use crate::runner::{Body, differs};
use crate::values::{self, Value, Values};

/// One trial for each recorded run and body.
pub fn trials(gpu: &Gpu) -> Vec<Trial> {
    let recorded = Arc::new(values::json("trajectories.json"));
    let more = Arc::new(values::json("trajectories_more.json"));
    let mut trials = Vec::new();
    let groups = [(&recorded, "optimizers", small as Run), (&more, "optimizers", small), (&recorded, "models", images)];
    for (recorded, group, run) in groups {
        for name in names(recorded, group) {
            for body in [Body::Reference, Body::Gpu] {
                let (recorded, name) = (recorded.clone(), name.to_string());
                let title = format!("training::{name}::{}", if body == Body::Gpu { "gpu" } else { "reference" });
                let test = move |device: &Device| {
                    let problems = run(&recorded[group], &name, body, device).map_err(|e| e.to_string())?;
                    if problems.is_empty() { Ok(()) } else { Err(Failed::from(problems.join("\n"))) }
                };
                trials.push(match body {
                    Body::Reference => Trial::test(title, move || test(&Device::reference())),
                    Body::Gpu => gpu.trial(title, test),
                });
            }
        }
    }
    trials
}

/// Repeats a run and tells what differs.
type Run = fn(&Json, &str, Body, &Device) -> Result<Vec<String>>;

fn names<'a>(recorded: &'a Json, group: &str) -> impl Iterator<Item = &'a str> {
    recorded[group]["runs"].as_object().expect("runs by name").keys().map(String::as_str)
}

/// `fc1 = Linear(8, 16); tanh; fc2 = Linear(16, 4)`.
#[derive(Module)]
struct Small {
    fc1: Linear,
    fc2: Linear,
}

impl Forward for Small {
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.call(&self.fc1.call(x).tanh())
    }
}

/// 784-512-256-10 with ReLU.
#[derive(Module)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Forward for Mlp {
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc3.call(&self.fc2.call(&self.fc1.call(x).relu()).relu())
    }
}

/// Two convolutions with ReLU and halved by maxima, then 10 logits.
#[derive(Module)]
struct SmallCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
}

impl Forward for SmallCnn {
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x.reshape([-1, 1, 28, 28]);
        let x = self.conv1.call(&x).relu().max_pool2d(2);
        let x = self.conv2.call(&x).relu().max_pool2d(2);
        self.fc1.call(&x.flatten(1, -1))
    }
}

/// Rows of an image as 28 steps of 28 numbers, two layers, and the last step's output as 10 logits.
#[derive(Module)]
struct LastStep {
    rnn: LSTM,
    fc: Linear,
}

impl Forward for LastStep {
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Tensor {
        let (output, _) = self.rnn.call(&x.reshape([-1, 28, 28]));
        self.fc.call(&output.select(1, -1))
    }
}

/// The network of a run.
fn model(name: &str) -> Box<dyn Layer> {
    match name {
        "mlp" => Box::new(Mlp { fc1: Linear::new(784, 512), fc2: Linear::new(512, 256), fc3: Linear::new(256, 10) }),
        "small_cnn" => Box::new(SmallCnn {
            conv1: Conv2d::new(1, 8, 3).padding(1),
            conv2: Conv2d::new(8, 16, 3).padding(1),
            fc1: Linear::new(784, 10),
        }),
        "lstm" => {
            Box::new(LastStep { rnn: LSTM::new(28, 32).num_layers(2).batch_first(true), fc: Linear::new(32, 10) })
        }
        other => panic!("no network {other} here"),
    }
}

/// A tiny network with one of the optimisers.
fn small(group: &Json, name: &str, body: Body, device: &Device) -> Result<Vec<String>> {
    let (run, file) = (&group["runs"][name], recorded_values(group));
    let model = device.scope(|| Small { fc1: Linear::new(8, 16), fc2: Linear::new(16, 4) });
    let mut check = Check::new(run, body);
    load(&model, &file, device)?;
    let mut optimizer = optimizer(run, &model);
    let mut scheduler = schedule(&run["extra"]["sched"], &mut *optimizer);
    let steps = count(&run["steps"]);
    for step in 0..steps {
        let tensor = |part: &str| file[&format!("batch{}.{part}", step % 5)].tensor(device);
        let loss = model.call(&tensor("x")).cross_entropy(&tensor("y"));
        check.loss(step, &loss)?;
        optimizer.zero_grad();
        loss.backward()?;
        clip(&run["extra"], &model)?;
        if let Some(want) = run["lr"][step].as_f64() {
            check.number(format!("the learning rate of step {step}"), optimizer.lr(), want, 1e-12);
        }
        optimizer.step()?;
        if let Some(scheduler) = &mut scheduler {
            scheduler.step(&mut *optimizer);
        }
        if [1, 2, 5].contains(&(step + 1)) {
            check.weights(&model, &file, &format!("{name}.step{}", step + 1), "weights");
        }
    }
    check.weights(&model, &file, &format!("{name}.final"), "weights");
    Ok(check.problems)
}

/// A network for images of clothes.
fn images(group: &Json, name: &str, body: Body, device: &Device) -> Result<Vec<String>> {
    let run = &group["runs"][name];
    let (file, images) = (recorded_values(run), values::read("trajectories/fashion_batches.safetensors"));
    let model = device.scope(|| model(name));
    assert_eq!(model.num_parameters(), count(&run["parameters"]));
    let mut check = Check::new(run, body);
    load(&model, &file, device)?;
    let mut optimizer = optimizer(run, &model);
    let size = count(&run["batch"]);
    for step in 0..count(&run["steps"]) {
        let (x, y) = batch(&images, step, size, device);
        let output = model.call(&x);
        if step == 0 {
            check.tensor("first_output", &output, &file["first_output"], "first_output");
        }
        let loss = output.cross_entropy(&y);
        check.loss(step, &loss)?;
        update(&mut *optimizer, &loss)?;
        if step == 0 {
            check.gradient_norms(&model, &run["grad0_norm"])?;
            check.gradients(&model, &file);
        }
    }
    check.weights(&model, &file, "final", "final");
    model.eval();
    let output = model.call(&batch(&images, 0, size, device).0);
    check.tensor("eval_output", &output, &file["eval_output"], "eval_output");
    Ok(check.problems)
}

/// Rows of the images, normalised as the recorded run did, and their labels.
fn batch(images: &Values, step: usize, size: usize, device: &Device) -> (Tensor, Tensor) {
    let rows = step * size..(step + 1) * size;
    let pixels = &images["images"].elements[rows.start * 784..rows.end * 784];
    let pixels: Vec<f32> = pixels.iter().map(|&p| (p as f32 / 255.0 - 0.2860) / 0.3530).collect();
    let labels: Vec<i64> = images["labels"].elements[rows].iter().map(|&y| y as i64).collect();
    (Tensor::from_slice_on(&pixels, &[size, 784], device), Tensor::from_slice_on(&labels, &[size], device))
}

fn recorded_values(json: &Json) -> Values {
    values::read(json["file"].as_str().expect("a file"))
}

fn count(json: &Json) -> usize {
    json.as_u64().expect("a whole number") as usize
}

/// The recorded first weights, under their names in PyTorch's `state_dict`.
fn load(model: &impl Module, file: &Values, device: &Device) -> Result<()> {
    let first = file.iter().filter_map(|(name, value)| Some((name.strip_prefix("init.")?, value)));
    model.load_state_dict(&first.map(|(name, value)| (name.to_string(), value.tensor(device))).collect::<StateDict>())
}

fn update(optimizer: &mut dyn Optimizer, loss: &Tensor) -> Result<()> {
    optimizer.zero_grad();
    loss.backward()?;
    optimizer.step()
}

/// The optimiser of a run, with its arguments by PyTorch's names.
fn optimizer(run: &Json, model: &impl Module) -> Box<dyn Optimizer> {
    let parameters = model.parameters();
    let arguments = run["kwargs"].as_object().expect("arguments");
    let lr = arguments["lr"].as_f64().expect("a number");
    let mut optimizer: Box<dyn Optimizer> = match run["optimizer"].as_str().expect("a name") {
        "SGD" => Box::new(SGD::new(parameters, lr)),
        "ASGD" => Box::new(ASGD::new(parameters, lr)),
        "Adagrad" => Box::new(Adagrad::new(parameters, lr)),
        "Adadelta" => Box::new(Adadelta::new(parameters, lr)),
        "RMSprop" => Box::new(RMSprop::new(parameters, lr)),
        "Adam" => Box::new(Adam::new(parameters, lr)),
        "AdamW" => Box::new(AdamW::new(parameters, lr)),
        "Adamax" => Box::new(Adamax::new(parameters, lr)),
        "NAdam" => Box::new(NAdam::new(parameters, lr)),
        "RAdam" => Box::new(RAdam::new(parameters, lr)),
        "Rprop" => Box::new(Rprop::new(parameters, lr)),
        other => panic!("no optimiser {other} here"),
    };
    for (name, value) in arguments {
        let group = &mut optimizer.param_groups_mut()[0];
        let set = match value {
            Json::Bool(value) => group.set(name, *value),
            Json::Array(pair) => {
                group.set(name, (pair[0].as_f64().expect("a number"), pair[1].as_f64().expect("a number")))
            }
            value => group.set(name, value.as_f64().expect("a number")),
        };
        set.unwrap_or_else(|e| panic!("{e}"));
    }
    optimizer
}

/// The schedule of a run, if it has one: its name and its arguments.
fn schedule(recorded: &Json, optimizer: &mut dyn Optimizer) -> Option<Box<dyn LRScheduler>> {
    let (name, arguments) = (recorded[0].as_str()?, &recorded[1]);
    let number = |name: &str| arguments[name].as_f64().expect("a number");
    assert_eq!((name, &arguments["anneal_strategy"]), ("OneCycleLR", &"linear".into()), "the only schedule here");
    let cycle = OneCycleLR::new(number("max_lr"), count(&arguments["total_steps"])).pct_start(number("pct_start"));
    let cycle = cycle.anneal_strategy(AnnealStrategy::Linear);
    Some(Box::new(cycle.three_phase(arguments["three_phase"] == true).on(optimizer)))
}

fn clip(extra: &Json, model: &impl Module) -> Result<()> {
    if let Some(limit) = extra["clip_value"].as_f64() {
        clip_grad_value_(model.parameters(), limit)?;
    }
    if let Some(limit) = extra["clip_norm"].as_f64() {
        let norm_type = match &extra["norm_type"] {
            Json::Null => 2.0,
            Json::String(_) => f64::INFINITY,
            number => number.as_f64().expect("a number"),
        };
        clip_grad_norm_with(model.parameters(), limit, ClipGradNormOptions { norm_type, ..Default::default() })?;
    }
    Ok(())
}

/// Compares a run with the recorded one. The GPU may be ten times as far from it as the reference.
struct Check<'a> {
    run: &'a Json,
    factor: f64,
    problems: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(run: &'a Json, body: Body) -> Self {
        Check { run, factor: if body == Body::Gpu { 10.0 } else { 1.0 }, problems: Vec::new() }
    }

    fn atol(&self, of: &str) -> f64 {
        self.factor * self.run["atol"][of].as_f64().expect("a tolerance")
    }

    fn number(&mut self, what: String, got: f64, want: f64, atol: f64) {
        if got.is_nan() || (got - want).abs() > atol {
            self.problems.push(format!("{what} is {got:e}, not {want:e} (atol {atol:e})"));
        }
    }

    fn loss(&mut self, step: usize, loss: &Tensor) -> Result<()> {
        let want = self.run["loss64"][step].as_f64().expect("a loss");
        self.number(format!("the loss of step {step}"), loss.item()?, want, self.atol("loss"));
        Ok(())
    }

    fn tensor(&mut self, what: &str, got: &Tensor, want: &Value, of: &str) {
        self.problems.extend(differs(got, want, (self.atol(of), 0.0)).map(|problem| format!("{what}: {problem}")));
    }

    /// Every weight against `prefix.NAME` of the file.
    fn weights(&mut self, model: &impl Module, file: &Values, prefix: &str, of: &str) {
        for (name, tensor) in model.state_dict().iter() {
            let name = format!("{prefix}.{name}");
            self.tensor(&name, tensor, &file[&name], of);
        }
    }

    /// Every gradient against `grad0.NAME` of the file, where it holds one.
    fn gradients(&mut self, model: &impl Module, file: &Values) {
        for (name, parameter) in model.named_parameters() {
            let name = format!("grad0.{name}");
            if let (Some(want), Some(got)) = (file.get(&name), parameter.grad()) {
                self.tensor(&name, &got, want, "grad0");
            }
        }
    }

    fn gradient_norms(&mut self, model: &impl Module, recorded: &Json) -> Result<()> {
        for (name, parameter) in model.named_parameters() {
            let gradient = parameter.grad().expect("every parameter has a gradient").to_vec::<f64>()?;
            let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
            let want = recorded[&name].as_f64().expect("a norm");
            self.number(format!("the norm of the first gradient of {name}"), norm, want, self.atol("grad0"));
        }
        Ok(())
    }
}
