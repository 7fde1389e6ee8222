//! Tensors of half the width: conversions bit by bit, operations, gradients, in-place writes, files.

mod common;

use common::Gpu;
use half::{bf16, f16};
use lumigrad::autograd::{Backward, grad};
use lumigrad::engine::GpuOptions;
use lumigrad::ops::cases::Input;
use lumigrad::ops::{Operation, REGISTRY};
use lumigrad::prelude::*;
use lumigrad::{BatchNormOptions, Conv2dOptions, MaxPoolOptions, io, nn};

/// The devices that a test runs on: the reference, the GPU with its optional features and without,
/// and the shadow, which holds each dispatch against its twin.
fn devices() -> Vec<Device> {
    let mut all = vec![Device::new_reference(true)];
    all.extend(Gpu::open().device());
    all.extend(Gpu::open_with(&GpuOptions::webgpu_minimum()).device());
    all.extend(Gpu::open_shadow(&GpuOptions::new()).device());
    all
}

#[test]
fn every_half_is_read_as_the_f32_that_it_is() {
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    let f16s: Vec<f16> = bits.iter().map(|&b| f16::from_bits(b)).collect();
    let bf16s: Vec<bf16> = bits.iter().map(|&b| bf16::from_bits(b)).collect();
    let same = |got: &[f32], want: Vec<f32>| {
        let fits = |(g, w): (&f32, &f32)| g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan());
        got.len() == want.len() && got.iter().zip(&want).all(fits)
    };
    for device in devices() {
        let x = Tensor::from_slice_on(&f16s, &[1 << 16], &device).float();
        assert!(same(&x.to_vec().unwrap(), f16s.iter().map(|h| h.to_f32()).collect()), "{device}");
        let x = Tensor::from_slice_on(&bf16s, &[1 << 16], &device).float();
        assert!(same(&x.to_vec().unwrap(), bf16s.iter().map(|h| h.to_f32()).collect()), "{device}");
    }
}

/// Every half, the middle to the next one, and what lies one bit beside each: all that rounding can meet.
fn borders(widen: impl Fn(u16) -> f32) -> Vec<f32> {
    let mut all = Vec::new();
    for bits in 0..u16::MAX {
        let (low, high) = (widen(bits), widen(bits + 1));
        if low.is_nan() || high.is_nan() {
            continue;
        }
        // The middle of two patterns of bits is that of the numbers, also where the exponent changes or ends.
        let middle = low.to_bits() + (high.to_bits() - low.to_bits()) / 2;
        all.extend([low.to_bits(), middle - 1, middle, middle + 1].map(f32::from_bits));
    }
    all.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0]);
    all.extend((0..32).map(|i| f32::from_bits(1 << i)));
    all
}

#[test]
fn rounding_is_that_of_ieee_754() {
    for device in devices() {
        let check = |numbers: Vec<f32>, dtype: DType, want: &dyn Fn(f32) -> f32| {
            let x = Tensor::from_slice_on(&numbers, &[numbers.len()], &device);
            let got = x.to_dtype(dtype).to_vec::<f32>().unwrap();
            for (x, got) in numbers.iter().zip(got) {
                let want = want(*x);
                let fits = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
                assert!(fits, "{x:e} ({:#x}) to {dtype} on {device}: {got:e} and not {want:e}", x.to_bits());
            }
        };
        check(borders(|b| f16::from_bits(b).to_f32()), DType::F16, &|x| f16::from_f32(x).to_f32());
        check(borders(|b| bf16::from_bits(b).to_f32()), DType::BF16, &|x| bf16::from_f32(x).to_f32());
    }
}

#[test]
fn odd_lengths_come_back_as_they_went() {
    for device in devices() {
        for n in [0, 1, 2, 3, 5, 63, 64, 65, 1001] {
            let values: Vec<f16> = (0..n).map(|i| f16::from_f32(i as f32 / 7.0 - 3.0)).collect();
            let x = Tensor::from_slice_on(&values, &[n], &device);
            assert_eq!(x.to_vec::<f16>().unwrap(), values);
            assert_eq!(x.copy().to_vec::<f16>().unwrap(), values);
            // Views start in the middle of words.
            for start in (1..n.min(6)).step_by(1) {
                let part = x.narrow(0, start as i64, n - start);
                assert_eq!(part.to_vec::<f16>().unwrap(), values[start..], "{n} from {start} on {device}");
                assert_eq!(part.float().half().to_vec::<f16>().unwrap(), values[start..]);
            }
        }
        let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &device).bfloat16();
        assert_eq!(x.transpose(0, 1).contiguous().to_vec::<f32>().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(x.to(&Device::reference()).to_vec::<bf16>().unwrap(), x.to_vec::<bf16>().unwrap());
    }
}

#[test]
fn tensors_are_made_and_shown() {
    for device in devices() {
        let x = Tensor::full_on(&[3], 0.1, DType::F16, &device);
        assert_eq!(x.to_vec::<f16>().unwrap(), [f16::from_f32(0.1); 3]);
        assert_eq!(format!("{x}"), "tensor([0.1000, 0.1000, 0.1000], dtype=f16)");
        assert_eq!(format!("{}", x.zeros_like().bfloat16()), "tensor([0., 0., 0.], dtype=bf16)");
        assert_eq!(x.ones_like().dtype(), DType::F16);
        assert_eq!(Tensor::from_slice_on(&[bf16::ONE], &[], &device).item::<bf16>().unwrap(), bf16::ONE);
    }
}

#[test]
fn operations_give_the_half_nearest_to_their_result() {
    for device in devices() {
        let x = Tensor::from_slice_on(&[0.5f32, -1.5, 3.0, 0.25, 2.0], &[5], &device);
        let h = x.half();
        let pairs: [(&str, Tensor, Tensor); 8] = [
            ("exp", h.exp(), x.exp()),
            ("add", &h + &h, &x + &x),
            ("scalar", &h * 0.1, &x * 0.1),
            ("div", &h / &(&h + 4.0), &x / &(&x + 4.0)),
            ("softmax", h.softmax(0), x.softmax(0)),
            ("sum", h.sum(), x.sum()),
            ("mean", h.mean(), x.mean()),
            ("cat", Tensor::cat(&[&h, &h], 0), Tensor::cat(&[&x, &x], 0)),
        ];
        for (name, got, want) in pairs {
            assert_eq!(got.dtype(), DType::F16, "{name}");
            assert_eq!(got.to_vec::<f32>().unwrap(), want.half().to_vec::<f32>().unwrap(), "{name} on {device}");
        }
        assert_eq!(h.gt_scalar(0.3).dtype(), DType::Bool);
        assert_eq!(h.argmax(None, false).item::<i32>().unwrap(), 2);
        assert_eq!(h.round().to_vec::<f32>().unwrap(), [0.0, -2.0, 3.0, 0.0, 2.0]);
        let (values, places) = h.topk(2, 0, true);
        assert_eq!((values.dtype(), places.dtype()), (DType::F16, DType::I32));
    }
}

/// Elementwise kernels for halves give what the same operation on f32 copies gives, narrowed, for every half there is; the
/// gradient too. One dispatch does it.
#[test]
fn elementwise_kernels_for_halves_give_the_bits_of_f32() {
    type Function = fn(&Tensor, &Tensor) -> Tensor;
    let functions: [(&str, Function); 12] = [
        ("add", |x, y| x.add(y)),
        ("sub", |x, y| x.sub(y)),
        ("mul", |x, y| x.mul(y)),
        ("div", |x, y| x.div(y)),
        ("maximum", |x, y| x.maximum(y)),
        ("add_scalar", |x, _| x.add_scalar(0.1)),
        ("mul_scalar", |x, _| x.mul_scalar(0.1)),
        ("neg", |x, _| x.neg()),
        ("relu", |x, _| x.relu()),
        ("gelu", |x, _| x.gelu()),
        ("silu", |x, _| x.silu()),
        ("clamp", |x, _| x.clamp(Some(-1.0), Some(0.7))),
    ];
    let all = |device: &Device, dtype: DType, factor: u32| {
        // An odd factor gives every pattern of bits, in another order.
        let patterns = (0..1u32 << 16).map(|i| (i.wrapping_mul(factor) & 0xffff) as u16);
        match dtype {
            DType::F16 => Tensor::from_slice_on(&patterns.map(f16::from_bits).collect::<Vec<_>>(), &[1 << 16], device),
            _ => Tensor::from_slice_on(&patterns.map(bf16::from_bits).collect::<Vec<_>>(), &[1 << 16], device),
        }
    };
    let same = |got: &Tensor, want: &Tensor, place: &str| {
        let (got, want) = (got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
        let differs = |i: &usize| got[*i].to_bits() != want[*i].to_bits() && !(got[*i].is_nan() && want[*i].is_nan());
        let first = (0..got.len()).find(differs).map(|i| (i, got[i], want[i]));
        assert!(got.len() == want.len() && first.is_none(), "{place}: (element, got, want) is {first:?}");
    };
    // Not a shadow: of the largest bf16, gradients overflow on their way, which the twins' f64 does not.
    for device in devices().into_iter().filter(|device| !device.is_shadow()) {
        for dtype in [DType::F16, DType::BF16] {
            let [x, y, g] = [1, 40_503, 30_011].map(|factor| all(&device, dtype, factor));
            for (name, function) in functions {
                let place = format!("{name} of {dtype} on {device}");
                let before = device.counters().dispatches;
                let (left, right) = (x.detach().requires_grad(), y.detach().requires_grad());
                let got = function(&left, &right);
                assert!(device.is_reference() || device.counters().dispatches == before + 1, "{place}: dispatches");
                let (wide_left, wide_right) = (x.float().requires_grad(), y.float().requires_grad());
                let want = function(&wide_left, &wide_right);
                same(&got, &want.to_dtype(dtype), &place);
                Backward::new().gradient(&g).run(&got).unwrap();
                Backward::new().gradient(&g.float()).run(&want).unwrap();
                for (half, wide) in [(&left, &wide_left), (&right, &wide_right)] {
                    if let Some(gradient) = half.grad() {
                        assert_eq!(gradient.dtype(), dtype, "{place}");
                        same(&gradient, &wide.grad().unwrap().to_dtype(dtype), &format!("gradient of {place}"));
                    }
                }
            }
        }
    }
}

/// A gradient that lies otherwise than the operands, and a view from the middle of words on.
#[test]
fn elementwise_kernels_for_halves_take_any_gradient() {
    for device in devices() {
        let values: Vec<f16> = (0..48).map(|i| f16::from_f32((i as f32 - 20.0) / 8.0)).collect();
        let x = Tensor::from_slice_on(&values, &[6, 8], &device);
        for x in [x.copy(), x.narrow(0, 1, 4), x.narrow(1, 1, 4)] {
            let run = |x: &Tensor| {
                let x = x.detach().requires_grad();
                let y = x.gelu().mul(&x.tanh());
                // Gradients of a transpose, of a sum and of a part.
                let part = y.narrow(0, 1, 2).mul_scalar(3.0).sum();
                (y.transpose(0, 1).relu().sum_dims(&[0], false).sum() + part).backward().unwrap();
                x.grad().unwrap().to_vec::<f32>().unwrap()
            };
            let (got, want) = (run(&x), run(&x.float()));
            // Every step rounds to eleven bits.
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 4e-3 * want.abs().max(1.0), "{got} and not {want} on {device}");
            }
        }
    }
}

/// The kernels of convolutions for GPUs read and write halves; the others read f32 copies. All give what f32 gives.
#[test]
fn convolutions_of_halves_are_those_of_f32() {
    let plain = Conv2dOptions::new();
    // Sizes, options, and dispatches forward where halves are read and written.
    let layers = [
        ([2, 8, 7, 6], [12, 8, 3, 3], plain.padding(1), 1),
        ([2, 8, 6, 7], [12, 8, 3, 3], plain.padding(1), 2),
        ([3, 4, 7, 8], [6, 2, 3, 3], plain.groups(2).stride(2).padding(1), 1),
        ([1, 3, 9, 8], [3, 1, 2, 3], plain.groups(3).dilation([2, 1]).padding([0, 1]), 1),
        ([2, 5, 4, 4], [40, 5, 1, 1], plain, 1),
    ];
    for device in devices().into_iter().filter(|device| !device.is_reference()) {
        for (option, dtype) in ["direct", "panels", "lanes"].map(|o| [(o, DType::F16), (o, DType::BF16)]).concat() {
            device.force_choice("conv", Some(option));
            for (x, w, options, dispatches) in &layers {
                let make = |shape: &[usize]| Tensor::uniform_on(shape, -1.0, 1.0, &device).to_dtype(dtype);
                let inputs = [make(x), make(w), make(&w[..1])];
                let run = |inputs: [Tensor; 3]| {
                    let [x, w, b] = &inputs.map(|t| t.requires_grad());
                    let before = device.counters().dispatches;
                    let y = x.conv2d(w, Some(b), options);
                    let count = device.counters().dispatches - before;
                    let upstream = Tensor::full_on(y.shape(), 0.5, y.dtype(), &device);
                    let mut all = grad(&y, &[x, w, b], Backward::new().gradient(&upstream)).unwrap();
                    all.insert(0, y);
                    (all, count)
                };
                let (got, count) = run(inputs.clone());
                let (want, _) = run(inputs.map(|t| t.float()));
                let place = format!("{x:?} by {w:?} in {dtype} by {option} on {device}");
                if option != "lanes" {
                    assert_eq!(count, *dispatches, "{place}");
                }
                let ulp = if dtype == DType::F16 { 1.0 / 1024.0 } else { 1.0 / 128.0 };
                for (got, want) in got.iter().zip(&want) {
                    assert_eq!(got.dtype(), dtype, "{place}");
                    let (got, want) = (got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
                    // Half a unit in the last place, and the rest of f32 sums in another order.
                    let fits = |(g, w): (&f32, &f32)| (g - w).abs() <= 0.5 * ulp * w.abs() + 1e-5;
                    assert!(got.iter().zip(&want).all(fits), "{place}: {got:?} and not {want:?}");
                }
            }
            device.force_choice("conv", None);
        }
    }
}

/// Batch norm and pooling on halves, forward and back, against f32; what has kernels for halves converts nothing.
#[test]
fn batch_norm_and_pooling_of_halves_are_those_of_f32() {
    type Function = Box<dyn Fn(&Tensor) -> Tensor>;
    let norm = |training: bool| -> Function {
        Box::new(move |x| {
            let vector = |value: f64| Tensor::full_on(&[x.shape()[1]], value, DType::F32, x.device());
            let (weight, bias, mean, var) = (vector(1.5), vector(0.25), vector(0.5), vector(0.75));
            x.batch_norm(&BatchNormOptions {
                weight: Some(&weight),
                bias: Some(&bias),
                running_mean: Some(&mean),
                running_var: Some(&var),
                training,
                ..Default::default()
            })
        })
    };
    let pool = |kernel: usize, padding: usize| -> Function {
        Box::new(move |x| x.max_pool2d_with(kernel, &MaxPoolOptions::new().stride(2).padding(padding)))
    };
    let functions: [(&str, Function, [usize; 4], bool); 11] = [
        ("batch_norm", norm(true), [3, 4, 6, 6], true),
        ("batch_norm of odd planes", norm(true), [3, 4, 5, 5], true),
        ("batch_norm of large odd planes", norm(true), [2, 3, 7, 7], false),
        ("batch_norm in evaluation", norm(false), [3, 4, 6, 6], true),
        ("max_pool 2x2", pool(2, 0), [2, 3, 8, 16], true),
        ("max_pool 3x3", pool(3, 1), [2, 3, 7, 16], true),
        ("max_pool 2x2, any", pool(2, 0), [2, 3, 7, 9], false),
        ("max_pool 3x3, any", pool(3, 1), [2, 3, 7, 9], false),
        ("avg_pool 2x2", Box::new(|x| x.avg_pool2d(2)), [1, 3, 6, 6], true),
        ("adaptive_avg_pool", Box::new(|x| x.adaptive_avg_pool2d(1)), [2, 3, 7, 7], true),
        ("min_pool 2x2", Box::new(|x| x.min_pool2d(2)), [2, 3, 8, 16], true),
    ];
    for device in devices() {
        for (name, function, shape, as_is) in &functions {
            for (dtype, ulp) in [(DType::F16, 1.0 / 1024.0), (DType::BF16, 1.0 / 128.0)] {
                let place = format!("{name} of {dtype} on {device}");
                let x = Tensor::uniform_on(shape, -1.0, 1.0, &device).to_dtype(dtype);
                let run = |x: Tensor| {
                    let x = x.requires_grad();
                    let y = function(&x);
                    let upstream: Vec<f32> = (0..y.numel()).map(|i| (i % 7) as f32 * 0.25).collect();
                    let upstream = Tensor::from_slice_on(&upstream, y.shape(), &device).to_dtype(y.dtype());
                    let before = device.counters().dispatches;
                    let dx = grad(&y, &[&x], Backward::new().gradient(&upstream)).unwrap().remove(0);
                    (device.counters().dispatches - before, y, dx)
                };
                let (count, y, dx) = run(x.copy());
                let (wide_count, wide_y, wide_dx) = run(x.float());
                assert!(!as_is || count == wide_count, "{place}: {count} dispatches and not {wide_count}");
                for (got, want) in [(&y, &wide_y), (&dx, &wide_dx)] {
                    assert_eq!(got.dtype(), dtype, "{place}");
                    let (got, want) = (got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
                    let fits = |(g, w): (&f32, &f32)| (g - w).abs() <= 0.5 * ulp * w.abs() + 1e-5;
                    assert!(got.iter().zip(&want).all(fits), "{place}: {got:?} and not {want:?}");
                }
            }
        }
    }
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
}

/// Operations on memory of their own, which they refuse to have in halves.
fn takes_halves(operation: &Operation) -> bool {
    let first = operation.kernels.first().map_or("", |k| k.name);
    !first.ends_with(".step")
        && !["chain_", "optimizer_clock", "sgd", "to", "unscale_", "update_scale_", "transfer"]
            .contains(&operation.name)
}

/// Every operation of the registry on its cases, with halves where there are floats: the half nearest to what it gives
/// for the same numbers as f32, and gradients in halves too.
#[test]
fn every_operation_takes_halves() {
    let device = Device::new_reference(true);
    for operation in REGISTRY.iter().filter(|o| takes_halves(o)) {
        for case in (operation.cases)().into_iter().filter(|c| !c.fails && c.inputs.iter().any(|i| i.dtype.is_float()))
        {
            let place = format!("{} / {}", operation.name, case.name);
            let half = |t: &Tensor| if t.dtype().is_float() { t.half() } else { t.copy() };
            let halves: Vec<Tensor> = case.make_inputs(&device).iter().map(half).collect();
            let wide: Vec<Tensor> =
                halves.iter().map(|t| if t.dtype().is_half() { t.float() } else { t.copy() }).collect();
            let leaf = |list: &[Tensor]| -> Vec<Tensor> {
                let of =
                    |(t, i): (&Tensor, &Input)| if i.differentiable { t.detach().requires_grad() } else { t.clone() };
                list.iter().zip(&case.inputs).map(of).collect()
            };
            let (halves, wide) = (leaf(&halves), leaf(&wide));
            let state = device.random_state();
            let got = match (operation.name, case.run(operation, &device, &halves)) {
                ("batch_norm", Err(error)) if error.to_string().contains("keeps running statistics in f32") => continue,
                (_, got) => got.unwrap_or_else(|e| panic!("{place}: {e}")),
            };
            device.set_random_state(state);
            let want = case.run(operation, &device, &wide).unwrap();
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                let dtype = if want.dtype() == DType::F32 { DType::F16 } else { want.dtype() };
                assert_eq!(got.dtype(), dtype, "{place}");
                // Weights beyond the range of halves are infinite, and so no weights.
                if let Err(Error::Weights { row, .. }) = want.to_vec::<f32>() {
                    let refused =
                        got.to_vec::<f32>().is_err_and(|e| matches!(e, Error::Weights { row: r, .. } if r == row));
                    assert!(refused, "{place}");
                    continue;
                }
                assert!(bits(&got.to_dtype(dtype)) == bits(&want.to_dtype(dtype)), "{place}");
                if got.is_requires_grad() && got.numel() > 0 {
                    let upstream = Tensor::full_on(got.shape(), 0.5, DType::F16, &device);
                    Backward::new()
                        .gradient(&upstream)
                        .retain_graph()
                        .run(got)
                        .unwrap_or_else(|e| panic!("{place}: {e}"));
                }
            }
            for input in &halves {
                assert!(input.grad().is_none_or(|g| g.dtype() == DType::F16), "{place}");
            }
            // What is changed in place.
            for (half, wide) in
                halves.iter().zip(&wide).filter(|(h, _)| operation.name.ends_with('_') && h.dtype().is_half())
            {
                assert!(bits(half) == bits(&wide.half()), "{place}");
            }
        }
    }
}

#[test]
fn types_are_promoted_as_in_pytorch() {
    let device = Device::reference();
    let of = |dtype: DType, shape: &[usize]| Tensor::full_on(shape, 1.0, dtype, &device);
    use DType::{BF16, Bool, F16, F32, I32};
    for (x, y, want) in [
        (of(F16, &[2]), of(F32, &[2]), F32),
        (of(F16, &[2]), of(BF16, &[2]), F32),
        (of(F16, &[2]), of(F32, &[]), F16),
        (of(F32, &[2]), of(BF16, &[]), F32),
        (of(F16, &[]), of(F32, &[]), F32),
        (of(F16, &[2]), of(I32, &[2]), F16),
        (of(BF16, &[]), of(I32, &[2]), BF16),
        (of(BF16, &[2]), of(Bool, &[2]), BF16),
    ] {
        assert_eq!((&x + &y).dtype(), want, "{} + {}", x.dtype(), y.dtype());
        assert_eq!((&y / &x).dtype(), want, "{} / {}", y.dtype(), x.dtype());
        assert_eq!(x.where_like(&y).dtype(), want);
    }
    let text = of(F16, &[2, 2]).try_matmul(&of(F32, &[2, 2])).unwrap_err().to_string();
    assert!(text.contains("matmul") && text.contains("f16 and f32"), "{text}");
}

trait WhereLike {
    fn where_like(&self, other: &Tensor) -> Tensor;
}

impl WhereLike for Tensor {
    fn where_like(&self, other: &Tensor) -> Tensor {
        Tensor::full_on(&[2], 1.0, DType::Bool, self.device()).where_(self, other)
    }
}

#[test]
fn gradients_have_the_types_of_the_tensors() {
    for device in devices() {
        let x = Tensor::from_slice_on(&[0.1f32, 0.2, 0.3], &[3], &device).requires_grad();
        let w = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[3], &device).bfloat16().requires_grad();
        // f32 and bf16 together are f32.
        let y = (&x * &w).sum();
        assert_eq!(y.dtype(), DType::F32);
        y.backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        let gradient = w.grad().unwrap();
        assert_eq!(gradient.dtype(), DType::BF16);
        assert_eq!(gradient.to_vec::<f32>().unwrap(), x.bfloat16().to_vec::<f32>().unwrap());

        // The gradient of a conversion is the conversion back: it is rounded to f16 on its way.
        let x = Tensor::from_slice_on(&[1.0f32, 2.0], &[2], &device).requires_grad();
        let h = x.half();
        (&h * &Tensor::from_slice_on(&[0.1f32, 70_000.0], &[2], &device)).sum().backward().unwrap();
        let gradient = x.grad().unwrap();
        assert_eq!(gradient.dtype(), DType::F32);
        assert_eq!(gradient.to_vec::<f32>().unwrap(), [f16::from_f32(0.1).to_f32(), f32::INFINITY]);
    }
}

#[test]
fn views_pass_gradients_on() {
    for device in devices() {
        let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &device).half().requires_grad();
        let y = x.narrow(1, 1, 2).transpose(0, 1).reshape([4]);
        let z = &y * &Tensor::from_slice_on(&[1.0f32, 2.0, 3.0, 4.0], &[4], &device).half();
        (z.sum() + x.unbind(0)[1].sum() + x.expand([2, 2, 3]).sum()).backward().unwrap();
        let gradient = x.grad().unwrap();
        assert_eq!(gradient.dtype(), DType::F16);
        assert_eq!(gradient.to_vec::<f32>().unwrap(), [2.0, 3.0, 5.0, 3.0, 5.0, 7.0]);
    }
}

#[test]
fn halves_are_changed_in_place() {
    for device in devices() {
        let x = Tensor::full_on(&[3, 3], 0.0, DType::F16, &device);
        x.select(1, 1).copy_(&Tensor::from_slice_on(&[0.1f32, 2.0, 3.0], &[3], &device)).unwrap();
        x.select(0, 2).add_(Tensor::from_slice_on(&[1.0f32], &[1], &device).bfloat16()).unwrap();
        x.narrow(0, 0, 1).fill_(7.0).unwrap();
        let want = [7.0, 7.0, 7.0, 0.0, 2.0, 0.0, 1.0, 4.0, 1.0];
        assert_eq!(x.to_vec::<f32>().unwrap(), want, "{device}");
        // A half as the source of wider memory.
        let y = Tensor::full_on(&[3, 3], 0.0, DType::F32, &device);
        y.copy_(&x).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), want);
        // Views of the memory see it, and a product that has saved it refuses to go back.
        let w = Tensor::full_on(&[3, 2], 2.0, DType::F16, &device).requires_grad();
        let z = x.matmul(&w).sum();
        x.zero_().unwrap();
        assert_eq!(x.select(0, 1).to_vec::<f32>().unwrap(), [0.0; 3]);
        assert!(z.backward().unwrap_err().to_string().contains("changed"));
    }
}

#[test]
fn files_keep_every_bit() {
    let bits: Vec<u16> = (0..=u16::MAX).filter(|b| !f16::from_bits(*b).is_nan()).collect();
    let halves: Vec<f16> = bits.iter().map(|&b| f16::from_bits(b)).collect();
    for device in devices() {
        let mut state = nn::StateDict::new();
        state.insert("f16", Tensor::from_slice_on(&halves, &[halves.len()], &device));
        state.insert("bf16", Tensor::from_slice_on(&[bf16::MAX, bf16::MIN_POSITIVE, -bf16::EPSILON], &[3], &device));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("halves.safetensors");
        io::save_safetensors(&state, &path).unwrap();
        let size = std::fs::metadata(&path).unwrap().len() as usize;
        assert!(size < 2 * halves.len() + 1000, "two bytes an element, not {size}");
        let loaded = io::load_safetensors(&path, &device).unwrap();
        let f16s = loaded.get("f16").unwrap();
        assert_eq!(f16s.dtype(), DType::F16);
        let got: Vec<u16> = f16s.to_vec::<f16>().unwrap().iter().map(|h| h.to_bits()).collect();
        assert_eq!(got, bits);
        let bf16s = loaded.get("bf16").unwrap();
        assert_eq!(bf16s.to_vec::<bf16>().unwrap(), [bf16::MAX, bf16::MIN_POSITIVE, -bf16::EPSILON]);
        // A module of f32 takes them.
        let model = device.scope(|| nn::Linear::new(1, 3).bias(false));
        let mut state = nn::StateDict::new();
        state.insert("weight", bf16s.reshape([3, 1]));
        model.load_state_dict(&state).unwrap();
        assert_eq!(model.weight.get().to_vec::<bf16>().unwrap(), bf16s.to_vec::<bf16>().unwrap());
    }
}

#[test]
fn memory_is_half() {
    // A shadow has guard bands round its tensors.
    for device in devices().into_iter().filter(|device| !device.is_shadow()) {
        let before = device.counters().live_bytes;
        let x = Tensor::full_on(&[1 << 16], 1.0, DType::F16, &device);
        let bytes = device.counters().live_bytes - before;
        assert_eq!(bytes, 2 << 16, "{device}");
        drop(x);
    }
}

#[test]
fn optimisers_and_statistics_stay_in_f32() {
    let device = Device::reference();
    let running = Tensor::full_on(&[2], 0.0, DType::F16, &device);
    let x = Tensor::full_on(&[3, 2], 1.0, DType::F16, &device);
    let (mean, var) = (Some(&running), running.copy());
    let options =
        BatchNormOptions { running_mean: mean, running_var: Some(&var), training: true, ..Default::default() };
    let text = x.try_batch_norm(&options).unwrap_err().to_string();
    assert!(text.contains("batch_norm") && text.contains("f32"), "{text}");
}
