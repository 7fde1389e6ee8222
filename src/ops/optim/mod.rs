//! The update kernels of the optimisers: one dispatch for a range of an arena, whatever the number of parameters in it,
//! after one that advances the clock of each parameter.

pub(crate) mod adadelta;
pub(crate) mod adagrad;
pub(crate) mod adam;
pub(crate) mod adamax;
pub(crate) mod asgd;
pub(crate) mod clock;
pub(crate) mod nadam;
pub(crate) mod radam;
pub(crate) mod rmsprop;
pub(crate) mod rprop;
pub(crate) mod sgd;

use super::Attrs;
use crate::engine::Grid;

/// Where an update takes place: elements of an arena, from and to a multiple of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: usize,
    pub len: usize,
    /// The clock that says whether and how; all parameters in the range have the same numbers in theirs.
    pub row: usize,
}

impl Span {
    pub fn new(first: usize, len: usize, row: usize) -> Span {
        Span { first, len, row }
    }

    fn attrs(self) -> Attrs {
        Attrs::new().ints("span", [self.first as i64, self.len as i64, self.row as i64])
    }

    /// First element, number of elements, and where the clock's row starts.
    fn of(attrs: &Attrs) -> [u32; 3] {
        let &[first, len, row] = attrs.get_ints("span") else { unreachable!("a span has three numbers") };
        debug_assert!(first % 4 == 0 && len % 4 == 0, "a thread updates four elements");
        [first as u32, len as u32, (row as usize * clock::ROW) as u32]
    }
}

/// The sign that the gradient gets.
fn sign(attrs: &Attrs) -> f32 {
    if attrs.get_bool("maximize") { -1.0 } else { 1.0 }
}

/// Updates `n` elements of a gradient's parameter and state, `changed` tensors together: four a thread.
fn grid(n: u32, changed: u64) -> Grid {
    let n = u64::from(n);
    Grid::elements(n as u32 / 4).work(n * 40).elements_moved(n * (1 + 2 * changed))
}

/// Declares the kernel and the operation of an optimiser that has one of each: inputs gradient, parameter, the state
/// and the clock; all but the first and the last are changed.
macro_rules! update {
    (
        $(#[$meta:meta])* $operation:ident, $kernel:ident, $name:literal, $shader:literal, $params:ty,
        state: [$($state:literal),*],
        twin: $twin:expr, ulps: $ulps:literal,
        cases: $cases:expr $(,)?
    ) => {
        static $kernel: $crate::engine::Kernel = $crate::engine::Kernel {
            name: concat!($name, ".step"),
            source: &[include_str!(concat!("../../../shaders/optim/", $shader))],
            entry: "main",
            bindings: &[
                $crate::engine::Binding::Read("gradient"),
                $crate::engine::Binding::ReadWrite("parameter"),
                $($crate::engine::Binding::ReadWrite($state),)*
                $crate::engine::Binding::Read("clock"),
            ],
            params: $crate::engine::ParamsLayout::of::<$params>(),
            variants: $crate::engine::Variant::ONLY,
            grid: |p| {
                let n = p.get::<$params>().n;
                let changed = 1 + [$($state),*].len() as u64;
                $crate::ops::optim::grid(n, changed)
            },
            reference: |call| $twin(call, false),
            bound: |_| $crate::engine::Bound::Scaled { ulps: $ulps, magnitude: |call| $twin(call, true) },
        };

        $(#[$meta])*
        pub(crate) static $operation: $crate::ops::Operation = $crate::ops::Operation {
            name: $name,
            kernels: &[&$kernel],
            forward: |call| {
                let params = <$params>::of(call.attrs());
                let inputs = call.inputs();
                call.dispatch(&$kernel, 0, inputs, &params);
                inputs[1..inputs.len() - 1].iter().for_each(|t| t.bump_version());
                Ok(smallvec::smallvec![])
            },
            vjp: None,
            cases: $cases,
        };
    };
}
use update;

/// Inputs of a case: gradient, parameter, as many state tensors as there are ranges of values, and a clock.
#[rustfmt::skip]
fn case(name: &str, n: usize, state: &[(f64, f64)], clock: &'static [f64], attrs: Attrs) -> super::cases::Case {
    use super::cases::{Case, Fill, Input};
    let flat = Input::floats(&[n]).constant();
    let mut inputs = vec![flat.clone(), flat.clone()];
    inputs.extend(state.iter().map(|&(low, high)| flat.clone().fill(Fill::Uniform(low, high))));
    inputs.push(Input::floats(&[2 * clock::ROW]).constant().fill(Fill::Values(clock)));
    Case::new(name, inputs).attrs(attrs)
}

/// Values of a moment that may have either sign, and of one that is not negative.
const ANY: (f64, f64) = (-2.0, 2.0);
const POSITIVE: (f64, f64) = (0.01, 2.0);
