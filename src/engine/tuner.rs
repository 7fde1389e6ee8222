//! Choices among kernels that were measured on this device, and kept for the next process.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::adapter::AdapterFacts;
use super::cache::CacheFile;
use crate::scoped;

/// What a computation is, as far as the choice of its kernel goes: sizes in classes, and how its operands lie.
pub(crate) type Key = [u32; 8];

/// The size class of a number: how many bits the next power of two has.
pub(crate) fn class(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}

/// A name as a number of a [`Key`], the same in every process (FNV-1a).
pub(crate) fn number(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

type Choices = FxHashMap<(&'static str, Key), Option<&'static str>>;

/// Every family of kernels with its members.
pub(crate) type Families = &'static [(&'static str, &'static [&'static str])];

/// The measured choices of a device; `None` among them is the usual kernel.
#[derive(Default)]
pub(crate) struct Tuner {
    on: AtomicBool,
    state: Mutex<Option<State>>,
}

struct State {
    families: Families,
    choices: Choices,
    file: Option<CacheFile>,
}

thread_local! {
    /// The member of a family that this thread's computations take.
    static HERE: Cell<Option<(&'static str, Option<&'static str>)>> = const { Cell::new(None) };
}

/// What [`with_choice`] has set: `None` outside of it, and within it nothing where the usual kernel is to run.
pub(crate) fn choice_here(family: &str) -> Option<Option<&'static str>> {
    HERE.get().filter(|(set, _)| *set == family).map(|(_, option)| option)
}

/// Runs `body` with this member of a family.
pub(crate) fn with_choice<R>(family: &'static str, option: Option<&'static str>, body: impl FnOnce() -> R) -> R {
    scoped::set(&HERE, Some((family, option)), body)
}

impl Tuner {
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Reads what was measured before, at the first time.
    pub fn switch(&self, on: bool, facts: &AdapterFacts, families: Families) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if on && state.is_none() {
            let file = CacheFile::named(&format!("choices_{}_{}_{}", facts.backend, facts.name, facts.driver));
            let choices = file.as_ref().map(|file| read(file, families)).unwrap_or_default();
            *state = Some(State { families, choices, file });
        }
        self.on.store(on, Relaxed);
    }

    /// What was chosen for this computation, if it was measured.
    pub fn find(&self, family: &'static str, key: &Key) -> Option<Option<&'static str>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_ref()?.choices.get(&(family, *key)).copied()
    }

    /// Keeps a choice, beside those that other processes have kept meanwhile.
    pub fn keep(&self, family: &'static str, key: Key, option: Option<&'static str>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = &mut *state else { return };
        state.choices.insert((family, key), option);
        let Some(file) = &state.file else { return };
        let mut all = read(file, state.families);
        all.extend(&state.choices);
        let text: BTreeMap<String, &str> =
            all.iter().map(|((family, key), option)| (name(family, key), option.unwrap_or(USUAL))).collect();
        file.write(serde_json::json!(text).to_string().as_bytes());
    }
}

/// What the file says where no other kernel was clearly faster than the usual one.
const USUAL: &str = "usual";

/// How a computation is called in the file: `matmul 7 10 9 0 1 0 1 0`.
fn name(family: &str, key: &Key) -> String {
    key.iter().fold(family.to_string(), |text, number| format!("{text} {number}"))
}

/// The choices of a file, without those that this version of the crate does not know.
fn read(file: &CacheFile, families: Families) -> Choices {
    let Some(bytes) = file.read() else { return Choices::default() };
    match serde_json::from_slice::<BTreeMap<String, String>>(&bytes) {
        Ok(lines) => lines.iter().filter_map(|(name, option)| parse(name, option, families)).collect(),
        Err(error) => {
            log::warn!("the measured choices of kernels can't be read: {error}; measuring anew");
            Choices::default()
        }
    }
}

fn parse(name: &str, option: &str, families: Families) -> Option<((&'static str, Key), Option<&'static str>)> {
    let mut words = name.split(' ');
    let wanted = words.next()?;
    let (family, members) = families.iter().find(|(family, _)| *family == wanted)?;
    let numbers: Vec<u32> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let member = match option {
        USUAL => None,
        option => Some(*members.iter().find(|member| **member == option)?),
    };
    Some(((family, numbers.try_into().ok()?), member))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: Families = &[("one", &["fast", "slow"]), ("two", &[])];

    #[test]
    fn a_line_of_the_file_is_what_was_kept_and_others_are_left_out() {
        let key = [1, 2, 3, 4, 5, 6, 7, 8];
        let text = name("one", &key);
        assert_eq!(parse(&text, "slow", FAMILIES), Some((("one", key), Some("slow"))));
        assert_eq!(parse(&text, "usual", FAMILIES), Some((("one", key), None)));
        for (name, option) in
            [(&*text, "gone"), ("three 1 2 3 4 5 6 7 8", "slow"), ("one 1 2", "slow"), ("one", "slow")]
        {
            assert_eq!(parse(name, option, FAMILIES), None, "{name} {option}");
        }
        assert_eq!(parse("one 1 2 3 4 5 6 7 x", "slow", FAMILIES), None);
    }

    #[test]
    fn classes_are_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 5, 64, 65].map(class), [0, 0, 1, 2, 2, 3, 6, 7]);
    }

    #[test]
    fn a_choice_ends_with_its_body() {
        assert_eq!(choice_here("one"), None);
        with_choice("one", Some("fast"), || {
            assert_eq!(choice_here("one"), Some(Some("fast")));
            assert_eq!(choice_here("two"), None);
            with_choice("one", None, || assert_eq!(choice_here("one"), Some(None)));
            assert_eq!(choice_here("one"), Some(Some("fast")));
        });
        assert_eq!(choice_here("one"), None);
    }
}
