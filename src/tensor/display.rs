//! Tensors as text, in PyTorch's form.

use std::fmt;

use super::Tensor;
use crate::DType;
use crate::dtype::HostData;

/// Tensors with more elements are shown by their edges.
const SUMMARY_ABOVE: usize = 1000;

/// Elements shown at each end of a dim then.
const EDGE: usize = 3;

/// Width of a line.
const LINE: usize = 80;

/// Prints as PyTorch does, reading the elements back: `tensor([1., 2.])`. A tensor that can't be read shows why.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = match self.peek() {
            Ok(data) => data,
            Err(error) => return write!(f, "tensor(<{error}>, size={:?})", self.shape()),
        };
        let mut tail = String::new();
        if self.numel() == 0 && self.shape() != [0] {
            tail.push_str(&format!(", size={:?}", self.shape()));
        }
        if !matches!(self.dtype(), DType::F32 | DType::Bool | DType::I32) || (self.numel() == 0 && self.is_integer()) {
            tail.push_str(&format!(", dtype={}", self.dtype()));
        }
        if self.is_leaf() && self.is_requires_grad() {
            tail.push_str(", requires_grad=true");
        } else if let crate::tensor::Gradient::Node(node, _) = self.gradient() {
            tail.push_str(&format!(", grad_fn=<{}>", node.operation.name));
        }
        let text = if self.numel() == 0 {
            "[]".to_string()
        } else {
            let style = Style::of(&data, self.dtype(), self.shape());
            style.block(&data, self.shape(), 0, 0, "tensor(".len())
        };
        write!(f, "tensor({text}{tail})")
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?}, {}, {})", self.shape(), self.dtype(), self.device())
    }
}

/// How the elements of one tensor are written, so that columns line up.
struct Style {
    dtype: DType,
    width: usize,
    summarize: bool,
    form: FloatForm,
}

#[derive(Clone, Copy, PartialEq)]
enum FloatForm {
    /// Whole numbers: `1.`
    Whole,
    /// Four decimals.
    Decimal,
    /// Four decimals and an exponent.
    Scientific,
}

impl Style {
    fn of(data: &HostData, dtype: DType, shape: &[usize]) -> Style {
        let summarize = data.len() > SUMMARY_ABOVE;
        let mut style = Style { dtype, width: 0, summarize, form: FloatForm::Whole };
        let mut shown = Vec::new();
        style.visit(shape, 0, 0, &mut |i| shown.push(data.get_f64(i)));
        if dtype.is_float() {
            style.form = float_form(&shown);
        }
        // As in PyTorch, infinities, NaN and zeros do not widen a column of floats.
        let counts = |v: &f64| !dtype.is_float() || (v.is_finite() && *v != 0.0);
        style.width = shown.iter().filter(|v| counts(v)).map(|&v| style.number(v).len()).max().unwrap_or(0);
        style
    }

    /// Calls `f` with the position of each element that is shown.
    fn visit(&self, shape: &[usize], dim: usize, base: usize, f: &mut dyn FnMut(usize)) {
        if dim == shape.len() {
            return f(base);
        }
        let inner: usize = shape[dim + 1..].iter().product();
        for i in self.shown(shape[dim]).into_iter().flatten() {
            self.visit(shape, dim + 1, base + i * inner, f);
        }
    }

    /// The places of a dim that are shown; `None` is the gap.
    fn shown(&self, size: usize) -> Vec<Option<usize>> {
        if !self.summarize || size <= 2 * EDGE {
            return (0..size).map(Some).collect();
        }
        (0..EDGE).map(Some).chain([None]).chain((size - EDGE..size).map(Some)).collect()
    }

    fn number(&self, v: f64) -> String {
        match self.dtype {
            DType::Bool => if v != 0.0 { "true" } else { "false" }.to_string(),
            DType::I32 | DType::U32 => format!("{v:.0}"),
            _ if v.is_nan() => "nan".to_string(),
            _ if v.is_infinite() => if v > 0.0 { "inf" } else { "-inf" }.to_string(),
            DType::F32 | DType::F16 | DType::BF16 => match self.form {
                FloatForm::Whole => format!("{v:.0}."),
                FloatForm::Decimal => format!("{v:.4}"),
                FloatForm::Scientific => scientific(v),
            },
        }
    }

    fn block(&self, data: &HostData, shape: &[usize], dim: usize, base: usize, indent: usize) -> String {
        if dim == shape.len() {
            return self.number(data.get_f64(base));
        }
        let inner: usize = shape[dim + 1..].iter().product();
        let last = dim + 1 == shape.len();
        let items = self.shown(shape[dim]).into_iter().map(|place| match place {
            None => "...".to_string(),
            Some(i) if last => format!("{:>width$}", self.number(data.get_f64(base + i)), width = self.width),
            Some(i) => self.block(data, shape, dim + 1, base + i * inner, indent + 1),
        });
        if last { self.line(items, indent + 1) } else { stack(items, shape.len() - dim - 1, indent + 1) }
    }

    /// Elements of the last dim, broken into lines.
    fn line(&self, items: impl Iterator<Item = String>, indent: usize) -> String {
        let per_line = ((LINE - indent.min(LINE - 1)) / (self.width + 2)).max(1);
        let items: Vec<String> = items.collect();
        let lines: Vec<String> = items.chunks(per_line).map(|chunk| chunk.join(", ")).collect();
        format!("[{}]", lines.join(&format!(",\n{}", " ".repeat(indent))))
    }
}

/// Rows below each other, with an empty line for each dim between them.
fn stack(items: impl Iterator<Item = String>, dims: usize, indent: usize) -> String {
    let gap = format!(",{}{}", "\n".repeat(dims), " ".repeat(indent));
    format!("[{}]", items.collect::<Vec<_>>().join(&gap))
}

/// PyTorch's choice of notation for the numbers that are shown.
fn float_form(values: &[f64]) -> FloatForm {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let nonzero = || finite().map(f64::abs).filter(|v| *v > 0.0);
    let (largest, smallest) = (nonzero().fold(0.0, f64::max), nonzero().fold(f64::INFINITY, f64::min));
    let whole = finite().all(|v| v.fract() == 0.0);
    if largest == 0.0 {
        return FloatForm::Whole;
    }
    if whole {
        return if largest / smallest > 1000.0 || largest > 1e8 { FloatForm::Scientific } else { FloatForm::Whole };
    }
    if largest / smallest > 1000.0 || largest > 1e8 || smallest < 1e-4 {
        FloatForm::Scientific
    } else {
        FloatForm::Decimal
    }
}

/// `1.0000e+08`, as C writes it.
fn scientific(v: f64) -> String {
    let text = format!("{v:.4e}");
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn show(values: &[f64], shape: &[usize]) -> String {
        Tensor::from_slice_on(values, shape, &Device::reference()).to_string()
    }

    /// Each line is what PyTorch 2.x prints, but for `true` and the element types' names.
    #[test]
    fn looks_like_pytorch() {
        assert_eq!(show(&[6.0], &[]), "tensor(6.)");
        assert_eq!(show(&[1.0, 2.0], &[2]), "tensor([1., 2.])");
        assert_eq!(show(&[0.5, -2.0], &[2]), "tensor([ 0.5000, -2.0000])");
        assert_eq!(show(&[1.0, 2.0, 3.0, 4.0], &[2, 2]), "tensor([[1., 2.],\n        [3., 4.]])");
        assert_eq!(show(&[1e-5, 1.0], &[2]), "tensor([1.0000e-05, 1.0000e+00])");
        assert_eq!(show(&[f64::NAN, f64::INFINITY, 1.0], &[3]), "tensor([nan, inf, 1.])");
        assert_eq!(show(&[], &[0]), "tensor([])");
        assert_eq!(show(&[], &[2, 0]), "tensor([], size=[2, 0])");
        let cube = show(&[0.0, 1.0, 2.0, 3.0], &[2, 1, 2]);
        assert_eq!(cube, "tensor([[[0., 1.]],\n\n        [[2., 3.]]])");
    }

    #[test]
    fn long_tensors_show_their_edges() {
        let values: Vec<f64> = (0..2000).map(f64::from).collect();
        assert_eq!(
            show(&values, &[2000]),
            "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00, ..., 1.9970e+03, 1.9980e+03,\n        1.9990e+03])"
        );
    }

    #[test]
    fn lines_break() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i % 10)).collect();
        assert!(show(&values, &[40]).lines().all(|l| l.len() <= LINE));
    }

    #[test]
    fn says_what_it_is() {
        let device = Device::reference();
        let x = Tensor::from_slice_on(&[1.0f32], &[1], &device).requires_grad();
        assert_eq!(x.to_string(), "tensor([1.], requires_grad=true)");
        assert_eq!((&x * 2.0).to_string(), "tensor([2.], grad_fn=<mul_scalar>)");
        assert_eq!(Tensor::from_slice_on(&[3, -1], &[2], &device).to_string(), "tensor([ 3, -1])");
        assert_eq!(Tensor::from_slice_on(&[true, false], &[2], &device).to_string(), "tensor([ true, false])");
    }
}
