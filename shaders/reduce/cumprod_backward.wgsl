// The gradient of cumulative products, without a division: with R_k = g_k + x_(k+1) R_(k+1), that of element k is the product
// of all before it times R_k. All tensors lie row by row; elements of a row are `inner` apart.
#import common/index
#import common/reduce

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

const ITEMS: u32 = 8u;
const TILE: u32 = WG * ITEMS;

// R behind a stretch from R before it: factor and summand.
var<workgroup> lanes: array<vec2<f32>, WG>;

fn row_start(row: u32) -> u32 {
    return row / params.inner * params.r * params.inner + row % params.inner;
}

// What element `k` makes of the R of the one behind it.
fn step_of(start: u32, k: u32) -> vec2<f32> {
    var factor = 0.0;
    if k + 1u < params.r {
        factor = x[start + (k + 1u) * params.inner];
    }
    return vec2<f32>(factor, g[start + k * params.inner]);
}

// First `a`, then `b`.
fn then(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(b.x * a.x, b.x * a.y + b.y);
}

fn store(start: u32, k: u32, r: f32) {
    var before = 1.0;
    if k > 0u {
        before = products[start + (k - 1u) * params.inner];
    }
    dx[params.result_offset + start + k * params.inner] = before * r;
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
    let start = row_start(row);
    var r = 0.0;
    for (var k = params.r; k > 0u; k -= 1u) {
        let s = step_of(start, k - 1u);
        r = s.x * r + s.y;
        store(start, k - 1u, r);
    }
}

// A workgroup for every row, tile by tile from its end.
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
    let start = row_start(row);
    var behind = 0.0;
    for (var tile = 0u; tile < params.r; tile += TILE) {
        let first = tile + local * ITEMS;
        let end = min(first + ITEMS, params.r);
        var own = vec2<f32>(1.0, 0.0);
        for (var i = first; i < end; i += 1u) {
            own = then(own, step_of(start, params.r - 1u - i));
        }
        lanes[local] = own;
        workgroupBarrier();
        for (var step = 1u; step < WG; step *= 2u) {
            var all = lanes[local];
            if local >= step {
                all = then(lanes[local - step], all);
            }
            workgroupBarrier();
            lanes[local] = all;
            workgroupBarrier();
        }
        var r = behind;
        if local > 0u {
            let all = lanes[local - 1u];
            r = all.x * r + all.y;
        }
        let whole = lanes[WG - 1u];
        behind = whole.x * behind + whole.y;
        workgroupBarrier();
        for (var i = first; i < end; i += 1u) {
            let k = params.r - 1u - i;
            let s = step_of(start, k);
            r = s.x * r + s.y;
            store(start, k, r);
        }
    }
}
