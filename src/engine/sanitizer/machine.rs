//! Runs an entry point: all threads of a workgroup side by side, statement by statement, one workgroup after the other.

use std::rc::Rc;

use wgpu::naga;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{AddressSpace, Barrier, Block, BuiltIn, Expression, Function, Handle, Module, Span, Statement, SwitchValue};

use super::memory::{Memory, Race, Visit, Visitor};
use super::types::Types;

/// Rounds of one loop after which it is taken for one without end.
const MAX_ROUNDS: u32 = 1 << 20;

/// Which threads of the workgroup run.
pub(super) type Mask = Vec<bool>;

/// What an expression is for each thread.
#[derive(Clone)]
pub(super) enum Value {
    /// Number by number, and of each number thread by thread.
    Words(Rc<Vec<u32>>),
    Pointer(Rc<Pointer>),
}

impl Value {
    pub fn of(words: Vec<u32>) -> Value {
        Value::Words(Rc::new(words))
    }
}

/// A place in a variable.
pub(super) struct Pointer {
    pub root: Root,
    /// By thread: in bytes where the variable is shared, in words where it is a thread's own.
    pub at: Vec<u32>,
}

impl Pointer {
    /// Where it leads to, if that is the same for all threads.
    pub fn same(&self) -> Option<usize> {
        let first = self.at[0];
        self.at.iter().all(|at| *at == first).then_some(first as usize)
    }
}

#[derive(Clone, Copy)]
pub(super) enum Root {
    /// A variable of the module, by its place.
    Shared(usize),
    /// A variable of the function that runs at this depth.
    Own(usize, usize),
}

/// What a kernel does wrong, and where.
pub(super) struct Finding {
    pub message: String,
    pub place: Span,
    /// Where the text does what it collides with.
    pub earlier: Option<u32>,
}

pub(super) type Found<T> = Result<T, Finding>;

/// A function that runs.
pub(super) struct Frame<'m> {
    pub function: &'m Function,
    pub info: &'m FunctionInfo,
    pub values: Vec<Option<Value>>,
    pub arguments: Vec<Value>,
    pub variables: Vec<Vec<u32>>,
    result: Vec<u32>,
    /// The loops and switches that it is in.
    exits: Vec<Exit>,
}

/// Threads that have left a loop or a switch, or the rest of its round.
struct Exit {
    breaks: Mask,
    continues: Mask,
    is_loop: bool,
}

/// How a dispatch is launched.
pub(super) struct Launch {
    pub groups: [u32; 3],
    pub size: [u32; 3],
    /// Threads of a subgroup.
    pub subgroup: u32,
}

pub(super) struct Machine<'m> {
    pub module: &'m Module,
    info: &'m ModuleInfo,
    pub types: Types<'m>,
    variables: Vec<&'m naga::GlobalVariable>,
    /// By the module's variables.
    pub shared: Vec<Memory>,
    launch: Launch,
    pub lanes: usize,
    group: [u32; 3],
    /// Barriers that the workgroup has passed, for storage and for workgroup memory.
    epochs: [u32; 2],
    pub frames: Vec<Frame<'m>>,
    /// What runs just now.
    pub place: Span,
}

pub(super) fn any(mask: &[bool]) -> bool {
    mask.contains(&true)
}

impl<'m> Machine<'m> {
    pub fn new(module: &'m Module, info: &'m ModuleInfo, shared: Vec<Memory>, launch: Launch) -> Self {
        Machine {
            module,
            info,
            types: Types::new(module),
            variables: module.global_variables.iter().map(|(_, variable)| variable).collect(),
            shared,
            lanes: launch.size.iter().product::<u32>() as usize,
            launch,
            group: [0; 3],
            epochs: [0; 2],
            frames: Vec::new(),
            place: Span::UNDEFINED,
        }
    }

    /// Runs all workgroups of an entry point.
    pub fn run(&mut self, entry: usize) -> Found<()> {
        let [x, y, z] = self.launch.groups;
        for number in 0..x * y * z {
            self.group = [number % x, number / x % y, number / x / y];
            self.epochs = [0; 2];
            for (variable, memory) in self.variables.iter().zip(&mut self.shared) {
                if variable.space == AddressSpace::WorkGroup {
                    memory.forget();
                }
            }
            let function = &self.module.entry_points[entry].function;
            let arguments = function.arguments.iter().map(|argument| self.builtin(argument.binding.as_ref()));
            let arguments = arguments.collect::<Found<_>>()?;
            self.call(function, self.info.get_entry_point(entry), arguments, &vec![true; self.lanes])?;
        }
        Ok(())
    }

    /// The module's variables of each thread, which lie behind those of the entry point; none for those that are shared.
    fn private(&self) -> Found<Vec<Vec<u32>>> {
        let of = |variable: &&naga::GlobalVariable| -> Found<Vec<u32>> {
            let words = match (variable.space, variable.init) {
                (AddressSpace::Private, Some(init)) => self.constant(init)?,
                (AddressSpace::Private, None) => vec![0; self.types.leaves(variable.ty).len()],
                _ => Vec::new(),
            };
            Ok(words.iter().flat_map(|word| std::iter::repeat_n(*word, self.lanes)).collect())
        };
        self.variables.iter().map(of).collect()
    }

    fn builtin(&self, binding: Option<&naga::Binding>) -> Found<Value> {
        let Some(naga::Binding::BuiltIn(builtin)) = binding else {
            return Err(self.finding("an argument of the entry point is no builtin of its own"));
        };
        let ([sx, sy, _], [gx, gy, gz]) = (self.launch.size, self.group);
        let subgroup = self.launch.subgroup;
        let local = |lane: u32| [lane % sx, lane / sx % sy, lane / sx / sy];
        let of = |lane: u32| -> Vec<u32> {
            match builtin {
                BuiltIn::LocalInvocationIndex => vec![lane],
                BuiltIn::LocalInvocationId => local(lane).to_vec(),
                BuiltIn::GlobalInvocationId => {
                    let starts = [gx * sx, gy * sy, gz * self.launch.size[2]];
                    local(lane).iter().zip(starts).map(|(own, start)| own + start).collect()
                }
                BuiltIn::WorkGroupId => self.group.to_vec(),
                BuiltIn::NumWorkGroups => self.launch.groups.to_vec(),
                BuiltIn::SubgroupInvocationId => vec![lane % subgroup],
                BuiltIn::SubgroupId => vec![lane / subgroup],
                BuiltIn::SubgroupSize => vec![subgroup],
                BuiltIn::NumSubgroups => vec![(self.lanes as u32).div_ceil(subgroup)],
                _ => Vec::new(),
            }
        };
        let numbers = of(0).len();
        if numbers == 0 {
            return Err(self.finding(format!("compute shaders have no {builtin:?}")));
        }
        Ok(self.words(numbers, |number, lane| of(lane as u32)[number]))
    }

    pub fn finding(&self, message: impl Into<String>) -> Finding {
        Finding { message: message.into(), place: self.place, earlier: None }
    }

    /// A value, number by number and thread by thread.
    pub fn words(&self, numbers: usize, of: impl Fn(usize, usize) -> u32) -> Value {
        let mut words = Vec::with_capacity(numbers * self.lanes);
        for number in 0..numbers {
            words.extend((0..self.lanes).map(|lane| of(number, lane)));
        }
        Value::of(words)
    }

    pub fn frame(&mut self) -> &mut Frame<'m> {
        self.frames.last_mut().expect("a function runs")
    }

    /// Runs a function for some threads, and gives its result.
    fn call(
        &mut self,
        function: &'m Function,
        info: &'m FunctionInfo,
        arguments: Vec<Value>,
        mask: &[bool],
    ) -> Found<Value> {
        let numbers = |ty| self.types.leaves(ty).len();
        let result = vec![0; function.result.as_ref().map_or(0, |result| numbers(result.ty)) * self.lanes];
        let own = function.local_variables.iter().map(|(_, v)| vec![0; numbers(v.ty) * self.lanes]);
        let mut variables: Vec<Vec<u32>> = own.collect();
        if self.frames.is_empty() {
            variables.extend(self.private()?);
        }
        let values = vec![None; function.expressions.len()];
        self.frames.push(Frame { function, info, values, arguments, variables, result, exits: Vec::new() });
        for (handle, variable) in function.local_variables.iter() {
            if let Some(init) = variable.init {
                let words = self.number(init, mask)?;
                self.frame().variables[handle.index()].copy_from_slice(&words);
            }
        }
        self.block(&function.body, mask.to_vec())?;
        let frame = self.frames.pop().expect("the function's own");
        Ok(Value::of(frame.result))
    }

    /// Runs a block, and gives the threads that come to its end.
    fn block(&mut self, block: &'m Block, mut mask: Mask) -> Found<Mask> {
        for (statement, place) in block.span_iter() {
            if !any(&mask) {
                break;
            }
            self.place = *place;
            mask = self.statement(statement, mask)?;
        }
        Ok(mask)
    }

    fn statement(&mut self, statement: &'m Statement, mask: Mask) -> Found<Mask> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.compute(handle, &mask)?;
                    self.set(handle, value);
                }
            }
            Statement::Block(block) => return self.block(block, mask),
            Statement::If { condition, accept, reject } => {
                let condition = self.number(*condition, &mask)?;
                let holds =
                    |wanted| -> Mask { (0..mask.len()).map(|l| mask[l] && (condition[l] == 1) == wanted).collect() };
                let (yes, no) = (holds(true), holds(false));
                let (yes, no) = (self.block(accept, yes)?, self.block(reject, no)?);
                return Ok(yes.iter().zip(no).map(|(a, b)| *a || b).collect());
            }
            Statement::Switch { selector, cases } => return self.switch(*selector, cases, mask),
            Statement::Loop { body, continuing, break_if } => return self.repeat(body, continuing, *break_if, mask),
            Statement::Break => return Ok(self.leave(mask, |_| true, |exit| &mut exit.breaks)),
            Statement::Continue => return Ok(self.leave(mask, |exit| exit.is_loop, |exit| &mut exit.continues)),
            Statement::Return { value } => {
                if let Some(value) = value {
                    let words = self.number(*value, &mask)?;
                    merge(&mut self.frame().result, &words, &mask);
                }
                return Ok(vec![false; mask.len()]);
            }
            Statement::ControlBarrier(what) => self.barrier(*what, &mask)?,
            Statement::Store { pointer, value } => self.store(*pointer, *value, &mask)?,
            Statement::Atomic { pointer, fun, value, result } => self.atomic(*pointer, *fun, *value, *result, &mask)?,
            Statement::WorkGroupUniformLoad { pointer, result } => {
                self.barrier(Barrier::WORK_GROUP, &mask)?;
                let value = self.load(*pointer, &mask)?;
                self.set(*result, value);
                self.barrier(Barrier::WORK_GROUP, &mask)?;
            }
            Statement::Call { function, arguments, result } => {
                let given = arguments.iter().map(|argument| self.value(*argument, &mask)).collect::<Found<_>>()?;
                let place = self.place;
                let value = self.call(&self.module.functions[*function], &self.info[*function], given, &mask)?;
                self.place = place;
                if let Some(result) = result {
                    self.set(*result, value);
                }
            }
            Statement::SubgroupBallot { result, predicate } => self.ballot(*result, *predicate, &mask)?,
            Statement::SubgroupGather { mode, argument, result } => self.gather(*mode, *argument, *result, &mask)?,
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result } => {
                self.collect(*op, *collective_op, *argument, *result, &mask)?;
            }
            Statement::CooperativeStore { target, data } => self.store_matrix(*target, data, &mask)?,
            other => return Err(self.finding(format!("the sanitizer does not know the statement {other:?}"))),
        }
        Ok(mask)
    }

    /// Takes threads to the end of the innermost loop or switch that `is_it`.
    fn leave(&mut self, mask: Mask, is_it: fn(&Exit) -> bool, list: fn(&mut Exit) -> &mut Mask) -> Mask {
        let exit = self.frame().exits.iter_mut().rev().find(|exit| is_it(exit)).expect("validated: inside of one");
        list(exit).iter_mut().zip(&mask).for_each(|(left, now)| *left |= now);
        vec![false; mask.len()]
    }

    fn enter(&mut self, is_loop: bool) {
        let none = vec![false; self.lanes];
        self.frame().exits.push(Exit { breaks: none.clone(), continues: none, is_loop });
    }

    fn exit(&mut self) -> Exit {
        self.frame().exits.pop().expect("as many ends as beginnings")
    }

    fn switch(&mut self, selector: Handle<Expression>, cases: &'m [naga::SwitchCase], mask: Mask) -> Found<Mask> {
        let selector = self.number(selector, &mask)?;
        let word = |case: &naga::SwitchCase| match case.value {
            SwitchValue::I32(x) => Some(x.cast_unsigned()),
            SwitchValue::U32(x) => Some(x),
            SwitchValue::Default => None,
        };
        let known: Vec<u32> = cases.iter().filter_map(word).collect();
        let mut ends = vec![false; mask.len()];
        let mut falling = vec![false; mask.len()];
        self.enter(false);
        for case in cases {
            let is_chosen = |l: usize| match word(case) {
                Some(word) => selector[l] == word,
                None => !known.contains(&selector[l]),
            };
            let here = (0..mask.len()).map(|l| falling[l] || mask[l] && is_chosen(l)).collect();
            let after = self.block(&case.body, here)?;
            let to = if case.fall_through { &mut falling } else { &mut ends };
            to.iter_mut().zip(&after).for_each(|(to, after)| *to |= after);
            if !case.fall_through {
                falling.fill(false);
            }
        }
        let exit = self.exit();
        Ok((0..mask.len()).map(|l| ends[l] || exit.breaks[l]).collect())
    }

    fn repeat(
        &mut self,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
        mut mask: Mask,
    ) -> Found<Mask> {
        let place = self.place;
        self.enter(true);
        for _ in 0..MAX_ROUNDS {
            if !any(&mask) {
                return Ok(self.exit().breaks);
            }
            mask = self.block(body, mask)?;
            let exit = self.frame().exits.last_mut().expect("this loop");
            mask.iter_mut().zip(&mut exit.continues).for_each(|(goes, stopped)| *goes |= std::mem::take(stopped));
            mask = self.block(continuing, mask)?;
            if let Some(condition) = break_if {
                let ends = self.number(condition, &mask)?;
                let ended: Mask = (0..mask.len()).map(|l| mask[l] && ends[l] == 1).collect();
                mask.iter_mut().zip(&ended).for_each(|(goes, ended)| *goes &= !ended);
                self.leave(ended, |exit| exit.is_loop, |exit| &mut exit.breaks);
            }
        }
        self.place = place;
        Err(self.finding(format!("a loop has not ended after {MAX_ROUNDS} rounds")))
    }

    fn barrier(&mut self, what: Barrier, mask: &[bool]) -> Found<()> {
        if let Some(absent) = mask.iter().position(|runs| !runs) {
            let there = mask.iter().position(|runs| *runs).unwrap_or_default();
            return Err(self.finding(format!(
                "a barrier that thread {there} of workgroup {:?} comes to and thread {absent} does not: all threads of a \
                 workgroup must",
                self.group
            )));
        }
        self.epochs[0] += u32::from(what.contains(Barrier::STORAGE));
        self.epochs[1] += u32::from(what.contains(Barrier::WORK_GROUP));
        Ok(())
    }

    /// A thread that is about to touch a variable.
    pub fn visitor(&self, variable: usize, lane: usize) -> Visitor {
        let [x, y, _] = self.launch.groups;
        let [gx, gy, gz] = self.group;
        let is_storage = matches!(self.space(variable), AddressSpace::Storage { .. });
        Visitor {
            group: gx + x * (gy + y * gz),
            lane: lane as u32,
            epoch: self.epochs[usize::from(!is_storage)],
            place: self.place.to_range().map_or(0, |range| range.start as u32),
        }
    }

    pub fn space(&self, variable: usize) -> AddressSpace {
        self.variables[variable].space
    }

    pub fn name(&self, variable: usize) -> &'m str {
        self.variables[variable].name.as_deref().unwrap_or("?")
    }

    /// What a race is to the user.
    pub fn race(&self, variable: usize, at: u32, race: &Race) -> Finding {
        let does = |visit| match visit {
            Visit::Read => "reads",
            Visit::Write => "writes",
            Visit::Atomic => "changes with an atomic",
            Visit::Beside => "may write back with another number of its vector",
        };
        let who = |v: &Visitor| format!("thread {} of workgroup {}", v.lane, v.group);
        let (how, earlier) = &race.earlier;
        let (what, now) = &race.now;
        let needed = if earlier.group == now.group {
            "put a barrier for this memory between them"
        } else {
            "no barrier orders workgroups: use atomics, or two dispatches"
        };
        let name = self.name(variable);
        let message = format!(
            "a race: {} {} byte {at} of `{name}`, which {} {}; {needed}",
            who(now),
            does(*what),
            who(earlier),
            does(*how)
        );
        Finding { earlier: Some(earlier.place), ..self.finding(message) }
    }

    pub fn subgroup(&self) -> usize {
        self.launch.subgroup as usize
    }

    pub fn set(&mut self, handle: Handle<Expression>, value: Value) {
        self.frame().values[handle.index()] = Some(value);
    }
}

/// Copies words of the threads that run.
pub(super) fn merge(to: &mut [u32], from: &[u32], mask: &[bool]) {
    for (to, from) in to.chunks_exact_mut(mask.len()).zip(from.chunks_exact(mask.len())) {
        for lane in 0..mask.len() {
            if mask[lane] {
                to[lane] = from[lane];
            }
        }
    }
}
