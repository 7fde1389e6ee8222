//! Padding, pooling and resampling against values and gradients from PyTorch 2.15 in float64, on the reference: what the
//! recorded calls in `goldens` have no calls of.

use lumigrad::autograd::Backward;
use lumigrad::{
    AvgPoolOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions, MaxUnpoolOptions, PadMode, nn, prelude::*,
};

/// Name, the input's shape, the call, and the result's shape, values and gradient of the input.
type Recorded =
    (&'static str, &'static [usize], fn(&Tensor) -> Tensor, &'static [usize], &'static [f32], &'static [f32]);

fn unpooled(x: &Tensor) -> Tensor {
    let (y, indices) = x.max_pool2d_with_indices(2, &MaxPoolOptions::new());
    y.max_unpool2d(&indices, 2, &MaxUnpoolOptions::new().output_size([4, 5]))
}

#[rustfmt::skip]
const CALLS: &[Recorded] = &[
    (
        "max_pool1d",
        &[2, 7],
        |x| x.max_pool1d_with(3, &MaxPoolOptions::new().stride(2).padding(1).ceil_mode(true)),
        &[2, 4],
        &[1.125, 2.875, 2.875, 2.75, 0.875, 2.625, 2.5, 2.5],
        &[0.0, 0.5, 0.0, 10.0, 0.0, 0.0, 2.5, 5.5, 0.0, 1.5, 0.0, 0.0, 5.0, 0.0],
    ),
    (
        "max_pool1d, dilated",
        &[1, 2, 9],
        |x| x.max_pool1d_with(3, &MaxPoolOptions::new().stride(1).dilation(2)),
        &[1, 2, 5],
        &[1.0, 2.875, 2.75, 2.875, 2.75, 2.625, 4.25, 2.375, 4.25, 4.125],
        &[0.0, 0.0, 0.0, 6.0, 0.5, 0.0, 12.0, 0.0, 0.0, 1.5, 0.0, 0.0, 0.0, 0.0, 8.0, 0.5, 0.0, 6.5],
    ),
    (
        "avg_pool1d",
        &[2, 7],
        |x| x.avg_pool1d_with(3, &AvgPoolOptions::new().stride(2).padding(1).ceil_mode(true)),
        &[2, 4],
        &[-0.458333, 1.083333, 1.0, 0.625, -0.041667, 0.791667, 0.708333, 1.041667],
        &[0.166667, 1.333333, 1.166667, 3.333333, 2.166667, 3.0, 0.833333, 1.833333, 2.333333, 0.5, 2.0, 1.5, 1.666667, 0.166667],
    ),
    (
        "avg_pool1d, padding does not count",
        &[2, 8],
        |x| x.avg_pool1d_with(3, &AvgPoolOptions::new().stride(2).padding(1).ceil_mode(true).count_include_pad(false)),
        &[2, 5],
        &[-0.6875, 1.083333, 1.0, 0.916667, 0.875, 0.8125, 0.75, 0.666667, 2.416667, 2.375],
        &[0.25, 1.416667, 1.166667, 3.333333, 2.166667, 3.0, 0.833333, 6.333333, 0.75, 2.25, 1.5, 1.666667, 0.166667, 1.333333, 1.166667, 7.666667],
    ),
    (
        "avg_pool2d, ceil",
        &[1, 4, 5],
        |x| x.avg_pool2d_with(3, &AvgPoolOptions::new().stride(2).padding(1).ceil_mode(true)),
        &[1, 3, 3],
        &[0.055556, 0.652778, 0.611111, 0.486111, 1.277778, 1.013889, 0.479167, 1.145833, 0.4375],
        &[0.055556, 0.444444, 0.388889, 1.111111, 0.722222, 0.333333, 1.333333, 1.0, 1.888889, 0.888889, 0.277778, 0.888889, 0.611111, 0.777778, 0.166667, 1.027778, 1.722222, 0.694444, 1.444444, 0.75],
    ),
    (
        "adaptive_avg_pool1d",
        &[2, 7],
        |x| x.adaptive_avg_pool1d(3),
        &[2, 3],
        &[-0.708333, 1.041667, 0.958333, 0.833333, 0.75, 0.666667],
        &[0.166667, 0.166667, 1.333333, 1.166667, 3.333333, 2.166667, 2.166667, 0.833333, 0.833333, 2.666667, 1.833333, 2.333333, 0.5, 0.5],
    ),
    (
        "adaptive_max_pool1d",
        &[2, 7],
        |x| x.adaptive_max_pool1d(4),
        &[2, 4],
        &[1.125, 2.875, 2.875, 2.75, 0.875, 2.625, 2.5, 2.5],
        &[0.0, 0.5, 0.0, 10.0, 0.0, 0.0, 2.5, 5.5, 0.0, 1.5, 0.0, 0.0, 5.0, 0.0],
    ),
    (
        "adaptive_max_pool2d",
        &[1, 5, 4],
        |x| x.adaptive_max_pool2d([Some(3), None]),
        &[1, 3, 4],
        &[1.0, 1.125, 2.75, 2.875, 2.5, 2.625, 4.25, 2.375, 2.5, 4.125, 4.25, 2.375],
        &[0.0, 3.5, 0.0, 2.5, 0.5, 0.0, 6.5, 0.0, 0.0, 1.5, 0.0, 0.0, 9.0, 0.0, 7.0, 6.0, 0.0, 6.5, 0.0, 0.0],
    ),
    (
        "adaptive_max_pool2d to more",
        &[1, 2, 3],
        |x| x.adaptive_max_pool2d((3, 5)),
        &[1, 3, 5],
        &[-2.5, 1.125, 1.125, 1.125, -0.75, 2.875, 2.875, 1.125, 1.125, -0.75, 2.875, 2.875, 1.0, 1.0, -0.875],
        &[0.5, 16.5, 12.0, 14.0, 6.0, 0.5],
    ),
    (
        "max_unpool2d",
        &[1, 1, 4, 5],
        |x| unpooled(x),
        &[1, 1, 4, 5],
        &[0.0, 0.0, 0.0, 2.875, 0.0, 0.0, 2.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.375, 0.0, 4.125, 0.0, 0.0],
        &[0.0, 0.0, 0.0, 2.5, 0.0, 0.0, 4.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.5, 0.0, 2.5, 0.0, 0.0],
    ),
    (
        "pixel_shuffle",
        &[1, 8, 1, 2],
        |x| x.pixel_shuffle(2),
        &[1, 2, 2, 4],
        &[-2.5, -0.75, 1.125, 2.875, 1.0, 2.75, -0.875, 0.875, -1.0, 0.75, 2.625, -1.125, 2.5, 4.25, 0.625, 2.375],
        &[0.5, 6.5, 3.5, 2.5, 5.5, 4.5, 1.5, 0.5, 3.5, 2.5, 6.5, 5.5, 1.5, 0.5, 4.5, 3.5],
    ),
    (
        "pixel_unshuffle",
        &[2, 2, 4],
        |x| x.pixel_unshuffle(2),
        &[8, 1, 2],
        &[-2.5, -0.75, 1.125, 2.875, 1.0, 2.75, -0.875, 0.875, -1.0, 0.75, 2.625, -1.125, 2.5, 4.25, 0.625, 2.375],
        &[0.5, 6.5, 3.5, 2.5, 5.5, 4.5, 1.5, 0.5, 3.5, 2.5, 6.5, 5.5, 1.5, 0.5, 4.5, 3.5],
    ),
    (
        "nearest to a size",
        &[1, 1, 3, 5],
        |x| x.interpolate(&InterpolateOptions::new().size([5, 4]).mode(InterpolateMode::Nearest)),
        &[1, 1, 5, 4],
        &[-2.5, 1.125, -0.75, 2.875, -2.5, 1.125, -0.75, 2.875, -0.875, 2.75, 0.875, -1.0, -0.875, 2.75, 0.875, -1.0, 0.75, -1.125, 2.5, 0.625],
        &[6.0, 5.0, 11.0, 3.0, 0.0, 5.0, 11.0, 3.0, 9.0, 0.0, 6.5, 2.5, 5.5, 1.5, 0.0],
    ),
    (
        "nearest by factors",
        &[1, 1, 3, 5],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.7, 0.7]).mode(InterpolateMode::Nearest)),
        &[1, 1, 5, 3],
        &[-2.5, 1.125, -0.75, -2.5, 1.125, -0.75, -0.875, 2.75, 0.875, -0.875, 2.75, 0.875, 0.75, -1.125, 2.5],
        &[3.0, 9.0, 8.0, 0.0, 0.0, 11.0, 3.0, 9.0, 0.0, 0.0, 1.5, 4.5, 0.5, 0.0, 0.0],
    ),
    (
        "nearest, factors worked out again",
        &[1, 1, 3, 5],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.7, 0.7]).mode(InterpolateMode::Nearest).recompute_scale_factor(true)),
        &[1, 1, 5, 3],
        &[-2.5, 1.125, 2.875, -2.5, 1.125, 2.875, -0.875, 2.75, -1.0, -0.875, 2.75, -1.0, 0.75, -1.125, 0.625],
        &[3.0, 9.0, 0.0, 8.0, 0.0, 11.0, 3.0, 0.0, 9.0, 0.0, 1.5, 4.5, 0.0, 0.5, 0.0],
    ),
    (
        "nearest-exact to a size",
        &[1, 1, 3, 5],
        |x| x.interpolate(&InterpolateOptions::new().size([5, 4]).mode(InterpolateMode::NearestExact)),
        &[1, 1, 5, 4],
        &[-2.5, 1.125, 2.875, 1.0, -2.5, 1.125, 2.875, 1.0, -0.875, 2.75, -1.0, 2.625, 0.75, -1.125, 0.625, 4.25, 0.75, -1.125, 0.625, 4.25],
        &[6.0, 5.0, 0.0, 11.0, 3.0, 3.5, 6.5, 0.0, 2.5, 5.5, 8.0, 7.0, 0.0, 6.0, 5.0],
    ),
    (
        "nearest-exact by factors",
        &[1, 1, 3, 5],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.7, 0.7]).mode(InterpolateMode::NearestExact)),
        &[1, 1, 5, 3],
        &[-2.5, -0.75, 2.875, -2.5, -0.75, 2.875, -0.875, 0.875, -1.0, 0.75, 2.5, 0.625, 0.75, 2.5, 0.625],
        &[3.0, 0.0, 9.0, 8.0, 0.0, 4.5, 0.0, 0.5, 3.5, 0.0, 8.0, 0.0, 7.0, 6.0, 0.0],
    ),
    (
        "bilinear to a size",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().size([5, 3]).mode(InterpolateMode::Bilinear)),
        &[1, 1, 5, 3],
        &[-1.895833, 0.1875, 2.270833, -0.8625, 0.4875, 1.8375, 0.6875, 0.9375, 1.1875, 0.0375, 1.3875, -0.0125, -0.395833, 1.6875, -0.8125],
        &[1.666667, 3.733333, 4.633333, 6.166667, 6.75, 3.2, 2.9, 5.25, 4.5, 3.9, 3.633333, 3.166667],
    ),
    (
        "bilinear by factors",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.7, 0.7]).mode(InterpolateMode::Bilinear)),
        &[1, 1, 5, 2],
        &[-1.723214, -0.080357, -0.835609, 0.506828, 0.529937, 1.410189, 0.139181, 1.435399, -0.223214, 1.419643],
        &[3.67437, 2.819328, 3.271008, 0.0, 7.706933, 3.042017, 1.692227, 0.0, 4.72584, 3.710084, 4.358193, 0.0],
    ),
    (
        "bilinear, aligned",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().size([5, 3]).mode(InterpolateMode::Bilinear).align_corners(true)),
        &[1, 1, 5, 3],
        &[-2.5, 0.1875, 2.875, -0.75, 0.5625, 1.875, 1.0, 0.9375, 0.875, 0.0, 1.3125, -0.125, -1.0, 1.6875, -1.125],
        &[1.75, 3.125, 3.125, 7.25, 9.0, 2.25, 2.25, 7.0, 4.75, 2.875, 2.875, 3.25],
    ),
    (
        "bilinear, factors worked out again",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.7, 0.7]).mode(InterpolateMode::Bilinear).recompute_scale_factor(true)),
        &[1, 1, 5, 2],
        &[-0.6875, 1.0625, -0.3875, 1.3625, 0.0625, 1.8125, 0.5125, 0.6125, 0.8125, -0.1875],
        &[2.2, 2.2, 2.5, 2.5, 4.95, 4.95, 1.35, 1.35, 3.1, 3.1, 3.4, 3.4],
    ),
    (
        "bicubic to a size",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().size([4, 3]).mode(InterpolateMode::Bicubic)),
        &[1, 1, 4, 3],
        &[-2.134903, 0.133667, 2.402237, -0.151894, 0.528191, 1.839099, 0.553429, 1.475967, 0.329404, -0.527237, 2.293968, -1.038863],
        &[0.2748, 3.399399, 4.500958, 5.568006, 3.682043, 3.127556, 2.796401, 2.090777, 6.908898, 2.55522, 2.319539, 5.776402],
    ),
    (
        "bicubic by factors",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.7, 0.7]).mode(InterpolateMode::Bicubic)),
        &[1, 1, 5, 2],
        &[-1.984109, -0.474123, -0.855896, 0.394958, 0.50964, 1.559599, 0.277618, 1.881953, -0.324253, 1.836416],
        &[3.23934, 3.135866, 4.04832, -0.599188, 8.230706, 3.038975, 1.247677, -0.219506, 4.238455, 4.112149, 5.313606, -0.786398],
    ),
    (
        "bicubic, aligned",
        &[1, 1, 3, 4],
        |x| x.interpolate(&InterpolateOptions::new().size([4, 3]).mode(InterpolateMode::Bicubic).align_corners(true)),
        &[1, 1, 4, 3],
        &[-2.5, 0.1875, 2.875, 0.12037, 0.560764, 1.726852, 0.759259, 1.419271, 0.023148, -1.0, 2.203125, -1.125],
        &[0.301794, 3.073206, 3.073206, 6.09809, 5.126157, 2.836806, 2.836806, 3.533565, 7.447049, 1.214988, 1.214988, 6.243345],
    ),
    (
        "linear to a size",
        &[1, 2, 5],
        |x| x.interpolate(&InterpolateOptions::new().size([8]).mode(InterpolateMode::Linear)),
        &[1, 2, 8],
        &[-2.5, -0.914062, 1.007812, -0.164062, 0.382812, 2.648438, 1.820312, 1.0, -0.875, 0.710938, 2.632812, 1.460938, 0.289062, -0.882812, 1.039062, 2.625],
        &[2.46875, 8.40625, 6.0, 5.09375, 3.03125, 7.15625, 6.90625, 5.25, 4.90625, 3.78125],
    ),
    (
        "linear by factors",
        &[1, 2, 5],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.3]).mode(InterpolateMode::Linear)),
        &[1, 2, 6],
        &[-2.5, -0.129808, 0.331731, -0.052885, 2.735577, 1.504808, -0.875, 1.495192, 1.956731, 0.514423, -0.927885, 1.649038],
        &[1.711538, 6.038462, 4.980769, 6.173077, 1.096154, 4.673077, 2.346154, 6.826923, 5.134615, 4.019231],
    ),
    (
        "linear, aligned",
        &[1, 2, 5],
        |x| x.interpolate(&InterpolateOptions::new().size([8]).mode(InterpolateMode::Linear).align_corners(true)),
        &[1, 2, 8],
        &[-2.5, -0.428571, 0.857143, -0.214286, 0.285714, 2.357143, 2.071429, 1.0, -0.875, 1.196429, 2.482143, 1.410714, 0.339286, -0.732143, 0.553571, 2.625],
        &[2.0, 8.285714, 6.857143, 5.428571, 2.428571, 6.285714, 7.428571, 6.0, 4.571429, 3.714286],
    ),
    (
        "trilinear to a size",
        &[1, 1, 2, 2, 3],
        |x| x.interpolate(&InterpolateOptions::new().size([3, 2, 4]).mode(InterpolateMode::Trilinear)),
        &[1, 1, 3, 2, 4],
        &[-2.5, -0.234375, 0.421875, -0.75, 2.875, 1.703125, 0.296875, -0.875, 0.125, 0.671875, 0.296875, -0.875, 2.75, 1.578125, 0.171875, -1.0, 2.75, 1.578125, 0.171875, -1.0, 2.625, 1.453125, 0.046875, -1.125],
        &[4.78125, 9.0625, 8.15625, 7.65625, 5.3125, 4.03125, 10.40625, 7.8125, 6.78125, 6.28125, 4.0625, 9.65625],
    ),
    (
        "trilinear by factors",
        &[1, 1, 2, 2, 3],
        |x| x.interpolate(&InterpolateOptions::new().scale_factor([1.5, 1.0, 2.2]).mode(InterpolateMode::Trilinear)),
        &[1, 1, 3, 2, 6],
        &[-2.5, -1.840909, -0.193182, 0.954545, 0.102273, -0.75, 2.875, 2.534091, 1.681818, 0.829545, -0.022727, -0.875, 0.125, 0.284091, 0.681818, 0.829545, -0.022727, -0.875, 2.75, 2.409091, 1.556818, 0.704545, -0.147727, -1.0, 2.75, 2.409091, 1.556818, 0.704545, -0.147727, -1.0, 2.625, 2.284091, 1.431818, 0.579545, -0.272727, -1.125],
        &[8.409091, 13.181818, 7.909091, 10.363636, 11.954545, 11.681818, 10.227273, 9.909091, 7.363636, 14.727273, 9.954545, 7.318182],
    ),
    (
        "trilinear, aligned",
        &[1, 1, 2, 2, 3],
        |x| x.interpolate(&InterpolateOptions::new().size([3, 2, 4]).mode(InterpolateMode::Trilinear).align_corners(true)),
        &[1, 1, 3, 2, 4],
        &[-2.5, -0.083333, 0.5, -0.75, 2.875, 1.625, 0.375, -0.875, 0.125, 0.708333, 0.375, -0.875, 2.75, 1.5, 0.25, -1.0, 2.75, 1.5, 0.25, -1.0, 2.625, 1.375, 0.125, -1.125],
        &[4.5, 9.666667, 7.833333, 7.5, 5.666667, 3.833333, 10.166667, 8.333333, 6.5, 6.166667, 4.333333, 9.5],
    ),
    (
        "area",
        &[1, 1, 5, 4],
        |x| x.interpolate(&InterpolateOptions::new().size([2, 3]).mode(InterpolateMode::Area)),
        &[1, 1, 2, 3],
        &[0.0625, 0.9375, 0.895833, 1.5625, 2.4375, 1.479167],
        &[0.083333, 0.666667, 1.666667, 1.083333, 0.083333, 0.666667, 1.666667, 1.083333, 0.5, 2.0, 2.833333, 1.333333, 0.416667, 1.333333, 1.166667, 0.25, 0.416667, 1.333333, 1.166667, 0.25],
    ),
    (
        "reflect [2, -1, -1, 2]",
        &[1, 3, 4],
        |x| x.pad([2, -1, -1, 2], PadMode::Reflect),
        &[1, 4, 5],
        &[2.75, -0.875, 1.0, -0.875, 2.75, 0.75, 2.625, -1.0, 2.625, 0.75, 2.75, -0.875, 1.0, -0.875, 2.75, -0.75, 1.125, -2.5, 1.125, -0.75],
        &[2.5, 12.0, 5.0, 0.0, 8.0, 16.0, 9.0, 0.0, 0.5, 8.0, 8.0, 0.0],
    ),
    (
        "replicate [3, -2, -1, 2]",
        &[1, 3, 4],
        |x| x.pad([3, -2, -1, 2], PadMode::Replicate),
        &[1, 4, 5],
        &[1.0, 1.0, 1.0, 1.0, -0.875, -1.0, -1.0, -1.0, -1.0, 2.625, -1.0, -1.0, -1.0, -1.0, 2.625, -1.0, -1.0, -1.0, -1.0, 2.625],
        &[0.0, 0.0, 0.0, 0.0, 13.0, 5.5, 0.0, 0.0, 42.0, 8.5, 0.0, 0.0],
    ),
    (
        "circular [2, -1, -1, 2]",
        &[1, 3, 4],
        |x| x.pad([2, -1, -1, 2], PadMode::Circular),
        &[1, 4, 5],
        &[-0.875, 2.75, 1.0, -0.875, 2.75, 2.625, 0.75, -1.0, 2.625, 0.75, -0.875, 2.75, 1.0, -0.875, 2.75, 2.625, 0.75, -1.0, 2.625, 0.75],
        &[0.0, 0.0, 0.0, 0.0, 8.0, 10.0, 15.0, 0.0, 3.0, 14.0, 19.0, 0.0],
    ),
    (
        "circular [1, 2, 2, 1]",
        &[1, 3, 4],
        |x| x.pad([1, 2, 2, 1], PadMode::Circular),
        &[1, 6, 7],
        &[0.875, 1.0, -0.875, 2.75, 0.875, 1.0, -0.875, -1.125, -1.0, 2.625, 0.75, -1.125, -1.0, 2.625, 2.875, -2.5, 1.125, -0.75, 2.875, -2.5, 1.125, 0.875, 1.0, -0.875, 2.75, 0.875, 1.0, -0.875, -1.125, -1.0, 2.625, 0.75, -1.125, -1.0, 2.625, 2.875, -2.5, 1.125, -0.75, 2.875, -2.5, 1.125],
        &[10.0, 22.0, 5.0, 12.0, 10.0, 22.0, 5.0, 12.0, 10.0, 22.0, 5.0, 12.0],
    ),
    (
        "constant, cropped",
        &[3, 4],
        |x| x.pad([1, -2, -1, 2], 1.5),
        &[4, 3],
        &[1.5, 1.0, -0.875, 1.5, -1.0, 2.625, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5],
        &[0.0, 0.0, 0.0, 0.0, 3.5, 6.5, 0.0, 0.0, 5.5, 1.5, 0.0, 0.0],
    ),
];

#[test]
fn values_and_gradients_are_those_of_pytorch() -> Result<()> {
    let device = Device::reference();
    let mut problems = Vec::new();
    for (name, shape, call, result, values, gradients) in CALLS {
        let count: usize = shape.iter().product();
        let input: Vec<f32> = (0..count).map(|i| ((i * 7 % 11) as f32 - 5.0) * 0.5 + i as f32 * 0.125).collect();
        let x = Tensor::from_slice_on(&input, shape, &device).requires_grad();
        let y = call(&x);
        if y.shape() != *result {
            problems.push(format!("{name}: shape {:?}, not {result:?}", y.shape()));
            continue;
        }
        let upstream: Vec<f32> = (0..y.numel()).map(|i| 0.5 + (i * 3 % 7) as f32).collect();
        Backward::new().gradient(&Tensor::from_slice_on(&upstream, y.shape(), &device)).run(&y)?;
        let gradient = x.grad().expect("a gradient");
        for (of, got, wanted) in [("values", &y, values), ("gradients", &gradient, gradients)] {
            let got = got.to_vec::<f32>()?;
            if got.iter().zip(*wanted).any(|(g, w)| (g - w).abs() > 2e-6 * (1.0 + w.abs())) || got.len() != wanted.len()
            {
                problems.push(format!("{name}: {of} {got:?}, not {wanted:?}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn positions_count_in_their_plane() -> Result<()> {
    let nan = f32::NAN;
    let x = Tensor::from_slice_on(&[1.0, nan, 3.0, nan, 2.0, 2.0], &[2, 1, 3], &Device::reference());
    // Of several NaN the last is taken, of equal elements the first.
    let (y, indices) = x.max_pool2d_with_indices([1, 3], &MaxPoolOptions::new());
    assert!(y.to_vec::<f32>()?.iter().all(|v| v.is_nan()));
    assert_eq!(indices.to_vec::<i32>()?, [1, 0]);
    let x = Tensor::from_slice_on(&[1.0f32, 4.0, 4.0, 3.0, 2.0, 2.0], &[1, 6], &Device::reference());
    let (_, indices) = x.max_pool1d_with_indices(3, &MaxPoolOptions::new());
    assert_eq!(indices.to_vec::<i32>()?, [1, 3]);
    let (_, indices) = x.adaptive_max_pool1d_with_indices(1);
    assert_eq!(indices.to_vec::<i32>()?, [1]);
    Ok(())
}

#[test]
fn layers_give_positions_and_take_them() -> Result<()> {
    let device = Device::reference();
    let x = Tensor::from_slice_on(&[1.0f32, 4.0, 4.0, 3.0, 2.0, 5.0], &[1, 6], &device);
    let (y, indices) = nn::AdaptiveMaxPool1d::new(2).forward_with_indices(&x);
    assert_eq!((y.to_vec::<f32>()?, indices.to_vec::<i32>()?), (vec![4.0, 5.0], vec![1, 5]));
    let (y, indices) = nn::AdaptiveMaxPool2d::new((1, 2)).forward_with_indices(&x.reshape([1, 2, 3]));
    assert_eq!((y.to_vec::<f32>()?, indices.to_vec::<i32>()?), (vec![4.0, 5.0], vec![1, 5]));
    let pool = nn::MaxPool1d::new(3).stride(2);
    let (y, indices) = pool.forward_with_indices(&x);
    let back = nn::MaxUnpool1d::new(3).stride(2);
    assert_eq!(back.call(&(y.clone(), indices.clone())).to_vec::<f32>()?, [0.0, 4.0, 4.0, 0.0, 0.0]);
    assert_eq!(back.forward_to(&y, &indices, 6).to_vec::<f32>()?, [0.0, 4.0, 4.0, 0.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn the_least_of_a_row_is_the_greatest_turned_round() -> Result<()> {
    let device = Device::reference();
    let options = MaxPoolOptions::new().stride(2).padding(1).dilation(2).ceil_mode(true);
    let input: Vec<f32> = (0..18).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    let run = |least: bool| {
        let x = Tensor::from_slice_on(&input, &[2, 9], &device).requires_grad();
        let y = if least { x.min_pool1d_with(3, &options) } else { -(-&x).max_pool1d_with(3, &options) };
        (&y * &y).sum().backward()?;
        Ok::<_, lumigrad::Error>((y.shape().to_vec(), y.to_vec::<f32>()?, x.grad().unwrap().to_vec::<f32>()?))
    };
    assert_eq!(run(true)?, run(false)?);
    let layer = nn::MinPool1d::new(3).stride(2).padding(1).dilation(2).ceil_mode(true);
    assert_eq!(layer.call(&Tensor::from_slice_on(&input, &[2, 9], &device)).to_vec::<f32>()?, run(true)?.1);
    let error = Tensor::from_slice_on(&[1.0f32; 4], &[4], &device).try_min_pool1d(2).unwrap_err().to_string();
    assert!(error.contains("min_pool1d"), "{error}");
    Ok(())
}

#[test]
fn a_position_out_of_its_plane_is_an_error() {
    let device = Device::reference();
    let x = Tensor::from_slice_on(&[1.0f32, 2.0], &[1, 1, 2], &device);
    let indices = Tensor::from_slice_on(&[0, 8], &[1, 1, 2], &device);
    let error = x.max_unpool2d(&indices, 2, &MaxUnpoolOptions::new()).to_vec::<f32>().unwrap_err();
    assert!(error.to_string().contains('8'), "{error}");
}
