//! The flat view of a module: tensors by name.

use indexmap::IndexMap;
use rustc_hash::FxHashSet;

use super::{Part, Visitor};
use crate::autograd::no_grad;
use crate::ops::copy_into;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Tensors by name, in order: a module's `state_dict`.
#[derive(Clone, Debug, Default)]
pub struct StateDict(IndexMap<String, Tensor>);

impl StateDict {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor, or replaces the one of this name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.0.insert(name.into(), tensor);
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(n, t)| (n.as_str(), t))
    }

    /// The tensors whose names begin so, without that beginning: those of a part of a model, or of a wrapped one
    /// (`"module."`).
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let model = nn::Sequential::new().add(nn::Linear::new(3, 2)).add(nn::ReLU);
    /// let head = nn::Linear::new(3, 2);
    /// head.load_state_dict(&model.state_dict().strip_prefix("0."))?;
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn strip_prefix(&self, prefix: &str) -> StateDict {
        let own =
            self.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone())));
        own.collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Tensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> Self {
        StateDict(entries.into_iter().collect())
    }
}

/// How a `state_dict` is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Whether the keys must be the module's own, no less and no more (true).
    pub strict: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions { strict: true }
    }
}

/// The keys in which a module and a `state_dict` differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncompatibleKeys {
    /// Those of the module that were not there.
    pub missing: Vec<String>,
    /// Those that the module does not have.
    pub unexpected: Vec<String>,
}

/// One tensor of a module, and how to overwrite it.
struct Entry {
    name: String,
    current: Tensor,
}

/// Checks every key, brings every tensor to its device, and only then overwrites.
pub(super) fn load(
    visit: &dyn Fn(&mut Visitor<'_>),
    state: &StateDict,
    options: &LoadOptions,
) -> Result<IncompatibleKeys> {
    let mut entries = Vec::new();
    visit(&mut Visitor::new(&mut |path, part| match part {
        Part::Parameter(p) => entries.push(Entry { name: path.to_string(), current: p.get().detach() }),
        Part::Buffer(b) => entries.push(Entry { name: path.to_string(), current: b.get() }),
        Part::Training(_) => {}
    }));
    let keys = keys(&entries, state);
    let mut problems = misfits(&entries, state);
    if options.strict {
        problems.splice(0..0, differences(&keys, &entries, state));
    }
    if !problems.is_empty() {
        return Err(Error::StateDict(problems));
    }
    entries.retain(|entry| !keys.missing.contains(&entry.name));
    no_grad(|| {
        let moved = entries
            .iter()
            .map(|e| state.get(&e.name).expect("checked above").detach().to(e.current.device()).healthy())
            .collect::<Result<Vec<_>>>()?;
        entries.iter().zip(&moved).try_for_each(|(e, new)| copy_into(&e.current, &new.try_to_dtype(e.current.dtype())?))
    })?;
    Ok(keys)
}

fn keys(entries: &[Entry], state: &StateDict) -> IncompatibleKeys {
    let missing = entries.iter().filter(|e| state.get(&e.name).is_none()).map(|e| e.name.clone());
    let own: FxHashSet<&str> = entries.iter().map(|e| &*e.name).collect();
    let unexpected = state.iter().map(|(name, _)| name).filter(|name| !own.contains(name));
    IncompatibleKeys { missing: missing.collect(), unexpected: unexpected.map(str::to_string).collect() }
}

/// What is missing and what is too much, with the name that may have been meant.
fn differences(keys: &IncompatibleKeys, entries: &[Entry], state: &StateDict) -> Vec<String> {
    let given = |name: &String| format!("missing key {name:?}{}", nearest(name, state.iter().map(|(n, _)| n)));
    let own = |name: &String| format!("unexpected key {name:?}{}", nearest(name, entries.iter().map(|e| &*e.name)));
    keys.missing.iter().map(given).chain(keys.unexpected.iter().map(own)).collect()
}

/// Tensors that have the right name and another shape or type.
fn misfits(entries: &[Entry], state: &StateDict) -> Vec<String> {
    let misfit = |entry: &Entry| {
        let (name, own, given) = (&entry.name, &entry.current, state.get(&entry.name)?);
        if given.shape() != own.shape() {
            return Some(format!("{name:?} has shape {:?}, the module needs {:?}", given.shape(), own.shape()));
        }
        // Floats are converted to the parameter's own type, as in PyTorch.
        let other = given.dtype() != own.dtype() && !(given.dtype().is_float() && own.dtype().is_float());
        other.then(|| format!("{name:?} holds {}, the module needs {}", given.dtype(), own.dtype()))
    };
    entries.iter().filter_map(misfit).collect()
}

/// A hint at the most similar name, if one is near.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let best = candidates.map(|c| (edits(name, c), c)).min();
    match best {
        Some((distance, candidate)) if distance <= name.len() / 2 => format!(" (did you mean {candidate:?}?)"),
        _ => String::new(),
    }
}

/// The number of single-letter changes between two names (Levenshtein 1966).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_stays_in_the_place_of_the_first() {
        let device = crate::Device::new_reference(true);
        let tensor = |value| Tensor::full_on(&[1], value, crate::DType::F32, &device);
        let many = (0..200_000).map(|i| (format!("{}", i % 100_000), tensor(f64::from(i))));
        let state: StateDict = many.collect();
        assert_eq!(state.len(), 100_000);
        assert_eq!(state.iter().nth(7).map(|(name, _)| name), Some("7"));
        assert_eq!(state.get("7").unwrap().item::<f32>().unwrap(), 100_007.0);
        assert!(state.get("x").is_none());
    }

    #[test]
    fn edit_distance() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(nearest("fc1.wieght", ["fc1.weight", "fc2.bias"].into_iter()), " (did you mean \"fc1.weight\"?)");
        assert_eq!(nearest("x", ["something"].into_iter()), "");
    }
}
