//! `flip`, `roll` and `repeat`: copies in which every coordinate of the result comes from one of the input, `c` from
//! `(c + shift) mod size`, counted from the end where a dim is turned round.
//!
//! The gradient of `flip` is flipped, that of `roll` rolled back; that of `repeat` is the sum over the copies.
//!
//! <https://pytorch.org/docs/stable/generated/torch.flip.html>,
//! <https://pytorch.org/docs/stable/generated/torch.roll.html>,
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.repeat.html>

use smallvec::{SmallVec, smallvec};

use super::{Attrs, Call, Gradients, Operation, Outputs, Run, Vjp, apply, cases, methods, single};
use crate::engine::kernel::params;
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, MAX_RANK, ParamsLayout, Variant};
use crate::tensor::shape::{checked_numel, dim_index, dim_indices};
use crate::tensor::{IntoShape, Shape, Tensor};
use crate::{Error, Result};

params! {
    /// Twin of `Params` in `shaders/remap.wgsl`.
    pub struct RemapParams {
        n: u32,
        rank: u32,
        offset: u32,
        result_offset: u32,
        shape: [u32; 8],
        sizes: [u32; 8],
        steps: [u32; 8],
        shifts: [u32; 8],
        turned: [u32; 8],
    }
}

static FORWARD: Kernel = Kernel {
    name: "remap.forward",
    source: &[include_str!("../../shaders/remap.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<RemapParams>(),
    variants: Variant::STORAGE,
    grid: |p| Grid::elements(p.get::<RemapParams>().n),
    reference: twin,
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &RemapParams = call.params();
    let from = |i: u32| {
        let (mut rest, mut from) = (i, p.offset);
        for d in (0..p.rank as usize).rev() {
            let at = (rest % p.shape[d] + p.shifts[d]) % p.sizes[d];
            let at = if p.turned[d] != 0 { p.sizes[d] - 1 - at } else { at };
            from += at * p.steps[d];
            rest /= p.shape[d];
        }
        from as usize
    };
    call.copy_elements(0, 1, (0..p.n).map(|i| (Some(from(i)), (p.result_offset + i) as usize)));
    Ok(())
}

/// How the coordinates of one dim of the result come from the input's.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Way {
    /// Elements of the result, and of the input.
    out: usize,
    size: usize,
    /// The input's stride.
    step: usize,
    shift: usize,
    turned: bool,
}

impl Way {
    fn is_plain(&self) -> bool {
        self.out == self.size && self.shift == 0 && !self.turned
    }

    /// Both dims as one, where the elements lie so that one way leads through both.
    fn merged(&self, inner: &Way) -> Option<Way> {
        if self.step != inner.step * inner.size {
            return None;
        }
        let (out, size) = (self.out * inner.size, self.size * inner.size);
        if inner.is_plain() && !self.turned {
            return Some(Way { out, size, step: inner.step, shift: self.shift * inner.size, turned: false });
        }
        let both_turned = [self, inner].iter().all(|way| way.turned && way.out == way.size && way.shift == 0);
        both_turned.then_some(Way { out, size, step: inner.step, shift: 0, turned: true })
    }
}

/// Writes the contiguous `y`, whose dims come from those of `x` in these ways.
fn remap(run: &mut Run<'_>, op: &'static str, x: &Tensor, ways: impl Iterator<Item = Way>, y: &Tensor) -> Result<()> {
    let mut merged: SmallVec<[Way; 8]> = SmallVec::new();
    for mut way in ways {
        if way.out == 1 {
            continue;
        }
        if way.size == 1 {
            // The one element everywhere.
            way = Way { size: way.out, step: 0, shift: 0, turned: false, ..way };
        }
        match merged.last().and_then(|outer| outer.merged(&way)) {
            Some(both) => *merged.last_mut().expect("there is one to merge with") = both,
            None => merged.push(way),
        }
    }
    if merged.len() > MAX_RANK {
        let detail = format!("{} dims that can't be merged, kernels take {MAX_RANK}", merged.len());
        return Err(Error::Limit { op, detail });
    }
    let mut params = RemapParams {
        n: y.numel() as u32,
        rank: merged.len() as u32,
        offset: x.offset() as u32,
        result_offset: y.offset() as u32,
        shape: [1; 8],
        sizes: [1; 8],
        steps: [0; 8],
        shifts: [0; 8],
        turned: [0; 8],
    };
    for (d, way) in merged.iter().enumerate() {
        (params.shape[d], params.sizes[d], params.steps[d]) = (way.out as u32, way.size as u32, way.step as u32);
        (params.shifts[d], params.turned[d]) = (way.shift as u32, u32::from(way.turned));
    }
    run.dispatch(&FORWARD, x.dtype().storage_variant(), &[x, y], &params);
    Ok(())
}

/// The ways of a tensor that keeps its shape.
fn same(x: &Tensor) -> impl Iterator<Item = Way> + '_ {
    let dims = x.shape().iter().zip(x.strides());
    dims.map(|(&size, &step)| Way { out: size, size, step, shift: 0, turned: false })
}

fn flip(run: &mut Run<'_>, attrs: &Attrs, x: &Tensor, y: &Tensor) -> Result<()> {
    let dims = attrs.get_ints("dims");
    // An empty list means no dim here.
    let turned = if dims.is_empty() { SmallVec::new() } else { dim_indices("flip", dims, x.dim())? };
    let ways = same(x).enumerate().map(|(d, way)| Way { turned: turned.contains(&d), ..way });
    remap(run, "flip", x, ways, y)
}

/// The operation `flip`.
pub(crate) static FLIP: Operation = Operation {
    name: "flip",
    kernels: &[&FORWARD],
    forward: |call| {
        let (x, attrs) = (call.input(0), call.attrs());
        let y = call.output(x.dtype(), x.shape());
        flip(call, attrs, x, &y)?;
        Ok(smallvec![y])
    },
    vjp: Some(|v| {
        let (g, attrs, dx) = (v.gradient(), v.attrs(), v.gradient_output(0));
        flip(v, attrs, g, &dx)?;
        Ok(smallvec![Some(dx)])
    }),
    cases: || {
        let case = |name: &str, x: cases::Input, dims: &[i64]| {
            cases::Case::new(name, vec![x]).attrs(Attrs::new().ints("dims", dims))
        };
        let mut list = moved_cases(&|name, x, dim| case(name, x, &[dim]));
        list.extend([
            case("two dims", cases::Input::floats(&[2, 3, 4]), &[0, -1]),
            case("all dims", cases::Input::floats(&[2, 3, 4]), &[0, 1, 2]),
            case("no dims", cases::Input::floats(&[2, 3]), &[]),
            case("twice", cases::Input::floats(&[2, 3]), &[0, -2]).fails(),
        ]);
        list
    },
};

/// `back`: against the shifts, for the gradient.
fn roll(run: &mut Run<'_>, attrs: &Attrs, x: &Tensor, y: &Tensor, back: bool) -> Result<()> {
    let mut shifts: Shape = smallvec![0; x.dim()];
    for (&shift, &dim) in attrs.get_ints("shifts").iter().zip(attrs.get_ints("dims")) {
        let d = dim_index("roll", dim, x.dim())?;
        if let Some(&size) = x.shape().get(d) {
            // Element c of the result comes from c - shift. A dim may be named several times.
            let shift = (if back { shift } else { -shift }).rem_euclid(size.max(1) as i64);
            shifts[d] = (shifts[d] + shift as usize) % size.max(1);
        }
    }
    remap(run, "roll", x, same(x).zip(&shifts).map(|(way, &shift)| Way { shift, ..way }), y)
}

/// The operation `roll`.
pub(crate) static ROLL: Operation = Operation {
    name: "roll",
    kernels: &[],
    forward: |call| {
        let (x, attrs) = (call.input(0), call.attrs());
        let y = call.output(x.dtype(), x.shape());
        roll(call, attrs, x, &y, false)?;
        Ok(smallvec![y])
    },
    vjp: Some(|v| {
        let (g, attrs, dx) = (v.gradient(), v.attrs(), v.gradient_output(0));
        roll(v, attrs, g, &dx, true)?;
        Ok(smallvec![Some(dx)])
    }),
    cases: || {
        let case = |name: &str, x: cases::Input, shifts: &[i64], dims: &[i64]| {
            let attrs = Attrs::new().ints("shifts", shifts).ints("dims", dims);
            cases::Case::new(name, vec![x]).attrs(attrs)
        };
        let mut list = moved_cases(&|name, x, dim| case(name, x, &[2], &[dim]));
        list.extend([
            case("two dims", cases::Input::floats(&[2, 3, 4]), &[-1, 5], &[0, -1]),
            case("one dim twice", cases::Input::floats(&[5]), &[1, 3], &[0, 0]),
            case("far", cases::Input::floats(&[3, 5]), &[-17], &[1]),
        ]);
        list
    },
};

fn repeat(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, repeats) = (call.input(0), call.attrs().get_sizes("repeats"));
    let Some(missing) = repeats.len().checked_sub(x.dim()) else {
        let detail = format!("{} repeats are too few for the shape {:?}", repeats.len(), x.shape());
        return Err(Error::argument("repeat", detail));
    };
    let size = |d: usize| if d < missing { (1, 0) } else { (x.shape()[d - missing], x.strides()[d - missing]) };
    let shape: Shape = repeats.iter().enumerate().map(|(d, &times)| times * size(d).0).collect();
    checked_numel("repeat", &shape)?;
    let y = call.output(x.dtype(), &shape);
    let ways = shape.iter().enumerate().map(|(d, &out)| Way {
        out,
        size: size(d).0,
        step: size(d).1,
        shift: 0,
        turned: false,
    });
    remap(call, "repeat", x, ways, &y)?;
    Ok(smallvec![y])
}

/// The sum over the copies: each repeated dim is two, the number of the copy and the place in it.
fn repeat_vjp(v: &mut Vjp<'_>) -> Result<Gradients> {
    let (repeats, shape) = (v.attrs().get_sizes("repeats"), v.input_shape(0));
    let missing = repeats.len() - shape.len();
    let size = |d: usize| if d < missing { 1 } else { shape[d - missing] };
    let mut g = v.gradient().clone();
    // The inner dims first, one by one: so a tensor of any rank stays within three dims.
    for d in (0..repeats.len()).rev().filter(|&d| repeats[d] != 1) {
        let outer = (0..d).map(|d| repeats[d] * size(d)).product::<usize>();
        let inner = (d..repeats.len()).map(size).product::<usize>();
        g = g.try_reshape([outer, repeats[d], inner])?.try_sum_dims(&[1], false)?;
    }
    Ok(smallvec![Some(g.try_reshape(shape)?)])
}

/// The operation `repeat`.
pub(crate) static REPEAT: Operation = Operation {
    name: "repeat",
    kernels: &[],
    forward: repeat,
    vjp: Some(repeat_vjp),
    cases: || {
        use cases::{Arrangement, Case, Input};
        let case = |name: &str, x: Input, repeats: &[i64]| {
            Case::new(name, vec![x]).attrs(Attrs::new().ints("repeats", repeats))
        };
        let odd = |arrangement| Input::floats(&[3, 4]).arranged(arrangement);
        vec![
            case("rows", Input::floats(&[2, 3]), &[3, 1]),
            case("columns", Input::floats(&[2, 3]), &[1, 2]),
            case("both", Input::floats(&[2, 3]), &[2, 2]),
            case("new dims", Input::floats(&[2, 3]), &[2, 1, 3, 2]),
            case("once", Input::floats(&[2, 3]), &[1, 1]),
            case("ones", Input::floats(&[1, 3, 1]), &[2, 1, 4]),
            case("0-d", Input::floats(&[]), &[3]),
            case("0-d once", Input::floats(&[]), &[]),
            case("never", Input::floats(&[2, 3]), &[0, 2]),
            case("empty", Input::floats(&[0, 3]), &[2, 2]),
            case("five dims", Input::floats(&[2, 2, 1, 2, 2]), &[2, 2, 2, 2, 2]),
            case("transposed", odd(Arrangement::Transposed), &[2, 3]),
            case("strided", odd(Arrangement::Strided), &[2, 3]),
            case("expanded", odd(Arrangement::Expanded), &[2, 3]),
            case("large", Input::floats(&[65, 33]), &[3, 5]).no_gradcheck(),
            case("extreme", Input::floats(&[17]).fill(cases::EXTREME), &[2]).no_gradcheck(),
            case("i32", Input::ints(&[2, 3], -9, 9), &[2, 2]),
            case("bool", Input::bools(&[2, 3]), &[2, 2]),
            case("too few", Input::floats(&[2, 3]), &[2]).fails(),
        ]
    },
};

/// What `flip` and `roll` have in common: moves along one dim.
fn moved_cases(case: &dyn Fn(&str, cases::Input, i64) -> cases::Case) -> Vec<cases::Case> {
    use cases::{Arrangement, EXTREME, Input};
    let odd = |arrangement| Input::floats(&[3, 5]).arranged(arrangement);
    vec![
        case("rows", Input::floats(&[4, 3]), 0),
        case("columns", Input::floats(&[4, 3]), -1),
        case("middle", Input::floats(&[2, 5, 3]), 1),
        case("one", Input::floats(&[1]), 0),
        case("0-d", Input::floats(&[]), 0),
        case("empty", Input::floats(&[0, 3]), 1),
        case("empty dim", Input::floats(&[0, 3]), 0),
        case("transposed", odd(Arrangement::Transposed), 1),
        case("strided", odd(Arrangement::Strided), 1),
        case("expanded", odd(Arrangement::Expanded), 0),
        case("large", Input::floats(&[130, 65]), 1).no_gradcheck(),
        case("extreme", Input::floats(&[17]).fill(EXTREME), 0).no_gradcheck(),
        case("i32", Input::ints(&[3, 5], -9, 9), 1),
        case("bool", Input::bools(&[70]), 0),
        case("bad dim", Input::floats(&[2, 3]), 2).fails(),
    ]
}

methods! {
    /// The tensor with the elements of these dims in reverse order; a copy, as in PyTorch. No dims leave it as it is.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(x.flip(&[0]).to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0]);
    /// assert_eq!(x.flip(&[0, 1]).to_vec::<f32>()?, [4.0, 3.0, 2.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When a dim does not exist or is named twice.
    pub fn flip / try_flip (&self, dims: &[i64]) -> Tensor {
        single(apply(&FLIP, &[self], Attrs::new().ints("dims", dims)))
    }

    /// [`Self::flip`] of the columns of a matrix, dim 1.
    pub fn fliplr / try_fliplr (&self) -> Tensor {
        self.try_flip(&[1])
    }

    /// [`Self::flip`] of the rows of a matrix, dim 0.
    pub fn flipud / try_flipud (&self) -> Tensor {
        self.try_flip(&[0])
    }

    /// The tensor with the elements of dim `dims[i]` moved on by `shifts[i]` places; what leaves at the end comes in at the
    /// start. Without dims all elements move row by row, by the one shift, and the shape stays.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::arange(0.0, 5.0, 1.0);
    /// assert_eq!(x.roll(&[2], &[0]).to_vec::<f32>()?, [3.0, 4.0, 0.0, 1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there is not one shift a dim, or a dim does not exist.
    pub fn roll / try_roll (&self, shifts: &[i64], dims: &[i64]) -> Tensor {
        if dims.is_empty() && shifts.len() == 1 {
            return self.try_reshape([self.numel()])?.try_roll(shifts, &[0])?.try_reshape(self.shape());
        }
        if shifts.len() != dims.len() || dims.is_empty() {
            let detail = format!("{} shifts do not fit {} dims: one a dim", shifts.len(), dims.len());
            return Err(Error::argument("roll", detail));
        }
        single(apply(&ROLL, &[self], Attrs::new().ints("shifts", shifts).ints("dims", dims)))
    }

    /// The tensor so many times along each dim: PyTorch's `repeat`. More numbers than dims add dims in front.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]);
    /// assert_eq!(x.repeat([2, 2]).to_vec::<f32>()?, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When there are fewer numbers than dims, or one is negative.
    pub fn repeat / try_repeat (&self, repeats: impl IntoShape) -> Tensor {
        let repeats = repeats.into_sizes();
        if let Some(negative) = repeats.iter().find(|&&times| times < 0) {
            return Err(Error::argument("repeat", format!("{negative} times, in {repeats:?}")));
        }
        single(apply(&REPEAT, &[self], Attrs::new().ints("repeats", repeats)))
    }

    /// [`Self::repeat`] that also takes fewer numbers than dims: the first dims then stay as they are.
    pub fn tile / try_tile (&self, repeats: impl IntoShape) -> Tensor {
        let given = repeats.into_sizes();
        let missing = self.dim().saturating_sub(given.len());
        let repeats: Vec<i64> = std::iter::repeat_n(1, missing).chain(given).collect();
        self.try_repeat(repeats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_merge_where_one_leads_through_both() {
        let plain = |size, step| Way { out: size, size, step, shift: 0, turned: false };
        assert_eq!(plain(2, 3).merged(&plain(3, 1)), Some(plain(6, 1)));
        assert_eq!(plain(2, 4).merged(&plain(3, 1)), None);
        let rolled = Way { shift: 1, ..plain(2, 3) };
        assert_eq!(rolled.merged(&plain(3, 1)), Some(Way { shift: 3, ..plain(6, 1) }));
        assert_eq!(plain(2, 3).merged(&Way { shift: 1, ..plain(3, 1) }), None);
        let turned = |size, step| Way { turned: true, ..plain(size, step) };
        assert_eq!(turned(2, 3).merged(&turned(3, 1)), Some(turned(6, 1)));
        assert_eq!(turned(2, 3).merged(&plain(3, 1)), None);
    }
}
