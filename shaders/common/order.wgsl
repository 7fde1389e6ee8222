// The order of elements of any type, as unsigned integers: of two elements the one with the larger number wins. From
// the prelude: `elem`, KIND (1 i32, 2 u32, others floats that are f32 by now) and LEAST (1 if the least element wins).

// What every NaN has.
const OF_NAN: u32 = 0xffffffffu;

// Comparing bits keeps denormals apart where the arithmetic flushes them, and puts every NaN in front; 0 and -0 are one.
fn order(v: elem) -> u32 {
    var bits = bitcast<u32>(v);
    if KIND != 1u && KIND != 2u {
        bits = select(bits, 0u, bits == 0x80000000u);
    }
    return rank_of_bits(bits);
}

// The same, with 0 above -0: other than `order` it tells what the element was.
fn rank(v: elem) -> u32 {
    return rank_of_bits(bitcast<u32>(v));
}

fn rank_of_bits(of_element: u32) -> u32 {
    var bits = of_element;
    if KIND == 1u {
        bits = bits ^ 0x80000000u;
    } else if KIND != 2u {
        bits = select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
    }
    let is_number = KIND == 1u || KIND == 2u || (of_element & 0x7fffffffu) <= 0x7f800000u;
    return select(OF_NAN, select(bits, ~bits, LEAST == 1u), is_number);
}

// The element of a rank; a NaN of its own for all of them.
fn element_of(rank: u32) -> elem {
    var bits = select(rank, ~rank, LEAST == 1u);
    if KIND == 1u {
        bits = bits ^ 0x80000000u;
    } else if KIND != 2u {
        bits = select(~bits, bits & 0x7fffffffu, (bits >> 31u) == 1u);
        bits = select(bits, 0x7fc00000u, rank == OF_NAN);
    }
    return bitcast<elem>(bits);
}
