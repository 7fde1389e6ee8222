// Elements back in the places that maxima were taken from, zeros in all others. Of elements for one place the last wins:
// `claim` finds it, a thread an element; `take` is a thread a place, `backward` a thread an element again.
#import common/index
#import common/fault

struct Params {
    n: u32,
    // elements of a plane of the input, and places of one of the result
    elements: u32,
    places: u32,
    // where faults are reported
    site: u32,
    // first elements of what is read, of the positions, and of what is written
    offset: u32,
    indices_offset: u32,
    result_offset: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

// For every place the number of its last element, from 1; 0 for none.
@group(0) @binding(0) var<storage, read> claims: array<i32>;
@group(0) @binding(1) var<storage, read_write> claimed: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> faults: array<atomic<u32>, 4>;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> owners: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn claim(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let index = claims[params.indices_offset + i];
    if index < 0 || u32(index) >= params.places {
        report_fault(params.site, index, params.places);
        return;
    }
    let plane = divide(i, params.elements);
    atomicMax(&claimed[plane * params.places + u32(index)], i - plane * params.elements + 1u);
}

@compute @workgroup_size(WG)
fn take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let owner = owners[i];
    if owner == 0u {
        y[i] = 0.0;
    } else {
        y[i] = x[params.offset + divide(i, params.places) * params.elements + owner - 1u];
    }
}

@compute @workgroup_size(WG)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let plane = divide(i, params.elements);
    // A bad position was reported on the way forward.
    let index = clamp(indices[params.indices_offset + i], 0, i32(params.places) - 1);
    let place = plane * params.places + u32(index);
    if owners[place] == i - plane * params.elements + 1u {
        dx[params.result_offset + i] = x[params.offset + place];
    } else {
        dx[params.result_offset + i] = 0.0;
    }
}
