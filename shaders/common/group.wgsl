// Sums and maxima over a workgroup of WG threads. Every thread calls them, and each gets the result.

var<workgroup> lanes: array<f32, WG>;

fn group_sum(local: u32, v: f32) -> f32 {
    // Nobody reads the result before this any more.
    workgroupBarrier();
    lanes[local] = v;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            lanes[local] += lanes[local + half];
        }
        workgroupBarrier();
    }
    return lanes[0];
}

fn group_max(local: u32, v: f32) -> f32 {
    workgroupBarrier();
    lanes[local] = v;
    workgroupBarrier();
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        if local < half {
            lanes[local] = max(lanes[local], lanes[local + half]);
        }
        workgroupBarrier();
    }
    return lanes[0];
}
