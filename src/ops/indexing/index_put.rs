//! Writing by index: `x[…] = value`, in place or into a copy that gradients flow through.
//!
//! In place, numbers and ranges give a view that is written to; index tensors go through `index_copy_` and `index_add_` on
//! that view. The copy is made of `index_copy` and `index_add` on the view and of `view_put`, which puts a view's new elements
//! into its tensor. The gradient of the tensor is zero where it was overwritten.
//!
//! <https://pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html>

use smallvec::smallvec;

use super::index::{OP, Plan, plan};
use super::put::{Put, check_slices, copied};
use super::scatter_add::Scatter;
use crate::dtype::DType;
use crate::engine::fault::{self, CallerScope};
use crate::ops::{Attrs, Call, Operation, Outputs, apply, cases, copy_into, methods, single};
use crate::tensor::index::{Index, IntoIndex, Value};
use crate::tensor::shape::{contiguous_strides, dim_index, numel};
use crate::tensor::{Layout, Shape, Tensor};
use crate::{Error, Result};

/// Checks of what changes slices of input 0 in place; the dim, a contiguous index, and a source in memory of its own.
fn slices<'a>(call: &Call<'a>) -> Result<(&'a Tensor, usize, Tensor, Tensor)> {
    let (x, index, source, op) = (call.input(0), call.input(1), call.input(2), call.op());
    let d = dim_index(op, call.attrs().get_int("dim"), x.dim())?;
    super::check_index(op, index)?;
    if x.dtype() != source.dtype() {
        return Err(Error::dtype(op, format!("the tensor holds {}, the source {}", x.dtype(), source.dtype())));
    }
    check_slices(op, x, index, source, d)?;
    // A kernel can't read and write one buffer.
    let same = matches!((source.buffer(), x.buffer()), (Ok(a), Ok(b)) if std::sync::Arc::ptr_eq(a, b));
    let source = if same { source.detach().try_copy()? } else { source.clone() };
    Ok((x, d, index.try_contiguous()?, source))
}

/// The operation `index_copy_`: inputs the target, a 1-d index, and the source.
pub(crate) static INDEX_COPY_IN_PLACE: Operation = Operation {
    name: "index_copy_",
    kernels: &[],
    forward: |call| {
        let (target, dim, index, source) = slices(call)?;
        if source.numel() > 0 {
            let put = Put { target, source: &source, dim, index: &index, by_line: false };
            let winners = put.winners(call, OP)?;
            put.write(call, OP, &winners)?;
        }
        Ok(smallvec![])
    },
    vjp: None,
    cases: || in_place_cases(true),
};

/// The operation `index_add_`: inputs the target, a 1-d index, and the source.
pub(crate) static INDEX_ADD_IN_PLACE: Operation = Operation {
    name: "index_add_",
    kernels: &[],
    forward: |call| {
        let (target, dim, index, source) = slices(call)?;
        if target.dtype() == DType::Bool {
            return Err(Error::dtype(call.op(), "takes numbers, not truth values"));
        }
        if source.numel() > 0 {
            let scatter = Scatter {
                target,
                source: &source,
                dim,
                index: &index,
                by_line: false,
                skip: None,
                site: fault::site(OP),
                accumulate: true,
            };
            scatter.run(call, OP)?;
            target.bump_version();
        }
        Ok(smallvec![])
    },
    vjp: None,
    cases: || in_place_cases(false),
};

fn in_place_cases(bools: bool) -> Vec<cases::Case> {
    use cases::{Arrangement, Case, Input};
    let mut list = super::index_add::slice_cases(bools);
    // Out of place an expanded source is one more way to lie; here it is what a number becomes.
    let strided = Input::floats(&[2, 3, 4]).arranged(Arrangement::Strided);
    let inputs = vec![strided, Input::ints(&[3], 0, 3), Input::floats(&[2, 3, 4]).arranged(Arrangement::Expanded)];
    list.push(Case::new("strided target", inputs).attrs(Attrs::new().int("dim", 1)));
    list.iter_mut().for_each(|case| case.gradcheck = false);
    list
}

/// The view of a contiguous `x` that the attributes describe, with its first element's offset from that of `x`.
fn view_of(x: &Tensor, attrs: &Attrs) -> Tensor {
    let offset = x.offset() + attrs.get_int("offset") as usize;
    x.view_as_layout(Layout { shape: attrs.get_sizes("size"), strides: attrs.get_sizes("stride"), offset })
}

fn view_put(call: &mut Call<'_>) -> Result<Outputs> {
    let (x, part) = (call.input(0), call.input(1));
    if x.dtype() != part.dtype() || part.shape() != call.attrs().get_sizes("size").as_slice() {
        let detail = format!("a part of {} and shape {:?} does not fit", part.dtype(), part.shape());
        return Err(Error::argument(call.op(), detail));
    }
    let y = copied(call, "view_put", x)?;
    copy_into(&view_of(&y, call.attrs()), part)?;
    Ok(smallvec![y])
}

/// The operation `view_put`: inputs a tensor and the new elements of one of its views.
pub(crate) static VIEW_PUT: Operation = Operation {
    name: "view_put",
    kernels: &[],
    forward: view_put,
    vjp: Some(|v| {
        let g = v.gradient().try_contiguous()?;
        let part = if v.needs(1) { Some(view_of(&g, v.attrs())) } else { None };
        if !v.needs(0) {
            return Ok(smallvec![None, part]);
        }
        let dx = copied(v, "view_put", &g)?;
        let view = view_of(&dx, v.attrs());
        copy_into(&view, &Tensor::try_full_on(&[], 0.0, DType::F32, v.device())?)?;
        Ok(smallvec![Some(dx), part])
    }),
    cases: || {
        use cases::{Arrangement, Case, Input};
        let case = |name: &str, x: &[usize], part: &[usize], strides: &[i64], offset: i64| {
            let attrs = Attrs::new().sizes("size", part).ints("stride", strides).int("offset", offset);
            Case::new(name, vec![Input::floats(x), Input::floats(part)]).attrs(attrs)
        };
        let mut transposed = case("transposed", &[5, 3], &[3], &[3], 4);
        transposed.inputs[0] = Input::floats(&[5, 3]).arranged(Arrangement::Transposed);
        let mut ints = case("i32", &[4, 3], &[3], &[1], 6);
        ints.inputs = vec![Input::ints(&[4, 3], -9, 9), Input::ints(&[3], -9, 9)];
        ints.gradcheck = false;
        vec![
            case("row", &[4, 3], &[3], &[1], 6),
            case("column", &[4, 3], &[4], &[3], 1),
            case("steps", &[2, 7], &[2, 3], &[7, 2], 1),
            case("one", &[4, 3], &[], &[], 5),
            case("nothing", &[4, 3], &[0, 3], &[3, 1], 0),
            transposed,
            ints,
            case("other shape", &[4, 3], &[3], &[1], 6)
                .attrs(Attrs::new().sizes("size", &[2]).ints("stride", [1]).int("offset", 0))
                .fails(),
        ]
    },
};

/// The values in the type of `x`.
fn values_for(x: &Tensor, values: Value) -> Result<Tensor> {
    match values {
        Value::Tensor(values) => values.try_to_dtype(x.dtype()),
        Value::Number(value) => Tensor::try_full_on(&[], value, x.dtype(), x.device()),
    }
}

/// The values broadcast to a shape. As in PyTorch they may have more dims, if those in front have one element.
fn fitted(values: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let extra = values.dim().saturating_sub(shape.len());
    let values = if values.shape()[..extra].iter().all(|&s| s == 1) {
        values.try_reshape(&values.shape()[extra..])?
    } else {
        values.clone()
    };
    values.try_expand(shape).map_err(|error| match error {
        Error::Shape { .. } => {
            Error::shape(OP, format!("values of shape {:?} do not fit a place of shape {shape:?}", values.shape()))
        }
        other => other,
    })
}

/// The values slice by slice, for the dims that are picked from as one.
fn slices_of(plan: &Plan, values: &Tensor) -> Result<Tensor> {
    fitted(values, &plan.shape_with(&plan.shape))?.try_reshape(&plan.shape_with(&[numel(&plan.shape)]))
}

/// The dims that are picked from as one, without moving anything, if they lie so.
fn merged_view(plan: &Plan) -> Option<Tensor> {
    let (first, count) = (plan.first, plan.sizes.len());
    let (view, all) = (&plan.view, first..first + count);
    let lies = all.clone().skip(1).all(|d| view.strides()[d - 1] == view.strides()[d] * view.shape()[d]);
    let mut strides: Shape = view.strides().into();
    strides.drain(first..first + count - 1);
    let shape = plan.shape_with(&[numel(&plan.sizes)]);
    lies.then(|| view.view_as_layout(Layout { shape, strides, offset: view.offset() }))
}

/// Writes into the memory of `x`.
fn write(x: &Tensor, index: impl IntoIndex, values: Value, accumulate: bool) -> Result<()> {
    let source = if let Value::Tensor(values) = &values { Some(values) } else { None };
    x.check_in_place(OP, source)?;
    let x = x.detach();
    let values = values_for(&x, values)?.detach();
    let index = index.into_index();
    if let (Some(mask), false, 1) = (only_mask(&index), accumulate, values.numel()) {
        // One value for all places: nothing needs to be counted.
        return fill_masked(&x, mask, &values);
    }
    let plan = plan(&x, index, true)?;
    if plan.is_basic() {
        let values = fitted(&values, plan.view.shape())?;
        return if accumulate { plan.view.add_(&values) } else { plan.view.copy_(&values) };
    }
    let (values, places) = (slices_of(&plan, &values)?, plan.places()?);
    let operation = if accumulate { &INDEX_ADD_IN_PLACE } else { &INDEX_COPY_IN_PLACE };
    let attrs = Attrs::new().int("dim", plan.first as i64);
    if let Some(target) = merged_view(&plan) {
        return apply(operation, &[&target, &places, &values], attrs).map(|_| ());
    }
    // Dims that do not lie one behind the other are changed in a copy.
    let target = plan.view.try_copy()?.try_reshape(&plan.shape_with(&[numel(&plan.sizes)]))?;
    apply(operation, &[&target, &places, &values], attrs)?;
    plan.view.copy_(&target.try_reshape(plan.view.shape())?)
}

/// The mask, if the index is one mask alone.
fn only_mask(index: &[Index]) -> Option<&Tensor> {
    match index {
        [Index::Tensor(mask)] if mask.dtype() == DType::Bool => Some(mask),
        _ => None,
    }
}

/// One value where a mask of the first dims is true.
fn fill_masked(x: &Tensor, mask: &Tensor, value: &Tensor) -> Result<()> {
    if mask.dim() > x.dim() || mask.shape() != &x.shape()[..mask.dim()] {
        let detail = format!("a mask of shape {:?} does not fit the first dims of {:?}", mask.shape(), x.shape());
        return Err(Error::shape(OP, detail));
    }
    let mut shape = mask.shape().to_vec();
    shape.resize(x.dim(), 1);
    let mask = mask.try_reshape(shape)?;
    x.copy_(&mask.try_where_(&value.try_reshape([0usize; 0])?, x)?)
}

methods! {
    /// A copy of the tensor with `values`, a tensor or a number that is broadcast, in the place of an index; gradients flow to
    /// both. With `accumulate` the values are added to what is there.
    ///
    /// Where index tensors name a place twice, all values are added, in a fixed order; without `accumulate` the last wins, which
    /// PyTorch leaves open. [`Self::i`] tells how an index is written.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::zeros(&[2, 3]);
    /// let index = Tensor::from_slice(&[1, 1], &[2]);
    /// let y = x.index_put((.., &index), 2.0, true);
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 4.0, 0.0, 0.0, 4.0, 0.0]);
    /// assert_eq!(x.index_put((0, ..2), 1.0, false).to_vec::<f32>()?, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::i`], and when the values do not fit the place.
    pub fn index_put / try_index_put (&self, index: impl IntoIndex, values: impl Into<Value>, accumulate: bool) -> Tensor {
        let x = self.try_contiguous()?;
        let values = values_for(&x, values.into())?;
        let plan = plan(&x, index.into_index(), true)?;
        let dim = plan.first as i64;
        let part = if plan.is_basic() {
            let values = fitted(&values, plan.view.shape())?;
            if accumulate { plan.view.try_add(&values)? } else { values }
        } else {
            let (values, places) = (slices_of(&plan, &values)?, plan.places()?);
            let merged = plan.view.try_reshape(&plan.shape_with(&[numel(&plan.sizes)]))?;
            let changed = if accumulate {
                merged.try_index_add(dim, &places, &values, 1.0)?
            } else {
                merged.try_index_copy(dim, &places, &values)?
            };
            changed.try_reshape(plan.view.shape())?
        };
        let view = &plan.view;
        let whole = view.numel() == x.numel() && view.strides() == contiguous_strides(x.shape()).as_slice();
        // What is overwritten as a whole has a gradient of zeros, but has one.
        if whole && view.shape() == x.shape() && (accumulate || !plan.is_basic()) {
            return Ok(part);
        }
        let offset = view.offset() as i64 - x.offset() as i64;
        let attrs = Attrs::new().sizes("size", view.shape()).sizes("stride", view.strides()).int("offset", offset);
        single(apply(&VIEW_PUT, &[&x, &part], attrs))
    }
}

/// Assignment.
impl Tensor {
    /// Writes `value`, a tensor or a number that is broadcast, into this tensor's memory: Python's `x[…] = value`. Views see the
    /// change. [`Tensor::i`] tells how an index is written; where index tensors name a place twice the last value wins, which
    /// PyTorch leaves open.
    ///
    /// A 0-d index tensor and the number of a mask's true elements are read back, which waits for the device; not for a mask alone
    /// and one number.
    ///
    /// # Errors
    /// As [`Tensor::copy_`], and mistakes in the index. For a tensor inside a graph there is [`Tensor::index_put`].
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::zeros(&[2, 3]);
    /// x.set((.., 0), 1.0)?;
    /// x.set((1, 1..), &Tensor::from_slice(&[2.0f32, 3.0], &[2]))?;
    /// x.set(&x.eq_scalar(0.0), -1.0)?;
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, -1.0, -1.0, 1.0, 2.0, 3.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn set(&self, index: impl IntoIndex, value: impl Into<Value>) -> Result<()> {
        let _caller = CallerScope::enter();
        write(self, index, value.into(), false)
    }

    /// [`Tensor::set`] that can also add: with `accumulate` every value is added to its place, also where index tensors name one
    /// several times. The order of the sums is fixed.
    ///
    /// # Errors
    /// As [`Tensor::set`].
    #[track_caller]
    pub fn index_put_(&self, index: impl IntoIndex, values: impl Into<Value>, accumulate: bool) -> Result<()> {
        let _caller = CallerScope::enter();
        write(self, index, values.into(), accumulate)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn numbers(values: &[i32]) -> Tensor {
        Tensor::from_slice_on(values, &[values.len()], &Device::reference())
    }

    #[test]
    fn the_last_of_equal_indices_wins() {
        let x = numbers(&[0, 0, 0]);
        x.set(numbers(&[1, 1, 0, 1]), numbers(&[5, 6, 7, 8])).unwrap();
        assert_eq!(x.to_vec::<i32>().unwrap(), [7, 8, 0]);
        x.index_put_(numbers(&[1, 1]), numbers(&[1, 2]), true).unwrap();
        assert_eq!(x.to_vec::<i32>().unwrap(), [7, 11, 0]);
        // From its own memory.
        x.set(1..3, x.i(0..2)).unwrap();
        assert_eq!(x.to_vec::<i32>().unwrap(), [7, 7, 11]);
    }

    #[test]
    fn a_change_is_seen_by_what_was_saved() {
        let device = Device::reference();
        let x = Tensor::full_on(&[2, 2], 3.0, DType::F32, &device);
        let w = Tensor::full_on(&[2, 2], 1.0, DType::F32, &device).requires_grad();
        let y = (&x * &w).sum();
        x.set((0, 0), 1.0).unwrap();
        assert!(y.backward().unwrap_err().to_string().contains("in place"));
        for refused in [&w, &(&w * 2.0), &x.unfold(0, 2, 1).expand([2, 1, 2, 2])] {
            refused.set(0, 1.0).unwrap_err();
        }
        // The windows of a vector overlap.
        x.ravel().unfold(0, 2, 1).set(0, 1.0).unwrap_err();
        no_grad(|| w.set((.., 0), 5.0)).unwrap();
        assert_eq!(w.to_vec::<f32>().unwrap(), [5.0, 1.0, 5.0, 1.0]);
    }

    #[test]
    fn a_bad_index_is_an_error_that_names_the_line() {
        let x = numbers(&[1, 2, 3]);
        for bad in [3, -4] {
            let index = numbers(&[0, bad]);
            let errors = [
                x.try_i(&index).unwrap_err(),
                x.try_take(&index).unwrap_err(),
                x.try_index_put(&index, 1, false).unwrap_err(),
                x.set(&index, 1).unwrap_err(),
                x.index_put_(&index, 1, true).unwrap_err(),
            ];
            for error in errors {
                let text = error.to_string();
                assert!(text.contains(&bad.to_string()) && text.contains("index_put.rs"), "{text}");
            }
            assert!(x.try_i([0, i64::from(bad)]).is_err() && x.try_i(i64::from(bad)).is_err());
        }
        assert_eq!(x.to_vec::<i32>().unwrap(), [1, 2, 3]);
        for mistake in [
            x.try_i((0, 0)),
            x.try_i((Ellipsis, Ellipsis)),
            x.try_i(Slice::step(.., 0)),
            x.try_i(x.eq_scalar(1.0).i(1..)),
        ] {
            mistake.unwrap_err();
        }
    }
}
