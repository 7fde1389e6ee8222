//! Scaling of a loss, so that small gradients are not lost in f16.

use crate::autograd::no_grad;
use crate::nn::utils::unscale_gradients;
use crate::ops::grad_scaler;
use crate::optim::Optimizer;
use crate::tensor::Tensor;
use crate::{DType, Device, Error, Result};

/// Multiplies the loss by a large factor before the backward pass, and divides the gradients by it before the update:
/// PyTorch's `torch.amp.GradScaler`, for [`autocast`](crate::autocast()) in [`DType::F16`].
///
/// When a gradient is infinite or NaN, the update is left out, as if the step had not been, and the factor is halved; after
/// 2,000 steps without one it is doubled. All of that happens on the device, so nothing waits: [`Optimizer::step_unless`].
///
/// ```
/// use lumigrad::{amp::GradScaler, autocast, nn, optim::Adam, prelude::*};
/// let model = nn::Linear::new(3, 1);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// let mut scaler = GradScaler::new();
/// for _ in 0..3 {
///     let loss = autocast(DType::F16, || model.call(&Tensor::ones(&[8, 3])).powi(2).mean());
///     optimizer.zero_grad();
///     scaler.scale(&loss).backward()?;
///     scaler.step(&mut optimizer)?;
///     scaler.update()?;
/// }
/// // It starts high: the first steps find out how large it may be.
/// assert!(scaler.get_scale()? <= 65536.0);
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// To clip gradients, call [`GradScaler::unscale_`] first:
///
/// ```
/// # use lumigrad::{amp::GradScaler, nn, optim::SGD, prelude::*};
/// # let model = nn::Linear::new(3, 1);
/// # let (mut optimizer, mut scaler) = (SGD::new(model.parameters(), 1e-3), GradScaler::new());
/// # scaler.scale(&model.call(&Tensor::ones(&[8, 3])).mean()).backward()?;
/// scaler.unscale_(&optimizer)?;
/// nn::utils::clip_grad_norm_(model.parameters(), 1.0)?;
/// scaler.step(&mut optimizer)?;
/// scaler.update()?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Debug)]
pub struct GradScaler {
    enabled: bool,
    growth_factor: f64,
    backoff_factor: f64,
    growth_interval: u32,
    /// What it starts from, until there is a device.
    start: (f64, u32),
    memory: Option<Memory>,
    optimizers: Vec<Seen>,
}

/// The factor, and the steps since it changed.
#[derive(Debug)]
struct Memory {
    scale: Tensor,
    tracker: Tensor,
}

/// An optimiser that was met, by its parameters.
#[derive(Debug)]
struct Seen {
    parameters: Vec<usize>,
    /// Whether a gradient was no number.
    found: Tensor,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Ready,
    Unscaled,
    Stepped,
}

/// What a [`GradScaler`] is saved as, by PyTorch's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradScalerState {
    /// The factor.
    pub scale: f64,
    /// What it is multiplied by to grow.
    pub growth_factor: f64,
    /// What it is multiplied by after a gradient that is no number.
    pub backoff_factor: f64,
    /// After so many steps it grows.
    pub growth_interval: u32,
    /// Steps since it changed.
    pub growth_tracker: u32,
}

impl Default for GradScaler {
    fn default() -> Self {
        Self::new()
    }
}

impl GradScaler {
    /// With PyTorch's numbers: from 65,536, twice as much after 2,000 steps, half as much after an infinity.
    pub fn new() -> Self {
        GradScaler {
            enabled: true,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
            start: (65536.0, 0),
            memory: None,
            optimizers: Vec::new(),
        }
    }

    /// The factor to start from (65,536).
    ///
    /// # Panics
    /// When it is not above 0 or not finite.
    #[track_caller]
    pub fn init_scale(mut self, scale: f64) -> Self {
        assert!(scale > 0.0 && (scale as f32).is_finite(), "GradScaler: init_scale: {scale} given, it must be above 0");
        self.start.0 = scale;
        self
    }

    /// What the factor is multiplied by to grow (2).
    ///
    /// # Panics
    /// When it is not above 1.
    #[track_caller]
    pub fn growth_factor(mut self, factor: f64) -> Self {
        assert!(factor > 1.0, "GradScaler: growth_factor: {factor} given, it must be above 1");
        self.growth_factor = factor;
        self
    }

    /// What the factor is multiplied by after a gradient that is no number (0.5).
    ///
    /// # Panics
    /// When it is not below 1.
    #[track_caller]
    pub fn backoff_factor(mut self, factor: f64) -> Self {
        assert!((0.0..1.0).contains(&factor), "GradScaler: backoff_factor: {factor} given, it must be below 1");
        self.backoff_factor = factor;
        self
    }

    /// After so many steps in a row without an infinity the factor grows (2,000).
    ///
    /// # Panics
    /// When it is 0.
    #[track_caller]
    pub fn growth_interval(mut self, steps: u32) -> Self {
        assert!(steps > 0, "GradScaler: growth_interval: 0 given, it must be above 0");
        self.growth_interval = steps;
        self
    }

    /// Whether it does anything; without, losses stay as they are and `step` is the optimiser's (true).
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The loss times the factor, to go back from.
    #[track_caller]
    pub fn scale(&mut self, loss: &Tensor) -> Tensor {
        if !self.enabled {
            return loss.clone();
        }
        let scale = self.memory(loss.device()).scale.clone();
        loss * &scale
    }

    /// Divides the gradients of an optimiser by the factor now; [`GradScaler::step`] does it otherwise.
    ///
    /// # Errors
    /// When it was called before since the last [`GradScaler::update`], when no parameter has a gradient, or when the
    /// device fails.
    pub fn unscale_(&mut self, optimizer: &(impl Optimizer + ?Sized)) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let i = self.seen("unscale_", optimizer)?;
        match self.optimizers[i].stage {
            Stage::Unscaled => {
                return Err(mistake("unscale_", "it was called for this optimiser since the last update"));
            }
            Stage::Stepped => return Err(mistake("unscale_", "it is called after the optimiser's step")),
            Stage::Ready => {}
        }
        let scale = self.memory.as_ref().expect("seen() asks for it").scale.clone();
        let seen = &mut self.optimizers[i];
        let parameters = optimizer.param_groups().iter().flat_map(|group| group.parameters().iter().cloned());
        no_grad(|| seen.found.zero_())?;
        if !unscale_gradients(parameters, &scale, &seen.found)? {
            return Err(mistake("unscale_", "no parameter of the optimiser has a gradient"));
        }
        seen.stage = Stage::Unscaled;
        Ok(())
    }

    /// The optimiser's step, with gradients divided by the factor, unless one of them is infinite or NaN.
    ///
    /// # Errors
    /// When it was called before since the last [`GradScaler::update`], and as [`GradScaler::unscale_`] and
    /// [`Optimizer::step`].
    pub fn step(&mut self, optimizer: &mut (impl Optimizer + ?Sized)) -> Result<()> {
        if !self.enabled {
            return optimizer.step();
        }
        let mut i = self.seen("step", optimizer)?;
        if self.optimizers[i].stage == Stage::Stepped {
            return Err(mistake("step", "it was called for this optimiser since the last update"));
        }
        if self.optimizers[i].stage == Stage::Ready {
            self.unscale_(optimizer)?;
            i = self.seen("step", optimizer)?;
        }
        optimizer.step_unless(&self.optimizers[i].found)?;
        self.optimizers[i].stage = Stage::Stepped;
        Ok(())
    }

    /// Makes the factor of the next step: once after the steps of all optimisers.
    ///
    /// # Errors
    /// When there was no step since the last update, or the device fails.
    pub fn update(&mut self) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let mut looked = self.optimizers.iter().filter(|seen| seen.stage != Stage::Ready).map(|seen| &seen.found);
        let (Some(first), Some(memory)) = (looked.next(), &self.memory) else {
            return Err(mistake("update", "there was no step since the last update"));
        };
        no_grad(|| {
            looked.try_for_each(|found| first.add_(found))?;
            let state = [&memory.scale, &memory.tracker, first];
            grad_scaler::update(state, self.growth_factor, self.backoff_factor, self.growth_interval)
        })?;
        self.optimizers.iter_mut().for_each(|seen| seen.stage = Stage::Ready);
        Ok(())
    }

    /// The factor. Waits for the device.
    ///
    /// # Errors
    /// What went wrong on the device since the last read.
    pub fn get_scale(&self) -> Result<f64> {
        match &self.memory {
            _ if !self.enabled => Ok(1.0),
            Some(memory) => memory.scale.item(),
            None => Ok(self.start.0),
        }
    }

    /// What has to be saved to go on later with the same numbers. Waits for the device.
    ///
    /// # Errors
    /// What went wrong on the device since the last read.
    pub fn state_dict(&self) -> Result<GradScalerState> {
        let (scale, growth_tracker) = match &self.memory {
            Some(memory) => (memory.scale.item()?, memory.tracker.item()?),
            None => self.start,
        };
        let (growth_factor, backoff_factor) = (self.growth_factor, self.backoff_factor);
        let growth_interval = self.growth_interval;
        Ok(GradScalerState { scale, growth_factor, backoff_factor, growth_interval, growth_tracker })
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// When the device fails.
    pub fn load_state_dict(&mut self, state: &GradScalerState) -> Result<()> {
        (self.growth_factor, self.backoff_factor) = (state.growth_factor, state.backoff_factor);
        self.growth_interval = state.growth_interval;
        self.start = (state.scale, state.growth_tracker);
        match &self.memory {
            None => Ok(()),
            // Where they are: a recorded step has them there.
            Some(memory) => no_grad(|| {
                memory.scale.fill_(state.scale)?;
                memory.tracker.fill_(f64::from(state.growth_tracker))
            }),
        }
    }

    /// The numbers on the device, which is that of the first loss.
    fn memory(&mut self, device: &Device) -> &Memory {
        let (scale, tracker) = self.start;
        self.memory.get_or_insert_with(|| Memory {
            scale: Tensor::full_on(&[], scale, DType::F32, device),
            tracker: Tensor::full_on(&[], f64::from(tracker), DType::U32, device),
        })
    }

    /// Where this optimiser stands in the list.
    fn seen(&mut self, op: &str, optimizer: &(impl Optimizer + ?Sized)) -> Result<usize> {
        let Some(memory) = &self.memory else { return Err(mistake(op, "no loss was scaled yet")) };
        let all = optimizer.param_groups().iter().flat_map(|group| group.parameters());
        let parameters: Vec<usize> = all.map(|p| p.id()).collect();
        if let Some(i) = self.optimizers.iter().position(|seen| seen.parameters == parameters) {
            return Ok(i);
        }
        let found = Tensor::try_full_on(&[], 0.0, DType::U32, memory.scale.device())?;
        self.optimizers.push(Seen { parameters, found, stage: Stage::Ready });
        Ok(self.optimizers.len() - 1)
    }
}

fn mistake(op: &str, detail: &str) -> Error {
    Error::Autograd(format!("GradScaler: {op}: {detail}"))
}
