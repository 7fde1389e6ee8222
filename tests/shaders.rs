//! Every shader, without a GPU: each variant of each kernel is valid at WebGPU's guarantees, is what its declaration says,
//! and translates to the language of every driver.
//!
//! SPIR-V is also given to `spirv-val` where it is installed (Debian and Ubuntu: `apt-get install spirv-tools`);
//! `LUMIGRAD_REQUIRE_SPIRV_VAL=1` makes its absence a failure.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lumigrad::engine::{self, Binding, Grid, Item, Kernel, ParamsLayout, Variant};
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, FunctionInfo, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Handle, Module, ShaderStage, StorageAccess, TypeInner};

/// WebGPU's guarantees, and the engine's own limit for params.
const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_THREADS: u32 = 256;
const MAX_THREADS_Z: u32 = 64;
const MAX_WORKGROUP_BYTES: u32 = 16 << 10;
const MAX_PARAMS_BYTES: usize = 256;

#[test]
fn every_variant_is_valid_and_as_declared() {
    let spirv_val = SpirvVal::find();
    let all: Vec<_> = lumigrad::ops::kernels()
        .flat_map(|(_, kernel)| (0..kernel.variants.len()).map(move |variant| (kernel, variant)))
        .collect();
    assert!(all.len() > 20, "only {} kernel variants are listed", all.len());
    let problems = in_parallel(&all, |(kernel, variant)| check(kernel, *variant, &spirv_val));
    assert!(problems.is_empty(), "{} of {} variants:\n\n{}", problems.len(), all.len(), problems.join("\n\n"));
}

/// Whatever a kernel imports must not lean on what the kernel happens to have.
#[test]
fn every_common_file_is_valid_on_its_own() {
    // What the files say that the importing shader provides.
    const PIECES: &[(&str, &str)] = &[
        ("common/compare", "const IS_FLOAT: u32 = 1u;\n"),
        ("common/convolution", "#import common/words\n"),
        ("common/convolution_quads", "#import common/words\n"),
        ("common/convolution_weight", "#import common/words\n"),
        ("common/division", "const IS_FLOAT: u32 = 1u;\n"),
        ("common/fault", "@group(0) @binding(0) var<storage, read_write> faults: array<atomic<u32>, 4>;\n"),
        ("common/half_words", "const KIND: u32 = 3u;\n"),
        ("common/log_sum", "@group(0) @binding(0) var<storage, read> x: array<f32>;\n"),
        ("common/matmul_half", "const KIND: u32 = 3u;\n"),
        ("common/matmul_half_store", "const KIND: u32 = 3u;\n"),
        ("common/quads_half", "const KIND: u32 = 3u;\n"),
        ("common/pool", "const ADAPTIVE: u32 = 0u;\n"),
        ("common/order", "const KIND: u32 = 0u;\nconst LEAST: u32 = 0u;\n"),
    ];
    const VARIANT: &[Variant] = &[Variant::new("", &[Item::Alias("elem", "f32"), Item::Alias("result", "f32")])];
    let mut problems = Vec::new();
    for import in engine::imports() {
        let provided = PIECES.iter().find(|(name, _)| *name == import).map_or("", |(_, text)| *text);
        let text = format!("#import {import}\n{provided}@compute @workgroup_size(1) fn main() {{}}\n");
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel {
            name: import,
            source: Box::leak(Box::new([&*text.leak()])),
            entry: "main",
            bindings: &[],
            params: ParamsLayout { size: 0, fields: &[] },
            variants: VARIANT,
            grid: |_| Grid::elements(0),
            reference: |_| Ok(()),
            bound: |_| engine::Bound::Exact,
        }));
        if let Err(problem) = validated(kernel, 0) {
            problems.push(problem);
        }
    }
    assert!(engine::imports().count() >= 5);
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// The checks can fail: a declaration that does not fit its shader is found out, one mistake at a time.
#[test]
fn a_wrong_declaration_is_noticed() {
    let kernel = |bindings, params, entry, source| Kernel {
        name: "probe",
        source,
        entry,
        bindings,
        params,
        variants: Variant::ONLY,
        grid: |_| Grid::elements(0),
        reference: |_| Ok(()),
        bound: |_| engine::Bound::Exact,
    };
    const SOURCE: &[&str] = &["struct Params { n: u32, step: u32, shape: vec4<u32> }
        @group(0) @binding(8) var<uniform> params: Params;
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(WG) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < params.n { y[id.x] = x[id.x * params.step]; }
        }"];
    const INVALID: &[&str] = &["@compute @workgroup_size(1) fn main() { let x = 1u + 1.0f; }"];
    const BINDINGS: &[Binding] = &[Binding::Read("x"), Binding::Write("y")];
    let fields = &[("n", 0, 4), ("step", 4, 4), ("padding", 8, 8), ("shape", 16, 16)];
    let params = ParamsLayout { size: 32, fields };
    let problem = |kernel: Kernel| check(Box::leak(Box::new(kernel)), 0, &SpirvVal(None)).err().unwrap_or_default();

    assert_eq!(problem(kernel(BINDINGS, params, "main", SOURCE)), "");
    let cases: &[(Kernel, &str)] = &[
        (kernel(&[Binding::Read("x"), Binding::Read("y")], params, "main", SOURCE), "bindings"),
        (kernel(&[Binding::Write("y"), Binding::Read("x")], params, "main", SOURCE), "bindings"),
        (kernel(&[Binding::Read("x")], params, "main", SOURCE), "bindings"),
        (kernel(BINDINGS, params, "other", SOURCE), "no entry point `other`"),
        (kernel(BINDINGS, ParamsLayout { size: 48, fields }, "main", SOURCE), "48 bytes"),
        (kernel(BINDINGS, ParamsLayout { size: 32, fields: &fields[..3] }, "main", SOURCE), "fields"),
        (kernel(BINDINGS, params, "main", INVALID), "wgsl:2"),
    ];
    for (kernel, expected) in cases {
        let found = problem(Kernel { ..*kernel });
        assert!(found.starts_with("probe") && found.contains(expected), "expected {expected:?} in: {found}");
    }
}

/// Runs `check` on every item, on all processors, and returns what went wrong in the order of the items.
fn in_parallel<T: Sync>(items: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) -> Vec<String> {
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(i) else { break };
                    if let Err(problem) = check(item) {
                        problems.lock().unwrap().push((i, problem));
                    }
                }
            });
        }
    });
    let mut problems = problems.into_inner().unwrap();
    problems.sort();
    problems.into_iter().map(|(_, problem)| problem).collect()
}

fn check(kernel: &'static Kernel, variant: usize, spirv_val: &SpirvVal) -> Result<(), String> {
    let (module, info) = validated(kernel, variant)?;
    let label = kernel.label(variant);
    let mut problems = Reflection::new(&module, &info, kernel).map_or_else(|p| vec![p], |r| r.problems());
    if problems.is_empty() {
        translate(&module, &info, kernel, variant, spirv_val).unwrap_or_else(|p| problems.push(p));
    }
    if problems.is_empty() { Ok(()) } else { Err(format!("{label}: {}", problems.join("\n    "))) }
}

/// The variant's text, parsed, and validated with what every WebGPU device can do.
fn validated(kernel: &Kernel, variant: usize) -> Result<(Module, ModuleInfo), String> {
    let label = kernel.label(variant);
    let text = engine::assemble(kernel, variant).map_err(|e| format!("{label}: {e}"))?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| format!("{label}: {}", e.emit_to_string(&text)))?;
    let info = Validator::new(ValidationFlags::all(), capabilities(&kernel.variants[variant]))
        .validate(&module)
        .map_err(|e| format!("{label}: {}", e.emit_to_string(&text)))?;
    Ok((module, info))
}

fn capabilities(variant: &Variant) -> Capabilities {
    // WGSL itself has pack2x16float and its like; f16 and all else are optional.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if variant.min_subgroup > 0 {
        capabilities |= Capabilities::SUBGROUP;
    }
    if variant.matrices > 0 {
        capabilities |= Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    }
    capabilities
}

/// What naga sees of the kernel's entry point.
struct Reflection<'a> {
    module: &'a Module,
    kernel: &'a Kernel,
    entry: &'a naga::EntryPoint,
    uses: &'a FunctionInfo,
}

impl<'a> Reflection<'a> {
    fn new(module: &'a Module, info: &'a ModuleInfo, kernel: &'a Kernel) -> Result<Self, String> {
        let found = module.entry_points.iter().position(|e| e.name == kernel.entry && e.stage == ShaderStage::Compute);
        let Some(number) = found else {
            let names: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
            return Err(format!("no entry point `{}`; there are {names:?}", kernel.entry));
        };
        Ok(Reflection { module, kernel, entry: &module.entry_points[number], uses: info.get_entry_point(number) })
    }

    fn problems(&self) -> Vec<String> {
        let checks = [self.bindings(), self.params(), self.workgroup()];
        checks.into_iter().filter_map(Result::err).collect()
    }

    /// The variables that the entry point uses, itself or through a function.
    fn used(&self) -> impl Iterator<Item = (Handle<GlobalVariable>, &'a GlobalVariable)> {
        let uses = self.uses;
        self.module.global_variables.iter().filter(move |(handle, _)| !uses[*handle].is_empty())
    }

    fn bindings(&self) -> Result<(), String> {
        let mut found = Vec::new();
        for (handle, variable) in self.module.global_variables.iter() {
            let AddressSpace::Storage { access } = variable.space else { continue };
            let place = variable.binding.ok_or("a storage variable without a binding")?;
            let name = variable.name.clone().unwrap_or_default();
            let uses = self.uses[handle];
            let written = access.contains(StorageAccess::STORE);
            // What only the twin reads is declared in the shader, too.
            let for_twin = place.group == 0
                && self
                    .kernel
                    .bindings
                    .get(place.binding as usize)
                    .is_some_and(|b| matches!(b, Binding::Read(n) if *n == name));
            if !uses.is_empty() || (for_twin && !written) {
                let touched = uses.intersects(GlobalUse::WRITE | GlobalUse::ATOMIC);
                found.push((place.group, place.binding, name, written, touched));
            }
        }
        found.sort();
        let declared: Vec<_> =
            (0..).zip(self.kernel.bindings).map(|(i, b)| (0, i, b.name().to_string(), b.is_written())).collect();
        let text = |(group, binding, name, written): &(u32, u32, String, bool)| {
            format!("({group}, {binding}) {}{name}", if *written { "read_write " } else { "" })
        };
        let seen: Vec<_> = found.iter().map(|(g, b, n, w, _)| (*g, *b, n.clone(), *w)).collect();
        if seen != declared {
            let list = |v: &[_]| v.iter().map(text).collect::<Vec<_>>().join(", ");
            return Err(format!("bindings: the entry point uses {}; declared are {}", list(&seen), list(&declared)));
        }
        if let Some((.., name, _, _)) = found.iter().find(|(.., written, touched)| *written && !*touched) {
            return Err(format!("`{name}` is declared read_write and never written"));
        }
        match declared.len() {
            n if n > MAX_STORAGE_BUFFERS => Err(format!("{n} storage buffers; {MAX_STORAGE_BUFFERS} are guaranteed")),
            _ => Ok(()),
        }
    }

    fn params(&self) -> Result<(), String> {
        let declared = &self.kernel.params;
        let uniforms: Vec<_> = self.used().filter(|(_, v)| v.space == AddressSpace::Uniform).collect();
        let [(_, variable)] = uniforms[..] else {
            return match (uniforms.len(), declared.size) {
                (0, 0) => Ok(()),
                (n, size) => Err(format!("params: {n} uniform blocks are used, a block of {size} bytes is declared")),
            };
        };
        if variable.binding != Some(naga::ResourceBinding { group: 0, binding: 8 }) {
            return Err("params: the block is not at group 0, binding 8".into());
        }
        let TypeInner::Struct { members, span } = &self.module.types[variable.ty].inner else {
            return Err("params: the block is no struct".into());
        };
        let size = |n: usize| n.next_multiple_of(16);
        if size(*span as usize) != size(declared.size) {
            return Err(format!("params: the block has {span} bytes, {} bytes are declared", declared.size));
        }
        if size(declared.size) > MAX_PARAMS_BYTES {
            return Err(format!("params: {} bytes; {MAX_PARAMS_BYTES} are bound", declared.size));
        }
        let bytes = |ty| self.module.types[ty].inner.size(self.module.to_ctx()) as usize;
        let seen: Vec<_> =
            members.iter().map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize, bytes(m.ty))).collect();
        // Rust has to name the gaps of the layout.
        let fields: Vec<_> =
            declared.fields.iter().copied().filter(|(name, ..)| !name.starts_with("padding")).collect();
        if seen != fields {
            return Err(format!("params: the fields (name, offset, size) are\n{seen:?}\nand declared are\n{fields:?}"));
        }
        Ok(())
    }

    fn workgroup(&self) -> Result<(), String> {
        let [x, y, z] = self.entry.workgroup_size;
        if x * y * z > MAX_THREADS || z > MAX_THREADS_Z {
            return Err(format!("a workgroup of {x} × {y} × {z} threads; {MAX_THREADS} in all are guaranteed"));
        }
        let shared = self.used().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
        let bytes: u32 =
            shared.map(|(_, v)| self.module.types[v.ty].inner.size(self.module.to_ctx()).next_multiple_of(16)).sum();
        if bytes > MAX_WORKGROUP_BYTES {
            return Err(format!("{bytes} bytes of workgroup memory; {MAX_WORKGROUP_BYTES} are guaranteed"));
        }
        Ok(())
    }
}

/// Writes the entry point as each driver gets it.
fn translate(
    module: &Module,
    info: &ModuleInfo,
    kernel: &Kernel,
    variant: usize,
    spirv_val: &SpirvVal,
) -> Result<(), String> {
    let entry = (ShaderStage::Compute, kernel.entry);
    let (module, info) =
        naga::back::pipeline_constants::process_overrides(module, info, Some(entry), &Default::default())
            .map_err(|e| format!("pipeline constants: {e}"))?;

    let options = spv::Options {
        lang_version: (1, 3),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: kernel.entry.into() };
    let words =
        spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|e| format!("translation to SPIR-V: {e}"))?;
    spirv_val.check(&words)?;

    let subgroups = kernel.variants[variant].min_subgroup > 0;
    // Metal has matrices of eight rows, Direct3D has none in wgpu.
    let matrices = kernel.variants[variant].matrices;
    if matrices > 8 {
        return Ok(());
    }
    let options = msl::Options {
        lang_version: if subgroups { (2, 4) } else { (2, 0) },
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions { entry_point: Some((entry.0, kernel.entry.into())), ..Default::default() };
    let (_, translation) =
        msl::write_string(&module, &info, &options, &pipeline).map_err(|e| format!("translation to Metal: {e}"))?;
    for name in translation.entry_point_names {
        name.map_err(|e| format!("translation to Metal: {e}"))?;
    }

    if matrices > 0 {
        return Ok(());
    }
    let options = hlsl::Options {
        shader_model: if subgroups { hlsl::ShaderModel::V6_0 } else { hlsl::ShaderModel::V5_1 },
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((entry.0, kernel.entry.into())) };
    let mut text = String::new();
    let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .map_err(|e| format!("translation to HLSL: {e}"))?;
    for name in reflection.entry_point_names {
        name.map_err(|e| format!("translation to HLSL: {e}"))?;
    }
    Ok(())
}

/// The module without the layout of what lies in workgroup memory: naga states one, drivers pass over it, and validators
/// refuse it since 2025 (VUID-StandaloneSpirv-None-10684).
fn without_workgroup_layouts(words: &[u32]) -> Vec<u32> {
    const TYPE_ARRAY: u32 = 28;
    const TYPE_POINTER: u32 = 32;
    const DECORATE: u32 = 71;
    const MEMBER_DECORATE: u32 = 72;
    const WORKGROUP: u32 = 4;
    const ARRAY_STRIDE: u32 = 6;
    const OFFSET: u32 = 35;
    let (header, mut rest) = words.split_at(5);
    let mut instructions = Vec::new();
    while let Some(first) = rest.first() {
        let (instruction, more) = rest.split_at((first >> 16) as usize);
        instructions.push(instruction);
        rest = more;
    }
    let opcode = |i: &[u32]| i[0] & 0xffff;
    let pointers = instructions.iter().filter(|i| opcode(i) == TYPE_POINTER && i[2] == WORKGROUP);
    let mut shared: Vec<u32> = pointers.map(|i| i[3]).collect();
    let arrays = instructions.iter().filter(|i| opcode(i) == TYPE_ARRAY && shared.contains(&i[1]));
    let elements: Vec<u32> = arrays.map(|i| i[2]).collect();
    shared.extend(elements);
    let is_layout = |i: &[u32]| match opcode(i) {
        DECORATE => i[2] == ARRAY_STRIDE && shared.contains(&i[1]),
        MEMBER_DECORATE => i[3] == OFFSET && shared.contains(&i[1]),
        _ => false,
    };
    let kept = instructions.into_iter().filter(|i| !is_layout(i));
    header.iter().chain(kept.flatten()).copied().collect()
}

/// The validator of Khronos, if it is installed.
struct SpirvVal(Option<&'static str>);

impl SpirvVal {
    fn find() -> SpirvVal {
        let program = "spirv-val";
        let quiet = |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        let found = quiet(Command::new(program).arg("--version"));
        let required = std::env::var("LUMIGRAD_REQUIRE_SPIRV_VAL").is_ok_and(|v| v == "1");
        assert!(found || !required, "{program} is required and not installed (package spirv-tools)");
        if !found {
            eprintln!("{program} is not installed: SPIR-V is written and not validated");
        }
        SpirvVal(found.then_some(program))
    }

    fn check(&self, words: &[u32]) -> Result<(), String> {
        let Some(program) = self.0 else { return Ok(()) };
        let bytes: Vec<u8> = without_workgroup_layouts(words).iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut child = Command::new(program)
            .args(["--target-env", "vulkan1.1", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        // A validator that gave up does not read on; its own message says why.
        let _ = child.stdin.take().expect("stdin is piped").write_all(&bytes);
        let output = child.wait_with_output().map_err(|e| format!("{program}: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        match String::from_utf8_lossy(&said).trim() {
            // What a validator says that is older than `SPV_KHR_cooperative_matrix` (6022 is its capability).
            said if said.ends_with("Invalid capability operand: 6022") => {
                eprintln!("{program} is too old for cooperative matrices: a module with them is not validated");
                Ok(())
            }
            said => Err(format!("{program}: {said}")),
        }
    }
}
