// The factor of a loss after a step: smaller when a gradient was no number, larger after enough steps without.

struct Params {
    growth: f32,
    backoff: f32,
    interval: u32,
}
@group(0) @binding(8) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read_write> scale: array<f32>;
// steps since the factor changed
@group(0) @binding(1) var<storage, read_write> tracker: array<u32>;
@group(0) @binding(2) var<storage, read> found: array<u32>;
@group(0) @binding(3) var<storage, read> faults: array<u32, 4>;

@compute @workgroup_size(1)
fn main() {
    // After a bad index the step has not been.
    if faults[0] != 0u {
        return;
    }
    if found[0] != 0u {
        scale[0] *= params.backoff;
        tracker[0] = 0u;
        return;
    }
    let steps = tracker[0] + 1u;
    if steps != params.interval {
        tracker[0] = steps;
        return;
    }
    tracker[0] = 0u;
    let grown = scale[0] * params.growth;
    // By bits: comparisons may assume that there is no infinity.
    if (bitcast<u32>(grown) & 0x7fffffffu) < 0x7f800000u {
        scale[0] = grown;
    }
}
