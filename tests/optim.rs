//! Optimisers on both devices: saved states, groups, bad batches, clipping, and how many dispatches a step takes.

mod common;

use common::{Gpu, Outcome, Test, check};
use lumigrad::nn::utils::{ClipGradNormOptions, clip_grad_norm_, clip_grad_norm_with, clip_grad_value_};
use lumigrad::nn::{Linear, ReLU, Sequential};
use lumigrad::optim::{
    ASGD, Adadelta, Adagrad, Adam, AdamW, Adamax, NAdam, OptimizerState, ParamGroup, RAdam, RMSprop, Rprop, SGD,
};
use lumigrad::{io, prelude::*};

const TESTS: &[(&str, Test)] = &[
    ("going_on_from_a_saved_state_gives_the_same_bits", resume),
    ("a_state_that_does_not_fit_changes_nothing", misfits),
    ("a_state_has_pytorchs_names", names),
    ("a_bad_batch_counts_nowhere", bad_batch),
    ("groups_have_their_own_options", groups),
    ("options_can_change_on_the_way", changing_options),
    ("decoupled_adam_is_adamw", decoupled_adam),
    ("pytorchs_groups_of_adam_are_taken", groups_of_pytorch),
    ("parameters_join_late", late_parameters),
    ("norms_are_clipped", clip_norm),
    ("values_are_clipped", clip_value),
    ("nonfinite_norms", nonfinite_norms),
    ("a_step_takes_two_dispatches", dispatches),
];

fn main() {
    let gpu = Gpu::open();
    let mut trials = common::on_references(TESTS);
    trials.extend(gpu.trials("gpu", TESTS));
    gpu.run(trials);
}

/// Every optimiser, with options that need all of its state.
fn optimizers(p: &[Parameter]) -> Vec<(&'static str, Box<dyn Optimizer>)> {
    let p = || p.to_vec();
    vec![
        ("SGD", Box::new(SGD::new(p(), 0.1))),
        ("SGD with momentum", Box::new(SGD::new(p(), 0.1).momentum(0.9).dampening(0.1))),
        ("Adagrad", Box::new(Adagrad::new(p(), 0.1).lr_decay(0.1).initial_accumulator_value(0.1))),
        ("Adadelta", Box::new(Adadelta::new(p(), 1.0).weight_decay(0.1))),
        ("RMSprop", Box::new(RMSprop::new(p(), 0.01))),
        ("RMSprop centred", Box::new(RMSprop::new(p(), 0.01).centered(true).momentum(0.9))),
        ("Adam", Box::new(Adam::new(p(), 0.01).weight_decay(0.1))),
        ("Adam with AMSGrad", Box::new(Adam::new(p(), 0.01).amsgrad(true))),
        ("Adam, decoupled", Box::new(Adam::new(p(), 0.01).decoupled_weight_decay(true).weight_decay(0.1))),
        ("AdamW", Box::new(AdamW::new(p(), 0.01))),
        ("NAdam", Box::new(NAdam::new(p(), 0.01).decoupled_weight_decay(true).weight_decay(0.1))),
        ("RAdam", Box::new(RAdam::new(p(), 0.01))),
        ("Adamax", Box::new(Adamax::new(p(), 0.01))),
        ("ASGD", Box::new(ASGD::new(p(), 0.1).t0(2.0).lambd(0.01))),
        ("Rprop", Box::new(Rprop::new(p(), 0.01))),
    ]
}

/// A small network and its batches, the same on every device.
struct Task {
    device: Device,
    model: Sequential,
}

impl Task {
    fn new(device: &Device) -> Task {
        device.manual_seed(5);
        let model = device.scope(|| Sequential::new().add(Linear::new(8, 6)).add(ReLU).add(Linear::new(6, 4)));
        Task { device: device.clone(), model }
    }

    fn backward(&self, batch: usize) -> Result<Tensor> {
        let labels: Vec<i32> = (0..5).map(|i| ((i * 7 + batch * 3) % 4) as i32).collect();
        self.backward_with(batch, &labels)
    }

    fn backward_with(&self, batch: usize, labels: &[i32]) -> Result<Tensor> {
        let x: Vec<f32> = (0..40).map(|i| ((i * 37 + batch * 11) % 17) as f32 / 8.0 - 1.0).collect();
        let (x, y) = (
            Tensor::from_slice_on(&x, &[5, 8], &self.device),
            Tensor::from_slice_on(labels, &[labels.len()], &self.device),
        );
        self.model.parameters().iter().for_each(Parameter::zero_grad);
        let loss = self.model.call(&x).cross_entropy(&y);
        loss.backward()?;
        Ok(loss)
    }

    fn train(&self, optimizer: &mut dyn Optimizer, steps: std::ops::Range<usize>) -> Result<()> {
        for step in steps {
            self.backward(step)?;
            optimizer.step()?;
        }
        Ok(())
    }

    fn bits(&self) -> Result<Vec<u32>> {
        let mut bits = Vec::new();
        for parameter in self.model.parameters() {
            bits.extend(parameter.get().to_vec::<f32>()?.iter().map(|x| x.to_bits()));
        }
        Ok(bits)
    }
}

fn resume(device: &Device) -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state.safetensors");
    for i in 0..optimizers(&[]).len() {
        let task = Task::new(device);
        let (name, mut optimizer) = optimizers(&task.model.parameters()).swap_remove(i);
        let fresh = Task::new(device);
        let (_, mut other) = optimizers(&fresh.model.parameters()).swap_remove(i);
        task.train(&mut *optimizer, 0..7)?;
        optimizer.param_groups_mut()[0].set_lr(0.1 + 0.2);
        let weights = task.model.state_dict();
        fresh.model.load_state_dict(&weights)?;
        io::save_optimizer(&optimizer.state_dict()?, &path)?;
        task.train(&mut *optimizer, 7..12)?;
        // The other one has a state of its own, which the loaded one replaces.
        fresh.train(&mut *other, 0..1)?;
        let saved = io::load_optimizer(&path, device)?;
        let before = Task::new(device);
        let (_, mut again) = optimizers(&before.model.parameters()).swap_remove(i);
        before.train(&mut *again, 0..7)?;
        again.load_state_dict(&saved)?;
        fresh.model.load_state_dict(&before.model.state_dict())?;
        other.load_state_dict(&saved)?;
        check(other.state_dict()?.groups == saved.groups, format!("{name}: the options came back changed"))?;
        check(other.lr() == 0.1 + 0.2, format!("{name}: the learning rate came back changed"))?;
        fresh.train(&mut *other, 7..12)?;
        before.train(&mut *again, 7..12)?;
        check(fresh.bits()? == task.bits()?, format!("{name}: other bits after loading into a new model"))?;
        check(before.bits()? == task.bits()?, format!("{name}: other bits after loading into a trained model"))?;
    }
    Ok(())
}

fn misfits(device: &Device) -> Outcome {
    let task = Task::new(device);
    let mut adam = Adam::new(task.model.parameters(), 0.01);
    task.train(&mut adam, 0..2)?;
    let saved = adam.state_dict()?;
    let (weights, state) = (task.bits()?, format!("{:?}", values(&saved)?));
    let mut try_one = |change: &dyn Fn(&mut lumigrad::optim::OptimizerState), expected: &[&str]| -> Outcome {
        let mut wrong = saved.clone();
        change(&mut wrong);
        let text = match adam.load_state_dict(&wrong) {
            Ok(()) => return Err(format!("a state was taken that should miss {expected:?}").into()),
            Err(error) => error.to_string(),
        };
        for part in expected {
            check(text.contains(part), format!("{part:?} is not in: {text}"))?;
        }
        check(format!("{:?}", values(&adam.state_dict()?)?) == state, "a refused state was taken in part")
    };
    try_one(&|s| s.optimizer = "SGD".into(), &["SGD", "Adam"])?;
    try_one(&|s| s.groups.clear(), &["0 groups", "has 1"])?;
    try_one(&|s| s.groups[0].params.truncate(3), &["has 3 parameters", "4"])?;
    try_one(&|s| option(s, "momentum", 0.9), &["momentum", "betas"])?;
    try_one(&|s| option(s, "eps", -1.0), &["eps", "negative"])?;
    try_one(&|s| s.groups[0].options.retain(|name, _| name != "lr"), &["learning rate"])?;
    try_one(&|s| option(s, "amsgrad", true), &["max_exp_avg_sq", "missing"])?;
    let ones = |shape: &[usize]| Tensor::full_on(shape, 1.0, DType::F32, &Device::reference());
    try_one(&|s| s.tensors.insert("state.1.exp_avg", ones(&[3])), &["parameter 1", "exp_avg", "[3]", "[6]"])?;
    try_one(&|s| s.tensors.insert("state.1.velocity", ones(&[6])), &["parameter 1", "velocity"])?;
    try_one(&|s| s.tensors.insert("state.9.exp_avg", ones(&[6])), &["9"])?;
    try_one(&|s| s.tensors.insert("weights", ones(&[6])), &["weights", "state.INDEX.NAME"])?;
    check(task.bits()? == weights, "a refused state changed the weights")
}

fn option(state: &mut lumigrad::optim::OptimizerState, name: &str, value: impl Into<lumigrad::optim::OptionValue>) {
    state.groups[0].options.insert(name.into(), value.into());
}

fn values(state: &lumigrad::optim::OptimizerState) -> Result<Vec<(String, Vec<f32>)>> {
    state.tensors.iter().map(|(name, t)| Ok((name.to_string(), t.to_vec()?))).collect()
}

fn names(device: &Device) -> Outcome {
    let expected: &[(&str, &[&str])] = &[
        ("SGD", &[]),
        ("SGD with momentum", &["momentum_buffer"]),
        ("Adagrad", &["step", "sum"]),
        ("Adadelta", &["acc_delta", "square_avg", "step"]),
        ("RMSprop", &["square_avg", "step"]),
        ("RMSprop centred", &["grad_avg", "momentum_buffer", "square_avg", "step"]),
        ("Adam", &["exp_avg", "exp_avg_sq", "step"]),
        ("Adam with AMSGrad", &["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"]),
        ("Adam, decoupled", &["exp_avg", "exp_avg_sq", "step"]),
        ("AdamW", &["exp_avg", "exp_avg_sq", "step"]),
        ("NAdam", &["exp_avg", "exp_avg_sq", "mu_product", "step"]),
        ("RAdam", &["exp_avg", "exp_avg_sq", "step"]),
        ("Adamax", &["exp_avg", "exp_inf", "step"]),
        ("ASGD", &["ax", "eta", "mu", "step"]),
        ("Rprop", &["prev", "step", "step_size"]),
    ];
    for (i, (name, entries)) in expected.iter().enumerate() {
        let task = Task::new(device);
        let (own, mut optimizer) = optimizers(&task.model.parameters()).swap_remove(i);
        assert_eq!(own, *name);
        check(optimizer.state_dict()?.tensors.is_empty(), format!("{name}: a state before the first step"))?;
        task.train(&mut *optimizer, 0..3)?;
        let state = optimizer.state_dict()?;
        for p in 0..4 {
            let prefix = format!("state.{p}.");
            let mut found: Vec<&str> = state.tensors.iter().filter_map(|(n, _)| n.strip_prefix(&prefix)).collect();
            found.sort_unstable();
            check(found == *entries, format!("{name}: parameter {p} has {found:?}"))?;
        }
        if let Some(step) = state.tensors.get("state.3.step") {
            check(step.item::<f32>()? == 3.0, format!("{name}: {step} after three steps"))?;
        }
    }
    Ok(())
}

fn bad_batch(device: &Device) -> Outcome {
    if device.is_reference() {
        // There `backward` refuses at once, and `step` is not reached.
        return Ok(());
    }
    for i in 0..optimizers(&[]).len() {
        let run = |with_fault: bool| -> Result<(&str, Vec<u32>)> {
            let task = Task::new(device);
            let (name, mut optimizer) = optimizers(&task.model.parameters()).swap_remove(i);
            for step in 0..8 {
                if with_fault && (step == 0 || step == 5) {
                    let loss = task.backward_with(step, &[0, 1, 7, 2, 3])?;
                    optimizer.step()?;
                    assert!(loss.item::<f32>().is_err(), "label 7 of 4 classes");
                }
                task.backward(step)?;
                optimizer.step()?;
            }
            Ok((name, task.bits()?))
        };
        let (with, without) = (run(true)?, run(false)?);
        check(with == without, format!("{}: a bad batch left a trace", with.0))?;
    }
    Ok(())
}

fn groups(device: &Device) -> Outcome {
    let task = Task::new(device);
    let [first, second] = [0..2, 2..4].map(|range| task.model.parameters()[range].to_vec());
    let before = task.bits()?;
    let mut optimizer = Adam::new(first.clone(), 0.01).eps(1e-7);
    optimizer.add_param_group(ParamGroup::new(second).lr(0.0).weight_decay(0.5).with("betas", (0.8, 0.9)));
    optimizer = optimizer.weight_decay(0.1).eps(1e-6);
    let group = &optimizer.param_groups()[1];
    check(group.get("eps") == Some(1e-6.into()), "a default is not passed on")?;
    check(group.get("weight_decay") == Some(0.5.into()), "an own value is overwritten")?;
    task.train(&mut optimizer, 0..3)?;
    let after = task.bits()?;
    check(after[..54] != before[..54], "the first group is not trained")?;
    check(after[54..] == before[54..], "the second group has a learning rate of 0, and changed")?;

    // Two groups with equal options train as one.
    let (one, two) = (Task::new(device), Task::new(device));
    one.train(&mut Adam::new(one.model.parameters(), 0.01), 0..3)?;
    let parameters = two.model.parameters();
    let mut split = Adam::from_groups([0..1, 1..4].map(|r| ParamGroup::new(parameters[r].to_vec())), 0.01);
    two.train(&mut split, 0..3)?;
    check(one.bits()? == two.bits()?, "two groups differ from one")?;
    let saved = split.state_dict()?;
    check(saved.groups[1].params == [1, 2, 3], "parameters are not numbered through the groups")?;

    let group = &mut split.param_groups_mut()[0];
    let text = group.set("momentum", 0.9).expect_err("Adam has no momentum").to_string();
    check(text.contains("momentum") && text.contains("betas"), text)?;
    check(group.set("lr", -1.0).is_err() && group.set("betas", 0.9).is_err(), "a wrong value was taken")?;
    let panics = |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    check(panics(&mut || split.add_param_group(ParamGroup::new(first.clone()).with("rho", 1.0))), "an unknown option")?;
    check(panics(&mut || split.add_param_group(ParamGroup::new([parameters[2].clone()]))), "a parameter in two groups")
}

fn changing_options(device: &Device) -> Outcome {
    // A momentum that begins later starts from the gradient.
    let (one, two) = (Task::new(device), Task::new(device));
    let mut plain = SGD::new(one.model.parameters(), 0.1);
    one.train(&mut plain, 0..2)?;
    plain.param_groups_mut()[0].set("momentum", 0.9)?;
    one.train(&mut plain, 2..5)?;
    two.train(&mut SGD::new(two.model.parameters(), 0.1), 0..2)?;
    two.train(&mut SGD::new(two.model.parameters(), 0.1).momentum(0.9), 2..5)?;
    check(one.bits()? == two.bits()?, "a momentum that begins later is not a new one")
}

fn decoupled_adam(device: &Device) -> Outcome {
    let run = |make: &dyn Fn(Vec<Parameter>) -> Box<dyn Optimizer>| {
        let task = Task::new(device);
        task.train(&mut *make(task.model.parameters()), 0..4)?;
        task.bits()
    };
    let decoupled = run(&|p| Box::new(Adam::new(p, 0.01).weight_decay(0.2).decoupled_weight_decay(true)))?;
    check(decoupled == run(&|p| Box::new(AdamW::new(p, 0.01).weight_decay(0.2)))?, "it is not AdamW")?;
    check(decoupled != run(&|p| Box::new(Adam::new(p, 0.01).weight_decay(0.2)))?, "it is plain Adam")
}

/// `state_dict()["param_groups"]` of PyTorch 2.15, but for the switch and the numbers of the parameters.
fn groups_of_pytorch(device: &Device) -> Outcome {
    let saved = |decoupled: bool| -> std::result::Result<_, String> {
        let text = format!(
            r#"[{{"lr": 0.02, "betas": [0.9, 0.99], "eps": 1e-08, "weight_decay": 0.1, "amsgrad": false, "maximize": false,
            "foreach": null, "capturable": false, "differentiable": false, "fused": null,
            "decoupled_weight_decay": {decoupled}, "params": [0, 1, 2, 3]}}]"#
        );
        let groups = OptimizerState::groups_from_json(&serde_json::from_str(&text).map_err(|e| e.to_string())?)?;
        Ok(OptimizerState { groups, ..OptimizerState::default() })
    };
    for decoupled in [false, true] {
        let mut adam = Adam::new(Task::new(device).model.parameters(), 0.01);
        adam.load_state_dict(&saved(decoupled)?)?;
        let option = adam.param_groups()[0].get("decoupled_weight_decay");
        check(option == Some(decoupled.into()), format!("the switch is {option:?}, not {decoupled}"))?;
        // AdamW's weight decay is decoupled whatever a state says, as in PyTorch.
        let mut adamw = AdamW::new(Task::new(device).model.parameters(), 0.01);
        adamw.load_state_dict(&saved(decoupled)?)?;
        check(adamw.lr() == 0.02, "the learning rate is not taken")?;
    }
    Ok(())
}

fn late_parameters(device: &Device) -> Outcome {
    // A parameter without gradient keeps its count: the second layer joins after two steps.
    let task = Task::new(device);
    let mut adam = Adam::new(task.model.parameters(), 0.01);
    let mut separate = Vec::new();
    let twin = Task::new(device);
    for p in twin.model.parameters() {
        separate.push(Adam::new([p], 0.01));
    }
    for step in 0..5 {
        for task in [&task, &twin] {
            task.backward(step)?;
            if step < 2 {
                task.model.parameters()[2..].iter().for_each(Parameter::zero_grad);
            }
        }
        adam.step()?;
        separate.iter_mut().try_for_each(Optimizer::step)?;
    }
    let state = adam.state_dict()?.tensors;
    let step = |i: usize| state.get(&format!("state.{i}.step")).expect("a step").item::<f32>();
    check((step(1)?, step(2)?) == (5.0, 3.0), "steps are counted for all parameters alike")?;
    check(task.bits()? == twin.bits()?, "together and alone differ")
}

/// The gradients of a task, as numbers.
fn gradients(task: &Task) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for p in task.model.parameters() {
        all.extend(p.grad().expect("a gradient").to_vec::<f64>()?);
    }
    Ok(all)
}

fn clip_norm(device: &Device) -> Outcome {
    let task = Task::new(device);
    let p = || task.model.parameters();
    let mut optimizer = SGD::new(p(), 0.0);
    for norm_type in [2.0, 1.0, f64::INFINITY, 3.0] {
        let options = ClipGradNormOptions { norm_type, ..Default::default() };
        let mut bits = Vec::new();
        for round in 0..2 {
            if round == 1 {
                // From now on the gradients lie in the optimiser's memory.
                optimizer.step()?;
            }
            task.backward(0)?;
            let before = gradients(&task)?;
            let sizes = before.iter().map(|g| g.abs());
            let want = match norm_type {
                f64::INFINITY => sizes.fold(0.0, f64::max),
                p => sizes.map(|g| g.powf(p)).sum::<f64>().powf(1.0 / p),
            };
            let norm = clip_grad_norm_with(p(), 0.3 * want, options)?.item::<f64>()?;
            check((norm - want).abs() < 1e-5 * want, format!("norm {norm_type} is {norm}, not {want}"))?;
            for (got, g) in gradients(&task)?.iter().zip(&before) {
                check((got - 0.3 * g).abs() < 1e-5 * want, format!("{g} became {got}"))?;
            }
            bits.push((norm.to_bits(), gradients(&task)?.iter().map(|g| g.to_bits()).collect::<Vec<_>>()));
            let before = gradients(&task)?;
            clip_grad_norm_with(p(), 10.0 * want, options)?;
            check(gradients(&task)? == before, "a norm below the limit was scaled")?;
        }
        if norm_type == 2.0 {
            check(bits[0] == bits[1], "the bits depend on where the gradients lie")?;
        }
    }
    p().iter().for_each(Parameter::zero_grad);
    check(clip_grad_norm_(p(), 1.0)?.item::<f32>()? == 0.0, "the norm of nothing is 0")
}

fn clip_value(device: &Device) -> Outcome {
    let task = Task::new(device);
    task.backward(0)?;
    let before = gradients(&task)?;
    clip_grad_value_(task.model.parameters(), 0.05)?;
    let want: Vec<f64> = before.iter().map(|g| g.clamp(-f64::from(0.05f32), f64::from(0.05f32))).collect();
    check(gradients(&task)? == want && want != before, "values are not clipped")
}

fn nonfinite_norms(device: &Device) -> Outcome {
    let w = Parameter::new(Tensor::full_on(&[3], 1.0, DType::F32, device));
    let set = |values: &[f32]| w.get().set_grad(Some(&Tensor::from_slice_on(values, &[3], device)));
    let strict = ClipGradNormOptions { error_if_nonfinite: true, ..Default::default() };
    for bad in [f32::NAN, f32::INFINITY] {
        set(&[1.0, bad, 2.0])?;
        let text = clip_grad_norm_with([w.clone()], 1.0, strict).expect_err("a norm that is no number").to_string();
        check(text.contains("norm of order 2"), text)?;
        check(w.grad().unwrap().to_vec::<f32>()?[2] == 2.0, "a refused norm changed the gradient")?;
        let norm = clip_grad_norm_([w.clone()], 1.0)?.item::<f32>()?;
        check(norm.is_nan() == bad.is_nan() && !norm.is_finite(), format!("the norm is {norm}"))?;
        let clipped = w.grad().unwrap().to_vec::<f32>()?;
        let as_in_pytorch = if bad.is_nan() { clipped[2].is_nan() } else { clipped[2] == 0.0 };
        check(clipped[1].is_nan() && as_in_pytorch, format!("the gradient became {clipped:?}"))?;
    }
    Ok(())
}

fn dispatches(device: &Device) -> Outcome {
    let small = |n: usize| Parameter::new(Tensor::full_on(&[n % 7 + 1], 1.0, DType::F32, device));
    let parameters: Vec<Parameter> = (0..200).map(small).collect();
    for p in &parameters {
        p.get().set_grad(Some(&p.get().detach()))?;
    }
    let count = |work: &mut dyn FnMut() -> Result<()>| -> Result<u64> {
        let before = device.counters().dispatches;
        work()?;
        Ok(device.counters().dispatches - before)
    };
    for (name, mut optimizer) in optimizers(&parameters) {
        optimizer.step()?;
        let step = count(&mut || optimizer.step())?;
        let want = if name == "SGD" { 1 } else { 2 };
        check(step == want, format!("{name}: {step} dispatches"))?;
        let norm = count(&mut || clip_grad_norm_(parameters.clone(), 1.0).map(|_| ()))?;
        check(norm == 3, format!("clip_grad_norm_: {norm} dispatches"))?;
        let value = count(&mut || clip_grad_value_(parameters.clone(), 1.0))?;
        check(value == 1, format!("clip_grad_value_: {value} dispatches"))?;
    }
    Ok(())
}
