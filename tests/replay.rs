//! Replays that are encoded ahead, among other commands: the same bits as steps that are run.

mod common;

use common::{Gpu, Outcome, Test, same};
use lumigrad::{Capture, prelude::*};

const TESTS: &[(&str, Test)] = &[
    ("replays_keep_their_place_among_other_operations", among_others),
    ("no_chain_goes_past_a_replay", chains),
    ("steps_take_turns", turns),
    ("a_step_may_be_longer_than_a_submission", long_steps),
    ("joining_is_switched_between_replays", switched_joining),
    ("a_capture_may_go_before_its_replay_is_submitted", dropped),
    ("writes_from_the_host_come_in_between", host_writes),
    ("another_thread_is_profiled", profiled),
    ("several_threads_replay", threads),
];

fn main() {
    let gpu = Gpu::open();
    let trials = gpu.trials("gpu", TESTS);
    gpu.run(trials);
}

/// Numbers that a step changes in place, by products that can't be joined and by small operations that can.
struct State {
    values: Tensor,
    weight: Tensor,
    rounds: usize,
}

impl State {
    /// A step of `rounds` has about twice as many dispatches at least, joined ones counted as one.
    fn new(device: &Device, n: usize, rounds: usize) -> State {
        let rows: Vec<f32> = (0..n * n).map(|i| ((i * 7 % 11) as f32 - 5.0) / (4 * n) as f32).collect();
        let values = Tensor::full_on(&[n, 1], 0.5, DType::F32, device);
        State { values, weight: Tensor::from_slice_on(&rows, &[n, n], device), rounds }
    }

    fn step(&self, x: &Tensor) -> Result<Tensor> {
        no_grad(|| {
            for _ in 0..self.rounds {
                let product = self.weight.matmul(&self.values);
                self.values.mul_(0.75)?;
                self.values.add_(&(&product * 0.5))?;
                self.values.add_(x)?;
            }
            Ok(self.values.sum())
        })
    }

    /// The step number `i`, run or given to `capture`.
    fn run(&self, capture: Option<&mut Capture>, i: usize) -> Result<Tensor> {
        let x = Tensor::full_on(&[1], 0.125 + i as f64 / 64.0, DType::F32, self.values.device());
        match capture {
            Some(capture) => capture.run(&[&x], |inputs| self.step(&inputs[0])),
            None => self.step(&x),
        }
    }

    fn bits(&self) -> Result<Vec<u32>> {
        Ok(self.values.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect())
    }
}

/// Holds what `program` gives with a capture against what it gives without.
fn check(device: &Device, program: impl Fn(&dyn Fn() -> Option<Capture>) -> Result<Vec<u32>>) -> Outcome {
    let want = program(&|| None)?;
    let got = program(&|| Some(device.capture()))?;
    same("there is a result", want.is_empty(), false)?;
    same("bits", got, want)
}

/// Small operations on the same memory stand before and behind each replay, and would be joined without it.
fn among_others(device: &Device) -> Outcome {
    for rounds in [2, 20] {
        check(device, |capture| {
            let (state, mut capture, mut bits) = (State::new(device, 8, rounds), capture(), Vec::new());
            for i in 0..24 {
                no_grad(|| state.values.add_(0.5).and_then(|()| state.values.mul_(0.875)))?;
                let sum = state.run(capture.as_mut(), i)?;
                no_grad(|| state.values.mul_(&(&sum * 0.01)).and_then(|()| state.values.add_(0.25)))?;
                match i % 7 {
                    3 => device.flush(),
                    5 => bits.push(sum.item::<f32>()?.to_bits()),
                    _ => {}
                }
            }
            bits.extend(state.bits()?);
            Ok(bits)
        })?;
    }
    Ok(())
}

/// A step without inputs and results has nothing between it and the operations round it.
fn chains(device: &Device) -> Outcome {
    check(device, |capture| {
        let (state, mut capture) = (State::new(device, 8, 20), capture());
        let x = Tensor::full_on(&[1], 0.125, DType::F32, device);
        for i in 0..16 {
            let steps = |_: &[Tensor]| state.step(&x).map(drop);
            no_grad(|| state.values.add_(0.5).and_then(|()| state.values.mul_(0.875)))?;
            match &mut capture {
                Some(capture) => capture.run(&[], steps)?,
                None => steps(&[])?,
            }
            no_grad(|| state.values.mul_(0.75).and_then(|()| state.values.add_(0.25)))?;
            if i % 3 != 1 {
                device.flush();
            }
        }
        state.bits()
    })
}

fn turns(device: &Device) -> Outcome {
    check(device, |capture| {
        let (first, second) = (State::new(device, 8, 12), State::new(device, 5, 30));
        let (mut one, mut other) = (capture(), capture());
        for i in 0..16 {
            let sum = first.run(one.as_mut(), i)?;
            no_grad(|| second.values.add_(&(&sum * 0.001)))?;
            let sum = second.run(other.as_mut(), i)?;
            no_grad(|| first.values.add_(&(&sum * 0.001)))?;
        }
        Ok([first.bits()?, second.bits()?].concat())
    })
}

fn long_steps(device: &Device) -> Outcome {
    let before = device.counters();
    check(device, |capture| {
        let (state, mut capture) = (State::new(device, 8, 400), capture());
        for i in 0..7 {
            state.run(capture.as_mut(), i)?;
        }
        state.bits()
    })?;
    let after = device.counters();
    same("a step has many dispatches", after.dispatches - before.dispatches > 14 * 512, true)
}

fn switched_joining(device: &Device) -> Outcome {
    let result = check(device, |capture| {
        let (state, mut capture) = (State::new(device, 8, 20), capture());
        for i in 0..20 {
            device.set_fusion(i % 8 < 5);
            state.run(capture.as_mut(), i)?;
        }
        state.bits()
    });
    device.set_fusion(true);
    result
}

/// What the step used is given back and used again, while its last replay is not submitted yet.
fn dropped(device: &Device) -> Outcome {
    for replays in 1..4 {
        check(device, |capture| {
            let (state, mut capture) = (State::new(device, 8, 20), capture());
            for i in 0..3 + replays {
                no_grad(|| state.values.add_(0.5))?;
                state.run(capture.as_mut(), i)?;
            }
            drop(capture);
            let others: Vec<Tensor> =
                (0..8).map(|i| Tensor::full_on(&[8, 1], f64::from(i), DType::F32, device)).collect();
            let written: Vec<Tensor> = (0..8).map(|_| Tensor::from_slice_on(&[9.0f32; 8], &[8, 1], device)).collect();
            no_grad(|| others.iter().chain(&written).try_for_each(|other| state.values.add_(&(other * 0.25))))?;
            state.bits()
        })?;
    }
    Ok(())
}

fn host_writes(device: &Device) -> Outcome {
    check(device, |capture| {
        let (state, mut capture) = (State::new(device, 8, 20), capture());
        for i in 0..12 {
            state.run(capture.as_mut(), i)?;
            if i % 3 == 0 {
                let host = Tensor::from_slice_on(&[i as f32; 64], &[8, 8], device);
                no_grad(|| state.weight.mul_(0.5).and_then(|()| state.weight.add_(&(&host * 0.001))))?;
            }
        }
        state.bits()
    })
}

/// The times of another thread's dispatches are taken in the same submissions.
fn profiled(device: &Device) -> Outcome {
    let want = {
        let state = State::new(device, 8, 20);
        (0..30).try_for_each(|i| state.run(None, i).map(|_| ()))?;
        state.bits()?
    };
    let x = Tensor::full_on(&[300], 2.0, DType::F32, device);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| -> Result<(f32, usize)> {
            let (sums, profile) = device.profile(|| (0..40).map(|_| (&x * 3.0).sum()).collect::<Vec<_>>());
            Ok((sums[39].item()?, profile.kernels().iter().map(|kernel| kernel.calls).sum()))
        });
        let (state, mut capture) = (State::new(device, 8, 20), device.capture());
        for i in 0..30 {
            state.run(Some(&mut capture), i)?;
        }
        same("bits", state.bits()?, want)?;
        let (sum, calls) = other.join().map_err(|_| "a thread panicked")??;
        same("the sum of the other thread", sum, 1800.0)?;
        same("all of its dispatches", calls >= 80, true)
    })
}

fn threads(device: &Device) -> Outcome {
    let run = |n: usize, captured: bool| -> Result<Vec<u32>> {
        let (state, mut capture) = (State::new(device, n, 15), captured.then(|| device.capture()));
        for i in 0..25 {
            state.run(capture.as_mut(), i)?;
        }
        state.bits()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> =
            (5..8).map(|n| scope.spawn(move || Ok::<_, Error>((run(n, false)?, run(n, true)?)))).collect();
        for other in others {
            let (want, got) = other.join().map_err(|_| "a thread panicked")??;
            same("bits", got, want)?;
        }
        Ok(())
    })
}
