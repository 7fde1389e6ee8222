//! Inputs that do not lie row by row, as PyTorch's did.

use lumigrad::{DType, Device, Tensor};
use serde_json::Value as Json;

use crate::values::{Value, upload};

/// A tensor with these elements that lies in memory as `layout` says; gaps hold what no result may depend on.
pub fn arranged(value: &Value, layout: &Json, device: &Device) -> Tensor {
    let tensor = match layout["kind"].as_str() {
        Some("permuted") => permuted(value, &sizes(&layout["perm"]), device),
        Some("strided") => strided(value, layout, device),
        Some("expanded") => expanded(value, &sizes(&layout["strides"]), device),
        other => panic!("unknown layout {other:?}"),
    };
    assert_eq!(tensor.shape(), value.shape, "the layout {layout} was built wrong");
    assert!(!tensor.is_contiguous(), "the layout {layout} came out contiguous");
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    let elements = tensor.to_vec::<f64>().unwrap();
    assert!(elements.iter().zip(&value.elements).all(same), "the layout {layout} was built wrong");
    tensor
}

/// A contiguous tensor whose dims were then exchanged.
fn permuted(value: &Value, order: &[usize], device: &Device) -> Tensor {
    let mut shape = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| shape[from] = value.shape[to]);
    let mut elements = Vec::with_capacity(value.elements.len());
    for_each_index(&shape, |index| {
        let moved: Vec<usize> = order.iter().map(|&from| index[from]).collect();
        elements.push(value.elements[offset(&moved, &row_strides(&value.shape))]);
    });
    let order: Vec<i64> = order.iter().map(|&d| d as i64).collect();
    upload(value.dtype, &elements, &shape, device).permute(&order)
}

/// Every so many elements of a larger storage.
fn strided(value: &Value, layout: &Json, device: &Device) -> Tensor {
    let strides = sizes(&layout["strides"]);
    let first = layout["offset"].as_u64().unwrap() as usize;
    let len = layout["storage_len"].as_u64().unwrap() as usize;
    let gap = if value.dtype == DType::F32 { f64::NAN } else { f64::from(i32::MIN) };
    let mut storage = vec![gap; len];
    let mut next = value.elements.iter();
    for_each_index(&value.shape, |index| storage[first + offset(index, &strides)] = *next.next().unwrap());
    // Dim d of the storage is as long as the stride of the dim before it holds strides of its own.
    let last = strides.len() - 1;
    let mut shape: Vec<usize> = (0..=last).map(|d| if d == 0 { len } else { strides[d - 1] } / strides[d]).collect();
    shape[last] *= strides[last];
    let x = upload(value.dtype, &storage, &shape, device);
    let x = x.slice_step(last as i64, first as i64, shape[last] as i64, strides[last]);
    let x = x.narrow(last as i64, 0, value.shape[last]);
    assert_eq!(x.strides(), strides, "the layout {layout} was built wrong");
    x.detach()
}

/// Rows or columns repeated with stride 0.
fn expanded(value: &Value, strides: &[usize], device: &Device) -> Tensor {
    let shape: Vec<usize> = value.shape.iter().zip(strides).map(|(&n, &s)| if s == 0 { 1 } else { n }).collect();
    let mut elements = Vec::new();
    for_each_index(&shape, |index| elements.push(value.elements[offset(index, &row_strides(&value.shape))]));
    upload(value.dtype, &elements, &shape, device).expand(&value.shape)
}

fn sizes(list: &Json) -> Vec<usize> {
    list.as_array().expect("a list of sizes").iter().map(|n| n.as_u64().unwrap() as usize).collect()
}

fn row_strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|d| shape[d + 1..].iter().product()).collect()
}

fn offset(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Calls `f` with every index, row by row.
fn for_each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for mut place in 0..shape.iter().product() {
        for d in (0..shape.len()).rev() {
            index[d] = place % shape[d];
            place /= shape[d];
        }
        f(&index);
    }
}
