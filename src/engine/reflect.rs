//! What a WGSL text says of itself: whether it is valid, and what its entry point binds.

use std::error::Error as _;

use wgpu::naga;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ArraySize, Module, ScalarKind, ShaderStage, StorageAccess, TypeInner, VectorSize};

use super::kernel::{Binding, Kernel, Variant};
use super::pipelines::PARAMS_BINDING;
use super::shader::{self, Text};
use crate::{Error, Result};

/// WebGPU's guarantees, and the engine's own limit for params.
const MAX_STORAGE_BUFFERS: usize = 8;
// The params are bound behind them.
const _: () = assert!(MAX_STORAGE_BUFFERS <= PARAMS_BINDING as usize);
const MAX_THREADS: u32 = 256;
const MAX_THREADS_Z: u32 = 64;
const MAX_WORKGROUP_BYTES: u32 = 16 << 10;
const MAX_PARAMS_BYTES: usize = 256;

/// The type of a 4-byte number in WGSL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    F32,
    I32,
    U32,
}

/// A storage buffer of group 0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage {
    pub name: String,
    pub written: bool,
    pub element: Word,
}

/// A member of the params block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub offset: usize,
    pub word: Word,
    /// How many numbers it holds.
    pub len: usize,
    /// Whether fewer may be given.
    pub is_array: bool,
}

/// An entry point, seen from outside.
#[derive(Clone, Debug)]
pub(crate) struct Reflection {
    /// In the order of their bindings.
    pub storage: Vec<Storage>,
    pub params: Vec<Field>,
    pub params_bytes: usize,
    pub workgroup: [u32; 3],
}

/// Reads a text and holds it to what every device allows.
///
/// # Errors
/// [`Error::Kernel`] with the place in the text.
pub(crate) fn reflect(label: &str, text: &Text, entry: &str, variant: &Variant) -> Result<Reflection> {
    let refused = |message: String| Error::Kernel { kernel: label.into(), message };
    let module = naga::front::wgsl::parse_str(&text.text).map_err(|e| {
        let known = e.labels().find(|(span, _)| span.is_defined());
        let span = known.map(|(span, label)| (span.location(&text.text), label.to_string()));
        refused(excerpt(label, text, e.message(), span))
    })?;
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if variant.min_subgroup > 0 {
        capabilities |= Capabilities::SUBGROUP;
    }
    if variant.matrices > 0 {
        capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    }
    Validator::new(ValidationFlags::all(), capabilities).validate(&module).map_err(|e| {
        let mut message = e.as_inner().to_string();
        let mut cause = e.as_inner().source();
        while let Some(next) = cause {
            message.push_str(&format!(": {next}"));
            cause = next.source();
        }
        let known = e.spans().find(|(span, _)| span.is_defined());
        let span = known.map(|(span, label)| (span.location(&text.text), label.clone()));
        refused(excerpt(label, text, &message, span))
    })?;
    entry_point(&module, entry).map_err(refused)
}

/// The message with its line, as compilers show it. Lines are counted in the user's own text where they lie there.
fn excerpt(label: &str, text: &Text, message: &str, place: Option<(naga::SourceLocation, String)>) -> String {
    let Some((location, what)) = place else { return message.to_string() };
    let line = text.text.lines().nth(location.line_number as usize - 1).unwrap_or_default();
    let before = text.lines_before as u32;
    let (origin, number) = match location.line_number.checked_sub(before) {
        Some(own) if own > 0 => ("", own),
        _ => (" (prelude and imports)", location.line_number),
    };
    let column = location.line_position as usize;
    let caret = "^".repeat((location.length as usize).clamp(1, (line.len() + 1).saturating_sub(column).max(1)));
    let gutter = " ".repeat(number.to_string().len());
    let spaces = " ".repeat(column - 1);
    format!(
        "{message}\n{gutter}--> {label}{origin}:{number}:{column}\n{gutter} |\n{number} | {line}\n{gutter} | {spaces}{caret} {what}"
    )
}

fn entry_point(module: &Module, entry: &str) -> Result<Reflection, String> {
    let point = module.entry_points.iter().find(|e| e.name == entry && e.stage == ShaderStage::Compute);
    let point = point.ok_or_else(|| {
        let names: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        format!("there is no `@compute fn {entry}`; the text has {names:?}")
    })?;
    let [x, y, z] = point.workgroup_size;
    if x * y * z > MAX_THREADS || z > MAX_THREADS_Z {
        return Err(format!("a workgroup of {x} × {y} × {z} threads; every device has {MAX_THREADS} in all"));
    }
    let (mut storage, mut params, mut params_bytes, mut shared) = (Vec::new(), Vec::new(), 0, 0);
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        let place = variable.binding.as_ref().map(|b| (b.group, b.binding));
        let inner = &module.types[variable.ty].inner;
        match (variable.space, place) {
            (AddressSpace::Storage { access }, Some((0, number))) => {
                let written = access.contains(StorageAccess::STORE);
                let element = element(module, inner).ok_or_else(|| {
                    format!("`{name}` must be an `array<…>` of f32, i32 or u32, or of vectors of them")
                })?;
                storage.push((number, Storage { name, written, element }));
            }
            (AddressSpace::Uniform, Some((0, PARAMS_BINDING))) => {
                (params, params_bytes) = fields(module, inner)?;
            }
            (AddressSpace::WorkGroup, _) => shared += inner.size(module.to_ctx()).next_multiple_of(16),
            (AddressSpace::Storage { .. } | AddressSpace::Uniform | AddressSpace::Handle, place) => {
                let place = place
                    .map_or("nowhere".into(), |(group, binding)| format!("at @group({group}) @binding({binding})"));
                return Err(format!(
                    "`{name}` is bound {place}: storage buffers are @group(0) from @binding(0) on, the params @group(0) @binding({PARAMS_BINDING})"
                ));
            }
            _ => {}
        }
    }
    storage.sort_by_key(|(number, _)| *number);
    if storage.iter().enumerate().any(|(i, (number, _))| i != *number as usize) {
        return Err("the bindings of storage buffers are not 0, 1, 2 … without gaps".into());
    }
    if storage.len() > MAX_STORAGE_BUFFERS {
        return Err(format!("{} storage buffers; every device has {MAX_STORAGE_BUFFERS}", storage.len()));
    }
    if shared > MAX_WORKGROUP_BYTES {
        return Err(format!("{shared} bytes of workgroup memory; every device has {MAX_WORKGROUP_BYTES}"));
    }
    let storage = storage.into_iter().map(|(_, s)| s).collect();
    Ok(Reflection { storage, params, params_bytes, workgroup: point.workgroup_size })
}

fn word(scalar: naga::Scalar) -> Option<Word> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Some(Word::F32),
        (ScalarKind::Sint, 4) => Some(Word::I32),
        (ScalarKind::Uint, 4) => Some(Word::U32),
        _ => None,
    }
}

fn element(module: &Module, inner: &TypeInner) -> Option<Word> {
    let TypeInner::Array { base, .. } = inner else { return None };
    match module.types[*base].inner {
        TypeInner::Scalar(scalar) | TypeInner::Atomic(scalar) => word(scalar),
        // Two halves lie in a word.
        TypeInner::Vector { size: VectorSize::Bi | VectorSize::Quad, scalar } if scalar == naga::Scalar::F16 => {
            Some(Word::U32)
        }
        TypeInner::Vector { scalar, .. } => word(scalar),
        _ => None,
    }
}

fn fields(module: &Module, inner: &TypeInner) -> Result<(Vec<Field>, usize), String> {
    let TypeInner::Struct { members, span } = inner else { return Err("the params must be a struct".into()) };
    let bytes = (*span as usize).next_multiple_of(4);
    if bytes > MAX_PARAMS_BYTES {
        return Err(format!("{bytes} bytes of params; the most are {MAX_PARAMS_BYTES}"));
    }
    let field = |member: &naga::StructMember| {
        let name = member.name.clone().unwrap_or_default();
        let plain = |inner: &TypeInner| match inner {
            TypeInner::Scalar(scalar) => word(*scalar).map(|w| (w, 1)),
            TypeInner::Vector { size, scalar } => word(*scalar).map(|w| (w, *size as usize)),
            _ => None,
        };
        let inner = &module.types[member.ty].inner;
        let (found, is_array) = match inner {
            TypeInner::Array { base, size: ArraySize::Constant(n), stride: 16 } => {
                let whole = plain(&module.types[*base].inner).filter(|(_, len)| *len == 4);
                (whole.map(|(w, len)| (w, len * n.get() as usize)), true)
            }
            other => (plain(other), false),
        };
        let (word, len) = found.ok_or_else(|| {
            format!("the param `{name}` must be f32, i32, u32, a vector of them, or an array of vectors of four")
        })?;
        Ok(Field { name, offset: member.offset as usize, word, len, is_array })
    };
    Ok((members.iter().map(field).collect::<Result<_, String>>()?, bytes))
}

/// Holds what a text binds against a kernel's declaration.
pub(crate) fn check_bindings(found: &Reflection, declared: &[Binding]) -> Result<(), String> {
    let show = |name: &str, written: bool| format!("{}{name}", if written { "read_write " } else { "read " });
    let seen: Vec<_> = found.storage.iter().map(|s| show(&s.name, s.written)).collect();
    let wanted: Vec<_> = declared.iter().map(|b| show(b.name(), b.is_written())).collect();
    if seen == wanted {
        return Ok(());
    }
    Err(format!("the text binds [{}]; declared are [{}]", seen.join(", "), wanted.join(", ")))
}

/// A replacement must be like what it stands for: same bindings, params and threads.
pub(crate) fn check_replacement(kernel: &Kernel, variant: usize, wgsl: &str) -> Result<()> {
    let label = kernel.label(variant);
    let refused = |message: String| Error::Kernel { kernel: label.clone(), message };
    let of = &kernel.variants[variant];
    let own = shader::assemble_text(kernel, variant).map_err(refused)?;
    let own = reflect(&label, &own, kernel.entry, of)?;
    let text = shader::replacement_text(kernel, variant, wgsl).map_err(refused)?;
    let new = reflect(&label, &text, kernel.entry, of)?;
    check_bindings(&new, kernel.bindings).map_err(refused)?;
    if new.params != own.params {
        let names =
            |r: &Reflection| r.params.iter().map(|f| format!("{}@{}", f.name, f.offset)).collect::<Vec<_>>().join(", ");
        return Err(refused(format!("the params are {{{}}} and must be {{{}}}", names(&new), names(&own))));
    }
    if new.workgroup != own.workgroup {
        let (given, wanted) = (new.workgroup, own.workgroup);
        return Err(refused(format!("the workgroup has {given:?} threads; the kernel is launched with {wanted:?}")));
    }
    Ok(())
}
