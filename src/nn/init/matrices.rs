//! Starting values that give a matrix a form.

use super::{Draws, Initialize, write_host};
use crate::{Error, Result};

/// The identity matrix, or as much of it as fits: inputs are kept by a linear layer.
///
/// # Errors
/// When there are not two dims.
pub fn eye_(target: &impl Initialize) -> Result<()> {
    let target = target.target();
    let (rows, columns) = two_dims("eye_", target.shape())?;
    let mut values = vec![0.0f32; rows * columns];
    (0..rows.min(columns)).for_each(|i| values[i * columns + i] = 1.0);
    write_host(&target, &values)
}

/// The Dirac delta for a convolution's weight of 3 to 5 dims: as many input channels as possible are kept, in each group.
/// PyTorch's default is one group.
///
/// # Errors
/// When there are fewer than three or more than five dims, or the first can't be divided by `groups`.
pub fn dirac_(target: &impl Initialize, groups: usize) -> Result<()> {
    let target = target.target();
    let shape = target.shape();
    if !(3..=5).contains(&shape.len()) {
        return Err(Error::shape("dirac_", format!("needs 3 to 5 dims; the shape is {shape:?}")));
    }
    if groups == 0 || !shape[0].is_multiple_of(groups) {
        return Err(Error::argument("dirac_", format!("{groups} groups can't share {} output channels", shape[0])));
    }
    let field: usize = shape[2..].iter().product();
    // The middle of every dim of the field, as one offset.
    let middle = shape[2..].iter().fold(0, |offset, &size| offset * size + size / 2);
    let of_group = shape[0] / groups;
    let mut values = vec![0.0f32; target.numel()];
    if field > 0 {
        for group in 0..groups {
            for d in 0..of_group.min(shape[1]) {
                values[((group * of_group + d) * shape[1] + d) * field + middle] = 1.0;
            }
        }
    }
    write_host(&target, &values)
}

/// In each column as many zeros as `sparsity·rows` rounded up, in random rows, and normally distributed numbers elsewhere
/// (Martens 2010). PyTorch's default `std` is 0.01.
///
/// # Errors
/// When there are not two dims, `sparsity` does not lie between 0 and 1, or `std` is negative.
pub fn sparse_(target: &impl Initialize, sparsity: f64, std: f64) -> Result<()> {
    let target = target.target();
    let (rows, columns) = two_dims("sparse_", target.shape())?;
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(Error::argument("sparse_", format!("sparsity must lie between 0 and 1, it is {sparsity}")));
    }
    if std.is_nan() || std < 0.0 {
        return Err(Error::argument("sparse_", format!("the standard deviation must not be negative, it is {std}")));
    }
    let zeros = (sparsity * rows as f64).ceil() as usize;
    let (draws, shuffles) = (Draws::new(&target), Draws::new(&target));
    let mut values: Vec<f32> = (0..rows * columns).map(|i| (std * draws.normal(i)) as f32).collect();
    for column in 0..columns {
        // The first steps of a Fisher-Yates shuffle pick the rows.
        let mut order: Vec<usize> = (0..rows).collect();
        for i in 0..zeros {
            let [word, ..] = shuffles.words(column, i as u32);
            let step = (u64::from(word) * (rows - i) as u64) >> 32;
            order.swap(i, i + step as usize);
            values[order[i] * columns + column] = 0.0;
        }
    }
    write_host(&target, &values)
}

/// A matrix with orthonormal rows or columns, whichever are fewer, times `gain` (Saxe, McClelland and Ganguli 2013), evenly
/// spread over all such matrices. Dims behind the second count as columns. PyTorch's default gain is 1.
///
/// The matrix is the Q of a QR decomposition of normals whose R has a positive diagonal, computed on the host in f64.
///
/// # Errors
/// When there are fewer than two dims.
pub fn orthogonal_(target: &impl Initialize, gain: f64) -> Result<()> {
    let target = target.target();
    let &[rows, ref rest @ ..] = target.shape() else {
        return Err(Error::shape("orthogonal_", "needs at least two dims, not a 0-d tensor"));
    };
    if rest.is_empty() {
        return Err(Error::shape("orthogonal_", format!("needs at least two dims; the shape is [{rows}]")));
    }
    if target.numel() == 0 {
        return Ok(());
    }
    let columns = target.numel() / rows;
    let draws = Draws::new(&target);
    let normals: Vec<f64> = (0..rows * columns).map(|i| draws.normal(i)).collect();
    // The vectors to be made orthonormal lie one behind the other.
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<f64> = (0..rows * columns)
        .map(|i| if rows < columns { normals[i] } else { normals[i % len * columns + i / len] })
        .collect();
    orthonormalize(&mut vectors, count, len);
    let values: Vec<f32> = (0..rows * columns)
        .map(|i| {
            let at = if rows < columns { i } else { i % columns * len + i / columns };
            (gain * vectors[at]) as f32
        })
        .collect();
    write_host(&target, &values)
}

/// Makes `count` vectors of `len` orthonormal by the modified process of Gram and Schmidt, run twice for each vector, which
/// is as good as Householder's (Giraud and others 2005). Lengths are positive, so R has a positive diagonal.
fn orthonormalize(vectors: &mut [f64], count: usize, len: usize) {
    for i in 0..count {
        let (done, rest) = vectors.split_at_mut(i * len);
        let vector = &mut rest[..len];
        for _ in 0..2 {
            for other in done.chunks_exact(len) {
                let share = dot(vector, other);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= share * o);
            }
        }
        let length = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|v| *v /= length);
    }
}

/// In eight sums, which a processor adds side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        (0..8).for_each(|i| sums[i] += x[i] * y[i]);
    }
    sums.iter().sum::<f64>() + rest
}

fn two_dims(op: &'static str, shape: &[usize]) -> Result<(usize, usize)> {
    match shape {
        &[rows, columns] => Ok((rows, columns)),
        _ => Err(Error::shape(op, format!("needs two dims; the shape is {shape:?}"))),
    }
}
