//! What expressions are, and loads and stores.

use std::rc::Rc;

use wgpu::naga;

use naga::{AddressSpace, Expression, Handle, MathFunction, RelationalFunction, Scalar, TypeInner};

use super::machine::{Found, Machine, Pointer, Root, Value, merge};
use super::memory::Visit;
use super::numbers;

type Expr = Handle<Expression>;

impl<'m> Machine<'m> {
    /// The type of an expression of the function that runs.
    pub fn inner(&self, handle: Expr) -> &TypeInner {
        let frame = self.frames.last().expect("a function runs");
        self.types.inner(&frame.info[handle].ty)
    }

    fn scalar(&self, handle: Expr) -> Scalar {
        self.inner(handle).scalar().unwrap_or(Scalar::U32)
    }

    /// An expression that was computed before, or is one without a statement of its own.
    pub fn value(&mut self, handle: Expr, mask: &[bool]) -> Found<Value> {
        if let Some(known) = &self.frame().values[handle.index()] {
            return Ok(known.clone());
        }
        let value = self.compute(handle, mask)?;
        self.set(handle, value.clone());
        Ok(value)
    }

    /// The words of a value that is no pointer.
    pub fn number(&mut self, handle: Expr, mask: &[bool]) -> Found<Rc<Vec<u32>>> {
        match self.value(handle, mask)? {
            Value::Words(words) => Ok(words),
            Value::Pointer(_) => Err(self.finding("a pointer where a value must be")),
        }
    }

    pub fn pointer(&mut self, handle: Expr, mask: &[bool]) -> Found<Rc<Pointer>> {
        match self.value(handle, mask)? {
            Value::Pointer(pointer) => Ok(pointer),
            Value::Words(_) => Err(self.finding("a value where a pointer must be")),
        }
    }

    pub fn compute(&mut self, handle: Expr, mask: &[bool]) -> Found<Value> {
        let function = self.frame().function;
        let place = function.expressions.get_span(handle);
        if place.is_defined() {
            self.place = place;
        }
        let lanes = self.lanes;
        Ok(match function.expressions[handle] {
            Expression::Literal(literal) => match numbers::literal(literal) {
                Some(word) => self.words(1, |_, _| word),
                None => return Err(self.finding(format!("the sanitizer does not know the number {literal:?}"))),
            },
            Expression::Constant(constant) => {
                let words = self.constant(self.module.constants[constant].init)?;
                self.words(words.len(), |number, _| words[number])
            }
            Expression::ZeroValue(ty) => self.words(self.types.leaves(ty).len(), |_, _| 0),
            Expression::Compose { ref components, .. } => {
                let parts = components.iter().map(|part| self.number(*part, mask)).collect::<Found<Vec<_>>>()?;
                Value::of(parts.iter().flat_map(|part| part.iter().copied()).collect())
            }
            Expression::Splat { size, value } => {
                let word = self.number(value, mask)?;
                self.words(size as usize, |_, lane| word[lane])
            }
            Expression::Swizzle { size, vector, pattern } => {
                let words = self.number(vector, mask)?;
                self.words(size as usize, |number, lane| words[pattern[number] as usize * lanes + lane])
            }
            Expression::Access { base, index } => self.access(base, index, mask)?,
            Expression::AccessIndex { base, index } => self.access_index(base, index, mask)?,
            Expression::FunctionArgument(index) => self.frame().arguments[index as usize].clone(),
            Expression::GlobalVariable(variable) => {
                let root = match self.space(variable.index()) {
                    AddressSpace::Private => {
                        Root::Own(0, self.frames[0].function.local_variables.len() + variable.index())
                    }
                    _ => Root::Shared(variable.index()),
                };
                Value::Pointer(Rc::new(Pointer { root, at: vec![0; lanes] }))
            }
            Expression::LocalVariable(variable) => {
                let root = Root::Own(self.frames.len() - 1, variable.index());
                Value::Pointer(Rc::new(Pointer { root, at: vec![0; lanes] }))
            }
            Expression::Load { pointer } => self.load(pointer, mask)?,
            Expression::ArrayLength(array) => {
                let pointer = self.pointer(array, mask)?;
                let stride = self.types.step(self.inner(array)).map_or(1, |step| step.bytes);
                let Root::Shared(variable) = pointer.root else { return Err(self.finding("a length of no buffer")) };
                let bytes = self.shared[variable].bytes.len() as u32;
                self.words(1, |_, lane| (bytes - pointer.at[lane]) / stride)
            }
            Expression::Unary { op, expr } => {
                let (words, scalar) = (self.number(expr, mask)?, self.scalar(expr));
                Value::of(words.iter().map(|word| numbers::unary(op, scalar, *word)).collect())
            }
            Expression::Binary { op, left, right } => self.binary(op, left, right, mask)?,
            Expression::Select { condition, accept, reject } => {
                let [condition, yes, no] = [condition, accept, reject].map(|part| self.number(part, mask));
                let (condition, yes, no) = (condition?, yes?, no?);
                let of = |number: usize| if condition.len() == lanes { 0 } else { number * lanes };
                self.words(yes.len() / lanes, |number, lane| {
                    let chosen = if condition[of(number) + lane] == 1 { &yes } else { &no };
                    chosen[number * lanes + lane]
                })
            }
            Expression::Relational { fun, argument } => self.relational(fun, argument, mask)?,
            Expression::Math { fun, arg, arg1, arg2, .. } => self.math(fun, [Some(arg), arg1, arg2], mask)?,
            Expression::As { expr, kind, convert } => {
                let (words, from) = (self.number(expr, mask)?, self.scalar(expr));
                match convert {
                    Some(width) => {
                        let to = Scalar { kind, width };
                        Value::of(words.iter().map(|word| numbers::convert(from, to, *word)).collect())
                    }
                    None if from.width == 4 => Value::Words(words),
                    None => return Err(self.finding("the sanitizer knows no bitcast of f16")),
                }
            }
            Expression::CooperativeLoad { rows, columns, ref data, .. } => {
                self.load_matrix((rows as usize, columns as usize), data, mask)?
            }
            Expression::CooperativeMultiplyAdd { a, b, c } => self.multiply_matrices(a, b, c, mask)?,
            ref other => return Err(self.finding(format!("the sanitizer does not know {other:?}"))),
        })
    }

    /// A constant of the module, number by number.
    pub fn constant(&self, handle: Expr) -> Found<Vec<u32>> {
        match &self.module.global_expressions[handle] {
            Expression::Literal(literal) => numbers::literal(*literal).map(|word| vec![word]),
            Expression::Constant(constant) => return self.constant(self.module.constants[*constant].init),
            Expression::ZeroValue(ty) => Some(vec![0; self.types.leaves(*ty).len()]),
            Expression::Compose { components, .. } => {
                let parts = components.iter().map(|part| self.constant(*part)).collect::<Found<Vec<_>>>()?;
                Some(parts.concat())
            }
            Expression::Splat { size, value } => Some(self.constant(*value)?.repeat(*size as usize)),
            _ => None,
        }
        .ok_or_else(|| self.finding("the sanitizer does not know a constant of the module"))
    }

    fn access(&mut self, base: Expr, index: Expr, mask: &[bool]) -> Found<Value> {
        let index = self.number(index, mask)?;
        let of = self.value(base, mask)?;
        let Some(step) = self.types.step(self.inner(base)) else {
            return Err(self.finding("an index into something without elements"));
        };
        let count = |lane: usize| match (&of, step.count) {
            (_, Some(count)) => count,
            (Value::Pointer(pointer), None) => match pointer.root {
                Root::Shared(variable) => (self.shared[variable].bytes.len() as u32 - pointer.at[lane]) / step.bytes,
                Root::Own(..) => 0,
            },
            (Value::Words(_), None) => 0,
        };
        if let Some(lane) = (0..mask.len()).find(|&lane| mask[lane] && index[lane] >= count(lane)) {
            let name = match &of {
                Value::Pointer(pointer) => self.pointer_name(pointer),
                Value::Words(_) => "a value".into(),
            };
            let (index, count) = (index[lane].cast_signed(), count(lane));
            return Err(self.finding(format!("thread {lane} takes element {index} of {name}, which has {count}")));
        }
        Ok(match of {
            Value::Pointer(pointer) => {
                let unit = if matches!(pointer.root, Root::Shared(_)) { step.bytes } else { step.words };
                let at = |lane: usize| if mask[lane] { pointer.at[lane] + index[lane] * unit } else { 0 };
                Value::Pointer(Rc::new(Pointer { root: pointer.root, at: (0..mask.len()).map(at).collect() }))
            }
            Value::Words(words) => {
                let lanes = self.lanes;
                let first = |lane: usize| if mask[lane] { (index[lane] * step.words) as usize } else { 0 };
                self.words(step.words as usize, |number, lane| words[(first(lane) + number) * lanes + lane])
            }
        })
    }

    fn pointer_name(&self, pointer: &Pointer) -> String {
        match pointer.root {
            Root::Shared(variable) => format!("`{}`", self.name(variable)),
            Root::Own(depth, variable) => {
                let named = self.frames[depth].function.local_variables.iter().nth(variable);
                format!("`{}`", named.and_then(|(_, v)| v.name.as_deref()).unwrap_or("?"))
            }
        }
    }

    fn access_index(&mut self, base: Expr, index: u32, mask: &[bool]) -> Found<Value> {
        let of = self.value(base, mask)?;
        let Some((bytes, words, count)) = self.types.member(self.inner(base), index) else {
            return Err(self.finding("a member of something without members"));
        };
        Ok(match of {
            Value::Pointer(pointer) => {
                let further = if matches!(pointer.root, Root::Shared(_)) { bytes } else { words };
                let at = pointer.at.iter().map(|at| at + further).collect();
                Value::Pointer(Rc::new(Pointer { root: pointer.root, at }))
            }
            Value::Words(all) => {
                let (first, count) = (words as usize * self.lanes, count as usize * self.lanes);
                Value::of(all[first..first + count].to_vec())
            }
        })
    }

    /// How a variable is touched by an access that is not `visit` alone.
    fn visit(&self, pointer: Expr, visit: Visit) -> Visit {
        let is_atomic = match *self.inner(pointer) {
            TypeInner::Pointer { base, .. } => matches!(self.types.of(base), TypeInner::Atomic(_)),
            _ => false,
        };
        if is_atomic { Visit::Atomic } else { visit }
    }

    pub fn load(&mut self, pointer: Expr, mask: &[bool]) -> Found<Value> {
        let to = self.pointer(pointer, mask)?;
        let leaves = self.types.leaves_of(self.inner(pointer));
        let lanes = self.lanes;
        let variable = match to.root {
            Root::Own(depth, variable) => {
                let held = &self.frames[depth].variables[variable];
                return Ok(
                    self.words(leaves.len(), |number, lane| held[(to.at[lane] as usize + number) * lanes + lane])
                );
            }
            Root::Shared(variable) => variable,
        };
        let visit = self.visit(pointer, Visit::Read);
        let mut words = vec![0; leaves.len() * lanes];
        for lane in (0..lanes).filter(|&lane| mask[lane]) {
            for (number, leaf) in leaves.iter().enumerate() {
                words[number * lanes + lane] = self.touch(variable, to.at[lane] + leaf.at, leaf.scalar, lane, visit)?;
            }
        }
        Ok(Value::of(words))
    }

    /// Reads a number of a shared variable.
    pub fn touch(&mut self, variable: usize, at: u32, scalar: Scalar, lane: usize, visit: Visit) -> Found<u32> {
        if self.space(variable) == AddressSpace::Uniform {
            return Ok(self.shared[variable].bits(at, scalar.width));
        }
        let visitor = self.visitor(variable, lane);
        let memory = &mut self.shared[variable];
        if !memory.has(at, scalar.width) {
            return Err(self.outside(variable, at, lane));
        }
        match memory.visit(at, scalar.width, visit, visitor) {
            Err(race) => Err(self.race(variable, at, &race)),
            Ok(false) => Err(self.finding(format!(
                "thread {lane} reads byte {at} of `{}`, which nobody has written",
                self.name(variable)
            ))),
            Ok(true) => Ok(numbers::widened(scalar, self.shared[variable].bits(at, scalar.width))),
        }
    }

    /// Writes a number of a shared variable.
    pub fn put(
        &mut self,
        variable: usize,
        (at, scalar): (u32, Scalar),
        word: u32,
        lane: usize,
        visit: Visit,
    ) -> Found<()> {
        let visitor = self.visitor(variable, lane);
        if !self.shared[variable].has(at, scalar.width) {
            return Err(self.outside(variable, at, lane));
        }
        let bits = numbers::narrowed(scalar, word);
        let written = self.shared[variable].write(at, scalar.width, bits, visit, visitor);
        written.map_err(|race| self.race(variable, at, &race))
    }

    fn outside(&self, variable: usize, at: u32, lane: usize) -> super::machine::Finding {
        let (name, bytes) = (self.name(variable), self.shared[variable].bytes.len());
        self.finding(format!("thread {lane} goes to byte {at} of `{name}`, which has {bytes}"))
    }

    pub fn store(&mut self, pointer: Expr, value: Expr, mask: &[bool]) -> Found<()> {
        let words = self.number(value, mask)?;
        let to = self.pointer(pointer, mask)?;
        let lanes = self.lanes;
        let variable = match to.root {
            Root::Own(depth, variable) => {
                let held = &mut self.frames[depth].variables[variable];
                if let Some(first) = to.same() {
                    merge(&mut held[first * lanes..][..words.len()], &words, mask);
                    return Ok(());
                }
                for lane in (0..lanes).filter(|&lane| mask[lane]) {
                    for number in 0..words.len() / lanes {
                        held[(to.at[lane] as usize + number) * lanes + lane] = words[number * lanes + lane];
                    }
                }
                return Ok(());
            }
            Root::Shared(variable) => variable,
        };
        let visit = self.visit(pointer, Visit::Write);
        let vector = self.vector_of(pointer, mask)?;
        let leaves = self.types.leaves_of(self.inner(pointer));
        for lane in (0..lanes).filter(|&lane| mask[lane]) {
            for (number, leaf) in leaves.iter().enumerate() {
                let word = words[number * lanes + lane];
                self.put(variable, (to.at[lane] + leaf.at, leaf.scalar), word, lane, visit)?;
            }
            // A write of one number of a vector may be one of the whole vector, as it is on Metal and D3D:
            // https://www.w3.org/TR/WGSL/#component-reference-from-vector-reference
            let Some((vector, size, scalar)) = &vector else { continue };
            let places = (0..*size).map(|i| vector.at[lane] + i * u32::from(scalar.width));
            for place in places.filter(|place| *place != to.at[lane]) {
                let visitor = self.visitor(variable, lane);
                let visited = self.shared[variable].visit(place, scalar.width, Visit::Beside, visitor);
                visited.map_err(|race| self.race(variable, place, &race))?;
            }
        }
        Ok(())
    }

    /// The vector that a pointer leads to one number of: where it begins and what it holds.
    fn vector_of(&mut self, pointer: Expr, mask: &[bool]) -> Found<Option<(Rc<Pointer>, u32, Scalar)>> {
        let (Expression::Access { base, .. } | Expression::AccessIndex { base, .. }) =
            self.frame().function.expressions[pointer]
        else {
            return Ok(None);
        };
        let vector = match *self.inner(base) {
            TypeInner::Pointer { base, .. } => self.types.of(base),
            ref other => other,
        };
        Ok(match *vector {
            TypeInner::Vector { size, scalar } | TypeInner::ValuePointer { size: Some(size), scalar, .. } => {
                Some((self.pointer(base, mask)?, size as u32, scalar))
            }
            _ => None,
        })
    }

    fn binary(&mut self, op: naga::BinaryOperator, left: Expr, right: Expr, mask: &[bool]) -> Found<Value> {
        let (a, b) = (self.number(left, mask)?, self.number(right, mask)?);
        let scalar = self.scalar(left);
        if op == naga::BinaryOperator::Multiply {
            let shapes = [left, right].map(|side| match *self.inner(side) {
                TypeInner::Matrix { columns, rows, .. } => (rows as usize, columns as usize, true),
                TypeInner::Vector { size, .. } => (size as usize, size as usize, false),
                _ => (1, 1, false),
            });
            let [(rows, inner, is_matrix), (_, columns, is_other)] = shapes;
            let of_scalar = a.len() == self.lanes || b.len() == self.lanes;
            if (is_matrix || is_other) && !of_scalar {
                let (rows, inner) = if is_matrix { (rows, inner) } else { (1, rows) };
                let columns = if is_other { columns } else { 1 };
                return Ok(self.product((&a, &b), (rows, inner, columns)));
            }
        }
        let run = numbers::binary(op, scalar);
        let mut words = vec![0; a.len().max(b.len())];
        let lanes = self.lanes;
        for (number, words) in words.chunks_exact_mut(lanes).enumerate() {
            // A number beside a vector goes with each of the vector's.
            let of = |side: &[u32]| if side.len() == lanes { 0 } else { number * lanes };
            let (a, b) = (&a[of(&a)..][..lanes], &b[of(&b)..][..lanes]);
            for lane in 0..lanes {
                words[lane] = run(a[lane], b[lane]);
            }
        }
        Ok(Value::of(words))
    }

    /// The product of matrices that lie column by column.
    pub fn product(&self, (a, b): (&[u32], &[u32]), (rows, inner, columns): (usize, usize, usize)) -> Value {
        let lanes = self.lanes;
        let number = |of: &[u32], i: usize, lane: usize| numbers::float(of[i * lanes + lane]);
        self.words(rows * columns, |i, lane| {
            let (row, column) = (i % rows, i / rows);
            let term = |k: usize| number(a, k * rows + row, lane) * number(b, column * inner + k, lane);
            (0..inner).map(term).sum::<f32>().to_bits()
        })
    }

    fn relational(&mut self, fun: RelationalFunction, argument: Expr, mask: &[bool]) -> Found<Value> {
        let words = self.number(argument, mask)?;
        let lanes = self.lanes;
        let of = |lane: usize| words.iter().skip(lane).step_by(lanes);
        Ok(match fun {
            RelationalFunction::All => self.words(1, |_, lane| u32::from(of(lane).all(|word| *word == 1))),
            RelationalFunction::Any => self.words(1, |_, lane| u32::from(of(lane).any(|word| *word == 1))),
            RelationalFunction::IsNan => Value::of(words.iter().map(|w| numbers::float(*w).is_nan().into()).collect()),
            RelationalFunction::IsInf => {
                Value::of(words.iter().map(|w| numbers::float(*w).is_infinite().into()).collect())
            }
        })
    }

    fn math(&mut self, fun: MathFunction, arguments: [Option<Expr>; 3], mask: &[bool]) -> Found<Value> {
        let first = arguments[0].expect("functions have an argument");
        let scalar = self.scalar(first);
        let mut given = Vec::new();
        for argument in arguments.into_iter().flatten() {
            given.push(self.number(argument, mask)?);
        }
        let lanes = self.lanes;
        let numbers_of = given[0].len() / lanes;
        let float = |of: &[u32], number: usize, lane: usize| numbers::float(of[number * lanes + lane]);
        let squares = |of: &[u32], lane| (0..numbers_of).map(|n| float(of, n, lane).powi(2)).sum::<f32>();
        match fun {
            MathFunction::Dot => {
                let times = numbers::binary(naga::BinaryOperator::Multiply, scalar);
                let plus = numbers::binary(naga::BinaryOperator::Add, scalar);
                Ok(self.words(1, |_, lane| {
                    let terms = (0..numbers_of).map(|n| n * lanes + lane).map(|i| times(given[0][i], given[1][i]));
                    terms.reduce(plus).unwrap_or(0)
                }))
            }
            MathFunction::Length => Ok(self.words(1, |_, lane| squares(&given[0], lane).sqrt().to_bits())),
            MathFunction::Normalize => Ok(self
                .words(numbers_of, |n, lane| (float(&given[0], n, lane) / squares(&given[0], lane).sqrt()).to_bits())),
            MathFunction::Transpose => {
                let TypeInner::Matrix { columns, rows, .. } = *self.inner(first) else {
                    return Err(self.finding("a transpose of no matrix"));
                };
                let (rows, columns) = (rows as usize, columns as usize);
                Ok(self.words(rows * columns, |i, lane| given[0][(i % columns * rows + i / columns) * lanes + lane]))
            }
            _ => {
                // An argument may be a number where the first is a vector.
                let word = |i: usize, at: usize| match given.get(i) {
                    Some(words) if words.len() > at => words[at],
                    Some(words) => words[at % words.len()],
                    None => 0,
                };
                let of = |i| numbers::math(fun, scalar, [word(0, i), word(1, i), word(2, i)]);
                let words: Option<Vec<u32>> = (0..given[0].len()).map(of).collect();
                words.map(Value::of).ok_or_else(|| self.finding(format!("the sanitizer does not know {fun:?}")))
            }
        }
    }
}
