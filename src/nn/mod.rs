//! Layers, and the module tree that they form.
//!
//! A module is a struct of modules with `#[derive(Module)]`; [`Forward`] says what it computes. Layers have PyTorch's
//! arguments, initialisation and weight layout, so that a `state_dict` fits in both directions.
#![doc = include_str!("../../docs/nn.md")]

mod activation;
mod attention;
mod calls;
mod checkpoint;
mod conv;
mod dict;
mod distance;
mod dropout;
mod embedding;
mod graph;
mod hooks;
pub mod init;
mod linear;
mod losses;
mod module;
mod norm;
mod padding;
mod parameter;
mod pooling;
mod prelu;
mod recurrent;
mod resample;
mod sequential;
mod shape;
mod state;
mod summary;
mod transformer;
pub mod utils;

pub use activation::{
    CELU, ELU, GELU, GLU, GeluApproximation, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid,
    LogSoftmax, Mish, ReLU, ReLU6, SELU, SiLU, Sigmoid, Softmax, Softmax2d, Softmin, Softplus, Softshrink, Softsign,
    Tanh, Tanhshrink, Threshold,
};
pub use attention::{MultiheadAttention, MultiheadAttentionOptions};
pub use checkpoint::Checkpoint;
pub use conv::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, PaddingMode};
pub use dict::ModuleDict;
pub use distance::{CosineSimilarity, PairwiseDistance};
pub use dropout::{AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d};
pub use embedding::Embedding;
pub use graph::{Graph, GraphNode};
pub use hooks::{HookedModule, Hooks, ModuleHook};
pub use linear::{Flatten, Linear};
pub use losses::{
    BCELoss, BCEWithLogitsLoss, CosineEmbeddingLoss, CrossEntropyLoss, GaussianNLLLoss, HingeEmbeddingLoss, HuberLoss,
    KLDivLoss, L1Loss, MSELoss, MarginRankingLoss, MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss, PoissonNLLLoss,
    SmoothL1Loss, SoftMarginLoss, TripletMarginLoss,
};
pub use lumigrad_derive::Module;
pub use module::{Forward, Layer, Module, Part, Visitor};
pub use norm::{
    BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm, NormalizedShape, RMSNorm,
};
pub use padding::{
    CircularPad1d, CircularPad2d, ConstantPad1d, ConstantPad2d, Pads, ReflectionPad1d, ReflectionPad2d,
    ReplicationPad1d, ReplicationPad2d, ZeroPad2d,
};
pub(crate) use parameter::EvaluationMode;
pub use parameter::{Buffer, Parameter, Training};
pub use pooling::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool,
    MaxPool1d, MaxPool2d, MaxUnpool1d, MaxUnpool2d, MinPool1d, MinPool2d,
};
pub use prelu::{PReLU, RReLU};
pub use recurrent::{
    GRU, GRUCell, LSTM, LSTMCell, PackedSequence, PadPackedSequenceOptions, RNN, RNNCell, RnnNonlinearity,
    pack_padded_sequence, pad_packed_sequence, pad_packed_sequence_with,
};
pub use resample::{PixelShuffle, PixelUnshuffle, Upsample};
pub use sequential::Sequential;
pub use shape::{Identity, Unflatten};
pub use state::{IncompatibleKeys, LoadOptions, StateDict};
pub use summary::{Summary, SummaryRow, summary};
pub use transformer::{TransformerActivation, TransformerEncoder, TransformerEncoderLayer, TransformerMasks};

/// Declares layers without state: a unit struct and the method that it calls.
macro_rules! stateless {
    ($($(#[$meta:meta])* $name:ident => |$x:ident| $body:expr;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// The layer; its name alone is one too.
            pub const fn new() -> Self {
                $name
            }
        }

        impl $crate::nn::Module for $name {
            fn visit(&self, _visitor: &mut $crate::nn::Visitor<'_>) {}
        }

        impl $crate::nn::Forward for $name {
            type Output = $crate::Tensor;
            #[track_caller]
            fn forward(&self, $x: &$crate::Tensor) -> $crate::Tensor {
                $body
            }
        }
    )*};
}
pub(crate) use stateless;
