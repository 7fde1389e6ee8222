//! A layer of one's own: a fully connected layer whose weight vectors have length 1, and a network of two of them that
//! learns to tell three spirals apart.
//!
//!     cargo run --release --example custom_layer
//!
//! In PyTorch the layer is
//!
//! ```python
//! class CustomLinear(nn.Module):
//!     def __init__(self, in_features, out_features):
//!         super().__init__()
//!         self.weight = nn.Parameter(torch.Tensor(out_features, in_features))
//!         self.bias = nn.Parameter(torch.Tensor(out_features))
//!         self.reset_parameters()
//!
//!     def reset_parameters(self):
//!         nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
//!         fan_in, _ = nn.init._calculate_fan_in_and_fan_out(self.weight)
//!         bound = 1 / math.sqrt(fan_in)
//!         nn.init.uniform_(self.bias, -bound, bound)
//!
//!     def forward(self, input):
//!         weight = nn.functional.normalize(self.weight, dim=1)
//!         return nn.functional.linear(input, weight, self.bias)
//! ```

use lumigrad::nn::init::{self, FanMode, Nonlinearity};
use lumigrad::{nn, optim, prelude::*};

/// `y = x·Vᵀ + b`, where the rows of V are those of the weight, divided by their lengths.
#[derive(Module)]
struct CustomLinear {
    weight: Parameter,
    bias: Parameter,
}

impl CustomLinear {
    fn new(in_features: usize, out_features: usize) -> Result<Self> {
        let weight = Parameter::new(Tensor::zeros(&[out_features, in_features]));
        let bias = Parameter::new(Tensor::zeros(&[out_features]));
        let layer = CustomLinear { weight, bias };
        layer.reset_parameters()?;
        Ok(layer)
    }

    fn reset_parameters(&self) -> Result<()> {
        init::kaiming_uniform_(&self.weight, 5f64.sqrt(), FanMode::FanIn, Nonlinearity::LeakyRelu)?;
        let (fan_in, _) = init::calculate_fan_in_and_fan_out(&self.weight.shape())?;
        let bound = 1.0 / (fan_in as f64).sqrt();
        init::uniform_(&self.bias, -bound, bound)
    }
}

impl Forward for CustomLinear {
    type Output = Tensor;

    fn forward(&self, input: &Tensor) -> Tensor {
        let weight = self.weight.get().normalize(2.0, 1, 1e-12);
        input.linear(&weight, Some(&self.bias.get()))
    }
}

#[derive(Module)]
struct Net {
    fc1: CustomLinear,
    norm: nn::BatchNorm1d,
    fc2: CustomLinear,
}

impl Forward for Net {
    type Output = Tensor;

    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.call(&self.norm.call(&self.fc1.call(x)).relu())
    }
}

const CLASSES: usize = 3;
const POINTS: usize = 100;

/// Points of spirals that wind around each other, and the number of each one's spiral.
fn spirals() -> (Tensor, Tensor) {
    let (mut points, mut labels) = (Vec::new(), Vec::new());
    for class in 0..CLASSES {
        for i in 0..POINTS {
            let radius = (i + 1) as f32 / POINTS as f32;
            let angle = 4.0 * radius + class as f32 * std::f32::consts::TAU / CLASSES as f32;
            points.extend([radius * angle.sin(), radius * angle.cos()]);
            labels.push(class as i32);
        }
    }
    (Tensor::from_slice(&points, &[CLASSES * POINTS, 2]), Tensor::from_slice(&labels, &[CLASSES * POINTS]))
}

fn main() -> Result<()> {
    let device = Device::current();
    device.manual_seed(0);
    let (x, labels) = spirals();
    let net =
        Net { fc1: CustomLinear::new(2, 64)?, norm: nn::BatchNorm1d::new(64), fc2: CustomLinear::new(64, CLASSES)? };
    let mut optimizer = optim::Adam::new(net.parameters(), 0.02);
    println!("{} parameters on {device}", net.num_parameters());
    for step in 1..=200 {
        let loss = net.call(&x).cross_entropy(&labels);
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        if step == 1 || step % 50 == 0 {
            println!("step {step:>3}: loss {:.4}", loss.item::<f32>()?);
        }
    }
    net.eval();
    let guesses = no_grad(|| net.call(&x)).argmax(Some(1), false);
    let right = guesses.eq(&labels).to_dtype(DType::F32).mean().item::<f32>()?;
    println!("{:.1} % are told right", 100.0 * right);
    Ok(())
}
