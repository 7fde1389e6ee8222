//! Learning rates beside PyTorch's: every schedule, for two groups, and the momentum where it moves too.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use lumigrad::optim::lr_scheduler::{
    AnnealStrategy, ChainedScheduler, ConstantLR, CosineAnnealingLR, CosineAnnealingWarmRestarts, CyclicLR, CyclicMode,
    ExponentialLR, LRScheduler, LambdaLR, LinearLR, LrLambda, MultiStepLR, MultiplicativeLR, OneCycleLR, PlateauMode,
    PolynomialLR, ReduceLROnPlateau, ScaleMode, Schedule, SequentialLR, StepLR, ThresholdMode,
};
use lumigrad::optim::{OptionValue, ParamGroup, SGD};
use lumigrad::prelude::*;
use serde_json::Value as Json;

use crate::values;

type Outcome = std::result::Result<(), Failed>;

/// A trial for each recorded schedule. They are numbers of the host: there is one body.
pub fn trials() -> Vec<Trial> {
    let (one, two) = (Arc::new(values::json("trajectories.json")), Arc::new(values::json("trajectories_more.json")));
    let names = |json: &Json| {
        json["schedules"]["runs"].as_object().expect("runs by name").keys().cloned().collect::<Vec<String>>()
    };
    let mut trials = Vec::new();
    for name in names(&one) {
        let json = one.clone();
        trials.push(Trial::test(format!("schedule::{name}::alone"), move || {
            alone(&json["schedules"]["runs"][&name], &name)
        }));
    }
    for name in names(&two) {
        let json = two.clone();
        trials.push(Trial::test(format!("schedule::{name}"), move || groups(&json["schedules"], &name)));
    }
    trials
}

fn parameter() -> Parameter {
    Parameter::new(Tensor::full_on(&[1], 1.0, DType::F32, &Device::reference()))
}

/// Equal but for the rounding of a few operations.
fn same(what: &str, got: f64, want: f64) -> Outcome {
    let near = (got - want).abs() <= 1e-13 * want.abs().max(1e-6);
    if near { Ok(()) } else { Err(format!("{what} is {got:e}, not {want:e}").into()) }
}

fn alone(run: &Json, name: &str) -> Outcome {
    let mut optimizer = SGD::new([parameter()], run["base_lr"].as_f64().expect("a rate"));
    let number = |name: &str| run["kwargs"][name].as_f64().unwrap_or_else(|| panic!("no number {name}"));
    let count = |name: &str| number(name) as usize;
    let o = &mut optimizer;
    let mut scheduler: Box<dyn LRScheduler> = match name {
        "StepLR" => Box::new(StepLR::new(count("step_size")).gamma(number("gamma")).on(o)),
        "CosineAnnealingLR" => Box::new(CosineAnnealingLR::new(count("T_max")).eta_min(number("eta_min")).on(o)),
        "PolynomialLR" => Box::new(PolynomialLR::new().total_iters(count("total_iters")).power(number("power")).on(o)),
        "CyclicLR" => {
            let cyclic = CyclicLR::new(number("base_lr"), number("max_lr")).step_size_up(count("step_size_up"));
            Box::new(cyclic.cycle_momentum(false).on(o))
        }
        other => panic!("no schedule {other} here"),
    };
    for (step, want) in run["lr"].as_array().expect("rates").iter().enumerate() {
        same(&format!("the rate of step {step}"), optimizer.lr(), want.as_f64().expect("a number"))?;
        scheduler.step(&mut optimizer);
    }
    Ok(())
}

/// Two groups, with rates of 0.2 and 0.05.
fn optimizer() -> SGD {
    let mut optimizer = SGD::new([parameter()], 0.2).momentum(0.9);
    optimizer.add_param_group(ParamGroup::new([parameter()]).lr(0.05));
    optimizer
}

/// A schedule with or without a measure.
enum Kind {
    Plain(Box<dyn LRScheduler>),
    Plateau(Box<ReduceLROnPlateau>),
}

impl Kind {
    fn step(&mut self, measure: f64, optimizer: &mut SGD) {
        match self {
            Kind::Plain(scheduler) => scheduler.step(optimizer),
            Kind::Plateau(scheduler) => scheduler.step(measure, optimizer),
        }
    }

    fn last_lr(&self) -> &[f64] {
        match self {
            Kind::Plain(scheduler) => scheduler.get_last_lr(),
            Kind::Plateau(scheduler) => scheduler.get_last_lr(),
        }
    }

    fn state(&self) -> Json {
        match self {
            Kind::Plain(scheduler) => scheduler.state_dict(),
            Kind::Plateau(scheduler) => scheduler.state_dict(),
        }
    }

    fn load(&mut self, state: &Json) -> Result<()> {
        match self {
            Kind::Plain(scheduler) => scheduler.load_state_dict(state),
            Kind::Plateau(scheduler) => scheduler.load_state_dict(state),
        }
    }
}

fn make(name: &str, o: &mut SGD) -> Kind {
    fn boxed(scheduler: impl LRScheduler + 'static) -> Box<dyn LRScheduler> {
        Box::new(scheduler)
    }
    let triangle = || CyclicLR::new(0.01, 0.2).step_size_up(4);
    Kind::Plain(match name {
        "StepLR" => boxed(StepLR::new(4).gamma(0.5).on(o)),
        "MultiStepLR" => boxed(MultiStepLR::new([3, 3, 11, 20]).gamma(0.3).on(o)),
        "ConstantLR" => boxed(ConstantLR::new().factor(0.2).total_iters(7).on(o)),
        "LinearLR" => boxed(LinearLR::new().start_factor(0.25).end_factor(0.9).total_iters(8).on(o)),
        "ExponentialLR" => boxed(ExponentialLR::new(0.9).on(o)),
        "PolynomialLR" => boxed(PolynomialLR::new().total_iters(12).power(1.7).on(o)),
        "CosineAnnealingLR" => boxed(CosineAnnealingLR::new(7).eta_min(0.01).on(o)),
        "CosineAnnealingWarmRestarts" => boxed(CosineAnnealingWarmRestarts::new(4).t_mult(2).eta_min(0.001).on(o)),
        "CosineAnnealingWarmRestarts_even" => boxed(CosineAnnealingWarmRestarts::new(6).on(o)),
        "LambdaLR" => {
            let lambdas: Vec<LrLambda> =
                vec![Box::new(|e| 0.95f64.powf(e as f64)), Box::new(|e| 1.0 / (1.0 + e as f64))];
            boxed(LambdaLR::each(lambdas).on(o))
        }
        "MultiplicativeLR" => boxed(MultiplicativeLR::new(|e| 0.9 + 0.01 * (e % 3) as f64).on(o)),
        "OneCycleLR" => boxed(OneCycleLR::new([0.3, 0.1], 30).on(o)),
        "OneCycleLR_three" => {
            let cycle = OneCycleLR::new(0.3, 30).pct_start(0.2).anneal_strategy(AnnealStrategy::Linear);
            let cycle = cycle.three_phase(true).base_momentum(0.7).max_momentum(0.9);
            boxed(cycle.div_factor(10.0).final_div_factor(100.0).on(o))
        }
        "CyclicLR_triangular" => boxed(CyclicLR::new(0.01, 0.2).step_size_up(5).step_size_down(3).on(o)),
        "CyclicLR_triangular2" => {
            let cyclic = CyclicLR::new([0.01, 0.02], [0.2, 0.3]).step_size_up(4);
            boxed(cyclic.mode(CyclicMode::Triangular2).on(o))
        }
        "CyclicLR_exp_range" => {
            let cyclic = triangle().mode(CyclicMode::ExpRange).gamma(0.97);
            boxed(cyclic.base_momentum(0.6).max_momentum(0.95).on(o))
        }
        "CyclicLR_scale_fn" => {
            let cyclic = triangle().scale_fn(|x| 1.0 / 5f64.powf(x * 0.1), ScaleMode::Iterations);
            boxed(cyclic.cycle_momentum(false).on(o))
        }
        "SequentialLR" => {
            let parts = vec![
                boxed(LinearLR::new().start_factor(0.1).total_iters(5).on(o)),
                boxed(CosineAnnealingLR::new(10).on(o)),
                boxed(ExponentialLR::new(0.8).on(o)),
            ];
            boxed(SequentialLR::new(o, parts, [5, 18]))
        }
        "SequentialLR_restarts" => {
            let parts = vec![
                boxed(ConstantLR::new().factor(0.1).total_iters(3).on(o)),
                boxed(CosineAnnealingWarmRestarts::new(4).on(o)),
                boxed(StepLR::new(3).on(o)),
            ];
            boxed(SequentialLR::new(o, parts, [4, 14]))
        }
        "ChainedScheduler" => boxed(ChainedScheduler::new(vec![
            boxed(ConstantLR::new().factor(0.1).total_iters(4).on(o)),
            boxed(ExponentialLR::new(0.9).on(o)),
        ])),
        "ReduceLROnPlateau" => return Kind::Plateau(Box::new(ReduceLROnPlateau::new().factor(0.5).patience(2))),
        "ReduceLROnPlateau_all" => {
            let plateau = ReduceLROnPlateau::new().mode(PlateauMode::Max).factor(0.3).patience(1).cooldown(2);
            let plateau = plateau.threshold(0.05, ThresholdMode::Abs).min_lr([0.01, 0.001]);
            return Kind::Plateau(Box::new(plateau));
        }
        other => panic!("no schedule {other} here"),
    })
}

/// The whole way; then from the middle again with a new optimiser and schedule that take over the saved states.
fn groups(recorded: &Json, name: &str) -> Outcome {
    let run = &recorded["runs"][name];
    let measure = |step: usize| recorded["metrics"][step].as_f64().expect("a measure");
    let (mut optimizer, mut again) = (self::optimizer(), self::optimizer());
    let (mut scheduler, mut other) = (make(name, &mut optimizer), make(name, &mut again));
    let rates = run["lr"].as_array().expect("rates");
    for (step, want) in rates.iter().enumerate() {
        check(run, step, &optimizer, want)?;
        if step == rates.len() / 2 {
            // Through text, as in a file.
            let state = serde_json::from_str(&scheduler.state().to_string())?;
            other.load(&state)?;
            again.load_state_dict(&optimizer.state_dict()?)?;
        }
        if step >= rates.len() / 2 {
            check(run, step, &again, want).map_err(|e| format!("after loading: {}", e.message().unwrap_or("")))?;
            other.step(measure(step), &mut again);
        }
        scheduler.step(measure(step), &mut optimizer);
        let now: Vec<f64> = optimizer.param_groups().iter().map(ParamGroup::get_lr).collect();
        if scheduler.last_lr() != now {
            return Err(format!("get_last_lr after step {step}: {:?}, not {now:?}", scheduler.last_lr()).into());
        }
    }
    let mut state = scheduler.state();
    if let Some(map) = state.as_object_mut() {
        map.remove("_last_lr");
    }
    let before = scheduler.state();
    let text = scheduler.load(&state).expect_err("a state without an entry").to_string();
    if !text.contains("_last_lr") || scheduler.state() != before {
        return Err(format!("a state without an entry: {text}").into());
    }
    Ok(())
}

fn check(run: &Json, step: usize, optimizer: &SGD, want: &Json) -> Outcome {
    for (g, group) in optimizer.param_groups().iter().enumerate() {
        same(&format!("the rate of group {g} at step {step}"), group.get_lr(), want[g].as_f64().expect("a rate"))?;
    }
    if let Some(momentum) = run["momentum"][step].as_f64() {
        let Some(OptionValue::Number(got)) = optimizer.param_groups()[1].get("momentum") else {
            return Err("no momentum".into());
        };
        same(&format!("the momentum of step {step}"), got, momentum)?;
    }
    Ok(())
}
