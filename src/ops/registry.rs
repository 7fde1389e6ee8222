//! The list of all operations: one line for each.

use super::Operation;
use super::elementwise as e;
use crate::engine::Kernel;

/// Every operation. Gradcheck, parity, shader validation, doctor and the table of operations walk it.
pub static REGISTRY: &[&Operation] = &[
    &e::abs::ABS,
    &e::add::ADD,
    &e::add_scalar::ADD_SCALAR,
    &e::ceil::CEIL,
    &e::clamp::CLAMP,
    &e::compare::EQ,
    &e::compare::EQ_SCALAR,
    &e::compare::GE,
    &e::compare::GE_SCALAR,
    &e::compare::GT,
    &e::compare::GT_SCALAR,
    &e::compare::LE,
    &e::compare::LE_SCALAR,
    &e::compare::LT,
    &e::compare::LT_SCALAR,
    &e::compare::NE,
    &e::compare::NE_SCALAR,
    &e::cos::COS,
    &e::div::DIV,
    &e::div_scalar::DIV_SCALAR,
    &e::dropout::DROPOUT,
    &e::elu::ELU,
    &e::erf::ERF,
    &e::exp::EXP,
    &e::expm1::EXPM1,
    &e::floor::FLOOR,
    &e::gelu::GELU,
    &e::gelu_tanh::GELU_TANH,
    &e::hardtanh::HARDTANH,
    &e::isinf::ISINF,
    &e::isnan::ISNAN,
    &e::leaky_relu::LEAKY_RELU,
    &e::log1p::LOG1P,
    &e::log::LOG,
    &e::logical_and::LOGICAL_AND,
    &e::logical_not::LOGICAL_NOT,
    &e::logical_or::LOGICAL_OR,
    &e::masked_fill::MASKED_FILL,
    &e::maximum::MAXIMUM,
    &e::minimum::MINIMUM,
    &e::mul::MUL,
    &e::mul_scalar::MUL_SCALAR,
    &e::neg::NEG,
    &e::pow::POW,
    &e::powf::POWF,
    &e::powi::POWI,
    &e::reciprocal::RECIPROCAL,
    &e::relu::RELU,
    &e::round::ROUND,
    &e::rsqrt::RSQRT,
    &e::sigmoid::SIGMOID,
    &e::sign::SIGN,
    &e::silu::SILU,
    &e::sin::SIN,
    &e::softplus::SOFTPLUS,
    &e::sqrt::SQRT,
    &e::square::SQUARE,
    &e::sub::SUB,
    &e::tanh::TANH,
    &e::trunc::TRUNC,
    &e::where_::WHERE,
    &super::assign::ADD_IN_PLACE,
    &super::assign::ASSIGN,
    &super::cast::CAST,
    &super::cat::CAT,
    &super::convolution::conv::CONV1D,
    &super::convolution::conv::CONV2D,
    &super::convolution::conv_transpose::CONV_TRANSPOSE1D,
    &super::convolution::conv_transpose::CONV_TRANSPOSE2D,
    &super::cross_entropy::CROSS_ENTROPY,
    &super::cross_entropy_probs::CROSS_ENTROPY_PROBS,
    &super::diagonal::DIAGONAL,
    &super::diagonal::DIAG_EMBED,
    &super::fill::FILL_IN_PLACE,
    &super::fill::FULL,
    &super::from_bytes::FROM_BYTES,
    &super::indexing::embedding::EMBEDDING,
    &super::indexing::gather::GATHER,
    &super::indexing::index_select::INDEX_SELECT,
    &super::indexing::scatter_add::SCATTER_ADD,
    &super::linear::LINEAR,
    &super::matmul::MATMUL,
    &super::nll_loss::NLL_LOSS,
    &super::optim::adam::ADAM,
    &super::optim::sgd::SGD,
    &super::pad::PAD,
    &super::random::RAND,
    &super::random::RANDINT,
    &super::random::RANDN,
    &super::reduce::extrema::AMAX,
    &super::reduce::extrema::AMIN,
    &super::reduce::extrema_dim::ARGMAX,
    &super::reduce::extrema_dim::ARGMIN,
    &super::reduce::extrema_dim::MAX_DIM,
    &super::reduce::extrema_dim::MIN_DIM,
    &super::reduce::mean::MEAN,
    &super::reduce::sum::SUM,
    &super::remap::FLIP,
    &super::remap::REPEAT,
    &super::remap::ROLL,
    &super::softmax::LOG_SOFTMAX,
    &super::softmax::SOFTMAX,
    &super::transfer::TRANSFER,
    &super::triangle::TRIL,
    &super::triangle::TRIU,
    &super::unfold::UNFOLD,
    &super::views::EXPAND,
    &super::views::PERMUTE,
    &super::views::RESHAPE_ONES,
    &super::views::SLICE,
    &super::views::VIEW,
];

/// Every kernel of every operation.
pub fn kernels() -> impl Iterator<Item = (&'static Operation, &'static Kernel)> {
    REGISTRY.iter().flat_map(|op| op.kernels.iter().map(move |kernel| (*op, *kernel)))
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    REGISTRY.iter().copied().find(|operation| operation.name == name)
}

/// The kernel with this name, as `mul.forward`: for [`crate::Device::replace_kernel`].
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    kernels().map(|(_, kernel)| kernel).find(|kernel| kernel.name == name)
}

/// Families of kernels that compute the same, with their options: what [`crate::Device::force_choice`] takes.
pub static FAMILIES: &[(&str, &[&str])] =
    &[super::indexing::scatter_add::FAMILY, super::matmul::FAMILY, super::reduce::FAMILY];
