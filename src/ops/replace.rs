//! Another shader in a kernel's place, at run time.

use super::{Operation, REGISTRY, kernel, kernels};
use crate::doctor;
use crate::engine::reflect::check_replacement;
use crate::engine::{Comparison, Device, Kernel, shadow};
use crate::{Error, Result};

/// How a replacement is tried before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// It compiles, with the bindings, params and threads of the kernel that it stands for.
    #[default]
    Compiles,
    /// Then it is run on all cases of the operations that use the kernel, forward and back, and each dispatch is held
    /// against the scalar twin.
    Reference,
}

/// A replaced kernel. Dropping it brings the kernel's own shader back.
#[must_use = "the kernel's own shader is back as soon as this is dropped"]
pub struct Replacement {
    device: Device,
    kernel: &'static Kernel,
    variants: Vec<usize>,
    comparisons: Vec<Comparison>,
}

impl Replacement {
    /// Brings the kernel's own shader back.
    pub fn restore(self) {}

    /// Leaves the replacement where it is for as long as the device lives.
    pub fn keep(mut self) {
        self.variants.clear();
    }

    /// What [`Check::Reference`] found: one comparison for each output of each dispatch.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        for variant in &self.variants {
            self.device.replace_kernel(self.kernel, *variant, None);
        }
    }
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<_> = self.variants.iter().map(|v| self.kernel.label(*v)).collect();
        f.debug_tuple("Replacement").field(&labels).finish()
    }
}

impl Device {
    /// Runs `wgsl` in place of a built-in kernel on this device, until the result is dropped.
    ///
    /// `name` is a kernel's name, such as `mul.forward`, or that of one variant, as `mul.forward[f32]`; `lumigrad doctor`
    /// lists them. The text gets the variant's prelude (`elem`, `WG`, …) and may use `#import`.
    ///
    /// ```no_run
    /// use lumigrad::ops::{self, Check};
    /// use lumigrad::prelude::*;
    /// let device = Device::gpu()?;
    /// let own = ops::kernel("mul.forward").unwrap().source.concat();
    /// let faster = own.replace("x * y", "y * x");
    /// let replacement = device.replace_kernel_with("mul.forward[f32]", &faster, Check::Reference)?;
    /// // … the program runs with it …
    /// replacement.restore();
    /// # Ok::<(), lumigrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no kernel has the name, the device is a reference device, the text is not valid WGSL (with line and column) or
    /// is bound, launched or given params in another way ([`Error::Kernel`]), or a result is not the twin's
    /// ([`Error::Diverged`]). Then the kernel is as it was.
    pub fn replace_kernel_with(&self, name: &str, wgsl: &str, check: Check) -> Result<Replacement> {
        let (kernel, variants) = find(name)?;
        if self.is_reference() {
            let detail = format!("{self} runs scalar twins; there is no shader of {name:?} to replace");
            return Err(Error::argument("replace_kernel_with", detail));
        }
        for &variant in &variants {
            check_replacement(kernel, variant, wgsl)?;
        }
        for &variant in &variants {
            self.replace_kernel(kernel, variant, Some(wgsl.to_string()));
        }
        // From here on an error brings the kernel's own shader back.
        let mut replacement = Replacement { device: self.clone(), kernel, variants, comparisons: Vec::new() };
        if check == Check::Reference {
            replacement.comparisons = replacement.check()?;
        }
        Ok(replacement)
    }
}

/// A kernel and those of its variants that a name means.
fn find(name: &str) -> Result<(&'static Kernel, Vec<usize>)> {
    let (base, label) = match name.split_once('[') {
        Some((base, rest)) => (base, rest.strip_suffix(']')),
        None => (name, None),
    };
    let known = kernel(base).map(|kernel| {
        let named = |v: &usize| label.is_none_or(|label| kernel.variants[*v].label == label);
        (kernel, (0..kernel.variants.len()).filter(named).collect::<Vec<_>>())
    });
    match known {
        Some((kernel, variants)) if !variants.is_empty() => Ok((kernel, variants)),
        Some((kernel, _)) => {
            let labels: Vec<_> = (0..kernel.variants.len()).map(|v| kernel.label(v)).collect();
            Err(Error::argument(
                "replace_kernel_with",
                format!("no variant is named {name:?}; there are {}", labels.join(", ")),
            ))
        }
        None => {
            let similar: Vec<_> = kernels()
                .map(|(_, k)| k.name)
                .filter(|k| k.starts_with(base.split('.').next().unwrap_or(base)))
                .collect();
            let hint = if similar.is_empty() { String::new() } else { format!("; there are {}", similar.join(", ")) };
            Err(Error::argument("replace_kernel_with", format!("no kernel is named {name:?}{hint}")))
        }
    }
}

impl Replacement {
    /// Runs the cases of every operation that uses the kernel.
    fn check(&self) -> Result<Vec<Comparison>> {
        let uses = |operation: &&&'static Operation| operation.kernels.iter().any(|k| std::ptr::eq(*k, self.kernel));
        let mut all = Vec::new();
        for operation in REGISTRY.iter().filter(uses) {
            let found = doctor::compare(&self.device, operation)?;
            let own = found.into_iter().filter(|c| c.kernel == self.kernel.name);
            all.extend(own);
        }
        let labels: Vec<&str> = self.variants.iter().map(|v| self.kernel.variants[*v].label).collect();
        all.retain(|c| labels.contains(&c.variant));
        if let Some(failed) = all.iter().find(|c| !c.passed()) {
            let label = if failed.variant.is_empty() {
                failed.kernel.into()
            } else {
                format!("{}[{}]", failed.kernel, failed.variant)
            };
            return Err(shadow::diverged(label, failed));
        }
        if all.is_empty() {
            let detail =
                format!("no case runs {} on {}, so nothing is known of the replacement", self.kernel.name, self.device);
            return Err(Error::argument("replace_kernel_with", detail));
        }
        Ok(all)
    }
}
