// Up to seven inputs side by side in rows of the result: element j of row r of the result comes from the input into whose
// span of columns j falls. A thread an element, in the order of the result.
#import common/index

struct Params {
    // elements written, and columns of them in a row
    n: u32,
    columns: u32,
    // a row of the whole result, and the first column that is written
    row: u32,
    column: u32,
    // for each input: the column behind its last one, its first element, and the step from row to row
    ends: array<vec4<u32>, 2>,
    offsets: array<vec4<u32>, 2>,
    steps: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read> x0: array<elem>;
@group(0) @binding(1) var<storage, read> x1: array<elem>;
@group(0) @binding(2) var<storage, read> x2: array<elem>;
@group(0) @binding(3) var<storage, read> x3: array<elem>;
@group(0) @binding(4) var<storage, read> x4: array<elem>;
@group(0) @binding(5) var<storage, read> x5: array<elem>;
@group(0) @binding(6) var<storage, read> x6: array<elem>;
@group(0) @binding(7) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n {
        return;
    }
    let r = i / params.columns;
    let j = i % params.columns;
    // Spans of inputs that are not there end where the last one ends, so that none of them is chosen.
    var input = 0u;
    var first = 0u;
    for (var k = 0u; k < 6u; k += 1u) {
        let end = params.ends[k >> 2u][k & 3u];
        if j >= end {
            input = k + 1u;
            first = end;
        }
    }
    let at = params.offsets[input >> 2u][input & 3u] + r * params.steps[input >> 2u][input & 3u] + (j - first);
    var value: elem;
    switch input {
        case 0u: { value = x0[at]; }
        case 1u: { value = x1[at]; }
        case 2u: { value = x2[at]; }
        case 3u: { value = x3[at]; }
        case 4u: { value = x4[at]; }
        case 5u: { value = x5[at]; }
        default: { value = x6[at]; }
    }
    y[r * params.row + params.column + j] = value;
}
