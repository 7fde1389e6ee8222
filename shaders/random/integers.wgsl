// low + (word · range) / 2³², the high half of the product: no bias that 32 bits could show for small ranges.
fn distribution(words: vec4<u32>) -> vec4<i32> {
    let low = bitcast<i32>(params.a);
    return vec4<i32>(low) + vec4<i32>(
        bitcast<i32>(lg_mul_wide(words.x, params.b).x),
        bitcast<i32>(lg_mul_wide(words.y, params.b).x),
        bitcast<i32>(lg_mul_wide(words.z, params.b).x),
        bitcast<i32>(lg_mul_wide(words.w, params.b).x),
    );
}
