//! One process at a time in a folder.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::{Error, Result};

/// The lock of a folder, held as long as it lives; the system gives it back when a process dies.
///
/// It is a file of its own that stays: a lock on the part would move away with it when the part is put in place.
pub(super) struct Lock(#[expect(dead_code, reason = "closing it is what gives the lock back")] Option<File>);

impl Lock {
    /// Waits for it.
    pub fn take(dir: &Path) -> Result<Lock> {
        let path = dir.join(".lumigrad.lock");
        let wrong = |e| Error::file(&path, e);
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => return Ok(Lock(Some(file))),
            Err(TryLockError::WouldBlock) => {
                log::info!("{}: waiting for another process that fetches into this folder", dir.display());
            }
            Err(TryLockError::Error(e)) => return Self::without(&path, e),
        }
        match file.lock() {
            Ok(()) => Ok(Lock(Some(file))),
            Err(e) => Self::without(&path, e),
        }
    }

    /// Some network file systems have no locks; two processes at once are rare enough to go on there.
    fn without(path: &Path, e: io::Error) -> Result<Lock> {
        log::warn!("{} can't be locked ({e}); no other process should fetch into this folder now", path.display());
        Ok(Lock(None))
    }
}
