//! A table of trained vectors.

use super::{Forward, Module, Parameter, init};
use crate::Result;
use crate::engine::Device;
use crate::tensor::Tensor;

/// For each number the row of a trained table: i32 numbers `[…]` to `[…, embedding_dim]`.
///
/// `weight` is `[num_embeddings, embedding_dim]` and starts normal with mean 0 and deviation 1.
/// <https://pytorch.org/docs/stable/generated/torch.nn.Embedding.html>
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let words = nn::Embedding::new(1000, 16).padding_idx(0);
/// let y = words.call(&Tensor::from_slice(&[5, 999, 0], &[3]));
/// assert_eq!(y.shape(), [3, 16]);
/// assert_eq!(y.select(0, 2).to_vec::<f32>()?, [0.0; 16]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
pub struct Embedding {
    /// The table.
    pub weight: Parameter,
    #[module(skip)]
    padding_idx: Option<i64>,
    /// Whether the table came from elsewhere: then the padding's row stays as it is.
    #[module(skip)]
    pretrained: bool,
}

impl Embedding {
    /// A table on the current device.
    #[track_caller]
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Self {
        let weight = Tensor::normal_on(&[num_embeddings, embedding_dim], 0.0, 1.0, &Device::current());
        Embedding { weight: Parameter::new(weight), padding_idx: None, pretrained: false }
    }

    /// A layer with a copy of this table `[num_embeddings, embedding_dim]`. As in PyTorch it is not trained, unless
    /// `.freeze(false)` follows.
    ///
    /// # Panics
    /// When the table has not two dims, or holds no floats.
    #[track_caller]
    pub fn from_pretrained(embeddings: &Tensor) -> Self {
        let shape = embeddings.shape();
        assert!(shape.len() == 2, "embedding: the table must be 2-d, it has the shape {shape:?}");
        let weight = Parameter::new(embeddings.detach().copy());
        Embedding { weight, padding_idx: None, pretrained: true }.freeze(true)
    }

    /// A row, which may count from the end, that stands for nothing: a table of [`Embedding::new`] starts with zeros there,
    /// and the row gets no gradient.
    ///
    /// # Panics
    /// When there is no such row.
    #[track_caller]
    pub fn padding_idx(self, index: i64) -> Self {
        let rows = self.num_embeddings() as i64;
        assert!((-rows..rows).contains(&index), "embedding: padding_idx {index} is no row of a table of {rows}");
        let layer = Embedding { padding_idx: Some(index.rem_euclid(rows)), ..self };
        let cleared = if layer.pretrained { Ok(()) } else { layer.clear_padding() };
        crate::ops::methods_support::or_panic(cleared.map(|()| layer.weight.get()));
        layer
    }

    fn clear_padding(&self) -> Result<()> {
        match self.padding_idx {
            Some(row) => init::zeros_(&self.weight.get().detach().try_select(0, row)?),
            None => Ok(()),
        }
    }

    /// Whether the table is left out of training: [`Parameter::requires_grad_`] of `!freeze`.
    pub fn freeze(self, freeze: bool) -> Self {
        self.weight.requires_grad_(!freeze);
        self
    }

    /// The number of rows.
    pub fn num_embeddings(&self) -> usize {
        self.weight.shape()[0]
    }

    /// The size of a row.
    pub fn embedding_dim(&self) -> usize {
        self.weight.shape()[1]
    }
}

impl Forward for Embedding {
    type Output = Tensor;

    /// # Panics
    /// When `indices` are not i32. One outside of the table is found on the device, as [`Tensor::embedding`] tells.
    #[track_caller]
    fn forward(&self, indices: &Tensor) -> Tensor {
        self.weight.get().embedding(indices, self.padding_idx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_padding_row_is_zero_and_stays_untrained() {
        Device::reference().scope(|| {
            let layer = Embedding::new(4, 2).padding_idx(-1);
            let weight = layer.weight.get().to_vec::<f32>().unwrap();
            assert!(weight[..6].iter().all(|&v| v != 0.0) && weight[6..] == [0.0, 0.0]);
            layer.call(&Tensor::from_slice(&[3, 0, 3], &[3])).sum().backward().unwrap();
            assert_eq!(layer.weight.grad().unwrap().to_vec::<f32>().unwrap(), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
            assert_eq!(layer.state_dict().iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["weight"]);
        });
    }

    #[test]
    fn a_pretrained_table_is_copied_and_frozen() {
        Device::reference().scope(|| {
            let table = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
            let layer = Embedding::from_pretrained(&table).padding_idx(0);
            let y = layer.call(&Tensor::from_slice(&[0, 1], &[2]));
            assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
            assert!(!y.is_requires_grad() && !layer.weight.is_requires_grad());
            let indices = Tensor::from_slice(&[0, 1], &[2]);
            layer.requires_grad_(true);
            assert!(layer.call(&indices).is_requires_grad());
            layer.requires_grad_(false);
            table.zero_().unwrap();
            assert_eq!(layer.weight.get().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
            assert!(layer.freeze(false).call(&indices).is_requires_grad());
            // A frozen table of random rows still gets its row of zeros.
            let own = Embedding::new(2, 1).freeze(true).padding_idx(0).weight.get().to_vec::<f32>().unwrap();
            assert!(own[0] == 0.0 && own[1] != 0.0);
        });
    }
}
