//! Times of dispatches by the device's own clock, for profiles.
//!
//! Each submission that has dispatches to time gets a query set; what is in it is copied to memory that the host maps when
//! the device has got there. Nothing waits for it but the end of a profile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::profile::{Session, Work};

/// How dispatches of a device are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timing {
    /// By timestamps of the device between dispatches. Where the device runs several at a time, each has the time that passed
    /// since the one before it was done.
    Timestamps,
    /// By timestamps of the device at the ends of passes, where each dispatch has a pass of its own while it is profiled,
    /// as on Apple's GPUs.
    PassTimestamps,
    /// By the host's clock: on the reference, and on a GPU without timestamps, where each dispatch is waited for while it
    /// is profiled, so that the times have the way to the device and back in them.
    Host,
}

impl Timing {
    pub(crate) fn of(features: wgpu::Features) -> Timing {
        if features.contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES) {
            Timing::Timestamps
        } else if features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            Timing::PassTimestamps
        } else {
            Timing::Host
        }
    }
}

/// A recorded dispatch that a session wants the time of.
pub(crate) struct Mark {
    /// Its number among the recorded commands.
    pub command: usize,
    pub session: Arc<Session>,
    pub work: Work,
}

/// What one submission needs.
struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    mapped: wgpu::Buffer,
}

/// A mark with the numbers of its two queries.
struct Timed {
    mark: Mark,
    begin: u32,
    end: u32,
}

/// A submission under way. `state` is set by the callback of the map, which takes no lock.
struct Pending {
    queries: Queries,
    used: u32,
    timed: Vec<Timed>,
    /// Who wants to know how this clock stands to the host's.
    anchors: Vec<Arc<Session>>,
    submitted: u64,
    state: Arc<AtomicU8>,
}

const UNDER_WAY: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

#[derive(Default)]
pub(crate) struct Timer {
    /// Of the recorded commands, in order.
    pub marks: Vec<Mark>,
    /// Sessions that ask how the clocks stand with the next submission.
    pub anchors: Vec<Arc<Session>>,
    idle: Vec<Queries>,
    pending: VecDeque<Pending>,
}

/// Query sets that wait for reuse.
const MAX_IDLE: usize = 8;

/// The queries of a submission that is being encoded.
pub(crate) struct Encoding {
    queries: Queries,
    capacity: u32,
    used: u32,
    /// The last query, while nothing but a timed dispatch has come since.
    last: Option<u32>,
    timed: Vec<Timed>,
}

impl Timer {
    /// Whether the next submission has to be timed.
    pub fn is_wanted(&self) -> bool {
        !self.marks.is_empty() || !self.anchors.is_empty()
    }

    /// Begins the encoding of a submission with at most this many timed dispatches.
    pub fn begin(&mut self, device: &wgpu::Device, dispatches: usize) -> Encoding {
        let capacity = (2 * dispatches as u32).clamp(2, wgpu::QUERY_SET_MAX_QUERIES);
        let queries = self.idle.pop().unwrap_or_else(|| Queries::new(device, capacity));
        Encoding { queries, capacity, used: 0, last: None, timed: Vec::new() }
    }

    /// The submission was handed to the driver at `submitted`.
    pub fn submitted(&mut self, encoding: Encoding, submitted: u64) {
        let Encoding { queries, used, timed, .. } = encoding;
        let state = Arc::new(AtomicU8::new(UNDER_WAY));
        let told = state.clone();
        queries.mapped.slice(..u64::from(used.max(1)) * 8).map_async(wgpu::MapMode::Read, move |result| {
            told.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        let mut anchors = std::mem::take(&mut self.anchors);
        for Timed { mark, .. } in &timed {
            if !anchors.iter().any(|known| Arc::ptr_eq(known, &mark.session)) {
                anchors.push(mark.session.clone());
            }
        }
        self.pending.push_back(Pending { queries, used, timed, anchors, submitted, state });
    }

    /// Hands out the times that have come back.
    pub fn collect(&mut self) {
        while let Some(first) = self.pending.front() {
            let state = first.state.load(Ordering::Acquire);
            if state == UNDER_WAY {
                return;
            }
            let pending = self.pending.pop_front().expect("there is a first one");
            let ticks = if state == MAPPED { pending.queries.read(pending.used) } else { None };
            pending.tell(ticks.as_deref());
            if ticks.is_some() && self.idle.len() < MAX_IDLE {
                self.idle.push(pending.queries);
            }
        }
    }

    /// Whether times that this session asked for are still under way.
    pub fn is_waiting(&self, session: &Arc<Session>) -> bool {
        self.pending.iter().any(|pending| pending.anchors.iter().any(|s| Arc::ptr_eq(s, session)))
    }

    /// Gives up what is under way.
    pub fn give_up(&mut self) {
        self.pending.drain(..).for_each(|pending| pending.tell(None));
    }
}

impl Encoding {
    /// The next query, if there is one left.
    fn next(&mut self) -> Option<u32> {
        (self.used < self.capacity).then(|| {
            self.used += 1;
            self.used - 1
        })
    }

    /// A dispatch in a pass with others, with timestamps before and behind it.
    pub fn inside(
        &mut self,
        pass: &mut wgpu::ComputePass<'_>,
        mark: Option<Mark>,
        dispatch: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) {
        let before = self.last.take();
        let begin = match (&mark, before) {
            (None, _) => None,
            (Some(_), Some(last)) => Some(last),
            (Some(_), None) => self.stamp(pass),
        };
        dispatch(pass);
        let Some(mark) = mark else { return };
        match (begin, self.stamp(pass)) {
            (Some(begin), Some(end)) => {
                self.timed.push(Timed { mark, begin, end });
                self.last = Some(end);
            }
            _ => mark.session.ran(mark.work, None),
        }
    }

    fn stamp(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Option<u32> {
        let query = self.next()?;
        pass.write_timestamp(&self.queries.set, query);
        Some(query)
    }

    /// A pass of its own, timed from end to end where there is a mark.
    pub fn pass<'a>(&mut self, encoder: &'a mut wgpu::CommandEncoder, mark: Option<Mark>) -> wgpu::ComputePass<'a> {
        let queries = if mark.is_some() { self.next().zip(self.next()) } else { None };
        if let Some(mark) = mark {
            match queries {
                Some((begin, end)) => self.timed.push(Timed { mark, begin, end }),
                None => mark.session.ran(mark.work, None),
            }
        }
        self.timed_pass(encoder, queries)
    }

    /// A pass with nothing in it, which only asks for the time.
    pub fn ask(&mut self, encoder: &mut wgpu::CommandEncoder) {
        let queries = self.next().zip(self.next());
        drop(self.timed_pass(encoder, queries));
    }

    fn timed_pass<'a>(
        &self,
        encoder: &'a mut wgpu::CommandEncoder,
        queries: Option<(u32, u32)>,
    ) -> wgpu::ComputePass<'a> {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: queries.map(|(begin, end)| wgpu::ComputePassTimestampWrites {
                query_set: &self.queries.set,
                beginning_of_pass_write_index: Some(begin),
                end_of_pass_write_index: Some(end),
            }),
        })
    }

    /// Copies the times to where the host finds them.
    pub fn finish(&self, encoder: &mut wgpu::CommandEncoder) {
        if self.used > 0 {
            let Queries { set, resolved, mapped } = &self.queries;
            encoder.resolve_query_set(set, 0..self.used, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, mapped, 0, u64::from(self.used) * 8);
        }
    }
}

impl Pending {
    /// Tells everybody who asked; `None` when the times were lost.
    fn tell(&self, ticks: Option<&[u64]>) {
        if let Some(&first) = ticks.and_then(|ticks| ticks.iter().find(|tick| **tick != 0)) {
            self.anchors.iter().for_each(|session| session.anchor(self.submitted, first));
        }
        for Timed { mark, begin, end } in &self.timed {
            // A query that was never written resolves to 0.
            let times = ticks.map(|ticks| (ticks[*begin as usize], ticks[*end as usize]));
            let times = times.filter(|(begin, end)| *begin != 0 && end >= begin);
            mark.session.ran(mark.work.clone(), times);
        }
    }
}

impl Queries {
    fn new(device: &wgpu::Device, count: u32) -> Queries {
        let buffer = |usage| {
            let size = u64::from(count) * 8;
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        Queries {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            mapped: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
        }
    }

    /// The times, after the map.
    fn read(&self, count: u32) -> Option<Vec<u64>> {
        let view = self.mapped.get_mapped_range(..u64::from(count.max(1)) * 8).ok()?;
        let words = view[..].chunks_exact(8).take(count as usize);
        let ticks = words.map(|w| u64::from_le_bytes(std::array::from_fn(|i| w[i]))).collect();
        drop(view);
        self.mapped.unmap();
        Some(ticks)
    }
}
