//! The fields of schedules as JSON.

use serde_json::{Value as Json, json};

/// Gives a type two functions: the named fields as JSON, and the fields from JSON, all checked before the first changes.
macro_rules! state {
    ($save:ident, $load:ident; $($name:literal => $field:ident),* $(,)?) => {
        fn $save(&self) -> serde_json::Map<String, serde_json::Value> {
            [$(($name.to_string(), $crate::optim::lr_scheduler::state::Stored::to_json(&self.$field))),*]
                .into_iter()
                .collect()
        }

        fn $load(&mut self, state: &serde_json::Map<String, serde_json::Value>, commit: bool) -> Result<(), String> {
            $(let $field = $crate::optim::lr_scheduler::state::entry(state, $name)?;)*
            if commit {
                $(self.$field = $field;)*
            }
            Ok(())
        }
    };
}
pub(super) use state;

/// An entry of a state as the type that it is kept as.
pub(super) fn entry<T: Stored>(state: &serde_json::Map<String, Json>, name: &str) -> Result<T, String> {
    let json = state.get(name).ok_or_else(|| format!("{name:?} is missing"))?;
    T::from_json(json).ok_or_else(|| format!("{name:?} is {json}, which is not what it holds"))
}

/// What fields are made of.
pub(super) trait Stored: Sized {
    fn to_json(&self) -> Json;
    fn from_json(json: &Json) -> Option<Self>;
}

impl Stored for f64 {
    /// JSON has no infinity.
    fn to_json(&self) -> Json {
        if self.is_finite() { json!(self) } else { json!(self.to_string()) }
    }

    fn from_json(json: &Json) -> Option<f64> {
        json.as_f64().or_else(|| json.as_str().filter(|s| ["inf", "-inf", "NaN"].contains(s))?.parse().ok())
    }
}

impl Stored for i64 {
    fn to_json(&self) -> Json {
        json!(self)
    }

    fn from_json(json: &Json) -> Option<i64> {
        json.as_i64()
    }
}

impl Stored for bool {
    fn to_json(&self) -> Json {
        json!(self)
    }

    fn from_json(json: &Json) -> Option<bool> {
        json.as_bool()
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn to_json(&self) -> Json {
        Json::Array(self.iter().map(Stored::to_json).collect())
    }

    fn from_json(json: &Json) -> Option<Vec<T>> {
        json.as_array()?.iter().map(T::from_json).collect()
    }
}

/// Choices are stored by PyTorch's names.
macro_rules! stored_choice {
    ($ty:ty { $($name:literal => $value:path),* }) => {
        impl $crate::optim::lr_scheduler::state::Stored for $ty {
            fn to_json(&self) -> serde_json::Value {
                match self {
                    $($value => $name.into()),*
                }
            }

            fn from_json(json: &serde_json::Value) -> Option<$ty> {
                match json.as_str()? {
                    $($name => Some($value),)*
                    _ => None,
                }
            }
        }
    };
}
pub(super) use stored_choice;
