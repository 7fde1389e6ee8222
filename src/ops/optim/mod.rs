//! The update kernels of the optimisers: one dispatch for a range of an arena, whatever the number of parameters in it.

pub(crate) mod adam;
pub(crate) mod sgd;

use super::Attrs;

/// Where an update takes place: elements of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: usize,
    pub len: usize,
}

impl Span {
    fn attrs(self) -> Attrs {
        Attrs::new().ints("span", [self.first as i64, self.len as i64])
    }

    fn of(attrs: &Attrs) -> (u32, u32) {
        let &[first, len] = attrs.get_ints("span") else { unreachable!("a span has two numbers") };
        (first as u32, len as u32)
    }
}
