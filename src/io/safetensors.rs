//! The safetensors format: what PyTorch users exchange weights in.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::dtype::DType;
use crate::engine::Device;
use crate::nn::StateDict;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Writes tensors to a file, whole or not at all: a temporary file beside it is renamed at the end.
///
/// f32 and u32 keep their type, i32 becomes `I64`, which is what PyTorch's integers are, and truth values `BOOL`.
///
/// # Errors
/// When a tensor can't be read from its device or the file can't be written.
///
/// ```no_run
/// use lumigrad::{io, nn, prelude::*};
/// let model = nn::Linear::new(784, 10);
/// io::save_safetensors(&model.state_dict(), "model.safetensors")?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn save_safetensors(state: &StateDict, path: impl AsRef<Path>) -> Result<()> {
    write(state, None, path.as_ref())
}

/// The name of the checksum in a file's metadata.
const CHECKSUM: &str = "crc32";

/// [`write`] with a checksum of all tensors among the metadata.
pub(crate) fn write_checked(state: &StateDict, metadata: HashMap<String, String>, path: &Path) -> Result<()> {
    let (mut sum, mut sorted) = (crc32fast::Hasher::new(), state.iter().collect::<Vec<_>>());
    sorted.sort_by_key(|(name, _)| *name);
    for (_, tensor) in sorted {
        sum.update(&bytes(tensor)?.1);
    }
    let mut metadata = metadata;
    metadata.insert(CHECKSUM.into(), sum.finalize().to_string());
    write(state, Some(metadata), path)
}

/// [`read`] of a file that [`write_checked`] wrote.
pub(crate) fn read_checked(path: &Path, device: &Device) -> Result<(StateDict, HashMap<String, String>)> {
    let content = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let damaged = |e: String| Error::format(path, format!("is no safetensors file, or is damaged: {e}"));
    let file = SafeTensors::deserialize(&content).map_err(|e| damaged(e.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&content).map_err(|e| damaged(e.to_string()))?;
    let noted = header.metadata().as_ref().and_then(|m| m.get(CHECKSUM)).cloned();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sum = crc32fast::Hasher::new();
    tensors.iter().for_each(|(_, view)| sum.update(view.data()));
    if noted != Some(sum.finalize().to_string()) {
        return Err(damaged("the checksum of its tensors is wrong".into()));
    }
    read(path, device)
}

/// [`save_safetensors`] with metadata.
pub(super) fn write(state: &StateDict, metadata: Option<HashMap<String, String>>, path: &Path) -> Result<()> {
    let entries = state.iter().map(|(name, t)| Ok((name, t.shape(), bytes(t)?))).collect::<Result<Vec<_>>>()?;
    let mut views = Vec::new();
    for (name, shape, (dtype, data)) in &entries {
        let view = TensorView::new(*dtype, shape.to_vec(), data).map_err(|e| Error::format(path, e.to_string()))?;
        views.push((*name, view));
    }
    let content = ::safetensors::serialize(views, metadata).map_err(|e| Error::format(path, e.to_string()))?;
    write_atomically(path, &content)
}

fn bytes(tensor: &Tensor) -> Result<(Dtype, Vec<u8>)> {
    let data = tensor.to_host()?;
    Ok(match tensor.dtype() {
        DType::F32 => (Dtype::F32, data.to_bytes()),
        // PyTorch's integers are 64 bits wide.
        DType::I32 => (Dtype::I64, (0..data.len()).flat_map(|i| (data.get_f64(i) as i64).to_le_bytes()).collect()),
        DType::U32 => (Dtype::U32, data.to_bytes()),
        DType::Bool => (Dtype::BOOL, (0..data.len()).map(|i| u8::from(data.get_f64(i) != 0.0)).collect()),
    })
}

/// Writes a file so that it is there whole or as it was before.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::format(path, "is no file name"))?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Error::file(path, e)
    })
}

/// Reads the tensors of a file onto a device, in the order of their names.
///
/// 64-bit integers become i32 and are refused when one does not fit; f64 becomes f32, f16 and bf16 are widened.
///
/// # Errors
/// When the file can't be read or is no safetensors file, or holds something that lumigrad has no type for.
pub fn load_safetensors(path: impl AsRef<Path>, device: &Device) -> Result<StateDict> {
    Ok(read(path.as_ref(), device)?.0)
}

/// [`load_safetensors`] with the file's metadata.
pub(super) fn read(path: &Path, device: &Device) -> Result<(StateDict, HashMap<String, String>)> {
    let content = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let damaged = |e| Error::format(path, format!("is no safetensors file, or is damaged: {e}"));
    let file = SafeTensors::deserialize(&content).map_err(damaged)?;
    let (_, header) = SafeTensors::read_metadata(&content).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let mut tensors: HashMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    let mut names: Vec<String> = tensors.keys().cloned().collect();
    names.sort();
    let load = |name: String| {
        let view = tensors.remove(&name).expect("the name is from the list");
        let tensor = decode(&view, device).map_err(|detail| Error::format(path, format!("{name:?}: {detail}")))?;
        Ok((name, tensor?))
    };
    let state = names.into_iter().map(load).collect::<Result<_>>()?;
    Ok((state, metadata))
}

/// The tensor, or what is wrong with the content; inside, a failure of the device.
fn decode(view: &TensorView<'_>, device: &Device) -> Result<Result<Tensor>, String> {
    let (data, shape) = (view.data(), view.shape());
    let floats = |values: Vec<f32>| Tensor::try_from_slice_on(&values, shape, device);
    Ok(match view.dtype() {
        Dtype::F32 => floats(numbers(data, f32::from_le_bytes)),
        Dtype::F64 => floats(numbers(data, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => floats(numbers(data, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => floats(numbers(data, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::I32 => Tensor::try_from_slice_on(&numbers(data, i32::from_le_bytes), shape, device),
        Dtype::U32 => Tensor::try_from_slice_on(&numbers(data, u32::from_le_bytes), shape, device),
        Dtype::I64 => {
            let wide = numbers(data, i64::from_le_bytes);
            if let Some(n) = wide.iter().find(|&&n| i32::try_from(n).is_err()) {
                return Err(format!("the integer {n} does not fit 32 bits"));
            }
            Tensor::try_from_slice_on(&wide, shape, device)
        }
        Dtype::U8 => Tensor::try_from_slice_on(data, shape, device),
        Dtype::BOOL => {
            let truth: Vec<bool> = data.iter().map(|&b| b != 0).collect();
            Tensor::try_from_slice_on(&truth, shape, device)
        }
        other => return Err(format!("elements of type {other:?} are not supported")),
    })
}

fn numbers<T, const N: usize>(data: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).map(|c| from(c.try_into().expect("chunks have N bytes"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn round_trip() {
        let device = Device::reference();
        let mut state = StateDict::new();
        state.insert("b.weight", Tensor::from_slice_on(&[1.5f32, -2.0, 3.0, 1e-30], &[2, 2], &device).transpose(0, 1));
        state.insert("a", Tensor::from_slice_on(&[7, -1], &[2], &device));
        state.insert("mask", Tensor::from_slice_on(&[true, false, true], &[3], &device));
        state.insert("empty", Tensor::from_slice_on::<f32>(&[], &[0, 2], &device));
        let dir = folder();
        let path = dir.path().join("state.safetensors");
        save_safetensors(&state, &path).unwrap();
        let loaded = load_safetensors(&path, &device).unwrap();
        assert_eq!(loaded.len(), state.len());
        for (name, tensor) in state.iter() {
            let other = loaded.get(name).unwrap();
            assert_eq!((other.shape(), other.dtype()), (tensor.shape(), tensor.dtype()), "{name}");
            assert_eq!(other.to_vec::<f64>().unwrap(), tensor.to_vec::<f64>().unwrap(), "{name}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        let content = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&content).unwrap();
        assert_eq!(file.tensor("a").unwrap().dtype(), Dtype::I64, "integers are PyTorch's");
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let dir = folder();
        let path = dir.path().join("bad.safetensors");
        std::fs::write(&path, b"\x10\0\0\0\0\0\0\0{\"a\":1}").unwrap();
        let text = load_safetensors(&path, &Device::reference()).unwrap_err().to_string();
        assert!(text.contains("bad.safetensors") && text.contains("safetensors file"), "{text}");
        let text = load_safetensors(dir.path().join("none"), &Device::reference()).unwrap_err().to_string();
        assert!(text.contains("none"), "{text}");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = folder();
        let state = StateDict::new();
        let text = save_safetensors(&state, dir.path().join("no/such/folder.st")).unwrap_err().to_string();
        assert!(text.contains("folder.st"), "{text}");
    }
}
