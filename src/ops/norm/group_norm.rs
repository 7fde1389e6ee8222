//! `group_norm`: each of `num_groups` groups of channels of each sample of `[N, C, …]` by its own mean and variance, each
//! channel with a weight and a bias. Formulas and kernels are those of `layer_norm`; `dw` and `db` are sums over a channel.
//!
//! Wu and He, "Group normalization" (2018). <https://pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html>

use smallvec::SmallVec;

use super::Domain;
use super::rows::{Rows, attrs, check_channels, forward, vjp};
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Operation, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The operation `group_norm`: inputs `x` and perhaps weight and bias.
pub(crate) static GROUP_NORM: Operation = Operation {
    name: "group_norm",
    kernels: &[],
    forward: |call| {
        check_floats(call.op(), call.inputs())?;
        let rows = groups(call.input(0).shape(), call.attrs())?;
        check_channels(call)?;
        forward(call, &rows)
    },
    vjp: Some(|v| {
        let rows = groups(v.input_shape(0), v.attrs())?;
        vjp(v, &rows)
    }),
    cases,
};

fn groups(shape: &[usize], attrs: &Attrs) -> Result<Rows> {
    let groups = attrs.get_int("num_groups") as usize;
    if shape.len() < 2 {
        let detail = format!("takes inputs [N, C, ..]: one of shape {shape:?} has no channels");
        return Err(Error::shape("group_norm", detail));
    }
    if groups == 0 || !shape[1].is_multiple_of(groups) {
        let detail = format!("{} channels of an input of shape {shape:?} do not divide into {groups} groups", shape[1]);
        return Err(Error::shape("group_norm", detail));
    }
    let channels = Domain::channels(shape);
    if channels.inner == 0 {
        return Err(Error::shape("group_norm", format!("an input of shape {shape:?} has channels without elements")));
    }
    let inner = shape[1] / groups * channels.inner;
    Ok(Rows { moments: Domain { outer: 1, count: shape[0] * groups, inner }, weights: channels, centered: true })
}

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    let case = |name: &str, x: Input, groups: i64, affine: bool| {
        let channels = [*x.shape.get(1).unwrap_or(&1)];
        let mut inputs = vec![x];
        if affine {
            inputs.extend([Input::floats(&channels).fill(Fill::Away(0.5, 1.5)), Input::floats(&channels)]);
        }
        let attrs = Attrs::new().bool("weight", affine).bool("bias", affine);
        Case::new(name, inputs).attrs(attrs.float("eps", 1e-5).int("num_groups", groups))
    };
    let floats = |shape: &[usize]| Input::floats(shape);
    vec![
        case("typical", floats(&[2, 6, 3, 3]), 3, true),
        case("plain", floats(&[2, 4, 5]), 2, false),
        case("one group", floats(&[3, 4, 2]), 1, true),
        case("a group each", floats(&[3, 2, 5]), 2, true),
        case("no places", floats(&[5, 6]), 2, true),
        case("no places, in vectors", floats(&[5, 8]), 2, true),
        case("in vectors", floats(&[2, 8, 2, 4]), 2, true),
        case("in vectors, without weights", floats(&[3, 8, 2, 2]), 4, false),
        case("one sample", floats(&[1, 4, 7]), 4, true),
        case("empty", floats(&[0, 4, 2]), 2, true),
        case("transposed", floats(&[3, 4, 5]).arranged(Arrangement::Transposed), 2, true),
        case("large", floats(&[3, 8, 15, 20]), 4, true).no_gradcheck(),
        case("long", floats(&[2, 6, 9000]), 2, true).no_gradcheck(),
        case("long channels", floats(&[2, 2, 20_000]), 2, true).no_gradcheck(),
        case("many", floats(&[70, 20, 2]), 10, true).no_gradcheck(),
        case("not divisible", floats(&[2, 6, 3]), 4, true).fails(),
        case("no groups", floats(&[2, 6, 3]), 0, true).fails(),
        case("channels without elements", floats(&[2, 6, 0]), 2, true).fails(),
        case("vector", floats(&[6]), 2, false).fails(),
        case("i32", Input::ints(&[3, 2], 0, 5), 1, false).fails(),
    ]
}

methods! {
    /// Normalises each of `num_groups` groups of channels of each sample of `[N, C, …]` to mean 0 and variance 1, then
    /// multiplies each channel by `weight` and adds `bias`, both `[C]`.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 20.0], &[1, 4]);
    /// let y = x.group_norm(2, None, None, 0.0);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the channels do not divide into the groups, or a weight is not `[C]`.
    pub fn group_norm / try_group_norm (
        &self, num_groups: usize, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64
    ) -> Tensor {
        let inputs: SmallVec<[&Tensor; 3]> = [Some(self), weight, bias].into_iter().flatten().collect();
        single(apply(&GROUP_NORM, &inputs, attrs(weight, bias, eps).int("num_groups", num_groups as i64)))
    }
}
