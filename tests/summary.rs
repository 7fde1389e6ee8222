//! The model summary: what it counts, held to torchinfo's numbers of known models, and how it looks.

#[path = "../examples/resnet18/model.rs"]
mod model;

use lumigrad::engine::GpuOptions;
use lumigrad::nn::{self, SummaryRow};
use lumigrad::prelude::*;

fn row<'a>(summary: &'a nn::Summary, path: &str) -> &'a SummaryRow {
    summary.rows().iter().find(|row| row.path == path).unwrap_or_else(|| panic!("there is no {path}"))
}

/// A GPU is quicker, but the reference will do.
fn device() -> Device {
    Device::gpu_with(None, &GpuOptions::default()).unwrap_or_else(|_| Device::new_reference(true))
}

#[test]
fn resnet18_has_the_known_numbers() {
    let device = device();
    device.scope(|| {
        let net = model::ResNet::new([2, 2, 2, 2], 1000);
        let summary = nn::summary(&net, &Tensor::zeros(&[1, 3, 224, 224]));
        // torchvision's has no bias in its convolutions, of which there are 4,800 here.
        assert_eq!(summary.parameters(), 11_689_512 + 4_800);
        assert_eq!(summary.mult_adds(), 1_814_073_344);
        let stem = row(&summary, "conv1");
        assert_eq!((stem.output_shapes.as_slice(), stem.mult_adds), (&[vec![1, 64, 112, 112]][..], 118_013_952));
        let block = row(&summary, "layer2.0");
        assert_eq!((block.parameters, block.calls), (230_144 + 128 * 3, 1));
        let below: u64 = ["layer2.0", "layer2.1"].iter().map(|path| row(&summary, path).mult_adds).sum();
        assert_eq!(row(&summary, "layer2").mult_adds, below);
        assert_eq!(row(&summary, "layer1.0.relu").calls, 2);
        assert_eq!(summary.input_bytes(), 4 * 3 * 224 * 224);
        let text = summary.to_string();
        assert!(text.contains("1.814 G multiply-adds") && text.contains("11,694,312 parameters"), "{text}");
        let folded = summary.depth(1).to_string();
        assert!(folded.contains("├─ layer4: Sequential") && !folded.contains("downsample"), "{folded}");
    });
}

#[test]
fn work_is_counted_where_it_runs() {
    Device::new_reference(true).scope(|| {
        let x = Tensor::zeros(&[2, 6, 8]);
        let conv = nn::summary(&nn::Conv1d::new(6, 4, 3).groups(2), &x);
        assert_eq!(conv.mult_adds(), 2 * 4 * 6 * (3 * 3));
        let transposed = nn::summary(&nn::ConvTranspose1d::new(6, 4, 3).stride(2), &x);
        assert_eq!(transposed.mult_adds(), 2 * 6 * 8 * (4 * 3));
        let lstm = nn::summary(&nn::LSTM::new(8, 5).num_layers(2).bidirectional(true), &x);
        let (first, second) = (4 * 5 * (8 + 5), 4 * 5 * (10 + 5));
        assert_eq!(lstm.mult_adds(), 2 * 6 * 2 * (first + second));
        assert_eq!(lstm.rows()[0].output_shapes, [vec![2, 6, 10], vec![4, 6, 5], vec![4, 6, 5]]);
        let layer = nn::TransformerEncoderLayer::new(8, 2).dim_feedforward(16);
        let encoder = nn::summary(&layer, &x);
        let (positions, length) = (2 * 6, 2);
        let projections = positions * (4 * 8 * 8 + 2 * 8 * 16);
        assert_eq!(encoder.mult_adds(), projections + positions * length * 2 * 8);
        assert!(encoder.parameters() > 0 && layer.call(&x).shape() == [2, 6, 8]);
    });
}

#[derive(Module)]
struct Tied {
    größe: nn::Linear,
    unused: nn::Dropout,
    branches: nn::ModuleDict<nn::Sequential>,
    scale: Parameter,
}

impl Forward for Tied {
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.größe.call(&self.größe.call(x));
        (self.branches["圧縮する層"].call(&x) * self.scale.get()).matmul(&Tensor::ones(&[2, 3]))
    }
}

#[test]
fn names_of_any_width_stay_in_their_columns() {
    Device::new_reference(true).scope(|| {
        let branch = nn::Sequential::new().add(nn::Linear::new(4, 2).bias(false)).add(nn::Dropout::new(0.5));
        let net = Tied {
            größe: nn::Linear::new(4, 4),
            unused: nn::Dropout::new(0.1),
            branches: nn::ModuleDict::new().add("圧縮する層", branch),
            scale: Parameter::new(Tensor::ones(&[2])),
        };
        net.größe.requires_grad_(false);
        let summary = nn::summary(&net, &Tensor::ones(&[3, 4]));
        let expected = "\
Layer                         Output shape  Parameters  Trainable  Mult-adds  Memory
────────────────────────────────────────────────────────────────────────────────────
Tied                          [3, 3]                30         10        138   324 B
├─ größe: Linear              [3, 4]                20          0         96   176 B
├─ unused: Dropout            not called             0          0          0     0 B
└─ branches: ModuleDict       not called             8          8         24    56 B
   └─ 圧縮する層: Sequential  [3, 2]                 8          8         24    56 B
      ├─ 0: Linear            [3, 2]                 8          8         24    56 B
      └─ 1: Dropout           [3, 2]                 0          0          0     0 B
────────────────────────────────────────────────────────────────────────────────────
30 parameters, 10 of them trainable, 20 frozen
138 multiply-adds
372 B: input 48 B, parameters and buffers 120 B, activations 204 B";
        assert_eq!(summary.to_string(), expected);
        assert_eq!(row(&summary, "größe").mult_adds, 2 * 3 * 16, "it runs twice");
        assert_eq!(row(&summary, "größe").calls, 2);
        assert_eq!(
            row(&summary, "branches.圧縮する層.1").output_shapes,
            [vec![3, 2]],
            "a dropout at rest gives its input"
        );
        assert_eq!(summary.mult_adds(), 96 + 3 * 8 + 3 * 6);
        let dropped = net.unused.call(&Tensor::ones(&[200])).to_vec::<f32>().unwrap();
        assert!(dropped.contains(&0.0), "it is in training as before");
    });
}

#[test]
fn a_wrong_input_is_told_and_leaves_nothing_behind() {
    Device::new_reference(true).scope(|| {
        let net =
            nn::Sequential::new().add(nn::Linear::new(4, 2)).add(nn::Dropout::new(0.9)).add(nn::Linear::new(3, 1));
        let live = Device::current().counters().live_bytes;
        let failed =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| nn::summary(&net, &Tensor::ones(&[1, 4]))));
        let message = failed.unwrap_err().downcast::<String>().unwrap();
        assert!(message.starts_with("2: linear: "), "{message}");
        assert_eq!(Device::current().counters().live_bytes, live, "the list of the run is gone");
        let half = nn::Sequential::new().add(nn::Dropout::new(0.9)).add(nn::Linear::new(4, 2));
        assert_eq!(nn::summary(&half, &Tensor::ones(&[1, 4])).mult_adds(), 8);
    });
}
