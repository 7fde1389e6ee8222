// low + u·range with the product rounded before the sum, so that every device gives the same bits. Where the sum is
// rounded up to the end of the range, which does not belong to it, it is the start instead.
fn spread(word: u32, low: f32, range: f32) -> f32 {
    let value = low + lg_keep(uniform01(word) * range);
    return select(value, low, value >= low + range);
}

fn distribution(words: vec4<u32>) -> vec4<f32> {
    let low = bitcast<f32>(params.a);
    let range = bitcast<f32>(params.b);
    return vec4<f32>(
        spread(words.x, low, range),
        spread(words.y, low, range),
        spread(words.z, low, range),
        spread(words.w, low, range),
    );
}
