//! The state of an optimiser in one safetensors file.

use std::collections::HashMap;
use std::path::Path;

use super::safetensors::{read, write};
use crate::engine::Device;
use crate::optim::OptimizerState;
use crate::{Error, Result};

/// Writes an optimiser's state to a file, whole or not at all.
///
/// The file is in the safetensors format. Its tensors are `state.INDEX.NAME`, with PyTorch's names (`step`, `exp_avg`,
/// `momentum_buffer`, …); its metadata has the optimiser's name under `optimizer` and, as JSON, PyTorch's list under
/// `param_groups`. So in Python:
///
/// ```python
/// with safetensors.safe_open("adam.safetensors", "pt") as f:
///     groups, state = json.loads(f.metadata()["param_groups"]), {}
///     for key in f.keys():
///         _, index, name = key.split(".")
///         state.setdefault(int(index), {})[name] = f.get_tensor(key)
/// optimizer.load_state_dict({"state": state, "param_groups": groups})
/// ```
///
/// and the other way, from `s = optimizer.state_dict()`:
///
/// ```python
/// tensors = {f"state.{i}.{n}": t for i, e in s["state"].items() for n, t in e.items() if t is not None}
/// safetensors.torch.save_file(tensors, "adam.safetensors", {"param_groups": json.dumps(s["param_groups"])})
/// ```
///
/// # Errors
/// When a tensor can't be read from its device or the file can't be written.
///
/// ```
/// use lumigrad::{io, nn, optim::Adam, prelude::*};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("adam.safetensors");
/// let model = nn::Linear::new(3, 2);
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// io::save_optimizer(&optimizer.state_dict()?, &path)?;
/// optimizer.load_state_dict(&io::load_optimizer(&path, &Device::current())?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_optimizer(state: &OptimizerState, path: impl AsRef<Path>) -> Result<()> {
    let groups = state.groups_to_json().to_string();
    let metadata = [("optimizer", state.optimizer.clone()), ("param_groups", groups)];
    let metadata = metadata.into_iter().map(|(name, text)| (name.to_string(), text)).collect();
    write(&state.tensors, Some(metadata), path.as_ref())
}

/// Reads an optimiser's state that [`save_optimizer`] or PyTorch has written; its tensors come to a device.
///
/// # Errors
/// When the file can't be read, or is no file of an optimiser's state.
pub fn load_optimizer(path: impl AsRef<Path>, device: &Device) -> Result<OptimizerState> {
    let path = path.as_ref();
    let (tensors, metadata): (_, HashMap<String, String>) = read(path, device)?;
    let wrong = |detail: String| Error::format(path, format!("is no state of an optimiser: {detail}"));
    let text = metadata.get("param_groups").ok_or_else(|| wrong("its metadata has no `param_groups`".into()))?;
    let json = serde_json::from_str(text).map_err(|e| wrong(format!("`param_groups` is no JSON: {e}")))?;
    let groups = OptimizerState::groups_from_json(&json).map_err(wrong)?;
    let optimizer = metadata.get("optimizer").cloned().unwrap_or_default();
    Ok(OptimizerState { optimizer, groups, tensors })
}
