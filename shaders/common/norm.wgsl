// Normalisations: walks over the elements that share their moments, or their weight.

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
