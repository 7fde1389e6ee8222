//! Rests and whole quotients: the bits of C's `fmod` for all floats, PyTorch's signs and infinities, whole numbers to the ends
//! of their range, and what is refused.

mod common;

use common::{Gpu, Outcome, Test, check, mentions, on_references, same, values};
use half::{bf16, f16};
use lumigrad::{RoundingMode, prelude::*};

const TESTS: &[(&str, Test)] = &[
    ("signs_zeros_and_infinities_are_pytorchs", special),
    ("every_rest_is_exact", exact),
    ("quotient_and_remainder_make_the_number", identity),
    ("halves_have_exact_rests", halves),
    ("whole_numbers_to_the_ends_of_their_range", whole),
    ("a_whole_number_divided_by_0_is_an_error", zero),
    ("numbers_that_do_not_fit_are_refused", refused),
    ("operators_and_changes_in_place", operators),
    ("gradients_of_rests", gradients),
    ("gradients_of_huge_quotients", huge_gradients),
    ("gradients_of_quotients_are_0_or_refused", no_gradients),
];

fn main() {
    let gpu = Gpu::open();
    let mut trials = on_references(TESTS);
    trials.extend(gpu.trials("gpu", TESTS));
    gpu.run(trials);
}

type Binary = fn(&Tensor, &Tensor) -> Tensor;
type WithNumber = fn(&Tensor, f64) -> Tensor;

const DIVISIONS: [(&str, Binary, WithNumber); 4] = [
    ("fmod", |x, y| x.fmod(y), |x, y| x.fmod_scalar(y)),
    ("remainder", |x, y| x.remainder(y), |x, y| x.remainder_scalar(y)),
    ("floor_divide", |x, y| x.floor_divide(y), |x, y| x.floor_divide_scalar(y)),
    ("div_trunc", |x, y| x.div_rounding(y, RoundingMode::Trunc), |x, y| x.div_rounding_scalar(y, RoundingMode::Trunc)),
];

/// x, y, and PyTorch's `fmod`, `remainder`, `floor_divide` and `div` with `trunc`, in float64.
#[rustfmt::skip]
const SPECIAL: &[(f32, f32, [f32; 4])] = &[
    (0.0, 1.0, [0.0, 0.0, 0.0, 0.0]),
    (-0.0, 1.0, [-0.0, -0.0, -0.0, -0.0]),
    (0.0, -1.0, [0.0, 0.0, -0.0, -0.0]),
    (-0.0, -1.0, [-0.0, -0.0, 0.0, 0.0]),
    (4.0, 2.0, [0.0, 0.0, 2.0, 2.0]),
    (-4.0, 2.0, [-0.0, -0.0, -2.0, -2.0]),
    (4.0, -2.0, [0.0, 0.0, -2.0, -2.0]),
    (-4.0, -2.0, [-0.0, -0.0, 2.0, 2.0]),
    (0.3, 1.0, [0.3, 0.3, 0.0, 0.0]),
    (-0.3, 1.0, [-0.3, 0.7, -1.0, -0.0]),
    (0.3, -1.0, [0.3, -0.7, -1.0, -0.0]),
    (-0.3, -1.0, [-0.3, -0.3, 0.0, 0.0]),
    (5.5, 2.0, [1.5, 1.5, 2.0, 2.0]),
    (-5.5, 2.0, [-1.5, 0.5, -3.0, -2.0]),
    (5.5, -2.0, [1.5, -0.5, -3.0, -2.0]),
    (-5.5, -2.0, [-1.5, -1.5, 2.0, 2.0]),
    (0.7, 0.1, [0.09999998, 0.09999998, 6.0, 6.0]),
    (-0.7, 0.1, [-0.09999998, 2.2351742e-08, -7.0, -6.0]),
    (1000000.0, 0.3, [0.060263574, 0.060263574, 3.333333e+06, 3.333333e+06]),
    (-1e-30, 1.0, [-1e-30, 1.0, -1.0, -0.0]),
    (1.0, 0.0, [f32::NAN, f32::NAN, f32::INFINITY, f32::INFINITY]),
    (-1.0, 0.0, [f32::NAN, f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY]),
    (1.0, -0.0, [f32::NAN, f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY]),
    (0.0, 0.0, [f32::NAN, f32::NAN, f32::NAN, f32::NAN]),
    (1.0, f32::INFINITY, [1.0, 1.0, 0.0, 0.0]),
    (-1.0, f32::INFINITY, [-1.0, f32::INFINITY, -1.0, -0.0]),
    (1.0, f32::NEG_INFINITY, [1.0, f32::NEG_INFINITY, -1.0, -0.0]),
    (-1.0, f32::NEG_INFINITY, [-1.0, -1.0, 0.0, 0.0]),
    (-0.0, f32::INFINITY, [-0.0, -0.0, -0.0, -0.0]),
    (f32::INFINITY, 2.0, [f32::NAN, f32::NAN, f32::NAN, f32::INFINITY]),
    (f32::NEG_INFINITY, 2.0, [f32::NAN, f32::NAN, f32::NAN, f32::NEG_INFINITY]),
    (f32::INFINITY, 0.0, [f32::NAN, f32::NAN, f32::INFINITY, f32::INFINITY]),
    (f32::INFINITY, f32::INFINITY, [f32::NAN, f32::NAN, f32::NAN, f32::NAN]),
    (f32::NAN, 1.0, [f32::NAN, f32::NAN, f32::NAN, f32::NAN]),
    (1.0, f32::NAN, [f32::NAN, f32::NAN, f32::NAN, f32::NAN]),
    (f32::NAN, 0.0, [f32::NAN, f32::NAN, f32::NAN, f32::NAN]),
    (0.0, f32::NAN, [f32::NAN, f32::NAN, f32::NAN, f32::NAN]),
    (3e+38, 1e-30, [6.1401355e-31, 6.1401355e-31, f32::INFINITY, f32::INFINITY]),
    (-3e+38, 1e-30, [-6.1401355e-31, 3.8598645e-31, f32::NEG_INFINITY, f32::NEG_INFINITY]),
];

fn bits(numbers: &[f32]) -> Vec<u32> {
    // Which NaN it is says nothing.
    numbers.iter().map(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }).collect()
}

fn special(device: &Device) -> Outcome {
    let column = |of: fn(&(f32, f32, [f32; 4])) -> f32| SPECIAL.iter().map(of).collect::<Vec<f32>>();
    let (x, y) = (column(|row| row.0), column(|row| row.1));
    let tensor = |values: &[f32]| Tensor::from_slice_on(values, &[values.len()], device);
    for (i, (name, divide, with_number)) in DIVISIONS.iter().enumerate() {
        let want: Vec<f32> = SPECIAL.iter().map(|row| row.2[i]).collect();
        let got = values(&divide(&tensor(&x), &tensor(&y)));
        // Also in vectors of four, which is another kernel.
        let four = |column: &[f32]| tensor(column).reshape([-1, 1]).expand([column.len(), 4]);
        let quads = values(&divide(&four(&x), &four(&y)));
        for (j, (x, y, _)) in SPECIAL.iter().enumerate() {
            let number = values(&with_number(&tensor(&[*x]), f64::from(*y)));
            let all = [got[j], quads[4 * j + 3], number[0]];
            same(&format!("{name} of {x} and {y}: {all:?}"), bits(&all), bits(&[want[j]; 3]))?;
        }
    }
    Ok(())
}

/// A small generator (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any finite float, denormals too.
    fn float(&mut self) -> f32 {
        let x = f32::from_bits(self.next() as u32);
        if x.is_finite() { x } else { self.float() }
    }
}

fn exact(device: &Device) -> Outcome {
    let mut random = Random(7);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for i in 0..40_000 {
        let divisor = random.float();
        // Half of them anything, half multiples of the divisor and their neighbours, where a quotient is off most easily.
        let multiple = divisor * (random.next() % (1 << (i % 24))) as f32;
        let near = f32::from_bits(multiple.to_bits().wrapping_add(i % 3).wrapping_sub(1));
        x.push(if i % 2 == 0 || !near.is_finite() { random.float() } else { near });
        y.push(divisor);
    }
    let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x % y).collect();
    let tensor = |values: &[f32]| Tensor::from_slice_on(values, &[values.len()], device);
    let got = values(&tensor(&x).fmod(&tensor(&y)));
    let wrong = (0..x.len()).find(|&i| bits(&got[i..=i]) != bits(&want[i..=i]));
    check(
        wrong.is_none(),
        wrong.map_or(String::new(), |i| format!("{} % {} = {}, not {}", x[i], y[i], got[i], want[i])),
    )
}

fn identity(device: &Device) -> Outcome {
    let mut random = Random(11);
    let mut uniform = |scale: f64| ((random.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * scale;
    let x: Vec<f32> = (0..20_000).map(|i| uniform([1.0, 100.0, 1e6][i % 3]) as f32).collect();
    let y: Vec<f32> = (0..20_000).map(|_| (uniform(3.0) as f32).abs().max(0.1)).collect();
    let tensor = |values: &[f32]| Tensor::from_slice_on(values, &[values.len()], device);
    let quotient = values(&tensor(&x).floor_divide(&tensor(&y)));
    let towards_0 = values(&tensor(&x).div_rounding(&tensor(&y), RoundingMode::Trunc));
    let remainder = values(&tensor(&x).remainder(&tensor(&y)));
    for i in 0..x.len() {
        let (a, b) = (f64::from(x[i]), f64::from(y[i]));
        // Both are exact: the quotients have far fewer than 53 bits.
        let want = [(a / b).floor() as f32, (a / b).trunc() as f32, a.rem_euclid(b) as f32];
        same(&format!("{} by {}", x[i], y[i]), bits(&[quotient[i], towards_0[i], remainder[i]]), bits(&want))?;
    }
    Ok(())
}

fn halves(device: &Device) -> Outcome {
    let mut random = Random(13);
    let mut pick = || (0..4096).map(|_| random.next() as u16).collect::<Vec<u16>>();
    let (x, y) = (pick(), pick());
    let tensors = |values: &[u16]| {
        let narrow: Vec<f16> = values.iter().map(|&b| f16::from_bits(b)).collect();
        let short: Vec<bf16> = values.iter().map(|&b| bf16::from_bits(b)).collect();
        [Tensor::from_slice_on(&narrow, &[4096], device), Tensor::from_slice_on(&short, &[4096], device)]
    };
    for (x, y) in tensors(&x).iter().zip(&tensors(&y)) {
        let want: Vec<f32> = values(&x.float()).iter().zip(&values(&y.float())).map(|(x, y)| x % y).collect();
        same(x.dtype().name(), bits(&values(&x.fmod(y).float())), bits(&want))?;
    }
    Ok(())
}

fn whole(device: &Device) -> Outcome {
    let signed = [i32::MIN, i32::MIN + 1, -65537, -7, -1, 0, 1, 6, 7, 65536, i32::MAX - 1, i32::MAX];
    let unsigned = [0, 1, 2, 7, 65537, 1 << 31, u32::MAX - 1, u32::MAX];
    // In 64 bits nothing overflows; one quotient wraps to 32.
    let divide = |x: i64, y: i64| {
        let floor = x.div_euclid(y) - i64::from(y < 0 && x.rem_euclid(y) != 0);
        [x % y, x - y * floor, floor, x / y]
    };
    for (i, (name, of_tensors, with_number)) in DIVISIONS.iter().enumerate() {
        for y in signed.into_iter().filter(|&y| y != 0) {
            let want = signed.map(|x| divide(x.into(), y.into())[i] as i32);
            let x = Tensor::from_slice_on(&signed, &[signed.len()], device);
            let got = of_tensors(&x, &Tensor::from_slice_on(&[y], &[1], device));
            same(&format!("{name} by {y}"), got.to_vec::<i32>()?, want)?;
            same(&format!("{name} by the number {y}"), with_number(&x, y.into()).to_vec::<i32>()?, want)?;
        }
        for y in unsigned.into_iter().filter(|&y| y != 0) {
            let want = unsigned.map(|x| divide(x.into(), y.into())[i] as u32);
            let x = Tensor::from_slice_on(&unsigned, &[unsigned.len()], device);
            let got = of_tensors(&x, &Tensor::from_slice_on(&[y], &[1], device));
            same(&format!("{name} by {y}"), got.to_vec::<u32>()?, want)?;
            same(&format!("{name} by the number {y}"), with_number(&x, y.into()).to_vec::<u32>()?, want)?;
        }
    }
    Ok(())
}

fn zero(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[6, 7, 8, 9], &[4], device);
    for y in [Tensor::from_slice_on(&[1, 2, 0, 4], &[4], device), Tensor::from_slice_on(&[0], &[1], device)] {
        for (name, divide, _) in DIVISIONS {
            for (x, y) in [(x.clone(), y.clone()), (x.to_dtype(DType::U32), y.to_dtype(DType::U32))] {
                let error = divide(&x, &y).to_vec::<i64>().expect_err("a division by 0");
                check(matches!(error, Error::ZeroDivision { op, .. } if op == name), format!("{error:?}"))?;
                mentions(&error.to_string(), &[name, "divided by 0", "division.rs"])?;
                // It is told once.
                same(name, divide(&x, &y.add_scalar(1.0)).to_vec::<i64>().is_ok(), true)?;
            }
        }
    }
    let nothing = Tensor::from_slice_on(&[0i32; 0], &[0], device);
    same(
        "nothing divided by 0",
        nothing.remainder(&Tensor::from_slice_on(&[0], &[1], device)).to_vec::<i32>()?.len(),
        0,
    )
}

fn refused(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[6, 7], &[2], device);
    let u = x.to_dtype(DType::U32);
    for (tensor, number, why) in
        [(&x, 0.0, "0"), (&x, 0.5, "whole"), (&x, 3e9, "3000000000"), (&u, -1.0, "-1"), (&u, f64::NAN, "NaN")]
    {
        let results = [
            tensor.try_fmod_scalar(number),
            tensor.try_remainder_scalar(number),
            tensor.try_floor_divide_scalar(number),
            tensor.try_div_rounding_scalar(number, RoundingMode::Trunc),
            tensor.try_div_rounding_scalar(number, RoundingMode::Floor),
        ];
        for result in results {
            mentions(&result.expect_err(why).to_string(), &[why, "_scalar"])?;
        }
    }
    let y = Tensor::full_on(&[3], 1.0, DType::I32, device);
    check(x.try_remainder(&y).is_err(), "shapes that do not fit")
}

fn operators(device: &Device) -> Outcome {
    let x = Tensor::from_slice_on(&[-7.5f32, 7.5], &[2], device);
    let y = Tensor::from_slice_on(&[2.0f32, -2.0], &[2], device);
    same("tensors", values(&(&x % &y)), [0.5, -0.5])?;
    same("by a number", values(&(&x % -2.0)), [-1.5, -0.5])?;
    same("of a number", values(&(7.5 % &y)), [1.5, -0.5])?;
    let mut z = x.clone();
    z %= &y;
    z %= 0.3;
    same("assigned", values(&z), [0.5f32 % 0.3, 0.3 - 0.5 % 0.3])?;
    let i = Tensor::from_slice_on(&[3, -3], &[2], device);
    same("of a whole number", (7.0 % &i).to_vec::<i32>()?, [1, -2])?;
    // Whole numbers meet floats as floats.
    same("types", values(&(&i % &y)), [1.0, -1.0])?;

    let x = Tensor::from_slice_on(&[-7, 7, 22, -22], &[2, 2], device);
    x.select(0, 0).remainder_(5.0)?;
    same("remainder_", x.to_vec::<i32>()?, [3, 2, 22, -22])?;
    x.fmod_(Tensor::from_slice_on(&[2, 5], &[2], device))?;
    same("fmod_", x.to_vec::<i32>()?, [1, 2, 0, -2])?;
    x.floor_divide_(Tensor::from_slice_on(&[-2], &[1], device))?;
    same("floor_divide_", x.to_vec::<i32>()?, [-1, -1, 0, 1])?;
    x.add_(-9.0)?;
    x.div_rounding_(4.0, RoundingMode::Trunc)?;
    same("div_rounding_", x.to_vec::<i32>()?, [-2, -2, -2, -2])?;
    mentions(&x.remainder_(0.0).unwrap_err().to_string(), &["remainder", "0"])?;
    mentions(&x.fmod_(&y).unwrap_err().to_string(), &["fmod_", "f32"])
}

fn leaf(values: &[f32], shape: &[usize], device: &Device) -> Tensor {
    Tensor::from_slice_on(values, shape, device).requires_grad()
}

fn gradients(device: &Device) -> Outcome {
    // Of a row and a column: -Σ g · quotient.
    let upstream = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2], device);
    for (name, divide, want) in
        [("fmod", Tensor::fmod as Binary, [-4.0f32, 7.0]), ("remainder", Tensor::remainder, [-3.0, 11.0])]
    {
        let (x, y) = (leaf(&[-5.0, 7.0], &[2], device), leaf(&[2.0, -1.5], &[2, 1], device));
        // The quotients are -2.5 and 3.5, 3.33 and -4.67.
        (divide(&x, &y) * &upstream).sum().backward()?;
        same(&format!("{name}, x"), values(&x.grad().unwrap()), [4.0f32, 6.0])?;
        same(&format!("{name}, y"), values(&y.grad().unwrap()), want)?;
    }
    let x = leaf(&[-5.0, 7.0], &[2], device);
    (x.remainder_scalar(3.0) + x.fmod_scalar(3.0)).sum().backward()?;
    same("by numbers", values(&x.grad().unwrap()), [2.0f32, 2.0])
}

fn huge_gradients(device: &Device) -> Outcome {
    // The quotients are beyond the range of floats, their products with the gradient are not.
    let (numbers, upstream) = ([3e38f32, -3e38, 1e20], [0.25f32, 1e-10, 1e-35]);
    let (x, y) = (leaf(&numbers, &[3], device), leaf(&[0.5, 1e-9, 1e-30], &[3], device));
    (x.fmod(&y) * Tensor::from_slice_on(&upstream, &[3], device)).sum().backward()?;
    let got = values(&y.grad().unwrap());
    for (i, divisor) in [0.5f32, 1e-9, 1e-30].into_iter().enumerate() {
        let want = -f64::from(upstream[i]) * (f64::from(numbers[i]) / f64::from(divisor));
        check((f64::from(got[i]) / want - 1.0).abs() < 3e-7, format!("{} is not {want}", got[i]))?;
    }
    Ok(())
}

fn no_gradients(device: &Device) -> Outcome {
    for mode in [RoundingMode::Trunc, RoundingMode::Floor] {
        let (x, y) = (leaf(&[5.0, -7.0], &[2], device), leaf(&[2.0], &[1], device));
        (x.div_rounding(&y, mode) + x.div_rounding_scalar(2.0, mode) + &x * &y).sum().backward()?;
        same("x", values(&x.grad().unwrap()), [2.0f32, 2.0])?;
        same("y", values(&y.grad().unwrap()), [-2.0f32])?;
    }
    let x = leaf(&[5.0, -7.0], &[2], device);
    for quotient in [x.floor_divide(&x), x.floor_divide_scalar(2.0)] {
        let error = (quotient + &x).sum().backward().expect_err("no gradient");
        mentions(&error.to_string(), &["floor_divide", "div_rounding"])?;
    }
    Ok(())
}
