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
/// Floats and u32 keep their type, i32 becomes `I64`, which is what PyTorch's integers are, and truth values `BOOL`.
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

/// A tensor as it stands in a file: name, type, shape, bytes.
type Entry<'a> = (&'a str, Dtype, &'a [usize], std::borrow::Cow<'a, [u8]>);

/// The checksum of everything that a file says: metadata and tensors, with their names, types and shapes.
fn checksum(metadata: &HashMap<String, String>, entries: &[Entry<'_>]) -> String {
    let mut sum = crc32fast::Hasher::new();
    // With its length before each part, so that nothing can move from one part into the next unseen.
    let mut add = |part: &[u8]| {
        sum.update(&(part.len() as u64).to_le_bytes());
        sum.update(part);
    };
    let mut metadata: Vec<_> = metadata.iter().filter(|(name, _)| *name != CHECKSUM).collect();
    metadata.sort();
    metadata.iter().for_each(|(name, text)| [name, text].iter().for_each(|part| add(part.as_bytes())));
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(name, ..)| *name);
    for (name, dtype, shape, data) in entries {
        add(name.as_bytes());
        add(format!("{dtype:?} {shape:?}").as_bytes());
        add(data);
    }
    sum.finalize().to_string()
}

/// [`write`] with a checksum of everything among the metadata.
pub(crate) fn write_checked(state: &StateDict, mut metadata: HashMap<String, String>, path: &Path) -> Result<()> {
    let entries = entries(state)?;
    metadata.insert(CHECKSUM.into(), checksum(&metadata, &entries));
    write_entries(&entries, Some(metadata), path)
}

/// [`read`] of a file that [`write_checked`] wrote.
pub(crate) fn read_checked(path: &Path, device: &Device) -> Result<(StateDict, HashMap<String, String>)> {
    let content = content(path)?;
    let (file, metadata) = parse(path, &content)?;
    check(path, &file, &metadata)?;
    Ok((decode_all(path, &file, device)?, metadata))
}

/// The metadata of a file that [`write_checked`] wrote, if all of the file is as it was written.
pub(crate) fn read_metadata_checked(path: &Path) -> Result<HashMap<String, String>> {
    let content = content(path)?;
    let (file, metadata) = parse(path, &content)?;
    check(path, &file, &metadata)?;
    Ok(metadata)
}

fn check(path: &Path, file: &SafeTensors<'_>, metadata: &HashMap<String, String>) -> Result<()> {
    let tensors = file.tensors();
    let entries: Vec<Entry<'_>> =
        tensors.iter().map(|(name, view)| (name.as_str(), view.dtype(), view.shape(), view.data().into())).collect();
    match metadata.get(CHECKSUM) {
        Some(noted) if *noted == checksum(metadata, &entries) => Ok(()),
        Some(_) => Err(damaged(path, "the checksum is wrong")),
        None => Err(damaged(path, "it has no checksum")),
    }
}

fn damaged(path: &Path, detail: impl std::fmt::Display) -> Error {
    Error::format(path, format!("is no safetensors file, or is damaged: {detail}"))
}

/// [`save_safetensors`] with metadata.
pub(super) fn write(state: &StateDict, metadata: Option<HashMap<String, String>>, path: &Path) -> Result<()> {
    write_entries(&entries(state)?, metadata, path)
}

fn entries(state: &StateDict) -> Result<Vec<Entry<'_>>> {
    let entry = |(name, tensor)| {
        let (dtype, data) = bytes(tensor)?;
        Ok((name, dtype, tensor.shape(), data.into()))
    };
    state.iter().map(entry).collect()
}

fn write_entries(entries: &[Entry<'_>], metadata: Option<HashMap<String, String>>, path: &Path) -> Result<()> {
    let mut views = Vec::new();
    for (name, dtype, shape, data) in entries {
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
        DType::F16 => (Dtype::F16, data.to_bytes()),
        DType::BF16 => (Dtype::BF16, data.to_bytes()),
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
/// 64-bit integers become i32 and are refused when one does not fit; f64 becomes f32.
///
/// # Errors
/// When the file can't be read or is no safetensors file, or holds something that lumigrad has no type for.
pub fn load_safetensors(path: impl AsRef<Path>, device: &Device) -> Result<StateDict> {
    Ok(read(path.as_ref(), device)?.0)
}

/// [`load_safetensors`] with the file's metadata.
pub(super) fn read(path: &Path, device: &Device) -> Result<(StateDict, HashMap<String, String>)> {
    let content = content(path)?;
    let (file, metadata) = parse(path, &content)?;
    Ok((decode_all(path, &file, device)?, metadata))
}

fn content(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::file(path, e))
}

fn parse<'a>(path: &Path, content: &'a [u8]) -> Result<(SafeTensors<'a>, HashMap<String, String>)> {
    if content.starts_with(b"PK") {
        return Err(Error::format(
            path,
            "is no safetensors file but an archive, such as torch.save writes; try `load_pt`",
        ));
    }
    let file = SafeTensors::deserialize(content).map_err(|e| damaged(path, e))?;
    let (_, header) = SafeTensors::read_metadata(content).map_err(|e| damaged(path, e))?;
    Ok((file, header.metadata().clone().unwrap_or_default()))
}

fn decode_all(path: &Path, file: &SafeTensors<'_>, device: &Device) -> Result<StateDict> {
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let load = |(name, view): (String, TensorView<'_>)| {
        let tensor = decode(&view, device).map_err(|detail| Error::format(path, format!("{name:?}: {detail}")))?;
        Ok((name, tensor?))
    };
    tensors.into_iter().map(load).collect()
}

/// The tensor, or what is wrong with the content; inside, a failure of the device.
pub(super) fn decode(view: &TensorView<'_>, device: &Device) -> Result<Result<Tensor>, String> {
    let (data, shape) = (view.data(), view.shape());
    let floats = |values: Vec<f32>| Tensor::try_from_slice_on(&values, shape, device);
    Ok(match view.dtype() {
        Dtype::F32 => floats(numbers(data, f32::from_le_bytes)),
        Dtype::F64 => floats(numbers(data, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => Tensor::try_from_slice_on(&numbers(data, half::f16::from_le_bytes), shape, device),
        Dtype::BF16 => Tensor::try_from_slice_on(&numbers(data, half::bf16::from_le_bytes), shape, device),
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
        let halves = [half::f16::MAX, half::f16::MIN_POSITIVE_SUBNORMAL, half::f16::NEG_INFINITY];
        state.insert("f16", Tensor::from_slice_on(&halves, &[3], &device));
        state.insert("bf16", Tensor::from_slice_on(&[half::bf16::MAX, half::bf16::EPSILON], &[2], &device));
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
