//! The WGSL text of a kernel variant: prelude, imported files, the kernel's own pieces.

use super::kernel::Kernel;

/// The files that `#import` finds, by path below `shaders/` without the ending.
const COMMON: &[(&str, &str)] = &[
    ("common/class_loss", include_str!("../../shaders/common/class_loss.wgsl")),
    ("common/convolution", include_str!("../../shaders/common/convolution.wgsl")),
    ("common/convolution_lanes", include_str!("../../shaders/common/convolution_lanes.wgsl")),
    ("common/convolution_weight", include_str!("../../shaders/common/convolution_weight.wgsl")),
    ("common/index", include_str!("../../shaders/common/index.wgsl")),
    ("common/compare", include_str!("../../shaders/common/compare.wgsl")),
    ("common/elementwise", include_str!("../../shaders/common/elementwise.wgsl")),
    ("common/fault", include_str!("../../shaders/common/fault.wgsl")),
    ("common/group", include_str!("../../shaders/common/group.wgsl")),
    ("common/log_sum", include_str!("../../shaders/common/log_sum.wgsl")),
    ("common/loss", include_str!("../../shaders/common/loss.wgsl")),
    ("common/math", include_str!("../../shaders/common/math.wgsl")),
    ("common/matmul", include_str!("../../shaders/common/matmul.wgsl")),
    ("common/norm", include_str!("../../shaders/common/norm.wgsl")),
    ("common/order", include_str!("../../shaders/common/order.wgsl")),
    ("common/pool", include_str!("../../shaders/common/pool.wgsl")),
    ("common/random", include_str!("../../shaders/common/random.wgsl")),
    ("common/reduce", include_str!("../../shaders/common/reduce.wgsl")),
];

/// The paths that `#import` accepts.
pub fn imports() -> impl Iterator<Item = &'static str> {
    COMMON.iter().map(|(path, _)| *path)
}

/// The whole text of a kernel variant.
///
/// # Errors
/// A message when a `#import` names no file of `shaders/common`.
pub fn assemble(kernel: &Kernel, variant: usize) -> Result<String, String> {
    let mut text = kernel.variants[variant].prelude();
    let mut seen = Vec::new();
    for piece in kernel.source {
        expand(piece, &mut seen, &mut text)?;
    }
    Ok(text)
}

/// The text of a replacement: the prelude of the variant that it stands in for, then the text.
pub(crate) fn assemble_replacement(kernel: &Kernel, variant: usize, replacement: &str) -> Result<String, String> {
    let mut text = kernel.variants[variant].prelude();
    expand(replacement, &mut Vec::new(), &mut text)?;
    Ok(text)
}

/// Appends `piece` with its imports before it, each file once (which also ends cycles).
fn expand(piece: &str, seen: &mut Vec<String>, text: &mut String) -> Result<(), String> {
    let mut own = String::with_capacity(piece.len());
    for line in piece.lines() {
        let Some(path) = line.strip_prefix("#import ").map(str::trim) else {
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
