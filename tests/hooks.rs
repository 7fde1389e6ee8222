//! Hooks of tensors and modules, in PyTorch's order. On the reference; nothing here needs a GPU.

mod common;

use std::sync::{Arc, Mutex};

use common::{on_reference, values};
use lumigrad::autograd::{Backward, grad};
use lumigrad::optim::SGD;
use lumigrad::{nn, prelude::*};

/// A list that hooks write to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn hooks_of_a_leaf_see_the_whole_gradient_and_may_replace_it() {
    on_reference(|| {
        let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).requires_grad();
        let log = Log::default();
        let seen = log.clone();
        let first = x.register_hook(move |g| {
            seen.push(format!("{:?}", values(g)));
            Some(g * 2.0)
        });
        let seen = log.clone();
        x.register_hook(move |g| {
            seen.push(format!("then {:?}", values(g)));
            None
        });
        let loss = || (&x * 3.0 + &x * &x).sum();
        loss().backward().unwrap();
        // Once, with the sum of both uses: 3 + 2x; the second hook sees what the first gave.
        assert_eq!(log.take(), ["[5.0, 7.0]", "then [10.0, 14.0]"]);
        assert_eq!(values(&x.grad().unwrap()), [10.0, 14.0]);
        // A second pass adds its own.
        loss().backward().unwrap();
        assert_eq!(values(&x.grad().unwrap()), [20.0, 28.0]);
        log.take();
        first.remove();
        assert_eq!(values(&grad(&loss(), &[&x], Backward::new()).unwrap()[0]), [5.0, 7.0]);
        assert_eq!(log.take(), ["then [5.0, 7.0]"]);
    });
}

#[test]
fn hooks_of_a_result_come_before_what_it_keeps() {
    on_reference(|| {
        let x = Tensor::scalar(2.0).requires_grad();
        let y = &x * &x;
        y.retain_grad();
        y.register_hook(|g| Some(g + 1.0));
        (&y * 5.0).backward().unwrap();
        assert_eq!(values(&y.grad().unwrap()), [6.0]);
        assert_eq!(values(&x.grad().unwrap()), [24.0]);
    });
}

#[test]
fn a_hook_must_give_a_gradient_that_fits() {
    on_reference(|| {
        let x = Tensor::ones(&[2]).requires_grad();
        x.register_hook(|_| Some(Tensor::ones(&[3])));
        let text = x.sum().backward().unwrap_err().to_string();
        assert!(text.contains("[3]") && text.contains("[2]") && text.contains("hook"), "{text}");
        assert!(x.grad().is_none());
        let constant = Tensor::ones(&[2]);
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(constant.register_hook(|_| None))));
        assert!(refused.is_err());
    });
}

#[test]
fn a_parameter_can_be_updated_as_soon_as_its_gradient_is_there() {
    on_reference(|| {
        let w = Parameter::new(Tensor::ones(&[2]));
        let optimizer = Mutex::new(SGD::new([w.clone()], 0.5));
        let count = Arc::new(Mutex::new(0));
        let counted = count.clone();
        let handle = w.register_post_accumulate_grad_hook(move |w| {
            let mut optimizer = optimizer.lock().unwrap();
            optimizer.step().unwrap();
            w.zero_grad();
            *counted.lock().unwrap() += 1;
        });
        for _ in 0..3 {
            (w.get() * 1.0).sum().backward().unwrap();
        }
        assert_eq!((values(&w.get()), *count.lock().unwrap()), (vec![-0.5; 2], 3));
        assert!(w.grad().is_none());
        handle.remove();
        (w.get() * 1.0).sum().backward().unwrap();
        assert_eq!(values(&w.get()), [-0.5; 2]);
    });
}

fn net() -> nn::Sequential {
    let inner = nn::Sequential::new().add(nn::Linear::new(3, 3)).add(nn::ReLU).add(nn::ReLU);
    nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::ReLU).add(inner)
}

#[test]
fn module_hooks_run_in_order_and_replace() {
    on_reference(|| {
        let layer = nn::Linear::new(2, 2);
        let log = Log::default();
        let x = Tensor::ones(&[1, 2]);
        let plain = values(&layer.call(&x));
        {
            let (a, b, c) = (log.clone(), log.clone(), log.clone());
            let _first = layer.register_forward_pre_hook(move |_, x| {
                a.push("before");
                Some(x * 0.0)
            });
            let _second = layer.register_forward_hook(move |place, x, y| {
                b.push(format!("after {:?} of {}", values(x), place.type_name));
                Some(y + 1.0)
            });
            let _third = layer.register_forward_hook(move |_, _, y| {
                c.push("last");
                Some(y * 2.0)
            });
            let bias = values(&layer.bias.as_ref().unwrap().get());
            let expected: Vec<f32> = bias.iter().map(|b| (b + 1.0) * 2.0).collect();
            assert_eq!(values(&layer.call(&x)), expected);
            assert_eq!(log.take(), ["before", "after [0.0, 0.0] of Linear", "last"]);
            // `forward` alone runs no hooks.
            assert_eq!(values(&layer.forward(&x)), plain);
        }
        assert_eq!(values(&layer.call(&x)), plain);
        assert!(log.take().is_empty());
    });
}

#[test]
fn hooks_by_path_reach_modules_without_size() {
    on_reference(|| {
        let (net, other) = (net(), net());
        let log = Log::default();
        let hook = |path: &str| {
            let log = log.clone();
            net.register_forward_hook_at(path, move |place, _: &Tensor, _: &Tensor| {
                log.push(place.path.clone());
                None
            })
            .unwrap()
        };
        let hooks = ["2.2", "2.0", "1", ""].map(hook);
        let x = Tensor::ones(&[1, 2]);
        net.call(&x);
        assert_eq!(log.take(), ["1", "2.0", "2.2", ""]);
        other.call(&x);
        assert!(log.take().is_empty(), "another model of the same kind has none");
        let last = hooks.into_iter().next().unwrap();
        net.call(&x);
        assert_eq!(log.take(), ["2.2"]);
        last.remove();
        net.call(&x);
        assert!(log.take().is_empty());

        let text = net.register_forward_pre_hook_at("2.O", |_, _: &Tensor| None).err().unwrap().to_string();
        assert!(text.contains("\"2.O\"") && text.contains("did you mean"), "{text}");
        let refused = std::panic::catch_unwind(|| drop(nn::ReLU.register_forward_hook(|_, _, _| None)));
        assert!(refused.is_err());
    });
}

#[test]
fn a_hook_of_other_types_is_a_mistake() {
    on_reference(|| {
        let net = net();
        let hook = net.register_forward_hook_at("0", |_, _: &(Tensor, Tensor), _: &Tensor| None).unwrap();
        let call = std::panic::AssertUnwindSafe(|| net.call(&Tensor::ones(&[1, 2])));
        let text = *std::panic::catch_unwind(call).unwrap_err().downcast::<String>().unwrap();
        assert!(
            text.starts_with("0: ") && text.contains("(lumigrad::tensor::Tensor, lumigrad::tensor::Tensor)"),
            "{text}"
        );
        drop(hook);
    });
}

#[test]
fn backward_hooks_see_both_sides() {
    on_reference(|| {
        let net = net();
        let log = Log::default();
        let seen = log.clone();
        let hook = net
            .register_full_backward_hook_at("0", move |place, inputs, outputs| {
                let shapes = |list: &[Option<Tensor>]| {
                    format!("{:?}", list.iter().map(|g| g.as_ref().map(|g| g.shape().to_vec())).collect::<Vec<_>>())
                };
                seen.push(format!("{} {} {}", place.path, shapes(inputs), shapes(outputs)));
                Some(inputs.iter().map(|g| g.as_ref().map(|g| g * 0.0 + 7.0)).collect())
            })
            .unwrap();
        let x = Tensor::ones(&[4, 2]).requires_grad();
        let loss = net.call(&x).sum();
        loss.backward().unwrap();
        assert_eq!(log.take(), ["0 [Some([4, 2])] [Some([4, 3])]"]);
        assert_eq!(values(&x.grad().unwrap()), [7.0; 8]);
        // The parameters' gradients are the module's own.
        let own = net.parameters()[0].grad().unwrap();
        // Without inputs that need a gradient the hook still sees the outputs'.
        net.zero_grad();
        net.call(&x.detach()).sum().backward().unwrap();
        assert_eq!(log.take(), ["0 [None] [Some([4, 3])]"]);
        assert_eq!(values(&net.parameters()[0].grad().unwrap()), values(&own));
        drop(hook);
        x.set_grad(None).unwrap();
        net.call(&x).sum().backward().unwrap();
        assert!(log.take().is_empty());
        assert_ne!(values(&x.grad().unwrap()), [7.0; 8]);
    });
}

#[test]
fn backward_hooks_of_several_inputs() {
    #[derive(Module)]
    struct First;
    impl Forward<(Tensor, Tensor)> for First {
        type Output = (Tensor, Tensor);
        fn forward(&self, (a, b): &(Tensor, Tensor)) -> (Tensor, Tensor) {
            (a * b, a + 1.0)
        }
    }
    #[derive(Module)]
    struct Net {
        scale: Parameter,
        first: First,
    }
    impl Forward<(Tensor, Tensor)> for Net {
        type Output = Tensor;
        fn forward(&self, x: &(Tensor, Tensor)) -> Tensor {
            self.first.call(x).0
        }
    }
    on_reference(|| {
        let net = Net { scale: Parameter::new(Tensor::ones(&[1])), first: First };
        let log = Log::default();
        let seen = log.clone();
        let hook = net
            .register_full_backward_hook_at("first", move |_, inputs, outputs| {
                let show = |g: &Option<Tensor>| g.as_ref().map_or("-".to_string(), |g| format!("{:?}", values(g)));
                let line: Vec<String> = inputs.iter().chain(outputs).map(show).collect();
                seen.push(line.join(" "));
                None
            })
            .unwrap();
        let (a, b) = (Tensor::scalar(2.0).requires_grad(), Tensor::scalar(5.0));
        net.call(&(a.clone(), b)).backward().unwrap();
        assert_eq!(log.take(), ["[5.0] - [1.0] -"]);
        assert_eq!(values(&a.grad().unwrap()), [5.0]);
        drop(hook);
    });
}
