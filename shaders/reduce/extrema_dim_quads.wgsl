// The walk of `extrema_dim.wgsl` over elements in whole vectors of four: those of an output, of which there are then four
// partial results, or of four neighbouring outputs.

const LANES: u32 = 4u;

// The best elements of four walks.
struct Best4 {
    ranks: vec4<u32>,
    places: vec4<u32>,
}

fn element(at: u32) -> elem {
    return x[at >> 2u][at & 3u];
}

// The better of those and elements behind them.
fn later4(best: Best4, v: vec4<elem>, place: u32) -> Best4 {
    let ranks = vec4(order(v.x), order(v.y), order(v.z), order(v.w));
    let win = ranks > best.ranks;
    return Best4(select(best.ranks, ranks, win), select(best.places, vec4(place), win));
}

// The best of the vectors at elements `first`, `first + step`, … below `end`.
fn best_of(base: u32, first: u32, end: u32, step: u32) -> Best {
    let none = start(first, end);
    // Places are those of whole vectors at first.
    var best = Best4(vec4(none.rank), vec4(none.place));
    if in_one_dim() {
        for (var j = first; j < end; j += step) {
            best = later4(best, read_quad((base + j) >> 2u), j);
        }
    } else {
        for (var j = first; j < end; j += step) {
            best = later4(best, read_quad((base + element_offset(j)) >> 2u), j);
        }
    }
    if first >= end {
        return none;
    }
    let places = best.places + vec4(0u, 1u, 2u, 3u);
    return better(
        better(Best(best.ranks.x, places.x), Best(best.ranks.y, places.y)),
        better(Best(best.ranks.z, places.z), Best(best.ranks.w, places.w)),
    );
}

// A thread for a part of four outputs.
@compute @workgroup_size(WG)
fn by_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_id(group, groups, local);
    if i >= params.n / 4u * params.splits {
        return;
    }
    let columns = columns_of(i);
    let part = columns.part;
    let none = start(part.first, part.end);
    var best = Best4(vec4(none.rank), vec4(none.place));
    if in_one_dim() {
        let apart = element_step() >> 2u;
        for (var j = part.first; j < part.end; j += 1u) {
            best = later4(best, read_quad((part.base >> 2u) + j * apart), j);
        }
    } else {
        for (var j = part.first; j < part.end; j += 1u) {
            best = later4(best, read_quad((part.base + element_offset(j)) >> 2u), j);
        }
    }
    store(columns.at, part.base, best.places.x);
    store(columns.at + 1u, part.base + 1u, best.places.y);
    store(columns.at + 2u, part.base + 2u, best.places.z);
    store(columns.at + 3u, part.base + 3u, best.places.w);
}
