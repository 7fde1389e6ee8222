// The order of elements of any type, as unsigned integers: of two elements the one with the larger number wins. From
// the prelude: `elem`, KIND (1 i32, 2 u32, others floats that are f32 by now) and LEAST (1 if the least element wins).

// Comparing bits keeps denormals apart where the arithmetic flushes them, and puts every NaN in front; 0 and -0 are one.
fn order(v: elem) -> u32 {
    var bits = bitcast<u32>(v);
    if KIND == 1u {
        bits = bits ^ 0x80000000u;
    } else if KIND != 2u {
        if (bits & 0x7fffffffu) > 0x7f800000u {
            return 0xffffffffu;
        }
        bits = select(bits, 0u, bits == 0x80000000u);
        bits = select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
    }
    return select(bits, ~bits, LEAST == 1u);
}
