//! Chains of elementwise operations as one kernel, an interpreter: see `src/engine/fusion.rs`, which makes the programs.
//!
//! A step gives the bits of the operation's own kernel: all of these have one rounding at most (or several that no compiler
//! can put together in another way), and no step sees how another computes.

use smallvec::smallvec;

use super::{ElementwiseParams, FLOAT};
use crate::Result;
use crate::engine::fusion::{
    ChainParams, ChainStep, LEFT_SHIFT, MAX_ELEMENTS, OPERATION, Place, RIGHT_IS_NUMBER, RIGHT_SHIFT, TARGET_SHIFT,
    instruction_word,
};
use crate::engine::{Binding, Bound, Grid, HostCall, Kernel, ParamsLayout};
use crate::ops::{Attrs, Operation, cases};

/// What a step does with its operands l and r, and a number p; r is p where it has one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainOp {
    /// l + r
    Add,
    /// l - r
    Sub,
    /// l · r
    Mul,
    /// l / r
    Div,
    /// The larger one; NaN if either is.
    Maximum,
    /// The smaller one; NaN if either is.
    Minimum,
    /// -l
    Neg,
    /// |l|
    Abs,
    /// √l
    Sqrt,
    /// 2 · l · r
    DoubleProduct,
    /// 0 where r is at most 0, and l elsewhere.
    Gate,
    /// l where r is above 0, and p · l elsewhere.
    Leak,
    /// l
    Copy,
}

impl ChainOp {
    /// All of them, by the number that the kernel knows them by.
    const ALL: [ChainOp; 13] = {
        use ChainOp::*;
        [Add, Sub, Mul, Div, Maximum, Minimum, Neg, Abs, Sqrt, DoubleProduct, Gate, Leak, Copy]
    };

    /// By the definition.
    fn run(self, l: f64, r: f64, p: f64) -> f64 {
        match self {
            ChainOp::Add => l + r,
            ChainOp::Sub => l - r,
            ChainOp::Mul => l * r,
            ChainOp::Div => l / r,
            ChainOp::Maximum | ChainOp::Minimum if l.is_nan() || r.is_nan() => f64::NAN,
            ChainOp::Maximum => l.max(r),
            ChainOp::Minimum => l.min(r),
            ChainOp::Neg => -l,
            ChainOp::Abs => l.abs(),
            ChainOp::Sqrt => l.sqrt(),
            ChainOp::DoubleProduct => 2.0 * l * r,
            ChainOp::Gate if r <= 0.0 => 0.0,
            ChainOp::Leak if r.is_nan() || r <= 0.0 => p * l,
            ChainOp::Gate | ChainOp::Leak | ChainOp::Copy => l,
        }
    }

    /// How large the error of a step can be, from the same of its operands. Of a quotient only where the divisor is no
    /// difference, whose magnitude is larger than it: no program of the cases divides by one.
    fn magnitude(self, l: f64, r: f64, p: f64) -> f64 {
        match self {
            ChainOp::Sub => l + r,
            ChainOp::Maximum | ChainOp::Minimum => l.max(r),
            ChainOp::Neg | ChainOp::Gate => l,
            ChainOp::Leak => l.max(p.abs() * l),
            op => op.run(l, r, p),
        }
    }
}

/// How a kernel's dispatches can be steps of chains: the operation, and which of the bindings are its operands.
pub(crate) type ChainRule = (ChainOp, &'static [u8]);

impl ElementwiseParams {
    /// What a dispatch of floats with these params does as a step of a chain. Its result is binding `bindings` - 1 and lies
    /// in order, one element behind the other. Nothing where there are too many elements, or an operand lies in a way that
    /// chains don't take.
    pub fn step(&self, rule: ChainRule, bindings: usize) -> Option<ChainStep> {
        let result = Place { binding: bindings as u8 - 1, repeated: false, offset: self.offsets[3] };
        self.step_into(rule, result)
    }

    /// [`Self::step`] of a dispatch that changes its operand `binding` in place.
    pub fn step_in_place(&self, rule: ChainRule, binding: u8) -> Option<ChainStep> {
        let result = self.place(binding).filter(|place| !place.repeated)?;
        self.step_into(rule, result)
    }

    fn step_into(&self, (op, operands): ChainRule, result: Place) -> Option<ChainStep> {
        if self.n > MAX_ELEMENTS || self.rank > 1 {
            return None;
        }
        let right = match operands.get(1) {
            Some(&binding) => Some(self.place(binding)?),
            None => None,
        };
        let (left, number) = (self.place(operands[0])?, self.scalars[0]);
        Some(ChainStep { interpreter: &CHAIN, operation: op as u32, n: self.n, left, right, result, number })
    }

    /// Where an operand lies, if that is in order or one element for all.
    fn place(&self, binding: u8) -> Option<Place> {
        let step = if self.n == 1 { 1 } else { self.last_step(usize::from(binding)) };
        let offset = self.offsets[usize::from(binding)];
        (step <= 1).then_some(Place { binding, repeated: step == 0, offset })
    }
}

/// Runs chains.
pub(crate) static CHAIN: Kernel = Kernel {
    name: "chain.forward",
    source: &[include_str!("../../../shaders/elementwise/chain.wgsl")],
    entry: "main",
    bindings: &[
        Binding::Read("program"),
        Binding::Read("a"),
        Binding::Read("b"),
        Binding::Read("c"),
        Binding::Read("d"),
        Binding::ReadWrite("x"),
        Binding::ReadWrite("y"),
        Binding::ReadWrite("z"),
    ],
    params: ParamsLayout::of::<ChainParams>(),
    variants: FLOAT,
    grid: |params| {
        let p: &ChainParams = params.get();
        Grid { work: u64::from(p.n) * u64::from(p.steps) * 32, ..Grid::elements(p.n) }
    },
    reference: |call| twin(call, |op, l, r, p| f64::from(op.run(l, r, p) as f32)),
    // A quotient has 2.5 ulp; errors add up.
    bound: |params| Bound::Scaled {
        ulps: 3.0 * f64::from(params.get::<ChainParams>().steps),
        magnitude: |call| twin(call, |op, l, r, p| op.magnitude(l.abs(), r.abs(), p)),
    },
};

fn twin(call: &HostCall<'_>, run: fn(ChainOp, f64, f64, f64) -> f64) -> Result<()> {
    let p: &ChainParams = call.params();
    let program = call.words(0);
    let steps = program[2 * p.first as usize..][..2 * p.steps as usize].chunks_exact(2);
    let is_set = |mask: u32, register: usize| mask >> register & 1 == 1;
    for i in 0..p.n {
        let place = |register: usize| (p.offsets[register] + if is_set(p.repeated, register) { 0 } else { i }) as usize;
        let mut registers = [0.0; 8];
        for register in (0..7).filter(|&register| is_set(p.loaded, register)) {
            registers[register] = call.element(1 + register, place(register));
        }
        for step in steps.clone() {
            let number = f64::from(f32::from_bits(step[1]));
            let register = |shift: u32| (step[0] >> shift & 7) as usize;
            let right = if step[0] & RIGHT_IS_NUMBER != 0 { number } else { registers[register(RIGHT_SHIFT)] };
            let op = ChainOp::ALL[(step[0] & OPERATION) as usize];
            registers[register(TARGET_SHIFT)] = run(op, registers[register(LEFT_SHIFT)], right, number);
        }
        for register in (4..7).filter(|&register| is_set(p.stored, register)) {
            call.floats_mut(1 + register)[place(register)] = registers[register];
        }
    }
    Ok(())
}

/// The operation `chain_`: inputs are the program, what is read, and what is read and changed. The engine makes its
/// dispatches; here it can be tested.
pub(crate) static CHAIN_IN_PLACE: Operation = Operation {
    name: "chain_",
    kernels: &[&CHAIN],
    forward: |call| {
        let list = |name: &str| call.attrs().get_ints(name).iter().map(|&n| n as u32).collect::<Vec<_>>();
        let [n, first, steps, loaded, repeated, stored] = *list("params") else {
            unreachable!("the cases give six numbers")
        };
        let offsets = std::array::from_fn(|i| list("offsets").get(i).copied().unwrap_or(0));
        let params = ChainParams { n, first, steps, loaded, repeated, stored, padding: [0; 2], offsets };
        let inputs = call.inputs();
        call.dispatch(&CHAIN, 0, inputs, &params);
        inputs[5..].iter().for_each(|t| t.bump_version());
        Ok(smallvec![])
    },
    vjp: None,
    cases: chain_cases,
};

/// Operation, target, left, right (none: the number), number.
type Line = (ChainOp, u32, u32, Option<u32>, f32);

/// The words of a program, as values of a case's input.
const fn program<const STEPS: usize, const WORDS: usize>(lines: [Line; STEPS]) -> [f64; WORDS] {
    let mut words = [0.0; WORDS];
    let mut i = 0;
    while i < STEPS {
        let (op, target, left, right, number) = lines[i];
        words[2 * i] = instruction_word(op as u32, target, left, right) as f64;
        words[2 * i + 1] = number.to_bits() as f64;
        i += 1;
    }
    words
}

static EVERY: [f64; 28] = program([
    (ChainOp::Add, 4, 0, Some(1), 0.0),
    (ChainOp::Sub, 7, 4, Some(2), 0.0),
    (ChainOp::Mul, 7, 7, None, 0.75),
    (ChainOp::Div, 7, 7, Some(3), 0.0),
    (ChainOp::Maximum, 5, 7, Some(0), 0.0),
    (ChainOp::Minimum, 5, 5, Some(1), 0.0),
    (ChainOp::Neg, 6, 6, None, 0.0),
    (ChainOp::Maximum, 0, 6, None, 0.0),
    (ChainOp::Abs, 6, 6, None, 0.0),
    (ChainOp::Sqrt, 6, 6, None, 0.0),
    (ChainOp::Gate, 6, 6, Some(0), 0.0),
    (ChainOp::DoubleProduct, 7, 7, Some(1), 0.0),
    (ChainOp::Leak, 4, 7, Some(2), 0.125),
    (ChainOp::Copy, 1, 7, None, 0.0),
]);

/// x ← a + b, behind a step of another program.
static SECOND: [f64; 4] = program([(ChainOp::Mul, 4, 0, Some(0), 0.0), (ChainOp::Add, 4, 0, Some(1), 0.0)]);

/// x ← x + 1, y ← a · b, z ← max(y, d).
static THREE: [f64; 6] = program([
    (ChainOp::Add, 4, 4, None, 1.0),
    (ChainOp::Mul, 5, 0, Some(1), 0.0),
    (ChainOp::Maximum, 6, 5, Some(3), 0.0),
]);

fn chain_cases() -> Vec<cases::Case> {
    use cases::{ANY, AWAY_FROM_ZERO, Case, EXTREME, Fill, Input};
    let case = |name: &str, program: &'static [f64], n: usize, fill: Fill, params: [i64; 6]| {
        let words = Input::ints(&[program.len()], 0, 1).dtype(crate::DType::U32).fill(Fill::Values(program));
        let mut inputs = vec![words];
        inputs.extend((0..7).map(|_| Input::floats(&[n + 5]).fill(fill).constant()));
        let attrs = Attrs::new().ints("params", params).ints("offsets", [0, 1, 5, 3, 2, 0, 4]);
        Case::new(name, inputs).attrs(attrs).no_gradcheck()
    };
    let [x, y, z] = [1 << 4, 1 << 5, 1 << 6];
    vec![
        case("every operation", &EVERY, 100, AWAY_FROM_ZERO, [100, 0, 14, 0xf | z, 8, x | y | z]),
        case("one element", &EVERY, 1, AWAY_FROM_ZERO, [1, 0, 14, 0xf | z, 0, x | y | z]),
        case("second program", &SECOND, 64, ANY, [64, 1, 1, 3, 0, x]),
        case("in place", &THREE, 129, ANY, [129, 0, 3, 0xf | x, 1, x | y | z]),
        case("one of three", &THREE, 7, ANY, [7, 0, 3, 0xf | x, 0, z]),
        case("extreme", &THREE, 17, EXTREME, [17, 0, 3, 0xf | x, 0, x | y | z]),
        case("largest", &THREE, 4096, ANY, [4096, 0, 3, 0xf | x, 8, x | y | z]),
    ]
}
