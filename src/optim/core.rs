//! What all optimisers share: groups, their memory, and the macro that declares one.

use super::arena::{Arenas, Update};
use super::group::ParamGroup;
use super::options::{OptionSpec, OptionValue, Options};
use super::state::{self, OptimizerState};
use crate::engine::profile::{self, SpanKind};
use crate::nn::Parameter;
use crate::ops::optim::clock::Numbers;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What an optimiser is, but for its memory.
pub(crate) struct Rule {
    pub name: &'static str,
    pub options: &'static [OptionSpec],
    /// What must hold between options; the text says what.
    pub check: fn(&Options) -> Option<&'static str>,
    /// The state that has a parameter's shape, by PyTorch's names, in the order that `update` finds it in.
    pub state: fn(&Options) -> &'static [&'static str],
    /// Single numbers of the state: PyTorch's name, and where they are in a clock's row.
    pub scalars: &'static [(&'static str, usize)],
    /// What an entry of the state starts from.
    pub initial: fn(&Options, &str) -> f64,
    /// What the clock computes; `None` when nothing depends on it.
    pub clock: fn(&Options) -> Option<Numbers>,
    /// Runs the kernel on a range of an arena.
    pub update: fn(&Options, &Update<'_>) -> Result<()>,
}

/// Groups and their memory.
pub(super) struct Core {
    pub rule: &'static Rule,
    defaults: Options,
    pub groups: Vec<ParamGroup>,
    pub arenas: Vec<Arenas>,
}

impl Core {
    #[track_caller]
    pub fn new(rule: &'static Rule, groups: impl IntoIterator<Item = ParamGroup>, lr: f64) -> Core {
        let mut defaults = Options::default();
        for spec in rule.options {
            defaults.put(spec.name, spec.default, false);
        }
        let mut core = Core { rule, defaults, groups: Vec::new(), arenas: Vec::new() };
        core.set_default("lr", lr.into());
        groups.into_iter().for_each(|group| core.add(group));
        core
    }

    /// Changes a default, and with it the groups that have no value of their own.
    #[track_caller]
    pub fn set_default(&mut self, name: &'static str, value: OptionValue) {
        if let Err(error) = super::options::check(self.rule.name, self.rule.options, name, value) {
            panic!("{error}");
        }
        self.defaults.put(name, value, false);
        for group in &mut self.groups {
            group.change(|options| {
                for setting in options.0.iter_mut().filter(|s| s.name == name && !s.own) {
                    setting.value = value;
                }
            });
        }
    }

    #[track_caller]
    pub fn add(&mut self, mut group: ParamGroup) {
        let taken = |p: &Parameter| self.groups.iter().flat_map(|g| &g.parameters).any(|q| q.is(p));
        if let Some(twice) = group.parameters.iter().find(|p| taken(p)) {
            panic!("{}: a parameter of shape {:?} is in more than one group", self.rule.name, twice.shape());
        }
        if let Err(error) = group.adopt(self.rule, &self.defaults) {
            panic!("{error}");
        }
        self.arenas.push(Arenas::new(group.parameters.iter().cloned()));
        self.groups.push(group);
    }

    /// Updates all parameters, unless the flag `found` is set.
    pub fn step(&mut self, found: Option<&Tensor>) -> Result<()> {
        let _span = profile::span(SpanKind::Phase, "optimizer step");
        for group in &self.groups {
            if let Some(problem) = (self.rule.check)(group.settings()) {
                return Err(Error::argument(self.rule.name, problem));
            }
        }
        // All groups are made ready before the first is updated: a failure leaves every parameter as it was.
        for (group, arenas) in self.groups.iter().zip(&mut self.arenas) {
            arenas.prepare(self.rule, group.settings())?;
        }
        for (group, arenas) in self.groups.iter().zip(&mut self.arenas) {
            arenas.step(self.rule, group, found)?;
        }
        Ok(())
    }

    pub fn zero_grad(&self) {
        self.groups.iter().flat_map(|g| &g.parameters).for_each(Parameter::zero_grad);
    }

    pub fn state_dict(&self) -> Result<OptimizerState> {
        state::save(self)
    }

    pub fn load_state_dict(&mut self, saved: &OptimizerState) -> Result<()> {
        state::load(self, saved)
    }
}

/// Declares an optimiser: its options with defaults and domains, and its rule.
macro_rules! optimizer {
    (
        $(#[$meta:meta])* $name:ident, $text:literal;
        options { $($(#[$ometa:meta])* $option:ident: $ty:ty = $default:expr, $check:expr, $domain:literal;)* }
        rule { $($field:ident: $value:expr),* $(,)? }
    ) => {
        $(#[$meta])*
        pub struct $name($crate::optim::core::Core);

        impl $name {
            const RULE: &'static $crate::optim::core::Rule = &$crate::optim::core::Rule {
                name: $text,
                options: &[
                    $crate::optim::options::LR,
                    $($crate::optim::options::OptionSpec {
                        name: stringify!($option),
                        default: $default,
                        check: |value| {
                            let check: fn($ty) -> bool = $check;
                            <$ty as $crate::optim::core::FromOption>::from_option(value).is_some_and(check)
                        },
                        domain: $domain,
                    },)*
                ],
                $($field: $value),*
            };

            /// For these parameters, with this learning rate and otherwise PyTorch's defaults.
            ///
            /// # Panics
            /// When the learning rate is negative.
            #[track_caller]
            pub fn new(parameters: impl IntoIterator<Item = $crate::nn::Parameter>, lr: f64) -> Self {
                Self::from_groups([$crate::optim::ParamGroup::new(parameters)], lr)
            }

            /// For groups of parameters that may have options of their own.
            ///
            /// # Panics
            /// When the learning rate is negative, a parameter is in two groups, or a group has an option that this
            /// optimiser does not know or a value outside its domain.
            #[track_caller]
            pub fn from_groups(groups: impl IntoIterator<Item = $crate::optim::ParamGroup>, lr: f64) -> Self {
                $name($crate::optim::core::Core::new(Self::RULE, groups, lr))
            }

            $(
                $(#[$ometa])*
                #[doc = concat!("\n\n# Panics\nUnless ", $domain, ".")]
                #[track_caller]
                pub fn $option(mut self, $option: $ty) -> Self {
                    self.0.set_default(stringify!($option), $option.into());
                    self
                }
            )*
        }

        impl $crate::optim::Optimizer for $name {
            fn step(&mut self) -> $crate::Result<()> {
                self.0.step(None)
            }

            fn step_unless(&mut self, found: &$crate::Tensor) -> $crate::Result<()> {
                self.0.step(Some(found))
            }

            fn zero_grad(&self) {
                self.0.zero_grad();
            }

            fn param_groups(&self) -> &[$crate::optim::ParamGroup] {
                &self.0.groups
            }

            fn param_groups_mut(&mut self) -> &mut [$crate::optim::ParamGroup] {
                &mut self.0.groups
            }

            #[track_caller]
            fn add_param_group(&mut self, group: $crate::optim::ParamGroup) {
                self.0.add(group);
            }

            fn state_dict(&self) -> $crate::Result<$crate::optim::OptimizerState> {
                self.0.state_dict()
            }

            fn load_state_dict(&mut self, state: &$crate::optim::OptimizerState) -> $crate::Result<()> {
                self.0.load_state_dict(state)
            }
        }
    };
}
pub(super) use optimizer;

/// The types that options have.
pub(super) trait FromOption: Sized {
    fn from_option(value: OptionValue) -> Option<Self>;
}

impl FromOption for f64 {
    fn from_option(value: OptionValue) -> Option<f64> {
        if let OptionValue::Number(v) = value { Some(v) } else { None }
    }
}

impl FromOption for bool {
    fn from_option(value: OptionValue) -> Option<bool> {
        if let OptionValue::Switch(v) = value { Some(v) } else { None }
    }
}

impl FromOption for (f64, f64) {
    fn from_option(value: OptionValue) -> Option<(f64, f64)> {
        if let OptionValue::Pair(a, b) = value { Some((a, b)) } else { None }
    }
}
