//! What a training computes in.

use serde_json::{Value as Json, json};

use super::checkpoint::{bits_from_json, bits_to_json};
use crate::amp::{GradScaler, GradScalerState};
use crate::{DType, autocast};

/// What a training computes in: Lightning's `precision`. Parameters and their updates are f32 in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FloatPrecision {
    /// Everything in f32: Lightning's `"32-true"`.
    #[default]
    F32,
    /// Steps under [`autocast`] in [`DType::F16`], with a [`GradScaler`]: Lightning's `"16-mixed"`.
    F16Mixed,
    /// Steps under [`autocast`] in [`DType::BF16`]: Lightning's `"bf16-mixed"`.
    BF16Mixed,
}

impl FloatPrecision {
    /// Runs a step of the module.
    pub(super) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        match self {
            FloatPrecision::F32 => body(),
            FloatPrecision::F16Mixed => autocast(DType::F16, body),
            FloatPrecision::BF16Mixed => autocast(DType::BF16, body),
        }
    }

    pub(super) fn scaler(self) -> Option<GradScaler> {
        (self == FloatPrecision::F16Mixed).then(GradScaler::new)
    }
}

/// A scaler's state for a checkpoint; the factors as their bits.
pub(super) fn scaler_to_json(state: &GradScalerState) -> Json {
    json!({
        "scale": bits_to_json(state.scale),
        "growth_factor": bits_to_json(state.growth_factor),
        "backoff_factor": bits_to_json(state.backoff_factor),
        "growth_interval": state.growth_interval,
        "_growth_tracker": state.growth_tracker,
    })
}

pub(super) fn scaler_from_json(json: &Json) -> Option<GradScalerState> {
    let number = |name: &str| bits_from_json(&json[name]);
    let whole = |name: &str| json[name].as_u64().and_then(|n| u32::try_from(n).ok());
    Some(GradScalerState {
        scale: number("scale")?,
        growth_factor: number("growth_factor")?,
        backoff_factor: number("backoff_factor")?,
        growth_interval: whole("growth_interval")?,
        growth_tracker: whole("_growth_tracker")?,
    })
}
