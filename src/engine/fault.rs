//! Bad indices and whole numbers divided by 0: where a kernel that looks for them was called from, and the error that a fault
//! becomes.
//!
//! A kernel's params carry a *site*, a small number that stands for the operation and the caller's line. When a shader
//! meets an index outside its range it stores site, value and bound in the device's fault buffer, of a division the site alone;
//! the next read-back brings them to the host.

use std::cell::Cell;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::place;
use crate::Error;

/// `u32` words of the fault buffer: site (0: no fault), value, bound, unused.
pub(crate) const WORDS: usize = 4;

/// What a kernel looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// An index outside of its range: the index, and the first number that is none.
    Index,
    /// Weights that nothing can be drawn from: their row.
    Weights,
    /// A whole number divided by 0.
    ZeroDivision,
}

/// An operation and what it looks for, the line that it was called from, and the modules that ran.
type Site = (&'static str, Fault, &'static Location<'static>, Vec<place::Identity>);

#[derive(Default)]
struct Sites {
    /// With the path of the innermost module.
    list: Vec<(Site, Option<String>)>,
    numbers: FxHashMap<Site, u32>,
}

static SITES: Mutex<Option<Sites>> = Mutex::new(None);

thread_local! {
    static CALLER: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Remembers the user's line while a method runs; the outermost method wins.
pub(crate) struct CallerScope(bool);

impl CallerScope {
    #[track_caller]
    pub fn enter() -> Self {
        let here = Location::caller();
        CALLER.with(|c| {
            let outermost = c.get().is_none();
            if outermost {
                c.set(Some(here));
            }
            CallerScope(outermost)
        })
    }
}

impl Drop for CallerScope {
    fn drop(&mut self) {
        if self.0 {
            CALLER.with(|c| c.set(None));
        }
    }
}

/// The line of the user's program that called the method that is running, or this function's caller.
#[track_caller]
pub(crate) fn users_line() -> &'static Location<'static> {
    // Not `unwrap_or_else(Location::caller)`, which would name a line of the standard library.
    let here = Location::caller();
    place::users_line(CALLER.with(Cell::get).unwrap_or(here))
}

/// The number of `op`, which looks for bad indices, called from the current user line.
#[track_caller]
pub(crate) fn site(op: &'static str) -> u32 {
    site_of(Fault::Index, op)
}

/// [`site`] of an operation that looks for something else.
#[track_caller]
pub(crate) fn site_of(fault: Fault, op: &'static str) -> u32 {
    let location = users_line();
    let modules = place::frames().iter().map(|frame| frame.identity).collect();
    let mut guard = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    let sites = guard.get_or_insert_with(Sites::default);
    let key = (op, fault, location, modules);
    if let Some(&n) = sites.numbers.get(&key) {
        return n;
    }
    sites.list.push((key.clone(), place::path()));
    let n = sites.list.len() as u32;
    sites.numbers.insert(key, n);
    n
}

/// What a fault means to the user.
pub(crate) fn error(site: u32, value: i64, bound: i64) -> Error {
    let guard = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = guard.as_ref().and_then(|s| s.list.get((site as usize).wrapping_sub(1)));
    let Some(((op, fault, line, _), path)) = known else {
        return Error::Index { op: "index", value, bound, at: String::new() };
    };
    let path = path.as_ref().map(|path| format!(" in {path}")).unwrap_or_default();
    let at = format!("{}:{}{path}", line.file(), line.line());
    match fault {
        Fault::Index => Error::Index { op, value, bound, at },
        Fault::Weights => Error::Weights { op, row: value, at },
        Fault::ZeroDivision => Error::ZeroDivision { op, at },
    }
}

/// Decodes the fault buffer's words.
pub(crate) fn decode(words: [u32; WORDS]) -> Option<Error> {
    (words[0] != 0).then(|| error(words[0], i64::from(words[1] as i32), i64::from(words[2] as i32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_operation_and_line() {
        let n = site("gather");
        assert_eq!(n, site_again(n));
        let text = decode([n, (-3i32) as u32, 7, 0]).unwrap().to_string();
        assert!(text.contains("gather") && text.contains("-3") && text.contains("0 to 6"), "{text}");
        assert!(text.contains("fault.rs"), "{text}");
        assert!(decode([0; 4]).is_none());
        let text = decode([site_of(Fault::ZeroDivision, "remainder"), 0, 0, 0]).unwrap().to_string();
        assert!(text.contains("remainder") && text.contains("divided by 0") && text.contains("fault.rs"), "{text}");
    }

    fn site_again(n: u32) -> u32 {
        // another line of the same operation is another site
        assert_ne!(site("gather"), n);
        n
    }
}
