//! Files of `torch.save`: a zip archive with a pickle, which names tensors and their places in the archive's other files.
//!
//! The pickle is read as data. Nothing in it is ever called: what is no dictionary of tensors is passed over.
//! <https://pytorch.org/docs/stable/notes/serialization.html>

mod archive;
mod pickle;

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;

use ::safetensors::tensor::TensorView;

use self::archive::Archive;
use self::pickle::{Item, Pickle, Stored};
use super::safetensors::decode;
use crate::engine::Device;
use crate::nn::StateDict;
use crate::{Error, Result};

/// Dictionaries in dictionaries, at most.
const DEPTH: usize = 32;

/// Things in them, at most.
const MOST: usize = 1 << 20;

/// Elements of an expanded tensor, at most, where its storage has not as many.
const EXPANDED: usize = 1 << 26;

/// Reads the tensors of a file that PyTorch's `torch.save` wrote (`.pt`, `.pth`, `.ckpt`, `.bin`) onto a device.
///
/// A `state_dict` keeps its names and their order. Of a dictionary that holds others, such as a checkpoint with
/// `"model_state_dict"` and `"epoch"`, tensors have the names of all dictionaries that they are in, joined by dots;
/// [`StateDict::strip_prefix`] gives those of one. What is no tensor is left out, and no code in the file is run. Types are
/// those of [`load_safetensors`](super::load_safetensors).
///
/// # Errors
/// When the file can't be read, is none of PyTorch 1.6 or later, is damaged, or holds a tensor that lumigrad has no type for.
///
/// ```no_run
/// use lumigrad::{io, nn, prelude::*};
/// // torch.save(model.state_dict(), "model.pt")
/// let model = nn::Linear::new(784, 10);
/// model.load_state_dict(&io::load_pt("model.pt", &Device::current())?)?;
/// // torch.save({"epoch": epoch, "model": model.state_dict()}, "checkpoint.pt")
/// let checkpoint = io::load_pt("checkpoint.pt", &Device::current())?;
/// model.load_state_dict(&checkpoint.strip_prefix("model."))?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
pub fn load_pt(path: impl AsRef<Path>, device: &Device) -> Result<StateDict> {
    let path = path.as_ref();
    let content = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let wrong = |detail: String| Error::format(path, detail);
    let archive = Archive::open(&content).map_err(wrong)?;
    let (item, pickle) = pickle::read(archive.file("data.pkl").map_err(wrong)?).map_err(wrong)?;
    let mut found = Found { pickle, list: Vec::new(), left: MOST };
    found.collect(item, "", DEPTH).map_err(wrong)?;
    if found.list.is_empty() {
        return Err(wrong("holds no tensors by name; in PyTorch, save `model.state_dict()`".into()));
    }
    let load = |(name, place): (String, usize)| {
        let stored = &found.pickle.tensors[place];
        let bytes = elements(&archive, stored).map_err(|e| wrong(format!("{name:?}: {e}")))?;
        let view = TensorView::new(stored.dtype, stored.shape.clone(), &bytes).map_err(|e| wrong(e.to_string()))?;
        let tensor = decode(&view, device).map_err(|e| wrong(format!("{name:?}: {e}")))?;
        Ok((name, tensor?))
    };
    std::mem::take(&mut found.list).into_iter().map(load).collect()
}

/// The tensors of dictionaries and lists, by name.
struct Found<'a> {
    pickle: Pickle<'a>,
    list: Vec<(String, usize)>,
    /// How many more things are looked at: few bytes can stand for endless ones.
    left: usize,
}

impl Found<'_> {
    fn collect(&mut self, item: Item<'_>, name: &str, depth: usize) -> Result<(), String> {
        if depth == 0 || self.left == 0 {
            return Err(format!("holds more than {MOST} things, or more than {DEPTH} in each other"));
        }
        self.left -= 1;
        let below = |key: &dyn Display| if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
        match item {
            Item::Tensor(place) => self.list.push((name.to_string(), place)),
            Item::Dict(place) => {
                for i in (0..self.pickle.holders[place].len()).step_by(2) {
                    let key = match self.pickle.holders[place][i] {
                        Item::Text(key) => below(&key),
                        Item::Int(key) => below(&key),
                        _ => continue,
                    };
                    self.collect(self.pickle.holders[place][i + 1], &key, depth - 1)?;
                }
            }
            Item::List(place) | Item::Tuple(place) => {
                for i in 0..self.pickle.holders[place].len() {
                    self.collect(self.pickle.holders[place][i], &below(&i), depth - 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The bytes of a tensor's elements, row by row.
fn elements<'a>(archive: &Archive<'a>, stored: &Stored<'_>) -> Result<Cow<'a, [u8]>, String> {
    let data = archive.file(&format!("data/{}", stored.key))?;
    let size = stored.dtype.bitsize() / 8;
    let outside = || format!("its elements reach beyond the {} bytes of its storage", data.len());
    let dims = || stored.shape.iter().zip(&stored.strides);
    let count = stored.shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s)).ok_or_else(outside)?;
    if count == 0 {
        return Ok(Cow::default());
    }
    let reach = |n: usize, (&s, &stride): (&usize, &usize)| (s - 1).checked_mul(stride).and_then(|r| r.checked_add(n));
    let last = dims().try_fold(stored.offset, reach).ok_or_else(outside)?;
    if last >= data.len() / size || u32::try_from(count).is_err() {
        return Err(outside());
    }
    if contiguous(stored) {
        return Ok(data[stored.offset * size..][..count * size].into());
    }
    if count > EXPANDED.max(data.len() / size) {
        return Err(format!("it shows the {} bytes of its storage as {count} elements", data.len()));
    }
    let mut bytes = Vec::with_capacity(count * size);
    let mut place = vec![0; stored.shape.len()];
    for _ in 0..count {
        let at = stored.offset + place.iter().zip(&stored.strides).map(|(p, s)| p * s).sum::<usize>();
        bytes.extend_from_slice(&data[at * size..][..size]);
        for (p, &s) in place.iter_mut().zip(&stored.shape).rev() {
            *p += 1;
            if *p < s {
                break;
            }
            *p = 0;
        }
    }
    Ok(bytes.into())
}

/// Whether the elements lie row by row.
fn contiguous(stored: &Stored<'_>) -> bool {
    let mut next = 1;
    stored.shape.iter().zip(&stored.strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == next;
        next *= size;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn load(name: &str) -> Result<StateDict> {
        load_pt(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/data/pt").join(name), &Device::reference())
    }

    /// Written by `tests/goldens/record/pt.py`.
    #[test]
    fn a_state_dict_keeps_names_order_types_and_views() -> Result<()> {
        let state = load("state.pt")?;
        let names: Vec<&str> = state.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["f32", "transposed", "part", "f64", "f16", "bf16", "i64", "u8", "bool", "scalar", "empty", "parameter"]
        );
        let values = |name: &str| state.get(name).unwrap().to_vec::<f64>();
        assert_eq!(values("f32")?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(state.get("transposed").unwrap().shape(), [3, 2]);
        assert_eq!(values("transposed")?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(values("part")?, [4.0, 5.0]);
        assert_eq!((values("f64")?, values("f16")?, values("bf16")?), (vec![0.5], vec![-1.5], vec![3.0]));
        assert_eq!((values("i64")?, values("u8")?, values("bool")?), (vec![-7.0], vec![250.0], vec![1.0, 0.0]));
        assert_eq!((values("scalar")?, values("empty")?, values("parameter")?), (vec![42.0], vec![], vec![8.0, 9.0]));
        assert_eq!(state.get("f16").unwrap().dtype(), DType::F16);
        assert_eq!(state.get("scalar").unwrap().shape(), [0usize; 0]);
        Ok(())
    }

    #[test]
    fn a_checkpoint_has_names_of_its_dictionaries() -> Result<()> {
        let state = load("checkpoint.pt")?;
        let model = state.strip_prefix("model.");
        let names: Vec<&str> = model.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["weight", "bias"]);
        assert_eq!(model.get("bias").unwrap().to_vec::<f32>()?, [0.25, -0.25]);
        assert_eq!(state.get("optimizer.state.0.exp_avg").unwrap().shape(), [2, 3]);
        Ok(())
    }

    #[test]
    fn what_is_no_such_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.pt");
        let whole =
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/data/pt/state.pt")).unwrap();
        let refuse = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            load_pt(&path, &Device::reference()).unwrap_err().to_string()
        };
        assert!(refuse(b"nothing").contains("bad.pt"));
        assert!(refuse(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.").contains("1.6"));
        for cut in (0..whole.len()).step_by(7) {
            refuse(&whole[..cut]);
        }
        // A changed byte gives an error or other values, never a panic.
        for at in (0..whole.len()).step_by(5) {
            let mut content = whole.clone();
            content[at] ^= 0x55;
            std::fs::write(&path, content).unwrap();
            let _ = load_pt(&path, &Device::reference());
        }
        let text = crate::io::load_safetensors(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/data/pt/state.pt"),
            &Device::reference(),
        );
        assert!(text.unwrap_err().to_string().contains("load_pt"));
    }
}
