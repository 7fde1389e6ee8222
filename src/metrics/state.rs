//! What metrics add up in, on the device.

use super::not_a_state;
use crate::autograd::no_grad;
use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::{Device, Result};

/// What a tensor of counts may hold in all, so that no element of it can be more.
const FULL: u64 = i32::MAX as u64;

/// Whole numbers that only grow.
///
/// A tensor of i32 takes them until its elements might overflow, then another one does: the host knows how much was
/// counted, so nothing has to be read.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The last one is in use, and has this much in it at most.
    tensors: Vec<Tensor>,
    held: u64,
    /// Less than `FULL` in tests.
    limit: Option<u64>,
}

impl Counts {
    /// Exchanges the counts for what `add` makes of them; no element grows by more than `most`.
    pub fn add(
        &mut self,
        shape: &[usize],
        device: &Device,
        most: usize,
        add: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        let fits = self.held + most as u64 <= self.limit.unwrap_or(FULL);
        match self.tensors.last_mut().filter(|_| fits) {
            Some(last) => {
                *last = add(last)?;
                self.held += most as u64;
            }
            None => {
                self.tensors.push(add(&Tensor::try_full_on(shape, 0.0, DType::I32, device)?)?);
                self.held = most as u64;
            }
        }
        Ok(())
    }

    /// The counts; nothing when nothing was added. Waits for the device.
    pub fn read(&self) -> Result<Option<Vec<u64>>> {
        let mut total: Option<Vec<u64>> = None;
        for tensor in &self.tensors {
            let counts = tensor.to_vec::<i32>()?;
            let total = total.get_or_insert_with(|| vec![0; counts.len()]);
            total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as u64);
        }
        Ok(total)
    }

    pub fn state(&self) -> Vec<Tensor> {
        self.tensors.clone()
    }

    /// Puts the tensors of a state before its own; they are not added to any more.
    pub fn prepend(&mut self, op: &'static str, shape: &[usize], state: &[Tensor]) -> Result<()> {
        if state.iter().any(|t| t.shape() != shape || t.dtype() != DType::I32) {
            return Err(not_a_state(op));
        }
        self.tensors.splice(0..0, state.iter().cloned());
        Ok(())
    }

    #[cfg(test)]
    fn limited(limit: u64) -> Self {
        Counts { limit: Some(limit), ..Counts::default() }
    }
}

/// The sum of many numbers of the device, added in pairs of about as many terms: the error grows with the logarithm of
/// their number, at the price of a plain running sum.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Sums of `2^level` numbers, of falling levels, as the ones of a binary number.
    parts: Vec<(u32, Tensor)>,
}

impl Sum {
    /// Adds a scalar.
    pub fn add(&mut self, number: &Tensor) -> Result<()> {
        let (mut level, mut number) = (0, number.detach().try_reshape([1usize])?);
        while let Some((_, part)) = self.parts.pop_if(|(at, _)| *at == level) {
            number = no_grad(|| part.try_add(&number))?;
            level += 1;
        }
        self.parts.push((level, number));
        Ok(())
    }

    /// The sum. Waits for the device.
    pub fn read(&self) -> Result<f64> {
        if self.parts.is_empty() {
            return Ok(0.0);
        }
        let parts: Vec<&Tensor> = self.parts.iter().map(|(_, part)| part).collect();
        Ok(no_grad(|| Tensor::try_cat(&parts, 0))?.to_vec::<f64>()?.iter().rev().sum())
    }

    /// The levels of the parts, then the parts; nothing when nothing was added.
    pub fn state(&self) -> Result<Vec<Tensor>> {
        let Some((_, first)) = self.parts.first() else { return Ok(Vec::new()) };
        let levels: Vec<i32> = self.parts.iter().map(|(level, _)| *level as i32).collect();
        let levels = Tensor::try_from_slice_on(&levels, &[levels.len()], first.device())?;
        Ok([levels].into_iter().chain(self.parts.iter().map(|(_, part)| part.clone())).collect())
    }

    /// Goes on from a state, adds its own numbers to it, and gives back what follows it in the list.
    pub fn prepend<'a>(&mut self, op: &'static str, state: &'a [Tensor]) -> Result<&'a [Tensor]> {
        let Some((levels, rest)) = state.split_first() else { return Ok(state) };
        let levels = levels.to_vec::<i32>()?;
        let Some((parts, rest)) = rest.split_at_checked(levels.len()) else { return Err(not_a_state(op)) };
        if parts.iter().any(|part| part.shape() != [1] || !part.dtype().is_float()) {
            return Err(not_a_state(op));
        }
        let restored = levels.iter().map(|&level| level as u32).zip(parts.iter().cloned()).collect();
        let own = std::mem::replace(&mut self.parts, restored);
        own.iter().try_for_each(|(_, part)| self.add(part))?;
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_past_what_a_tensor_holds() {
        Device::reference().scope(|| {
            let mut counts = Counts::limited(10);
            for _ in 0..7 {
                counts.add(&[2], &Device::reference(), 4, |t| t.try_add_scalar(4.0)).unwrap();
            }
            assert_eq!(counts.tensors.len(), 4, "two additions of 4 fit into 10");
            assert_eq!(counts.read().unwrap().unwrap(), [28, 28]);
            let mut second = Counts::default();
            second.add(&[2], &Device::reference(), 1, |t| t.try_add_scalar(1.0)).unwrap();
            second.prepend("test", &[2], &counts.state()).unwrap();
            assert!(second.prepend("test", &[3], &counts.state()).is_err());
            second.add(&[2], &Device::reference(), 1, |t| t.try_add_scalar(1.0)).unwrap();
            assert_eq!(second.read().unwrap().unwrap(), [30, 30]);
        });
    }

    #[test]
    fn a_long_sum_stays_close() {
        Device::reference().scope(|| {
            let (mut sum, mut plain) = (Sum::default(), 0f32);
            for _ in 0..20_000 {
                sum.add(&Tensor::scalar(0.1)).unwrap();
                plain += 0.1;
            }
            let exact = 20_000.0 * f64::from(0.1f32);
            let error = (sum.read().unwrap() - exact).abs() / exact;
            assert!(error < 1e-7 && (f64::from(plain) - exact).abs() / exact > 1e-5, "{error} {plain}");
        });
    }

    #[test]
    fn a_sum_goes_on_from_its_state() {
        Device::reference().scope(|| {
            let term = |i: i32| Tensor::scalar(0.1 * f64::from(i));
            let (mut whole, mut first, mut second) = (Sum::default(), Sum::default(), Sum::default());
            (0..13).for_each(|i| whole.add(&term(i)).unwrap());
            (0..11).for_each(|i| first.add(&term(i)).unwrap());
            second.add(&term(11)).unwrap();
            assert!(second.prepend("test", &first.state().unwrap()).unwrap().is_empty());
            second.add(&term(12)).unwrap();
            assert_eq!(whole.read().unwrap().to_bits(), second.read().unwrap().to_bits());
        });
    }
}
