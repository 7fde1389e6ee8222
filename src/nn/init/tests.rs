use super::*;
use crate::engine::Device;
use crate::optim::{Optimizer, SGD};

fn zeros(shape: &[usize]) -> Parameter {
    Parameter::new(Tensor::full_on(shape, 0.0, crate::DType::F32, &Device::reference()))
}

fn values(p: &Parameter) -> Vec<f32> {
    p.get().to_vec().unwrap()
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Mean and deviation within six standard errors; `kurtosis` is that of the distribution.
fn assert_moments(values: &[f32], mean: f64, std: f64, kurtosis: f64) {
    let n = values.len() as f64;
    let (got_mean, got_std) = moments(values);
    assert!((got_mean - mean).abs() < 6.0 * std / n.sqrt(), "mean {got_mean}, expected {mean}");
    let error = std * ((kurtosis - 1.0) / n).sqrt() / 2.0;
    assert!((got_std - std).abs() < 6.0 * error, "deviation {got_std}, expected {std}");
}

const NORMAL: f64 = 3.0;
const UNIFORM: f64 = 1.8;

#[test]
fn uniforms_and_normals_have_the_moments_that_they_should() {
    let p = zeros(&[100, 200]);
    uniform_(&p, -1.0, 3.0).unwrap();
    assert_moments(&values(&p), 1.0, 4.0 / 12f64.sqrt(), UNIFORM);
    normal_(&p, -2.0, 0.5).unwrap();
    assert_moments(&values(&p), -2.0, 0.5, NORMAL);
    constant_(&p, 1.5).unwrap();
    assert!(values(&p).iter().all(|&v| v == 1.5));
    ones_(&p).unwrap();
    assert!(values(&p).iter().all(|&v| v == 1.0));
    zeros_(&p).unwrap();
    assert!(values(&p).iter().all(|&v| v == 0.0));
    assert!(uniform_(&p, 1.0, 0.0).is_err());
    assert!(normal_(&p, 0.0, -1.0).is_err());
}

#[test]
fn xavier_and_kaiming_scale_by_the_fans() {
    // fan in 50·9 = 450, fan out 20·9 = 180
    let p = zeros(&[20, 50, 3, 3]);
    let bound = |values: &[f32]| values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let assert_uniform = |expected: f64| {
        let v = values(&p);
        assert!(f64::from(bound(&v)) <= expected && f64::from(bound(&v)) > 0.99 * expected);
        assert_moments(&v, 0.0, expected / 3f64.sqrt(), UNIFORM);
    };
    xavier_uniform_(&p, 2.0).unwrap();
    assert_uniform(2.0 * (6.0f64 / 630.0).sqrt());
    xavier_normal_(&p, 0.5).unwrap();
    assert_moments(&values(&p), 0.0, 0.5 * (2.0f64 / 630.0).sqrt(), NORMAL);
    kaiming_uniform_(&p, 5f64.sqrt(), FanMode::FanIn, Nonlinearity::LeakyRelu).unwrap();
    assert_uniform(1.0 / 450f64.sqrt());
    kaiming_normal_(&p, 0.0, FanMode::FanOut, Nonlinearity::Relu).unwrap();
    assert_moments(&values(&p), 0.0, (2.0f64 / 180.0).sqrt(), NORMAL);
    assert!(xavier_uniform_(&zeros(&[3]), 1.0).is_err());
    assert!(kaiming_normal_(&zeros(&[]), 0.0, FanMode::FanIn, Nonlinearity::Relu).is_err());
    // Nothing to fill, and nothing to divide by.
    kaiming_uniform_(&zeros(&[3, 0]), 0.0, FanMode::FanIn, Nonlinearity::Relu).unwrap();
}

#[test]
fn gains_are_those_of_pytorch() {
    use Nonlinearity::{LeakyRelu, Linear, Relu, Selu, Sigmoid, Tanh};
    for (nonlinearity, gain) in [(Linear, 1.0), (Sigmoid, 1.0), (Tanh, 5.0 / 3.0), (Relu, 2f64.sqrt()), (Selu, 0.75)] {
        assert_eq!(calculate_gain(nonlinearity, None), gain);
    }
    assert!((calculate_gain(LeakyRelu, None) - 1.414_142_856_997_835_4).abs() < 1e-12);
    assert!((calculate_gain(LeakyRelu, Some(5f64.sqrt())) - (1.0f64 / 3.0).sqrt()).abs() < 1e-15);
}

#[test]
fn truncated_normals_stay_inside_and_keep_their_shape() {
    let p = zeros(&[40_000]);
    trunc_normal_(&p, 0.0, 1.0, -2.0, 2.0).unwrap();
    let v = values(&p);
    assert!(v.iter().all(|v| v.abs() <= 2.0));
    // Of a normal cut at two deviations: variance 1 − 4φ(2)/(2Φ(2) − 1).
    assert_moments(&v, 0.0, 0.879_596_5, 2.4);
    // Cut far from its mean: an exponential tail of mean a + 1/a − 2/a³ + 10/a⁵ − … = 3.2831 at a = 3.
    trunc_normal_(&p, 0.0, 1.0, 3.0, 9.0).unwrap();
    let v = values(&p);
    assert!(v.iter().all(|&v| v >= 3.0));
    assert!((moments(&v).0 - 3.2831).abs() < 0.01, "{}", moments(&v).0);
    trunc_normal_(&p, 5.0, 2.0, f64::NEG_INFINITY, f64::INFINITY).unwrap();
    assert_moments(&values(&p), 5.0, 2.0, NORMAL);
    for (std, a, b) in [(0.0, -1.0, 1.0), (1.0, 1.0, -1.0), (1.0, 9.0, f64::INFINITY), (1.0, f64::NAN, 1.0)] {
        assert!(trunc_normal_(&p, 0.0, std, a, b).is_err());
    }
}

#[test]
fn orthogonal_matrices_are_orthogonal() {
    for shape in [&[7usize, 7][..], &[20, 5], &[5, 20], &[4, 3, 5], &[1, 1]] {
        let p = zeros(shape);
        orthogonal_(&p, 1.5).unwrap();
        let rows = shape[0];
        let columns: usize = shape[1..].iter().product();
        let m = values(&p);
        let at = |i: usize, k: usize| f64::from(if rows <= columns { m[i * columns + k] } else { m[k * columns + i] });
        for i in 0..rows.min(columns) {
            for j in 0..rows.min(columns) {
                let product: f64 = (0..rows.max(columns)).map(|k| at(i, k) * at(j, k)).sum();
                let expected = if i == j { 2.25 } else { 0.0 };
                assert!((product - expected).abs() < 1e-6, "{shape:?}: {product}");
            }
        }
    }
    assert!(orthogonal_(&zeros(&[3]), 1.0).is_err());
    orthogonal_(&zeros(&[0, 3]), 1.0).unwrap();
    // Evenly spread: of many 1×1 matrices half are −1.
    let p = zeros(&[1, 1]);
    let negative = (0..200).filter(|_| orthogonal_(&p, 1.0).is_ok() && values(&p)[0] < 0.0).count();
    assert!((60..140).contains(&negative), "{negative} of 200");
}

#[test]
fn matrices_of_zeros_and_ones() {
    let p = zeros(&[2, 3]);
    eye_(&p).unwrap();
    assert_eq!(values(&p), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    assert!(eye_(&zeros(&[2])).is_err());
    // What PyTorch gives for two groups of two outputs each, of which only one input is left.
    let p = zeros(&[4, 1, 3]);
    dirac_(&p, 2).unwrap();
    assert_eq!(values(&p), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let p = zeros(&[2, 2, 3, 2]);
    dirac_(&p, 1).unwrap();
    let ones: Vec<usize> = (0..24).filter(|&i| values(&p)[i] == 1.0).collect();
    assert_eq!(ones, [3, 21]);
    assert!(dirac_(&zeros(&[3, 1, 1]), 2).is_err());
    assert!(dirac_(&zeros(&[3, 1]), 1).is_err());
}

#[test]
fn sparse_columns_have_their_zeros() {
    let p = zeros(&[50, 40]);
    sparse_(&p, 0.31, 0.01).unwrap();
    let v = values(&p);
    for column in 0..40 {
        assert_eq!((0..50).filter(|row| v[row * 40 + column] == 0.0).count(), 16);
    }
    let rest: Vec<f32> = v.iter().copied().filter(|&v| v != 0.0).collect();
    assert_moments(&rest, 0.0, 0.01, NORMAL);
    let first_rows: Vec<usize> = (0..40).map(|c| (0..50).find(|r| v[r * 40 + c] == 0.0).unwrap()).collect();
    assert!(first_rows.iter().any(|&r| r != first_rows[0]), "every column has its own zeros");
    assert!(sparse_(&p, 1.5, 0.01).is_err());
    assert!(sparse_(&p, 0.5, -0.01).is_err());
}

#[test]
fn the_same_seed_gives_the_same_values_and_another_call_others() {
    type Init = fn(&Parameter) -> Result<()>;
    let inits: [Init; 4] = [
        |p| uniform_(p, 0.0, 1.0),
        |p| trunc_normal_(p, 0.0, 1.0, -2.0, 2.0),
        |p| orthogonal_(p, 1.0),
        |p| sparse_(p, 0.5, 1.0),
    ];
    let device = Device::new_reference(true);
    let p = Parameter::new(Tensor::full_on(&[4, 5], 0.0, crate::DType::F32, &device));
    for init in inits {
        device.manual_seed(11);
        init(&p).unwrap();
        let first = values(&p);
        init(&p).unwrap();
        let second = values(&p);
        device.manual_seed(11);
        init(&p).unwrap();
        assert_eq!(first, values(&p));
        assert_ne!(first, second);
    }
}

#[test]
fn a_parameter_in_an_optimisers_memory_is_written_there() {
    let p = zeros(&[2, 2]);
    let mut sgd = SGD::new([p.clone()], 0.5);
    p.get().sum().backward().unwrap();
    sgd.step().unwrap();
    ones_(&p).unwrap();
    sgd.zero_grad();
    p.get().sum().backward().unwrap();
    sgd.step().unwrap();
    assert_eq!(values(&p), [0.5; 4]);
    // A tensor of one's own, and a buffer.
    let tensor = p.get().detach().copy();
    eye_(&tensor).unwrap();
    assert_eq!(tensor.to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, 1.0]);
    let buffer = Buffer::new(tensor);
    ones_(&buffer).unwrap();
    assert_eq!(buffer.get().to_vec::<f32>().unwrap(), [1.0; 4]);
}
