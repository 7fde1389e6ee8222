//! The declaration of an operation of the user's own.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{BackwardFn, CustomArgs, CustomOp, GridFn, ParamFn, Parts, ShapesFn, dtype_of, holds, without_twin};
use crate::dtype::DType;
use crate::engine::reflect::{Field, Reflection, Storage, check_bindings, reflect};
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, Params, ParamsLayout, Variant, shader};
use crate::ops::{Operation, Vjp};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What a param can be given as: a number, or several for a vector or an array of vectors.
pub trait ParamValue {
    /// The numbers, in order.
    fn numbers(self) -> SmallVec<[f64; 4]>;
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl ParamValue for $ty {
            fn numbers(self) -> SmallVec<[f64; 4]> {
                SmallVec::from_slice(&[self as f64])
            }
        }
        impl ParamValue for &[$ty] {
            fn numbers(self) -> SmallVec<[f64; 4]> {
                self.iter().map(|&v| v as f64).collect()
            }
        }
        impl ParamValue for Vec<$ty> {
            fn numbers(self) -> SmallVec<[f64; 4]> {
                self.as_slice().numbers()
            }
        }
        impl<const N: usize> ParamValue for [$ty; N] {
            fn numbers(self) -> SmallVec<[f64; 4]> {
                self.as_slice().numbers()
            }
        }
    )*};
}
numbers!(f32, f64, i32, i64, u32, u64, usize);

/// A scalar body, and how far the shader may be from it.
type Twin = (fn(&HostCall<'_>) -> Result<()>, fn(&Params<'_>) -> Bound);

/// Declares a [`CustomOp`].
#[must_use = "`build` makes the operation"]
pub struct CustomOpBuilder {
    name: String,
    wgsl: String,
    entry: String,
    inputs: Vec<String>,
    outputs: Vec<(String, Option<DType>)>,
    params: Vec<(String, Box<ParamFn>)>,
    shapes: Option<Box<ShapesFn>>,
    grid: Option<Box<GridFn>>,
    saves: Vec<String>,
    backward: Option<Arc<BackwardFn>>,
    twin: Option<Twin>,
}

impl CustomOpBuilder {
    pub(super) fn new(name: &str) -> Self {
        CustomOpBuilder {
            name: name.into(),
            wgsl: String::new(),
            entry: "main".into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            params: Vec::new(),
            shapes: None,
            grid: None,
            saves: Vec::new(),
            backward: None,
            twin: None,
        }
    }

    /// The text of the shader.
    pub fn wgsl(mut self, text: impl Into<String>) -> Self {
        self.wgsl = text.into();
        self
    }

    /// The entry point (`main`).
    pub fn entry(mut self, name: &str) -> Self {
        self.entry = name.into();
        self
    }

    /// The next input, by its name in the shader.
    pub fn input(mut self, name: &str) -> Self {
        self.inputs.push(name.into());
        self
    }

    /// The next output, by its name in the shader. Its type is the array's.
    pub fn output(mut self, name: &str) -> Self {
        self.outputs.push((name.into(), None));
        self
    }

    /// The next output, with a type that the array does not tell: booleans, which are u32.
    pub fn output_as(mut self, name: &str, dtype: DType) -> Self {
        self.outputs.push((name.into(), Some(dtype)));
        self
    }

    /// What a member of the shader's params is at each call.
    pub fn param<V: ParamValue>(
        mut self,
        name: &str,
        value: impl Fn(&CustomArgs<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        self.params.push((name.into(), Box::new(move |args| value(args).numbers())));
        self
    }

    /// The shapes of the outputs, or why the inputs do not fit. Without it every output has the first input's shape.
    pub fn shapes(
        mut self,
        shapes: impl Fn(&CustomArgs<'_>) -> Result<Vec<Vec<usize>>> + Send + Sync + 'static,
    ) -> Self {
        self.shapes = Some(Box::new(shapes));
        self
    }

    /// How many workgroups are launched. Without it there is a thread for each element of the first output.
    pub fn grid(mut self, grid: impl Fn(&CustomArgs<'_>) -> Grid + Send + Sync + 'static) -> Self {
        self.grid = Some(Box::new(grid));
        self
    }

    /// The scalar twin, which the reference device runs and the shader is compared with, and how far the two may differ.
    /// Without it the reference refuses the operation.
    ///
    /// A binding can be longer than its tensor, whose sizes are in the params, and must not be written behind its end.
    pub fn reference(mut self, twin: fn(&HostCall<'_>) -> Result<()>, bound: fn(&Params<'_>) -> Bound) -> Self {
        self.twin = Some((twin, bound));
        self
    }

    /// Inputs and outputs, by name, that `backward` will need: [`Vjp::saved`] has them in this order.
    pub fn saves(mut self, names: &[&str]) -> Self {
        self.saves = names.iter().map(|name| name.to_string()).collect();
        self
    }

    /// The gradient: one for each input, `None` where [`Vjp::needs`] says that none is needed. Written with methods of
    /// tensors or with another custom operation. Without it a backward pass through the operation is an error.
    pub fn backward(
        mut self,
        backward: impl Fn(&mut Vjp<'_>) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Self {
        self.backward = Some(Arc::new(backward));
        self
    }

    /// Checks everything and makes the operation. Its text and name live as long as the program: make it once.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the shader is not valid WGSL, with line and column, or binds, is launched or has params
    /// otherwise than declared.
    pub fn build(self) -> Result<CustomOp> {
        let refused = |message: String| Error::Kernel { kernel: self.name.clone(), message };
        let bindings = self.inputs.iter().map(|name| Binding::Read(leak(name)));
        let bindings: Vec<_> =
            bindings.chain(self.outputs.iter().map(|(name, _)| Binding::Write(leak(name)))).collect();
        let twin = self.twin.unwrap_or((no_twin, |_| Bound::Exact));
        let mut kernel = Kernel {
            name: leak(&self.name),
            source: Box::leak(Box::new([leak(&self.wgsl)])),
            entry: leak(&self.entry),
            bindings: bindings.leak(),
            params: ParamsLayout { size: 0, fields: &[] },
            variants: Variant::ONLY,
            grid: |_| unreachable!("a custom operation states its grid"),
            reference: twin.0,
            bound: twin.1,
        };
        let text = shader::assemble_text(&kernel, 0).map_err(refused)?;
        let found = reflect(kernel.name, &text, kernel.entry, &kernel.variants[0])?;
        check_bindings(&found, kernel.bindings).map_err(refused)?;
        self.check(&found).map_err(refused)?;
        let fields: Vec<_> = found.params.iter().map(|f| (leak(&f.name), f.offset, f.len * 4)).collect();
        kernel.params = ParamsLayout { size: found.params_bytes, fields: fields.leak() };
        let kernel: &'static Kernel = Box::leak(Box::new(kernel));
        let mut operation = Operation::of_closures(kernel.name);
        operation.kernels = Box::leak(Box::new([kernel]));
        let (read, written) = found.storage.split_at(self.inputs.len());
        let dtype = |(given, storage): (&(String, Option<DType>), &Storage)| {
            (given.0.clone(), given.1.unwrap_or_else(|| dtype_of(storage.element)))
        };
        Ok(CustomOp(Arc::new(Parts {
            operation: Box::leak(Box::new(operation)),
            kernel,
            inputs: read.iter().map(|s| (s.name.clone(), s.element)).collect(),
            outputs: self.outputs.iter().zip(written).map(dtype).collect(),
            fields: found.params,
            workgroup: found.workgroup,
            params: self.params,
            shapes: self.shapes,
            grid: self.grid,
            saves: self.saves,
            backward: self.backward,
            has_twin: self.twin.is_some(),
        })))
    }

    /// What the bindings do not tell.
    fn check(&self, found: &Reflection) -> Result<(), String> {
        if self.outputs.is_empty() {
            return Err("an operation without outputs".into());
        }
        let names = |list: &[Field]| list.iter().map(|f| f.name.clone()).collect::<Vec<_>>().join(", ");
        for (name, _) in &self.params {
            if !found.params.iter().any(|f| f.name == *name) {
                return Err(format!("the shader has no param `{name}`; there are {{{}}}", names(&found.params)));
            }
        }
        for field in &found.params {
            let given = self.params.iter().any(|(name, _)| *name == field.name);
            if !given && !self.fills(&field.name) {
                return Err(format!(
                    "nothing is declared for the param `{}`: add `.param({:?}, ..)`",
                    field.name, field.name
                ));
            }
        }
        for name in &self.saves {
            if !self.inputs.contains(name) && !self.outputs.iter().any(|(output, _)| output == name) {
                return Err(format!("`{name}` is to be saved, and is neither an input nor an output"));
            }
        }
        for (i, (name, dtype)) in self.outputs.iter().enumerate() {
            let storage = &found.storage[self.inputs.len() + i];
            if dtype.is_some_and(|dtype| !holds(storage.element, dtype)) {
                let (element, dtype) = (storage.element, dtype.expect("asked above"));
                return Err(format!("the output `{name}` is declared {dtype} and holds {element:?} in the shader"));
            }
        }
        Ok(())
    }

    /// Whether the engine fills in this param by itself.
    fn fills(&self, name: &str) -> bool {
        let (mut read, mut written) = (self.inputs.iter(), self.outputs.iter());
        name == "n"
            || name.strip_suffix("_offset").is_some_and(|base| read.clone().any(|n| n == base))
            || name.strip_suffix("_len").is_some_and(|base| read.any(|n| n == base) || written.any(|(n, _)| n == base))
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_string().into_boxed_str())
}

fn no_twin(call: &HostCall<'_>) -> Result<()> {
    Err(without_twin(call.kernel().name, "the reference"))
}
