//! What a profile asks of a GPU.

use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use super::Gpu;
use crate::Result;
use crate::engine::kernel::Kernel;
use crate::engine::profile::{self, Session, Work};
use crate::engine::recording::Recording;
use crate::engine::timer::Timing;

/// How long the end of a profile waits for times after the device has done everything.
const PROFILE_PATIENCE: Duration = Duration::from_secs(10);

impl Gpu {
    /// Identity of the device, for profiles.
    pub fn number(&self) -> usize {
        Arc::as_ptr(&self.counters) as usize
    }

    /// For a dispatch that is to be timed on a device without timestamps: waits until it can run at once.
    pub(super) fn start_clock(
        &self,
        profiled: bool,
        (kernel, variant): (&'static Kernel, usize),
    ) -> Result<Option<u64>> {
        if !profiled || self.timing != Timing::Host {
            return Ok(None);
        }
        self.prepare(kernel, variant)?;
        self.flush();
        self.wait(None)?;
        Ok(Some(profile::now()))
    }

    /// Waits for the dispatch that was recorded after [`Self::start_clock`].
    pub(super) fn stop_clock(&self, start: u64, session: &Session, work: Work) -> Result<()> {
        self.flush();
        let result = self.wait(None);
        session.ran(work, result.is_ok().then(|| (start, profile::now())));
        result
    }

    /// [`Self::replay`] on a device without timestamps: waits for each dispatch.
    pub(super) fn replay_by_clock(&self, recording: &Recording, session: &Session) {
        for command in recording.commands() {
            self.flush();
            self.note(self.wait(None));
            let start = profile::now();
            let mut stream = self.stream();
            stream.note_replay(recording.used());
            stream.replay(&command);
            drop(stream);
            if let Some(work) = command.work {
                self.note(self.stop_clock(start, session, work.clone()));
            }
        }
    }

    /// Runs everything recorded so far, and asks how the device's clock stands to the host's.
    pub fn begin_profile(&self, session: &Arc<Session>) {
        self.flush();
        self.note(self.wait(None));
        if self.timing != Timing::Host {
            let mut stream = self.stream();
            stream.timer.anchors.push(session.clone());
            stream.submit_with(&self.device, &self.queue, &self.counters, |_| ());
        }
    }

    /// Waits until everything has run and all times are there.
    pub fn end_profile(&self, session: &Arc<Session>) {
        self.flush();
        let deadline = Instant::now() + PROFILE_PATIENCE;
        loop {
            let waited = self.wait(None);
            let timer = &mut self.stream().timer;
            timer.collect();
            if !timer.is_waiting(session) {
                return;
            }
            // When another thread polled, its callbacks are under way.
            if waited.is_err() || self.health.lost.get().is_some() || Instant::now() > deadline {
                return timer.give_up();
            }
            std::thread::yield_now();
        }
    }

    /// Bytes that are free for reuse, and that only recordings hold.
    pub fn idle_memory(&self) -> (u64, u64) {
        let mut stream = self.stream();
        (stream.pool.free_bytes(), stream.pool.parked_bytes())
    }

    /// Nanoseconds of a tick of the device's clock.
    pub fn tick(&self) -> f64 {
        f64::from(self.queue.get_timestamp_period())
    }
}
