// The walks of `reduce_twice.wgsl`, element by element.

@group(0) @binding(0) var<storage, read> x: array<f32>;

const LANES: u32 = 1u;

// Both over elements `first`, `first + step`, … below `end`.
fn look(base: u32, first: u32, end: u32, step: u32) -> seen {
    var found = LEAST_SEEN;
    if !LOOKS {
        return found;
    }
    if in_one_dim() {
        let apart = element_step();
        for (var j = first; j < end; j += step) {
            found = max(found, see(x[base + j * apart]));
        }
    } else {
        for (var j = first; j < end; j += step) {
            found = max(found, see(x[base + element_offset(j)]));
        }
    }
    return found;
}

fn add(base: u32, first: u32, end: u32, step: u32, unit: f32) -> f32 {
    var sum = 0.0;
    if !ADDS {
        return sum;
    }
    if in_one_dim() {
        let apart = element_step();
        for (var j = first; j < end; j += step) {
            sum += term(x[base + j * apart], unit);
        }
    } else {
        for (var j = first; j < end; j += step) {
            sum += term(x[base + element_offset(j)], unit);
        }
    }
    return sum;
}
