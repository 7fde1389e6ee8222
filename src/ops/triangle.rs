//! `tril` and `triu`: the lower or upper triangle of every matrix, the rest 0. The gradient is the same triangle of the
//! upstream gradient.
//!
//! <https://pytorch.org/docs/stable/generated/torch.tril.html>, <https://pytorch.org/docs/stable/generated/torch.triu.html>

use smallvec::smallvec;

use super::elementwise::{ElementwiseParams, grid};
use super::{Attrs, Operation, Run, apply, cases, methods, single};
use crate::engine::{Binding, Bound, HostCall, Kernel, ParamsLayout, Variant};
use crate::tensor::Tensor;
use crate::{Error, Result};

static FORWARD: Kernel = Kernel {
    name: "triangle.forward",
    source: &[include_str!("../../shaders/triangle.wgsl")],
    entry: "main",
    bindings: &[Binding::Read("x"), Binding::Write("y")],
    params: ParamsLayout::of::<ElementwiseParams>(),
    variants: Variant::STORAGE,
    grid,
    reference: twin,
    bound: |_| Bound::Exact,
};

fn twin(call: &HostCall<'_>) -> Result<()> {
    let p: &ElementwiseParams = call.params();
    let [rows, columns, diagonal, upper] = p.scalars;
    let places = (0..p.n).map(|i| {
        let above = (i % columns) as i32 - (i / columns % rows) as i32;
        let inside = if upper != 0 { above >= diagonal as i32 } else { above <= diagonal as i32 };
        (inside.then(|| p.operand(i, 0)), p.result(i))
    });
    call.copy_elements(0, 1, places);
    Ok(())
}

fn triangle(run: &mut Run<'_>, op: &'static str, attrs: &Attrs, x: &Tensor, y: &Tensor) -> Result<()> {
    let &[.., rows, columns] = x.shape() else {
        return Err(Error::shape(op, format!("takes matrices, not the shape {:?}", x.shape())));
    };
    let mut params = ElementwiseParams::new(op, x.shape(), &[x], y)?;
    // Farther away there is nothing more to see.
    let diagonal = attrs.get_int("diagonal").clamp(-(rows as i64) - 1, columns as i64 + 1) as i32;
    params.scalars = [rows as u32, columns as u32, diagonal as u32, u32::from(op == "triu")];
    run.dispatch(&FORWARD, x.dtype().storage_variant(), &[x, y], &params);
    Ok(())
}

macro_rules! triangle_operation {
    ($static:ident, $name:literal, $kernels:expr) => {
        #[doc = concat!("The operation `", $name, "`.")]
        pub(crate) static $static: Operation = Operation {
            name: $name,
            kernels: $kernels,
            forward: |call| {
                let (x, attrs) = (call.input(0), call.attrs());
                let y = call.output(x.dtype(), x.shape());
                triangle(call, $name, attrs, x, &y)?;
                Ok(smallvec![y])
            },
            vjp: Some(|v| {
                let (g, attrs, dx) = (v.gradient(), v.attrs(), v.gradient_output(0));
                triangle(v, $name, attrs, g, &dx)?;
                Ok(smallvec![Some(dx)])
            }),
            cases: triangle_cases,
        };
    };
}
triangle_operation!(TRIL, "tril", &[&FORWARD]);
triangle_operation!(TRIU, "triu", &[]);

fn triangle_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Input};
    let case =
        |name: &str, x: Input, diagonal: i64| Case::new(name, vec![x]).attrs(Attrs::new().int("diagonal", diagonal));
    let odd = |arrangement| Input::floats(&[4, 3]).arranged(arrangement);
    vec![
        case("square", Input::floats(&[4, 4]), 0),
        case("wide", Input::floats(&[3, 5]), 1),
        case("high", Input::floats(&[5, 3]), -2),
        case("batch", Input::floats(&[2, 3, 4]), 0),
        case("one", Input::floats(&[1, 1]), 0),
        case("far above", Input::floats(&[3, 3]), 100),
        case("far below", Input::floats(&[3, 3]), -(1 << 40)),
        case("empty", Input::floats(&[2, 0, 3]), 0),
        case("transposed", odd(Arrangement::Transposed), 0),
        case("strided", odd(Arrangement::Strided), 0),
        case("expanded", odd(Arrangement::Expanded), 0),
        case("large", Input::floats(&[130, 65]), 3).no_gradcheck(),
        case("extreme", Input::floats(&[17, 17]).fill(EXTREME), 0).no_gradcheck(),
        case("i32", Input::ints(&[4, 4], 1, 9), 0),
        case("bool", Input::bools(&[8, 8]), 0),
        case("1-d", Input::floats(&[4]), 0).fails(),
    ]
}

methods! {
    /// The lower triangle of every matrix (the last two dims), the rest 0. `diagonal` 0 keeps the main diagonal and what lies
    /// below; a positive one keeps more diagonals, a negative one fewer.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let causal = Tensor::ones(&[3, 3]).tril(0);
    /// assert_eq!(causal.to_vec::<f32>()?, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the tensor has fewer than two dims.
    pub fn tril / try_tril (&self, diagonal: i64) -> Tensor {
        single(apply(&TRIL, &[self], Attrs::new().int("diagonal", diagonal)))
    }

    /// The upper triangle of every matrix, the rest 0; a positive `diagonal` keeps fewer diagonals, a negative one more.
    ///
    /// # Panics
    /// When the tensor has fewer than two dims.
    pub fn triu / try_triu (&self, diagonal: i64) -> Tensor {
        single(apply(&TRIU, &[self], Attrs::new().int("diagonal", diagonal)))
    }
}
