//! A kernel: one computation with both of its bodies, the WGSL entry point and the scalar twin.

use std::fmt;

use smallvec::SmallVec;

use super::device::Device;
use super::fusion::ChainStep;
use super::host::HostCall;
use super::pool::Buffer;
use crate::Result;
use crate::dtype::DType;

/// One computation, declared once as a `static` in its operation's page.
///
/// Group 0 of the shader holds `bindings` in order, and the params block at binding 8.
pub struct Kernel {
    /// `operation.entry`, unique.
    pub name: &'static str,
    /// The WGSL text, in pieces that are joined in order (an elementwise wrapper and the maths of one operation).
    pub source: &'static [&'static str],
    /// The entry point.
    pub entry: &'static str,
    /// What group 0 binds.
    pub bindings: &'static [Binding],
    /// The layout of the params block.
    pub params: ParamsLayout,
    /// Every specialisation; a dispatch names one by position.
    pub variants: &'static [Variant],
    /// How many workgroups, and how much work, for these params.
    pub grid: fn(&Params) -> Grid,
    /// The scalar twin: the same bindings and params, plain loops over `f64`.
    pub reference: fn(&HostCall) -> Result<()>,
    /// How far the two bodies may differ.
    pub bound: fn(&Params) -> Bound,
}

impl Kernel {
    /// `name[variant]`, as messages and tables show it.
    pub fn label(&self, variant: usize) -> String {
        match self.variants[variant].label {
            "" => self.name.to_string(),
            label => format!("{}[{label}]", self.name),
        }
    }

    /// Identity in caches: kernels are statics (or leaked), so the address is one kernel for good.
    pub(crate) fn id(&'static self) -> usize {
        self as *const Kernel as usize
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One entry of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `var<storage, read>` with this name.
    Read(&'static str),
    /// `var<storage, read_write>`, written only: the buffer's earlier content does not matter.
    Write(&'static str),
    /// `var<storage, read_write>`, read and updated in place.
    ReadWrite(&'static str),
    /// The device's fault buffer, for kernels that check indices: `var<storage, read_write> faults`.
    Faults,
    /// The device's fault buffer, for kernels that do nothing after a fault: `var<storage, read> faults`.
    FaultFlag,
}

impl Binding {
    /// The name in WGSL.
    pub fn name(&self) -> &'static str {
        match self {
            Binding::Read(n) | Binding::Write(n) | Binding::ReadWrite(n) => n,
            Binding::Faults | Binding::FaultFlag => "faults",
        }
    }

    /// Whether the shader declares it `read_write`.
    pub fn is_written(&self) -> bool {
        matches!(self, Binding::Write(_) | Binding::ReadWrite(_) | Binding::Faults)
    }

    /// Whether the caller of a dispatch gives a buffer for it (the engine gives the fault buffer).
    pub fn is_operand(&self) -> bool {
        !matches!(self, Binding::Faults | Binding::FaultFlag)
    }
}

/// A specialisation of a kernel's text: lines put before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Short name, empty for a kernel with only one.
    pub label: &'static str,
    /// What the prelude declares.
    pub items: &'static [Item],
    /// How many neighbouring threads must be sure to form (a part of) one subgroup; 0 when it uses none.
    pub min_subgroup: u32,
    /// Rows of the square matrices of f16 that a subgroup multiplies as a whole, with sums in f32; 0 when it uses none. The
    /// prelude declares them: `SIZE`, `matrix_a`, `matrix_b` and `matrix_c`.
    pub matrices: u32,
}

/// One line of a prelude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// `alias name = type;`
    Alias(&'static str, &'static str),
    /// `const name: u32 = value;`
    Const(&'static str, u32),
}

impl Item {
    /// That halves are f16, as `shaders/common/half.wgsl` numbers them.
    pub const F16: Item = Item::Const("KIND", 3);
    /// That halves are bf16.
    pub const BF16: Item = Item::Const("KIND", 4);
}

impl Variant {
    /// The only variant of a kernel that has no specialisation.
    pub const ONLY: &'static [Variant] = &[Variant::new("", &[])];

    /// One variant for each storage type, in the order of [`crate::DType`]: `alias elem` is f32, i32 or u32.
    pub const STORAGE: &'static [Variant] = &[
        Variant::new("f32", &[Item::Alias("elem", "f32")]),
        Variant::new("i32", &[Item::Alias("elem", "i32")]),
        Variant::new("u32", &[Item::Alias("elem", "u32")]),
    ];

    /// One variant for each type of half the width, f16 first.
    pub const HALVES: &'static [Variant] = &[Variant::new("f16", &[Item::F16]), Variant::new("bf16", &[Item::BF16])];

    /// A variant that any adapter runs.
    pub const fn new(label: &'static str, items: &'static [Item]) -> Self {
        Variant { label, items, min_subgroup: 0, matrices: 0 }
    }

    /// For adapters whose subgroups have at least this many threads.
    pub const fn subgroups(self, threads: u32) -> Self {
        Variant { min_subgroup: threads, ..self }
    }

    /// For adapters whose subgroups multiply matrices of f16 of this many rows.
    pub const fn matrices(self, rows: u32) -> Self {
        Variant { matrices: rows, ..self }
    }

    /// Whether the device has what it needs.
    pub fn runs_on(&self, device: &Device) -> bool {
        (self.min_subgroup == 0 || device.has_subgroups(self.min_subgroup))
            && (self.matrices == 0 || device.has_matrices(self.matrices))
    }

    /// The lines before the kernel's text.
    pub fn prelude(&self) -> String {
        let mut text = String::new();
        if self.matrices > 0 {
            let size = self.matrices;
            text.push_str("enable f16;\nenable wgpu_cooperative_matrix;\n");
            text.push_str(&format!("const SIZE: u32 = {size}u;\n"));
            for (name, number, role) in [("matrix_a", "f16", "A"), ("matrix_b", "f16", "B"), ("matrix_c", "f32", "C")] {
                text.push_str(&format!("alias {name} = coop_mat{size}x{size}<{number}, {role}>;\n"));
            }
        }
        text.push_str(&format!("const WG: u32 = {WORKGROUP}u;\n"));
        for item in self.items {
            match item {
                Item::Alias(name, ty) => text.push_str(&format!("alias {name} = {ty};\n")),
                Item::Const(name, value) => text.push_str(&format!("const {name}: u32 = {value}u;\n")),
            }
        }
        text
    }
}

/// Threads of a workgroup in kernels that map one thread to one element: `WG` in WGSL.
pub const WORKGROUP: u32 = 64;

/// WebGPU's guarantee for workgroups in one dimension.
pub const MAX_GROUPS: u32 = 65_535;

/// How a dispatch is launched.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Workgroups in x, y and z.
    pub groups: [u32; 3],
    /// Scalar operations of the whole dispatch, roughly: the stream slices its submissions by it.
    pub work: u64,
    /// Floating-point operations by the usual count (two a term of a sum of products), for profiles; `None` where there is
    /// no such count.
    pub flops: Option<u64>,
    /// Bytes that the kernel must read and write at least, where they are not those of its operands.
    pub bytes: Option<u64>,
    /// What the dispatch does as a step of a chain.
    pub(crate) step: Option<ChainStep>,
}

impl Grid {
    /// One thread an element.
    pub fn elements(n: u32) -> Grid {
        Grid::folded(u64::from(n).div_ceil(u64::from(WORKGROUP)), u64::from(n) * 8)
    }

    /// One workgroup a row.
    pub fn rows(rows: u32) -> Grid {
        Grid::groups(u64::from(rows))
    }

    /// Any number of workgroups; the kernel uses `linear_group` to find which it is.
    pub fn groups(groups: u64) -> Grid {
        Grid::folded(groups, groups * u64::from(WORKGROUP) * 8)
    }

    fn folded(groups: u64, work: u64) -> Grid {
        Grid { groups: fold(groups), work, flops: None, bytes: None, step: None }
    }

    /// States the work of the dispatch.
    pub fn work(self, work: u64) -> Grid {
        Grid { work, ..self }
    }

    /// States the floating-point operations.
    pub fn flops(self, flops: u64) -> Grid {
        Grid { flops: Some(flops), ..self }
    }

    /// States that its elements have two bytes each.
    pub(crate) fn of_halves(self) -> Grid {
        Grid { bytes: self.bytes.map(|bytes| bytes / 2), ..self }
    }

    /// States the f32 elements that are read and written at least, where they are not those of the operands.
    pub fn elements_moved(self, elements: u64) -> Grid {
        Grid { bytes: Some(elements * DType::F32.size() as u64), ..self }
    }

    /// States what the dispatch does as a step of a chain.
    pub(crate) fn step(self, step: Option<ChainStep>) -> Grid {
        Grid { step, ..self }
    }

    /// Whether there is nothing to launch.
    pub fn is_empty(&self) -> bool {
        self.groups.contains(&0)
    }
}

/// Spreads a number of workgroups over x and y so that neither exceeds [`MAX_GROUPS`]; `shaders/common/index.wgsl`
/// has the inverse. The product can exceed the number asked for, so kernels guard.
fn fold(groups: u64) -> [u32; 3] {
    let max = u64::from(MAX_GROUPS);
    if groups <= max {
        return [groups as u32, 1, 1];
    }
    let y = groups.div_ceil(max);
    assert!(y <= max, "a grid of {groups} workgroups does not fit two dimensions");
    [groups.div_ceil(y) as u32, y as u32, 1]
}

/// How far a kernel's two bodies may differ, element by element.
///
/// ε is 2⁻²³. Every bound also allows the smallest normal f32, since GPUs may flush denormals to zero.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// The same value (or NaN on both sides).
    Exact,
    /// `ulps · ε · max(|want|, floor)`.
    Relative {
        /// Units in the last place.
        ulps: f64,
        /// The magnitude below which the error no longer shrinks with the value, such as 1 for a difference of
        /// logarithms.
        floor: f64,
    },
    /// `ulps · ε · M`, where M is what the twin gives for the absolute values of all floats it reads: for sums of
    /// products, the sum of the magnitudes.
    Magnitude {
        /// Units in the last place.
        ulps: f64,
    },
    /// `ulps · ε · M`, where M is what `magnitude` writes in the outputs' place.
    Scaled {
        /// Units in the last place.
        ulps: f64,
        /// Another body over the same bindings, which computes the scale of each element's error.
        magnitude: fn(&HostCall) -> Result<()>,
    },
}

impl Bound {
    /// A relative bound without floor.
    pub const fn ulps(ulps: f64) -> Bound {
        Bound::Relative { ulps, floor: 0.0 }
    }
}

/// The params block of one dispatch, its type erased.
#[derive(Clone, Copy)]
pub struct Params<'a>(pub(crate) &'a [u8]);

impl<'a> Params<'a> {
    /// The block as the kernel's own struct.
    ///
    /// # Panics
    /// When `T` is not the struct that the dispatch was given.
    pub fn get<T: ParamsBlock>(&self) -> &'a T {
        bytemuck::from_bytes(self.0)
    }
}

/// A `#[repr(C)]` struct that a shader reads as its `Params`; made by the `params!` macro.
pub trait ParamsBlock: bytemuck::Pod {
    /// Name, byte offset and size of every field.
    const FIELDS: &'static [(&'static str, usize, usize)];
}

/// One launch of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct Dispatch<'a> {
    pub kernel: &'static Kernel,
    /// The position among the kernel's variants.
    pub variant: usize,
    /// Memory for the bindings that are operands, in their order.
    pub operands: &'a [&'a Buffer],
    pub params: Params<'a>,
    pub grid: Grid,
}

/// The layout of a params block, for the test that compares it with the shader's.
#[derive(Clone, Copy, Debug)]
pub struct ParamsLayout {
    /// Bytes.
    pub size: usize,
    /// Name, byte offset and size of every field.
    pub fields: &'static [(&'static str, usize, usize)],
}

impl ParamsLayout {
    /// The layout of `T`.
    pub const fn of<T: ParamsBlock>() -> Self {
        ParamsLayout { size: size_of::<T>(), fields: T::FIELDS }
    }
}

/// Declares a params block: a Pod struct of 4-byte fields and arrays of them, with its field table.
macro_rules! params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name { $($(#[$fmeta])* pub $field: $ty),* }
        impl $crate::engine::kernel::ParamsBlock for $name {
            const FIELDS: &'static [(&'static str, usize, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$ty>())),*];
        }
    };
}
pub(crate) use params;

/// Up to eight dims: what kernels see after the host has merged dims that lie one behind the other.
pub const MAX_RANK: usize = 8;

/// A short list of operands.
pub(crate) type Operands<T> = SmallVec<[T; 8]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_fold_without_losing_groups() {
        for groups in [0, 1, 65_535, 65_536, 1 << 20, 65_535 * 3 + 1, 1 << 26] {
            let [x, y, z] = fold(groups);
            assert!(x <= MAX_GROUPS && y <= MAX_GROUPS && z == 1);
            assert!(u64::from(x) * u64::from(y) >= groups);
            assert!(u64::from(x) * u64::from(y) < groups + u64::from(y).max(1));
        }
    }

    #[test]
    fn prelude_declares_every_item() {
        let v = Variant::new("t", &[Item::Alias("elem", "i32"), Item::Const("TILE", 16)]);
        assert_eq!(v.prelude(), "const WG: u32 = 64u;\nalias elem = i32;\nconst TILE: u32 = 16u;\n");
    }
}
