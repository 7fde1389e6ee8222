//! The arguments of one recorded call, by PyTorch's names.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use lumigrad::{Device, Index, Slice, Tensor};
use serde_json::Value as Json;

use crate::layout::arranged;
use crate::values::Values;

/// Arguments with their tensors on one device. Asking for an argument in a form that it does not have panics, which
/// fails the case; so does an argument that nobody asked for.
pub struct Args<'a> {
    json: &'a serde_json::Map<String, Json>,
    tensors: BTreeMap<String, Tensor>,
    asked: RefCell<HashSet<String>>,
}

impl<'a> Args<'a> {
    /// Makes every tensor; floats are leaves that take a gradient, unless they are among `constants`.
    pub fn new(json: &'a Json, values: &Values, constants: &[&str], device: &Device) -> Self {
        let json = json.as_object().expect("arguments are an object");
        let mut tensors = BTreeMap::new();
        for (argument, given) in json {
            for reference in references(given) {
                let name = reference["tensor"].as_str().expect("a tensor's name").to_string();
                let value = &values[&name];
                let tensor = match reference.get("layout") {
                    Some(layout) => arranged(value, layout, device).detach(),
                    None => value.tensor(device),
                };
                let constant = !value.dtype.is_float() || constants.contains(&argument.as_str());
                tensors.insert(name, if constant { tensor } else { tensor.requires_grad() });
            }
        }
        Args { json, tensors, asked: RefCell::default() }
    }

    /// The tensor with this name in the file.
    pub fn by_name(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    /// Arguments that the operation was given but did not look at.
    pub fn unasked(&self) -> Vec<&str> {
        let asked = self.asked.borrow();
        self.json.keys().map(String::as_str).filter(|&name| !asked.contains(name)).collect()
    }

    fn get(&self, name: &str) -> &'a Json {
        self.asked.borrow_mut().insert(name.to_string());
        self.json.get(name).unwrap_or_else(|| panic!("no argument `{name}` was recorded"))
    }

    fn opt<T>(&self, name: &str, form: &str, parse: impl FnOnce(&'a Json) -> Option<T>) -> Option<T> {
        match self.get(name) {
            Json::Null => None,
            json => Some(parse(json).unwrap_or_else(|| panic!("argument `{name}` is no {form}: {json}"))),
        }
    }

    fn must<T>(&self, name: &str, form: &str, parse: impl FnOnce(&'a Json) -> Option<T>) -> T {
        self.opt(name, form, parse).unwrap_or_else(|| panic!("argument `{name}` is no {form}: None"))
    }

    /// A tensor.
    pub fn tensor(&self, name: &str) -> Tensor {
        self.must(name, "tensor", |json| self.referred(json))
    }

    /// A tensor or nothing.
    pub fn opt_tensor(&self, name: &str) -> Option<Tensor> {
        self.opt(name, "tensor", |json| self.referred(json))
    }

    /// A list of tensors.
    pub fn tensors(&self, name: &str) -> Vec<Tensor> {
        self.must(name, "list of tensors", |json| json.as_array()?.iter().map(|t| self.referred(t)).collect())
    }

    /// Tensors by name.
    pub fn dict(&self, name: &str) -> BTreeMap<&'a str, Tensor> {
        self.must(name, "dictionary of tensors", |json| {
            let entries = json.get("dict")?.as_object()?;
            entries.iter().map(|(name, json)| Some((name.as_str(), self.referred(json)?))).collect()
        })
    }

    /// A tensor where one was given, else `None`: for arguments that may also be numbers.
    pub fn if_tensor(&self, name: &str) -> Option<Tensor> {
        self.referred(self.get(name))
    }

    fn referred(&self, json: &Json) -> Option<Tensor> {
        Some(self.tensors[json.get("tensor")?.as_str()?].clone())
    }

    /// A number.
    pub fn float(&self, name: &str) -> f64 {
        self.must(name, "number", float)
    }

    /// A number or nothing.
    pub fn opt_float(&self, name: &str) -> Option<f64> {
        self.opt(name, "number", float)
    }

    /// A whole number; PyTorch also takes it as a 0-d tensor.
    pub fn int(&self, name: &str) -> i64 {
        match self.if_tensor(name) {
            Some(tensor) => tensor.item().unwrap(),
            None => self.must(name, "whole number", Json::as_i64),
        }
    }

    /// A whole number or nothing.
    pub fn opt_int(&self, name: &str) -> Option<i64> {
        self.opt(name, "whole number", Json::as_i64)
    }

    /// A number of something.
    pub fn size(&self, name: &str) -> usize {
        self.must(name, "size", |json| usize::try_from(json.as_u64()?).ok())
    }

    /// Sizes of some dims.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        self.ints(name).into_iter().map(|n| usize::try_from(n).expect("a size")).collect()
    }

    /// Whole numbers: a list, a single one, or nothing for an empty list.
    pub fn ints(&self, name: &str) -> Vec<i64> {
        match self.get(name) {
            Json::Null => Vec::new(),
            Json::Array(list) => list.iter().map(|n| n.as_i64().expect("a whole number")).collect(),
            one => vec![one.as_i64().unwrap_or_else(|| panic!("argument `{name}` is no list: {one}"))],
        }
    }

    /// Whole numbers or nothing in the place of each: a list, or a single one.
    pub fn opt_ints(&self, name: &str) -> Vec<Option<i64>> {
        let number = |json: &Json| (!json.is_null()).then(|| json.as_i64().expect("a whole number"));
        match self.get(name) {
            Json::Array(list) => list.iter().map(number).collect(),
            one => vec![number(one)],
        }
    }

    /// Whether a list was given.
    pub fn is_list(&self, name: &str) -> bool {
        self.get(name).is_array()
    }

    /// A truth value.
    pub fn bool(&self, name: &str) -> bool {
        self.must(name, "truth value", Json::as_bool)
    }

    /// A truth value or nothing.
    pub fn opt_bool(&self, name: &str) -> Option<bool> {
        self.opt(name, "truth value", Json::as_bool)
    }

    /// What a tensor is indexed with: numbers, `null` for a new axis, `"..."`, lists, tensors, `{"slice": [start, end, step]}`.
    pub fn index(&self, name: &str) -> Vec<Index> {
        self.must(name, "index", |json| json.as_array()?.iter().map(|place| self.place(place)).collect())
    }

    fn place(&self, json: &Json) -> Option<Index> {
        if let Some(tensor) = self.referred(json) {
            return Some(Index::Tensor(tensor));
        }
        if let Some(slice) = json.get("slice") {
            let step = slice[2].as_u64().unwrap_or(1) as usize;
            return Some(Index::Slice(Slice { start: slice[0].as_i64(), end: slice[1].as_i64(), step }));
        }
        match json {
            Json::Null => Some(Index::NewAxis),
            Json::String(dots) if dots == "..." => Some(Index::Ellipsis),
            Json::Array(list) => list.iter().map(Json::as_i64).collect::<Option<_>>().map(Index::List),
            number => number.as_i64().map(Index::At),
        }
    }

    /// A string.
    pub fn text(&self, name: &str) -> &'a str {
        self.must(name, "string", Json::as_str)
    }

    /// A string where one was given, else `None`: for arguments that may also be numbers.
    pub fn if_text(&self, name: &str) -> Option<&'a str> {
        self.get(name).as_str()
    }

    /// Insists that an argument that lumigrad does not have was recorded with the value that means its absence.
    pub fn only(&self, name: &str, value: impl Into<Json>) {
        let (given, value) = (self.get(name), value.into());
        assert_eq!(given, &value, "argument `{name}` is not supported");
    }
}

fn float(json: &Json) -> Option<f64> {
    match json.get("float").and_then(Json::as_str) {
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some("nan") => Some(f64::NAN),
        _ => json.as_f64(),
    }
}

/// Every tensor that an argument names.
fn references(json: &Json) -> Vec<&Json> {
    match json {
        Json::Object(object) if object.contains_key("tensor") => vec![json],
        Json::Object(object) => object.values().flat_map(references).collect(),
        Json::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
