//! The recorded values: tensors of a `.safetensors` file, on the host.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use lumigrad::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};

/// The folder with everything recorded.
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/data").join(path)
}

/// A parsed JSON file of the folder.
pub fn json(path: &str) -> serde_json::Value {
    let text = std::fs::read(data(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// One recorded tensor. `f64` holds every f32, i32 and truth value exactly.
#[derive(Clone, Debug)]
pub struct Value {
    /// The type that it has here: PyTorch's integers of any width are i32.
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub elements: Vec<f64>,
}

/// All tensors of a file by name.
pub type Values = HashMap<String, Value>;

/// Reads a `.safetensors` file of the folder.
pub fn read(path: &str) -> Values {
    let bytes = std::fs::read(data(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
    file.iter().map(|(name, view)| (name.to_string(), Value::of(view.dtype(), view.shape(), view.data()))).collect()
}

impl Value {
    fn of(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Value {
        let (dtype, elements) = match dtype {
            Dtype::F32 => {
                (DType::F32, bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(array(b)))).collect())
            }
            Dtype::I64 => (DType::I32, bytes.chunks_exact(8).map(|b| i64::from_le_bytes(array(b)) as f64).collect()),
            Dtype::I32 => {
                (DType::I32, bytes.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(array(b)))).collect())
            }
            Dtype::U8 => (DType::I32, bytes.iter().map(|&b| f64::from(b)).collect()),
            Dtype::BOOL => (DType::Bool, bytes.iter().map(|&b| f64::from(b)).collect()),
            other => panic!("no tensor here has the type {other:?}"),
        };
        Value { dtype, shape: shape.to_vec(), elements }
    }

    /// The tensor, row by row, on a device.
    pub fn tensor(&self, device: &Device) -> Tensor {
        upload(self.dtype, &self.elements, &self.shape, device)
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("chunks are exact")
}

/// Elements of any type as a tensor.
pub fn upload(dtype: DType, elements: &[f64], shape: &[usize], device: &Device) -> Tensor {
    match dtype {
        DType::F32 => Tensor::from_slice_on(elements, shape, device),
        DType::F16 | DType::BF16 => Tensor::from_slice_on(elements, shape, device).to_dtype(dtype),
        DType::Bool => {
            let words: Vec<bool> = elements.iter().map(|&x| x != 0.0).collect();
            Tensor::from_slice_on(&words, shape, device)
        }
        DType::I32 | DType::U32 => {
            let whole: Vec<i64> = elements.iter().map(|&x| x as i64).collect();
            Tensor::from_slice_on(&whole, shape, device)
        }
    }
}
