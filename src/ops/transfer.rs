//! A tensor's elements on another device, through the host. The gradient goes the way back.

use std::sync::Arc;

use smallvec::smallvec;

use super::{Attrs, Call, Operation, apply, single};
use crate::Result;
use crate::dtype::{HostData, Packed};
use crate::engine::{Buffer, Device};
use crate::tensor::Tensor;

/// The operation `to_device`: its output is on another device than its input.
pub(crate) static TRANSFER: Operation = Operation {
    name: "to_device",
    kernels: &[],
    forward: |call| {
        let device = call.attrs().get_device("device");
        let x = call.input(0);
        let content = moved(call, device);
        Ok(smallvec![Tensor::from_content(content, x.shape().into(), x.dtype(), device.clone())])
    },
    vjp: Some(|v| Ok(smallvec![Some(transfer(v.gradient(), v.attrs().get_device("home")))])),
    cases: Vec::new,
};

fn moved(call: &mut Call<'_>, device: &Device) -> Result<Arc<Buffer>> {
    if let Some(error) = call.failure() {
        return Err(error.clone());
    }
    let x = call.input(0).detach().try_contiguous()?;
    let data = x.device().read(x.buffer()?, x.offset(), x.numel())?;
    let buffer = match &data {
        HostData::F32(v) | HostData::F16(v) | HostData::BF16(v) => device.upload(x.dtype(), &Packed::Floats(v)),
        HostData::I32(v) => device.upload(x.dtype(), &Packed::Bytes(bytemuck::cast_slice(v))),
        HostData::U32(v) => device.upload(x.dtype(), &Packed::Bytes(bytemuck::cast_slice(v))),
    };
    buffer.map(Arc::new)
}

pub(crate) fn transfer(tensor: &Tensor, device: &Device) -> Tensor {
    let attrs = Attrs::new().device("device", device).device("home", tensor.device());
    single(apply(&TRANSFER, &[tensor], attrs)).expect("a transfer refuses nothing")
}
