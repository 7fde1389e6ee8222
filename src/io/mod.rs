//! Tensors in files.

mod optimizer;
#[cfg(any(feature = "plot", feature = "tensorboard"))]
mod picture;
mod pytorch;
mod safetensors;

use std::fs::File;
use std::io::Write;
use std::path::Path;

pub use self::optimizer::{load_optimizer, save_optimizer};
#[cfg(any(feature = "plot", feature = "tensorboard"))]
pub(crate) use self::picture::encode_png;
pub use self::pytorch::load_pt;
pub use self::safetensors::{load_safetensors, save_safetensors};
pub(crate) use self::safetensors::{read_checked, read_metadata_checked, write_atomically, write_checked};

use crate::{Error, Result};

/// Makes the folder of a file.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), |dir| std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e)))
}

/// Writes to the end of a file, all or nothing.
pub(crate) fn append(file: &mut File, content: &[u8]) -> std::io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(content).inspect_err(|_| {
        // On a full disk, a part of it may be there.
        let _ = file.set_len(before);
    })
}
