//! What the generic tests run operations with: gradcheck, parity and the doctor all walk these lists.

use super::{Attrs, Operation, Outputs, apply_on};
use crate::Result;
use crate::dtype::DType;
use crate::engine::Device;
use crate::tensor::Tensor;

/// One run of an operation.
#[derive(Clone, Debug)]
pub struct Case {
    /// Short name, unique in its operation.
    pub name: String,
    /// The tensors.
    pub inputs: Vec<Input>,
    /// The other arguments.
    pub attrs: Attrs,
    /// What upstream gradients, of about 1, are multiplied by.
    pub upstream: f64,
    /// Whether gradcheck takes it: off at kinks and for values where differences mean nothing.
    pub gradcheck: bool,
    /// Whether the operation must refuse it.
    pub fails: bool,
}

/// A tensor made for a case.
#[derive(Clone, Debug)]
pub struct Input {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
    /// Values.
    pub fill: Fill,
    /// How it lies in memory.
    pub arrangement: Arrangement,
    /// Whether gradcheck differentiates it.
    pub differentiable: bool,
}

/// The values of an input.
#[derive(Clone, Copy, Debug)]
pub enum Fill {
    /// Evenly spread random numbers.
    Uniform(f64, f64),
    /// Random numbers whose magnitude is at least `.0` and at most `.1`.
    Away(f64, f64),
    /// All different, 0.25 apart, in random order: for maxima and sorting.
    Distinct,
    /// Whole numbers from `.0` up to, not including, `.1`.
    Whole(i64, i64),
    /// These, repeated.
    Values(&'static [f64]),
}

/// How an input lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Row by row.
    Contiguous,
    /// The transpose of a tensor with its dims reversed.
    Transposed,
    /// Every second element of the last dim of a larger tensor, not from its start.
    Strided,
    /// Every row the same memory: the first dim is expanded.
    Expanded,
    /// What lies inside of a larger tensor, eight elements from its edges in the last two dims.
    Inner,
    /// Row by row behind the first element of its memory, so that no vector of several is whole.
    Behind,
}

/// Any float of moderate size.
pub const ANY: Fill = Fill::Uniform(-2.0, 2.0);
/// Far enough from 0 for differences across a kink.
pub const AWAY_FROM_ZERO: Fill = Fill::Away(0.1, 2.0);
/// Positive floats.
pub const POSITIVE: Fill = Fill::Uniform(0.2, 3.0);
/// Numbers at the ends of the range, with infinities and NaN.
pub const EXTREME: Fill = Fill::Values(&[
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-30,
    -1e-30,
    88.0,
    -88.0,
    1e4,
    -1e4,
    3e38,
    -3e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    0.5,
    -0.5,
]);

/// Numbers whose exponentials or squares are about as small as a normal f32 can be: [`SMALL_UPSTREAM`] makes normal ones even
/// of those that are smaller, which a driver may flush to 0 in between.
pub const SMALL: Fill = Fill::Values(&[
    -87.4, -88.5, -90.0, -92.0, -95.0, -98.0, -86.5, -87.2, 87.4, 88.5, 90.0, 95.0, 1.1e-19, -9e-20, 3e-20, -1e-21,
    -9.3, 9.4, 9.6, -9.8, -0.0, 1.2e-38, -3e-38, 1.0,
]);
/// Rows of eight whose softmax has some as small.
pub const SMALL_SHARES: Fill = Fill::Values(&[-87.4, 0.0, -88.5, -90.0, -87.2, -95.0, -98.0, -92.0]);
/// For [`SMALL`]: as large as the gradients of a scaled loss.
pub const SMALL_UPSTREAM: f64 = 65536.0;

impl Input {
    /// Contiguous floats from [`ANY`].
    pub fn floats(shape: &[usize]) -> Input {
        let arrangement = Arrangement::Contiguous;
        Input { shape: shape.to_vec(), dtype: DType::F32, fill: ANY, arrangement, differentiable: true }
    }

    /// Contiguous whole numbers of i32.
    pub fn ints(shape: &[usize], low: i64, high: i64) -> Input {
        Input { dtype: DType::I32, fill: Fill::Whole(low, high), differentiable: false, ..Input::floats(shape) }
    }

    /// Contiguous truth values.
    pub fn bools(shape: &[usize]) -> Input {
        Input { dtype: DType::Bool, ..Input::ints(shape, 0, 2) }
    }

    /// With other values.
    pub fn fill(self, fill: Fill) -> Input {
        Input { fill, ..self }
    }

    /// With another type.
    pub fn dtype(self, dtype: DType) -> Input {
        Input { dtype, differentiable: dtype.is_float() && self.differentiable, ..self }
    }

    /// Lying differently in memory.
    pub fn arranged(self, arrangement: Arrangement) -> Input {
        Input { arrangement, ..self }
    }

    /// Left out of gradcheck's differences.
    pub fn constant(self) -> Input {
        Input { differentiable: false, ..self }
    }

    /// Makes the tensor; `seed` tells inputs apart.
    pub fn make(&self, device: &Device, seed: u64) -> Tensor {
        let mut random = SplitMix(seed);
        let make = |shape: &[usize], random: &mut SplitMix| {
            let values = values(self.fill, shape.iter().product(), random);
            from_f64(&values, shape, self.dtype, device)
        };
        match self.arrangement {
            Arrangement::Contiguous => make(&self.shape, &mut random),
            Arrangement::Transposed => {
                let reversed: Vec<usize> = self.shape.iter().rev().copied().collect();
                let dims: Vec<i64> = (0..self.shape.len() as i64).rev().collect();
                make(&reversed, &mut random).permute(&dims)
            }
            Arrangement::Strided => {
                let mut wide = self.shape.clone();
                let last = wide.last_mut().expect("a strided input has a dim");
                let len = *last;
                *last = 2 * len + 1;
                make(&wide, &mut random).slice_step(-1, 1, 2 * len as i64 + 1, 2)
            }
            Arrangement::Inner => {
                let (rank, mut wide) = (self.shape.len(), self.shape.clone());
                let dims = rank - 2..rank;
                dims.clone().for_each(|d| wide[d] += 16);
                dims.fold(make(&wide, &mut random), |x, d| x.narrow(d as i64, 8, self.shape[d]))
            }
            Arrangement::Behind => {
                let len: usize = self.shape.iter().product();
                make(&[len + 1], &mut random).narrow(0, 1, len).reshape(&self.shape)
            }
            Arrangement::Expanded => {
                let mut row = self.shape.clone();
                row[0] = 1;
                make(&row, &mut random).expand(&self.shape)
            }
        }
    }
}

fn from_f64(values: &[f64], shape: &[usize], dtype: DType, device: &Device) -> Tensor {
    device.scope(|| match dtype {
        DType::F32 => Tensor::from_slice(values, shape),
        DType::F16 => Tensor::from_slice(&values.iter().map(|&v| half::f16::from_f64(v)).collect::<Vec<_>>(), shape),
        DType::BF16 => Tensor::from_slice(&values.iter().map(|&v| half::bf16::from_f64(v)).collect::<Vec<_>>(), shape),
        DType::I32 => Tensor::from_slice(&values.iter().map(|&v| v as i32).collect::<Vec<_>>(), shape),
        DType::U32 => Tensor::from_slice(&values.iter().map(|&v| v as u32).collect::<Vec<_>>(), shape),
        DType::Bool => Tensor::from_slice(&values.iter().map(|&v| v != 0.0).collect::<Vec<_>>(), shape),
    })
}

fn values(fill: Fill, n: usize, random: &mut SplitMix) -> Vec<f64> {
    let mut unit = || (random.next() >> 11) as f64 / (1u64 << 53) as f64;
    // f32 values, so that every device starts from the same numbers.
    let round = |x: f64| f64::from(x as f32);
    match fill {
        Fill::Uniform(low, high) => (0..n).map(|_| round(low + (high - low) * unit())).collect(),
        Fill::Away(low, high) => (0..n)
            .map(|_| {
                let sign = if unit() < 0.5 { -1.0 } else { 1.0 };
                round(sign * (low + (high - low) * unit()))
            })
            .collect(),
        Fill::Whole(low, high) => (0..n).map(|_| low as f64 + ((high - low) as f64 * unit()).floor()).collect(),
        Fill::Values(list) => (0..n).map(|i| round(list[i % list.len()])).collect(),
        Fill::Distinct => {
            let mut all: Vec<f64> = (0..n).map(|i| 0.25 * (i as f64 - n as f64 / 2.0).round() + 0.125).collect();
            for i in (1..n).rev() {
                all.swap(i, (unit() * (i + 1) as f64) as usize);
            }
            all
        }
    }
}

/// A small generator for test data (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Case {
    /// A case for every check.
    pub fn new(name: impl Into<String>, inputs: Vec<Input>) -> Case {
        let gradcheck = inputs.iter().any(|i| i.differentiable);
        Case { name: name.into(), inputs, attrs: Attrs::new(), upstream: 1.0, gradcheck, fails: false }
    }

    /// With arguments.
    pub fn attrs(self, attrs: Attrs) -> Case {
        Case { attrs, ..self }
    }

    /// Left out of gradcheck.
    pub fn no_gradcheck(self) -> Case {
        Case { gradcheck: false, ..self }
    }

    /// With larger upstream gradients.
    pub fn upstream(self, upstream: f64) -> Case {
        Case { upstream, ..self }
    }

    /// One that the operation must refuse.
    pub fn fails(self) -> Case {
        Case { fails: true, gradcheck: false, ..self }
    }

    /// The same of both types of half the width.
    pub fn of_halves(self) -> [Case; 2] {
        let case = self.no_gradcheck();
        [DType::F16, DType::BF16].map(|dtype| {
            let inputs = case.inputs.iter().map(|input| input.clone().dtype(dtype)).collect();
            Case { name: format!("{dtype}, {}", case.name), inputs, ..case.clone() }
        })
    }

    /// The input tensors.
    pub fn make_inputs(&self, device: &Device) -> Vec<Tensor> {
        (1..).zip(&self.inputs).map(|(seed, input)| input.make(device, seed)).collect()
    }

    /// Runs the operation.
    ///
    /// # Errors
    /// What the operation refuses.
    pub fn run(&self, operation: &'static Operation, device: &Device, inputs: &[Tensor]) -> Result<Outputs> {
        let refs: Vec<&Tensor> = inputs.iter().collect();
        apply_on(device, operation, &refs, self.attrs.clone())
    }
}

/// The same cases with arguments.
pub fn with_attrs(cases: Vec<Case>, attrs: Attrs) -> Vec<Case> {
    cases.into_iter().map(|c| c.attrs(attrs.clone())).collect()
}

/// Cases of an elementwise operation of so many floats on halves, which has kernels of its own for whole vectors of eight.
fn halves(fill: Fill, operands: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        let input = |shape: &[usize]| Input::floats(shape).dtype(dtype).fill(fill);
        cases.push(Case::new(format!("{dtype}"), vec![input(&[3, 72]); operands]).no_gradcheck());
        let extreme = vec![input(&[24]).fill(EXTREME); operands];
        cases.push(Case::new(format!("extreme {dtype}"), extreme).no_gradcheck());
    }
    cases
}

/// Cases of an elementwise operation with one input of floats.
pub fn unary(fill: Fill) -> Vec<Case> {
    let input = |shape: &[usize]| Input::floats(shape).fill(fill);
    let mut cases = vec![
        Case::new("typical", vec![input(&[4, 6])]),
        Case::new("odd", vec![input(&[3, 5, 7])]),
        Case::new("one", vec![input(&[1])]),
        Case::new("0-d", vec![input(&[])]),
        Case::new("empty", vec![input(&[0, 3])]),
        Case::new("transposed", vec![input(&[5, 3]).arranged(Arrangement::Transposed)]),
        Case::new("strided", vec![input(&[2, 3, 4]).arranged(Arrangement::Strided)]),
        Case::new("expanded", vec![input(&[3, 4]).arranged(Arrangement::Expanded)]),
        Case::new("from an odd place", vec![input(&[3, 8]).arranged(Arrangement::Behind)]).no_gradcheck(),
        Case::new("large", vec![input(&[257, 129])]).no_gradcheck(),
        Case::new("large in quads", vec![input(&[260, 129])]).no_gradcheck(),
        Case::new("extreme", vec![input(&[17]).fill(EXTREME)]).no_gradcheck(),
        Case::new("extreme in quads", vec![input(&[20]).fill(EXTREME)]).no_gradcheck(),
        Case::new("smallest", vec![input(&[23]).fill(SMALL)]).upstream(SMALL_UPSTREAM).no_gradcheck(),
        Case::new("smallest in quads", vec![input(&[24]).fill(SMALL)]).upstream(SMALL_UPSTREAM).no_gradcheck(),
    ];
    cases.extend(halves(fill, 1));
    cases
}

/// Cases of an elementwise operation with one input of any numeric type.
pub fn unary_numeric(fill: Fill) -> Vec<Case> {
    let mut cases = unary(fill);
    let signed = |columns| Input::ints(&[3, columns], -50, 50);
    let unsigned = |columns| Input::ints(&[3, columns], 1, 50).dtype(DType::U32);
    let expanded = Arrangement::Expanded;
    cases.push(Case::new("i32", vec![signed(7)]));
    cases.push(Case::new("u32", vec![unsigned(7)]));
    cases.push(Case::new("i32 in quads", vec![signed(8)]));
    cases.push(Case::new("u32 in quads", vec![unsigned(8)]));
    cases.push(Case::new("i32 rows", vec![signed(8).arranged(expanded)]));
    cases.push(Case::new("u32 rows", vec![unsigned(8).arranged(expanded)]));
    cases
}

/// Cases of a broadcast operation of two operands of floats.
pub fn binary(fill: Fill) -> Vec<Case> {
    let input = |shape: &[usize]| Input::floats(shape).fill(fill);
    let mut cases = vec![
        Case::new("typical", vec![input(&[4, 6]), input(&[4, 6])]),
        Case::new("row", vec![input(&[3, 5]), input(&[5])]),
        Case::new("column", vec![input(&[3, 5]), input(&[3, 1])]),
        Case::new("outer", vec![input(&[3, 1]), input(&[1, 5])]),
        Case::new("middle", vec![input(&[2, 1, 3]), input(&[4, 1])]),
        Case::new("scalar", vec![input(&[]), input(&[2, 3])]),
        Case::new("rows of quads", vec![input(&[3, 1, 8]), input(&[2, 1])]),
        Case::new("expanded", vec![input(&[3, 4]).arranged(Arrangement::Expanded), input(&[3, 4])]),
        Case::new("0-d", vec![input(&[]), input(&[])]),
        Case::new("empty", vec![input(&[0, 3]), input(&[3])]),
        Case::new("transposed", vec![input(&[5, 3]).arranged(Arrangement::Transposed), input(&[5, 3])]),
        Case::new("strided", vec![input(&[2, 3, 4]), input(&[3, 4]).arranged(Arrangement::Strided)]),
        Case::new("from an odd place", vec![input(&[3, 8]), input(&[3, 8]).arranged(Arrangement::Behind)])
            .no_gradcheck(),
        Case::new("large", vec![input(&[130, 65]), input(&[65])]).no_gradcheck(),
        Case::new("large in quads", vec![input(&[132, 65]), input(&[132, 65])]).no_gradcheck(),
        Case::new("extreme", vec![input(&[17, 1]).fill(EXTREME), input(&[1, 17]).fill(EXTREME)]).no_gradcheck(),
        Case::new("shapes", vec![input(&[2, 3]), input(&[2])]).fails(),
    ];
    cases.extend(halves(fill, 2));
    cases
}

/// Cases of a broadcast operation of two operands of any numeric type.
pub fn binary_numeric() -> Vec<Case> {
    let mut cases = binary(AWAY_FROM_ZERO);
    cases.push(Case::new("i32", vec![Input::ints(&[3, 7], -50, 50), Input::ints(&[7], 1, 20)]));
    let unsigned = |shape: &[usize]| Input::ints(shape, 1, 50).dtype(DType::U32);
    cases.push(Case::new("u32", vec![unsigned(&[3, 7]), unsigned(&[7])]));
    cases.push(Case::new("i32 in quads", vec![Input::ints(&[3, 8], -50, 50), Input::ints(&[3, 8], 1, 20)]));
    cases.push(Case::new("u32 in quads", vec![unsigned(&[3, 8]), unsigned(&[3, 8])]));
    cases.push(Case::new("i32 rows", vec![Input::ints(&[3, 8], -50, 50), Input::ints(&[8], 1, 20)]));
    cases.push(Case::new("u32 rows", vec![unsigned(&[3, 8]), unsigned(&[3, 1])]));
    cases
}
