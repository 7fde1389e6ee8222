//! Elements back to the host.

use super::Tensor;
use crate::Error;
use crate::Result;
use crate::autograd::no_grad;
use crate::dtype::{Element, HostData};
use crate::engine::recording::refuse;

impl Tensor {
    /// All elements, row by row. Waits for the device.
    ///
    /// Any numeric type can be asked for; the elements are converted.
    ///
    /// # Errors
    /// What went wrong on the device since the last read, and what poisoned the tensor.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        refuse("to_vec")?;
        let x = no_grad(|| self.detach().try_contiguous())?;
        Ok(convert(&self.device().read(x.buffer()?, x.offset(), x.numel())?))
    }

    /// [`Tensor::to_vec`] that does not block the thread.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub async fn to_vec_async<T: Element>(&self) -> Result<Vec<T>> {
        refuse("to_vec_async")?;
        let x = no_grad(|| self.detach().try_contiguous())?;
        Ok(convert(&self.device().read_async(x.buffer()?, x.offset(), x.numel()).await?))
    }

    /// The only element. Waits for the device.
    ///
    /// # Errors
    /// When there is not exactly one element, and as [`Tensor::to_vec`].
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        refuse("item")?;
        self.check_item()?;
        Ok(self.to_vec()?[0])
    }

    /// [`Tensor::item`] that does not block the thread.
    ///
    /// # Errors
    /// As [`Tensor::item`].
    pub async fn item_async<T: Element>(&self) -> Result<T> {
        self.check_item()?;
        Ok(self.to_vec_async().await?[0])
    }

    fn check_item(&self) -> Result<()> {
        if self.numel() == 1 {
            return Ok(());
        }
        let detail = format!("a tensor of shape {:?} has {} elements, not one", self.shape(), self.numel());
        Err(Error::shape("item", detail))
    }

    /// The elements for printing: a bad index stays for the next read that can return it.
    pub(crate) fn peek(&self) -> Result<HostData> {
        let x = no_grad(|| self.detach().try_contiguous())?;
        self.device().peek(x.buffer()?, x.offset(), x.numel())
    }

    /// The elements in the reference's own form.
    pub(crate) fn to_host(&self) -> Result<HostData> {
        refuse("reading a tensor")?;
        let x = no_grad(|| self.detach().try_contiguous())?;
        self.device().read(x.buffer()?, x.offset(), x.numel())
    }
}

fn convert<T: Element>(data: &HostData) -> Vec<T> {
    (0..data.len()).map(|i| T::from_f64(data.get_f64(i))).collect()
}

impl Tensor {
    /// The dtype that [`Tensor::to_vec`] would give without conversion.
    pub(crate) fn is_integer(&self) -> bool {
        !self.dtype().is_float()
    }
}
