//! Buffers and workgroup memory, with what is known of each word: who touched it last, and whether anybody wrote it.

/// Who touches a word, and from where in the text.
#[derive(Clone, Copy)]
pub(super) struct Visitor {
    /// Which workgroup of the dispatch.
    pub group: u32,
    /// Which thread of the workgroup.
    pub lane: u32,
    /// How many barriers for this memory the workgroup has passed.
    pub epoch: u32,
    /// Where in the text.
    pub place: u32,
}

/// What a visitor does to a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    Read,
    Write,
    /// Reads and writes at once.
    Atomic,
    /// Writes another number of the same vector, and may write this one back with it.
    Beside,
}

/// A word that two threads touch with nothing between them that would order it.
pub(super) struct Race {
    pub earlier: (Visit, Visitor),
    pub now: (Visit, Visitor),
}

impl Race {
    fn is_of_writes(&self) -> bool {
        (self.earlier.0, self.now.0) == (Visit::Write, Visit::Write)
    }
}

#[derive(Clone, Copy, Default)]
struct Word {
    written: Option<(Visit, Visitor)>,
    /// Another thread of that workgroup, which wrote the same since its last barrier.
    written_too: Option<Visitor>,
    /// The first of the last workgroup that read since its last barrier.
    read: Option<Visitor>,
    /// Another thread of that workgroup, which did too.
    read_too: Option<Visitor>,
    /// A reader of another workgroup than the one in `read`.
    read_elsewhere: Option<Visitor>,
    /// The first that wrote beside it since the last barrier, and another thread that did.
    beside: [Option<Visitor>; 2],
    is_written: bool,
}

/// Whether nothing orders two visits: they are of different workgroups, or no barrier lies between.
fn is_unordered(a: &Visitor, b: &Visitor) -> bool {
    a.group != b.group || (a.lane != b.lane && a.epoch == b.epoch)
}

/// The first of two visitors that nothing orders against a third.
fn first_unordered(earlier: [Option<Visitor>; 2], now: &Visitor) -> Option<Visitor> {
    earlier.into_iter().flatten().find(|earlier| is_unordered(earlier, now))
}

impl Word {
    fn visit(&mut self, visit: Visit, now: Visitor) -> Result<(), Race> {
        let race = |earlier| Err(Race { earlier, now: (visit, now) });
        let changes = matches!(visit, Visit::Write | Visit::Atomic);
        if let Some(earlier) = self.reader(&now).filter(|_| changes) {
            return race((Visit::Read, earlier));
        }
        if let Some(earlier) = first_unordered(self.beside, &now).filter(|_| changes) {
            return race((Visit::Beside, earlier));
        }
        if let Some((how, earlier)) = self.written
            && (how, visit) != (Visit::Atomic, Visit::Atomic)
            && let Some(earlier) = first_unordered([Some(earlier), self.written_too], &now)
        {
            return race((how, earlier));
        }
        match visit {
            Visit::Read => self.note_reader(now),
            Visit::Beside => match &mut self.beside {
                [Some(first), other] if first.group == now.group && first.epoch == now.epoch => {
                    if first.lane != now.lane {
                        *other = Some(now);
                    }
                }
                beside => *beside = [Some(now), None],
            },
            Visit::Write | Visit::Atomic => {
                self.written = Some((visit, now));
                self.written_too = None;
                self.is_written = true;
            }
        }
        Ok(())
    }

    /// A thread writes what another one has written, with nothing between them.
    fn note_same(&mut self, now: Visitor) {
        let is_other = |(_, known): (Visit, Visitor)| known.group == now.group && known.lane != now.lane;
        if self.written.is_some_and(is_other) {
            self.written_too = Some(now);
        }
    }

    /// A reader that nothing orders against this visitor.
    fn reader(&self, now: &Visitor) -> Option<Visitor> {
        let elsewhere = self.read_elsewhere.filter(|earlier| earlier.group != now.group);
        elsewhere.or(first_unordered([self.read, self.read_too], now))
    }

    fn note_reader(&mut self, now: Visitor) {
        match &self.read {
            Some(known) if known.group == now.group && known.epoch == now.epoch => {
                if known.lane != now.lane {
                    self.read_too = Some(now);
                }
            }
            known => {
                self.read_elsewhere = known.filter(|known| known.group != now.group).or(self.read_elsewhere);
                self.read = Some(now);
                self.read_too = None;
            }
        }
    }
}

/// A variable that threads share.
pub(super) struct Memory {
    pub bytes: Vec<u8>,
    /// For each piece of `grain` bytes.
    words: Vec<Word>,
    grain: usize,
}

impl Memory {
    /// Memory whose content is known when `is_written`, of numbers of `grain` bytes or more.
    pub fn new(mut bytes: Vec<u8>, is_written: bool, grain: u8) -> Memory {
        let grain = usize::from(grain);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words = vec![Word { is_written, ..Word::default() }; bytes.len() / grain];
        Memory { bytes, words, grain }
    }

    /// Nobody has written or touched it.
    pub fn forget(&mut self) {
        self.words.fill(Word::default());
    }

    /// Whether `width` bytes from `at` on lie in it.
    pub fn has(&self, at: u32, width: u8) -> bool {
        at as usize + usize::from(width) <= self.bytes.len()
    }

    /// What is known of a number.
    fn of(&mut self, at: u32, width: u8) -> &mut [Word] {
        let at = at as usize;
        &mut self.words[at / self.grain..(at + usize::from(width)) / self.grain]
    }

    /// A thread comes to the number at `at` and does not change it, or with an atomic. Whether anybody has written it before.
    pub fn visit(&mut self, at: u32, width: u8, visit: Visit, visitor: Visitor) -> Result<bool, Race> {
        let words = self.of(at, width);
        let was_written = words.iter().all(|word| word.is_written);
        words.iter_mut().try_for_each(|word| word.visit(visit, visitor)).map(|()| was_written)
    }

    /// Writes. That two threads write the same bits is no race: whatever their order, the outcome is the same.
    pub fn write(&mut self, at: u32, width: u8, bits: u32, visit: Visit, visitor: Visitor) -> Result<(), Race> {
        let is_same = self.bits(at, width) == bits;
        for word in self.of(at, width) {
            match word.visit(visit, visitor) {
                Err(race) if is_same && race.is_of_writes() => word.note_same(visitor),
                result => result?,
            }
        }
        let at = at as usize;
        self.bytes[at..at + usize::from(width)].copy_from_slice(&bits.to_le_bytes()[..usize::from(width)]);
        Ok(())
    }

    /// The bits at `at`.
    pub fn bits(&self, at: u32, width: u8) -> u32 {
        let mut bytes = [0; 4];
        let at = at as usize;
        bytes[..usize::from(width)].copy_from_slice(&self.bytes[at..at + usize::from(width)]);
        u32::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(group: u32, lane: u32, epoch: u32) -> Visitor {
        Visitor { group, lane, epoch, place: 0 }
    }

    /// Whether visits of one word, one after the other, go without a race.
    fn is_fine(visits: &[(Visit, Visitor)]) -> bool {
        let mut word = Word::default();
        visits.iter().all(|&(visit, visitor)| word.visit(visit, visitor).is_ok())
    }

    #[test]
    fn a_barrier_orders_threads_of_a_workgroup_and_nothing_orders_workgroups() {
        use Visit::{Atomic, Read, Write};
        assert!(is_fine(&[(Write, visitor(0, 0, 0)), (Read, visitor(0, 0, 0)), (Write, visitor(0, 0, 0))]));
        for (first, second) in [(Write, Read), (Read, Write), (Write, Write), (Atomic, Read), (Write, Atomic)] {
            assert!(!is_fine(&[(first, visitor(0, 0, 0)), (second, visitor(0, 1, 0))]), "no barrier");
            assert!(is_fine(&[(first, visitor(0, 0, 0)), (second, visitor(0, 1, 1))]), "a barrier");
            assert!(!is_fine(&[(first, visitor(0, 0, 0)), (second, visitor(1, 0, 1))]), "another workgroup");
        }
        assert!(is_fine(&[(Atomic, visitor(0, 0, 0)), (Atomic, visitor(0, 1, 0)), (Atomic, visitor(1, 0, 0))]));
        assert!(is_fine(&[(Read, visitor(0, 0, 0)), (Read, visitor(1, 1, 0)), (Read, visitor(0, 2, 0))]));
    }

    #[test]
    fn a_write_races_with_those_beside_it_and_those_with_each_other_not() {
        use Visit::{Beside, Read, Write};
        let (a, b, later) = (visitor(0, 0, 0), visitor(0, 1, 0), visitor(0, 1, 1));
        assert!(!is_fine(&[(Beside, a), (Write, b)]) && !is_fine(&[(Write, a), (Beside, b)]));
        assert!(!is_fine(&[(Beside, a), (Beside, b), (Write, a)]), "the second one beside it");
        assert!(is_fine(&[(Beside, a), (Beside, b), (Read, b), (Beside, a)]));
        assert!(is_fine(&[(Write, a), (Beside, a), (Beside, later), (Write, later)]));
        assert!(!is_fine(&[(Write, a), (Beside, a), (Read, b)]));
    }

    #[test]
    fn two_threads_may_write_the_same() {
        let mut memory = Memory::new(vec![0; 8], true, 4);
        let write =
            |memory: &mut Memory, bits, lane| memory.write(4, 4, bits, Visit::Write, visitor(0, lane, 0)).is_ok();
        assert!(write(&mut memory, 7, 0) && write(&mut memory, 7, 1));
        assert!(!write(&mut memory, 8, 2));
        assert_eq!((memory.bits(0, 4), memory.bits(4, 4)), (0, 7));
    }

    #[test]
    fn a_write_meets_every_reader_before_it() {
        use Visit::{Read, Write};
        let (a, b) = (visitor(0, 0, 0), visitor(0, 1, 0));
        assert!(!is_fine(&[(Read, a), (Read, b), (Write, a)]), "the second reader of the workgroup");
        assert!(is_fine(&[(Read, a), (Read, b), (Write, visitor(0, 0, 1))]));
        assert!(!is_fine(&[(Read, visitor(1, 0, 0)), (Read, a), (Write, a)]), "a reader of another workgroup");
    }
}
