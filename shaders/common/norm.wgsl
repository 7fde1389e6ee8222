// Normalisations: walks over the elements that share their moments, or their weight.
#import common/math

struct Params {
    // the walk: element (o, k, l) of [outer, count, inner] lies at (o * count + k) * inner + l
    outer: u32,
    count: u32,
    inner: u32,
    // how many parts the elements of a k are split into, and elements of a part
    splits: u32,
    part: u32,
    // the element at a place has the moments place / m_inner % m_count, and the weight place / a_inner % a_count
    m_count: u32,
    m_inner: u32,
    a_count: u32,
    a_inner: u32,
    // first elements
    x_offset: u32,
    g_offset: u32,
    mean_offset: u32,
    spread_offset: u32,
    weight_offset: u32,
    bias_offset: u32,
    y_offset: u32,
    z_offset: u32,
    has_weight: u32,
    has_bias: u32,
    // whether `spread` holds variances, and not reciprocals of standard deviations
    from_variance: u32,
    // whether the mean is subtracted
    centered: u32,
    // what a kernel does: see there
    mode: u32,
    eps: f32,
    momentum: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

// Elements that share a k.
fn elements_of_k() -> u32 {
    return params.outer * params.inner;
}

// Elements of part `split`.
fn elements_of_part(split: u32) -> u32 {
    return min(params.part, elements_of_k() - split * params.part);
}

// A walk over every `step`-th element of a k: a place, and how far it is from the start of its run of `inner` elements.
struct Walk {
    place: u32,
    l: u32,
    step_place: u32,
    step_l: u32,
}

fn walk_from(k: u32, j: u32, step: u32) -> Walk {
    let o = j / params.inner;
    let l = j - o * params.inner;
    let step_o = step / params.inner;
    let step_l = step - step_o * params.inner;
    let run = params.count * params.inner;
    return Walk(o * run + k * params.inner + l, l, step_o * run + step_l, step_l);
}

fn next(w: Walk) -> Walk {
    var v = w;
    v.place += v.step_place;
    v.l += v.step_l;
    if v.l >= params.inner {
        v.l -= params.inner;
        v.place += (params.count - 1u) * params.inner;
    }
    return v;
}

fn moments_at(place: u32) -> u32 {
    return place / params.m_inner % params.m_count;
}

fn weight_at(place: u32) -> u32 {
    return place / params.a_inner % params.a_count;
}

// The number of the weight of a row's element, without a division for every element: a row's weights follow one another.
struct Weights {
    a: u32,
    l: u32,
    step_a: u32,
    step_l: u32,
}

fn weights_from(row: u32, first: u32, step: u32) -> Weights {
    let place = row * params.inner + first;
    let a = place / params.a_inner;
    let step_a = step / params.a_inner;
    return Weights(a % params.a_count, place - a * params.a_inner, step_a, step - step_a * params.a_inner);
}

fn next_weight(w: Weights) -> Weights {
    var v = w;
    v.a += v.step_a;
    v.l += v.step_l;
    if v.l >= params.a_inner {
        v.l -= params.a_inner;
        v.a += 1u;
    }
    return v;
}

// The sum of a vector.
fn total(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

// What `spread` holds, as the reciprocal of a standard deviation.
fn reciprocal_deviation(spread_there: f32) -> f32 {
    if params.from_variance == 1u {
        return 1.0 / lg_sqrt(spread_there + params.eps);
    }
    return spread_there;
}

// Mean of n elements and the sum of their squared deviations from it, from the sums of the deviations from `center` and of
// their squares. See norm_moments.wgsl.
fn corrected_by(center: f32, sums: vec2<f32>, n: f32) -> vec2<f32> {
    if params.centered == 0u {
        return vec2<f32>(0.0, sums.y);
    }
    let rest = sums.x / n;
    var middle = center;
    // Around an infinite mean nothing can be corrected.
    if is_finite(rest) {
        middle += rest;
    }
    var squares = sums.y - sums.x * rest;
    // A comparison is false for a NaN, which so stays.
    if squares < 0.0 {
        squares = 0.0;
    }
    return vec2<f32>(middle, squares);
}

// Mean and reciprocal standard deviation of a row, from the same sums.
fn moments_of(center: f32, sums: vec2<f32>) -> vec2<f32> {
    let n = f32(params.inner);
    let corrected = corrected_by(center, sums, n);
    return vec2<f32>(corrected.x, 1.0 / lg_sqrt(corrected.y / n + params.eps));
}

// Elements that a workgroup takes: STEPS for every thread.
const STEPS: u32 = 16u;
const CHUNK: u32 = WG * STEPS;

// What a workgroup takes of a run: places from `first` to `end` of elements with the same k.
struct Segment {
    k: u32,
    first: u32,
    end: u32,
}

fn segment_of(number: u32) -> Segment {
    let chunks = (params.inner + CHUNK - 1u) / CHUNK;
    let run = number / chunks;
    let first = (number - run * chunks) * CHUNK;
    let base = run * params.inner;
    return Segment(run % params.count, base + first, base + min(first + CHUNK, params.inner));
}

fn elements() -> u32 {
    return params.outer * params.count * params.inner;
}
