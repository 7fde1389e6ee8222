//! The WGSL text of a kernel variant: prelude, imported files, the kernel's own pieces.

use super::kernel::Kernel;

/// The files that `#import` finds, by path below `shaders/` without the ending.
const COMMON: &[(&str, &str)] = &[
    ("common/class_loss", include_str!("../../shaders/common/class_loss.wgsl")),
    ("common/convolution", include_str!("../../shaders/common/convolution.wgsl")),
    ("common/convolution_params", include_str!("../../shaders/common/convolution_params.wgsl")),
    ("common/convolution_quads", include_str!("../../shaders/common/convolution_quads.wgsl")),
    ("common/convolution_vectors", include_str!("../../shaders/common/convolution_vectors.wgsl")),
    ("common/convolution_weight", include_str!("../../shaders/common/convolution_weight.wgsl")),
    ("common/convolution_weight_params", include_str!("../../shaders/common/convolution_weight_params.wgsl")),
    ("common/index", include_str!("../../shaders/common/index.wgsl")),
    ("common/compare", include_str!("../../shaders/common/compare.wgsl")),
    ("common/division", include_str!("../../shaders/common/division.wgsl")),
    ("common/elementwise", include_str!("../../shaders/common/elementwise.wgsl")),
    ("common/fault", include_str!("../../shaders/common/fault.wgsl")),
    ("common/group", include_str!("../../shaders/common/group.wgsl")),
    ("common/half", include_str!("../../shaders/common/half.wgsl")),
    ("common/half_words", include_str!("../../shaders/common/half_words.wgsl")),
    ("common/log_sum", include_str!("../../shaders/common/log_sum.wgsl")),
    ("common/loss", include_str!("../../shaders/common/loss.wgsl")),
    ("common/math", include_str!("../../shaders/common/math.wgsl")),
    ("common/matmul", include_str!("../../shaders/common/matmul.wgsl")),
    ("common/matmul_half", include_str!("../../shaders/common/matmul_half.wgsl")),
    ("common/matmul_half_store", include_str!("../../shaders/common/matmul_half_store.wgsl")),
    ("common/matmul_params", include_str!("../../shaders/common/matmul_params.wgsl")),
    ("common/norm", include_str!("../../shaders/common/norm.wgsl")),
    ("common/order", include_str!("../../shaders/common/order.wgsl")),
    ("common/parts", include_str!("../../shaders/common/parts.wgsl")),
    ("common/pool", include_str!("../../shaders/common/pool.wgsl")),
    ("common/quads", include_str!("../../shaders/common/quads.wgsl")),
    ("common/quads_half", include_str!("../../shaders/common/quads_half.wgsl")),
    ("common/random", include_str!("../../shaders/common/random.wgsl")),
    ("common/reduce", include_str!("../../shaders/common/reduce.wgsl")),
    ("common/words", include_str!("../../shaders/common/words.wgsl")),
];

/// The paths that `#import` accepts.
pub fn imports() -> impl Iterator<Item = &'static str> {
    COMMON.iter().map(|(path, _)| *path)
}

/// A text with what comes before the writer's own part of it.
pub(crate) struct Text {
    pub text: String,
    /// Lines of the prelude and of imported files.
    pub lines_before: usize,
}

/// The whole text of a kernel variant.
///
/// # Errors
/// A message when a `#import` names no file of `shaders/common`.
pub fn assemble(kernel: &Kernel, variant: usize) -> Result<String, String> {
    assemble_text(kernel, variant).map(|text| text.text)
}

pub(crate) fn assemble_text(kernel: &Kernel, variant: usize) -> Result<Text, String> {
    join(kernel, variant, kernel.source)
}

/// The text of a replacement: the prelude of the variant that it stands in for, then the text.
pub(crate) fn replacement_text(kernel: &Kernel, variant: usize, replacement: &str) -> Result<Text, String> {
    join(kernel, variant, &[replacement])
}

fn join(kernel: &Kernel, variant: usize, pieces: &[&str]) -> Result<Text, String> {
    let mut text = kernel.variants[variant].prelude();
    let mut seen = Vec::new();
    let mut lines_before = 0;
    for piece in pieces {
        expand(piece, &mut seen, &mut text)?;
        // Its imports stand before it.
        lines_before = text.lines().count() - piece.lines().count();
    }
    Ok(Text { text, lines_before })
}

/// Appends `piece` with its imports before it, each file once (which also ends cycles).
fn expand(piece: &str, seen: &mut Vec<String>, text: &mut String) -> Result<(), String> {
    let mut own = String::with_capacity(piece.len());
    for line in piece.lines() {
        let Some(path) = line.trim_start().strip_prefix("#import ").map(str::trim) else {
            own.push_str(line);
            own.push('\n');
            continue;
        };
        // An empty line in the import's place keeps the line numbers of compiler messages.
        own.push('\n');
        if seen.iter().any(|s| s == path) {
            continue;
        }
        seen.push(path.to_string());
        let Some((_, content)) = COMMON.iter().find(|(name, _)| *name == path) else {
            let known: Vec<_> = imports().collect();
            return Err(format!("#import {path}: no such file; there are {}", known.join(", ")));
        };
        expand(content, seen, text)?;
    }
    text.push_str(&own);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_come_first_and_once() {
        let mut text = String::new();
        let mut seen = Vec::new();
        expand("#import common/index\n#import common/index\nfn a() {}", &mut seen, &mut text).unwrap();
        assert_eq!(text.matches("fn linear_id(").count(), 1);
        assert!(text.find("fn linear_id(").unwrap() < text.find("fn a()").unwrap());
    }

    #[test]
    fn an_unknown_import_is_named() {
        let err = expand("#import common/nothing", &mut Vec::new(), &mut String::new()).unwrap_err();
        assert!(err.contains("common/nothing") && err.contains("common/index"), "{err}");
    }
}
