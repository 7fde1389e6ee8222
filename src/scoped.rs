//! Values of a thread that hold while a function runs, and are put back afterwards, after a panic too.

use std::cell::{Cell, RefCell};
use std::thread::LocalKey;

/// Runs `body` with `value` in the cell.
pub(crate) fn set<T: Copy + 'static, R>(cell: &'static LocalKey<Cell<T>>, value: T, body: impl FnOnce() -> R) -> R {
    struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Restore<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(cell, cell.replace(value));
    body()
}

/// Runs `body` with `value` in the cell. Gives what it left there, too.
pub(crate) fn replace<T: 'static, R>(
    cell: &'static LocalKey<RefCell<T>>,
    value: T,
    body: impl FnOnce() -> R,
) -> (R, T) {
    struct Restore<T: 'static>(&'static LocalKey<RefCell<T>>, Option<T>);
    impl<T> Restore<T> {
        /// Gives what was in the cell, so that nothing is dropped while it is borrowed.
        fn restore(&mut self) -> Option<T> {
            self.1.take().map(|outer| self.0.replace(outer))
        }
    }
    impl<T> Drop for Restore<T> {
        fn drop(&mut self) {
            self.restore();
        }
    }
    let mut outer = Restore(cell, Some(cell.replace(value)));
    let result = body();
    (result, outer.restore().expect("it is put back once"))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(1) };
        static LIST: RefCell<Vec<Noisy>> = const { RefCell::new(Vec::new()) };
    }

    /// Looks at the list when it goes.
    #[derive(Debug, PartialEq)]
    struct Noisy(u32);

    impl Drop for Noisy {
        fn drop(&mut self) {
            // Not at the thread's end, which has no list any more.
            let _ = LIST.try_with(|list| drop(list.borrow()));
        }
    }

    fn push(number: u32) {
        LIST.with_borrow_mut(|list| list.push(Noisy(number)));
    }

    fn list() -> Vec<u32> {
        LIST.with_borrow(|list| list.iter().map(|n| n.0).collect())
    }

    #[test]
    fn a_number_holds_inside_and_is_put_back() {
        let seen = set(&NUMBER, 2, || {
            let inner = set(&NUMBER, 3, || NUMBER.get());
            NUMBER.set(NUMBER.get() + 10);
            (inner, NUMBER.get())
        });
        assert_eq!(seen, (3, 12));
        assert_eq!(NUMBER.get(), 1);
    }

    #[test]
    fn a_list_is_collected_inside_and_the_outer_one_is_put_back() {
        push(1);
        let (inner, outer) = replace(&LIST, Vec::new(), || {
            push(2);
            let ((), inner) = replace(&LIST, vec![Noisy(3)], || push(4));
            push(5);
            inner
        });
        assert_eq!(inner, [Noisy(3), Noisy(4)]);
        assert_eq!(outer, [Noisy(2), Noisy(5)]);
        assert_eq!(list(), [1]);
    }

    #[test]
    fn a_panic_puts_them_back() {
        push(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            set(&NUMBER, 7, || {
                replace(&LIST, Vec::new(), || {
                    push(8);
                    panic!("as planned");
                })
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(NUMBER.get(), 1);
        assert_eq!(list(), [1]);
    }
}
