//! What a device knows of kernels that were measured.

use super::Device;
use crate::engine::tuner::{Families, Tuner, choice_here};

impl Device {
    /// Whether kernels are chosen by measuring them; see [`Device::set_autotune`].
    pub fn is_autotuning(&self) -> bool {
        self.0.tuner.is_on()
    }

    pub(crate) fn switch_autotune(&self, on: bool, families: Families) {
        if let Some(facts) = self.adapter() {
            self.0.tuner.switch(on, facts, families);
        }
    }

    pub(crate) fn tuner(&self) -> &Tuner {
        &self.0.tuner
    }

    /// Whether nobody has fixed which member of a family serves.
    pub(crate) fn is_free_to_choose(&self, family: &str) -> bool {
        choice_here(family).is_none() && self.forced_choice(family).is_none()
    }
}
