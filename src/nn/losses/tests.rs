use super::*;
use crate::engine::Device;

const X: [f32; 12] = [1.5, -0.25, -2.125, 0.625, -1.125, -1.375, 0.375, 0.875, -0.75, -0.375, -0.625, 0.125];
const Y: [f32; 12] = [-0.875, 1.125, -1.125, 0.125, -0.625, 0.375, -0.875, -1.5, 0.375, 1.5, 1.0, 0.75];
const Z: [f32; 12] = [0.25, 1.25, -1.25, -0.75, -0.0, -0.75, 0.5, -1.375, 0.25, 0.5, -2.25, 0.25];
const P: [f32; 12] = [0.125, 0.25, 0.5, 0.75, 0.875, 0.375, 0.625, 0.5, 0.25, 0.75, 0.125, 0.875];
const T: [f32; 12] = [0.0, 1.0, 1.0, 0.0, 1.0, 0.5, 0.25, 0.0, 1.0, 1.0, 0.0, 0.0];
const S: [f32; 12] = [1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0];
const N: [f32; 12] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 0.0, 7.0, 1.0, 2.0];
const V: [f32; 12] = [1e-09, 0.25, 0.5, 0.75, 0.875, 0.375, 0.625, 0.5, 0.25, 0.75, 0.125, 0.875];

/// A loss with its arguments, and what PyTorch 2.15 gives (f64): the loss, and the sum of each tensor's gradients times 1, 2, 3, ….
type Line = (&'static str, fn(&Inputs) -> (Tensor, Vec<Tensor>), f32, &'static [f32]);

const LINES: &[Line] = &[
    ("mse", |i| (MSELoss::new().loss(&i.x, &i.y), vec![i.x.clone(), i.y.clone()]), 2.259_114_5, &[-6.8125, 6.8125]),
    (
        "l1 sum",
        |i| (L1Loss::new().reduction(Reduction::Sum).loss(&i.x, &i.y), vec![i.x.clone(), i.y.clone()]),
        16.375,
        &[-38.0, 38.0],
    ),
    (
        "smooth",
        |i| (SmoothL1Loss::new().beta(0.5).loss(&i.x, &i.y), vec![i.x.clone(), i.y.clone()]),
        1.114_583_4,
        &[-3.166_666_7, 3.166_666_7],
    ),
    (
        "smooth 0",
        |i| (SmoothL1Loss::new().beta(0.0).loss(&i.x, &i.y), vec![i.x.clone(), i.y.clone()]),
        1.364_583_4,
        &[-3.166_666_7, 3.166_666_7],
    ),
    (
        "huber",
        |i| (HuberLoss::new().delta(0.7).loss(&i.x, &i.y), vec![i.x.clone(), i.y.clone()]),
        0.713_776_05,
        &[-2.125, 2.125],
    ),
    (
        "bce",
        |i| (BCELoss::new().weight(&i.w).loss(&i.p, &i.t), vec![i.p.clone(), i.t.clone()]),
        0.695_415_56,
        &[-1.631_746, 0.041_411_284],
    ),
    (
        "bce logits",
        |i| (BCEWithLogitsLoss::new().weight(&i.w).pos_weight(&i.w).loss(&i.x, &i.t), vec![i.x.clone(), i.t.clone()]),
        1.336_544_4,
        &[-2.618_671_7, 6.012_511_3],
    ),
    (
        "kl",
        |i| (KLDivLoss::new().reduction(KlDivReduction::BatchMean).loss(&i.x, &i.p), vec![i.x.clone(), i.p.clone()]),
        -0.499_515_35,
        &[-13.916_667, 12.566_753],
    ),
    (
        "kl log",
        |i| (KLDivLoss::new().log_target(true).loss(&i.x, &i.y), vec![i.x.clone(), i.y.clone()]),
        1.712_212_3,
        &[-11.784_174, 26.629_759],
    ),
    ("nll", |i| (NLLLoss::new().weight(&i.w).loss(&i.x, &i.c), vec![i.x.clone()]), 1.517_857_2, &[-4.857_143]),
    (
        "poisson",
        |i| (PoissonNLLLoss::new().loss(&i.x, &i.n), vec![i.x.clone(), i.n.clone()]),
        2.448_549_5,
        &[-10.0836113, 1.916_666_6],
    ),
    (
        "poisson full",
        |i| (PoissonNLLLoss::new().log_input(false).full(true).loss(&i.p, &i.n), vec![i.p.clone()]),
        3.454_28,
        &[-26.068_253],
    ),
    (
        "gauss",
        |i| (GaussianNLLLoss::new().full(true).loss(&i.x, &i.y, &i.p), vec![i.x.clone(), i.y.clone(), i.p.clone()]),
        5.000_808,
        &[-15.938_492, 15.938_492, -110.777_26],
    ),
    (
        "gauss raised",
        |i| (GaussianNLLLoss::new().eps(0.2).loss(&i.x, &i.y, &i.v), vec![i.x.clone(), i.y.clone(), i.v.clone()]),
        3.085_880_3,
        &[-12.063_492, 12.063_492, -55.910_076],
    ),
    (
        "cosine",
        |i| (CosineEmbeddingLoss::new().margin(0.1).loss(&i.x, &i.y, &i.r), vec![i.x.clone(), i.y.clone()]),
        0.273_687_8,
        &[0.078_494_54, 0.168_968_86],
    ),
    (
        "triplet",
        |i| (TripletMarginLoss::new().swap(true).loss(&i.x, &i.y, &i.z), vec![i.x.clone(), i.y.clone(), i.z.clone()]),
        2.191_585_8,
        &[-4.890_212, 5.764_131, -0.873_918_8],
    ),
    (
        "triplet p",
        |i| {
            (
                TripletMarginLoss::new().p(3.0).margin(2.5).reduction(Reduction::Sum).loss(&i.x, &i.y, &i.z),
                vec![i.x.clone(), i.y.clone(), i.z.clone()],
            )
        },
        8.935979,
        &[-20.058_899, 10.073_767, 9.985_132],
    ),
    (
        "triplet inf",
        |i| {
            (
                TripletMarginLoss::new().p(f64::INFINITY).margin(2.5).loss(&i.x, &i.y, &i.z),
                vec![i.x.clone(), i.y.clone(), i.z.clone()],
            )
        },
        2.916_666_7,
        &[-6.0, 0.333_333_34, 5.666_666_5],
    ),
    (
        "hinge",
        |i| (HingeEmbeddingLoss::new().margin(1.25).loss(&i.x, &i.s), vec![i.x.clone()]),
        0.635_416_7,
        &[1.333_333_4],
    ),
    (
        "ranking",
        |i| (MarginRankingLoss::new().margin(0.3).loss(&i.x, &i.y, &i.s), vec![i.x.clone(), i.y.clone()]),
        0.6875,
        &[-2.25, 2.25],
    ),
    ("soft", |i| (SoftMarginLoss::new().loss(&i.x, &i.s), vec![i.x.clone()]), 0.753_608_35, &[-1.081_641_8]),
    (
        "multi",
        |i| (MultiMarginLoss::new().weight(&i.w).loss(&i.x, &i.c), vec![i.x.clone()]),
        1.216_145_9,
        &[-0.041_666_668],
    ),
    (
        "multi 2",
        |i| (MultiMarginLoss::new().p(2).margin(0.3).reduction(Reduction::None).loss(&i.x, &i.c), vec![i.x.clone()]),
        9.492_812,
        &[1.7875],
    ),
    (
        "multilabel",
        |i| (MultiLabelSoftMarginLoss::new().weight(&i.w).loss(&i.x, &i.t), vec![i.x.clone()]),
        0.968_812_5,
        &[-1.250_391_4],
    ),
];

/// Leaves of the shape `[3, 4]`, class numbers `c`, targets `r` of rows, weights `w`.
struct Inputs {
    x: Tensor,
    y: Tensor,
    z: Tensor,
    p: Tensor,
    t: Tensor,
    s: Tensor,
    n: Tensor,
    v: Tensor,
    c: Tensor,
    r: Tensor,
    w: Tensor,
}

impl Inputs {
    fn new() -> Inputs {
        let leaf = |values: &[f32; 12]| Tensor::from_slice(values, &[3, 4]).requires_grad();
        Inputs {
            x: leaf(&X),
            y: leaf(&Y),
            z: leaf(&Z),
            p: leaf(&P),
            t: leaf(&T),
            s: leaf(&S),
            n: leaf(&N),
            v: leaf(&V),
            c: Tensor::from_slice(&[2, 0, 3], &[3]),
            r: Tensor::from_slice(&[1.0f32, -1.0, -1.0], &[3]),
            w: Tensor::from_slice(&[0.5f32, 2.0, 1.0, 0.25], &[4]),
        }
    }
}

fn close(got: f32, want: f32) -> bool {
    (got - want).abs() <= 1e-5 * want.abs() + 1e-5
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    Device::reference().scope(|| {
        for (name, run, value, gradients) in LINES {
            let (loss, leaves) = run(&Inputs::new());
            let loss = loss.sum();
            let got = loss.item::<f32>().unwrap();
            assert!(close(got, *value), "{name}: {got}, not {value}");
            loss.backward().unwrap();
            for (leaf, want) in leaves.iter().zip(*gradients) {
                let g = leaf.grad().unwrap().to_vec::<f32>().unwrap();
                let got: f32 = (1..).zip(g).map(|(i, g)| i as f32 * g).sum();
                assert!(close(got, *want), "gradient of {name}: {got}, not {want}");
            }
        }
    });
}

#[test]
fn weights_are_buffers_under_pytorchs_names() {
    Device::reference().scope(|| {
        let w = Tensor::ones(&[4]);
        let names = |module: &dyn Module| module.named_buffers().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(names(&BCEWithLogitsLoss::new().weight(&w).pos_weight(&w)), ["weight", "pos_weight"]);
        assert_eq!(names(&NLLLoss::new().weight(&w)), ["weight"]);
        assert!(names(&BCELoss::new()).is_empty());
    });
}

#[test]
fn losses_are_called_with_tuples() {
    Device::reference().scope(|| {
        let (a, b) = (Tensor::ones(&[2, 3]), Tensor::zeros(&[2, 3]));
        assert_eq!(MSELoss::new().call(&(a.clone(), b.clone())).item::<f32>().unwrap(), 1.0);
        let loss = TripletMarginLoss::new().call(&(a.clone(), b.clone(), a));
        assert!((loss.item::<f32>().unwrap() - (1.0 + 3f32.sqrt())).abs() < 1e-5);
    });
}

#[test]
fn impossible_arguments_are_refused() {
    Device::reference().scope(|| {
        let x = Tensor::zeros(&[3, 4]);
        let row = Tensor::zeros(&[4]);
        assert!(x.try_binary_cross_entropy(&row).is_err());
        assert!(x.try_binary_cross_entropy_with_logits(&row).is_err());
        assert!(x.try_mse_loss(&Tensor::zeros(&[3])).is_err());
        assert!(x.try_smooth_l1_loss_with(&x, &SmoothL1LossOptions { beta: -1.0, ..Default::default() }).is_err());
        assert!(x.try_huber_loss_with(&x, &HuberLossOptions { delta: 0.0, ..Default::default() }).is_err());
        let margin = TripletMarginLossOptions { margin: 0.0, ..Default::default() };
        assert!(x.try_triplet_margin_loss_with(&x, &x, &margin).is_err());
        assert!(x.try_triplet_margin_loss(&x, &row).is_err());
        let power = TripletMarginLossOptions { p: 0.0, ..Default::default() };
        assert!(x.try_triplet_margin_loss_with(&x, &x, &power).is_err());
        assert!(x.try_cosine_embedding_loss(&x, &x, 0.0, Reduction::Mean).is_err());
        assert!(x.try_multi_margin_loss(&Tensor::from_slice(&[0, 1, 2], &[3]), 3, 1.0, None, Reduction::Mean).is_err());
        assert!(x.try_gaussian_nll_loss(&x, &Tensor::zeros(&[2, 4])).is_err());
        // A weight that is trained would need a gradient that PyTorch does not have either.
        let weight = Tensor::ones(&[4]).requires_grad();
        let options = BinaryCrossEntropyWithLogitsOptions { weight: Some(&weight), ..Default::default() };
        let loss = x.requires_grad().binary_cross_entropy_with_logits_with(&Tensor::ones(&[3, 4]), &options);
        assert!(loss.backward().is_err());
    });
}

#[test]
fn a_negative_variance_gives_nan() {
    Device::reference().scope(|| {
        let x = Tensor::zeros(&[1]);
        assert!(x.gaussian_nll_loss(&x, &Tensor::full(&[1], -1.0)).item::<f32>().unwrap().is_nan());
    });
}

/// PyTorch gives inf, and gradients of 0; variances below the least one count as it and pass their gradient on.
#[test]
fn an_infinite_variance_gives_infinity() {
    for device in [Device::reference(), Device::current()] {
        device.scope(|| {
            let [x, target] =
                [[1.0f32, 1.0, 3.0], [2.0, 2.0, 1.0]].map(|v| Tensor::from_slice(&v, &[3]).requires_grad());
            let variance = Tensor::from_slice(&[f32::INFINITY, 0.25, 0.5], &[3]).requires_grad();
            let options = GaussianNllLossOptions { eps: 0.5, reduction: Reduction::None, full: false };
            let losses = x.gaussian_nll_loss_with(&target, &variance, &options);
            losses.sum().backward().unwrap();
            let losses = losses.to_vec::<f32>().unwrap();
            let half = 0.5 * 0.5f32.ln();
            assert!(losses[0] == f32::INFINITY && (losses[1] - half - 1.0).abs() < 1e-6, "{losses:?}");
            assert!((losses[2] - half - 4.0).abs() < 1e-6, "{losses:?}");
            let grad = |t: &Tensor| t.grad().unwrap().to_vec::<f32>().unwrap();
            assert_eq!(grad(&x), [0.0, -2.0, 4.0]);
            assert_eq!(grad(&target), [0.0, 2.0, -4.0]);
            assert_eq!(grad(&variance), [0.0, -1.0, -7.0]);
        });
    }
}

#[test]
fn a_mean_and_its_gradient_are_a_dispatch_each() {
    let device = Device::new_reference(true);
    device.scope(|| {
        let x = Tensor::ones(&[8, 10]).requires_grad();
        let target = Tensor::zeros(&[8, 10]);
        let before = device.counters().dispatches;
        let loss = x.mse_loss(&target);
        assert_eq!(device.counters().dispatches - before, 1);
        loss.backward().unwrap();
        // The gradient of the loss itself, a one, is another.
        assert_eq!(device.counters().dispatches - before, 3);
        assert_eq!(x.grad().unwrap().to_vec::<f32>().unwrap(), [0.025; 80]);
    });
}
