//! What a profile hears: operations on the host, dispatches on the device.
//!
//! Sessions are a thread's own; one inside another tells the outer one everything. Without a session all that is left is
//! a look at a thread-local in each operation and dispatch.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use web_time::Instant;

use super::kernel::{Dispatch, Kernel};
use super::place::{self, Identity};
use crate::scoped;

/// A thread has a session.
const SESSION: u8 = 1;
/// A step is being recorded, whose replays want to know where their dispatches come from.
const RECORDING: u8 = 2;

thread_local! {
    static ON: Cell<u8> = const { Cell::new(0) };
    static LOCAL: RefCell<Local> = const { RefCell::new(Local { open: Vec::new(), bytes: None }) };
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
    /// Modules that are running, and the path that this is.
    static PATHS: RefCell<FxHashMap<Modules, Option<Arc<str>>>> = RefCell::default();
}

/// What a thread knows about where it is.
struct Local {
    open: Vec<Open>,
    /// Bytes of the tensors of the dispatch to come.
    bytes: Option<u64>,
}

pub(crate) type Modules = SmallVec<[(Identity, u32); 8]>;

/// A span that has not ended.
struct Open {
    kind: SpanKind,
    name: &'static str,
    origin: Option<Arc<Origin>>,
    start: u64,
    /// Time of the spans inside of it.
    inner: u64,
}

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SpanKind {
    Operation,
    Backward,
    /// Something that runs operations: a backward pass, an optimiser's step.
    Phase,
    Replay,
    Compile,
    Upload,
    Submit,
    Wait,
}

/// Where a dispatch comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub operation: &'static str,
    pub backward: bool,
    /// The module that was running.
    pub path: Option<Arc<str>>,
}

impl Origin {
    pub fn kind(&self) -> SpanKind {
        if self.backward { SpanKind::Backward } else { SpanKind::Operation }
    }
}

/// A span of a thread. Times are nanoseconds of [`now`].
#[derive(Clone)]
pub(crate) struct HostEvent {
    pub kind: SpanKind,
    pub name: &'static str,
    pub origin: Option<Arc<Origin>>,
    pub start: u64,
    pub end: u64,
    /// Without the spans inside of it.
    pub own: u64,
}

/// A dispatch, without its time.
#[derive(Clone)]
pub(crate) struct Work {
    pub kernel: &'static Kernel,
    pub variant: usize,
    pub groups: [u32; 3],
    pub bytes: u64,
    pub flops: Option<u64>,
    pub origin: Option<Arc<Origin>>,
}

/// A dispatch that has run: in ticks of the device's clock, or in nanoseconds of [`now`] where the host measured it.
#[derive(Clone)]
pub(crate) struct GpuEvent {
    pub work: Work,
    pub begin: u64,
    pub end: u64,
}

/// Everything that a session has heard.
#[derive(Clone, Default)]
pub(crate) struct Events {
    pub host: Vec<HostEvent>,
    pub dispatches: Vec<GpuEvent>,
    /// Dispatches whose times did not come back.
    pub missing: usize,
    /// A submission: host time before it, and the device's first tick in it.
    pub anchors: Vec<(u64, u64)>,
}

/// One profile under way.
pub(crate) struct Session {
    /// Which device's dispatches count: see [`super::Device::number`].
    device: usize,
    outer: Option<Arc<Session>>,
    events: Mutex<Events>,
}

impl Session {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self) -> Events {
        std::mem::take(&mut self.events())
    }

    /// Tells this session, and those that it is inside of.
    fn tell(&self, device: Option<usize>, write: impl Fn(&mut Events)) {
        let mut session = Some(self);
        while let Some(this) = session {
            if device.is_none_or(|device| device == this.device) {
                write(&mut this.events());
            }
            session = this.outer.as_deref();
        }
    }

    /// A dispatch has run, or its times were lost.
    pub fn ran(&self, work: Work, times: Option<(u64, u64)>) {
        self.tell(Some(self.device), |events| match times {
            Some((begin, end)) => events.dispatches.push(GpuEvent { work: work.clone(), begin, end }),
            None => events.missing += 1,
        });
    }

    pub fn anchor(&self, host: u64, tick: u64) {
        self.tell(Some(self.device), |events| events.anchors.push((host, tick)));
    }
}

/// Nanoseconds since the first profile of the process.
pub(crate) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Runs `body` with a session for this device.
pub(crate) fn listen<R>(device: usize, body: impl FnOnce(&Arc<Session>) -> R) -> R {
    let session = Arc::new(Session { device, outer: CURRENT.with_borrow(Clone::clone), events: Mutex::default() });
    let inside = || switched_on(SESSION, || body(&session));
    scoped::replace(&CURRENT, Some(session.clone()), inside).0
}

/// Runs `body` without listening.
pub(crate) fn unheard<R>(body: impl FnOnce() -> R) -> R {
    scoped::set(&ON, 0, body)
}

/// Runs a step that is being recorded.
pub(crate) fn noting<R>(body: impl FnOnce() -> R) -> R {
    switched_on(RECORDING, body)
}

/// Runs `body` with another reason to note what it does.
fn switched_on<R>(reason: u8, body: impl FnOnce() -> R) -> R {
    let noting = || scoped::set(&ON, ON.get() | reason, body);
    scoped::replace(&PATHS, FxHashMap::default(), noting).0
}

/// Whether this thread's operations are to be noted.
#[inline]
pub(crate) fn is_on() -> bool {
    ON.get() != 0
}

/// A span that ends when this is dropped.
#[must_use]
pub(crate) struct Span(bool, PhantomData<*const ()>);

/// Begins a span, if somebody listens.
#[inline]
pub(crate) fn span(kind: SpanKind, name: &'static str) -> Span {
    let on = is_on();
    if on {
        open(kind, name, None);
    }
    Span(on, PhantomData)
}

/// Begins an operation's span.
#[inline]
pub(crate) fn operation(name: &'static str) -> Span {
    let on = is_on();
    if on {
        let origin = Origin { operation: name, backward: false, path: path() };
        open(SpanKind::Operation, name, Some(Arc::new(origin)));
    }
    Span(on, PhantomData)
}

/// Begins the span of an operation's way back, which has the place of the way there.
#[inline]
pub(crate) fn backward(name: &'static str, forward: Option<&Arc<Origin>>) -> Span {
    let on = is_on();
    if on {
        let path = forward.and_then(|origin| origin.path.clone());
        open(SpanKind::Backward, name, Some(Arc::new(Origin { operation: name, backward: true, path })));
    }
    Span(on, PhantomData)
}

/// Where the operation that is running comes from, for its way back.
#[inline]
pub(crate) fn origin() -> Option<Arc<Origin>> {
    if is_on() { LOCAL.with_borrow(|local| local.open.last().and_then(|open| open.origin.clone())) } else { None }
}

#[cold]
fn open(kind: SpanKind, name: &'static str, origin: Option<Arc<Origin>>) {
    LOCAL.with_borrow_mut(|local| {
        let origin = origin.or_else(|| local.open.last().and_then(|outer| outer.origin.clone()));
        local.open.push(Open { kind, name, origin, start: now(), inner: 0 });
    });
}

#[cold]
fn close() {
    LOCAL.with_borrow_mut(|local| {
        let Some(Open { kind, name, origin, start, inner }) = local.open.pop() else { return };
        let end = now();
        if let Some(outer) = local.open.last_mut() {
            outer.inner += end - start;
        }
        let event = HostEvent { kind, name, origin, start, end, own: (end - start).saturating_sub(inner) };
        CURRENT.with_borrow(|session| {
            if let Some(session) = session {
                session.tell(None, |events| events.host.push(event.clone()));
            }
        });
    });
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.0 {
            close();
        }
    }
}

/// The path of the module that is running; its type's name for the outermost one.
fn path() -> Option<Arc<str>> {
    let modules = place::modules();
    if modules.is_empty() {
        return None;
    }
    if let Some(known) = PATHS.with_borrow(|paths| paths.get(&modules).cloned()) {
        return known;
    }
    // Asked without holding `PATHS`: it lists the user's modules.
    let path = place::path_of(&place::frames());
    let path = if path.is_empty() { place::short(modules[modules.len() - 1].0.type_name).to_string() } else { path };
    let path = Some(Arc::from(path));
    PATHS.with_borrow_mut(|paths| paths.insert(modules, path.clone()));
    path
}

/// Tells the bytes of the tensors of the dispatch to come.
pub(crate) fn note_bytes(bytes: u64) {
    LOCAL.with_borrow_mut(|local| local.bytes = Some(bytes));
}

/// A dispatch that somebody listens to.
pub(crate) struct Heard {
    pub work: Work,
    /// Who wants to know when it runs; nobody where a step is only recorded.
    pub session: Option<Arc<Session>>,
}

impl Heard {
    /// It ran from `start` until now.
    pub fn ran(self, start: u64) {
        if let Some(session) = self.session {
            session.ran(self.work, Some((start, now())));
        }
    }
}

/// What a dispatch on this device is, when somebody listens. In a box, so that without a listener it is one word.
#[inline]
pub(crate) fn hear(device: impl FnOnce() -> usize, dispatch: &Dispatch<'_>) -> Option<Box<Heard>> {
    if !is_on() {
        return None;
    }
    Some(Box::new(Heard { work: describe(dispatch), session: session(device()) }))
}

#[cold]
fn describe(dispatch: &Dispatch<'_>) -> Work {
    let &Dispatch { kernel, variant, operands, grid, .. } = dispatch;
    LOCAL.with_borrow_mut(|local| {
        let whole = || operands.iter().map(|b| (b.len * b.dtype.size()) as u64).sum();
        let bytes = local.bytes.take();
        Work {
            kernel,
            variant,
            groups: grid.groups,
            bytes: grid.bytes.or(bytes).unwrap_or_else(whole),
            flops: grid.flops,
            origin: local.open.last().and_then(|open| open.origin.clone()),
        }
    })
}

/// The session that wants to know about this device.
#[inline]
pub(crate) fn session(device: usize) -> Option<Arc<Session>> {
    if ON.get() & SESSION == 0 { None } else { session_of(device) }
}

#[cold]
fn session_of(device: usize) -> Option<Arc<Session>> {
    CURRENT.with_borrow(|current| {
        let mut session = current.as_ref();
        while let Some(this) = session {
            if this.device == device {
                return Some(this.clone());
            }
            session = this.outer.as_ref();
        }
        None
    })
}
