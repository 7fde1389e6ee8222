//! `nonzero`: the coordinates of the elements that are not zero; and what selects by truth values.
//!
//! The shape of these results depends on the elements, so their number is read back, which waits for the device.
//!
//! <https://pytorch.org/docs/stable/generated/torch.nonzero.html>,
//! <https://pytorch.org/docs/stable/generated/torch.masked_select.html>

use smallvec::smallvec;

use crate::dtype::DType;
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Item, Kernel, MAX_RANK, ParamsLayout, Variant, WORKGROUP};
use crate::ops::{Attrs, Call, Operation, Outputs, apply, cases, methods, single};
use crate::tensor::Tensor;
use crate::tensor::shape::{broadcast, strided_offset};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/indexing/nonzero.wgsl`.
    pub struct NonzeroParams {
        n: u32,
        rank: u32,
        chunk: u32,
        offset: u32,
        shape: [u32; 8],
        strides: [u32; 8],
    }
}

/// Workgroups at most: each of them adds up the counts of those before, and all counts are read back.
const MAX_TILES: u32 = 512;
/// Elements of a thread at least.
const MIN_CHUNK: u32 = 4;

const VARIANTS: &[Variant] = &[
    Variant::new("f32", &[Item::Alias("elem", "f32"), Item::Const("IS_FLOAT", 1)]),
    Variant::new("i32", &[Item::Alias("elem", "i32"), Item::Const("IS_FLOAT", 0)]),
    Variant::new("u32", &[Item::Alias("elem", "u32"), Item::Const("IS_FLOAT", 0)]),
];

macro_rules! nonzero_kernel {
    ($name:literal, $entry:literal, $bindings:expr, $twin:expr) => {
        Kernel {
            name: $name,
            source: &[include_str!("../../../shaders/indexing/nonzero.wgsl")],
            entry: $entry,
            bindings: $bindings,
            params: ParamsLayout::of::<NonzeroParams>(),
            variants: VARIANTS,
            grid: |p| {
                let p: &NonzeroParams = p.get();
                let tiles = u64::from(p.tiles());
                Grid::groups(tiles).work(u64::from(p.n) * 16 + tiles * 1024)
            },
            reference: $twin,
            bound: |_| Bound::Exact,
        }
    };
}

static COUNT: Kernel =
    nonzero_kernel!("nonzero.count", "count", &[Binding::Read("x"), Binding::Write("counts")], count_twin);

static PLACE: Kernel = nonzero_kernel!(
    "nonzero.place",
    "place",
    &[Binding::Read("x"), Binding::Read("counted"), Binding::Write("found")],
    place_twin
);

impl NonzeroParams {
    /// Workgroups.
    fn tiles(&self) -> u32 {
        self.n.div_ceil(WORKGROUP * self.chunk)
    }

    fn is_set(&self, call: &HostCall<'_>, i: u32) -> bool {
        let at = strided_offset(i, self.rank, &self.shape, &self.strides) + self.offset as usize;
        call.element(0, at) != 0.0
    }
}

fn count_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &NonzeroParams = call.params();
    let mut counts = call.ints_mut(1);
    counts[..p.tiles() as usize].fill(0);
    (0..p.n).filter(|&i| p.is_set(call, i)).for_each(|i| counts[(i / (WORKGROUP * p.chunk)) as usize] += 1);
    Ok(())
}

fn place_twin(call: &HostCall<'_>) -> Result<()> {
    let p: &NonzeroParams = call.params();
    let mut found = call.ints_mut(2);
    for (line, i) in (0..p.n).filter(|&i| p.is_set(call, i)).enumerate() {
        let mut rest = i;
        for d in (0..p.rank as usize).rev() {
            // A wrong count, which a broken driver may have given, leaves no room for all.
            if let Some(place) = found.get_mut(line * p.rank as usize + d) {
                *place = (rest % p.shape[d]) as i32;
            }
            rest /= p.shape[d];
        }
    }
    Ok(())
}

fn forward(call: &mut Call<'_>) -> Result<Outputs> {
    let x = call.input(0);
    let (rank, n) = (x.dim(), x.numel() as u32);
    if rank > MAX_RANK {
        let detail = format!("takes up to {MAX_RANK} dims, the shape is {:?}; reshape it first", x.shape());
        return Err(Error::Limit { op: "nonzero", detail });
    }
    if n == 0 {
        return Ok(smallvec![call.output(DType::I32, &[0, rank])]);
    }
    let chunk = n.div_ceil(WORKGROUP * MAX_TILES).max(MIN_CHUNK);
    let mut params =
        NonzeroParams { n, rank: rank as u32, chunk, offset: x.offset() as u32, shape: [1; 8], strides: [0; 8] };
    for (d, (&size, &stride)) in x.shape().iter().zip(x.strides()).enumerate() {
        (params.shape[d], params.strides[d]) = (size as u32, stride as u32);
    }
    let counts = call.output(DType::I32, &[params.tiles() as usize]);
    let variant = x.dtype().storage_variant();
    call.dispatch(&COUNT, variant, &[x, &counts], &params);
    if let Some(failure) = call.failure() {
        return Err(failure.clone());
    }
    let total = counts.to_vec::<i64>()?.iter().sum::<i64>() as usize;
    let found = call.output(DType::I32, &[total, rank]);
    if found.numel() > 0 {
        call.dispatch(&PLACE, variant, &[x, &counts, &found], &params);
    }
    Ok(smallvec![found])
}

/// The operation `nonzero`.
pub(crate) static NONZERO: Operation =
    Operation { name: "nonzero", kernels: &[&COUNT, &PLACE], forward, vjp: None, cases };

fn cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let case = |name: &str, x: Input| Case::new(name, vec![x]).no_gradcheck();
    vec![
        case("bool", Input::bools(&[4, 6])),
        case("i32", Input::ints(&[3, 5, 7], -1, 2)),
        case("floats", Input::floats(&[40]).fill(Fill::Values(&[0.0, 1.5, -0.0, -2.0]))),
        case("extreme", Input::floats(&[17]).fill(EXTREME)),
        case("none", Input::ints(&[5], 0, 1)),
        case("all", Input::ints(&[5, 2], 1, 2)),
        case("0-d", Input::bools(&[])),
        case("empty", Input::bools(&[0, 3])),
        case("transposed", Input::bools(&[5, 3]).arranged(Arrangement::Transposed)),
        case("strided", Input::bools(&[5, 3]).arranged(Arrangement::Strided)),
        case("expanded", Input::bools(&[5, 3]).arranged(Arrangement::Expanded)),
        case("large", Input::bools(&[300, 700])),
    ]
}

/// Refuses a mask that holds no truth values.
fn check_mask(op: &'static str, mask: &Tensor) -> Result<()> {
    if mask.dtype() == DType::Bool {
        return Ok(());
    }
    Err(Error::dtype(op, format!("the mask must be bool, not {}; compare it with a number", mask.dtype())))
}

/// The numbers of the true elements, counted row by row: an index into the raveled tensor.
fn true_places(mask: &Tensor) -> Result<Tensor> {
    mask.try_ravel()?.try_nonzero()?.try_ravel()
}

methods! {
    /// The coordinates (i32) of the elements that are not zero, in their order: a row an element, `[count, dims]`.
    ///
    /// Their number is read back, which waits for the device.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[0.0f32, 3.0, 4.0, 0.0], &[2, 2]);
    /// assert_eq!(x.nonzero().to_vec::<i32>()?, [0, 1, 1, 0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn nonzero / try_nonzero (&self) -> Tensor {
        single(apply(&NONZERO, &[self], Attrs::new()))
    }

    /// The coordinates of [`Self::nonzero`], a tensor a dim: what indexes the elements again.
    pub fn nonzero_tuple / try_nonzero_tuple (&self) -> Vec<Tensor> {
        self.try_nonzero()?.try_unbind(1)
    }

    /// The elements where the bool `mask` is true, in one dim; tensor and mask are broadcast. Their gradient goes back to where
    /// they came from.
    ///
    /// Their number is read back, which waits for the device.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[-1.0f32, 2.0, -3.0, 4.0], &[4]);
    /// assert_eq!(x.masked_select(&x.gt_scalar(0.0)).to_vec::<f32>()?, [2.0, 4.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the mask is not bool, or the shapes do not broadcast.
    pub fn masked_select / try_masked_select (&self, mask: &Tensor) -> Tensor {
        check_mask("masked_select", mask)?;
        let shape = broadcast("masked_select", self.shape(), mask.shape())?;
        let places = true_places(&mask.try_expand(&shape)?)?;
        self.try_expand(&shape)?.try_ravel()?.try_index_select(0, &places)
    }

    /// This tensor with the first elements of `source`, in their order, where the bool `mask` is true; the mask is broadcast.
    ///
    /// The number of places is read back, which waits for the device.
    ///
    /// # Panics
    /// When the mask is not bool or does not broadcast to the tensor, or the source has too few elements or another type.
    pub fn masked_scatter / try_masked_scatter (&self, mask: &Tensor, source: &Tensor) -> Tensor {
        const OP: &str = "masked_scatter";
        check_mask(OP, mask)?;
        let shape = broadcast(OP, self.shape(), mask.shape())?;
        let places = true_places(&mask.try_expand(&shape)?)?;
        if source.numel() < places.numel() {
            let detail = format!("{} elements for {} places", source.numel(), places.numel());
            return Err(Error::argument(OP, detail));
        }
        let values = source.try_ravel()?.try_narrow(0, 0, places.numel())?;
        self.try_expand(&shape)?.try_ravel()?.try_index_copy(0, &places, &values)?.try_reshape(&shape)
    }
}
