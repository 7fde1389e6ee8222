//! The scalar twins of the kernels.

use super::ConvParams;
use super::weight::WeightParams;
use crate::Result;
use crate::engine::HostCall;

/// A place of the input, or nothing outside of it.
fn place(out: u32, tap: u32, stride: u32, dilation: i32, origin: i32, size: u32) -> Option<usize> {
    let at = i64::from(out) * i64::from(stride) + i64::from(tap) * i64::from(dilation) + i64::from(origin);
    usize::try_from(at).ok().filter(|&at| at < size as usize)
}

/// Element by element; channels, then the kernel's lines, then its columns.
pub(super) fn convolution(call: &HostCall<'_>) -> Result<()> {
    let p: &ConvParams = call.params();
    let (x, w, bias, mut y) = (call.floats(0), call.floats(1), call.floats(2), call.floats_mut(3));
    let at = |strides: &[u32; 4], place: [u32; 4]| -> usize {
        strides.iter().zip(place).map(|(&stride, i)| stride as usize * i as usize).sum()
    };
    let w_step = |dim: usize, i: u32| i64::from(p.w_strides[dim]) * i64::from(i);
    for image in 0..p.batch {
        for channel in 0..p.groups * p.rows {
            let (group, row) = (channel / p.rows, channel % p.rows);
            let first_w = i64::from(p.offsets[1]) + i64::from(group * p.w_group) + w_step(0, row);
            for line in 0..p.out_size[0] {
                for column in 0..p.out_size[1] {
                    let mut sum = 0.0;
                    for c in 0..p.channels {
                        for r in 0..p.taps[0] {
                            let h = place(line, r, p.stride[0], p.dilation[0], p.origin[0], p.in_size[0]);
                            for s in 0..p.taps[1] {
                                let v = place(column, s, p.stride[1], p.dilation[1], p.origin[1], p.in_size[1]);
                                let (Some(h), Some(v)) = (h, v) else { continue };
                                let from = [image, group * p.channels + c, h as u32, v as u32];
                                let from_w = first_w + w_step(1, c) + w_step(2, r) + w_step(3, s);
                                sum += x[p.offsets[0] as usize + at(&p.x_strides, from)] * w[from_w as usize];
                            }
                        }
                    }
                    if p.has_bias != 0 {
                        sum += bias[(p.offsets[2] + channel * p.bias_stride) as usize];
                    }
                    y[p.offsets[3] as usize + at(&p.y_strides, [image, channel, line, column])] = sum;
                }
            }
        }
    }
    Ok(())
}

/// Part by part, place by place; a part of the result is `[channel of g, channel of x, tap]`.
pub(super) fn weight(call: &HostCall<'_>) -> Result<()> {
    weight_at(call, |p, row, c, tap| (row * p.channels + c) * p.taps[0] * p.taps[1] + tap)
}

/// The same with parts `[tap, channel of x, channel of g]`.
pub(super) fn weight_vectors(call: &HostCall<'_>) -> Result<()> {
    weight_at(call, |p, row, c, tap| (tap * p.channels + c) * p.rows + row)
}

fn weight_at(call: &HostCall<'_>, at_weight: fn(&WeightParams, u32, u32, u32) -> u32) -> Result<()> {
    let p: &WeightParams = call.params();
    let (g, x, mut y) = (call.floats(0), call.floats(1), call.floats_mut(2));
    let at = |strides: &[u32; 4], place: [u32; 4]| -> usize {
        strides.iter().zip(place).map(|(&stride, i)| stride as usize * i as usize).sum()
    };
    for split in 0..p.splits {
        let first = p.first + split * p.part;
        let part = first..(first + p.part).min(p.places);
        for row in 0..p.groups * p.rows {
            for c in 0..p.channels {
                for tap in 0..p.taps[0] * p.taps[1] {
                    let (r, s) = (tap / p.taps[1], tap % p.taps[1]);
                    let mut sum = 0.0;
                    for i in part.clone() {
                        let (line, column) = (i / p.out_size[1] % p.out_size[0], i % p.out_size[1]);
                        let image = i / p.out_size[1] / p.out_size[0];
                        let h = place(line, r, p.stride[0], p.dilation[0], p.origin[0], p.in_size[0]);
                        let v = place(column, s, p.stride[1], p.dilation[1], p.origin[1], p.in_size[1]);
                        let (Some(h), Some(v)) = (h, v) else { continue };
                        let from = [image, row / p.rows * p.channels + c, h as u32, v as u32];
                        sum += g[p.offsets[0] as usize + at(&p.g_strides, [image, row, line, column])]
                            * x[p.offsets[1] as usize + at(&p.x_strides, from)];
                    }
                    y[(p.offsets[2] + split * p.weights() + at_weight(p, row, c, tap)) as usize] = sum;
                }
            }
        }
    }
    Ok(())
}
