//! Hyper-parameters by name.

use std::collections::BTreeMap;

/// A hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A switch.
    Bool(bool),
}

macro_rules! from {
    ($($type:ty => |$x:ident| $hparam:expr),* $(,)?) => {$(
        impl From<$type> for HParam {
            fn from($x: $type) -> Self {
                $hparam
            }
        }
    )*};
}

from! {
    f64 => |x| HParam::Number(x),
    f32 => |x| HParam::Number(f64::from(x)),
    i32 => |x| HParam::Number(f64::from(x)),
    u32 => |x| HParam::Number(f64::from(x)),
    i64 => |x| HParam::Number(x as f64),
    u64 => |x| HParam::Number(x as f64),
    usize => |x| HParam::Number(x as f64),
    bool => |x| HParam::Bool(x),
    &str => |x| HParam::Text(x.to_string()),
    String => |x| HParam::Text(x),
}

/// What a training was made with: numbers, texts and switches by name, as Lightning's `hparams`.
///
/// ```
/// use lumigrad::train::{HParam, HParams};
/// let hparams = HParams::new().set("lr", 1e-3).set("hidden", 500).set("optimizer", "Adam").set("shuffle", true);
/// assert_eq!(hparams.get("hidden"), Some(&HParam::Number(500.0)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HParams(BTreeMap<String, HParam>);

impl HParams {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, or replaces the one of this name.
    pub fn set(mut self, name: &str, value: impl Into<HParam>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&HParam> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HParam)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
