//! The arguments of an operation that are not tensors, as values that can be traced and saved.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::engine::Device;

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A switch.
    Bool(bool),
    /// Dims, sizes.
    Ints(Arc<[i64]>),
    /// An element type.
    DType(DType),
    /// A device.
    Device(Device),
    /// A choice by name.
    Str(&'static str),
}

/// Named arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attrs(SmallVec<[(&'static str, Attr); 2]>);

impl Attrs {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &'static str, attr: Attr) -> Self {
        self.0.push((name, attr));
        self
    }

    /// Adds a whole number.
    pub fn int(self, name: &'static str, value: i64) -> Self {
        self.with(name, Attr::Int(value))
    }

    /// Adds a number.
    pub fn float(self, name: &'static str, value: f64) -> Self {
        self.with(name, Attr::Float(value))
    }

    /// Adds a switch.
    pub fn bool(self, name: &'static str, value: bool) -> Self {
        self.with(name, Attr::Bool(value))
    }

    /// Adds a list of whole numbers.
    pub fn ints(self, name: &'static str, values: impl Into<Arc<[i64]>>) -> Self {
        self.with(name, Attr::Ints(values.into()))
    }

    /// Adds sizes.
    pub fn sizes(self, name: &'static str, sizes: &[usize]) -> Self {
        let values: Arc<[i64]> = sizes.iter().map(|&s| s as i64).collect();
        self.with(name, Attr::Ints(values))
    }

    /// Adds an element type.
    pub fn dtype(self, name: &'static str, value: DType) -> Self {
        self.with(name, Attr::DType(value))
    }

    /// Adds a device.
    pub fn device(self, name: &'static str, value: &Device) -> Self {
        self.with(name, Attr::Device(value.clone()))
    }

    /// Adds a choice.
    pub fn str(self, name: &'static str, value: &'static str) -> Self {
        self.with(name, Attr::Str(value))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, Attr)> {
        self.0.iter()
    }

    /// The argument of this name.
    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, a)| a)
    }

    /// A whole number.
    ///
    /// # Panics
    /// These getters panic when the operation's own method did not give the argument: a bug of the operation.
    pub fn get_int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Attr::Int(v)) => *v,
            other => panic!("attribute `{name}` should be a whole number, is {other:?}"),
        }
    }

    /// A number.
    pub fn get_float(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Attr::Float(v)) => *v,
            other => panic!("attribute `{name}` should be a number, is {other:?}"),
        }
    }

    /// A switch.
    pub fn get_bool(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Attr::Bool(v)) => *v,
            other => panic!("attribute `{name}` should be a switch, is {other:?}"),
        }
    }

    /// A list of whole numbers.
    pub fn get_ints(&self, name: &str) -> &[i64] {
        match self.get(name) {
            Some(Attr::Ints(v)) => v,
            other => panic!("attribute `{name}` should be a list, is {other:?}"),
        }
    }

    /// Sizes.
    pub fn get_sizes(&self, name: &str) -> crate::tensor::Shape {
        self.get_ints(name).iter().map(|&v| v as usize).collect()
    }

    /// An element type.
    pub fn get_dtype(&self, name: &str) -> DType {
        match self.get(name) {
            Some(Attr::DType(v)) => *v,
            other => panic!("attribute `{name}` should be a dtype, is {other:?}"),
        }
    }

    /// A device.
    pub fn get_device(&self, name: &str) -> &Device {
        match self.get(name) {
            Some(Attr::Device(v)) => v,
            other => panic!("attribute `{name}` should be a device, is {other:?}"),
        }
    }

    /// A choice.
    pub fn get_str(&self, name: &str) -> &'static str {
        match self.get(name) {
            Some(Attr::Str(v)) => v,
            other => panic!("attribute `{name}` should be a name, is {other:?}"),
        }
    }
}
