// A step for software drivers with subgroups of at least eight, on the plan of `matmul_subgroups`: a workgroup is eight
// threads of one subgroup and makes 8 rows of 8 columns of vec4s. Every thread loads one number of each row for eight
// terms, and the subgroup spreads it. Unrolled by hand, since naga writes loops that compilers do not unroll.

const ACROSS: u32 = 8u;
const ROWS: u32 = 8u;

@compute @workgroup_size(8)
fn octets(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // The same for the whole workgroup, so the subgroup stays together.
    let place = linear_group(group, groups);
    let blocks = (params.batch + ROWS - 1u) / ROWS;
    let first_unit = place / blocks * (ACROSS * SPREAD);
    let first_row = place % blocks * ROWS;
    if first_unit >= params.hidden {
        return;
    }
    let places = weight_places(first_unit + lane);
    // Rows beyond the edge read the last one; their sums are not stored.
    let last = params.batch - 1u;
    let row0 = operand_base(min(first_row + 0u, last));
    let row1 = operand_base(min(first_row + 1u, last));
    let row2 = operand_base(min(first_row + 2u, last));
    let row3 = operand_base(min(first_row + 3u, last));
    let row4 = operand_base(min(first_row + 4u, last));
    let row5 = operand_base(min(first_row + 5u, last));
    let row6 = operand_base(min(first_row + 6u, last));
    let row7 = operand_base(min(first_row + 7u, last));
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();

    var l = 0u;
    for (; l + 8u <= params.depth; l += 8u) {
        let x0 = operand(row0, l + lane);
        let x1 = operand(row1, l + lane);
        let x2 = operand(row2, l + lane);
        let x3 = operand(row3, l + lane);
        let x4 = operand(row4, l + lane);
        let x5 = operand(row5, l + lane);
        let x6 = operand(row6, l + lane);
        let x7 = operand(row7, l + lane);
        let w0 = weights(l + 0u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 0u)), w0, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 0u)), w0, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 0u)), w0, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 0u)), w0, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 0u)), w0, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 0u)), w0, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 0u)), w0, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 0u)), w0, sum7);
        let w1 = weights(l + 1u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 1u)), w1, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 1u)), w1, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 1u)), w1, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 1u)), w1, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 1u)), w1, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 1u)), w1, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 1u)), w1, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 1u)), w1, sum7);
        let w2 = weights(l + 2u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 2u)), w2, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 2u)), w2, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 2u)), w2, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 2u)), w2, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 2u)), w2, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 2u)), w2, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 2u)), w2, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 2u)), w2, sum7);
        let w3 = weights(l + 3u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 3u)), w3, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 3u)), w3, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 3u)), w3, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 3u)), w3, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 3u)), w3, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 3u)), w3, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 3u)), w3, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 3u)), w3, sum7);
        let w4 = weights(l + 4u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 4u)), w4, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 4u)), w4, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 4u)), w4, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 4u)), w4, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 4u)), w4, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 4u)), w4, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 4u)), w4, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 4u)), w4, sum7);
        let w5 = weights(l + 5u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 5u)), w5, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 5u)), w5, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 5u)), w5, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 5u)), w5, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 5u)), w5, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 5u)), w5, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 5u)), w5, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 5u)), w5, sum7);
        let w6 = weights(l + 6u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 6u)), w6, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 6u)), w6, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 6u)), w6, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 6u)), w6, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 6u)), w6, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 6u)), w6, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 6u)), w6, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 6u)), w6, sum7);
        let w7 = weights(l + 7u, places);
        sum0 = fma(vec4<f32>(subgroupBroadcast(x0, 7u)), w7, sum0);
        sum1 = fma(vec4<f32>(subgroupBroadcast(x1, 7u)), w7, sum1);
        sum2 = fma(vec4<f32>(subgroupBroadcast(x2, 7u)), w7, sum2);
        sum3 = fma(vec4<f32>(subgroupBroadcast(x3, 7u)), w7, sum3);
        sum4 = fma(vec4<f32>(subgroupBroadcast(x4, 7u)), w7, sum4);
        sum5 = fma(vec4<f32>(subgroupBroadcast(x5, 7u)), w7, sum5);
        sum6 = fma(vec4<f32>(subgroupBroadcast(x6, 7u)), w7, sum6);
        sum7 = fma(vec4<f32>(subgroupBroadcast(x7, 7u)), w7, sum7);
    }
    for (; l < params.depth; l += 1u) {
        let w = weights(l, places);
        sum0 = fma(vec4<f32>(operand(row0, l)), w, sum0);
        sum1 = fma(vec4<f32>(operand(row1, l)), w, sum1);
        sum2 = fma(vec4<f32>(operand(row2, l)), w, sum2);
        sum3 = fma(vec4<f32>(operand(row3, l)), w, sum3);
        sum4 = fma(vec4<f32>(operand(row4, l)), w, sum4);
        sum5 = fma(vec4<f32>(operand(row5, l)), w, sum5);
        sum6 = fma(vec4<f32>(operand(row6, l)), w, sum6);
        sum7 = fma(vec4<f32>(operand(row7, l)), w, sum7);
    }

    // A loop and no eight copies: what follows is long, and drivers copy every call.
    var sums = array<vec4<f32>, 8>(sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7);
    for (var i = 0u; i < ROWS; i += 1u) {
        if first_row + i < params.batch {
            finish(first_row + i, first_unit + lane, sums[i]);
        }
    }
}
