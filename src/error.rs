//! The crate's one error type.
//!
//! Two families share it. *Mistakes of the program* (shapes, dims, dtypes) are what a `try_` method returns and
//! what the method without `try_` panics with. *Failures of the world* (no adapter, a lost device, a broken file,
//! no memory) are always returned, never panicked with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shorthand for a result with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Each message names what was wrong and what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that do not fit each other or the operation.
    #[error("{op}: {detail}")]
    Shape {
        /// The operation, as the user calls it.
        op: &'static str,
        /// Both shapes and what would fit.
        detail: String,
    },
    /// A dim that the tensor does not have.
    #[error("{op}: dim {dim} is out of range for a tensor with {rank} dims (expected {lo} to {hi})", lo = -(*.rank as i64).max(1), hi = (*.rank as i64 - 1).max(0))]
    Dim {
        /// The operation.
        op: &'static str,
        /// The dim that was asked for.
        dim: i64,
        /// How many dims the tensor has.
        rank: usize,
    },
    /// An element type that the operation does not take.
    #[error("{op}: {detail}")]
    DType {
        /// The operation.
        op: &'static str,
        /// What was given and what is accepted.
        detail: String,
    },
    /// Any other argument outside its domain.
    #[error("{op}: {detail}")]
    Argument {
        /// The operation.
        op: &'static str,
        /// What was given and what is accepted.
        detail: String,
    },
    /// Tensors of different devices in one operation.
    #[error("{op}: the inputs are on different devices ({first} and {second}); move one with `.to(&device)`")]
    Devices {
        /// The operation.
        op: &'static str,
        /// Where the first input lives.
        first: String,
        /// Where the other one lives.
        second: String,
    },
    /// An index or label outside its range, found while the operation ran.
    #[error("{op}: index {value} is out of range (expected 0 to {}){}; nothing was updated since", .bound - 1, place(.at))]
    Index {
        /// The operation that read the index.
        op: &'static str,
        /// The index.
        value: i64,
        /// One past the largest index allowed.
        bound: i64,
        /// The caller's file and line.
        at: String,
    },
    /// Weights that are no distribution to draw from, found while the operation ran.
    #[error("{op}: row {row} is no distribution: its weights must be finite, not negative and not all 0{}; nothing was updated since", place(.at))]
    Weights {
        /// The operation.
        op: &'static str,
        /// The row of weights.
        row: i64,
        /// The caller's file and line.
        at: String,
    },
    /// A whole number divided by 0, found while the operation ran.
    #[error("{op}: a whole number is divided by 0{}; nothing was updated since", place(.at))]
    ZeroDivision {
        /// The operation.
        op: &'static str,
        /// The caller's file and line.
        at: String,
    },
    /// Automatic differentiation was asked for something it can't do exactly.
    #[error("autograd: {0}")]
    Autograd(String),
    /// An operation made NaN or an infinity from numbers that were finite, found by
    /// [`detect_anomaly`](crate::autograd::detect_anomaly).
    #[error("{op}: {detail}")]
    Anomaly {
        /// The operation.
        op: &'static str,
        /// What it made from what, and where it was called.
        detail: String,
    },
    /// A step that was to be recorded does what a replay can't.
    #[error("{op}: {detail}")]
    Capture {
        /// The operation.
        op: &'static str,
        /// What it does, and what to do instead.
        detail: String,
    },
    /// No GPU adapter answers to the request.
    #[error("no GPU adapter found{}; install a Vulkan driver (Debian and Ubuntu: `apt-get install mesa-vulkan-drivers libvulkan1`) or choose the device `reference`", .detail)]
    NoAdapter {
        /// More about the request; empty when any adapter would have done.
        detail: String,
    },
    /// A device name that no device answers to.
    #[error("unknown device {name:?}; available: {available}")]
    UnknownDevice {
        /// The name.
        name: String,
        /// Names that would have worked.
        available: String,
    },
    /// The device was lost: the driver stopped, or the adapter went away. Make a new device and load a checkpoint.
    #[error("the device was lost: {0}; open a new device and load the last checkpoint")]
    DeviceLost(String),
    /// No memory for a tensor. Dropping tensors and going on is possible.
    #[error("out of memory: {requested} more bytes were asked for, {live} are in use{}; drop tensors or use a smaller batch", .budget.map(|b| format!(", {b} is the budget")).unwrap_or_default() + &within(.at))]
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Bytes in use by live tensors.
        live: u64,
        /// The budget set with `Device::set_memory_budget`, if it was the reason.
        budget: Option<u64>,
        /// The path of the module that was running; empty outside of modules.
        at: String,
    },
    /// A size that the device can't take.
    #[error("{op}: {detail}")]
    Limit {
        /// The operation.
        op: &'static str,
        /// The size and the limit.
        detail: String,
    },
    /// The driver or wgpu refused something that lumigrad asked for.
    #[error("the driver reported an error: {0}")]
    Driver(String),
    /// A shader that does not compile, with naga's message and the source excerpt.
    #[error("kernel {kernel}: {message}")]
    Kernel {
        /// The kernel's name and variant.
        kernel: String,
        /// What the compiler says.
        message: String,
    },
    /// The shadow device found a kernel whose result differs from the reference.
    #[error("kernel {kernel} differs from the reference: {detail}")]
    Diverged {
        /// The kernel's name and variant.
        kernel: String,
        /// The worst element, both values and the bound.
        detail: String,
    },
    /// The sanitizer found that a kernel does what can give other results on other devices.
    #[error("kernel {kernel}: {finding}")]
    Sanitizer {
        /// The kernel's name and variant.
        kernel: String,
        /// What it does, and the line of its text.
        finding: String,
    },
    /// A file that can't be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<std::io::Error>,
    },
    /// A file whose content is not what it should be.
    #[error("{}: {detail}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        detail: String,
    },
    /// A file that none of its addresses gave.
    #[error("fetching {name}: {detail}")]
    Download {
        /// The file.
        name: String,
        /// What happened at each address, and where to put the file by hand.
        detail: String,
    },
    /// A state_dict that does not fit the module; every problem is listed.
    #[error("load_state_dict: {}", .0.join("; "))]
    StateDict(Vec<String>),
    /// A sample could not be loaded.
    #[error("data: sample {index}: {detail}")]
    Sample {
        /// Position in the dataset.
        index: usize,
        /// What went wrong.
        detail: String,
    },
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!(", at {at}") }
}

fn within(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!(", asked for by {at}") }
}

impl Error {
    /// A failure of the device with the path of the module that met it.
    pub(crate) fn in_module(self, path: impl Fn() -> Option<String>) -> Self {
        let path = || path().filter(|path| !path.is_empty());
        let with = |text: String| path().map_or(text.clone(), |path| format!("{text} (in {path})"));
        match self {
            Error::OutOfMemory { requested, live, budget, at } if at.is_empty() => {
                Error::OutOfMemory { requested, live, budget, at: path().unwrap_or_default() }
            }
            Error::Driver(text) => Error::Driver(with(text)),
            Error::Kernel { kernel, message } => Error::Kernel { kernel, message: with(message) },
            Error::Diverged { kernel, detail } => Error::Diverged { kernel, detail: with(detail) },
            Error::Sanitizer { kernel, finding } => Error::Sanitizer { kernel, finding: with(finding) },
            other => other,
        }
    }

    /// A refusal of what an operation does inside, in the operation's name.
    pub(crate) fn of_operation(self, name: &'static str) -> Self {
        match self {
            Error::Capture { detail, .. } => Error::Capture { op: name, detail },
            other => other,
        }
    }

    /// Wraps an operating-system error with the path it is about.
    pub fn file(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::File { path: path.as_ref().to_path_buf(), source: Arc::new(source) }
    }

    /// A file whose content is wrong.
    pub fn format(path: impl AsRef<Path>, detail: impl Into<String>) -> Self {
        Error::Format { path: path.as_ref().to_path_buf(), detail: detail.into() }
    }

    /// Shapes that do not fit.
    pub fn shape(op: &'static str, detail: impl Into<String>) -> Self {
        Error::Shape { op, detail: detail.into() }
    }

    /// An argument outside its domain.
    pub fn argument(op: &'static str, detail: impl Into<String>) -> Self {
        Error::Argument { op, detail: detail.into() }
    }

    /// An element type that does not fit.
    pub fn dtype(op: &'static str, detail: impl Into<String>) -> Self {
        Error::DType { op, detail: detail.into() }
    }
}
