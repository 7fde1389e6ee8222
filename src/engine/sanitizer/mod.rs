//! The sanitizer: runs the WGSL text of kernels on the host and finds what drivers hide.
//!
//! A GPU may run the threads of a dispatch in any order, so a kernel that lacks a barrier can give right numbers on one
//! driver and wrong ones on the next; software drivers, which run one workgroup after the other, never show it. Here each
//! word of shared memory knows who touched it last. Two threads that touch one, at least one of them to change it, with no
//! barrier between them (which helps only within a workgroup), are a race, whatever order they ran in. Besides: elements
//! outside of an array, memory that is read before anybody has written it, barriers and subgroup operations that not all
//! threads come to.
//!
//! Subgroups have as many threads as one likes to try, and no device is needed.

mod evaluate;
mod machine;
mod memory;
mod numbers;
mod threads;
mod types;

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use wgpu::naga;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

use super::fault;
use super::kernel::{Binding, Dispatch, Kernel};
use super::pipelines::PARAMS_BINDING;
use super::reflect::check_replacement;
use super::shader::{self, Text};
use crate::dtype::HostData;
use crate::{Error, Result};
use machine::{Finding, Launch, Machine};
use memory::Memory;
use types::Types;

/// Threads of a subgroup unless somebody says another number; most GPUs have so many.
pub(crate) const SUBGROUP: u32 = 32;

/// Buffers are whole vectors of four, as on a device, where they are larger still.
const GRANULE: usize = 16;

/// What lies behind the end of a tensor: a NaN as a float.
const BEHIND: u8 = 0xff;

/// A parsed text.
struct Program {
    text: String,
    /// How many of its lines are the prelude and imports.
    lines_before: usize,
    module: Module,
    info: ModuleInfo,
    entry: usize,
}

/// Runs kernels from their texts.
pub(crate) struct Sanitizer {
    subgroup: u32,
    programs: Mutex<FxHashMap<(usize, usize), Arc<Program>>>,
    /// Texts in place of kernels' own.
    replacements: Mutex<FxHashMap<(usize, usize), String>>,
}

impl Sanitizer {
    pub fn new(subgroup: u32) -> Sanitizer {
        Sanitizer { subgroup, programs: Mutex::default(), replacements: Mutex::default() }
    }

    /// Threads of a subgroup.
    pub fn subgroup(&self) -> u32 {
        self.subgroup
    }

    /// Puts another text in a kernel's place, or the kernel's own back.
    pub fn replace(&self, kernel: &'static Kernel, variant: usize, wgsl: Option<String>) {
        let key = (kernel.id(), variant);
        let mut replacements = self.replacements.lock().unwrap_or_else(PoisonError::into_inner);
        match wgsl {
            Some(text) => replacements.insert(key, text),
            None => replacements.remove(&key),
        };
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Runs a dispatch on copies of what was in its operands before, and gives the contents of those that the kernel declares
    /// as written.
    ///
    /// # Errors
    /// [`Error::Sanitizer`] with what the kernel does wrong; [`Error::Index`] for a bad index that it reports.
    pub fn run(&self, dispatch: &Dispatch<'_>, before: &[HostData]) -> Result<Vec<Option<HostData>>> {
        let &Dispatch { kernel, variant, params, grid, .. } = dispatch;
        let program = self.program(kernel, variant)?;
        let (module, mut given) = (&program.module, before.iter());
        let contents: Vec<(Vec<u8>, bool)> = (kernel.bindings.iter())
            .map(|binding| {
                let content = match binding.is_operand() {
                    true => given.next().expect("a buffer for every operand").to_bytes(),
                    false => vec![0; 4 * fault::WORDS],
                };
                (content, !matches!(binding, Binding::Write(_)))
            })
            .collect();
        // A text may declare what other entry points use.
        let binding = |handle, variable: &naga::GlobalVariable| {
            variable.binding.as_ref().filter(|_| program.uses(handle)).map(|binding| binding.binding)
        };
        let of = |handle, variable: &naga::GlobalVariable| match (variable.space, binding(handle, variable)) {
            (AddressSpace::Storage { .. }, Some(binding)) => {
                let (content, is_written) = &contents[binding as usize];
                let mut content = content.clone();
                content.resize(content.len().next_multiple_of(4), 0);
                content.resize(content.len().next_multiple_of(GRANULE).max(GRANULE), BEHIND);
                (content, *is_written)
            }
            (AddressSpace::Uniform, Some(PARAMS_BINDING)) => (params.0.to_vec(), true),
            (AddressSpace::Storage { .. } | AddressSpace::Uniform, _) => (Vec::new(), true),
            _ => {
                let bytes = module.types[variable.ty].inner.size(module.to_ctx());
                (vec![0; bytes as usize], variable.space != AddressSpace::WorkGroup)
            }
        };
        let types = Types::new(module);
        let memory = |(handle, variable): (_, &naga::GlobalVariable)| {
            let (content, is_written) = of(handle, variable);
            Memory::new(content, is_written, types.grain(variable.ty))
        };
        let shared = module.global_variables.iter().map(memory).collect();
        let size = module.entry_points[program.entry].workgroup_size;
        let launch = Launch { groups: grid.groups, size, subgroup: self.subgroup };
        let mut machine = Machine::new(module, &program.info, shared, launch);
        let refused =
            |finding: &Finding| Error::Sanitizer { kernel: kernel.label(variant), finding: program.located(finding) };
        machine.run(program.entry).map_err(|finding| refused(&finding))?;
        written(&program, dispatch, before, &contents, &machine)
    }

    fn program(&self, kernel: &'static Kernel, variant: usize) -> Result<Arc<Program>> {
        let key = (kernel.id(), variant);
        let replacement = self.replacements.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = programs.get(&key) {
            return Ok(known.clone());
        }
        let refused = |message: String| Error::Kernel { kernel: kernel.label(variant), message };
        let text = match replacement {
            Some(text) => {
                check_replacement(kernel, variant, &text)?;
                shader::replacement_text(kernel, variant, &text)
            }
            None => shader::assemble_text(kernel, variant),
        };
        let Text { text, lines_before } = text.map_err(refused)?;
        let module = naga::front::wgsl::parse_str(&text).map_err(|e| refused(e.emit_to_string(&text)))?;
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info = validator.validate(&module).map_err(|e| refused(e.emit_to_string(&text)))?;
        let entry = module.entry_points.iter().position(|entry| entry.name == kernel.entry);
        let entry = entry.ok_or_else(|| refused(format!("there is no `@compute fn {}`", kernel.entry)))?;
        let program = Arc::new(Program { text, lines_before, module, info, entry });
        programs.insert(key, program.clone());
        Ok(program)
    }
}

/// What the kernel has left in the buffers that it writes.
fn written(
    program: &Program,
    dispatch: &Dispatch<'_>,
    before: &[HostData],
    contents: &[(Vec<u8>, bool)],
    machine: &Machine<'_>,
) -> Result<Vec<Option<HostData>>> {
    let &Dispatch { kernel, variant, operands, .. } = dispatch;
    let mut given = operands.iter().zip(before);
    let mut found = Vec::new();
    for (place, binding) in kernel.bindings.iter().enumerate() {
        let is_bound = |handle, variable: &naga::GlobalVariable| {
            program.uses(handle) && variable.binding.as_ref().is_some_and(|b| b.binding as usize == place)
        };
        let variable = program.module.global_variables.iter().position(|(handle, variable)| is_bound(handle, variable));
        let bytes = variable.map_or(&[][..], |variable| &machine.shared[variable].bytes);
        if !binding.is_operand() {
            let word =
                |i: usize| bytes.get(4 * i..4 * i + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().expect("4")));
            if let Some(fault) = fault::decode(std::array::from_fn(word)) {
                return Err(fault);
            }
            continue;
        }
        let (operand, before) = given.next().expect("a buffer for every operand");
        if variable.is_none() {
            found.push(binding.is_written().then(|| before.clone()));
            continue;
        }
        let end = contents[place].0.len();
        if let Some(behind) = bytes[end.next_multiple_of(4)..].iter().position(|byte| *byte != BEHIND) {
            let (name, behind) = (binding.name(), end.next_multiple_of(4) + behind);
            let finding = format!("byte {behind} of `{name}` was changed, behind its {end} bytes");
            return Err(Error::Sanitizer { kernel: kernel.label(variant), finding });
        }
        found.push(binding.is_written().then(|| HostData::from_bytes(operand.dtype, &bytes[..end])));
    }
    Ok(found)
}

impl Program {
    /// Whether the entry point, or a function that it calls, uses a variable.
    fn uses(&self, variable: naga::Handle<naga::GlobalVariable>) -> bool {
        !self.info.get_entry_point(self.entry)[variable].is_empty()
    }

    /// A finding with the lines of the text that it is about.
    fn located(&self, finding: &Finding) -> String {
        let mut message = finding.message.clone();
        let mut quote = |what: &str, start: usize| {
            let before = &self.text[..start];
            let line = self.text[before.rfind('\n').map_or(0, |i| i + 1)..].lines().next().unwrap_or_default();
            let number = before.matches('\n').count() + 1;
            let place = match number.checked_sub(self.lines_before) {
                Some(own) if own > 0 => format!("line {own}"),
                _ => format!("line {number} of the prelude and imports"),
            };
            message.push_str(&format!("\n  {what} {place}: {}", line.trim()));
        };
        if let Some(range) = finding.place.to_range() {
            quote("here, in", range.start);
        }
        if let Some(earlier) = finding.earlier {
            quote("and before, in", earlier as usize);
        }
        message
    }
}
