//! Transposed convolutions: every place of x adds a multiple of the kernel to y.
//!
//! `y[n, o, p·stride + t·dilation − padding] += weight[c, o, t] · x[n, c, p]`, with `bias[o]` added
//!
//! That is the gradient of a convolution's input, and its gradient is a convolution of that of y.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html>

use smallvec::smallvec;

use super::geometry::{Geometry, check_bias, check_image, check_positive, two};
use super::operand::{Operand, Operands};
use super::options::{ConvTranspose1dOptions, ConvTranspose2dOptions, ConvTransposeOptions};
use super::{bias_gradient, parameter_gradient, tuned, weight_gradient};
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply_biased, cases, methods};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// The operation `conv_transpose1d`: inputs `x`, `weight` and perhaps `bias`.
pub(crate) static CONV_TRANSPOSE1D: Operation = Operation {
    name: "conv_transpose1d",
    kernels: &[],
    forward: |call| forward(call, 1),
    vjp: Some(|v| vjp("conv_transpose1d", v, 1)),
    cases: cases_1d,
};

/// The operation `conv_transpose2d`: inputs `x`, `weight` and perhaps `bias`.
pub(crate) static CONV_TRANSPOSE2D: Operation = Operation {
    name: "conv_transpose2d",
    kernels: &[],
    forward: |call| forward(call, 2),
    vjp: Some(|v| vjp("conv_transpose2d", v, 2)),
    cases: cases_2d,
};

fn forward(call: &mut Call<'_>, dims: usize) -> Result<Outputs> {
    let (x, weight, bias) = (call.input(0), call.input(1), call.inputs().get(2).copied());
    check_floats(call.op(), call.inputs())?;
    let geometry = geometry(call.op(), x, weight, call.attrs(), dims)?;
    let channels = geometry.large_channels * geometry.groups;
    check_bias(call.op(), bias, channels)?;
    let mut shape: Shape = x.shape().into();
    let rank = shape.len();
    shape[rank - 1 - dims] = channels;
    shape[rank - dims..].copy_from_slice(&geometry.large[2 - dims..]);
    crate::tensor::shape::checked_numel(call.op(), &shape)?;
    let y = call.output(x.dtype(), &shape);
    let (x, weight, bias) = (Operand::new(x), Operand::new(weight), bias.map(Operand::new));
    let operands = Operands { x: &x, weight: &weight, bias: bias.as_ref() };
    tuned::to_large(call, &geometry, &operands, &y)?;
    call.save(x.kept());
    call.save(weight.kept());
    Ok(smallvec![y])
}

/// The convolution that leads from y to x.
fn geometry(op: &'static str, x: &Tensor, weight: &Tensor, attrs: &Attrs, dims: usize) -> Result<Geometry> {
    let (batch, channels, small) = check_image(op, x, weight, dims)?;
    let (w, groups) = (weight.shape(), attrs.get_int("groups") as usize);
    let stride = two(&attrs.get_sizes("stride"), 1);
    let dilation = two(&attrs.get_sizes("dilation"), 1);
    let (padding, extra) = (two(&attrs.get_sizes("padding"), 0), two(&attrs.get_sizes("output_padding"), 0));
    check_positive(op, "the stride", &stride)?;
    check_positive(op, "the dilation", &dilation)?;
    check_positive(op, "the number of groups", &[groups])?;
    if channels != w[0] {
        let detail = format!(
            "an input of shape {:?} has {channels} channels, but a weight of shape {w:?} takes {}",
            x.shape(),
            w[0]
        );
        return Err(Error::shape(op, detail));
    }
    if channels % groups != 0 || w[1] == 0 {
        let detail = format!(
            "{groups} groups don't divide the {channels} channels of an input of shape {:?} with a weight of shape {w:?}",
            x.shape()
        );
        return Err(Error::shape(op, detail));
    }
    let kernel = two(&w[2..], 1);
    let mut large = [0; 2];
    for d in 0..2 {
        if extra[d] >= stride[d].max(dilation[d]) {
            let detail = format!(
                "the output padding {extra:?} must be smaller than the stride {stride:?} or the dilation {dilation:?}"
            );
            return Err(Error::argument(op, detail));
        }
        let whole = (small[d] - 1) * stride[d] + dilation[d] * (kernel[d] - 1) + extra[d] + 1;
        large[d] = whole.checked_sub(2 * padding[d]).ok_or_else(|| {
            let detail = format!(
                "an input of shape {:?} and a weight of shape {w:?} give {whole} places, and the padding {padding:?} \
                 cuts off more",
                x.shape()
            );
            Error::shape(op, detail)
        })?;
    }
    let (large_channels, small_channels) = (w[1], channels / groups);
    Ok(Geometry {
        op,
        dims,
        batch,
        groups,
        large_channels,
        small_channels,
        large,
        small,
        kernel,
        stride,
        padding,
        dilation,
    })
}

fn vjp(op: &'static str, v: &mut Vjp<'_>, dims: usize) -> Result<Gradients> {
    let (g, x, weight) = (v.gradient(), v.saved(0), v.saved(1));
    let geometry = geometry(op, &x, &weight, v.attrs(), dims)?;
    let (g, x, weight) = (Operand::new(g), Operand::new(&x), Operand::new(&weight));
    let mut gradients = Gradients::new();
    gradients.push(if v.needs(0) {
        let dx = v.gradient_output(0);
        tuned::to_small(v, &geometry, &Operands { x: &g, weight: &weight, bias: None }, &dx)?;
        Some(dx)
    } else {
        None
    });
    gradients.push(if v.needs(1) {
        let dw = parameter_gradient(v, 1);
        weight_gradient(v, &geometry, &x, &g, &dw)?;
        Some(dw)
    } else {
        None
    });
    if v.inputs_len() == 3 {
        gradients.push(bias_gradient(v, &g, dims)?);
    }
    Ok(gradients)
}

fn attrs<const N: usize>(options: &ConvTransposeOptions<N>) -> Attrs {
    Attrs::new()
        .sizes("stride", &options.stride)
        .sizes("padding", &options.padding)
        .sizes("output_padding", &options.output_padding)
        .sizes("dilation", &options.dilation)
        .int("groups", options.groups as i64)
}

fn run<const N: usize>(
    operation: &'static Operation,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: &ConvTransposeOptions<N>,
) -> Result<Tensor> {
    let attrs = attrs(options);
    apply_biased(operation, [x, weight], bias, attrs)
}

methods! {
    /// The transposed convolution of an input `[N, C, H, W]` or `[C, H, W]` with a weight `[C, O/groups, kh, kw]` and a
    /// bias `[O]`: every place of the input adds a multiple of the kernel to the result,
    ///
    /// `y[n, o, p·stride + t·dilation − padding] += weight[c, o, t] · x[n, c, p]`.
    ///
    /// The result is `[N, O, H', W']` with
    /// `H' = (H − 1)·stride − 2·padding + dilation·(kh − 1) + output_padding + 1`.
    ///
    /// # Errors
    /// (A panic without `try_`.) When channels, groups or bias do not fit, for a stride or dilation of 0, when the padding
    /// is larger than the result, and for an output padding that is neither smaller than the stride nor the dilation.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html>
    ///
    /// ```
    /// use lumigrad::{ConvTranspose2dOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[1, 1, 1, 2]);
    /// let y = x.conv_transpose2d(&Tensor::ones(&[1, 1, 1, 2]), None, &ConvTranspose2dOptions::new().stride([1, 2]));
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn conv_transpose2d / try_conv_transpose2d (
        &self, weight: &Tensor, bias: Option<&Tensor>, options: &ConvTranspose2dOptions,
    ) -> Tensor {
        run(&CONV_TRANSPOSE2D, self, weight, bias, options)
    }

    /// [`Self::conv_transpose2d`] in one dim: an input `[N, C, L]` or `[C, L]`, a weight `[C, O/groups, k]` and a bias `[O]`.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html>
    ///
    /// ```
    /// use lumigrad::{ConvTranspose1dOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[1, 1, 2]);
    /// let y = x.conv_transpose1d(&Tensor::ones(&[1, 1, 2]), None, &ConvTranspose1dOptions::new());
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 3.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn conv_transpose1d / try_conv_transpose1d (
        &self, weight: &Tensor, bias: Option<&Tensor>, options: &ConvTranspose1dOptions,
    ) -> Tensor {
        run(&CONV_TRANSPOSE1D, self, weight, bias, options)
    }
}

/// A case of shapes, options and perhaps a bias.
fn case<const N: usize>(
    name: &str,
    x: &[usize],
    w: &[usize],
    bias: bool,
    options: ConvTransposeOptions<N>,
) -> cases::Case {
    use cases::{Case, Input};
    let mut inputs = vec![Input::floats(x), Input::floats(w)];
    if bias {
        inputs.push(Input::floats(&[w[1] * options.groups]));
    }
    Case::new(name, inputs).attrs(attrs(&options))
}

fn cases_1d() -> Vec<cases::Case> {
    let plain = ConvTranspose1dOptions::new();
    vec![
        case("typical", &[2, 3, 5], &[3, 4, 3], true, plain.stride(2).padding(1).output_padding(1)),
        case("plain", &[2, 3, 5], &[3, 2, 2], false, plain),
        case("groups and dilation", &[1, 4, 5], &[4, 3, 3], true, plain.groups(2).dilation(2)),
        case("no batch", &[3, 5], &[3, 2, 2], true, plain),
        case("no images", &[0, 3, 5], &[3, 2, 2], true, plain),
        case("rank", &[2, 3, 5, 5], &[3, 2, 2], false, plain).fails(),
    ]
}

fn cases_2d() -> Vec<cases::Case> {
    use cases::Arrangement;
    let plain = ConvTranspose2dOptions::new();
    let mut transposed = case("transposed in memory", &[2, 3, 4, 3], &[3, 2, 3, 2], true, plain.stride(2));
    transposed.inputs.iter_mut().for_each(|input| input.arrangement = Arrangement::Transposed);
    let mut list = vec![
        case("typical", &[2, 3, 4, 4], &[3, 4, 3, 3], true, plain.stride(2).padding(1).output_padding(1)),
        case("plain", &[2, 2, 3, 4], &[2, 3, 3, 3], false, plain),
        case("one", &[1, 1, 1, 1], &[1, 1, 1, 1], true, plain),
        case("strided 1×1", &[1, 2, 3, 3], &[2, 3, 1, 1], true, plain.stride(2)),
        case("stride over the kernel", &[1, 2, 3, 3], &[2, 2, 2, 2], true, plain.stride(3).output_padding(2)),
        case(
            "strided and dilated",
            &[1, 2, 4, 3],
            &[2, 2, 3, 3],
            true,
            plain.stride([4, 3]).dilation([2, 3]).padding(1),
        ),
        case("groups", &[1, 4, 4, 3], &[4, 3, 3, 3], true, plain.groups(2).stride([1, 2]).padding(1)),
        case("depthwise", &[2, 3, 4, 5], &[3, 1, 3, 3], true, plain.groups(3).stride(2)),
        case("nothing left", &[1, 2, 3, 3], &[2, 2, 1, 3], true, plain.padding([1, 2]).dilation([1, 1]).stride([1, 1])),
        case("no batch", &[2, 4, 5], &[2, 3, 3, 3], true, plain.padding(1)),
        case("no images", &[0, 2, 5, 5], &[2, 3, 3, 3], true, plain),
        case("many channels", &[2, 35, 5, 6], &[35, 20, 4, 4], true, plain.stride(2).padding(1)).no_gradcheck(),
        transposed,
    ];
    let refused = [
        ("channels", [1, 3, 4, 4], [2, 5, 3, 3], plain),
        ("groups and channels", [1, 3, 4, 4], [3, 5, 3, 3], plain.groups(2)),
        ("stride", [1, 2, 4, 4], [2, 5, 3, 3], plain.stride(0)),
        ("output padding", [1, 2, 4, 4], [2, 5, 3, 3], plain.stride(2).output_padding(2)),
        ("too much padding", [1, 2, 2, 2], [2, 5, 2, 2], plain.padding(3)),
    ];
    list.extend(refused.into_iter().map(|(name, x, w, options)| case(name, &x, &w, false, options).fails()));
    let halves = [
        ("typical", [2, 3, 4, 4], [3, 4, 3, 3], plain.stride(2).padding(1).output_padding(1)),
        ("plain", [2, 2, 3, 4], [2, 3, 3, 3], plain),
        ("odd width", [2, 2, 3, 3], [2, 3, 3, 3], plain),
        ("groups", [1, 4, 4, 4], [4, 3, 3, 3], plain.groups(2).stride([2, 1]).padding(1)),
        ("vectors", [1, 8, 5, 6], [8, 8, 3, 3], plain.padding(1)),
    ];
    list.extend(halves.into_iter().flat_map(|(name, x, w, options)| case(name, &x, &w, true, options).of_halves()));
    list
}
