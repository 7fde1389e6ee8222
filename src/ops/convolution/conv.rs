//! Convolutions, as PyTorch's (cross-correlations):
//!
//! `y[n, o, p] = bias[o] + Σ_c Σ_t weight[o, c, t] · x[n, c, p·stride + t·dilation − padding]`
//!
//! The gradient of x is a transposed convolution of that of y; the weight's is summed over images and places, the bias's
//! likewise.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html>

use smallvec::smallvec;

use super::geometry::{Geometry, check_bias, check_image, check_positive, two};
use super::operand::{Operand, Operands};
use super::options::{Conv1dOptions, Conv2dOptions, ConvOptions, Padding};
use super::{KERNELS, bias_gradient, parameter_gradient, tuned, weight_gradient};
use crate::dtype::DType;
use crate::ops::matmul::check_floats;
use crate::ops::{Attrs, Call, Gradients, Operation, Outputs, Vjp, apply_biased, cases, methods};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// The operation `conv1d`: inputs `x`, `weight` and perhaps `bias`.
pub(crate) static CONV1D: Operation = Operation {
    name: "conv1d",
    kernels: &[],
    forward: |call| forward(call, 1),
    vjp: Some(|v| vjp("conv1d", v, 1)),
    cases: cases_1d,
};

/// The operation `conv2d`: inputs `x`, `weight` and perhaps `bias`.
pub(crate) static CONV2D: Operation = Operation {
    name: "conv2d",
    kernels: KERNELS,
    forward: |call| forward(call, 2),
    vjp: Some(|v| vjp("conv2d", v, 2)),
    cases: cases_2d,
};

fn forward(call: &mut Call<'_>, dims: usize) -> Result<Outputs> {
    let (x, weight, bias) = (call.input(0), call.input(1), call.inputs().get(2).copied());
    check_floats(call.op(), call.inputs())?;
    let geometry = geometry(call.op(), x, weight, call.attrs(), dims)?;
    check_bias(call.op(), bias, weight.shape()[0])?;
    let mut shape: Shape = x.shape().into();
    let rank = shape.len();
    shape[rank - 1 - dims] = weight.shape()[0];
    shape[rank - dims..].copy_from_slice(&geometry.small[2 - dims..]);
    crate::tensor::shape::checked_numel(call.op(), &shape)?;
    let y = call.output(x.dtype(), &shape);
    let (x, weight, bias) = (Operand::new(x), Operand::new(weight), bias.map(Operand::new));
    let operands = Operands { x: &x, weight: &weight, bias: bias.as_ref() };
    tuned::to_small(call, &geometry, &operands, &y)?;
    call.save(x.kept());
    call.save(weight.kept());
    Ok(smallvec![y])
}

fn geometry(op: &'static str, x: &Tensor, weight: &Tensor, attrs: &Attrs, dims: usize) -> Result<Geometry> {
    let (batch, channels, large) = check_image(op, x, weight, dims)?;
    let (w, groups) = (weight.shape(), attrs.get_int("groups") as usize);
    let stride = two(&attrs.get_sizes("stride"), 1);
    let dilation = two(&attrs.get_sizes("dilation"), 1);
    check_positive(op, "the stride", &stride)?;
    check_positive(op, "the dilation", &dilation)?;
    check_positive(op, "the number of groups", &[groups])?;
    if w[0] % groups != 0 {
        let detail =
            format!("a weight of shape {w:?} has {} output channels, which {groups} groups don't divide", w[0]);
        return Err(Error::shape(op, detail));
    }
    if channels != w[1] * groups {
        let detail = format!(
            "an input of shape {:?} has {channels} channels, but a weight of shape {w:?} with groups={groups} takes {}",
            x.shape(),
            w[1] * groups
        );
        return Err(Error::shape(op, detail));
    }
    let kernel = two(&w[2..], 1);
    let (before, after) = (two(&attrs.get_sizes("padding"), 0), two(&attrs.get_sizes("padding_after"), 0));
    let mut small = [0; 2];
    for d in 0..2 {
        let (padded, reach) = (large[d] + before[d] + after[d], dilation[d] * (kernel[d] - 1) + 1);
        if reach > padded {
            let detail = format!(
                "the kernel of a weight of shape {w:?} is larger than the input of shape {:?}: it reaches over {reach} \
                 places, and there are {padded} with the padding",
                x.shape()
            );
            return Err(Error::shape(op, detail));
        }
        small[d] = (padded - reach) / stride[d] + 1;
    }
    let (large_channels, small_channels) = (w[1], w[0] / groups);
    let padding = before;
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
        tuned::to_large(v, &geometry, &Operands { x: &g, weight: &weight, bias: None }, &dx)?;
        Some(dx)
    } else {
        None
    });
    gradients.push(if v.needs(1) {
        let dw = parameter_gradient(v, 1);
        weight_gradient(v, &geometry, &g, &x, &dw)?;
        Some(dw)
    } else {
        None
    });
    if v.inputs_len() == 3 {
        gradients.push(bias_gradient(v, &g, dims)?);
    }
    Ok(gradients)
}

/// The arguments by their names; `same` becomes the numbers that it means for this weight.
fn attrs<const N: usize>(op: &'static str, weight: &Tensor, options: &ConvOptions<N>) -> Result<Attrs> {
    let (before, after) = match options.padding {
        Padding::Valid => ([0; N], [0; N]),
        Padding::Sizes(sizes) => (sizes, sizes),
        Padding::Same => {
            if options.stride != [1; N] {
                let detail =
                    format!("padding `same` needs a stride of 1, not {:?}: give sizes instead", options.stride);
                return Err(Error::argument(op, detail));
            }
            // A weight of another rank is refused with its shape by the operation.
            let kernel = |d: usize| weight.shape().get(2 + d).copied().unwrap_or(1);
            let total: [usize; N] = std::array::from_fn(|d| options.dilation[d] * kernel(d).saturating_sub(1));
            (total.map(|t| t / 2), total.map(|t| t - t / 2))
        }
    };
    Ok(Attrs::new()
        .sizes("stride", &options.stride)
        .sizes("padding", &before)
        .sizes("padding_after", &after)
        .sizes("dilation", &options.dilation)
        .int("groups", options.groups as i64))
}

fn run<const N: usize>(
    operation: &'static Operation,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: &ConvOptions<N>,
) -> Result<Tensor> {
    let attrs = attrs(operation.name, weight, options)?;
    apply_biased(operation, [x, weight], bias, attrs)
}

methods! {
    /// The convolution of an input `[N, C, H, W]` or `[C, H, W]` with a weight `[O, C/groups, kh, kw]` and a bias `[O]`:
    ///
    /// `y[n, o, p] = bias[o] + Σ_c Σ_t weight[o, c, t] · x[n, c, p·stride + t·dilation − padding]`
    ///
    /// The result is `[N, O, H', W']` with `H' = ⌊(H + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1`.
    ///
    /// # Errors
    /// (A panic without `try_`.) When channels, groups or bias do not fit, when the kernel is larger than the padded input,
    /// for a stride or dilation of 0, and for [`Padding::Same`] with another stride than 1.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html>
    ///
    /// ```
    /// use lumigrad::{Conv2dOptions, prelude::*};
    /// let x = Tensor::arange(0.0, 9.0, 1.0).reshape([1, 1, 3, 3]);
    /// let weight = Tensor::from_slice(&[1.0f32, 0.0, 0.0, -1.0], &[1, 1, 2, 2]);
    /// let y = x.conv2d(&weight, None, &Conv2dOptions::new());
    /// assert_eq!(y.to_vec::<f32>()?, [-4.0; 4]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn conv2d / try_conv2d (
        &self, weight: &Tensor, bias: Option<&Tensor>, options: &Conv2dOptions,
    ) -> Tensor {
        run(&CONV2D, self, weight, bias, options)
    }

    /// [`Self::conv2d`] in one dim: an input `[N, C, L]` or `[C, L]`, a weight `[O, C/groups, k]` and a bias `[O]`.
    ///
    /// <https://pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html>
    ///
    /// ```
    /// use lumigrad::{Conv1dOptions, prelude::*};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 4.0, 8.0], &[1, 1, 4]);
    /// let y = x.conv1d(&Tensor::ones(&[1, 1, 2]), None, &Conv1dOptions::new().stride(2));
    /// assert_eq!(y.to_vec::<f32>()?, [3.0, 12.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn conv1d / try_conv1d (
        &self, weight: &Tensor, bias: Option<&Tensor>, options: &Conv1dOptions,
    ) -> Tensor {
        run(&CONV1D, self, weight, bias, options)
    }
}

/// A case of shapes, options and perhaps a bias.
fn case<const N: usize>(name: &str, x: &[usize], w: &[usize], bias: bool, options: ConvOptions<N>) -> cases::Case {
    use cases::{Case, Input};
    let mut inputs = vec![Input::floats(x), Input::floats(w)];
    if bias {
        inputs.push(Input::floats(&w[..1]));
    }
    let weight = Tensor::full_on(w, 0.0, DType::F32, &crate::Device::reference());
    Case::new(name, inputs).attrs(attrs("cases", &weight, &options).expect("options that fit"))
}

fn cases_1d() -> Vec<cases::Case> {
    let plain = Conv1dOptions::new();
    let mut list = plain_cases_1d();
    list.extend(case("typical", &[2, 3, 10], &[4, 3, 3], true, plain.padding(1)).of_halves());
    list.extend(case("odd", &[2, 3, 9], &[4, 3, 2], true, plain.stride(2)).of_halves());
    list
}

fn plain_cases_1d() -> Vec<cases::Case> {
    let plain = Conv1dOptions::new();
    vec![
        case("typical", &[2, 3, 9], &[4, 3, 3], true, plain.padding(1)),
        case("strided", &[2, 3, 10], &[2, 3, 3], false, plain.stride(2)),
        case("same, odd", &[1, 2, 7], &[2, 2, 4], true, plain.padding(Padding::Same)),
        case("groups and dilation", &[1, 4, 9], &[6, 2, 3], true, plain.groups(2).dilation(2)),
        case("no batch", &[3, 5], &[2, 3, 2], true, plain),
        case("no images", &[0, 3, 5], &[2, 3, 2], true, plain),
        case("long", &[1, 2, 20_003], &[3, 2, 5], true, plain.padding(2)).no_gradcheck(),
        case("rank", &[2, 3, 9, 9], &[4, 3, 3], false, plain).fails(),
    ]
}

fn cases_2d() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Fill, Input};
    /// No finite sum of them leaves the range, which f64 would not see.
    const EXTREME: Fill =
        Fill::Values(&[0.0, -0.0, 1.0, 1e-30, -1e-30, 1e30, -1e30, f64::INFINITY, 0.5, -1.0, f64::NAN, 2.0, -3.0]);
    let plain = Conv2dOptions::new();
    let arranged = |name: &str, arrangement| {
        let mut case = case(name, &[2, 3, 5, 4], &[2, 3, 3, 2], true, plain.padding(1));
        case.inputs.iter_mut().for_each(|input| input.arrangement = arrangement);
        case
    };
    let extreme = Case {
        inputs: vec![Input::floats(&[2, 2, 6, 6]).fill(EXTREME), Input::floats(&[3, 2, 3, 3])],
        ..case("extreme", &[2, 2, 6, 6], &[3, 2, 3, 3], false, plain)
    };
    let mut strided_vectors = case("vectors in strided memory", &[2, 8, 6, 7], &[8, 8, 3, 3], true, plain);
    strided_vectors.inputs.iter_mut().for_each(|input| input.arrangement = Arrangement::Strided);
    let extreme_vectors = Case {
        inputs: vec![Input::floats(&[2, 8, 6, 8]).fill(EXTREME), Input::floats(&[8, 8, 3, 3])],
        ..case("extreme vectors", &[2, 8, 6, 8], &[8, 8, 3, 3], false, plain)
    };
    let ints = Case {
        inputs: vec![Input::ints(&[1, 1, 3, 3], 0, 3), Input::ints(&[1, 1, 2, 2], 0, 3)],
        ..case("integers", &[1, 1, 3, 3], &[1, 1, 2, 2], false, plain)
    };
    let mut list = vec![
        case("typical", &[2, 3, 6, 5], &[4, 3, 3, 3], true, plain.padding(1)),
        case("no bias", &[2, 2, 5, 5], &[3, 2, 3, 3], false, plain),
        case("one", &[1, 1, 1, 1], &[1, 1, 1, 1], true, plain),
        case("1×1", &[2, 3, 4, 4], &[5, 3, 1, 1], true, plain),
        case("strided 1×1", &[1, 3, 5, 5], &[2, 3, 1, 1], true, plain.stride(2)),
        case("whole image", &[2, 2, 4, 3], &[3, 2, 4, 3], true, plain),
        case("odd kernel", &[1, 2, 7, 9], &[2, 2, 5, 4], true, plain.padding([2, 1])),
        case("strided", &[2, 2, 7, 8], &[3, 2, 3, 3], true, plain.stride(2).padding(1)),
        case("two strides", &[1, 2, 9, 8], &[2, 2, 2, 3], false, plain.stride([3, 2]).padding([1, 0])),
        case("stride over the kernel", &[1, 2, 7, 7], &[2, 2, 2, 2], true, plain.stride(3)),
        case("dilated", &[1, 2, 8, 9], &[2, 2, 3, 3], true, plain.dilation([2, 3]).padding(2)),
        case(
            "strided and dilated",
            &[1, 2, 9, 11],
            &[2, 2, 3, 3],
            true,
            plain.stride([2, 4]).dilation([3, 2]).padding(2),
        ),
        case("much padding", &[1, 1, 2, 3], &[2, 1, 2, 2], true, plain.padding([3, 4])),
        case("same", &[1, 2, 5, 6], &[2, 2, 3, 4], true, plain.padding(Padding::Same)),
        case("same, dilated", &[1, 2, 5, 6], &[2, 2, 2, 3], false, plain.padding(Padding::Same).dilation([3, 2])),
        case("groups", &[2, 4, 5, 5], &[6, 2, 3, 3], true, plain.groups(2).padding(1)),
        case("depthwise", &[2, 3, 6, 5], &[6, 1, 3, 3], true, plain.groups(3).padding(1)),
        case("no batch", &[2, 4, 5], &[3, 2, 3, 3], true, plain.padding(1)),
        case("no images", &[0, 2, 5, 5], &[3, 2, 3, 3], true, plain),
        case("no input channels", &[2, 0, 4, 4], &[3, 0, 2, 2], true, plain),
        arranged("transposed", Arrangement::Transposed),
        arranged("strided memory", Arrangement::Strided),
        arranged("expanded", Arrangement::Expanded),
        case("many channels", &[2, 40, 7, 9], &[35, 40, 3, 3], true, plain.padding(1)).no_gradcheck(),
        case("vectors", &[2, 8, 7, 6], &[12, 8, 3, 3], true, plain.padding(1)).no_gradcheck(),
        case("whole vectors", &[1, 16, 10, 14], &[20, 16, 3, 3], true, plain).no_gradcheck(),
        case("vectors, long lines", &[2, 8, 5, 21], &[8, 8, 3, 3], true, plain.padding(1)).no_gradcheck(),
        case("vectors, few lines", &[3, 9, 1, 1], &[8, 9, 3, 3], false, plain.padding([1, 2])).no_gradcheck(),
        case("vectors, no images", &[0, 8, 5, 5], &[8, 8, 3, 3], true, plain).no_gradcheck(),
        strided_vectors.no_gradcheck(),
        extreme_vectors.no_gradcheck(),
        case("many strided channels", &[1, 19, 13, 15], &[70, 19, 3, 3], true, plain.padding(1).stride(2))
            .no_gradcheck(),
        case("wide kernel", &[1, 9, 13, 15], &[17, 9, 7, 7], true, plain.padding(3)).no_gradcheck(),
        case("large groups", &[2, 36, 9, 9], &[40, 18, 3, 3], true, plain.padding(1).groups(2)).no_gradcheck(),
        case("large image", &[3, 2, 70, 66], &[9, 2, 3, 3], true, plain.padding(1)).no_gradcheck(),
        extreme.no_gradcheck(),
        ints.fails(),
    ];
    let refused = [
        ("channels", [2, 3, 6, 6], [4, 2, 3, 3], plain),
        ("kernel", [1, 2, 2, 2], [4, 2, 3, 3], plain),
        ("stride", [1, 2, 6, 6], [4, 2, 3, 3], plain.stride(0)),
        ("dilation", [1, 2, 6, 6], [4, 2, 3, 3], plain.dilation(0)),
        ("groups and channels", [1, 4, 6, 6], [6, 2, 3, 3], plain.groups(4)),
        ("no groups", [1, 2, 6, 6], [4, 2, 3, 3], plain.groups(0)),
        ("no output channels", [1, 2, 6, 6], [0, 2, 3, 3], plain),
        ("nothing to see", [1, 2, 0, 6], [4, 2, 3, 3], plain.padding(3)),
    ];
    list.extend(refused.into_iter().map(|(name, x, w, options)| case(name, &x, &w, false, options).fails()));
    list.extend(half_cases_2d());
    list
}

/// Widths at which a word is in one line and ones at which it is in two, of all kernels.
fn half_cases_2d() -> Vec<cases::Case> {
    use cases::Arrangement::{Contiguous, Expanded, Strided, Transposed};
    let plain = Conv2dOptions::new();
    let list = [
        ("typical", [2, 3, 5, 6], [4, 3, 3, 3], true, plain.padding(1), Contiguous),
        ("odd width", [2, 3, 6, 5], [4, 3, 3, 3], true, plain.padding(1), Contiguous),
        ("one", [1, 1, 1, 1], [1, 1, 1, 1], true, plain, Contiguous),
        ("1×1", [3, 3, 4, 4], [5, 3, 1, 1], false, plain, Contiguous),
        ("strided", [2, 2, 7, 8], [3, 2, 3, 3], true, plain.stride(2).padding(1), Contiguous),
        ("strided lines", [2, 2, 7, 8], [3, 2, 3, 3], true, plain.stride([2, 1]).padding(1), Contiguous),
        ("dilated", [1, 2, 9, 9], [2, 2, 3, 4], true, plain.dilation([3, 2]).padding([2, 3]), Contiguous),
        ("groups", [2, 4, 5, 6], [6, 2, 3, 3], true, plain.groups(2).padding(1), Contiguous),
        ("depthwise", [2, 3, 6, 4], [6, 1, 3, 3], true, plain.groups(3).padding(1), Contiguous),
        ("many channels", [2, 40, 7, 10], [35, 40, 3, 3], true, plain.padding(1), Contiguous),
        ("vectors", [2, 8, 7, 6], [12, 8, 3, 3], true, plain.padding(1), Contiguous),
        ("vectors of an odd width", [2, 8, 6, 7], [8, 8, 3, 3], false, plain.padding(1), Contiguous),
        ("whole vectors", [1, 16, 10, 18], [20, 16, 3, 3], true, plain, Contiguous),
        ("vectors in strided memory", [2, 8, 6, 7], [8, 8, 3, 3], true, plain, Strided),
        ("strided memory", [2, 3, 5, 4], [2, 3, 3, 2], true, plain.padding(1), Strided),
        ("transposed", [2, 3, 5, 4], [2, 3, 3, 3], true, plain, Transposed),
        ("expanded", [2, 3, 5, 4], [2, 3, 3, 3], true, plain, Expanded),
        ("no images", [0, 2, 5, 5], [3, 2, 3, 3], true, plain, Contiguous),
    ];
    let of_both = |(name, x, w, bias, options, arrangement): (&str, [usize; 4], [usize; 4], _, _, _)| {
        let mut case = case(name, &x, &w, bias, options);
        case.inputs.iter_mut().for_each(|input| input.arrangement = arrangement);
        case.of_halves()
    };
    let mut cases: Vec<_> = list.into_iter().flat_map(of_both).collect();
    let mut mixed = case("two types", &[1, 2, 4, 4], &[2, 2, 3, 3], true, plain);
    mixed.inputs[0].dtype = DType::F16;
    cases.push(mixed.fails());
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Device;

    #[test]
    fn same_padding_needs_a_stride_of_one() {
        let device = Device::reference();
        let x = Tensor::full_on(&[1, 1, 4, 4], 1.0, DType::F32, &device);
        let options = Conv2dOptions::new().padding(Padding::Same).stride(2);
        let error = x.try_conv2d(&x, None, &options).unwrap_err().to_string();
        assert!(error.contains("conv2d") && error.contains("same") && error.contains("stride"), "{error}");
    }

    #[test]
    fn mistakes_name_both_shapes() {
        let device = Device::reference();
        let ones = |shape: &[usize]| Tensor::full_on(shape, 1.0, DType::F32, &device);
        let plain = Conv2dOptions::new();
        for (x, w, options) in [
            ([2, 3, 6, 6], [4, 2, 3, 3], plain),
            ([2, 3, 2, 2], [4, 3, 3, 3], plain),
            ([2, 4, 6, 6], [6, 2, 3, 3], plain.groups(3)),
        ] {
            let error = ones(&x).try_conv2d(&ones(&w), None, &options).unwrap_err().to_string();
            assert!(error.contains("conv2d") && error.contains(&format!("{x:?}")), "{error}");
            assert!(error.contains(&format!("{w:?}")), "{error}");
        }
        let error = ones(&[3, 4]).try_conv1d(&ones(&[3, 3]), None, &Conv1dOptions::new()).unwrap_err().to_string();
        assert!(error.contains("conv1d") && error.contains("[3, 4]") && error.contains("[3, 3]"), "{error}");
    }
}
