// low + u·range with the product rounded before the sum, so that every device gives the same bits.
fn distribution(words: vec4<u32>) -> vec4<f32> {
    let low = bitcast<f32>(params.a);
    let range = bitcast<f32>(params.b);
    return vec4<f32>(
        low + lg_keep(uniform01(words.x) * range),
        low + lg_keep(uniform01(words.y) * range),
        low + lg_keep(uniform01(words.z) * range),
        low + lg_keep(uniform01(words.w) * range),
    );
}
