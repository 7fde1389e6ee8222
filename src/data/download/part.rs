//! A file on its way.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use md5::{Digest, Md5};
use web_time::Instant;

use super::{Failure, SLOWEST};
use crate::{Error, Result};

/// What has come of a file so far, beside its place.
pub(super) struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// The part of the file at `target`, which may be there from an earlier transfer.
    pub fn open(target: &Path) -> Result<Part> {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|e| Error::file(&path, e))?;
        Ok(Part { path, file })
    }

    fn error(&self, source: io::Error) -> Error {
        Error::file(&self.path, source)
    }

    pub fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| self.error(e))?.len())
    }

    pub fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|e| self.error(e))
    }

    /// The sum of all bytes.
    pub fn md5(&mut self) -> Result<String> {
        let sum = self.file.seek(SeekFrom::Start(0)).and_then(|_| md5(&mut self.file));
        sum.map_err(|e| self.error(e))
    }

    /// Writes what comes from byte `start` on and says how much that was. It stays when the connection breaks.
    pub fn write(
        &mut self,
        start: u64,
        mut body: impl Read,
        patience: Duration,
        bar: &ProgressBar,
    ) -> Result<u64, Failure> {
        let begun = self.file.set_len(start).and_then(|()| self.file.seek(SeekFrom::Start(start)));
        begun.map_err(|e| self.error(e))?;
        let (mut buffer, mut received) = (vec![0; 1 << 16], 0);
        let (mut since, mut before) = (Instant::now(), 0);
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(received),
                Ok(n) => {
                    self.file.write_all(&buffer[..n]).map_err(|e| self.error(e))?;
                    received += n as u64;
                    bar.inc(n as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Failure::Remote(format!("{} (after {received} bytes)", told(&e, patience)))),
            }
            // A byte now and then must not keep the transfer alive.
            let elapsed = since.elapsed();
            if elapsed >= patience {
                let came = received - before;
                if (came as f64) < SLOWEST as f64 * elapsed.as_secs_f64() {
                    let detail = format!("only {came} bytes came in {:.1} s", elapsed.as_secs_f64());
                    return Err(Failure::Remote(detail));
                }
                (since, before) = (Instant::now(), received);
            }
        }
    }

    /// Stays for the next time, unless it is empty.
    pub fn leave(self) -> Result<()> {
        if self.len()? > 0 {
            return Ok(());
        }
        drop(self.file);
        fs::remove_file(&self.path).map_err(|e| Error::file(&self.path, e))
    }

    /// Puts the whole file in its place, in one step.
    pub fn publish(self, target: &Path) -> Result<()> {
        self.file.sync_all().map_err(|e| self.error(e))?;
        drop(self.file);
        fs::rename(&self.path, target).map_err(|e| Error::file(target, e))
    }
}

/// The MD5 sum of what is left of a file, in hexadecimal digits.
pub(super) fn md5(file: &mut File) -> io::Result<String> {
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A failure of the network in words; systems call a time that is over "temporarily unavailable".
pub(super) fn told(e: &io::Error, patience: Duration) -> String {
    match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("nothing came for {patience:?}"),
        _ => e.to_string(),
    }
}
