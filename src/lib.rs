//! PyTorch's way of working in Rust, on any GPU.
pub mod error;
pub use error::{Error, Result};
