//! Calling modules: paths in errors, walks over the tree. On the reference; nothing here needs a GPU.

mod common;
#[path = "../examples/resnet18/model.rs"]
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use common::on_reference;
use lumigrad::optim::SGD;
use lumigrad::{nn, prelude::*};

/// What a mistake says.
fn message(body: impl FnOnce() -> Tensor) -> String {
    let caught = catch_unwind(AssertUnwindSafe(body)).expect_err("the mistake is seen");
    caught.downcast_ref::<String>().expect("a panic with a message").clone()
}

/// What a walk that must fail looks for: a layer without size whose calls are counted.
#[derive(Clone, Module)]
struct Narrow;

impl Forward for Narrow {
    type Output = Tensor;

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        // Refuses what has another width.
        if x.shape()[1] == 3 { x.clone() } else { x.reshape([-1, 3, 1000]) }
    }
}

#[derive(Module)]
struct Block {
    conv1: nn::Linear,
    first: Narrow,
    conv2: Option<nn::Linear>,
    second: Narrow,
}

impl Forward for Block {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.first.call(&self.conv1.call(x));
        let x = self.conv2.as_ref().map_or(x.clone(), |conv| conv.call(&x));
        self.second.call(&x)
    }
}

#[derive(Module)]
struct Net {
    layer1: Vec<Block>,
    head: nn::Sequential,
}

impl Forward for Net {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.layer1.iter().fold(x.clone(), |x, block| block.call(&x));
        self.head.call(&x)
    }
}

fn block(conv2: Option<nn::Linear>) -> Block {
    Block { conv1: nn::Linear::new(3, 3), first: Narrow, conv2, second: Narrow }
}

fn net(layer1: Vec<Block>, head: nn::Sequential) -> Net {
    Net { layer1, head }
}

#[test]
fn a_mistake_names_the_path_of_its_layer() {
    on_reference(|| {
        let x = Tensor::ones(&[2, 3]);
        let says = |net: &Net| message(|| net.call(&x));
        let wrong = || nn::Linear::new(4, 3);
        let good = net(vec![block(None), block(Some(nn::Linear::new(3, 3)))], nn::Sequential::new());
        assert_eq!(good.call(&x).shape(), [2, 3]);

        let text = says(&net(vec![block(None), Block { conv1: wrong(), ..block(None) }], nn::Sequential::new()));
        assert!(text.starts_with("layer1.1.conv1: linear: "), "{text}");
        let text = says(&net(vec![block(Some(wrong()))], nn::Sequential::new()));
        assert!(text.starts_with("layer1.0.conv2: linear: "), "{text}");
        // The second of two modules without size, which share their address.
        let text = says(&net(vec![block(Some(nn::Linear::new(3, 4)))], nn::Sequential::new()));
        assert!(text.starts_with("layer1.0.second: "), "{text}");
        let head = nn::Sequential::new()
            .add(Narrow)
            .add(nn::Sequential::new().add(Narrow).add(nn::Linear::new(3, 5)).add(nn::ReLU).add(Narrow));
        let text = says(&net(vec![], head));
        assert!(text.starts_with("head.1.3: "), "{text}");
        // The outermost module is the one that is called; outside of modules there is no path.
        assert!(message(|| wrong().call(&x)).starts_with("linear: "));
        assert!(message(|| x.matmul(&x)).starts_with("matmul: "));
    });
}

/// A part of a network around the blocks of a ResNet.
#[derive(Module)]
struct Stage {
    layer1: nn::Sequential,
}

impl Forward for Stage {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        self.layer1.call(x)
    }
}

#[test]
fn a_convolution_with_wrong_channels_names_its_path_and_both_shapes() {
    on_reference(|| {
        let downsample = nn::Sequential::new().add(nn::Conv2d::new(8, 3, 1));
        let stage = |first, second| Stage { layer1: nn::Sequential::new().add(first).add(second) };
        let block = model::ResidualBlock::new;
        let x = Tensor::ones(&[2, 4, 5, 5]);
        let text = message(|| stage(block(6, 4, 1, None), block(4, 4, 1, None)).call(&x));
        assert!(text.starts_with("layer1.0.conv1: conv2d: "), "{text}");
        assert!(text.contains("[2, 4, 5, 5]") && text.contains("[4, 6, 3, 3]"), "{text}");
        let text = message(|| stage(block(4, 4, 1, None), block(4, 8, 1, Some(downsample))).call(&x));
        assert!(text.starts_with("layer1.1.downsample.0: conv2d: "), "{text}");
        assert!(text.contains("[2, 4, 5, 5]") && text.contains("[3, 8, 1, 1]"), "{text}");
        // Grey images for a network that takes coloured ones.
        let text = message(|| model::ResNet::new([1, 1, 1, 1], 10).call(&Tensor::ones(&[1, 1, 32, 32])));
        assert!(text.starts_with("conv1: conv2d: "), "{text}");
        assert!(text.contains("[1, 1, 32, 32]") && text.contains("[64, 3, 7, 7]"), "{text}");
    });
}

/// A helper that is no field, and a layer behind an `Arc`.
#[derive(Module)]
struct Shared {
    layer: Arc<dyn nn::Layer>,
    #[module(skip)]
    strange: bool,
}

impl Forward for Shared {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        if self.strange { nn::Sequential::new().add(nn::Linear::new(7, 7)).call(x) } else { self.layer.call(x) }
    }
}

#[test]
fn modules_outside_of_the_tree_show_as_their_types() {
    on_reference(|| {
        let x = Tensor::ones(&[2, 3]);
        let make = |strange| nn::Sequential::new().add(Shared { layer: Arc::new(nn::Linear::new(4, 1)), strange });
        assert!(message(|| make(false).call(&x)).starts_with("0.layer: linear: "));
        let text = message(|| make(true).call(&x));
        assert!(text.starts_with("0.Sequential.Linear: linear: "), "{text}");
    });
}

#[test]
fn a_layer_that_is_called_twice_keeps_its_path() {
    on_reference(|| {
        struct Twice(nn::Linear);
        impl Module for Twice {
            fn visit(&self, visitor: &mut nn::Visitor<'_>) {
                visitor.child("inner", &self.0);
            }
        }
        impl Forward for Twice {
            type Output = Tensor;
            fn forward(&self, x: &Tensor) -> Tensor {
                self.0.call(&self.0.call(x))
            }
        }
        let text = message(|| Twice(nn::Linear::new(3, 2)).call(&Tensor::ones(&[1, 3])));
        assert!(text.starts_with("inner: linear: "), "{text}");
    });
}

#[test]
fn a_bad_index_names_the_layer_and_the_users_line() {
    #[derive(Module)]
    struct Table {
        weight: Parameter,
    }
    impl Forward for Table {
        type Output = Tensor;
        #[track_caller]
        fn forward(&self, x: &Tensor) -> Tensor {
            self.weight.get().index_select(0, x)
        }
    }
    on_reference(|| {
        let net = nn::Sequential::new().add(nn::ReLU).add(Table { weight: Parameter::new(Tensor::ones(&[3, 2])) });
        let line = line!() + 1;
        let result = net.call(&Tensor::from_slice(&[0, 7], &[2]));
        let text = result.to_vec::<f32>().unwrap_err().to_string();
        assert!(text.contains("index 7") && text.contains(&format!("modules.rs:{line} in 1;")), "{text}");
    });
}

#[test]
fn walks_over_the_tree() {
    on_reference(|| {
        let net = net(vec![block(None)], nn::Sequential::new().add(nn::ReLU));
        let names: Vec<(String, &str)> = net.named_modules();
        let expected = [
            ("", "Net"),
            ("layer1", "Vec"),
            ("layer1.0", "Block"),
            ("layer1.0.conv1", "Linear"),
            ("layer1.0.first", "Narrow"),
            ("layer1.0.second", "Narrow"),
            ("head", "Sequential"),
            ("head.0", "ReLU"),
        ];
        assert_eq!(names, expected.map(|(path, ty)| (path.to_string(), ty)));
        assert_eq!(net.named_children(), [("layer1".to_string(), "Vec"), ("head".to_string(), "Sequential")]);
        let mut order = Vec::new();
        net.apply(&mut |path, _| order.push(path.to_string()));
        let expected =
            ["layer1.0.conv1", "layer1.0.first", "layer1.0.second", "layer1.0", "layer1", "head.0", "head", ""];
        assert_eq!(order, expected);
    });
}

#[test]
fn frozen_parameters_are_not_trained() {
    on_reference(|| {
        let model = nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::Linear::new(3, 1));
        let x = Tensor::ones(&[4, 2]);
        let values = || model.parameters().iter().map(|p| p.get().to_vec::<f32>().unwrap()).collect::<Vec<_>>();
        let mut optimizer = SGD::new(model.parameters(), 0.1).momentum(0.9).weight_decay(0.1);
        let mut step = || {
            optimizer.zero_grad();
            model.call(&x).sum().backward().unwrap();
            optimizer.step().unwrap();
        };
        step();
        let first = model.iter().next().unwrap();
        first.requires_grad_(false);
        let before = values();
        step();
        let after = values();
        assert_eq!(before[..2], after[..2], "frozen");
        assert_ne!(before[2..], after[2..], "still trained");
        assert!(model.parameters()[0].grad().is_none());
        first.requires_grad_(true);
        step();
        assert_ne!(values()[..2], after[..2], "trained again");
        // Frozen through and through, there is nothing to walk back.
        model.requires_grad_(false);
        assert!(!model.call(&x).is_requires_grad());
        assert!(model.state_dict().get("0.weight").is_some());
    });
}

#[test]
fn a_state_dict_may_be_loaded_in_part() {
    on_reference(|| {
        let (old, new) = (nn::Linear::new(2, 3), nn::Linear::new(2, 3));
        let mut state = nn::StateDict::new();
        state.insert("weight", old.weight.get().detach());
        state.insert("head.bias", Tensor::ones(&[1]));
        let bias = new.bias.as_ref().unwrap().get().to_vec::<f32>().unwrap();
        let keys = new.load_state_dict_with(&state, &nn::LoadOptions { strict: false }).unwrap();
        assert_eq!(keys.missing, ["bias"]);
        assert_eq!(keys.unexpected, ["head.bias"]);
        assert_eq!(new.weight.get().to_vec::<f32>().unwrap(), old.weight.get().to_vec::<f32>().unwrap());
        assert_eq!(new.bias.as_ref().unwrap().get().to_vec::<f32>().unwrap(), bias);
        // What has the right name and does not fit is a mistake in any case.
        state.insert("bias", Tensor::ones(&[4]));
        let text = new.load_state_dict_with(&state, &nn::LoadOptions { strict: false }).unwrap_err().to_string();
        assert!(text.contains("[4]") && text.contains("[3]"), "{text}");
    });
}
