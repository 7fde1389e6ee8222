fn distribution(words: vec4<u32>) -> vec4<f32> {
    let z = vec4<f32>(normal2(words.x, words.y), normal2(words.z, words.w));
    return vec4<f32>(bitcast<f32>(params.a)) + bitcast<f32>(params.b) * z;
}
