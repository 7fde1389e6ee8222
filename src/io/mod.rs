//! Tensors in files.

mod optimizer;
mod safetensors;

pub use self::optimizer::{load_optimizer, save_optimizer};
pub use self::safetensors::{load_safetensors, save_safetensors};
pub(crate) use self::safetensors::{read_checked, read_metadata_checked, write_atomically, write_checked};
