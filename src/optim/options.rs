//! Options of optimisers as named values, so that groups, schedules and saved states can treat all optimisers alike.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use smallvec::SmallVec;

use crate::{Error, Result};

/// The value of an optimiser's option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptionValue {
    /// A number, such as `lr`.
    Number(f64),
    /// Two numbers, such as `betas`.
    Pair(f64, f64),
    /// A switch, such as `nesterov`.
    Switch(bool),
}

impl From<f64> for OptionValue {
    fn from(value: f64) -> Self {
        OptionValue::Number(value)
    }
}

impl From<(f64, f64)> for OptionValue {
    fn from((a, b): (f64, f64)) -> Self {
        OptionValue::Pair(a, b)
    }
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> Self {
        OptionValue::Switch(value)
    }
}

/// What an optimiser knows about one of its options.
pub(super) struct OptionSpec {
    pub name: &'static str,
    pub default: OptionValue,
    /// Whether the value is of the right kind and in its domain.
    pub check: fn(OptionValue) -> bool,
    pub domain: &'static str,
}

/// The learning rate, the first option of every optimiser.
pub(super) const LR: OptionSpec = OptionSpec {
    name: "lr",
    default: OptionValue::Number(0.0),
    check: |v| matches!(v, OptionValue::Number(lr) if lr >= 0.0),
    domain: "the learning rate is a number that is not negative",
};

/// One option of one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub name: &'static str,
    pub value: OptionValue,
    /// Whether it was given for this group and does not follow the optimiser's default.
    pub own: bool,
}

/// Options by name, in the optimiser's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Options(pub SmallVec<[Setting; 8]>);

impl Options {
    pub fn get(&self, name: &str) -> Option<OptionValue> {
        self.0.iter().find(|s| s.name == name).map(|s| s.value)
    }

    /// Sets a value without looking at it; adds the option where it is missing.
    pub fn put(&mut self, name: &'static str, value: OptionValue, own: bool) {
        match self.0.iter_mut().find(|s| s.name == name) {
            Some(setting) => (setting.value, setting.own) = (value, own),
            None => self.0.push(Setting { name, value, own }),
        }
    }

    /// A number that the optimiser's own table has.
    pub fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(OptionValue::Number(v)) => v,
            other => unreachable!("option `{name}` is a number, not {other:?}"),
        }
    }

    /// A pair that the optimiser's own table has.
    pub fn pair(&self, name: &str) -> (f64, f64) {
        match self.get(name) {
            Some(OptionValue::Pair(a, b)) => (a, b),
            other => unreachable!("option `{name}` is a pair, not {other:?}"),
        }
    }

    /// A switch that the optimiser's own table has.
    pub fn switch(&self, name: &str) -> bool {
        match self.get(name) {
            Some(OptionValue::Switch(v)) => v,
            other => unreachable!("option `{name}` is a switch, not {other:?}"),
        }
    }
}

/// The options that a group has now, for recorded steps that depend on them.
#[derive(Debug, Default)]
pub(super) struct Published {
    version: AtomicU64,
    options: Mutex<Options>,
}

impl Published {
    pub fn put(&self, options: &Options) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options.clone();
        self.version.fetch_add(1, Relaxed);
    }

    pub fn get(&self) -> Options {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often they have changed.
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }
}

/// Whether an optimiser with these options takes the value.
pub(super) fn check(
    optimizer: &'static str,
    specs: &[OptionSpec],
    name: &str,
    value: OptionValue,
) -> Result<&'static str> {
    let Some(spec) = specs.iter().find(|s| s.name == name) else {
        let names: Vec<_> = specs.iter().map(|s| s.name).collect();
        let detail = format!("there is no option `{name}`; there are {}", names.join(", "));
        return Err(Error::argument(optimizer, detail));
    };
    if (spec.check)(value) {
        return Ok(spec.name);
    }
    let given = match value {
        OptionValue::Number(v) => v.to_string(),
        OptionValue::Pair(a, b) => format!("({a}, {b})"),
        OptionValue::Switch(v) => v.to_string(),
    };
    Err(Error::argument(optimizer, format!("{name}: {given} given, but {}", spec.domain)))
}
