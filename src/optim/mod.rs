//! Optimisers: PyTorch's formulas, few dispatches for all parameters of a device.
//!
//! At its first step an optimiser moves the parameters of each group into memory of its own, side by side, and their
//! gradients are from then on written there, so that a step is one dispatch, and one small one that counts it. A
//! parameter without gradient is skipped. What changes from step to step lies on the device: after a bad index nothing
//! advances, and nothing is read back.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod arena;
mod asgd;
mod core;
mod group;
pub mod lr_scheduler;
mod nadam;
mod options;
mod radam;
mod rmsprop;
mod rprop;
mod sgd;
mod state;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use asgd::ASGD;
pub use group::ParamGroup;
pub use nadam::NAdam;
pub use options::OptionValue;
pub use radam::RAdam;
pub use rmsprop::RMSprop;
pub use rprop::Rprop;
pub use sgd::SGD;
pub use state::{GroupState, OptimizerState};

use crate::Result;
use crate::tensor::Tensor;

/// What updates parameters from their gradients.
///
/// ```
/// use lumigrad::{nn, optim::Adam, prelude::*};
/// let model = nn::Linear::new(3, 1);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// for _ in 0..3 {
///     let loss = model.call(&Tensor::ones(&[8, 3])).powi(2).sum();
///     optimizer.zero_grad();
///     loss.backward()?;
///     optimizer.step()?;
/// }
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub trait Optimizer: Send {
    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    /// A failure of the device, or options that do not fit each other. Then no parameter has changed.
    fn step(&mut self) -> Result<()>;

    /// [`Optimizer::step`], unless the element of `found`, a u32, is other than 0: then no parameter changes, and no step is
    /// counted. A [`GradScaler`](crate::amp::GradScaler) calls it when gradients may be infinite. lumigrad's optimisers ask
    /// on the device; others wait for it, unless they do so too.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    fn step_unless(&mut self, found: &Tensor) -> Result<()> {
        if found.item::<u32>()? == 0 { self.step() } else { Ok(()) }
    }

    /// Forgets all gradients.
    fn zero_grad(&self);

    /// The groups of parameters with their options, as `optimizer.param_groups` in PyTorch.
    fn param_groups(&self) -> &[ParamGroup];

    /// The groups, to change options from the next step on.
    fn param_groups_mut(&mut self) -> &mut [ParamGroup];

    /// Adds parameters with options of their own; what the group does not set follows the optimiser's defaults.
    ///
    /// # Panics
    /// When a parameter is in a group already, or the group has an option that this optimiser does not know or a value
    /// outside its domain.
    fn add_param_group(&mut self, group: ParamGroup);

    /// Everything that has to be saved to go on later with the same bits: a copy of the state, and the options.
    ///
    /// # Errors
    /// What went wrong on the device since the last read.
    fn state_dict(&self) -> Result<OptimizerState>;

    /// Takes over a saved state and its options. Everything is checked first; on an error nothing has changed.
    ///
    /// # Errors
    /// When the state is of another optimiser or other parameters; every problem is listed.
    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()>;

    /// The learning rate of the first group.
    fn lr(&self) -> f64 {
        self.param_groups().first().map_or(0.0, ParamGroup::get_lr)
    }

    /// Changes the learning rate of all groups.
    fn set_lr(&mut self, lr: f64) {
        self.param_groups_mut().iter_mut().for_each(|group| group.set_lr(lr));
    }
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn step(&mut self) -> Result<()> {
        (**self).step()
    }

    fn step_unless(&mut self, found: &Tensor) -> Result<()> {
        (**self).step_unless(found)
    }

    fn zero_grad(&self) {
        (**self).zero_grad();
    }

    fn param_groups(&self) -> &[ParamGroup] {
        (**self).param_groups()
    }

    fn param_groups_mut(&mut self) -> &mut [ParamGroup] {
        (**self).param_groups_mut()
    }

    #[track_caller]
    fn add_param_group(&mut self, group: ParamGroup) {
        (**self).add_param_group(group);
    }

    fn state_dict(&self) -> Result<OptimizerState> {
        (**self).state_dict()
    }

    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()> {
        (**self).load_state_dict(state)
    }
}
