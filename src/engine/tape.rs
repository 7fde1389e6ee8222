//! What a function asks for besides its inputs (random numbers, whether its modules are being trained), kept so that it
//! can be run again with the same answers.

use std::cell::RefCell;
use std::sync::Arc;

use super::device::RandomState;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Drawn {
    Random(RandomState),
    Training(bool),
}

enum Tape {
    Record(Vec<Drawn>),
    Replay { drawn: Arc<[Drawn]>, next: usize, differs: bool },
}

thread_local! {
    static TAPES: RefCell<Vec<Tape>> = const { RefCell::new(Vec::new()) };
}

/// Takes the thread's latest tape away again, after a panic too.
struct Scope;

impl Scope {
    fn enter(tape: Tape) -> Scope {
        TAPES.with_borrow_mut(|tapes| tapes.push(tape));
        Scope
    }

    fn leave(self) -> Tape {
        std::mem::forget(self);
        TAPES.with_borrow_mut(|tapes| tapes.pop().expect("a scope has its tape"))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        TAPES.with_borrow_mut(|tapes| tapes.pop());
    }
}

/// Runs `body` and keeps what it asks for.
pub(crate) fn record<R>(body: impl FnOnce() -> R) -> (R, Arc<[Drawn]>) {
    let scope = Scope::enter(Tape::Record(Vec::new()));
    let result = body();
    match scope.leave() {
        Tape::Record(drawn) => (result, drawn.into()),
        Tape::Replay { .. } => unreachable!("tapes are a stack"),
    }
}

/// Runs `body` with the answers that it had when they were recorded. `None` when it asks for others.
pub(crate) fn replay<R>(drawn: &Arc<[Drawn]>, body: impl FnOnce() -> R) -> Option<R> {
    let scope = Scope::enter(Tape::Replay { drawn: drawn.clone(), next: 0, differs: false });
    let result = body();
    match scope.leave() {
        Tape::Replay { next, differs, .. } => (!differs && next == drawn.len()).then_some(result),
        Tape::Record(_) => unreachable!("tapes are a stack"),
    }
}

/// Whether this thread runs something again.
pub(crate) fn is_replaying() -> bool {
    TAPES.with_borrow(|tapes| tapes.iter().any(|tape| matches!(tape, Tape::Replay { .. })))
}

/// The answer to a question: from the tape that is replayed, if there is one, else a new one.
pub(crate) fn draw(fresh: impl FnOnce() -> Drawn) -> Drawn {
    TAPES.with_borrow_mut(|tapes| {
        let replayed = tapes.iter().rposition(|tape| matches!(tape, Tape::Replay { .. }));
        let mut fresh = Some(fresh);
        let mut new = || fresh.take().expect("asked once")();
        let answer = match replayed.map(|at| &mut tapes[at]) {
            Some(Tape::Replay { drawn, next, differs }) => {
                let kept = drawn.get(*next).copied();
                *next += 1;
                match kept {
                    Some(kept) => kept,
                    None => {
                        *differs = true;
                        new()
                    }
                }
            }
            _ => new(),
        };
        for tape in &mut tapes[replayed.map_or(0, |at| at + 1)..] {
            if let Tape::Record(drawn) = tape {
                drawn.push(answer);
            }
        }
        answer
    })
}

/// The state for one random operation.
pub(crate) fn random(fresh: impl Fn() -> RandomState) -> RandomState {
    match draw(|| Drawn::Random(fresh())) {
        Drawn::Random(state) => state,
        // Asked for in another order: the replay ends with an error.
        Drawn::Training(_) => {
            spoil();
            fresh()
        }
    }
}

/// Whether a module is being trained.
pub(crate) fn training(fresh: bool) -> bool {
    match draw(|| Drawn::Training(fresh)) {
        Drawn::Training(on) => on,
        Drawn::Random(_) => {
            spoil();
            fresh
        }
    }
}

fn spoil() {
    TAPES.with_borrow_mut(|tapes| {
        for tape in tapes {
            if let Tape::Replay { differs, .. } = tape {
                *differs = true;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(counter: u64) -> u64 {
        random(|| RandomState { seed: 1, counter }).counter
    }

    #[test]
    fn what_was_recorded_comes_again() {
        let (first, tape) = record(|| (number(5), training(true), number(6)));
        assert_eq!(first, (5, true, 6));
        assert_eq!(replay(&tape, || (number(8), training(false), number(9))), Some((5, true, 6)));
        assert_eq!(replay(&tape, || number(8)), None, "too few");
        assert_eq!(replay(&tape, || (number(1), training(false), number(2), number(3))), None, "too many");
        assert_eq!(replay(&tape, || (training(false), number(2), number(3))), None, "in another order");
        assert!(!is_replaying());
        assert_eq!(number(7), 7);
    }

    #[test]
    fn tapes_nest() {
        let (_, outer) = record(|| (number(1), record(|| number(2)), number(3)));
        let (result, inner) = replay(&outer, || {
            let first = number(8);
            let (second, inner) = record(|| number(8));
            ((first, second, number(8)), inner)
        })
        .unwrap();
        assert_eq!(result, (1, 2, 3));
        assert_eq!(replay(&inner, || number(9)), Some(2));
    }
}
