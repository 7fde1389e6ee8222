// A chain of small elementwise operations, one after the other for each element. Its steps are a program of two words
// each: operation, registers and switches; a number. Registers 0 to 3 begin as elements of a, b, c and d, 4 to 6
// as elements of x, y and z and end there; 7, and what is not bound, is for results on the way.
#import common/compare
#import common/index
#import common/math

@group(0) @binding(0) var<storage, read> program: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> d: array<f32>;
@group(0) @binding(5) var<storage, read_write> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> z: array<f32>;

struct Params {
    n: u32,
    // the steps: where they begin in `program`, and how many there are
    first: u32,
    steps: u32,
    // by bits: which registers begin as elements of their buffers, take the first element for all, are stored
    loaded: u32,
    repeated: u32,
    stored: u32,
    // where the buffers' elements begin
    offsets: array<vec4<u32>, 2>,
}
@group(0) @binding(8) var<uniform> params: Params;

// Operations, numbered as in `ChainOp`; what is none of them copies.
const ADD: u32 = 0u;
const SUB: u32 = 1u;
const MUL: u32 = 2u;
const DIV: u32 = 3u;
const MAXIMUM: u32 = 4u;
const MINIMUM: u32 = 5u;
const NEG: u32 = 6u;
const ABS: u32 = 7u;
const SQRT: u32 = 8u;
const DOUBLE_PRODUCT: u32 = 9u;
const GATE: u32 = 10u;
const LEAK: u32 = 11u;

// What a step's first word says.
const OPERATION: u32 = 0xffu;
const TARGET_SHIFT: u32 = 8u;
const LEFT_SHIFT: u32 = 12u;
const RIGHT_SHIFT: u32 = 16u;
const RIGHT_IS_NUMBER: u32 = 1u << 20u;

struct Registers {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn is_set(mask: u32, slot: u32) -> bool {
    return ((mask >> slot) & 1u) != 0u;
}

// Where element i of a register's buffer lies.
fn place(i: u32, slot: u32) -> u32 {
    return params.offsets[slot >> 2u][slot & 3u] + select(i, 0u, is_set(params.repeated, slot));
}

fn register_of(r: Registers, number: u32) -> f32 {
    return select(r.low, r.high, number >= 4u)[number & 3u];
}

// Each operation as in its own file, with one rounding, so that a chain gives the bits of its steps. All are computed and
// one is taken: software drivers run every case of a switch too, and then share nothing between them.
fn run_step(line: vec2<u32>, l: f32, r: f32) -> f32 {
    let operation = line.x & OPERATION;
    let is_number = !elem_is_nan(r);
    let comparable = is_number && !elem_is_nan(l);
    let product = l * r;
    var v = l;
    v = select(v, l + r, operation == ADD);
    v = select(v, l - r, operation == SUB);
    v = select(v, product, operation == MUL);
    v = select(v, lg_divide(l, r), operation == DIV);
    let is_below = comparable && float_rank(l) < float_rank(r);
    let is_above = comparable && float_rank(r) < float_rank(l);
    v = select(v, r, operation == MAXIMUM && (is_below || !is_number));
    v = select(v, r, operation == MINIMUM && (is_above || !is_number));
    v = select(v, bitcast<f32>(bitcast<u32>(l) ^ 0x80000000u), operation == NEG);
    v = select(v, abs(l), operation == ABS);
    v = select(v, lg_sqrt(l), operation == SQRT);
    v = select(v, lg_double_product(l, r), operation == DOUBLE_PRODUCT);
    let is_low = float_rank(r) <= 0;
    v = select(v, 0.0, operation == GATE && is_low && is_number);
    v = select(v, bitcast<f32>(line.y) * l, operation == LEAK && (is_low || !is_number));
    return v;
}

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
    var r = Registers();
    if is_set(params.loaded, 0u) { r.low.x = a[place(i, 0u)]; }
    if is_set(params.loaded, 1u) { r.low.y = b[place(i, 1u)]; }
    if is_set(params.loaded, 2u) { r.low.z = c[place(i, 2u)]; }
    if is_set(params.loaded, 3u) { r.low.w = d[place(i, 3u)]; }
    if is_set(params.loaded, 4u) { r.high.x = x[place(i, 4u)]; }
    if is_set(params.loaded, 5u) { r.high.y = y[place(i, 5u)]; }
    if is_set(params.loaded, 6u) { r.high.z = z[place(i, 6u)]; }
    for (var s = params.first; s < params.first + params.steps; s += 1u) {
        let line = program[s];
        let left = register_of(r, (line.x >> LEFT_SHIFT) & 7u);
        let held = register_of(r, (line.x >> RIGHT_SHIFT) & 7u);
        let right = select(held, bitcast<f32>(line.y), (line.x & RIGHT_IS_NUMBER) != 0u);
        let value = run_step(line, left, right);
        let number = vec4<u32>((line.x >> TARGET_SHIFT) & 7u);
        r.low = select(r.low, vec4<f32>(value), vec4<u32>(0u, 1u, 2u, 3u) == number);
        r.high = select(r.high, vec4<f32>(value), vec4<u32>(4u, 5u, 6u, 7u) == number);
    }
    if is_set(params.stored, 4u) { x[place(i, 4u)] = r.high.x; }
    if is_set(params.stored, 5u) { y[place(i, 5u)] = r.high.y; }
    if is_set(params.stored, 6u) { z[place(i, 6u)] = r.high.z; }
}
