//! Checkpoints, functions with a derivative of their own, anomaly mode. On the reference; nothing here needs a GPU.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{on_reference, values};
use lumigrad::autograd::{Backward, Function, checkpoint, detect_anomaly, grad, gradcheck, try_checkpoint};
use lumigrad::{nn, prelude::*};

fn block(width: usize) -> nn::Sequential {
    nn::Sequential::new()
        .add(nn::Linear::new(width, width))
        .add(nn::BatchNorm1d::new(width))
        .add(nn::ReLU)
        .add(nn::Dropout::new(0.3))
        .add(nn::Linear::new(width, width))
}

/// The loss, gradients, buffers and the state of the random numbers.
type Outcome = (Vec<f32>, Vec<Vec<f32>>, Vec<Vec<f32>>, u64);

/// Everything that a training step leaves behind.
fn outcome(device: &Device, model: &dyn nn::Layer, x: &Tensor) -> Outcome {
    device.manual_seed(7);
    model.zero_grad();
    x.set_grad(None).unwrap();
    let loss = model.call(x).powi(2).sum();
    // What comes between the passes must not matter.
    let between = device.random_state();
    Tensor::randn(&[3]);
    device.set_random_state(between);
    loss.backward().unwrap();
    let mut gradients: Vec<Vec<f32>> = model.parameters().iter().map(|p| values(&p.grad().unwrap())).collect();
    gradients.push(values(&x.grad().unwrap()));
    let buffers = model.named_buffers().iter().map(|(_, b)| values(&b.get())).collect();
    (values(&loss), gradients, buffers, device.random_state().counter)
}

#[test]
fn gradients_are_the_same_to_the_bit() {
    on_reference(|| {
        let device = &Device::current();
        let plain = nn::Sequential::new().add(nn::Linear::new(6, 6)).add(block(6)).add(block(6));
        let spare = nn::Sequential::new()
            .add(nn::Linear::new(6, 6))
            .add(nn::Checkpoint::new(block(6)))
            .add(nn::Checkpoint::new(nn::Sequential::new().add(nn::Checkpoint::new(block(6)))));
        let state: nn::StateDict = plain
            .state_dict()
            .iter()
            .map(|(n, t)| (n.replacen("2.", "2.0.", usize::from(n.starts_with("2."))), t.copy()))
            .collect();
        spare.load_state_dict(&state).unwrap();
        let x = Tensor::randn(&[5, 6]).requires_grad();
        assert_eq!(outcome(device, &plain, &x), outcome(device, &spare, &x));
        // Batch norm's statistics have moved once in both; a second step starts from them.
        assert_eq!(outcome(device, &plain, &x), outcome(device, &spare, &x));
        plain.eval();
        spare.eval();
        assert_eq!(outcome(device, &plain, &x), outcome(device, &spare, &x));
    });
}

#[test]
fn the_mode_is_that_of_the_first_run() {
    on_reference(|| {
        let device = &Device::current();
        let model = nn::Checkpoint::new(block(4));
        let x = Tensor::randn(&[6, 4]).requires_grad();
        let run = |switch: bool| {
            model.train();
            model.zero_grad();
            device.manual_seed(3);
            let loss = model.call(&x).powi(2).sum();
            if switch {
                model.eval();
            }
            loss.backward().unwrap();
            model.parameters().iter().map(|p| values(&p.grad().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(run(false), run(true));
    });
}

#[test]
fn a_parameter_used_inside_and_outside_adds_up_in_the_same_order() {
    on_reference(|| {
        let w = Parameter::new(Tensor::randn(&[16]));
        let x = Tensor::randn(&[16]).requires_grad();
        let part = |w: &Parameter, x: &Tensor| (x * w.get()).exp() * w.get().sin() + w.get();
        let run = |spare: bool| {
            w.zero_grad();
            x.set_grad(None).unwrap();
            let before = (&x * 3.0) * w.get();
            let inner = if spare {
                let own = w.clone();
                checkpoint(move |t| part(&own, &t[0]), &[&before])
            } else {
                part(&w, &before)
            };
            (inner * w.get() * &x).sum().backward().unwrap();
            (values(&w.grad().unwrap()), values(&x.grad().unwrap()))
        };
        assert_eq!(run(false), run(true));
    });
}

#[test]
fn memory_is_lower() {
    on_reference(|| {
        let device = &Device::current();
        let layers = 12;
        let net = |spare: bool| {
            let part = || nn::Sequential::new().add(nn::Linear::new(8, 8)).add(nn::Tanh).add(nn::Sigmoid).add(nn::Tanh);
            (0..layers).fold(nn::Sequential::new(), |net, _| {
                if spare { net.add(nn::Checkpoint::new(part())) } else { net.add(part()) }
            })
        };
        let x = Tensor::randn(&[1000, 8]);
        let held = |net: &nn::Sequential| {
            let before = device.counters().live_bytes;
            let y = net.call(&x);
            let held = device.counters().live_bytes - before;
            y.sum().backward().unwrap();
            held
        };
        let (plain, spare) = (held(&net(false)), held(&net(true)));
        // Three results a block against its input alone.
        assert!(spare * 3 <= plain, "{spare} bytes against {plain}");
    });
}

#[test]
fn nothing_to_train_makes_no_graph() {
    on_reference(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let runs = count.clone();
        let layer = nn::Linear::new(2, 2);
        let own = layer.clone();
        let call = |x: &Tensor| {
            let (own, runs) = (own.clone(), runs.clone());
            checkpoint(
                move |x| {
                    runs.fetch_add(1, Relaxed);
                    own.call(&x[0])
                },
                &[x],
            )
        };
        let x = Tensor::ones(&[1, 2]);
        assert!(call(&x).is_requires_grad(), "for the layer's parameters");
        assert!(!no_grad(|| call(&x)).is_requires_grad());
        layer.requires_grad_(false);
        assert!(!call(&x).is_requires_grad());
        let x = x.requires_grad();
        let before = count.load(Relaxed);
        let y = call(&x).sum();
        Backward::new().retain_graph().run(&y).unwrap();
        let first = values(&x.grad().unwrap());
        y.backward().unwrap();
        assert_eq!(values(&x.grad().unwrap()), first.iter().map(|g| g * 2.0).collect::<Vec<_>>());
        assert_eq!(count.load(Relaxed) - before, 3);
        assert!(y.backward().is_err());
    });
}

#[test]
fn several_outputs_and_what_can_not_be_repeated() {
    on_reference(|| {
        let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).requires_grad();
        let outputs = try_checkpoint(|x| Ok(vec![&x[0] * &x[0], x[0].exp()]), &[&x]).unwrap();
        let gradients = grad(&(&outputs[0] * 2.0).sum(), &[&x], Backward::new()).unwrap();
        assert_eq!(values(&gradients[0]), [4.0, 8.0]);

        let calls = AtomicUsize::new(0);
        let fickle = move |x: &[Tensor]| match calls.fetch_add(1, Relaxed) {
            0 => x[0].dropout(0.5, true),
            _ => &x[0] * 1.0,
        };
        let text = checkpoint(fickle, &[&x]).sum().backward().unwrap_err().to_string();
        assert!(text.contains("random numbers"), "{text}");
        let calls = AtomicUsize::new(2);
        let growing = move |x: &[Tensor]| x[0].expand([calls.fetch_add(1, Relaxed), 2]) * 2.0;
        let text = checkpoint(growing, &[&x]).sum().backward().unwrap_err().to_string();
        assert!(text.contains("other outputs"), "{text}");
        let changed = Tensor::ones(&[2]);
        let y = checkpoint(|x| &x[0] * &x[1], &[&x, &changed]).sum();
        changed.fill_(3.0).unwrap();
        assert!(y.backward().unwrap_err().to_string().contains("changed in place"));
    });
}

#[test]
fn functions_with_a_derivative_of_their_own() {
    on_reference(|| {
        // a·b² with everything saved.
        let function = Function::new(
            "a_b_squared",
            |saved, x| {
                saved.save(&x[0]);
                saved.save(&x[1]);
                Ok(vec![x[0].try_mul(&x[1])?.try_mul(&x[1])?])
            },
            |v| {
                let (g, a, b) = (v.gradient(), v.saved(0), v.saved(1));
                let da = if v.needs(0) { Some(g.try_mul(&b)?.try_mul(&b)?) } else { None };
                let db = if v.needs(1) { Some(g.try_mul(&a)?.try_mul(&b)?.try_mul_scalar(2.0)?) } else { None };
                Ok(vec![da, db])
            },
        );
        let inputs = [Tensor::randn(&[3]), Tensor::randn(&[3])];
        let call = |x: &[Tensor]| function.try_call(&[&x[0], &x[1]]).map(|mut y| y.remove(0));
        gradcheck(call, &inputs, Default::default()).unwrap();
        // In a checkpoint, and with one input constant.
        let (own, a) = (function.clone(), inputs[0].clone().requires_grad());
        let y = checkpoint(move |x| own.call(&[&x[0], &x[1]]), &[&a, &inputs[1]]);
        y.sum().backward().unwrap();
        assert_eq!(values(&a.grad().unwrap()), values(&(&inputs[1] * &inputs[1])));

        let silent = Function::new("silent", |_, x| Ok(vec![x[0].clone()]), |_| Ok(vec![None]));
        let text = silent.call(&[&a]).sum().backward().unwrap_err().to_string();
        assert!(text.contains("silent") && text.contains("no gradient"), "{text}");
    });
}

#[test]
fn anomalies_name_operation_place_and_line() {
    #[derive(Module)]
    struct Bad;
    impl Forward for Bad {
        type Output = Tensor;
        fn forward(&self, x: &Tensor) -> Tensor {
            (x - x).log() * 0.0
        }
    }
    #[derive(Module)]
    struct Steep {
        scale: Parameter,
    }
    impl Forward for Steep {
        type Output = Tensor;
        fn forward(&self, x: &Tensor) -> Tensor {
            (x * self.scale.get() * 0.0).sqrt()
        }
    }
    on_reference(|| {
        let net = nn::Sequential::new().add(nn::Linear::new(2, 2)).add(Bad);
        let x = Tensor::ones(&[3, 2]);
        let text = detect_anomaly(|| net.call(&x).sum().backward()).unwrap_err().to_string();
        for part in ["log: gives an infinity at [0, 0] of [3, 2]", "[[3, 2]]", "in 1, at ", "checkpoint.rs:"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        // What nobody reads is found too, and the first one is told.
        let text = detect_anomaly(|| {
            let _ = x.mul_scalar(-1.0).sqrt();
            let _ = (&x - &x).log();
            Ok(())
        })
        .unwrap_err()
        .to_string();
        assert!(text.contains("sqrt: gives NaN"), "{text}");

        let net = nn::Sequential::new().add(nn::ReLU).add(Steep { scale: Parameter::new(Tensor::ones(&[2])) });
        let text = detect_anomaly(|| net.call(&x).sum().backward()).unwrap_err().to_string();
        for part in [
            "sqrt: its backward gives an infinity at [0, 0] of [3, 2] for input 0",
            "called in 1, at ",
            "checkpoint.rs:",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        // Outside of the mode nothing changes.
        net.call(&x).sum().backward().unwrap();
    });
}

#[test]
fn what_was_infinite_before_is_not_blamed() {
    on_reference(|| {
        let scores = Tensor::randn(&[2, 3]).requires_grad();
        let mask = Tensor::from_slice(&[true, false, false], &[3]);
        detect_anomaly(|| scores.masked_fill(&mask, f64::NEG_INFINITY).softmax(-1).powi(2).sum().backward()).unwrap();
        let infinite = Tensor::from_slice(&[f32::INFINITY, 1.0], &[2]);
        detect_anomaly(|| Ok(&infinite * 2.0 + 1.0)).unwrap();
        let text = detect_anomaly(|| Ok(&infinite - &infinite)).unwrap_err().to_string();
        assert!(text.contains("sub: gives NaN"), "{text}");
        assert_eq!(detect_anomaly(|| Ok(5)).unwrap(), 5);
        assert!(
            detect_anomaly(|| Err::<(), _>(Error::Autograd("own".into()))).unwrap_err().to_string().contains("own")
        );
    });
}
