//! A file of records, TensorFlow's TFRecord: length, its checksum, content, its checksum.
//! <https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::proto::{Event, What};
use crate::io::append;
use crate::{Error, Result};

/// An event file that is being written.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

/// Files of this process. TensorBoard reads those of a folder in the order of their names, also of those made within a
/// second.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl EventFile {
    /// A new file in this folder, which is made.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, e))?;
        let (seconds, count) = (now() as u64, COUNT.fetch_add(1, Relaxed));
        let name = format!("events.out.tfevents.{seconds:010}.{}.{}.{count:04}", host(), std::process::id());
        let path = dir.join(name);
        let file = File::options().create(true).append(true).open(&path).map_err(|e| Error::file(&path, e))?;
        let mut file = EventFile { path, file };
        file.write(0, What::FileVersion("brain.Event:2".into()))?;
        Ok(file)
    }

    /// Appends an event in one write, so that a killed process leaves whole records; a full disk costs only this one.
    pub fn write(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event { wall_time: now(), step: step as i64, what: Some(what) };
        append(&mut self.file, &record(&event.encode_to_vec())).map_err(|e| Error::file(&self.path, e))
    }

    /// Waits until everything is on the disk.
    pub fn flush(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::file(&self.path, e))
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The machine's name, which is only there to tell files apart.
fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"));
    let name = name.or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
    let name: String = name.unwrap_or_default().trim().replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "-");
    if name.is_empty() { "host".into() } else { name }
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(content.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked(&length).to_le_bytes());
    record.extend_from_slice(content);
    record.extend_from_slice(&masked(content).to_le_bytes());
    record
}

/// CRC-32C, turned and shifted: a checksum of data that hold checksums.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}
