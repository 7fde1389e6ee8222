//! The state of an optimiser, out and in, in PyTorch's form.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value as Json, json};

use super::arena::{Histories, Loose};
use super::core::{Core, Rule};
use super::options::{self, OptionValue, Options};
use crate::dtype::DType;
use crate::engine::Device;
use crate::nn::StateDict;
use crate::ops::optim::clock;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What an optimiser remembers: `optimizer.state_dict()` of PyTorch.
///
/// Parameters are numbered through all groups, in order. [`OptimizerState::tensors`] has the state of parameter 3 as
/// `state.3.exp_avg` and so on, with PyTorch's names, types and shapes, and [`OptimizerState::groups`] the options.
/// [`io::save_optimizer`](crate::io::save_optimizer) writes both to one file.
#[derive(Clone, Debug, Default)]
pub struct OptimizerState {
    /// The optimiser's name, as `Adam`; empty where it is not known.
    pub optimizer: String,
    /// The options of each group.
    pub groups: Vec<GroupState>,
    /// `state.INDEX.NAME`.
    pub tensors: StateDict,
}

/// The options of a group, by PyTorch's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupState {
    /// The numbers of its parameters.
    pub params: Vec<usize>,
    /// The options.
    pub options: BTreeMap<String, OptionValue>,
    /// The learning rate that schedules start from.
    pub initial_lr: Option<f64>,
}

/// Entries of PyTorch's groups that say how it computes and not what, or that its schedules leave there.
const IGNORED: &[&str] =
    &["foreach", "capturable", "differentiable", "fused", "max_lr", "min_lr", "max_momentum", "base_momentum"];

impl OptimizerState {
    /// The groups as JSON, in the form of PyTorch's `state_dict()["param_groups"]`.
    pub fn groups_to_json(&self) -> Json {
        let group = |g: &GroupState| {
            let value = |v: &OptionValue| match *v {
                OptionValue::Number(v) => json!(v),
                OptionValue::Pair(a, b) => json!([a, b]),
                OptionValue::Switch(v) => json!(v),
            };
            let mut map: Map<String, Json> = g.options.iter().map(|(name, v)| (name.clone(), value(v))).collect();
            map.extend(g.initial_lr.map(|lr| ("initial_lr".to_string(), json!(lr))));
            map.insert("params".into(), json!(g.params));
            Json::Object(map)
        };
        Json::Array(self.groups.iter().map(group).collect())
    }

    /// Groups from JSON. Entries that only say how PyTorch computes, such as `foreach`, are left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn groups_from_json(json: &Json) -> Result<Vec<GroupState>, String> {
        let list = json.as_array().ok_or("the groups are no list")?;
        list.iter().enumerate().map(|(i, g)| group_from_json(g).map_err(|e| format!("group {i}: {e}"))).collect()
    }
}

fn group_from_json(json: &Json) -> Result<GroupState, String> {
    let mut group = GroupState::default();
    for (name, value) in json.as_object().ok_or("it is no object")? {
        let wrong = || format!("{name}: {value} is not understood");
        match (name.as_str(), value) {
            ("params", _) => {
                let numbers = value.as_array().ok_or_else(wrong)?.iter();
                let numbers = numbers.map(|n| n.as_u64().map(|n| n as usize)).collect::<Option<_>>();
                group.params = numbers.ok_or_else(wrong)?;
            }
            ("initial_lr", _) => group.initial_lr = Some(value.as_f64().ok_or_else(wrong)?),
            (ignored, _) if IGNORED.contains(&ignored) => {}
            (_, Json::Bool(v)) => {
                group.options.insert(name.clone(), OptionValue::Switch(*v));
            }
            (_, Json::Number(v)) => {
                group.options.insert(name.clone(), OptionValue::Number(v.as_f64().ok_or_else(wrong)?));
            }
            (_, Json::Array(pair)) if pair.len() == 2 => {
                let number = |i: usize| pair[i].as_f64().ok_or_else(wrong);
                group.options.insert(name.clone(), OptionValue::Pair(number(0)?, number(1)?));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(group)
}

/// Copies of everything, with the clocks read.
pub(super) fn save(core: &Core) -> Result<OptimizerState> {
    let mut saved = OptimizerState { optimizer: core.rule.name.into(), ..OptimizerState::default() };
    let host = Device::reference();
    let mut first = 0;
    for (group, arenas) in core.groups.iter().zip(&core.arenas) {
        let rows = arenas.clock_rows()?;
        let names = (core.rule.state)(group.settings());
        for (i, row) in rows {
            // SGD's momentum does not exist before the first update of it.
            if core.rule.scalars.is_empty() && row[clock::STEP] == 0.0 {
                continue;
            }
            let view = arenas.view(i).expect("what has a clock has a state");
            let name = |name: &str| format!("state.{}.{name}", first + i);
            for (scalar, at) in core.rule.scalars {
                saved.tensors.insert(name(scalar), Tensor::try_from_slice_on(&[row[*at]], &[], &host)?);
            }
            for (entry, tensor) in view.state.iter().filter(|(entry, _)| names.contains(entry)) {
                saved.tensors.insert(name(entry), tensor.try_copy()?.healthy()?);
            }
        }
        let params = (first..first + group.parameters.len()).collect();
        let options = group.options().map(|(name, value)| (name.to_string(), value)).collect();
        saved.groups.push(GroupState { params, options, initial_lr: group.initial_lr });
        first += group.parameters.len();
    }
    Ok(saved)
}

/// Checks everything, brings every tensor to its device, and only then takes it over.
pub(super) fn load(core: &mut Core, saved: &OptimizerState) -> Result<()> {
    let misfit = misfit(core, saved);
    if !misfit.is_empty() {
        return Err(Error::StateDict(misfit));
    }
    let mut problems = Vec::new();
    let mut entries = entries(&saved.tensors, &mut problems);
    let mut new: Vec<(Options, FxHashMap<usize, Loose>)> = Vec::new();
    let mut histories = Histories::default();
    for (g, (group, own)) in saved.groups.iter().zip(&core.groups).enumerate() {
        let options = match options_of(core.rule, group) {
            Ok(options) => options,
            Err(wrong) => {
                problems.extend(wrong.into_iter().map(|detail| format!("group {g}: {detail}")));
                continue;
            }
        };
        let mut state = FxHashMap::default();
        for (i, (index, parameter)) in group.params.iter().zip(&own.parameters).enumerate() {
            let Some(list) = entries.remove(index) else { continue };
            let wrong = wrong_entries(core.rule, &options, &list, &parameter.shape());
            if wrong.is_empty() {
                state.insert(i, loose(core.rule, &options, &list, parameter.get().device(), &mut histories)?);
            }
            problems.extend(wrong.into_iter().map(|detail| format!("parameter {index}: {detail}")));
        }
        new.push((options, state));
    }
    if problems.is_empty() {
        problems.extend(entries.keys().map(|index| format!("no group has parameter {index}, which has a state")));
    }
    if !problems.is_empty() {
        problems.sort();
        return Err(Error::StateDict(problems));
    }
    for (g, (options, state)) in new.into_iter().enumerate() {
        core.groups[g].change(|own| *own = options);
        core.groups[g].initial_lr = saved.groups[g].initial_lr;
        core.arenas[g].replace(state);
    }
    Ok(())
}

/// What can be said before looking at tensors: another optimiser, other groups.
fn misfit(core: &Core, saved: &OptimizerState) -> Vec<String> {
    let mut problems = Vec::new();
    if !saved.optimizer.is_empty() && saved.optimizer != core.rule.name {
        problems.push(format!("the state is of {}, this is {}", saved.optimizer, core.rule.name));
    }
    let (given, own) = (saved.groups.len(), core.groups.len());
    if given != own {
        problems.push(format!("the state has {given} groups, this optimiser has {own}"));
    }
    for (g, (group, own)) in saved.groups.iter().zip(&core.groups).enumerate() {
        let (given, has) = (group.params.len(), own.parameters.len());
        if given != has {
            problems.push(format!("group {g} of the state has {given} parameters, of this optimiser {has}"));
        }
    }
    problems
}

/// The tensors by the number of their parameter.
fn entries<'a>(tensors: &'a StateDict, problems: &mut Vec<String>) -> FxHashMap<usize, Vec<(&'a str, &'a Tensor)>> {
    let mut entries: FxHashMap<usize, Vec<(&str, &Tensor)>> = FxHashMap::default();
    for (key, tensor) in tensors.iter() {
        let parts = key.strip_prefix("state.").and_then(|rest| rest.split_once('.'));
        match parts.and_then(|(index, name)| Some((index.parse().ok()?, name))) {
            Some((index, name)) => entries.entry(index).or_default().push((name, tensor)),
            None => problems.push(format!("{key:?} is no entry of a state: those are named `state.INDEX.NAME`")),
        }
    }
    entries
}

/// The options of a saved group; what it does not name has the optimiser's default, but for the learning rate.
fn options_of(rule: &Rule, group: &GroupState) -> Result<Options, Vec<String>> {
    let mut options = Options::default();
    let mut problems = Vec::new();
    for spec in rule.options {
        options.put(spec.name, spec.default, true);
    }
    if !group.options.contains_key("lr") {
        problems.push("there is no learning rate".to_string());
    }
    // PyTorch's AdamW is its Adam with this switch, which stays on whatever a state says.
    let implied = |name: &str| rule.name == "AdamW" && name == "decoupled_weight_decay";
    for (name, &value) in group.options.iter().filter(|(name, _)| !implied(name)) {
        match options::check(rule.name, rule.options, name, value) {
            Ok(name) => options.put(name, value, true),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() { Ok(options) } else { Err(problems) }
}

fn wrong_entries(rule: &Rule, options: &Options, list: &[(&str, &Tensor)], shape: &[usize]) -> Vec<String> {
    let mut problems = Vec::new();
    let names = (rule.state)(options);
    let scalars = rule.scalars.iter().map(|(name, _)| name);
    for name in names.iter().chain(scalars).filter(|name| !list.iter().any(|(n, _)| n == *name)) {
        problems.push(format!("{name:?} is missing"));
    }
    for (name, tensor) in list {
        if rule.scalars.iter().any(|(n, _)| n == name) {
            if tensor.numel() != 1 {
                problems.push(format!("{name:?} has shape {:?}, it is a single number", tensor.shape()));
            }
        } else if !names.contains(name) {
            problems.push(format!("{} with these options has no {name:?}", rule.name));
        } else if tensor.shape() != shape {
            problems.push(format!("{name:?} has shape {:?}, the parameter {shape:?}", tensor.shape()));
        } else if tensor.dtype() != DType::F32 {
            problems.push(format!("{name:?} holds {}, it is of f32", tensor.dtype()));
        }
    }
    problems
}

/// The state of a parameter from entries that were checked, its tensors on the parameter's device.
fn loose(
    rule: &Rule,
    options: &Options,
    list: &[(&str, &Tensor)],
    device: &Device,
    histories: &mut Histories,
) -> Result<Loose> {
    let entry = |name: &str| list.iter().find(|(n, _)| *n == name).expect("the entries were checked").1;
    let mut row = [0f32; clock::ROW];
    if rule.scalars.is_empty() {
        // There is no count: what has a momentum has been updated.
        row[clock::STEP] = 1.0;
    }
    for (name, at) in rule.scalars {
        row[*at] = entry(name).item::<f64>()? as f32;
    }
    // Copies: what the caller does with the saved tensors is nothing to the optimiser.
    let copy = |name: &'static str| {
        let tensor = entry(name).detach();
        let tensor = if tensor.device() == device { tensor.try_copy()? } else { tensor.to(device) };
        Ok((name, tensor.healthy()?))
    };
    let state = (rule.state)(options).iter().map(|name| copy(name)).collect::<Result<_>>()?;
    let clock = Tensor::try_from_slice_on(&row, &[clock::ROW], &Device::reference())?;
    Ok(Loose { clock, history: histories.of(&row), state })
}
