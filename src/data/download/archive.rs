//! Archives, unpacked into a folder that is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::{Downloader, Resource};
use crate::{Error, Result};

impl Downloader {
    /// The path of the folder `folder`, which is what a `.tar.gz` file holds; the file is fetched and unpacked if the
    /// folder is not there.
    ///
    /// An archive that was fetched for this is removed afterwards, one that was there before stays.
    ///
    /// # Errors
    /// As [`Downloader::fetch`]; [`Error::Format`] when the archive is damaged, lacks the folder, or holds something other
    /// than files and folders below it.
    pub fn fetch_archive(&self, resource: &Resource, folder: &str) -> Result<PathBuf> {
        let target = self.dir().join(folder);
        if target.is_dir() {
            return Ok(target);
        }
        let archive = self.place(resource)?;
        let lock = self.lock(resource)?;
        // Another process may have unpacked it while this one waited for the lock.
        if target.is_dir() {
            return Ok(target);
        }
        let fetched = self.fetch_locked(resource, &lock)?;
        // A process that was killed may have left it.
        let unpacked = self.dir().join(format!(".{folder}.unpacking"));
        remove(&unpacked)?;
        let result = unpack(&archive, folder, &unpacked)
            .and_then(|()| fs::rename(unpacked.join(folder), &target).map_err(|e| Error::file(&target, e)));
        let removed = remove(&unpacked);
        result.and(removed)?;
        if fetched {
            fs::remove_file(&archive).map_err(|e| Error::file(&archive, e))?;
        }
        Ok(target)
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file(dir, e)),
        _ => Ok(()),
    }
}

/// Unpacks an archive that holds the folder `folder` into `into`.
fn unpack(archive: &Path, folder: &str, into: &Path) -> Result<()> {
    let damaged = |e: io::Error| match e.raw_os_error() {
        Some(_) => Error::file(archive, e),
        None => Error::format(archive, format!("is damaged, or no .tar.gz file: {e}")),
    };
    let file = File::open(archive).map_err(|e| Error::file(archive, e))?;
    let mut tar = Archive::new(MultiGzDecoder::new(io::BufReader::new(file)));
    fs::create_dir_all(into).map_err(|e| Error::file(into, e))?;
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.into_owned();
        let refused = |why: &str| Error::format(archive, format!("holds {}, {why}", name.display()));
        let Some(inside) = inside(&name) else {
            return Err(refused("which lies outside of where it is unpacked"));
        };
        let path = into.join(inside);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&path).map_err(|e| Error::file(&path, e))?,
            EntryType::Regular | EntryType::Continuous => write(&mut entry, &path, &damaged)?,
            // What PAX archives say about all files.
            EntryType::XGlobalHeader => {}
            other => return Err(refused(&format!("which is neither file nor folder but {other:?}"))),
        }
    }
    match into.join(folder).is_dir() {
        true => Ok(()),
        false => Err(Error::format(archive, format!("does not hold the folder {folder}"))),
    }
}

/// The path without `.`; nothing when it leads elsewhere.
fn inside(name: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(clean)
}

fn write(entry: &mut impl io::Read, path: &Path, damaged: &dyn Fn(io::Error) -> Error) -> Result<()> {
    let wrong = |e| Error::file(path, e);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(wrong)?;
    }
    let mut file = File::create(path).map_err(wrong)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match entry.read(&mut buffer) {
            Ok(0) => return file.sync_all().map_err(wrong),
            Ok(n) => io::Write::write_all(&mut file, &buffer[..n]).map_err(wrong)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(damaged(e)),
        }
    }
}
