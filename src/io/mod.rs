//! Tensors in files.

mod optimizer;
mod safetensors;

use std::fs::File;
use std::io::Write;

pub use self::optimizer::{load_optimizer, save_optimizer};
pub use self::safetensors::{load_safetensors, save_safetensors};
pub(crate) use self::safetensors::{read_checked, read_metadata_checked, write_atomically, write_checked};

/// Writes to the end of a file, all or nothing.
pub(crate) fn append(file: &mut File, content: &[u8]) -> std::io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(content).inspect_err(|_| {
        // On a full disk, a part of it may be there.
        let _ = file.set_len(before);
    })
}
