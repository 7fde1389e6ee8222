// The walk of `extrema_dim.wgsl`, element by element.

@group(0) @binding(0) var<storage, read> x: array<elem>;

const LANES: u32 = 1u;

fn element(at: u32) -> elem {
    return x[at];
}

// The best of elements `first`, `first + step`, … below `end`.
fn best_of(base: u32, first: u32, end: u32, step: u32) -> Best {
    var best = start(first, end);
    if in_one_dim() {
        let apart = element_step();
        for (var j = first; j < end; j += step) {
            best = later(best, order(x[base + j * apart]), j);
        }
    } else {
        for (var j = first; j < end; j += step) {
            best = later(best, order(x[base + element_offset(j)]), j);
        }
    }
    return best;
}

// The better of one and an element behind it.
fn later(best: Best, rank: u32, place: u32) -> Best {
    let wins = rank > best.rank;
    return Best(select(best.rank, rank, wins), select(best.place, place, wins));
}
