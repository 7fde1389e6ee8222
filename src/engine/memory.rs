//! Who holds a device's memory.
//!
//! Parameters, gradients, optimisers' states, buffers of modules and uploads are labelled always: that is done once a
//! tensor. What operations make is labelled while a profile runs; otherwise it is what is left.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use super::profile::Origin;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Parameters = 1,
    Gradients,
    OptimizerState,
    ModuleBuffers,
    Inputs,
    Forward,
    Backward,
}

const CLASSES: [&str; 7] = [
    "parameters",
    "gradients of parameters",
    "optimizer state",
    "buffers of modules",
    "inputs",
    "made by operations",
    "made on the way back",
];

/// What a buffer is labelled with: 0 is nothing, then come the classes, then operations.
pub(crate) type Label = u32;

impl Class {
    pub fn label(self) -> Label {
        self as Label
    }
}

/// One label's bytes.
#[derive(Clone)]
pub(crate) struct Row {
    pub name: String,
    /// The class that it is a part of, unless it is one.
    pub part_of: Option<Label>,
    pub live: u64,
    /// The most that there was since the device was opened.
    pub peak: u64,
    /// The most that there was since the profiles began that are running, or ran last.
    pub recent_peak: u64,
}

impl Row {
    fn new(name: String, part_of: Option<Label>) -> Row {
        Row { name, part_of, live: 0, peak: 0, recent_peak: 0 }
    }

    fn add(&mut self, bytes: u64) {
        self.live += bytes;
        self.peak = self.peak.max(self.live);
        self.recent_peak = self.recent_peak.max(self.live);
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    /// Profiles that are running.
    profiles: AtomicU32,
    state: Mutex<State>,
}

struct State {
    rows: Vec<Row>,
    labels: FxHashMap<Option<Arc<Origin>>, Label>,
    recent_peak: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Default for Ledger {
    fn default() -> Self {
        let rows = CLASSES.map(|name| Row::new(name.into(), None)).into();
        let state = State { rows, labels: FxHashMap::default(), recent_peak: 0 };
        Ledger { profiles: AtomicU32::new(0), state: Mutex::new(state) }
    }
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A profile begins, with so many bytes in use.
    pub fn begin(&self, live: u64) {
        let mut state = self.state();
        if self.profiles.fetch_add(1, Relaxed) == 0 {
            state.recent_peak = live;
            state.rows.iter_mut().for_each(|row| row.recent_peak = row.live);
        }
    }

    /// A profile ends.
    pub fn end(&self) {
        self.profiles.fetch_sub(1, Relaxed);
    }

    /// Whether what operations make is to be labelled.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.profiles.load(Relaxed) > 0
    }

    /// The label of what is made by an operation of this origin; `live` bytes are in use with it.
    pub fn label(&self, origin: Option<Arc<Origin>>, live: u64) -> Label {
        let mut state = self.state();
        state.recent_peak = state.recent_peak.max(live);
        if let Some(&known) = state.labels.get(&origin) {
            return known;
        }
        let (name, class) = match origin.as_deref() {
            None => ("outside of operations".to_string(), Class::Forward),
            Some(Origin { operation, backward, path }) => {
                let at = path.as_ref().map(|path| format!(" of {path}")).unwrap_or_default();
                (format!("{operation}{at}"), if *backward { Class::Backward } else { Class::Forward })
            }
        };
        state.rows.push(Row::new(name, Some(class.label())));
        let label = state.rows.len() as Label;
        state.labels.insert(origin, label);
        label
    }

    /// Bytes get another label, none when they are free again.
    pub fn relabel(&self, label: &AtomicU32, to: Label, bytes: u64) {
        let mut state = self.state();
        let from = label.swap(to, Relaxed);
        for (label, is_gone) in [(from, true), (to, false)] {
            let Some(at) = (label as usize).checked_sub(1) else { continue };
            let class = state.rows[at].part_of;
            for label in [Some(label), class].into_iter().flatten() {
                let row = &mut state.rows[label as usize - 1];
                if is_gone { row.live -= bytes } else { row.add(bytes) }
            }
        }
    }

    /// All rows, each class before its parts, and the most bytes since the last profile began.
    pub fn rows(&self) -> (Vec<Row>, u64) {
        let state = self.state();
        let (classes, parts) = state.rows.split_at(CLASSES.len());
        let rows = (1..).zip(classes).flat_map(|(label, class)| {
            let own = parts.iter().filter(move |row| row.part_of == Some(label)).cloned();
            std::iter::once(class.clone()).chain(own)
        });
        (rows.collect(), state.recent_peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_and_peaks_stay() {
        let ledger = Ledger::default();
        let origin = Origin { operation: "relu", backward: false, path: Some("1".into()) };
        let relu = ledger.label(Some(Arc::new(origin.clone())), 100);
        assert_eq!(ledger.label(Some(Arc::new(origin)), 100), relu);
        let (first, second) = (AtomicU32::new(0), AtomicU32::new(0));
        ledger.relabel(&first, relu, 100);
        ledger.relabel(&first, Class::Parameters.label(), 100);
        ledger.relabel(&second, relu, 40);
        let of = |name: &str| {
            let (rows, _) = ledger.rows();
            let row = rows.iter().find(|row| row.name == name).unwrap().clone();
            (row.live, row.peak, row.recent_peak)
        };
        assert_eq!(of("relu of 1"), (40, 100, 100));
        assert_eq!(of("made by operations"), (40, 100, 100));
        assert_eq!(of("parameters"), (100, 100, 100));
        ledger.begin(140);
        ledger.relabel(&first, 0, 100);
        assert_eq!(of("relu of 1"), (40, 100, 40));
        assert_eq!(of("parameters"), (0, 100, 100));
        assert!(ledger.is_on());
        ledger.end();
        assert!(!ledger.is_on());
    }
}
