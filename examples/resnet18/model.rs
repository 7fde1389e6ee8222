//! ResNet-18 (He et al., 2015), written as the PyTorch tutorials write it.

use lumigrad::{nn, prelude::*};

/// Two 3×3 convolutions and what goes past them.
#[derive(Module)]
pub struct ResidualBlock {
    conv1: nn::Conv2d,
    bn1: nn::BatchNorm2d,
    relu: nn::ReLU,
    conv2: nn::Conv2d,
    bn2: nn::BatchNorm2d,
    downsample: Option<nn::Sequential>,
}

impl ResidualBlock {
    pub fn new(in_channels: usize, out_channels: usize, stride: usize, downsample: Option<nn::Sequential>) -> Self {
        ResidualBlock {
            conv1: nn::Conv2d::new(in_channels, out_channels, 3).stride(stride).padding(1),
            bn1: nn::BatchNorm2d::new(out_channels),
            relu: nn::ReLU.inplace(true),
            conv2: nn::Conv2d::new(out_channels, out_channels, 3).padding(1),
            bn2: nn::BatchNorm2d::new(out_channels),
            downsample,
        }
    }
}

impl Forward for ResidualBlock {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        let out = self.relu.call(&self.bn1.call(&self.conv1.call(x)));
        let mut out = self.bn2.call(&self.conv2.call(&out));
        out += match &self.downsample {
            Some(downsample) => downsample.call(x),
            None => x.clone(),
        };
        self.relu.call(&out)
    }
}

/// A stem, four layers of blocks, and a classifier.
#[derive(Module)]
pub struct ResNet {
    conv1: nn::Conv2d,
    bn1: nn::BatchNorm2d,
    relu: nn::ReLU,
    maxpool: nn::MaxPool2d,
    layer1: nn::Sequential,
    layer2: nn::Sequential,
    layer3: nn::Sequential,
    layer4: nn::Sequential,
    avgpool: nn::AdaptiveAvgPool2d,
    fc: nn::Linear,
}

impl ResNet {
    /// `layers` says how many blocks each of the four has: `[2, 2, 2, 2]` is ResNet-18.
    pub fn new(layers: [usize; 4], num_classes: usize) -> Self {
        let mut in_channels = 64;
        let mut make_layer = |out_channels: usize, blocks: usize, stride: usize| {
            let downsample = (stride != 1 || in_channels != out_channels).then(|| {
                nn::Sequential::new()
                    .add(nn::Conv2d::new(in_channels, out_channels, 1).stride(stride))
                    .add(nn::BatchNorm2d::new(out_channels))
            });
            let first = ResidualBlock::new(in_channels, out_channels, stride, downsample);
            in_channels = out_channels;
            let others = (1..blocks).map(|_| ResidualBlock::new(out_channels, out_channels, 1, None));
            others.fold(nn::Sequential::new().add(first), nn::Sequential::add)
        };
        ResNet {
            conv1: nn::Conv2d::new(3, 64, 7).stride(2).padding(3),
            bn1: nn::BatchNorm2d::new(64),
            relu: nn::ReLU.inplace(true),
            maxpool: nn::MaxPool2d::new(3).stride(2).padding(1),
            layer1: make_layer(64, layers[0], 1),
            layer2: make_layer(128, layers[1], 2),
            layer3: make_layer(256, layers[2], 2),
            layer4: make_layer(512, layers[3], 2),
            avgpool: nn::AdaptiveAvgPool2d::new((1, 1)),
            fc: nn::Linear::new(512, num_classes),
        }
    }
}

impl Forward for ResNet {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.relu.call(&self.bn1.call(&self.conv1.call(x)));
        let x = self.maxpool.call(&x);
        let x = self.layer1.call(&x);
        let x = self.layer2.call(&x);
        let x = self.layer3.call(&x);
        let x = self.layer4.call(&x);
        let x = self.avgpool.call(&x).flatten(1, -1);
        self.fc.call(&x)
    }
}
