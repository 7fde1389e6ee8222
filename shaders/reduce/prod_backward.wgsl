// The gradient of a row's product: for each element the upstream gradient times the product of all others, from the left
// and from the right. Without a division, so that zeros are nothing special.
#import common/index
#import common/reduce

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

var<workgroup> lanes: array<f32, WG>;

// Where element `j` of a row lies in the contiguous result.
fn place(row: u32, j: u32) -> u32 {
    let start = row / params.inner * params.r * params.inner + row % params.inner;
    return params.result_offset + start + j * params.inner;
}

// Elements from `first` to `end`, with the products of all before and of all behind them.
fn write(row: u32, first: u32, end: u32, before: f32, behind: f32) {
    let base = output_base(row);
    var left = before;
    for (var j = first; j < end; j += 1u) {
        dx[place(row, j)] = left;
        left *= x[base + row_offset(j)];
    }
    var right = behind * g[row];
    for (var j = end; j > first; j -= 1u) {
        let at = place(row, j - 1u);
        dx[at] *= right;
        right *= x[base + row_offset(j - 1u)];
    }
}

// A thread for every row.
@compute @workgroup_size(WG)
fn by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_id(group, groups, local);
    if row >= params.n {
        return;
    }
    write(row, 0u, params.r, 1.0, 1.0);
}

// A workgroup for every row, each thread a stretch of it.
@compute @workgroup_size(WG)
fn by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_group(group, groups);
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    if row >= params.n {
        return;
    }
    let base = output_base(row);
    let stretch = (params.r + WG - 1u) / WG;
    let first = min(local * stretch, params.r);
    let end = min(first + stretch, params.r);
    var own = 1.0;
    for (var j = first; j < end; j += 1u) {
        own *= x[base + row_offset(j)];
    }
    lanes[local] = own;
    workgroupBarrier();
    var before = 1.0;
    for (var i = 0u; i < local; i += 1u) {
        before *= lanes[i];
    }
    var behind = 1.0;
    for (var i = WG - 1u; i > local; i -= 1u) {
        behind *= lanes[i];
    }
    write(row, first, end, before, behind);
}
