//! Modules by name.

use super::{Module, Visitor};

/// Modules by name, in the order in which they were added: what `torch.nn.ModuleDict` is. A list of modules is a `Vec`.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let heads = nn::ModuleDict::new().add("digits", nn::Linear::new(8, 10)).add("letters", nn::Linear::new(8, 26));
/// assert_eq!(heads["letters"].call(&Tensor::ones(&[1, 8])).shape(), [1, 26]);
/// assert_eq!(heads.named_parameters()[0].0, "digits.weight");
/// ```
#[derive(Clone, Debug)]
pub struct ModuleDict<M>(Vec<(String, M)>);

impl<M> ModuleDict<M> {
    /// Without modules.
    pub fn new() -> Self {
        ModuleDict(Vec::new())
    }

    /// With another module, or with this one in the place of the one of its name.
    ///
    /// # Panics
    /// When the name is empty or has a dot, which separates the names of a path.
    #[track_caller]
    pub fn add(mut self, name: &str, module: M) -> Self {
        assert!(!name.is_empty() && !name.contains('.'), "ModuleDict: {name:?} can't be a part of a path");
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = module,
            None => self.0.push((name.to_string(), module)),
        }
        self
    }

    /// The module of this name.
    pub fn get(&self, name: &str) -> Option<&M> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, module)| module)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &M)> {
        self.0.iter().map(|(name, module)| (&**name, module))
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

impl<M> Default for ModuleDict<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> std::ops::Index<&str> for ModuleDict<M> {
    type Output = M;

    /// # Panics
    /// When there is none of this name; [`ModuleDict::get`] gives `None` instead.
    #[track_caller]
    fn index(&self, name: &str) -> &M {
        let known = || self.0.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
        self.get(name).unwrap_or_else(|| panic!("ModuleDict: no module is named {name:?}; there are {}", known()))
    }
}

impl<M: Module> Module for ModuleDict<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (name, module) in &self.0 {
            visitor.child(name, module);
        }
    }
}
