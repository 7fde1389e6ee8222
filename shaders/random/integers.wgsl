// low + (word · range) / 2³², the high half of the product: no bias that 32 bits could show for small ranges. A range of 2³²
// is 0 here, and takes the word itself.
fn part(word: u32) -> i32 {
    return bitcast<i32>(select(lg_mul_wide(word, params.b).x, word, params.b == 0u));
}

fn distribution(words: vec4<u32>) -> vec4<i32> {
    let low = bitcast<i32>(params.a);
    return vec4<i32>(low) + vec4<i32>(part(words.x), part(words.y), part(words.z), part(words.w));
}
