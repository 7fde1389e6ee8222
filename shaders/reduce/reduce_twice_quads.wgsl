// The walks of `reduce_twice.wgsl` over elements in whole vectors of four: those of an output, of which there are then four
// partial results, or of four neighbouring outputs.

const LANES: u32 = 4u;

fn see4(v: vec4<f32>) -> vec4<seen> {
    return vec4(see(v.x), see(v.y), see(v.z), see(v.w));
}

fn terms(v: vec4<f32>, unit: vec4<f32>) -> vec4<f32> {
    return vec4(term(v.x, unit.x), term(v.y, unit.y), term(v.z, unit.z), term(v.w, unit.w));
}

// Both over the vectors at elements `first`, `first + step`, … below `end`.
fn look(base: u32, first: u32, end: u32, step: u32) -> seen {
    var found = vec4<seen>(LEAST_SEEN);
    if !LOOKS {
        return found.x;
    }
    if in_one_dim() {
        let last = (base + end) >> 2u;
        for (var at = (base + first) >> 2u; at < last; at += step >> 2u) {
            found = max(found, see4(read_quad(at)));
        }
    } else {
        for (var j = first; j < end; j += step) {
            found = max(found, see4(read_quad((base + element_offset(j)) >> 2u)));
        }
    }
    return max(max(found.x, found.y), max(found.z, found.w));
}

fn add(base: u32, first: u32, end: u32, step: u32, unit: f32) -> f32 {
    var sums = vec4<f32>(0.0);
    if !ADDS {
        return 0.0;
    }
    let units = vec4<f32>(unit);
    if in_one_dim() {
        let last = (base + end) >> 2u;
        for (var at = (base + first) >> 2u; at < last; at += step >> 2u) {
            sums += terms(read_quad(at), units);
        }
    } else {
        for (var j = first; j < end; j += step) {
            sums += terms(read_quad((base + element_offset(j)) >> 2u), units);
        }
    }
    return (sums.x + sums.y) + (sums.z + sums.w);
}

// The same for elements of four outputs, one by one.
fn look_at_four(base: u32, first: u32, end: u32) -> vec4<seen> {
    var found = vec4<seen>(LEAST_SEEN);
    if !LOOKS {
        return found;
    }
    if in_one_dim() {
        let apart = element_step() >> 2u;
        for (var j = first; j < end; j += 1u) {
            found = max(found, see4(read_quad((base >> 2u) + j * apart)));
        }
    } else {
        for (var j = first; j < end; j += 1u) {
            found = max(found, see4(read_quad((base + element_offset(j)) >> 2u)));
        }
    }
    return found;
}

fn add_four(base: u32, first: u32, end: u32, units: vec4<f32>) -> vec4<f32> {
    var sums = vec4<f32>(0.0);
    if !ADDS {
        return sums;
    }
    if in_one_dim() {
        let apart = element_step() >> 2u;
        for (var j = first; j < end; j += 1u) {
            sums += terms(read_quad((base >> 2u) + j * apart), units);
        }
    } else {
        for (var j = first; j < end; j += 1u) {
            sums += terms(read_quad((base + element_offset(j)) >> 2u), units);
        }
    }
    return sums;
}

// A thread for a part of four outputs.
@compute @workgroup_size(WG)
fn by_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n / 4u * params.splits {
        return;
    }
    let columns = columns_of(i);
    let part = columns.part;
    let found = look_at_four(part.base, part.first, part.end);
    let units = vec4(unit_of(found.x), unit_of(found.y), unit_of(found.z), unit_of(found.w));
    let sums = add_four(part.base, part.first, part.end, units);
    let at = params.result_offset + columns.at;
    y[at] = finish(found.x, units.x, sums.x);
    y[at + 1u] = finish(found.y, units.y, sums.y);
    y[at + 2u] = finish(found.z, units.z, sums.z);
    y[at + 3u] = finish(found.w, units.w, sums.w);
}
