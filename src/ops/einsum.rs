//! `einsum`: sums of products by Einstein's notation, and its relatives `tensordot` and `kron`.
//!
//! Composed: repeated letters of an operand become diagonals, letters of one operand alone are summed, and operands are
//! joined two by two, the pair with the fewest products first. A pair without a common sum is one broadcast product, any other
//! a (batched) matrix product of permuted views.
//!
//! <https://pytorch.org/docs/stable/generated/torch.einsum.html>

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::cat::borrowed;
use super::methods;
use super::methods::or_panic;
use crate::engine::fault::CallerScope;
use crate::tensor::Tensor;
use crate::tensor::shape::dim_index;
use crate::{Error, Result};

/// A letter, or a dim of the ellipsis: these count from [`ELLIPSIS`].
type Label = u32;
const ELLIPSIS: Label = 1 << 16;

/// A factor whose dims have labels, no two the same.
#[derive(Clone)]
struct Factor {
    tensor: Tensor,
    labels: Vec<Label>,
}

/// An equation taken apart: the labels of the operands and of the result.
struct Equation {
    terms: Vec<Vec<Label>>,
    output: Vec<Label>,
}

fn refuse<T>(equation: &str, why: impl std::fmt::Display) -> Result<T> {
    Err(Error::argument("einsum", format!("\"{equation}\": {why}")))
}

/// The labels of a term; `dots`: how many dims its ellipsis stands for, and all of them in the longest one.
fn labels(equation: &str, term: &str, dots: usize, longest: usize) -> Result<Vec<Label>> {
    let mut labels = Vec::new();
    let mut rest = term;
    let mut seen = false;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("...") {
            if seen {
                return refuse(equation, "a term holds more than one ellipsis");
            }
            seen = true;
            // Aligned at the last dim, as in broadcasting.
            labels.extend((longest - dots..longest).map(|d| ELLIPSIS + d as Label));
            rest = behind;
        } else if c.is_ascii_alphabetic() {
            labels.push(c as Label);
            rest = &rest[1..];
        } else {
            return refuse(equation, format!("`{c}` is neither a letter nor part of an ellipsis"));
        }
    }
    Ok(labels)
}

fn parse(equation: &str, operands: &[&Tensor]) -> Result<Equation> {
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) =
        text.split_once("->").map_or((text.as_str(), None), |(inputs, output)| (inputs, Some(output)));
    let terms: Vec<&str> = inputs.split(',').collect();
    if terms.len() != operands.len() {
        return refuse(equation, format!("{} terms for {} operands", terms.len(), operands.len()));
    }
    let dots = |term: &str, x: &Tensor| -> Result<usize> {
        let letters = term.chars().filter(|c| *c != '.').count();
        match x.dim().checked_sub(letters) {
            Some(left) if left == 0 || term.contains("...") => Ok(left),
            _ => refuse(equation, format!("`{term}` does not fit an operand of shape {:?}", x.shape())),
        }
    };
    let dots = terms.iter().zip(operands).map(|(term, x)| dots(term, x)).collect::<Result<Vec<_>>>()?;
    let longest = dots.iter().copied().max().unwrap_or(0);
    let terms = terms.iter().zip(dots).map(|(term, dots)| labels(equation, term, dots, longest));
    let terms = terms.collect::<Result<Vec<_>>>()?;
    let output = match output {
        Some(output) => labels(equation, output, longest, longest)?,
        None => {
            // The ellipsis, then every letter that comes once, in the order of the alphabet.
            let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
            terms.iter().flatten().for_each(|&label| *counts.entry(label).or_default() += 1);
            let once =
                counts.iter().filter(|(label, count)| **label < ELLIPSIS && **count == 1).map(|(label, _)| *label);
            (ELLIPSIS..ELLIPSIS + longest as Label).chain(once).collect()
        }
    };
    for (i, label) in output.iter().enumerate() {
        let name = char::from_u32(*label).unwrap_or('.');
        if output[..i].contains(label) {
            return refuse(equation, format!("`{name}` comes twice in the result"));
        }
        // An ellipsis in the result that no operand has stands for no dims.
        if !terms.iter().flatten().any(|l| l == label) {
            return refuse(equation, format!("`{name}` of the result is in no operand"));
        }
    }
    Ok(Equation { terms, output })
}

impl Factor {
    /// Dims with one label become their diagonal.
    fn new(op: &'static str, x: &Tensor, labels: &[Label]) -> Result<Factor> {
        let (mut tensor, mut labels) = (x.clone(), labels.to_vec());
        while let Some((a, b)) = twice(&labels) {
            if tensor.shape()[a] != tensor.shape()[b] {
                let detail = format!("dims {a} and {b} of shape {:?} have one letter, but not one size", x.shape());
                return Err(Error::shape(op, detail));
            }
            tensor = tensor.try_diagonal(0, a as i64, b as i64)?;
            let label = labels.remove(b);
            labels.remove(a);
            labels.push(label);
        }
        Ok(Factor { tensor, labels })
    }

    fn size(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|l| *l == label).map(|d| self.tensor.shape()[d])
    }

    /// Without the dims of size 1 that are larger in other factors: what is the same for all places needs no dim.
    fn without_ones(&mut self, sizes: &BTreeMap<Label, usize>) -> Result<()> {
        let dims: Vec<usize> =
            (0..self.labels.len()).filter(|&d| self.tensor.shape()[d] == 1 && sizes[&self.labels[d]] != 1).collect();
        for d in dims.into_iter().rev() {
            self.tensor = self.tensor.try_squeeze_dim(d as i64)?;
            self.labels.remove(d);
        }
        Ok(())
    }

    /// Summed over the labels that nobody else needs.
    fn summed(&mut self, needed: impl Fn(Label) -> bool) -> Result<()> {
        let dims: Vec<i64> = (0..self.labels.len()).filter(|&d| !needed(self.labels[d])).map(|d| d as i64).collect();
        if !dims.is_empty() {
            self.tensor = self.tensor.try_sum_dims(&dims, false)?;
            self.labels.retain(|&l| needed(l));
        }
        Ok(())
    }

    /// The dims in the order of these labels; one of size 1 where it has no such label.
    fn arranged(&self, order: &[Label]) -> Result<Tensor> {
        let own: Vec<i64> =
            order.iter().filter_map(|label| self.labels.iter().position(|l| l == label)).map(|d| d as i64).collect();
        let mut x = self.tensor.try_permute(&own)?;
        for (d, label) in order.iter().enumerate() {
            if !self.labels.contains(label) {
                x = x.try_unsqueeze(d as i64)?;
            }
        }
        Ok(x)
    }

    /// As a batch of matrices `[batch, rows, columns]`; without copying where it lies so, also transposed.
    fn matrices(&self, batch: &[Label], rows: &[Label], columns: &[Label]) -> Result<Tensor> {
        let count = |labels: &[Label]| labels.iter().map(|&l| self.size(l).unwrap_or(1)).product::<usize>();
        let (b, r, c) = (count(batch), count(rows), count(columns));
        let (shape, turned) = if batch.is_empty() { (vec![r, c], vec![c, r]) } else { (vec![b, r, c], vec![b, c, r]) };
        let upright = self.arranged(&[batch, rows, columns].concat())?;
        if let Ok(view) = upright.try_view(&shape) {
            return Ok(view);
        }
        match self.arranged(&[batch, columns, rows].concat())?.try_view(&turned) {
            Ok(view) => view.try_transpose(-1, -2),
            Err(_) => upright.try_reshape(&shape),
        }
    }
}

/// The first two places with one label.
fn twice(labels: &[Label]) -> Option<(usize, usize)> {
    (0..labels.len()).find_map(|b| labels[..b].iter().position(|l| *l == labels[b]).map(|a| (a, b)))
}

/// The product of two factors, summed over what they share and nobody else needs.
fn joined(a: &Factor, b: &Factor, needed: &dyn Fn(Label) -> bool) -> Result<Factor> {
    let pick = |from: &Factor, wanted: &dyn Fn(Label) -> bool| -> Vec<Label> {
        from.labels.iter().copied().filter(|&l| wanted(l)).collect()
    };
    let shared = |l: Label| b.labels.contains(&l);
    let batch = pick(a, &|l| shared(l) && needed(l));
    let inner = pick(a, &|l| shared(l) && !needed(l));
    let rows = pick(a, &|l| !shared(l));
    let columns = pick(b, &|l| !a.labels.contains(&l));
    let labels = [&batch[..], &rows, &columns].concat();
    if inner.is_empty() {
        let tensor = a.arranged(&labels)?.try_mul(&b.arranged(&labels)?)?;
        return Ok(Factor { tensor, labels });
    }
    let product = a.matrices(&batch, &rows, &inner)?.try_matmul(&b.matrices(&batch, &inner, &columns)?)?;
    let size = |&l: &Label| a.size(l).or_else(|| b.size(l)).expect("a label of one of both");
    let shape: Vec<usize> = labels.iter().map(size).collect();
    Ok(Factor { tensor: product.try_reshape(&shape)?, labels })
}

/// The two factors whose product takes the fewest multiplications; of equal ones the first.
fn cheapest(factors: &[Factor], sizes: &BTreeMap<Label, usize>) -> (usize, usize) {
    let cost = |i: usize, j: usize| {
        let more = factors[j].labels.iter().filter(|l| !factors[i].labels.contains(l));
        factors[i].labels.iter().chain(more).map(|l| sizes[l] as f64).product::<f64>()
    };
    let pairs = (0..factors.len()).flat_map(|i| (i + 1..factors.len()).map(move |j| (i, j)));
    pairs.min_by(|&(a, b), &(c, d)| cost(a, b).total_cmp(&cost(c, d))).expect("two factors")
}

/// The product of all factors, summed over all labels but those of the output.
fn contract(op: &'static str, mut factors: Vec<Factor>, output: &[Label]) -> Result<Tensor> {
    let mut sizes: BTreeMap<Label, usize> = BTreeMap::new();
    for factor in &factors {
        for (&label, &size) in factor.labels.iter().zip(factor.tensor.shape()) {
            match sizes.get(&label) {
                Some(&known) if known != size && known != 1 && size != 1 => {
                    let name = char::from_u32(label).filter(|_| label < ELLIPSIS).unwrap_or('.');
                    return Err(Error::shape(
                        op,
                        format!("dim `{name}` has {known} elements in one operand, {size} in another"),
                    ));
                }
                Some(&known) if known != 1 => {}
                _ => drop(sizes.insert(label, size)),
            }
        }
    }
    factors.iter_mut().try_for_each(|factor| factor.without_ones(&sizes))?;
    for i in 0..factors.len() {
        let (before, rest) = factors.split_at_mut(i);
        let (factor, behind) = rest.split_first_mut().expect("factor i");
        let elsewhere = |l: Label| before.iter().chain(behind.iter()).any(|f| f.labels.contains(&l));
        factor.summed(|l| output.contains(&l) || elsewhere(l))?;
    }
    while factors.len() > 1 {
        let (i, j) = cheapest(&factors, &sizes);
        let b = factors.remove(j);
        let a = factors.remove(i);
        let needed = |l: Label| output.contains(&l) || factors.iter().any(|f| f.labels.contains(&l));
        let product = joined(&a, &b, &needed)?;
        factors.insert(i, product);
    }
    factors[0].arranged(output)
}

fn einsum(equation: &str, operands: &[&Tensor]) -> Result<Tensor> {
    if operands.is_empty() {
        return refuse(equation, "needs at least one operand");
    }
    let Equation { terms, output } = parse(equation, operands)?;
    let factors = operands.iter().zip(&terms).map(|(x, labels)| Factor::new("einsum", x, labels));
    contract("einsum", factors.collect::<Result<_>>()?, &output)
}

/// Sums of products.
impl Tensor {
    /// The products of the operands' elements with the same letters, summed over all letters that the result does not have:
    /// `"ij,jk->ik"` is a matrix product. Letters `a` to `z` and `A` to `Z` name dims, `...` stands for any others, which are
    /// broadcast; a letter that comes twice in a term means its diagonal. Without `->` the result has the ellipsis' dims and then
    /// every letter that comes once, in the order of the alphabet.
    ///
    /// # Panics
    /// When the equation is not understood or does not fit the operands.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(Tensor::einsum("ij,jk->ik", &[&x, &x]).to_vec::<f32>()?, [7.0, 10.0, 15.0, 22.0]);
    /// assert_eq!(Tensor::einsum("ii", &[&x]).item::<f32>()?, 5.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[impl Borrow<Tensor>]) -> Tensor {
        let _caller = CallerScope::enter();
        or_panic(einsum(equation, &borrowed(operands)))
    }

    /// [`Tensor::einsum`], with mistakes as errors.
    ///
    /// # Errors
    /// A mistake in the arguments, or a failure of the device.
    #[track_caller]
    pub fn try_einsum(equation: &str, operands: &[impl Borrow<Tensor>]) -> Result<Tensor> {
        let _caller = CallerScope::enter();
        einsum(equation, &borrowed(operands))?.healthy()
    }
}

methods! {
    /// The products of both tensors' elements, summed over pairs of dims: `dims_self[i]` goes with `dims_other[i]`. The result has
    /// the other dims of this tensor, then those of the other one.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (x, y) = (Tensor::ones(&[2, 3, 4]), Tensor::ones(&[4, 3, 5]));
    /// let z = x.tensordot(&y, &[1, 2], &[1, 0]);
    /// assert_eq!((z.shape(), z.to_vec::<f32>()?[0]), (&[2, 5][..], 12.0));
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// When the dims do not exist or do not fit each other.
    pub fn tensordot / try_tensordot (&self, other: &Tensor, dims_self: &[i64], dims_other: &[i64]) -> Tensor {
        const OP: &str = "tensordot";
        if dims_self.len() != dims_other.len() {
            let detail = format!("{} dims do not fit {}: they go together in pairs", dims_self.len(), dims_other.len());
            return Err(Error::argument(OP, detail));
        }
        let rank = self.dim() as Label;
        let own: Vec<Label> = (0..rank).collect();
        let mut others: Vec<Label> = (rank..rank + other.dim() as Label).collect();
        let mut summed = Vec::new();
        for (&a, &b) in dims_self.iter().zip(dims_other) {
            let (a, b) = (dim_index(OP, a, self.dim())?, dim_index(OP, b, other.dim())?);
            if a >= self.dim() || b >= other.dim() || summed.contains(&(a as Label)) || others[b] < rank {
                let detail = format!("dims {dims_self:?} and {dims_other:?} name one twice, or one that is not there");
                return Err(Error::argument(OP, detail));
            }
            let (m, n) = (self.shape()[a], other.shape()[b]);
            if m != n && m != 1 && n != 1 {
                let detail = format!("dim {a} of {:?} and dim {b} of {:?} differ", self.shape(), other.shape());
                return Err(Error::shape(OP, detail));
            }
            others[b] = a as Label;
            summed.push(a as Label);
        }
        let output: Vec<Label> = own.iter().chain(&others).copied().filter(|l| !summed.contains(l)).collect();
        let factors = vec![Factor::new(OP, self, &own)?, Factor::new(OP, other, &others)?];
        contract(OP, factors, &output)
    }

    /// Kronecker's product: every element of this tensor times the whole other one. The tensor with fewer dims gets dims of size 1
    /// in front.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let (x, y) = (Tensor::from_slice(&[1.0f32, 2.0], &[2]), Tensor::from_slice(&[3.0f32, 4.0], &[2]));
    /// assert_eq!(x.kron(&y).to_vec::<f32>()?, [3.0, 4.0, 6.0, 8.0]);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn kron / try_kron (&self, other: &Tensor) -> Tensor {
        let rank = self.dim().max(other.dim());
        let padded = |x: &Tensor| {
            let missing = rank - x.dim();
            (0..rank).map(|d| if d < missing { 1 } else { x.shape()[d - missing] }).collect::<Vec<usize>>()
        };
        let (a, b) = (padded(self), padded(other));
        let outer: Vec<usize> = a.iter().flat_map(|&size| [size, 1]).collect();
        let inner: Vec<usize> = b.iter().flat_map(|&size| [1, size]).collect();
        let shape: Vec<usize> = a.iter().zip(&b).map(|(x, y)| x * y).collect();
        self.try_reshape(outer)?.try_mul(&other.try_reshape(inner)?)?.try_reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_start_with_the_cheapest_pair() {
        let device = crate::Device::reference();
        let factor = |labels: &[Label], shape: &[usize]| Factor {
            tensor: Tensor::full_on(shape, 1.0, crate::DType::F32, &device),
            labels: labels.to_vec(),
        };
        let factors = [factor(&[0, 1], &[100, 50]), factor(&[1, 2], &[50, 60]), factor(&[2], &[60])];
        let sizes = BTreeMap::from([(0, 100), (1, 50), (2, 60)]);
        assert_eq!(cheapest(&factors, &sizes), (1, 2));
    }

    #[test]
    fn equations_that_do_not_fit_are_refused() {
        let device = crate::Device::reference();
        let x = Tensor::full_on(&[2, 3], 1.0, crate::DType::F32, &device);
        for (equation, count) in
            [("ij,jk", 1), ("ijk", 1), ("i", 1), ("i.j", 1), ("ij->ii", 1), ("ij->k", 1), ("i2", 1), ("......", 1)]
        {
            assert!(Tensor::try_einsum(equation, &vec![&x; count]).is_err(), "{equation}");
        }
        assert!(Tensor::try_einsum("", &[] as &[Tensor]).is_err());
        assert!(Tensor::try_einsum("ij,ij", &[&x, &x.t()]).is_err());
    }
}
