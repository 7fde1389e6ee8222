// The walk of `reduce.wgsl`, element by element.

@group(0) @binding(0) var<storage, read> x: array<elem>;

const LANES: u32 = 1u;

// Of elements `first`, `first + step`, … below `end`.
fn fold(base: u32, first: u32, end: u32, step: u32) -> folded {
    var result = identity();
    if in_one_dim() {
        let apart = element_step();
        for (var j = first; j < end; j += step) {
            result = combine(result, take(x[base + j * apart]));
        }
    } else {
        for (var j = first; j < end; j += step) {
            result = combine(result, take(x[base + element_offset(j)]));
        }
    }
    return result;
}
