//! Devices that run kernels' texts on the host: see `src/engine/sanitizer`.

use crate::dtype::{DType, HostData};
use crate::engine::device::{Body, Device};
use crate::engine::sanitizer::{SUBGROUP, Sanitizer};
use crate::engine::shadow::Shadow;

/// An element of fresh memory, so that one that a kernel forgot to write shows.
const FRESH: u32 = 0x7fc5_0000;

/// What memory holds that nobody has written: NaN, and words that look like one.
pub(super) fn fresh(dtype: DType, len: usize) -> HostData {
    match dtype {
        DType::I32 => HostData::I32(vec![FRESH.cast_signed(); len]),
        DType::U32 | DType::Bool => HostData::U32(vec![FRESH; len]),
        _ => HostData::floats(dtype, vec![f64::NAN; len]),
    }
}

impl Device {
    /// A device that needs no GPU: it runs the WGSL text of every kernel on the host, thread by thread, and holds what it
    /// gives against the kernel's scalar twin. What could give other results on another driver is an error that names the
    /// kernel and the line: two threads that touch the same word with no barrier between them, elements outside of an
    /// array, memory that nobody has written, a barrier that only some threads come to, or an operation of a subgroup that
    /// only some of it do. A test for one's own kernels, and thousands of times slower than a GPU. Subgroups have 32 threads.
    ///
    /// ```
    /// use lumigrad::prelude::*;
    /// let sanitizer = Device::sanitizer();
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).to(&sanitizer);
    /// assert_eq!(x.sum().item::<f32>()?, 6.0);
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    pub fn sanitizer() -> Device {
        Device::sanitizer_with(SUBGROUP)
    }

    /// [`Device::sanitizer`] with subgroups of this many threads, which multiply matrices of 16 rows as a whole, those of up
    /// to 8 threads matrices of 8.
    ///
    /// # Panics
    /// When that is no power of two from 4 to 128, the sizes that WebGPU allows.
    pub fn sanitizer_with(subgroup: u32) -> Device {
        assert!(
            subgroup.is_power_of_two() && (4..=128).contains(&subgroup),
            "subgroups of {subgroup} threads: there are 4, 8, 16, 32, 64 or 128"
        );
        Device::on_host(true, Some(Box::new((Sanitizer::new(subgroup), Shadow::default()))))
    }

    /// Rows of the matrices that subgroups of a sanitizer multiply; 0 on other devices.
    pub(super) fn sanitized_matrices(&self) -> u32 {
        match self.sanitized_subgroup() {
            0 => 0,
            1..=8 => 8,
            _ => 16,
        }
    }

    /// Threads of a subgroup of a sanitizer; 0 on other devices.
    pub(super) fn sanitized_subgroup(&self) -> u32 {
        match &self.0.body {
            Body::Reference { sanitizer: Some(sanitizer), .. } => sanitizer.0.subgroup(),
            _ => 0,
        }
    }
}
