//! What threads do together: atomics, operations of subgroups, matrices that a subgroup holds as a whole.

use std::ops::Range;

use wgpu::naga;

use naga::{
    AtomicFunction, BinaryOperator, CollectiveOperation, CooperativeData, Expression, GatherMode, Handle, MathFunction,
    Scalar, SubgroupOperation,
};

use super::machine::{Found, Machine, Root, Value};
use super::memory::Visit;
use super::numbers;

type Expr = Handle<Expression>;

/// By subgroup: the thread that stands for it, and where each element of its matrix lies.
type Places = Vec<(usize, Vec<u32>)>;

impl Machine<'_> {
    pub fn atomic(
        &mut self,
        pointer: Expr,
        fun: AtomicFunction,
        value: Expr,
        result: Option<Expr>,
        mask: &[bool],
    ) -> Found<()> {
        let to = self.pointer(pointer, mask)?;
        let given = self.number(value, mask)?;
        let compare = match fun {
            AtomicFunction::Exchange { compare: Some(expected) } => Some(self.number(expected, mask)?),
            _ => None,
        };
        let Root::Shared(variable) = to.root else { return Err(self.finding("an atomic of a thread's own variable")) };
        let scalar = self.types.leaves_of(self.inner(pointer))[0].scalar;
        let lanes = self.lanes;
        let mut words = vec![0; lanes * if compare.is_some() { 2 } else { 1 }];
        for lane in (0..lanes).filter(|&lane| mask[lane]) {
            let old = self.touch(variable, to.at[lane], scalar, lane, Visit::Atomic)?;
            let by = |op| numbers::binary(op, scalar)(old, given[lane]);
            let math = |fun| numbers::math(fun, scalar, [old, given[lane], 0]).unwrap_or(old);
            let new = match fun {
                AtomicFunction::Add => by(BinaryOperator::Add),
                AtomicFunction::Subtract => by(BinaryOperator::Subtract),
                AtomicFunction::And => by(BinaryOperator::And),
                AtomicFunction::ExclusiveOr => by(BinaryOperator::ExclusiveOr),
                AtomicFunction::InclusiveOr => by(BinaryOperator::InclusiveOr),
                AtomicFunction::Min => math(MathFunction::Min),
                AtomicFunction::Max => math(MathFunction::Max),
                AtomicFunction::Exchange { .. } => match &compare {
                    Some(expected) if expected[lane] != old => old,
                    _ => given[lane],
                },
            };
            words[lane] = old;
            if let Some(expected) = &compare {
                words[lanes + lane] = u32::from(expected[lane] == old);
            }
            self.put(variable, (to.at[lane], scalar), new, lane, Visit::Atomic)?;
        }
        if let Some(result) = result {
            self.set(result, Value::of(words));
        }
        Ok(())
    }

    /// The threads of each subgroup.
    fn subgroups(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (lanes, size) = (self.lanes, self.subgroup());
        (0..lanes).step_by(size).map(move |first| first..(first + size).min(lanes))
    }

    /// A subgroup acts as a whole: which of its threads go together where their ways have parted is each device's own affair.
    fn together(&self, mask: &[bool]) -> Found<()> {
        for subgroup in self.subgroups() {
            let thread = |runs: bool| subgroup.clone().find(|&lane| mask[lane] == runs);
            if let (Some(there), Some(absent)) = (thread(true), thread(false)) {
                return Err(self.finding(format!(
                    "an operation of a subgroup that thread {there} comes to and thread {absent} of the same one does not"
                )));
            }
        }
        Ok(())
    }

    pub fn ballot(&mut self, result: Expr, predicate: Option<Expr>, mask: &[bool]) -> Found<()> {
        self.together(mask)?;
        let holds = match predicate {
            Some(predicate) => Some(self.number(predicate, mask)?),
            None => None,
        };
        let votes = |lane: usize| mask[lane] && holds.as_ref().is_none_or(|holds| holds[lane] == 1);
        let size = self.subgroup();
        let value = self.words(4, |number, lane| {
            let first = lane / size * size + number * 32;
            let bits = (first..(first + 32).min(lane / size * size + size)).enumerate();
            bits.filter(|(_, lane)| *lane < mask.len() && votes(*lane)).map(|(bit, _)| 1 << bit).sum()
        });
        self.set(result, value);
        Ok(())
    }

    pub fn gather(&mut self, mode: GatherMode, argument: Expr, result: Expr, mask: &[bool]) -> Found<()> {
        self.together(mask)?;
        let words = self.number(argument, mask)?;
        let index = match mode {
            GatherMode::BroadcastFirst | GatherMode::QuadSwap(_) => None,
            GatherMode::Broadcast(index)
            | GatherMode::Shuffle(index)
            | GatherMode::ShuffleDown(index)
            | GatherMode::ShuffleUp(index)
            | GatherMode::ShuffleXor(index)
            | GatherMode::QuadBroadcast(index) => Some(self.number(index, mask)?),
        };
        let mut from = vec![0; self.lanes];
        for subgroup in self.subgroups() {
            for lane in subgroup.clone().filter(|&lane| mask[lane]) {
                let own = (lane - subgroup.start) as u32;
                let given = index.as_ref().map_or(0, |index| index[lane]);
                let source = match mode {
                    GatherMode::BroadcastFirst => (0..).find(|&i| mask[subgroup.start + i as usize]).unwrap_or(own),
                    GatherMode::Broadcast(_) | GatherMode::Shuffle(_) => given,
                    GatherMode::ShuffleDown(_) => own.wrapping_add(given),
                    GatherMode::ShuffleUp(_) => own.wrapping_sub(given),
                    GatherMode::ShuffleXor(_) => own ^ given,
                    GatherMode::QuadBroadcast(_) => own / 4 * 4 + given,
                    GatherMode::QuadSwap(direction) => own ^ (direction as u32 + 1),
                };
                let source = subgroup.start + source as usize;
                if !subgroup.contains(&source) || !mask[source] {
                    return Err(self.finding(format!(
                        "thread {lane} asks its subgroup for what thread {source} has, which is not of it or does not run"
                    )));
                }
                from[lane] = source;
            }
        }
        let lanes = self.lanes;
        let value = self.words(words.len() / lanes, |number, lane| words[number * lanes + from[lane]]);
        self.set(result, value);
        Ok(())
    }

    pub fn collect(
        &mut self,
        op: SubgroupOperation,
        collective: CollectiveOperation,
        argument: Expr,
        result: Expr,
        mask: &[bool],
    ) -> Found<()> {
        self.together(mask)?;
        let words = self.number(argument, mask)?;
        let scalar = self.inner(argument).scalar().unwrap_or(Scalar::U32);
        let both = |a: u32, b: u32| match op {
            SubgroupOperation::All | SubgroupOperation::And => a & b,
            SubgroupOperation::Any | SubgroupOperation::Or => a | b,
            SubgroupOperation::Xor => a ^ b,
            SubgroupOperation::Add => numbers::binary(BinaryOperator::Add, scalar)(a, b),
            SubgroupOperation::Mul => numbers::binary(BinaryOperator::Multiply, scalar)(a, b),
            SubgroupOperation::Min => numbers::math(MathFunction::Min, scalar, [a, b, 0]).unwrap_or(a),
            SubgroupOperation::Max => numbers::math(MathFunction::Max, scalar, [a, b, 0]).unwrap_or(a),
        };
        let one = numbers::convert(Scalar::U32, scalar, u32::from(op == SubgroupOperation::Mul));
        let lanes = self.lanes;
        let mut found = vec![0; words.len()];
        for number in 0..words.len() / lanes {
            for subgroup in self.subgroups() {
                let active: Vec<usize> = subgroup.filter(|&lane| mask[lane]).collect();
                let of = |lane: &usize| words[number * lanes + *lane];
                for (i, lane) in active.iter().enumerate() {
                    let part = match collective {
                        CollectiveOperation::Reduce => &active[..],
                        CollectiveOperation::InclusiveScan => &active[..=i],
                        CollectiveOperation::ExclusiveScan => &active[..i],
                    };
                    found[number * lanes + lane] = part.iter().map(of).reduce(both).unwrap_or(one);
                }
            }
        }
        self.set(result, Value::of(found));
        Ok(())
    }

    /// The variable that a matrix of each subgroup lies in, and where, column by column.
    fn matrix_places(
        &mut self,
        (rows, columns): (usize, usize),
        data: &CooperativeData,
        mask: &[bool],
    ) -> Found<(usize, Scalar, Places)> {
        let pointer = self.pointer(data.pointer, mask)?;
        let stride = self.number(data.stride, mask)?;
        let Root::Shared(variable) = pointer.root else {
            return Err(self.finding("a subgroup's matrix in a thread's own variable"));
        };
        let scalar = self.types.leaves_of(self.inner(data.pointer))[0].scalar;
        let mut places = Vec::new();
        for subgroup in self.subgroups() {
            let first = subgroup.start;
            if subgroup.clone().all(|lane| !mask[lane]) {
                continue;
            }
            let is_same =
                |lane: usize| mask[lane] && (pointer.at[lane], stride[lane]) == (pointer.at[first], stride[first]);
            if let Some(lane) = subgroup.clone().find(|&lane| !is_same(lane)) {
                return Err(self.finding(format!(
                    "threads {first} and {lane} of a subgroup do not load or store the same matrix together"
                )));
            }
            let at = |column: usize, row: usize| {
                let (major, minor) = if data.row_major { (row, column) } else { (column, row) };
                pointer.at[first] + (major as u32 * stride[first] + minor as u32) * u32::from(scalar.width)
            };
            let of_column = |column| (0..rows).map(move |row| (column, row));
            places.push((first, (0..columns).flat_map(of_column).map(|(c, r)| at(c, r)).collect()));
        }
        Ok((variable, scalar, places))
    }

    /// A matrix that a subgroup loads: every thread has all of it here, column by column.
    pub fn load_matrix(
        &mut self,
        (rows, columns): (usize, usize),
        data: &CooperativeData,
        mask: &[bool],
    ) -> Found<Value> {
        let (variable, scalar, places) = self.matrix_places((rows, columns), data, mask)?;
        let lanes = self.lanes;
        let mut words = vec![0; rows * columns * lanes];
        for (first, at) in places {
            for (i, at) in at.into_iter().enumerate() {
                let word = self.touch(variable, at, scalar, first, Visit::Read)?;
                let end = (first + self.subgroup()).min(lanes);
                words[i * lanes..][first..end].fill(word);
            }
        }
        Ok(Value::of(words))
    }

    pub fn store_matrix(&mut self, target: Expr, data: &CooperativeData, mask: &[bool]) -> Found<()> {
        let shape = self.matrix_shape(target);
        let words = self.number(target, mask)?;
        let (variable, scalar, places) = self.matrix_places(shape, data, mask)?;
        for (first, at) in places {
            for (i, at) in at.into_iter().enumerate() {
                self.put(variable, (at, scalar), words[i * self.lanes + first], first, Visit::Write)?;
            }
        }
        Ok(())
    }

    fn matrix_shape(&self, matrix: Expr) -> (usize, usize) {
        match *self.inner(matrix) {
            naga::TypeInner::CooperativeMatrix { columns, rows, .. } => (rows as usize, columns as usize),
            _ => (0, 0),
        }
    }

    pub fn multiply_matrices(&mut self, a: Expr, b: Expr, c: Expr, mask: &[bool]) -> Found<Value> {
        let ((rows, inner), (_, columns)) = (self.matrix_shape(a), self.matrix_shape(b));
        let (a, b, c) = (self.number(a, mask)?, self.number(b, mask)?, self.number(c, mask)?);
        let Value::Words(product) = self.product((&a, &b), (rows, inner, columns)) else { unreachable!("a product") };
        let sum = |(x, y): (&u32, &u32)| (numbers::float(*x) + numbers::float(*y)).to_bits();
        Ok(Value::of(product.iter().zip(c.iter()).map(sum).collect()))
    }
}

#[cfg(test)]
mod tests {
    use crate::dtype::{DType, HostData};
    use crate::engine::Device;
    use crate::engine::kernel::{Binding, Bound, Dispatch, Grid, Kernel, Params, ParamsLayout, Variant};
    use crate::engine::sanitizer::Sanitizer;

    /// What 16 threads leave in `y`, in subgroups of this size.
    fn run(subgroup: u32, line: &str) -> Result<Vec<f64>, String> {
        let text = format!(
            "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
             @compute @workgroup_size(16)
             fn main(@builtin(local_invocation_index) local: u32) {{ {line} }}"
        );
        let kernel: &'static Kernel = Box::leak(Box::new(Kernel {
            name: "planted",
            source: Box::leak(Box::new([&*text.leak()])),
            entry: "main",
            bindings: &[Binding::Write("y")],
            params: ParamsLayout { size: 0, fields: &[] },
            variants: Variant::ONLY,
            grid: |_| Grid::groups(1),
            reference: |_| Ok(()),
            bound: |_| Bound::Exact,
        }));
        let y = Device::reference().alloc(DType::F32, 16).unwrap();
        let dispatch = Dispatch { kernel, variant: 0, operands: &[&y], params: Params(&[]), grid: Grid::groups(1) };
        let after = Sanitizer::new(subgroup).run(&dispatch, &[HostData::zeros(DType::F32, 16)]);
        let after = after.map_err(|error| error.to_string())?;
        let y = after[0].as_ref().expect("it is written");
        Ok((0..16).map(|i| y.get_f64(i)).collect())
    }

    #[test]
    fn subgroups_add_up_as_a_whole() {
        let line = "if local < 8u { y[local] = subgroupAdd(f32(local)); } else { y[local] = -1.0; }";
        assert_eq!(run(8, line).unwrap()[6..10], [28.0, 28.0, -1.0, -1.0]);
        let message = run(16, line).unwrap_err();
        assert!(message.contains("subgroup") && message.contains("thread 0 comes to and thread 8"), "{message}");
        let message = run(8, "if local != 9u { y[local] = subgroupShuffle(1.0, 0u); }").unwrap_err();
        assert!(message.contains("thread 8 comes to and thread 9"), "{message}");
        assert_eq!(run(8, "y[local] = subgroupExclusiveAdd(f32(local));").unwrap()[9..11], [8.0, 17.0]);
    }
}
