//! The gradient of every operation against differences, in the middle of a graph, on the reference.

use lumigrad::Device;
use lumigrad::autograd::gradcheck;
use lumigrad::ops::REGISTRY;

#[test]
fn every_gradient_is_exact() {
    let device = Device::reference_unrounded();
    let (mut failures, mut checked) = (Vec::new(), 0);
    for operation in REGISTRY.iter().filter(|op| op.vjp.is_some()) {
        for case in (operation.cases)().iter().filter(|c| c.gradcheck) {
            let inputs = case.make_inputs(&device);
            // Constants (labels, masks) are captured; what is differentiated is passed.
            let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| case.inputs[i].differentiable).collect();
            let leaves: Vec<_> = wanted.iter().map(|&i| inputs[i].clone()).collect();
            let run = |moved: &[lumigrad::Tensor]| {
                let mut all = inputs.clone();
                wanted.iter().zip(moved).for_each(|(&i, t)| all[i] = t.clone());
                let outputs = case.run(operation, &device, &all)?;
                // All float outputs together, each with its own weight.
                let floats = outputs.iter().filter(|t| t.dtype().is_float());
                let mut flat = floats.map(|t| t.try_reshape([-1i64]).unwrap_or_else(|_| t.clone()));
                let first = flat.next().expect("a differentiable operation gives floats");
                flat.enumerate().try_fold(first, |sum, (i, t)| {
                    sum.try_sum()?.try_add(&t.try_sum()?.try_mul_scalar(i as f64 + 2.0)?)
                })
            };
            checked += 1;
            if let Err(error) = gradcheck(run, &leaves, Default::default()) {
                failures.push(format!("{} / {}: {error}", operation.name, case.name));
            }
        }
    }
    assert!(checked > 50, "only {checked} cases were checked");
    assert!(failures.is_empty(), "{} of {checked} cases:\n{}", failures.len(), failures.join("\n"));
}
