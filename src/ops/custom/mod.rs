//! Operations of the user's own: a WGSL kernel, and a gradient, in one call.

use std::sync::Arc;

use smallvec::SmallVec;

mod builder;

pub use builder::{CustomOpBuilder, ParamValue};

use super::call::{Ways, apply_with};
use super::methods::or_panic;
use super::{Attrs, Call, Operation, Outputs, Vjp};
use crate::autograd::{Backward, GradcheckOptions, Step, gradcheck};
use crate::dtype::DType;
use crate::engine::reflect::{Field, Word};
use crate::engine::{Comparison, Device, Grid, Kernel, shadow};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// An operation of the user's own, made of one WGSL kernel; a cheap handle.
///
/// The shader is complete: its inputs are `var<storage, read>` and its outputs `var<storage, read_write>` arrays of f32,
/// i32 or u32 (booleans are u32) from `@group(0) @binding(0)` on, inputs first, and a struct of params is at
/// `@group(0) @binding(8)`.
/// `#import common/math` and the other files of `shaders/common` can be used. Inputs arrive row by row. Filled in without
/// being asked for are the params `n`, the number of elements of the first output, `NAME_len`, the number of elements of
/// the input or output NAME, and `NAME_offset`, the first element of the input NAME. An input whose shader has no such
/// offset is copied where it does not start its memory, as a parameter in its optimiser's. (`arrayLength` is the
/// allocation's and can be larger.)
///
/// `examples/custom_kernel.rs` is a whole program. On [`Device::sanitizer`] the shader is also searched for races and other
/// mistakes that one driver hides and the next one shows.
///
/// ```
/// use lumigrad::engine::Bound;
/// use lumigrad::ops::{Attrs, CustomOp};
/// use lumigrad::prelude::*;
///
/// let scale = CustomOp::new("scale")
///     .wgsl(
///         "#import common/index
///         struct Params { n: u32, factor: f32 }
///         @group(0) @binding(0) var<storage, read> x: array<f32>;
///         @group(0) @binding(1) var<storage, read_write> y: array<f32>;
///         @group(0) @binding(8) var<uniform> params: Params;
///
///         @compute @workgroup_size(64)
///         fn main(
///             @builtin(workgroup_id) group: vec3<u32>,
///             @builtin(num_workgroups) groups: vec3<u32>,
///             @builtin(local_invocation_index) thread: u32,
///         ) {
///             let i = linear_id(group, groups, thread);
///             if i >= params.n { return; }
///             y[i] = x[i] * params.factor;
///         }",
///     )
///     .input("x")
///     .output("y")
///     .param("factor", |args| args.attrs().get_float("factor"))
///     .reference(
///         |call| {
///             let (x, mut y) = (call.floats(0), call.floats_mut(1));
///             for i in 0..call.param_u32("n") as usize {
///                 y[i] = x[i] * call.param_f32("factor");
///             }
///             Ok(())
///         },
///         |_| Bound::ulps(1.0),
///     )
///     .backward(|v| Ok(vec![Some(v.gradient().try_mul_scalar(v.attrs().get_float("factor"))?)]))
///     .build()?;
///
/// let x = Tensor::from_slice(&[1.0f32, 2.0], &[2]).requires_grad();
/// let y = scale.call(&[&x], Attrs::new().float("factor", 3.0));
/// y.sum().backward()?;
/// assert_eq!(y.to_vec::<f32>()?, [3.0, 6.0]);
/// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone)]
pub struct CustomOp(Arc<Parts>);

struct Parts {
    operation: &'static Operation,
    kernel: &'static Kernel,
    inputs: Vec<(String, Word)>,
    outputs: Vec<(String, DType)>,
    fields: Vec<Field>,
    workgroup: [u32; 3],
    params: Vec<(String, Box<ParamFn>)>,
    shapes: Option<Box<ShapesFn>>,
    grid: Option<Box<GridFn>>,
    saves: Vec<String>,
    backward: Option<Arc<BackwardFn>>,
    has_twin: bool,
}

type ParamFn = dyn Fn(&CustomArgs<'_>) -> SmallVec<[f64; 4]> + Send + Sync;
type ShapesFn = dyn Fn(&CustomArgs<'_>) -> Result<Vec<Vec<usize>>> + Send + Sync;
type GridFn = dyn Fn(&CustomArgs<'_>) -> Grid + Send + Sync;
type BackwardFn = dyn Fn(&mut Vjp<'_>) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// What one call of a [`CustomOp`] was given.
pub struct CustomArgs<'a> {
    inputs: &'a [&'a Tensor],
    attrs: &'a Attrs,
    outputs: &'a [Tensor],
}

impl<'a> CustomArgs<'a> {
    /// Input `i`.
    pub fn input(&self, i: usize) -> &'a Tensor {
        self.inputs[i]
    }

    /// Output `i`; not there yet when the shapes are asked for.
    pub fn output(&self, i: usize) -> &'a Tensor {
        &self.outputs[i]
    }

    /// The arguments that are no tensors.
    pub fn attrs(&self) -> &'a Attrs {
        self.attrs
    }
}

fn without_twin(op: &'static str, device: &str) -> Error {
    Error::argument(op, format!("{device} runs the scalar twin, and this operation has none; add `.reference(..)`"))
}

fn dtype_of(element: Word) -> DType {
    match element {
        Word::F32 => DType::F32,
        Word::I32 => DType::I32,
        Word::U32 => DType::U32,
    }
}

fn holds(element: Word, dtype: DType) -> bool {
    dtype_of(element) == dtype || (element == Word::U32 && dtype == DType::Bool)
}

impl CustomOp {
    /// Starts the declaration of an operation; `name` is what errors show.
    #[expect(clippy::new_ret_no_self, reason = "the builder makes the operation, as in `std::thread::Builder`")]
    pub fn new(name: &str) -> CustomOpBuilder {
        CustomOpBuilder::new(name)
    }

    /// The operation's name.
    pub fn name(&self) -> &'static str {
        self.0.operation.name
    }

    /// Its kernel.
    pub fn kernel(&self) -> &'static Kernel {
        self.0.kernel
    }

    /// The first output.
    ///
    /// # Panics
    /// With a mistake in the inputs. A failure of the device poisons the result, as of any operation.
    #[track_caller]
    pub fn call(&self, inputs: &[&Tensor], attrs: Attrs) -> Tensor {
        let _caller = crate::engine::fault::CallerScope::enter();
        or_panic(self.outputs(inputs, attrs).map(|mut outputs| outputs.remove(0)))
    }

    /// All outputs.
    ///
    /// # Errors
    /// A mistake in the inputs, or a failure of the device.
    #[track_caller]
    pub fn try_call(&self, inputs: &[&Tensor], attrs: Attrs) -> Result<Vec<Tensor>> {
        let _caller = crate::engine::fault::CallerScope::enter();
        self.outputs(inputs, attrs)?.into_iter().map(Tensor::healthy).collect()
    }

    fn outputs(&self, inputs: &[&Tensor], attrs: Attrs) -> Result<Outputs> {
        let parts = &self.0;
        let name = self.name();
        let device = inputs.first().map_or_else(Device::current, |t| t.device().clone());
        self.check_inputs(inputs)?;
        if !parts.has_twin && (device.is_reference() || device.is_shadow()) {
            let body = match (device.is_reference(), device.adapter()) {
                (true, _) => "the reference",
                (false, Some(_)) => "a shadow device",
                (false, None) => "the sanitizer",
            };
            return Err(without_twin(name, body));
        }
        let arranged = inputs.iter().zip(&parts.inputs).map(|(input, (binding, _))| {
            let knows_offset = parts.fields.iter().any(|f| f.name.strip_suffix("_offset") == Some(binding));
            if input.offset() == 0 || knows_offset { input.try_contiguous() } else { input.try_copy() }
        });
        let arranged = arranged.collect::<Result<SmallVec<[Tensor; 4]>>>()?;
        let arranged: SmallVec<[&Tensor; 4]> = arranged.iter().collect();
        let step = || {
            let backward = parts.backward.clone();
            let step: Box<crate::autograd::VjpFunction> = Box::new(move |v| match &backward {
                Some(backward) => backward(v).map(Into::into),
                None => {
                    let text = format!(
                        "{name}: this operation has no gradient; declare one with `.backward(..)`, or `.detach()` its inputs"
                    );
                    Err(Error::Autograd(text))
                }
            });
            Some(Step::Vjp(step))
        };
        let ways = Ways { forward: &|call| parts.forward(call), has_gradient: true, step: &step };
        apply_with(&device, parts.operation, &arranged, attrs, ways)
    }

    fn check_inputs(&self, inputs: &[&Tensor]) -> Result<()> {
        let (name, declared) = (self.name(), &self.0.inputs);
        if inputs.len() != declared.len() {
            let detail = format!("takes {} inputs, not {}", declared.len(), inputs.len());
            return Err(Error::argument(name, detail));
        }
        for (input, (binding, element)) in inputs.iter().zip(declared) {
            if input.poison().is_none() && !holds(*element, input.dtype()) {
                let detail = format!(
                    "`{binding}` is an array of {element:?} in the shader, the tensor holds {}; convert it with `.to_dtype(..)`",
                    input.dtype()
                );
                return Err(Error::dtype(name, detail));
            }
        }
        Ok(())
    }

    /// Runs the operation on these inputs with its shader, and those of its gradient, held against their twins, and its
    /// gradient against differences on the reference.
    ///
    /// # Errors
    /// [`Error::Diverged`] with the worst element; [`Error::Autograd`] when the gradient is not that of the twin; when
    /// there is no twin or the inputs are on a reference device.
    pub fn check_against_reference(&self, inputs: &[&Tensor], attrs: &Attrs) -> Result<Vec<Comparison>> {
        let name = self.name();
        if !self.0.has_twin {
            return Err(without_twin(name, "the check"));
        }
        if inputs.first().is_none_or(|t| t.device().is_reference()) {
            return Err(Error::argument(name, "the check needs inputs on a GPU: there it runs the shader"));
        }
        let differentiable = self.0.backward.is_some();
        let leaf = |t: &&Tensor| {
            let t = t.detach();
            if differentiable && t.dtype().is_float() { t.requires_grad() } else { t }
        };
        let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
        let refs: Vec<&Tensor> = leaves.iter().collect();
        // A program draws the same numbers with the check and without.
        let (device, random) = (leaves[0].device(), leaves[0].device().random_state());
        let (result, comparisons) = Device::compare(|| -> Result<()> {
            for output in self.try_call(&refs, attrs.clone())? {
                output.to_vec::<f64>()?;
                if output.is_requires_grad() && output.numel() > 0 {
                    let upstream = Tensor::uniform_on(output.shape(), 0.5, 1.5, output.device());
                    Backward::new().gradient(&upstream).retain_graph().run(&output)?;
                }
            }
            Ok(())
        });
        device.set_random_state(random);
        result?;
        if let Some(failed) = comparisons.iter().find(|c| !c.passed()) {
            return Err(shadow::diverged(failed.kernel.to_string(), failed));
        }
        if differentiable {
            let function = |x: &[Tensor]| {
                let refs: Vec<&Tensor> = x.iter().collect();
                let outputs = self.try_call(&refs, attrs.clone())?;
                let floats = outputs.iter().filter(|t| t.dtype().is_float());
                floats.enumerate().try_fold(
                    Tensor::try_from_slice_on(&[0.0f64], &[], outputs[0].device())?,
                    |sum, (i, t)| {
                        // Squared, so that the gradient that comes in differs from element to element.
                        sum.try_add(&t.try_mul(t)?.try_sum()?.try_mul_scalar(i as f64 + 1.0)?)
                    },
                )
            };
            let inputs: Vec<Tensor> = inputs.iter().map(|&t| t.clone()).collect();
            gradcheck(function, &inputs, GradcheckOptions::default())?;
        }
        Ok(comparisons)
    }
}

impl Parts {
    fn forward(&self, call: &mut Call<'_>) -> Result<Outputs> {
        let (inputs, attrs, op) = (call.inputs(), call.attrs(), call.op());
        let shapes = match &self.shapes {
            Some(shapes) => shapes(&CustomArgs { inputs, attrs, outputs: &[] })?,
            None => {
                let first =
                    inputs.first().ok_or_else(|| Error::argument(op, "without inputs it needs `.shapes(..)`"))?;
                vec![first.shape().to_vec(); self.outputs.len()]
            }
        };
        if shapes.len() != self.outputs.len() {
            let detail = format!("`.shapes(..)` gives {} shapes for {} outputs", shapes.len(), self.outputs.len());
            return Err(Error::argument(op, detail));
        }
        let outputs: Outputs =
            shapes.iter().zip(&self.outputs).map(|(shape, (_, dtype))| call.output(*dtype, shape)).collect();
        let args = CustomArgs { inputs, attrs, outputs: &outputs };
        let params = self.block(op, &args)?;
        let grid = match &self.grid {
            Some(grid) => grid(&args),
            None => {
                let threads: u32 = self.workgroup.iter().product();
                let n = outputs[0].numel() as u64;
                Grid::groups(n.div_ceil(u64::from(threads))).work(n * 64)
            }
        };
        let operands: Vec<&Tensor> = inputs.iter().copied().chain(&outputs).collect();
        call.dispatch_grid(self.kernel, &operands, &params, grid);
        for name in &self.saves {
            let input = self.inputs.iter().position(|(n, _)| n == name).map(|i| inputs[i]);
            let output = || self.outputs.iter().position(|(n, _)| n == name).map(|i| &outputs[i]);
            if let Some(tensor) = input.or_else(output) {
                call.save(tensor);
            }
        }
        Ok(outputs)
    }

    /// The params block of a call.
    fn block(&self, op: &'static str, args: &CustomArgs<'_>) -> Result<Vec<u8>> {
        let mut block = vec![0; self.kernel.params.size];
        for field in &self.fields {
            let numbers = match self.params.iter().find(|(name, _)| *name == field.name) {
                Some((_, value)) => value(args),
                None => SmallVec::from_slice(&[self.filled(&field.name, args) as f64]),
            };
            if numbers.len() > field.len || (numbers.len() < field.len && !field.is_array) {
                let detail =
                    format!("the param `{}` holds {} numbers, {} are given", field.name, field.len, numbers.len());
                return Err(Error::argument(op, detail));
            }
            for (i, number) in numbers.iter().enumerate() {
                let bits = bits(*number, field.word).ok_or_else(|| {
                    let detail = format!("the param `{}` can't be {number}: it is {:?}", field.name, field.word);
                    Error::argument(op, detail)
                })?;
                block[field.offset + 4 * i..][..4].copy_from_slice(&bits.to_le_bytes());
            }
        }
        Ok(block)
    }

    /// A param that nobody declared.
    fn filled(&self, name: &str, args: &CustomArgs<'_>) -> usize {
        let operand = |base: &str| -> Option<&Tensor> {
            let input = self.inputs.iter().position(|(n, _)| n == base).map(|i| args.input(i));
            input.or_else(|| self.outputs.iter().position(|(n, _)| n == base).map(|i| args.output(i)))
        };
        let offset = name.strip_suffix("_offset").and_then(operand).map(Tensor::offset);
        let len = || name.strip_suffix("_len").and_then(operand).map(Tensor::numel);
        offset.or_else(len).unwrap_or_else(|| args.output(0).numel())
    }
}

fn bits(number: f64, word: Word) -> Option<u32> {
    let whole = number.fract() == 0.0;
    match word {
        Word::F32 => Some((number as f32).to_bits()),
        Word::I32 => (whole && number as i32 as f64 == number).then_some(number as i32 as u32),
        Word::U32 => (whole && f64::from(number as u32) == number).then_some(number as u32),
    }
}

impl std::fmt::Debug for CustomOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CustomOp").field(&self.name()).finish()
    }
}
