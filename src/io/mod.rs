//! Tensors in files.

mod safetensors;

pub use self::safetensors::{load_safetensors, save_safetensors};
