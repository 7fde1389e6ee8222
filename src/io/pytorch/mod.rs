//! Files of `torch.save`: a zip archive with a pickle, which names tensors and their places in the archive's other files.
//!
//! The pickle is read as data. Nothing in it is ever called: what is no dictionary of tensors is passed over.
//! <https://pytorch.org/docs/stable/notes/serialization.html>

mod archive;
mod pickle;

use std::borrow::Cow;
use std::collections::HashSet;
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

/// Bytes of their names, at most.
const LETTERS: usize = 1 << 26;

/// Elements of an expanded tensor, at most, where its storage has not as many.
const EXPANDED: usize = 1 << 26;

/// Elements of all tensors for a byte of the file, at most, besides [`EXPANDED`]: several can show one storage.
const REPEATED: usize = 8;

/// Reads the tensors of a file that PyTorch's `torch.save` wrote (`.pt`, `.pth`, `.ckpt`, `.bin`) onto a device.
///
/// A `state_dict` keeps its names and their order. Of a dictionary that holds others, such as a checkpoint with
/// `"model_state_dict"` and `"epoch"`, tensors have the names of all dictionaries that they are in, joined by dots;
/// [`StateDict::strip_prefix`] gives those of one. In a list the names are numbers, and a tensor alone has the name `""`. What
/// is no tensor is left out, with what stands under keys that are neither texts nor whole numbers and with objects of the
/// program's own; no code in the file is run. Types are those of [`load_safetensors`](super::load_safetensors).
///
/// # Errors
/// When the file can't be read, is none of PyTorch 1.6 or later, is damaged, holds a tensor that lumigrad has no type for (or a
/// sparse, quantised or negated one), or two of one name.
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
    let mut found = Found { pickle, list: Vec::new(), names: HashSet::new(), left: MOST, letters: LETTERS };
    found.collect(item, "", DEPTH).map_err(wrong)?;
    if found.list.is_empty() {
        return Err(wrong("holds no tensors by name; in PyTorch, save `model.state_dict()`".into()));
    }
    let mut left = content.len().saturating_mul(REPEATED).saturating_add(EXPANDED);
    let load = |(name, place): (String, usize)| {
        let stored = &found.pickle.tensors[place];
        let bytes = elements(&archive, stored, &mut left).map_err(|e| wrong(format!("{name:?}: {e}")))?;
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
    names: HashSet<String>,
    /// How many more things are looked at: few bytes can stand for endless ones.
    left: usize,
    /// Bytes that their names may still have.
    letters: usize,
}

impl Found<'_> {
    fn collect(&mut self, item: Item<'_>, name: &str, depth: usize) -> Result<(), String> {
        if depth == 0 || self.left == 0 || self.letters < name.len() {
            return Err(format!(
                "holds more than {MOST} things, with names of more than {LETTERS} bytes, or more than {DEPTH} in each other"
            ));
        }
        self.left -= 1;
        self.letters -= name.len();
        let below = |key: &dyn Display| if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
        match item {
            Item::Tensor(_) if !self.names.insert(name.to_string()) => {
                return Err(format!("holds two tensors of the name {name:?}"));
            }
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

/// The bytes of a tensor's elements, row by row; of all tensors together `left` more elements.
fn elements<'a>(archive: &Archive<'a>, stored: &Stored<'_>, left: &mut usize) -> Result<Cow<'a, [u8]>, String> {
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
    if last >= data.len() / size {
        return Err(outside());
    }
    let contiguous = contiguous(stored);
    if !contiguous && count > EXPANDED.max(data.len() / size) {
        return Err(format!("it shows the {} bytes of its storage as {count} elements", data.len()));
    }
    *left = left.checked_sub(count).ok_or("with the tensors before it, it shows the bytes of the file too often")?;
    if contiguous {
        return Ok(data[stored.offset * size..][..count * size].into());
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
    use ::safetensors::tensor::Dtype;

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

    /// Written by `tests/goldens/record/pt.py`.
    #[test]
    fn tensors_that_are_made_otherwise_are_read_or_refused_and_never_left_out() -> Result<()> {
        let state = load("attributes.pt")?;
        let values = |name: &str| state.get(name).unwrap().to_vec::<f32>();
        assert_eq!((values("parameter")?, values("plain")?, values("rest.a")?), (vec![1.0, 2.0], vec![3.0], vec![4.0]));
        assert!(load("negated.pt").unwrap_err().to_string().contains("resolve_neg"));
        assert!(load("sparse.pt").unwrap_err().to_string().contains("_rebuild_sparse_tensor"));
        Ok(())
    }

    /// An archive of files that are not compressed.
    fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut content, mut list) = (Vec::new(), Vec::new());
        for (name, file) in files {
            let number = |n: usize| (n as u32).to_le_bytes();
            let name = format!("a/{name}");
            let sizes = [number(file.len()), number(file.len()), number(name.len())].concat();
            list.extend(
                [&b"PK\x01\x02"[..], &[0; 16], &sizes, &[0; 10], &number(content.len()), name.as_bytes()].concat(),
            );
            content.extend([&b"PK\x03\x04"[..], &[0; 14], &sizes, name.as_bytes(), file].concat());
        }
        let (count, start) = ((files.len() as u16).to_le_bytes(), (content.len() as u32).to_le_bytes());
        let end = [&b"PK\x05\x06"[..], &[0; 4], &count, &count, &[0; 4], &start, &[0; 2]].concat();
        [content, list, end].concat()
    }

    /// A pickle's words for a tensor of the file `data/0`.
    fn tensor(sizes: &[u64], strides: &[u64]) -> Vec<u8> {
        let tuple = |numbers: &[u64]| {
            let each = numbers.iter().flat_map(|n| [&b"\x8a\x08"[..], &n.to_le_bytes()].concat());
            [b"(".to_vec(), each.collect(), b"t".to_vec()].concat()
        };
        let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0";
        let call = b"ctorch._utils\n_rebuild_tensor_v2\n(";
        [&call[..], storage, &tuple(sizes), &tuple(strides), b"\x89NtR"].concat()
    }

    /// What loading a pickle with one float beside it gives.
    fn load_pickle(parts: &[&[u8]]) -> Result<StateDict> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made.pt");
        let pickle = [b"\x80\x02", &parts.concat()[..], b"."].concat();
        std::fs::write(&path, archive_of(&[("data.pkl", &pickle), ("data/0", &1f32.to_le_bytes())])).unwrap();
        load_pt(&path, &Device::reference())
    }

    #[test]
    fn what_is_no_state_or_means_harm_is_an_error() {
        let refuse = |parts: &[&[u8]], why: &str| {
            let text = load_pickle(parts).unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        };
        let one = tensor(&[1], &[1]);
        assert_eq!(load_pickle(&[b"}X\x01\0\0\0x", &one, b"s"]).unwrap().get("x").unwrap().shape(), [1]);
        refuse(
            &[b"}(X\x03\0\0\0a.b", &one, b"X\x01\0\0\0a}X\x01\0\0\0b", &one, b"su"],
            "two tensors of the name \"a.b\"",
        );
        refuse(&[b"}X\x01\0\0\0x", &tensor(&[1; 65], &[1; 65]), b"s"], "65 dims");
        refuse(&[b"}X\x01\0\0\0x", &tensor(&[0, 1 << 40, 1 << 40], &[1, 1, 1]), b"s"], "strides");
        refuse(&[b"}X\x01\0\0\0x", &tensor(&[1 << 40, 1 << 40], &[0, 0]), b"s"], "reach beyond");
        refuse(&[b"}X\x01\0\0\0x", &tensor(&[2], &[1]), b"s"], "reach beyond");
        refuse(&[b"}X\x01\0\0\0x", &tensor(&[2, 1 << 26], &[0, 0]), b"s"], "as 134217728 elements");
        let untyped = b"(X\x07\0\0\0storagectorch.storage\nUntypedStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
        refuse(&[untyped], "uint16");
        // A list of one tensor, thousands of times, under a long name.
        let name = [b"}X\0\0\x10\0".to_vec(), vec![b'x'; 1 << 20]].concat();
        refuse(&[&name, b"](", &one, b"q\0", &b"h\0".repeat(1000), b"es"], "names");
    }

    #[test]
    fn one_storage_is_not_shown_endlessly() {
        let files = archive_of(&[("data/0", &1f32.to_le_bytes())]);
        let archive = Archive::open(&files).unwrap();
        let stored = Stored { key: "0", dtype: Dtype::F32, offset: 0, shape: vec![100], strides: vec![0] };
        let mut left = 250;
        assert_eq!(elements(&archive, &stored, &mut left).unwrap().len(), 400);
        assert_eq!(elements(&archive, &stored, &mut left).unwrap().len(), 400);
        assert!(elements(&archive, &stored, &mut left).unwrap_err().contains("too often"));
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
