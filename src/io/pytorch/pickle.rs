//! The part of Python's pickles that dictionaries of tensors are written with: data alone, nothing is called.
//!
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py>

use std::collections::HashMap;

use ::safetensors::tensor::Dtype;

/// Dims of a tensor, at most: as many as PyTorch computes with.
const MOST_DIMS: usize = 64;

/// A thing in a pickle. What holds others is a place in [`Pickle::holders`], so that neither depth nor rings do harm.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Int(i64),
    Text(&'a str),
    Tuple(usize),
    List(usize),
    /// Keys and values in turn.
    Dict(usize),
    /// Module and name of a function or class.
    Global(&'a str, &'a str),
    /// The name of a file of the archive, and what it holds.
    Storage(&'a str, Dtype),
    /// A place in [`Pickle::tensors`].
    Tensor(usize),
    /// What makes no difference here.
    Other,
}

/// A tensor in a file of the archive, in elements.
pub(super) struct Stored<'a> {
    pub key: &'a str,
    pub dtype: Dtype,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// All that a pickle holds.
#[derive(Default)]
pub(super) struct Pickle<'a> {
    pub holders: Vec<Vec<Item<'a>>>,
    pub tensors: Vec<Stored<'a>>,
}

type Outcome<T> = Result<T, String>;

fn damaged() -> String {
    "is damaged: its pickle makes no sense".into()
}

struct Machine<'a> {
    code: &'a [u8],
    stack: Vec<Item<'a>>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<usize, Item<'a>>,
    pickle: Pickle<'a>,
}

/// The object that a pickle describes, and what it is made of.
pub(super) fn read(code: &[u8]) -> Outcome<(Item<'_>, Pickle<'_>)> {
    let pickle = Pickle::default();
    let mut machine = Machine { code, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), pickle };
    loop {
        let [op] = machine.take()?;
        if op == b'.' {
            return Ok((machine.pop()?, machine.pickle));
        }
        machine.run(op)?;
    }
}

impl<'a> Machine<'a> {
    fn run(&mut self, op: u8) -> Outcome<()> {
        match op {
            // Protocol and frames.
            0x80 => drop(self.take::<1>()?),
            0x95 => drop(self.take::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.stack.push(Item::Other),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.number(op)?,
            b'X' | 0x8c | b'U' | b'T' | b'B' | b'C' => self.text(op)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Item::Global(module, name));
            }
            0x93 => {
                let (Item::Text(name), Item::Text(module)) = (self.pop()?, self.pop()?) else { return Err(damaged()) };
                self.stack.push(Item::Global(module, name));
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(op)?,
            b')' | b't' | 0x85 | 0x86 | 0x87 => self.tuple(op)?,
            b']' => {
                let place = self.hold(Vec::new());
                self.stack.push(Item::List(place));
            }
            b'}' => {
                let place = self.hold(Vec::new());
                self.stack.push(Item::Dict(place));
            }
            b'a' | b'e' | b's' | b'u' => self.fill(op)?,
            b'Q' => {
                let id = self.pop()?;
                let storage = storage(self.tuple_of(id)?)?;
                self.stack.push(storage);
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = self.made(function, arguments)?;
                self.stack.push(made);
            }
            // The state of an object, such as a `state_dict`'s `_metadata`.
            b'b' => drop(self.pop()?),
            _ => return Err(format!("has an instruction 0x{op:02x} in its pickle that no `state_dict` needs")),
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (head, rest) = self.code.split_first_chunk().ok_or_else(damaged)?;
        self.code = rest;
        Ok(*head)
    }

    fn bytes(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let (head, rest) = self.code.split_at_checked(length).ok_or_else(damaged)?;
        self.code = rest;
        Ok(head)
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let length = self.code.iter().position(|&b| b == b'\n').ok_or_else(damaged)?;
        let line = std::str::from_utf8(self.bytes(length)?).map_err(|_| damaged())?;
        self.bytes(1)?;
        Ok(line)
    }

    /// Not below the last mark.
    fn pop(&mut self) -> Outcome<Item<'a>> {
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) {
            return Err(damaged());
        }
        self.stack.pop().ok_or_else(damaged)
    }

    fn since_mark(&mut self) -> Outcome<Vec<Item<'a>>> {
        let mark = self.marks.pop().ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn number(&mut self, op: u8) -> Outcome<()> {
        let item = match op {
            b'K' => Item::Int(i64::from(self.take::<1>()?[0])),
            b'M' => Item::Int(i64::from(u16::from_le_bytes(self.take()?))),
            b'J' => Item::Int(i64::from(i32::from_le_bytes(self.take()?))),
            b'G' => {
                self.take::<8>()?;
                Item::Other
            }
            _ => {
                let length = usize::from(self.take::<1>()?[0]);
                let bytes = self.bytes(length)?;
                let negative = bytes.last().is_some_and(|&b| b >= 0x80);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                if length > 8 {
                    self.stack.push(Item::Other);
                    return Ok(());
                }
                wide[..length].copy_from_slice(bytes);
                Item::Int(i64::from_le_bytes(wide))
            }
        };
        self.stack.push(item);
        Ok(())
    }

    fn text(&mut self, op: u8) -> Outcome<()> {
        let length = match op {
            0x8c | b'U' | b'C' => usize::from(self.take::<1>()?[0]),
            _ => u32::from_le_bytes(self.take()?) as usize,
        };
        let bytes = self.bytes(length)?;
        self.stack.push(match std::str::from_utf8(bytes) {
            Ok(text) if op != b'B' && op != b'C' => Item::Text(text),
            _ => Item::Other,
        });
        Ok(())
    }

    fn remember(&mut self, op: u8) -> Outcome<()> {
        let at = match op {
            b'q' | b'h' => usize::from(self.take::<1>()?[0]),
            0x94 => self.memo.len(),
            _ => u32::from_le_bytes(self.take()?) as usize,
        };
        if op == b'h' || op == b'j' {
            self.stack.push(*self.memo.get(&at).ok_or_else(damaged)?);
        } else {
            self.memo.insert(at, *self.stack.last().ok_or_else(damaged)?);
        }
        Ok(())
    }

    fn tuple(&mut self, op: u8) -> Outcome<()> {
        let items = match op {
            b't' => self.since_mark()?,
            b')' => Vec::new(),
            _ => {
                let mut items = (0..op - 0x84).map(|_| self.pop()).collect::<Outcome<Vec<_>>>()?;
                items.reverse();
                items
            }
        };
        let place = self.hold(items);
        self.stack.push(Item::Tuple(place));
        Ok(())
    }

    fn hold(&mut self, items: Vec<Item<'a>>) -> usize {
        self.pickle.holders.push(items);
        self.pickle.holders.len() - 1
    }

    fn tuple_of(&self, item: Item<'a>) -> Outcome<&[Item<'a>]> {
        match item {
            Item::Tuple(place) => Ok(&self.pickle.holders[place]),
            _ => Err(damaged()),
        }
    }

    /// Puts items into the list or dictionary below them.
    fn fill(&mut self, op: u8) -> Outcome<()> {
        let items = match op {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.since_mark()?,
        };
        match (self.stack.last().ok_or_else(damaged)?, op) {
            (Item::List(place), b'a' | b'e') => self.pickle.holders[*place].extend(items),
            (Item::Dict(place), b's' | b'u') if items.len() % 2 == 0 => self.pickle.holders[*place].extend(items),
            (Item::Other, _) => {}
            _ => return Err(damaged()),
        }
        Ok(())
    }

    /// What a call would give, for those that `state_dict`s are made with.
    fn made(&mut self, function: Item<'a>, arguments: Item<'a>) -> Outcome<Item<'a>> {
        let Item::Global(module, name) = function else { return Ok(Item::Other) };
        let arguments = self.tuple_of(arguments)?;
        // A tensor that somebody gave attributes: a function, a type, and what the function is called with.
        let (module, name, arguments) = match (module, name, arguments) {
            ("torch._tensor", "_rebuild_from_type_v2", [Item::Global(module, name), _, arguments, ..]) => {
                (*module, *name, self.tuple_of(*arguments)?)
            }
            call => call,
        };
        Ok(match (module, name, arguments) {
            ("collections", "OrderedDict", []) | ("collections", "defaultdict", _) => Item::Dict(self.hold(Vec::new())),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", [tensor, ..]) => *tensor,
            (
                "torch._utils",
                "_rebuild_tensor_v2",
                [Item::Storage(key, dtype), Item::Int(offset), shape, strides, others @ ..],
            ) => {
                if let [_, _, Item::Dict(flags), ..] = others
                    && !self.pickle.holders[*flags].is_empty()
                {
                    return Err("holds a tensor of negated elements; save what `resolve_neg()` gives".into());
                }
                let offset = usize::try_from(*offset).map_err(|_| damaged())?;
                let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
                let stored = Stored { key, dtype: *dtype, offset, shape, strides };
                self.pickle.tensors.push(stored);
                Item::Tensor(self.pickle.tensors.len() - 1)
            }
            ("torch._utils", "_rebuild_tensor_v2", _) => return Err(damaged()),
            ("torch._utils" | "torch._tensor", name, _) if name.starts_with("_rebuild") => {
                return Err(format!("holds a tensor that PyTorch makes with `{name}`, which is not supported"));
            }
            _ => Item::Other,
        })
    }

    fn sizes(&self, item: Item<'a>) -> Outcome<Vec<usize>> {
        let size = |item: &Item<'_>| match item {
            Item::Int(n) => usize::try_from(*n).map_err(|_| damaged()),
            _ => Err(damaged()),
        };
        let sizes = self.tuple_of(item)?;
        if sizes.len() > MOST_DIMS {
            return Err(format!("holds a tensor of {} dims", sizes.len()));
        }
        sizes.iter().map(size).collect()
    }
}

/// A file of the archive: `("storage", type, key, device, length)`.
fn storage<'a>(id: &[Item<'a>]) -> Outcome<Item<'a>> {
    let [_, Item::Global(_, kind), Item::Text(key), ..] = id else { return Err(damaged()) };
    let dtype = match *kind {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        // The type stands in the call that makes the tensor.
        "UntypedStorage" => {
            return Err("holds a tensor of a type such as uint16 or float8, which is not supported".into());
        }
        other => return Err(format!("holds a {other}, which is not supported")),
    };
    Ok(Item::Storage(key, dtype))
}
