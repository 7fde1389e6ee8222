//! Files that only save time: kept in the user's cache folder, and done without when anything is wrong with them.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The environment variable that names another folder for what can be had again: compiled kernels, measured choices and
/// downloads. Empty, kernels and choices are not kept, and downloads go to the system's folder, since they have to be
/// somewhere.
pub const CACHE_VARIABLE: &str = "LUMIGRAD_CACHE";

/// What every file begins with; other versions of the crate may write something else.
const MAGIC: &[u8] = concat!("lumigrad ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();

/// How often this process has written, so that two of its threads don't write into the same temporary file.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// A file of the folder `kernels`.
pub(crate) struct CacheFile {
    path: PathBuf,
}

impl CacheFile {
    /// The file of this name, unless files are not wanted or the system has no folder for them.
    pub fn named(name: &str) -> Option<CacheFile> {
        if std::env::var_os(CACHE_VARIABLE).is_some_and(|dir| dir.is_empty()) {
            return None;
        }
        let dir = cache_folder()?;
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
        Some(CacheFile { path: dir.join("kernels").join(name.chars().map(safe).collect::<String>()) })
    }

    /// What [`Self::write`] has kept, or nothing when it is not there or was damaged.
    pub fn read(&self) -> Option<Vec<u8>> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::warn!("{}: {error}; going on without it", self.path.display());
                return None;
            }
        };
        // Of another version it is only old.
        let (sum, content) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != crc32fast::hash(content) {
            log::warn!("{} is damaged; going on without it", self.path.display());
            return None;
        }
        Some(content.to_vec())
    }

    /// Replaces the file by one with this content, whole or not at all, also when other processes do the same.
    pub fn write(&self, content: &[u8]) {
        if let Err(error) = self.try_write(content) {
            log::debug!("{}: {error}; not kept", self.path.display());
        }
    }

    fn try_write(&self, content: &[u8]) -> std::io::Result<()> {
        let Some(dir) = self.path.parent() else { return Ok(()) };
        std::fs::create_dir_all(dir)?;
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{}.{}", std::process::id(), WRITES.fetch_add(1, Relaxed)));
        let temporary = PathBuf::from(name);
        let written = std::fs::File::create(&temporary).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&crc32fast::hash(content).to_le_bytes())?;
            file.write_all(content)
        });
        let result = written.and_then(|()| std::fs::rename(&temporary, &self.path));
        if result.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        result
    }
}

/// The folder of what can be had again: the one that [`CACHE_VARIABLE`] names, or where the system keeps such things.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    folder(CACHE_VARIABLE).or_else(|| Some(system_folder()?.join("lumigrad")))
}

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn system_folder() -> Option<PathBuf> {
    let home = || std::env::home_dir().filter(|dir| !dir.as_os_str().is_empty());
    if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        Some(home()?.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).or_else(|| Some(home()?.join(".cache")))
    }
}

/// The pipelines that a driver has compiled, where it gives them out.
pub(crate) struct PipelineStore {
    pub cache: wgpu::PipelineCache,
    file: CacheFile,
    /// What the file holds, by its length and sum.
    kept: (usize, u32),
}

impl PipelineStore {
    /// Reads what earlier processes have kept for this adapter and driver.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Option<PipelineStore> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let key = wgpu::util::pipeline_cache_key(info)?;
        let file = CacheFile::named(&format!("{key}_{}_{}", info.driver, info.driver_info))?;
        let data = file.read();
        let kept = data.as_deref().map_or((0, 0), identity);
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
        // SAFETY: the file is in the user's own folder, of this adapter, driver and version, and its sum is right, so it is
        // what `get_data` gave. wgpu and the driver check its head as well, and begin with nothing when it is another's.
        #[expect(unsafe_code, reason = "the data comes from a file")]
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(PipelineStore { cache, file, kept })
    }

    /// Writes the file anew when there is more than it has.
    pub fn keep(&mut self) {
        let Some(data) = self.cache.get_data() else { return };
        let now = identity(&data);
        if now != self.kept {
            self.file.write(&data);
            self.kept = now;
        }
    }
}

fn identity(data: &[u8]) -> (usize, u32) {
    (data.len(), crc32fast::hash(data))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(dir: &Path) -> CacheFile {
        CacheFile { path: dir.join("new").join("file") }
    }

    #[test]
    fn a_file_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path());
        assert_eq!(file.read(), None);
        for content in [&b"one"[..], b"", &[7; 10_000]] {
            file.write(content);
            assert_eq!(file.read().as_deref(), Some(content));
        }
        let whole = std::fs::read(&file.path).unwrap();
        for len in 0..MAGIC.len() + 20 {
            std::fs::write(&file.path, &whole[..len]).unwrap();
            assert_eq!(file.read(), None, "the first {len} bytes");
        }
        for at in [0, MAGIC.len(), whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&file.path, damaged).unwrap();
            assert_eq!(file.read(), None, "byte {at} is another");
        }
        let names: Vec<_> = std::fs::read_dir(file.path.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_folder_that_can_not_be_written_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("new"), "a file in the folder's place").unwrap();
        let file = file(dir.path());
        file.write(b"content");
        assert_eq!(file.read(), None);
    }

    #[test]
    fn writers_at_the_same_time_leave_one_of_their_files() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for i in 0..4u8 {
                let file = file(dir.path());
                scope.spawn(move || (0..50).for_each(|_| file.write(&[i; 1000])));
            }
        });
        let content = file(dir.path()).read().unwrap();
        assert!(content.len() == 1000 && content.iter().all(|b| *b == content[0]));
    }
}
