// A step for GPUs: a workgroup makes 16 rows of 16 columns, each thread a row and a column of vec4s; panels of both
// operands, 32 deep, go through workgroup memory.

const ACROSS: u32 = 16u;
const DEPTH: u32 = 32u;

// One more than a power of two from row to row, so that neighbours lie in different banks.
var<workgroup> rows: array<f32, 528>;
var<workgroup> columns: array<vec4<f32>, 544>;

fn load_rows(first_row: u32, depth: u32, place: u32) {
    let row = place / DEPTH;
    let k = place % DEPTH;
    var v = 0.0;
    if depth + k < params.depth {
        v = operand(operand_base(min(first_row + row, params.batch - 1u)), depth + k);
    }
    rows[row * 33u + k] = v;
}

fn load_columns(first_unit: u32, depth: u32, place: u32) {
    // Neighbouring threads read neighbours: along the weight's rows or across them.
    var unit = place / DEPTH;
    var k = place % DEPTH;
    if SPREAD > 1u {
        unit = place % ACROSS;
        k = place / ACROSS;
    }
    var v = vec4<f32>();
    if depth + k < params.depth {
        v = weights(depth + k, weight_places(first_unit + unit));
    }
    columns[k * 17u + unit] = v;
}

@compute @workgroup_size(256)
fn blocks(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // The same for the whole workgroup, so barriers stay in uniform control flow.
    let place = linear_group(group, groups);
    let row_blocks = (params.batch + 15u) / 16u;
    let first_unit = place / row_blocks * (ACROSS * SPREAD);
    let first_row = place % row_blocks * 16u;
    if first_unit >= params.hidden {
        return;
    }
    let own_row = local / ACROSS;
    let own_unit = local % ACROSS;
    var sums = vec4<f32>();
    for (var depth = 0u; depth < params.depth; depth += DEPTH) {
        load_rows(first_row, depth, local);
        load_rows(first_row, depth, local + 256u);
        load_columns(first_unit, depth, local);
        load_columns(first_unit, depth, local + 256u);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k += 4u) {
            // naga writes loops that compilers do not unroll: four steps by hand.
            sums += rows[own_row * 33u + k] * columns[k * 17u + own_unit];
            sums += rows[own_row * 33u + k + 1u] * columns[(k + 1u) * 17u + own_unit];
            sums += rows[own_row * 33u + k + 2u] * columns[(k + 2u) * 17u + own_unit];
            sums += rows[own_row * 33u + k + 3u] * columns[(k + 3u) * 17u + own_unit];
        }
        workgroupBarrier();
    }
    if first_row + own_row < params.batch {
        finish(first_row + own_row, first_unit + own_unit, sums);
    }
}
