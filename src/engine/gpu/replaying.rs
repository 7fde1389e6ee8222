//! Steps that are recorded and replayed on a GPU.

use std::sync::Arc;

use super::Gpu;
use crate::Result;
use crate::engine::ahead::{self, Encoder};
use crate::engine::counters::AtomicCounters;
use crate::engine::device::RandomState;
use crate::engine::profile::{self, Session, SpanKind};
use crate::engine::recording::{Live, Recorder, Recording};
use crate::engine::timer::Timing;

impl Gpu {
    /// Listens to this thread from here on. False when it or another thread is being listened to.
    pub fn begin_recording(&self, random: RandomState) -> bool {
        let mut stream = self.stream();
        let free = stream.recorder.is_none();
        if free {
            stream.pool.begin_step();
            stream.recorder = Some(Recorder::new(random));
        }
        free
    }

    /// What this thread has dispatched since; its memory stays pinned until [`Self::release`].
    pub fn end_recording(&self) -> Option<Recorder> {
        let mut stream = self.stream();
        stream.recorder_here()?;
        stream.pool.end_step();
        stream.recorder.take()
    }

    /// Gives back the memory of a recording.
    pub fn release(&self, used: &rustc_hash::FxHashSet<u64>) {
        let mut stream = self.stream();
        // Whoever gets the memory may write it before the commands that are recorded.
        if stream.is_ahead() {
            stream.submit(&self.device, &self.queue, &self.counters);
        }
        let recording = stream.recording();
        stream.pool.unpin(used, recording);
    }

    /// Runs `body`, whose dispatches depend on what `source` tells.
    pub fn with_live(&self, source: Arc<dyn Live>, body: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = self.stream().recorder_here().map(|recorder| recorder.len());
        let result = body();
        if let (Some(start), Some(recorder)) = (start, self.stream().recorder_here()) {
            recorder.add_live(start, source);
        }
        result
    }

    /// Records all dispatches of a recording again.
    pub fn replay(&self, recording: &mut Recording) {
        let _span = profile::span(SpanKind::Replay, "replay");
        let session = profile::session(self.number());
        AtomicCounters::add(&self.counters.dispatches, recording.len() as u64);
        match session {
            Some(session) if self.timing == Timing::Host => self.replay_by_clock(recording, &session),
            None if recording.len() >= ahead::FEWEST && Encoder::is_useful() => self.replay_ahead(recording),
            session => self.replay_now(recording, session),
        }
    }

    /// [`Self::replay`], encoded with the commands around it.
    fn replay_now(&self, recording: &Recording, session: Option<Arc<Session>>) {
        let mut stream = self.stream();
        stream.note_replay(recording.used());
        for command in recording.commands() {
            stream.replay(&command);
            if let (Some(session), Some(work)) = (&session, command.work) {
                stream.mark(session.clone(), work.clone());
            }
            if stream.is_full() {
                self.hand_over(stream);
                stream = self.stream();
                stream.note_replay(recording.used());
            }
        }
    }

    /// [`Self::replay`], with what was encoded since the last time.
    fn replay_ahead(&self, recording: &mut Recording) {
        let mut stream = self.stream();
        if recording.prepared.as_ref().is_none_or(|prepared| prepared.joined != stream.joins) {
            // The one before may wait for commands that are encoded only behind its submission.
            stream.submit(&self.device, &self.queue, &self.counters);
            recording.prepared = Some(stream.prepare(&self.device, &self.counters, recording));
        }
        let mut prepared = recording.prepared.take().expect("it was made");
        for piece in &mut prepared.pieces {
            piece.refresh(recording.params());
            while stream.is_ahead() || stream.timer.is_wanted() {
                self.hand_over(stream);
                stream = self.stream();
            }
            stream.replay_ahead(&self.device, &self.queue, piece);
            AtomicCounters::add(&self.counters.fused, piece.joined);
            stream.note_replay(recording.used());
            if stream.is_full() {
                self.hand_over(stream);
                stream = self.stream();
            }
        }
        drop(stream);
        recording.prepared = Some(prepared);
    }
}
