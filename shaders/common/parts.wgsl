// Outputs of a reduction, cut into parts of `params.part` elements.
#import common/reduce

// Elements `first` up to, not including, `end` of the output that starts at `base`.
struct Part {
    base: u32,
    first: u32,
    end: u32,
}

fn part_at(base: u32, number: u32) -> Part {
    let first = number * params.part;
    return Part(base, first, min(first + params.part, params.r));
}

// Number `i` of the parts of all outputs, those of an output side by side.
fn part_of(i: u32) -> Part {
    let output = i / params.splits;
    return part_at(output_base(output), i - output * params.splits);
}

// A part of four outputs whose elements lie side by side, and the place of the first one's result. Parts lie one behind the
// other, each with all outputs.
struct Columns {
    part: Part,
    at: u32,
}

fn columns_of(i: u32) -> Columns {
    let quads = params.n / 4u;
    let number = i / quads;
    let output = 4u * (i - number * quads);
    return Columns(part_at(output_base(output), number), number * params.n + output);
}
