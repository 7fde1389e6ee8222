//! Groups of parameters with options of their own.

use std::sync::Arc;

use super::core::Rule;
use super::options::{self, OptionValue, Options, Published};
use crate::nn::Parameter;
use crate::{Error, Result};

/// Parameters that are updated with the same options: an entry of PyTorch's `optimizer.param_groups`.
///
/// Made with the options in which the group differs from the optimiser's defaults, and given to
/// [`Optimizer::add_param_group`](super::Optimizer::add_param_group) or an optimiser's `from_groups`.
///
/// ```
/// use lumigrad::{nn, optim::{ParamGroup, SGD}, prelude::*};
/// let (base, head) = (nn::Linear::new(4, 3), nn::Linear::new(3, 2));
/// let mut optimizer = SGD::new(base.parameters(), 1e-2).momentum(0.9);
/// optimizer.add_param_group(ParamGroup::new(head.parameters()).lr(1e-3));
/// let groups = optimizer.param_groups();
/// assert_eq!((groups[0].get_lr(), groups[1].get_lr()), (1e-2, 1e-3));
/// assert_eq!(groups[1].get("momentum"), Some(0.9.into()));
/// ```
pub struct ParamGroup {
    pub(super) parameters: Vec<Parameter>,
    options: Options,
    published: Arc<Published>,
    /// The optimiser's table, once it belongs to one.
    pub(super) rule: Option<&'static Rule>,
    /// The learning rate that schedules start from.
    pub(super) initial_lr: Option<f64>,
}

impl ParamGroup {
    /// Parameters with an optimiser's defaults. One that is named twice counts once.
    pub fn new(parameters: impl IntoIterator<Item = Parameter>) -> ParamGroup {
        let mut list: Vec<Parameter> = Vec::new();
        let mut seen = rustc_hash::FxHashSet::default();
        list.extend(parameters.into_iter().filter(|p| seen.insert(p.id())));
        let (options, published) = (Options::default(), Arc::default());
        ParamGroup { parameters: list, options, published, rule: None, initial_lr: None }
    }

    /// With another value of an option, by PyTorch's name. Whether the optimiser has it is checked when the group is
    /// added.
    pub fn with(mut self, name: &'static str, value: impl Into<OptionValue>) -> ParamGroup {
        self.change(|options| options.put(name, value.into(), true));
        self
    }

    /// With another learning rate.
    pub fn lr(self, lr: f64) -> ParamGroup {
        self.with("lr", lr)
    }

    /// With another weight decay.
    pub fn weight_decay(self, weight_decay: f64) -> ParamGroup {
        self.with("weight_decay", weight_decay)
    }

    /// With another momentum.
    pub fn momentum(self, momentum: f64) -> ParamGroup {
        self.with("momentum", momentum)
    }

    /// With other averaging factors.
    pub fn betas(self, betas: (f64, f64)) -> ParamGroup {
        self.with("betas", betas)
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The names and values of all options.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, OptionValue)> {
        self.options.0.iter().map(|s| (s.name, s.value))
    }

    /// The value of an option, by PyTorch's name.
    pub fn get(&self, name: &str) -> Option<OptionValue> {
        self.options.get(name)
    }

    /// Changes an option from the next step on.
    ///
    /// # Errors
    /// When the optimiser has no such option, or the value is outside its domain.
    pub fn set(&mut self, name: &str, value: impl Into<OptionValue>) -> Result<()> {
        let value = value.into();
        let Some(rule) = self.rule else {
            return Err(Error::argument("set", "the group belongs to no optimiser yet; use `with`"));
        };
        let name = options::check(rule.name, rule.options, name, value)?;
        self.change(|options| options.put(name, value, true));
        Ok(())
    }

    /// The learning rate.
    ///
    /// # Panics
    /// When the group belongs to no optimiser yet, and has no learning rate of its own.
    #[track_caller]
    pub fn get_lr(&self) -> f64 {
        match self.get("lr") {
            Some(OptionValue::Number(lr)) => lr,
            _ => panic!("the group belongs to no optimiser yet, and has no learning rate"),
        }
    }

    /// Changes the learning rate from the next step on.
    pub fn set_lr(&mut self, lr: f64) {
        self.change(|options| options.put("lr", OptionValue::Number(lr), true));
    }

    /// The learning rate that schedules start from: what it was when the first schedule was made.
    pub fn initial_lr(&self) -> Option<f64> {
        self.initial_lr
    }

    /// All options.
    pub(super) fn settings(&self) -> &Options {
        &self.options
    }

    /// Changes options, and tells recorded steps.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options);
        self.published.put(&self.options);
    }

    /// What recorded steps look at.
    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Checks the options and fills in the optimiser's defaults.
    pub(super) fn adopt(&mut self, rule: &'static Rule, defaults: &Options) -> Result<()> {
        for setting in &self.options.0 {
            options::check(rule.name, rule.options, setting.name, setting.value)?;
        }
        self.change(|options| {
            let given = std::mem::replace(options, defaults.clone());
            given.0.into_iter().for_each(|setting| options.put(setting.name, setting.value, true));
        });
        self.rule = Some(rule);
        Ok(())
    }
}

impl Clone for ParamGroup {
    fn clone(&self) -> Self {
        let (parameters, options) = (self.parameters.clone(), self.options.clone());
        // A group of its own, which does not speak for the first.
        let published = Arc::<Published>::default();
        published.put(&options);
        ParamGroup { parameters, options, published, rule: self.rule, initial_lr: self.initial_lr }
    }
}

impl std::fmt::Debug for ParamGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("ParamGroup");
        debug.field("parameters", &self.parameters.len());
        self.options().for_each(|(name, value)| {
            debug.field(name, &value);
        });
        debug.finish()
    }
}
