// Operands that lie like the result: its elements 4i to 4i + 3 come from vector i of each.

alias loaded = vec4<elem>;
alias stored = vec4<result>;

fn firsts_of(i: u32) -> vec3<u32> {
    return params.offsets.xyz + 4u * i;
}

fn spread(v: loaded, first: u32, operand: u32) -> vec4<elem> {
    return v;
}

fn packed(v: vec4<result>) -> stored {
    return v;
}
