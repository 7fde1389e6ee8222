//! The rules of the graph: accumulation, freeing, in-place changes, depth. On the reference; nothing here needs a GPU.

mod common;

use common::{on_reference, values};
use lumigrad::autograd::{Backward, grad};
use lumigrad::nn::Linear;
use lumigrad::optim::SGD;
use lumigrad::{enable_grad, prelude::*};

#[test]
fn the_first_tutorial() {
    on_reference(|| {
        let x = Tensor::scalar(2.0).requires_grad();
        let y = x.powi(2) + 2.0 * &x + 1.0;
        y.backward().unwrap();
        assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 6.0);
    });
}

#[test]
fn gradients_add_up_until_they_are_cleared() {
    on_reference(|| {
        let x = Tensor::scalar(3.0).requires_grad();
        for round in 1..=3 {
            (&x * &x).backward().unwrap();
            assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 6.0 * round as f32);
        }
        x.set_grad(None).unwrap();
        assert!(x.grad().is_none());
    });
}

#[test]
fn a_tensor_used_twice_gets_both_gradients() {
    on_reference(|| {
        let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).requires_grad();
        let y = &x * 3.0;
        let z = &y * &y + &y;
        z.sum().backward().unwrap();
        // d/dx (9x² + 3x) = 18x + 3
        assert_eq!(values(&x.grad().unwrap()), [21.0, 39.0]);
    });
}

#[test]
fn loops_and_branches_are_part_of_the_graph() {
    on_reference(|| {
        let x = Tensor::scalar(1.5).requires_grad();
        let mut y = x.clone();
        for step in 0..4 {
            y = if step % 2 == 0 { &y * &x } else { &y + &x };
        }
        // ((x·x + x)·x + x) has derivative 3x² + 2x + 1
        y.backward().unwrap();
        assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 3.0 * 2.25 + 3.0 + 1.0);
    });
}

#[test]
fn broadcast_operands_get_gradients_of_their_own_shape() {
    on_reference(|| {
        let x = Tensor::ones(&[2, 1, 3]).requires_grad();
        let y = Tensor::ones(&[4, 1]).requires_grad();
        (&x * &y).sum().backward().unwrap();
        assert_eq!((x.grad().unwrap().shape(), y.grad().unwrap().shape()), (&[2, 1, 3][..], &[4, 1][..]));
        assert_eq!(values(&x.grad().unwrap()), [4.0; 6]);
        assert_eq!(values(&y.grad().unwrap()), [6.0; 4]);
    });
}

#[test]
fn no_grad_and_detach_leave_no_graph() {
    on_reference(|| {
        let x = Tensor::scalar(1.0).requires_grad();
        assert!(!no_grad(|| &x * 2.0).is_requires_grad());
        assert!(no_grad(|| enable_grad(|| &x * 2.0)).is_requires_grad());
        assert!(!x.detach().is_requires_grad());
        let text = (x.detach() * 2.0).backward().unwrap_err().to_string();
        assert!(text.contains("requires a gradient"), "{text}");
    });
}

#[test]
fn a_graph_runs_once_unless_it_is_kept() {
    on_reference(|| {
        let x = Tensor::scalar(2.0).requires_grad();
        let y = &x * &x;
        Backward::new().retain_graph().run(&y).unwrap();
        y.backward().unwrap();
        assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 8.0);
        let text = y.backward().unwrap_err().to_string();
        assert!(text.contains("second time") && text.contains("retain_graph"), "{text}");
    });
}

#[test]
fn only_scalars_start_without_a_gradient() {
    on_reference(|| {
        let x = Tensor::ones(&[3]).requires_grad();
        let text = (&x * 2.0).backward().unwrap_err().to_string();
        assert!(text.contains("[3]") && text.contains("scalar"), "{text}");
        let text = Backward::new().gradient(&Tensor::ones(&[2])).run(&(&x * 2.0)).unwrap_err().to_string();
        assert!(text.contains("[2]") && text.contains("[3]"), "{text}");
    });
}

#[test]
fn intermediate_gradients_on_request() {
    on_reference(|| {
        let x = Tensor::scalar(2.0).requires_grad();
        let y = &x * 3.0;
        y.retain_grad();
        (&y * &y).backward().unwrap();
        assert_eq!(y.grad().unwrap().item::<f32>().unwrap(), 12.0);
        let (a, b) = (&x * 2.0, &x * 5.0);
        let gradients = grad(&(&a * &b), &[&a, &x], Backward::new()).unwrap();
        assert_eq!(gradients[0].item::<f32>().unwrap(), 10.0);
        assert_eq!(gradients[1].item::<f32>().unwrap(), 40.0);
        assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 36.0, "`grad` leaves `.grad` alone");
    });
}

#[test]
fn a_saved_tensor_that_changed_is_refused() {
    on_reference(|| {
        let x = Tensor::ones(&[2]).requires_grad();
        let w = Tensor::ones(&[2]);
        let y = (&x * &w).sum();
        w.select(0, 1).fill_(5.0).unwrap();
        let text = y.backward().unwrap_err().to_string();
        assert!(text.contains("changed in place") && text.contains("mul"), "{text}");
        assert!(x.grad().is_none());
    });
}

#[test]
fn in_place_changes_keep_the_rules() {
    on_reference(|| {
        let x = Tensor::ones(&[2, 2]).requires_grad();
        assert!(x.fill_(2.0).unwrap_err().to_string().contains("no_grad"));
        no_grad(|| x.fill_(2.0)).unwrap();
        assert_eq!(values(&x), [2.0; 4]);
        let y = &x * 2.0;
        assert!(y.select(0, 0).zero_().unwrap_err().to_string().contains("graph"));
        let target = Tensor::zeros(&[2, 2]);
        assert!(target.copy_(&y).unwrap_err().to_string().contains("detach"));
        target.copy_(&y.detach()).unwrap();
        assert_eq!(values(&target), [4.0; 4]);
        let row = Tensor::zeros(&[2]);
        assert!(row.expand([3, 2]).fill_(1.0).unwrap_err().to_string().contains("expanding"));
        let square = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
        square.copy_(&square.t()).unwrap();
        assert_eq!(values(&square), [1.0, 3.0, 2.0, 4.0], "source and target may overlap");
    });
}

#[test]
fn plus_assign_rebinds() {
    on_reference(|| {
        let identity = Tensor::ones(&[2]).requires_grad();
        let mut out = &identity * 2.0;
        let before = out.clone();
        out += &identity;
        assert_eq!(values(&before), [2.0; 2]);
        out.sum().backward().unwrap();
        assert_eq!(values(&identity.grad().unwrap()), [3.0; 2]);
    });
}

#[test]
fn a_hundred_thousand_nodes_do_not_overflow_the_stack() {
    // A small stack, so that a recursion would be seen whatever the platform's is.
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(|| {
        on_reference(|| {
            let x = Tensor::scalar(0.0).requires_grad();
            let mut y = x.clone();
            for _ in 0..100_000 {
                y = &y + 1.0;
            }
            y.backward().unwrap();
            assert_eq!(x.grad().unwrap().item::<f32>().unwrap(), 1.0);
            // and one that is dropped without ever being walked
            let mut z = x.clone();
            for _ in 0..100_000 {
                z = &z * 1.0;
            }
        });
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn saved_memory_goes_as_it_is_used() {
    let device = Device::new_reference(true);
    device.scope(|| {
        let x = Tensor::ones(&[1000]).requires_grad();
        let start = device.counters().live_bytes;
        let mut y = x.clone();
        for _ in 0..50 {
            y = &y * &y;
        }
        let loss = y.sum();
        drop(y);
        let graph = device.counters().live_bytes - start;
        assert!(graph >= 49 * 4000, "the graph holds its saved tensors: {graph}");
        loss.backward().unwrap();
        let after = device.counters().live_bytes - start;
        assert!(after <= 3 * 4000, "only the gradient and the loss are left, not {after} bytes");
    });
}

#[test]
fn mistakes_panic_at_the_callers_line() {
    let text = std::panic::catch_unwind(|| {
        on_reference(|| Tensor::ones(&[2, 3]).matmul(&Tensor::ones(&[2, 3])));
    })
    .unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("matmul") && text.contains("[2, 3]") && text.contains("3 columns"), "{text}");
    on_reference(|| {
        assert!(Tensor::ones(&[2]).try_add(&Tensor::ones(&[3])).is_err());
        let other = Device::new_reference(true).scope(|| Tensor::ones(&[2]));
        let text = Tensor::ones(&[2]).try_add(&other).unwrap_err().to_string();
        assert!(text.contains("different devices"), "{text}");
    });
}

#[test]
fn parameters_without_gradient_are_skipped() {
    on_reference(|| {
        let (used, unused) = (Linear::new(2, 1), Linear::new(2, 1));
        let before = values(&unused.weight.get());
        let parameters = used.parameters().into_iter().chain(unused.parameters());
        let mut optimizer = SGD::new(parameters, 0.1).weight_decay(0.5);
        let start = values(&used.weight.get());
        used.call(&Tensor::ones(&[1, 2])).sum().backward().unwrap();
        optimizer.step().unwrap();
        assert_ne!(values(&used.weight.get()), start);
        assert_eq!(values(&unused.weight.get()), before, "no gradient, no decay");
    });
}

#[test]
fn an_optimiser_follows_its_model_to_another_device() {
    let (first, second) = (Device::new_reference(true), Device::new_reference(true));
    let model = first.scope(|| Linear::new(3, 1));
    let twin = first.scope(|| Linear::new(3, 1));
    twin.load_state_dict(&model.state_dict()).unwrap();
    let mut optimizers = [&model, &twin].map(|m| SGD::new(m.parameters(), 0.1).momentum(0.9));
    for step in 0..4 {
        if step == 2 {
            model.to(&second).unwrap();
        }
        for (m, optimizer) in [&model, &twin].iter().zip(&mut optimizers) {
            let x = Tensor::from_slice_on(&[1.0f32, 2.0, 3.0], &[1, 3], m.weight.get().device());
            optimizer.zero_grad();
            m.call(&x).powi(2).sum().backward().unwrap();
            optimizer.step().unwrap();
        }
    }
    assert_eq!(model.weight.get().device(), &second);
    assert_eq!(values(&model.weight.get()), values(&twin.weight.get()), "momentum moved along");
}

#[test]
fn a_state_dict_is_checked_whole_before_anything_changes() {
    on_reference(|| {
        let model = Linear::new(2, 3);
        let before = values(&model.weight.get());
        let mut state = lumigrad::nn::StateDict::new();
        state.insert("weigth", Tensor::zeros(&[3, 2]));
        state.insert("bias", Tensor::zeros(&[4]));
        let text = model.load_state_dict(&state).unwrap_err().to_string();
        for part in ["missing key \"weight\"", "did you mean \"weigth\"", "[4]", "[3]", "unexpected key \"weigth\""] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(values(&model.weight.get()), before);
        let mut good = lumigrad::nn::StateDict::new();
        good.insert("weight", Tensor::zeros(&[3, 2]));
        good.insert("bias", Tensor::ones(&[3]));
        model.load_state_dict(&good).unwrap();
        assert_eq!(values(&model.call(&Tensor::ones(&[1, 2]))), [1.0; 3]);
    });
}

#[test]
fn one_parameter_may_be_two_inputs_of_an_operation() {
    on_reference(|| {
        let w = Parameter::new(Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]));
        let mut optimizer = SGD::new([w.clone()], 0.0);
        let run = |w: &Parameter| {
            w.zero_grad();
            w.get().matmul(&w.get()).sum().backward().unwrap();
            values(&w.grad().unwrap())
        };
        let before = run(&w);
        // From the first step on gradients are written straight into the optimiser's memory.
        optimizer.step().unwrap();
        assert_eq!(run(&w), before);
        w.zero_grad();
        let condition = Tensor::from_slice(&[true, false, true, false], &[2, 2]);
        condition.where_(w.get(), w.get()).sum().backward().unwrap();
        assert_eq!(values(&w.grad().unwrap()), [1.0; 4]);
    });
}

#[test]
fn a_gradient_may_be_an_operand_of_the_next_graph() {
    on_reference(|| {
        let (a, b) = (Parameter::new(Tensor::ones(&[2])), Parameter::new(Tensor::ones(&[2])));
        let mut optimizer = SGD::new([a.clone(), b.clone()], 0.0);
        for _ in 0..2 {
            optimizer.zero_grad();
            (a.get() * b.get() * 3.0).sum().backward().unwrap();
            optimizer.step().unwrap();
        }
        let g = a.grad().unwrap();
        b.zero_grad();
        (b.get() * &g).sum().backward().unwrap();
        assert_eq!(values(&b.grad().unwrap()), [3.0; 2]);
    });
}

#[test]
fn gradients_of_different_leaves_do_not_share_memory() {
    on_reference(|| {
        let (a, b) = (Tensor::ones(&[2]).requires_grad(), Tensor::ones(&[2]).requires_grad());
        ((&a + &b) * 2.0).sum().backward().unwrap();
        a.grad().unwrap().zero_().unwrap();
        assert_eq!(values(&b.grad().unwrap()), [2.0; 2]);
        let x = Tensor::ones(&[3]).requires_grad();
        let upstream = Tensor::ones(&[3]);
        Backward::new().gradient(&upstream).run(&x.reshape([3]).view([3])).unwrap();
        x.grad().unwrap().fill_(7.0).unwrap();
        assert_eq!(values(&upstream), [1.0; 3]);
    });
}

#[test]
fn what_a_parameter_held_before_it_moved_is_refused() {
    on_reference(|| {
        let w = Parameter::new(Tensor::ones(&[2]));
        let former = w.get();
        let mut optimizer = SGD::new([w.clone()], 0.1);
        (&former * 2.0).sum().backward().unwrap();
        optimizer.step().unwrap();
        assert_eq!(values(&w.get()), [0.8; 2], "the first step still counts");
        let text = former.try_mul_scalar(2.0).unwrap_err().to_string();
        assert!(text.contains("get()"), "{text}");
    });
}

#[test]
fn a_gradient_from_outside_must_fit() {
    on_reference(|| {
        let x = Tensor::ones(&[2]).requires_grad();
        let whole = Tensor::from_slice(&[1, 1], &[2]);
        assert!(Backward::new().gradient(&whole).run(&(&x * 2.0)).unwrap_err().to_string().contains("i32"));
        assert!(x.set_grad(Some(&whole)).is_err());
        let elsewhere = Device::new_reference(true).scope(|| Tensor::ones(&[2]));
        assert!(Backward::new().gradient(&elsewhere).run(&(&x * 2.0)).is_err());
    });
}

#[test]
fn shapes_that_shaders_can_not_index_are_refused() {
    on_reference(|| {
        let text = Tensor::ones(&[1]).try_expand([1 << 20, 1 << 13]).unwrap_err().to_string();
        assert!(text.contains("2^31"), "{text}");
    });
}

/// Many threads run forward and backward on one model: no gradient is lost or counted twice, whether it is written to
/// the optimiser's memory or not.
#[test]
fn threads_add_up_their_gradients() {
    const THREADS: usize = 8;
    let device = Device::new_reference(true);
    let w = device.scope(|| Parameter::new(Tensor::zeros(&[64])));
    let mut optimizer = SGD::new([w.clone()], 0.0);
    for round in 0..60 {
        if round == 30 {
            optimizer.step().unwrap();
        }
        w.zero_grad();
        let start = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (w, start, device) = (&w, &start, &device);
                scope.spawn(move || {
                    device.scope(|| {
                        let x = Tensor::full(&[64], f64::from(1 << thread));
                        start.wait();
                        (w.get() * &x).sum().backward().unwrap();
                    });
                });
            }
        });
        assert_eq!(values(&w.grad().unwrap()), [255.0; 64], "round {round}");
    }
}

/// Two passes that have both made their gradient before either adds it: only one of them was lent the optimiser's
/// memory to write to.
#[test]
fn the_optimisers_memory_is_lent_to_one_pass_at_a_time() {
    let device = Device::new_reference(true);
    let w = device.scope(|| Parameter::new(Tensor::zeros(&[1, 4])));
    let mut optimizer = SGD::new([w.clone()], 0.0);
    device.scope(|| Tensor::ones(&[1, 4]).linear(&w.get(), None).sum().backward()).unwrap();
    optimizer.step().unwrap();
    w.zero_grad();
    let both = std::sync::Arc::new(std::sync::Barrier::new(2));
    // Hooks run between the two.
    let handle = w.register_hook(move |_| {
        both.wait();
        None
    });
    std::thread::scope(|scope| {
        for factor in [1.0, 10.0] {
            let (w, device) = (&w, &device);
            scope.spawn(move || {
                device.scope(|| {
                    let x = Tensor::full(&[1, 4], factor);
                    x.linear(&w.get(), None).sum().backward().unwrap();
                });
            });
        }
    });
    handle.remove();
    assert_eq!(values(&w.grad().unwrap()), [11.0; 4]);
    optimizer.step().unwrap();
    w.zero_grad();
    device.scope(|| Tensor::ones(&[1, 4]).linear(&w.get(), None).sum().backward()).unwrap();
    assert_eq!(values(&w.grad().unwrap()), [1.0; 4]);
}
