//! Attention of several heads.

use super::dropout::check_dropout;
use super::init;
use super::parameter::device_of;
use super::{Forward, Linear, Module, Parameter, Training};
use crate::AttentionOptions;
use crate::dtype::DType;
use crate::engine::Device;
use crate::tensor::Tensor;

/// The arguments of [`MultiheadAttention::attend`] besides the tensors; the defaults are PyTorch's.
///
/// Masks hold truth values, where those that are true hide a key (the opposite of
/// [`AttentionOptions::attn_mask`]), or numbers that are added to the scores.
#[derive(Clone, Copy, Debug)]
pub struct MultiheadAttentionOptions<'a> {
    /// Which keys are hidden from all queries, `[N, S]`, or `[S]` without a batch.
    pub key_padding_mask: Option<&'a Tensor>,
    /// Whether the weights are given too. Without them no more than a part of the scores is in memory at a time.
    pub need_weights: bool,
    /// Which keys are hidden from which queries, `[L, S]`, or for every sequence and head `[N·heads, L, S]`.
    pub attn_mask: Option<&'a Tensor>,
    /// Whether the weights are given as the mean of all heads, and not for each.
    pub average_attn_weights: bool,
    /// Whether a query sees the keys up to its own place only. In PyTorch this is a hint that comes with such a mask; here
    /// it needs none.
    pub is_causal: bool,
}

impl Default for MultiheadAttentionOptions<'_> {
    fn default() -> Self {
        MultiheadAttentionOptions {
            key_padding_mask: None,
            need_weights: true,
            attn_mask: None,
            average_attn_weights: true,
            is_causal: false,
        }
    }
}

/// Attention of several heads, each over its part of projected queries, keys and values; see
/// [`Tensor::scaled_dot_product_attention`].
///
/// Takes queries `[L, N, embed_dim]`, keys `[S, N, kdim]` and values `[S, N, vdim]`, with `batch_first` `[N, L, …]`, or
/// without a batch `[L, …]`; gives `[L, N, embed_dim]` and, as PyTorch does unless told otherwise, the weights `[N, L, S]`.
/// The parameters are `in_proj_weight [3·embed_dim, embed_dim]` (Xavier uniform at first), `in_proj_bias` (0) and
/// `out_proj`; where keys or values have a size of their own, `q_proj_weight`, `k_proj_weight` and `v_proj_weight` are in
/// the first one's place. With `add_bias_kv` there are `bias_k` and `bias_v` too.
/// <https://pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let attention = nn::MultiheadAttention::new(16, 4).batch_first(true);
/// let x = Tensor::rand(&[2, 5, 16]);
/// let (y, weights) = attention.call(&(x.clone(), x.clone(), x));
/// assert_eq!((y.shape(), weights.unwrap().shape()), (&[2, 5, 16][..], &[2, 5, 5][..]));
/// ```
#[derive(Clone, Debug, Module)]
pub struct MultiheadAttention {
    /// The weights of queries, keys and values, one below the other.
    pub in_proj_weight: Option<Parameter>,
    /// The queries' weight where keys or values have a size of their own.
    pub q_proj_weight: Option<Parameter>,
    /// The keys' weight.
    pub k_proj_weight: Option<Parameter>,
    /// The values' weight.
    pub v_proj_weight: Option<Parameter>,
    /// What is added to the three projections.
    pub in_proj_bias: Option<Parameter>,
    /// A further key, `[1, 1, embed_dim]`.
    pub bias_k: Option<Parameter>,
    /// The value of the further key.
    pub bias_v: Option<Parameter>,
    /// What brings the heads together.
    pub out_proj: Linear,
    training: Training,
    #[module(skip)]
    sizes: Sizes,
    #[module(skip)]
    batch_first: bool,
    #[module(skip)]
    dropout: f64,
    #[module(skip)]
    add_zero_attn: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    embed: usize,
    heads: usize,
    key: usize,
    value: usize,
    bias: bool,
    bias_kv: bool,
}

impl MultiheadAttention {
    /// With biases, without dropout, time-major, on the current device.
    ///
    /// # Panics
    /// When `embed_dim` is no multiple of `num_heads`.
    #[track_caller]
    pub fn new(embed_dim: usize, num_heads: usize) -> MultiheadAttention {
        Self::on(embed_dim, num_heads, true, &Device::current())
    }

    #[track_caller]
    pub(super) fn on(embed: usize, heads: usize, bias: bool, device: &Device) -> MultiheadAttention {
        Self::make(Sizes { embed, heads, key: embed, value: embed, bias, bias_kv: false }, device)
    }

    /// New parameters where the old ones are; the other options stay.
    #[track_caller]
    fn remake(self, sizes: Sizes) -> MultiheadAttention {
        let device = device_of(&self);
        let MultiheadAttention { training, batch_first, dropout, add_zero_attn, .. } = self;
        MultiheadAttention { training, batch_first, dropout, add_zero_attn, ..Self::make(sizes, &device) }
    }

    #[track_caller]
    fn make(sizes: Sizes, device: &Device) -> MultiheadAttention {
        let Sizes { embed, heads, key, value, bias, bias_kv } = sizes;
        assert!(
            heads > 0 && embed > 0 && embed.is_multiple_of(heads),
            "MultiheadAttention: embed_dim {embed} must be a multiple of num_heads {heads}"
        );
        let xavier = |rows: usize, columns: usize| {
            let weight = Parameter::new(Tensor::full_on(&[rows, columns], 0.0, DType::F32, device));
            // A failure of the device comes out where the weight is first read.
            let _ = init::xavier_uniform_(&weight, 1.0);
            weight
        };
        let further = || {
            let key = Parameter::new(Tensor::full_on(&[1, 1, embed], 0.0, DType::F32, device));
            let _ = init::xavier_normal_(&key, 1.0);
            key
        };
        let zeros = |n: usize| Parameter::new(Tensor::full_on(&[n], 0.0, DType::F32, device));
        let one = key == embed && value == embed;
        let apart = |columns: usize| (!one).then(|| xavier(embed, columns));
        let mut out_proj = Linear::on(embed, embed, bias, device);
        out_proj.bias = bias.then(|| zeros(embed));
        MultiheadAttention {
            in_proj_weight: one.then(|| xavier(3 * embed, embed)),
            q_proj_weight: apart(embed),
            k_proj_weight: apart(key),
            v_proj_weight: apart(value),
            in_proj_bias: bias.then(|| zeros(3 * embed)),
            bias_k: bias_kv.then(further),
            bias_v: bias_kv.then(further),
            out_proj,
            training: Training::new(),
            sizes,
            batch_first: false,
            dropout: 0.0,
            add_zero_attn: false,
        }
    }

    /// A layer with parameters of its own that hold the same values.
    pub(super) fn copied(&self) -> MultiheadAttention {
        let copied = |p: &Option<Parameter>| p.as_ref().map(Parameter::copied);
        MultiheadAttention {
            in_proj_weight: copied(&self.in_proj_weight),
            q_proj_weight: copied(&self.q_proj_weight),
            k_proj_weight: copied(&self.k_proj_weight),
            v_proj_weight: copied(&self.v_proj_weight),
            in_proj_bias: copied(&self.in_proj_bias),
            bias_k: copied(&self.bias_k),
            bias_v: copied(&self.bias_v),
            out_proj: self.out_proj.copied(),
            training: self.training.copied(),
            ..*self
        }
    }

    /// With biases or without. Makes the parameters anew.
    #[track_caller]
    pub fn bias(self, bias: bool) -> MultiheadAttention {
        let sizes = Sizes { bias, ..self.sizes };
        self.remake(sizes)
    }

    /// A further key and value for every query, which are learned: `bias_k` and `bias_v` (Xavier normal at first). No mask
    /// hides them. Makes the parameters anew.
    ///
    /// ```
    /// use lumigrad::{nn, prelude::*};
    /// let attention = nn::MultiheadAttention::new(8, 2).add_bias_kv(true).add_zero_attn(true);
    /// let (_, weights) = attention.call(&(Tensor::rand(&[3, 8]), Tensor::rand(&[5, 8]), Tensor::rand(&[5, 8])));
    /// assert_eq!(weights.unwrap().shape(), [3, 5 + 2]);
    /// ```
    #[track_caller]
    pub fn add_bias_kv(self, add_bias_kv: bool) -> MultiheadAttention {
        let sizes = Sizes { bias_kv: add_bias_kv, ..self.sizes };
        self.remake(sizes)
    }

    /// A further key and value of zeros for every query: what it attends to where no key fits. No mask hides them.
    pub fn add_zero_attn(mut self, add_zero_attn: bool) -> MultiheadAttention {
        self.add_zero_attn = add_zero_attn;
        self
    }

    /// The size of a key. Makes the parameters anew.
    #[track_caller]
    pub fn kdim(self, kdim: usize) -> MultiheadAttention {
        let sizes = Sizes { key: kdim, ..self.sizes };
        self.remake(sizes)
    }

    /// The size of a value. Makes the parameters anew.
    #[track_caller]
    pub fn vdim(self, vdim: usize) -> MultiheadAttention {
        let sizes = Sizes { value: vdim, ..self.sizes };
        self.remake(sizes)
    }

    /// Tensors as `[N, L, …]` and not `[L, N, …]`.
    pub fn batch_first(mut self, batch_first: bool) -> MultiheadAttention {
        self.batch_first = batch_first;
        self
    }

    /// While training, the share of the weights that is dropped.
    ///
    /// # Panics
    /// When it does not lie between 0 and 1.
    #[track_caller]
    pub fn dropout(mut self, dropout: f64) -> MultiheadAttention {
        check_dropout("MultiheadAttention", dropout);
        self.dropout = dropout;
        self
    }

    /// Attention with masks, with or without its weights: `[N, L, S]`, for each head `[N, heads, L, S]`, where S counts the
    /// further keys too.
    ///
    /// # Panics
    /// When the shapes do not fit.
    ///
    /// ```
    /// use lumigrad::nn::{MultiheadAttention, MultiheadAttentionOptions};
    /// use lumigrad::prelude::*;
    /// let attention = MultiheadAttention::new(8, 2).batch_first(true);
    /// let x = Tensor::rand(&[1, 3, 8]);
    /// let padding = Tensor::from_slice(&[false, false, true], &[1, 3]);
    /// let options = MultiheadAttentionOptions { key_padding_mask: Some(&padding), ..Default::default() };
    /// let (_, weights) = attention.attend(&x, &x, &x, &options);
    /// assert_eq!(weights.unwrap().select(2, 2).to_vec::<f32>()?, [0.0, 0.0, 0.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn attend(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        options: &MultiheadAttentionOptions<'_>,
    ) -> (Tensor, Option<Tensor>) {
        let batched = self.check(query, key, value);
        // Inside `[N, L, heads, …]` or `[L, N, heads, …]`, as they come.
        let batch_dim = i64::from(!self.batch_first);
        let batch = |t: &Tensor| if batched { t.clone() } else { t.unsqueeze(batch_dim) };
        let [q, k, v] = self.project(query, key, value).map(|t| self.heads(&batch(&t)));
        let masks = self.masks(&q, &k, options, batched);
        let (k, v) = (self.extended(k, self.bias_k.as_ref()), self.extended(v, self.bias_v.as_ref()));
        let dropout = if self.training.is_training() { self.dropout } else { 0.0 };
        let (y, weights) = if options.need_weights {
            let (y, weights) = weighed(&q, &k, &v, masks.as_numbers(), dropout);
            let weights = if options.average_attn_weights { weights.mean_dims(&[1], false) } else { weights };
            (y, Some(if batched { weights } else { weights.squeeze_dim(0) }))
        } else {
            let mask = masks.as_seen();
            let is_causal = masks.is_causal;
            let options =
                AttentionOptions { attn_mask: mask.as_ref(), dropout_p: dropout, is_causal, ..Default::default() };
            (q.scaled_dot_product_attention_with(&k, &v, &options), None)
        };
        // [N, heads, L, size] back to where it came from.
        let order = if self.batch_first { [0, 2, 1, 3] } else { [2, 0, 1, 3] };
        let y = self.out_proj.call(&y.permute(&order).flatten(-2, -1));
        (if batched { y } else { y.squeeze_dim(batch_dim) }, weights)
    }

    /// Whether there is a batch.
    #[track_caller]
    fn check(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> bool {
        let shapes = [query.shape(), key.shape(), value.shape()];
        if [query, key, value].iter().any(|t| t.poison().is_some()) {
            return true;
        }
        let dims = query.dim();
        assert!(
            matches!(dims, 2 | 3) && shapes.iter().all(|s| s.len() == dims),
            "MultiheadAttention: query, key and value all need 3 dims (or 2 without a batch), got {shapes:?}"
        );
        let Sizes { embed, key: kdim, value: vdim, .. } = self.sizes;
        let wanted = [embed, kdim, vdim];
        assert!(
            shapes.iter().zip(wanted).all(|(s, size)| s[dims - 1] == size),
            "MultiheadAttention: the last dims of query, key and value must be {wanted:?}, the shapes are {shapes:?}"
        );
        dims == 3
    }

    /// Queries, keys and values, projected. From one tensor it is one product.
    #[track_caller]
    fn project(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> [Tensor; 3] {
        let bias = self.in_proj_bias.as_ref().map(Parameter::get);
        let embed = self.sizes.embed;
        let three = |parts: Vec<Tensor>| <[Tensor; 3]>::try_from(parts).expect("there are three parts");
        if let (Some(weight), true) = (&self.in_proj_weight, query.is(key) && key.is(value)) {
            let all = query.linear(&weight.get(), bias.as_ref());
            return three(all.unflatten(-1, [3, embed]).unbind(-2));
        }
        let weights = match &self.in_proj_weight {
            Some(weight) => three(weight.get().unflatten(0, [3, embed]).unbind(0)),
            None => {
                let apart = [&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight];
                apart.map(|w| w.as_ref().expect("either one weight or three").get())
            }
        };
        let biases = bias.map(|b| three(b.unflatten(0, [3, embed]).unbind(0)));
        let project = |x: &Tensor, i: usize| x.linear(&weights[i], biases.as_ref().map(|b| &b[i]));
        [project(query, 0), project(key, 1), project(value, 2)]
    }

    /// As `[N, heads, L, size]`: a view.
    #[track_caller]
    fn heads(&self, t: &Tensor) -> Tensor {
        let t = t.unflatten(-1, [self.sizes.heads, self.sizes.embed / self.sizes.heads]);
        t.permute(&if self.batch_first { [0, 2, 1, 3] } else { [1, 2, 0, 3] })
    }

    /// How many keys come behind the given ones.
    fn further(&self) -> usize {
        usize::from(self.bias_k.is_some()) + usize::from(self.add_zero_attn)
    }

    /// Keys or values `[N, heads, S, size]` with the further ones behind them.
    #[track_caller]
    fn extended(&self, t: Tensor, bias: Option<&Parameter>) -> Tensor {
        let (heads, size) = (self.sizes.heads, self.sizes.embed / self.sizes.heads);
        let shape = [t.size(0), heads, 1, size];
        let learned = bias.map(|b| b.get().reshape([1, heads, 1, size]).expand(shape));
        let zeros = self.add_zero_attn.then(|| Tensor::full_on(&shape, 0.0, t.dtype(), t.device()));
        let parts: Vec<&Tensor> = [&t].into_iter().chain(&learned).chain(&zeros).collect();
        if parts.len() == 1 { t } else { Tensor::cat(&parts, 2) }
    }

    /// The masks in shapes that broadcast to `[N, heads, L, S]`.
    #[track_caller]
    fn masks(&self, q: &Tensor, k: &Tensor, options: &MultiheadAttentionOptions<'_>, batched: bool) -> Masks {
        let (queries, keys) = (q.size(2), k.size(2));
        let padding = match options.key_padding_mask {
            Some(mask) => {
                let mask = if batched { mask.clone() } else { mask.unsqueeze(0) };
                check_mask("key_padding_mask", &mask, &[&[q.size(0), keys]]);
                Some(mask.unsqueeze(1).unsqueeze(1))
            }
            None => None,
        };
        let given = match options.attn_mask {
            Some(mask) => {
                check_mask("attn_mask", mask, &[&[queries, keys], &[q.size(0) * q.size(1), queries, keys]]);
                Some(if mask.dim() == 2 { mask.clone() } else { mask.unflatten(0, [q.size(0), q.size(1)]) })
            }
            None => None,
        };
        // The further keys are behind all places, and seen from all of them.
        let further = self.further();
        let open = |mask: Tensor| if further == 0 { mask } else { mask.pad([0, further], 0.0) };
        let alone = further == 0 && padding.is_none() && given.is_none() && !options.need_weights;
        let causal = (options.is_causal && !alone).then(|| {
            let hidden: Vec<bool> = (0..queries).flat_map(|l| (0..keys).map(move |s| s > l)).collect();
            Tensor::from_slice_on(&hidden, &[queries, keys], q.device())
        });
        let mut masks = Masks { is_causal: options.is_causal && alone, ..Masks::default() };
        [padding, given, causal].into_iter().flatten().for_each(|mask| masks.add(open(mask)));
        masks
    }
}

/// A mask has one of these shapes, and holds truth values or floats.
#[track_caller]
fn check_mask(name: &str, mask: &Tensor, shapes: &[&[usize]]) {
    if mask.poison().is_some() {
        return;
    }
    assert!(
        shapes.contains(&mask.shape()),
        "MultiheadAttention: the {name} needs a shape of {shapes:?}, it has {:?}",
        mask.shape()
    );
    assert!(
        matches!(mask.dtype(), DType::Bool | DType::F32),
        "MultiheadAttention: the {name} holds truth values or f32, not {}",
        mask.dtype()
    );
}

/// Masks brought together: those that hide, and those that are added.
#[derive(Default)]
struct Masks {
    hidden: Option<Tensor>,
    added: Option<Tensor>,
    is_causal: bool,
}

impl Masks {
    #[track_caller]
    fn add(&mut self, mask: Tensor) {
        if mask.dtype() == DType::Bool {
            self.hidden = Some(self.hidden.take().map_or(mask.clone(), |hidden| hidden.logical_or(&mask)));
        } else {
            self.added = Some(self.added.take().map_or(mask.clone(), |added| added.add(&mask)));
        }
    }

    /// What is added to the scores.
    #[track_caller]
    fn as_numbers(&self) -> Option<Tensor> {
        let Some(hidden) = &self.hidden else { return self.added.clone() };
        let number = |value: f64| Tensor::full_on(&[], value, DType::F32, hidden.device());
        let rest = self.added.clone().unwrap_or_else(|| number(0.0));
        Some(hidden.where_(number(f64::NEG_INFINITY), &rest))
    }

    /// As [`Tensor::scaled_dot_product_attention_with`] takes it: truth values tell what is seen.
    #[track_caller]
    fn as_seen(&self) -> Option<Tensor> {
        match (&self.hidden, &self.added) {
            (Some(hidden), None) => Some(hidden.logical_not()),
            _ => self.as_numbers(),
        }
    }
}

/// Attention that gives its weights, step by step as PyTorch does it: a query that sees no key gets NaN.
#[track_caller]
fn weighed(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<Tensor>, dropout: f64) -> (Tensor, Tensor) {
    let size = q.size(-1) as f64;
    let scores = q.mul_scalar(1.0 / size.sqrt()).matmul(&k.transpose(-2, -1));
    let scores = mask.map_or(scores.clone(), |mask| scores.add(&mask));
    let weights = scores.softmax(-1).dropout(dropout, true);
    (weights.matmul(v), weights)
}

impl Forward<(Tensor, Tensor, Tensor)> for MultiheadAttention {
    type Output = (Tensor, Option<Tensor>);

    /// Query, key and value, without masks; with the weights, as PyTorch does.
    ///
    /// # Panics
    /// When the shapes do not fit.
    #[track_caller]
    fn forward(&self, (query, key, value): &(Tensor, Tensor, Tensor)) -> (Tensor, Option<Tensor>) {
        self.attend(query, key, value, &MultiheadAttentionOptions::default())
    }
}
