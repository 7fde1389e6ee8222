// An operand that is read in vectors of four; `elem` is an alias of the prelude.
@group(0) @binding(0) var<storage, read> x: array<vec4<elem>>;

fn read_quad(at: u32) -> vec4<elem> {
    return x[at];
}
