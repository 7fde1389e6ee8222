//! Where a program is: the modules that are running on this thread, and the user's line.
//!
//! Calling a module pushes a frame of three words; that is all, until something goes wrong. Then the outermost module is
//! asked for its tree, in which the frames' addresses are found and become a path such as `layer1.0.conv1`.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::ptr::NonNull;

use smallvec::SmallVec;

/// Which module it is: its type and where it lies. A module and its first field share an address, but not their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub address: usize,
    pub type_name: &'static str,
    /// Modules without state have no place of their own: siblings of one type are told apart by the order of calls.
    pub has_size: bool,
}

/// A module in the tree below the outermost one.
pub(crate) struct Seen {
    pub path: String,
    pub identity: Identity,
}

/// A module that is running.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub identity: Identity,
    /// How many modules with the same identity its parent had called before it; counted for those without size.
    pub before: u32,
    caller: &'static Location<'static>,
    called: SmallVec<[(Identity, u32); 1]>,
}

/// Lists the tree of a module.
pub(crate) type Tree<'a> = dyn Fn(&mut Vec<Seen>) + 'a;

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    static ROOT: Cell<Option<NonNull<Tree<'static>>>> = const { Cell::new(None) };
}

/// A frame on the thread's stack, and for the outermost one the way to its tree, for as long as this value lives.
///
/// Made by [`enter_module!`] only.
pub(crate) struct ModuleScope {
    depth: usize,
}

impl ModuleScope {
    /// # Safety
    /// The value must be dropped before `tree` is, and so may neither be moved out of the block that made it nor be
    /// forgotten: until then [`path_of`] calls `tree`.
    #[expect(unsafe_code, reason = "a reference in a thread-local outlives what the compiler can see")]
    pub unsafe fn enter(identity: Identity, caller: &'static Location<'static>, tree: &Tree<'_>) -> Self {
        FRAMES.with_borrow_mut(|frames| {
            let depth = frames.len();
            let before = match frames.last_mut() {
                Some(parent) if !identity.has_size => parent.count(identity),
                _ => 0,
            };
            if depth == 0 {
                let tree = NonNull::from(tree);
                // SAFETY: only the lifetime changes. The thread's root is this one until the frame is dropped, which
                // the caller promises to do before `tree` goes; nobody keeps a copy of the pointer.
                let tree = unsafe { std::mem::transmute::<NonNull<Tree<'_>>, NonNull<Tree<'static>>>(tree) };
                ROOT.set(Some(tree));
            }
            frames.push(Frame { identity, before, caller, called: SmallVec::new() });
            ModuleScope { depth }
        })
    }
}

impl Drop for ModuleScope {
    fn drop(&mut self) {
        if self.depth == 0 {
            ROOT.set(None);
        }
        FRAMES.with_borrow_mut(|frames| frames.truncate(self.depth));
    }
}

impl Frame {
    fn count(&mut self, identity: Identity) -> u32 {
        match self.called.iter_mut().find(|(known, _)| *known == identity) {
            Some((_, count)) => {
                *count += 1;
                *count - 1
            }
            None => {
                self.called.push((identity, 1));
                0
            }
        }
    }
}

/// Marks a module as running until the end of the block; `tree` is a closure that lists its tree.
macro_rules! enter_module {
    ($identity:expr, $caller:expr, $tree:expr) => {
        let tree = $tree;
        // The name of a macro's variable can't be written outside of it: nothing moves or forgets the scope, and
        // variables are dropped in reverse order, so it goes before `tree`.
        #[expect(unsafe_code, reason = "the promise of `ModuleScope::enter` is kept as said above")]
        let _scope = unsafe { $crate::engine::place::ModuleScope::enter($identity, $caller, &tree) };
    };
}
pub(crate) use enter_module;

/// The modules that are running, outermost first.
pub(crate) fn frames() -> Vec<Frame> {
    FRAMES.with_borrow(|frames| frames.clone())
}

/// Which modules are running, as a key.
pub(crate) fn modules() -> super::profile::Modules {
    FRAMES.with_borrow(|frames| frames.iter().map(|frame| (frame.identity, frame.before)).collect())
}

/// The tree of the outermost module that is running.
#[expect(unsafe_code, reason = "see `ModuleScope`")]
fn tree() -> Vec<Seen> {
    let mut seen = Vec::new();
    if let Some(tree) = ROOT.get() {
        // SAFETY: what `ROOT` points to is alive while it is there (`ModuleScope::enter`), it is only set on this thread,
        // and this frame is above the one that owns it.
        let list = unsafe { tree.as_ref() };
        list(&mut seen);
    }
    seen
}

/// The path of the innermost module that is running, from the outermost one; `None` outside of modules and in the
/// outermost one itself.
pub(crate) fn path() -> Option<String> {
    let frames = frames();
    (frames.len() > 1).then(|| path_of(&frames)).filter(|path| !path.is_empty())
}

/// The path of the last of these frames, which are the thread's or its first ones.
pub(crate) fn path_of(frames: &[Frame]) -> String {
    resolve(frames, &tree())
}

/// Follows the frames down the tree. A module that is not in the tree, such as one made on the way, shows as its type.
fn resolve(frames: &[Frame], tree: &[Seen]) -> String {
    let (mut path, mut strange) = ("", String::new());
    for frame in frames.iter().skip(1) {
        let fits = |seen: &&Seen| seen.identity == frame.identity;
        let below: SmallVec<[&Seen; 4]> = tree.iter().filter(fits).filter(|seen| is_below(&seen.path, path)).collect();
        let children = below.iter().filter(|seen| below_by(&seen.path, path) == 1).count();
        let found = match (frame.identity.has_size, children) {
            (true, _) | (false, 0) => below.first().copied(),
            (false, _) => {
                below.iter().filter(|s| below_by(&s.path, path) == 1).nth(frame.before as usize % children).copied()
            }
        };
        match found.or_else(|| tree.iter().find(fits)) {
            Some(seen) => {
                path = &seen.path;
                strange.clear();
            }
            None => {
                strange.push_str(if path.is_empty() && strange.is_empty() { "" } else { "." });
                strange.push_str(short(frame.identity.type_name));
            }
        }
    }
    format!("{path}{strange}")
}

fn is_below(path: &str, parent: &str) -> bool {
    parent.is_empty() || path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

/// How many steps a path is below its parent.
fn below_by(path: &str, parent: &str) -> usize {
    let steps = |path: &str| if path.is_empty() { 0 } else { path.split('.').count() };
    steps(path) - steps(parent)
}

/// A type's name without its module and parameters.
pub(crate) fn short(type_name: &'static str) -> &'static str {
    let plain = type_name.split('<').next().unwrap_or(type_name);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// The folder of this crate's sources, as the compiler names them.
fn sources() -> &'static str {
    let own = file!();
    &own[..own.len() - "engine/place.rs".len()]
}

/// The line of the user's program that led to `here`: the innermost call of a module from outside of this crate, where
/// `here` is inside of it, as for the layers of a `Sequential`.
pub(crate) fn users_line(here: &'static Location<'static>) -> &'static Location<'static> {
    let own = |location: &Location<'_>| location.file().starts_with(sources());
    if !own(here) {
        return here;
    }
    FRAMES.with_borrow(|frames| frames.iter().rev().map(|f| f.caller).find(|caller| !own(caller)).unwrap_or(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(address: usize, has_size: bool) -> Identity {
        Identity { address, type_name: if has_size { "a::Linear" } else { "a::ReLU<f32>" }, has_size }
    }

    fn frame(identity: Identity, before: u32) -> Frame {
        Frame { identity, before, caller: Location::caller(), called: SmallVec::new() }
    }

    #[test]
    fn frames_become_paths() {
        let entries = [("fc", 8, true), ("a", 16, true), ("a.0", 32, true), ("a.1", 1, false), ("a.3", 1, false)];
        let tree = entries.map(|(path, address, size)| Seen { path: path.into(), identity: identity(address, size) });
        let root = || frame(identity(0, true), 0);
        let path = |rest: &[Frame]| resolve(&[&[root()], rest].concat(), &tree);
        assert_eq!(path(&[]), "");
        assert_eq!(path(&[frame(identity(16, true), 0), frame(identity(32, true), 0)]), "a.0");
        for (before, expected) in [(0, "a.1"), (1, "a.3"), (2, "a.1")] {
            assert_eq!(path(&[frame(identity(16, true), 0), frame(identity(1, false), before)]), expected);
        }
        assert_eq!(path(&[frame(identity(16, true), 0), frame(identity(99, true), 0)]), "a.Linear");
        assert_eq!(path(&[frame(identity(2, false), 0)]), "ReLU");
    }

    #[test]
    fn nothing_is_left_after_a_panic() {
        let caught = std::panic::catch_unwind(|| {
            enter_module!(identity(8, true), Location::caller(), |seen: &mut Vec<Seen>| {
                seen.push(Seen { path: "x".into(), identity: identity(16, true) });
            });
            enter_module!(identity(16, true), Location::caller(), |_: &mut Vec<Seen>| unreachable!());
            assert_eq!(path().as_deref(), Some("x"));
            panic!("as planned");
        });
        assert!(caught.is_err() && frames().is_empty() && tree().is_empty());
    }
}
