//! Files from the network in a folder that keeps them.
//!
//! A [`Downloader`] tries the addresses of a file in turn, goes on where an interrupted transfer stopped, compares the MD5
//! sum, and puts the file in place only when it is whole. Published data sets have functions of their own, such as
//! [`Mnist::download`](super::Mnist::download).

mod archive;
mod lock;
mod part;
mod published;

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use attohttpc::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use attohttpc::{ErrorKind, ProxySettings, ResponseReader, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};

use self::lock::Lock;
use self::part::Part;
use crate::engine::cache::{CACHE_VARIABLE, cache_folder};
use crate::{Error, Result};

/// A file, where it can be had, and how to know that it is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What it is called in the folder.
    pub name: String,
    /// Addresses (http or https), the preferred one first.
    pub urls: Vec<String>,
    /// Its MD5 sum in hexadecimal digits, which is what data sets publish: against damage, not against malice.
    pub md5: String,
}

/// Fetches [`Resource`]s into a folder. What is there already and has the right sum is not fetched again.
///
/// ```no_run
/// use lumigrad::data::download::{Downloader, Resource};
///
/// let labels = Resource {
///     name: "t10k-labels-idx1-ubyte.gz".into(),
///     urls: vec!["https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz".into()],
///     md5: "ec29112dd5afa0611ce80d1b7f02629c".into(),
/// };
/// let path = Downloader::new("data/mnist").fetch(&labels)?;
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// Proxies are those of the environment (`http_proxy`, `https_proxy`, `no_proxy`), except for addresses of this machine.
#[derive(Clone, Debug)]
pub struct Downloader {
    dir: PathBuf,
    offline: bool,
    progress: bool,
    attempts: usize,
    patience: Duration,
}

/// Bytes a second below which a server is given up, over a time of the patience.
const SLOWEST: u64 = 1024;

/// A try that brings at least so many new bytes is no failure.
const PROGRESS: u64 = 64 << 10;

/// The longest that one request may take; the next goes on where it stopped.
const REQUEST: Duration = Duration::from_secs(3600);

impl Downloader {
    /// Into this folder, which is made when something is fetched. Offline when the environment has `LUMIGRAD_OFFLINE=1`.
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Downloader {
            dir: dir.as_ref().to_path_buf(),
            offline: std::env::var_os("LUMIGRAD_OFFLINE").is_some_and(|v| v == "1"),
            progress: true,
            attempts: 3,
            patience: Duration::from_secs(30),
        }
    }

    /// Into a folder of this name where the system keeps what can be had again (`~/.cache/lumigrad/NAME` on Linux), or in
    /// the folder that the environment's `LUMIGRAD_CACHE` names, unless that is empty.
    ///
    /// # Errors
    /// [`Error::Argument`] when the system has no such place.
    pub fn cached(name: &str) -> Result<Self> {
        let dir = cache_folder().ok_or_else(|| {
            let detail = format!("the system has no folder for caches; set {CACHE_VARIABLE} to one");
            Error::argument("Downloader", detail)
        })?;
        Ok(Self::new(dir.join(name)))
    }

    /// Whether only files that are there already are used.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Whether a progress bar is shown where standard error is a terminal (true).
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// How many tries in a row may fail at an address before the next one is asked (3). A try goes on where the one before
    /// it stopped, and one that brings something on the way has not failed.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long a server may be silent, or slower than a kilobyte a second (30 s).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.max(Duration::from_millis(1));
        self
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the file, which is fetched if it is not there or has another sum.
    ///
    /// What an interrupted transfer brought stays as `NAME.part`, and the next call goes on with it. Of several processes
    /// that want files of one folder, one fetches and the others wait for it.
    ///
    /// # Errors
    /// [`Error::Download`] with what happened at each address, or that the file is missing and nothing may be fetched;
    /// [`Error::File`] when the folder can't be read or written.
    pub fn fetch(&self, resource: &Resource) -> Result<PathBuf> {
        let path = self.place(resource)?;
        if let State::Right = self.state(&path, resource)? {
            return Ok(path);
        }
        let lock = self.lock(resource)?;
        self.fetch_locked(resource, &lock)?;
        Ok(path)
    }

    /// Fetches the file if it is not there, and says whether it did.
    fn fetch_locked(&self, resource: &Resource, _lock: &Lock) -> Result<bool> {
        let path = self.place(resource)?;
        // Another process may have fetched it while this one waited for the lock.
        if let State::Right = self.state(&path, resource)? {
            return Ok(false);
        }
        let mut part = Part::open(&path)?;
        let bar = self.bar(resource);
        let mut failures = Vec::new();
        for url in &resource.urls {
            match self.try_address(url, resource, &mut part, &bar) {
                Ok(()) => {
                    bar.finish_and_clear();
                    part.publish(&path)?;
                    return Ok(true);
                }
                Err(Failure::Local(error)) => {
                    bar.finish_and_clear();
                    return Err(error);
                }
                Err(Failure::Remote(detail) | Failure::Hopeless(detail)) => {
                    log::warn!("{url}: {detail}");
                    failures.push(format!("{url}: {detail}"));
                }
            }
        }
        bar.finish_and_clear();
        part.leave()?;
        if failures.is_empty() {
            failures.push("no address is known for it".into());
        }
        let detail = format!("{}; it can be put at {} by hand", failures.join("; "), path.display());
        Err(Error::Download { name: resource.name.clone(), detail })
    }

    /// Where the file belongs.
    fn place(&self, resource: &Resource) -> Result<PathBuf> {
        let mut parts = Path::new(&resource.name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(name)), None) => Ok(self.dir.join(name)),
            _ => Err(Error::argument("Downloader", format!("{:?} is no file name", resource.name))),
        }
    }

    fn state(&self, path: &Path, resource: &Resource) -> Result<State> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
            Err(e) => return Err(Error::file(path, e)),
        };
        let sum = part::md5(&mut file).map_err(|e| Error::file(path, e))?;
        Ok(if sum.eq_ignore_ascii_case(&resource.md5) { State::Right } else { State::Wrong(sum) })
    }

    /// The right to write into the folder; refused when offline, unless the file is there.
    fn lock(&self, resource: &Resource) -> Result<Lock> {
        if self.offline {
            let path = self.place(resource)?;
            let what = match self.state(&path, resource)? {
                State::Right => None,
                State::Wrong(sum) => Some(format!("{} has the MD5 sum {sum}, not {}", path.display(), resource.md5)),
                State::Missing => Some(format!("{} is missing", path.display())),
            };
            if let Some(what) = what {
                let from = resource.urls.first().map_or(String::new(), |url| format!(" from {url}"));
                let detail =
                    format!("{what}, and nothing may be fetched (offline, LUMIGRAD_OFFLINE); put it there{from}");
                return Err(Error::Download { name: resource.name.clone(), detail });
            }
        }
        fs::create_dir_all(&self.dir).map_err(|e| Error::file(&self.dir, e))?;
        Lock::take(&self.dir)
    }

    /// All tries at one address, until the part is whole and right.
    fn try_address(&self, url: &str, resource: &Resource, part: &mut Part, bar: &ProgressBar) -> Result<(), Failure> {
        let (mut tries, mut furthest) = (0, part.len()?);
        // Whether every byte of the part is from here.
        let mut own = furthest == 0;
        loop {
            let detail = match self.request(url, part, bar) {
                Ok(start) => {
                    own |= start == 0;
                    let sum = part.md5()?;
                    if sum.eq_ignore_ascii_case(&resource.md5) {
                        return Ok(());
                    }
                    // Whole but wrong: nothing of it can be used.
                    part.clear()?;
                    let detail = format!("what it gave has the MD5 sum {sum}, expected {}", resource.md5);
                    if own {
                        return Err(Failure::Hopeless(detail));
                    }
                    log::info!("{url}: what an earlier transfer left does not belong to it; beginning anew");
                    (own, furthest, tries) = (true, 0, 0);
                    continue;
                }
                Err(Failure::Remote(detail)) => detail,
                Err(other) => return Err(other),
            };
            let length = part.len()?;
            own |= length == 0;
            if length >= furthest + PROGRESS {
                (tries, furthest) = (0, length);
            } else {
                tries += 1;
            }
            if tries >= self.attempts {
                return Err(Failure::Remote(format!("{detail} ({tries} tries)")));
            }
            log::info!("{url}: {detail}; trying again");
            std::thread::sleep(Duration::from_millis(100 << tries.min(6)).min(self.patience));
        }
    }

    /// One request for what is missing, to the last byte of the answer; gives the byte that the answer began with.
    fn request(&self, url: &str, part: &mut Part, bar: &ProgressBar) -> Result<u64, Failure> {
        let have = part.len()?;
        let (status, headers, body) = self.send(url, have)?;
        let number = |name| headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
        let start = match status {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => range_start(&headers).unwrap_or(have),
            // The part is as long as the file, which its sum will tell, or longer.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(have),
            other if other.is_client_error() && !matches!(other.as_u16(), 408 | 425 | 429) => {
                return Err(Failure::Hopeless(format!("the server answered {other}")));
            }
            other => return Err(Failure::Remote(format!("the server answered {other}"))),
        };
        if start > have {
            return Err(Failure::Remote(format!("the server began at byte {start}, asked for byte {have}")));
        }
        let length = number(CONTENT_LENGTH);
        if let Some(length) = length {
            bar.set_length(start + length);
        }
        bar.set_position(start);
        let received = part.write(start, body, self.patience, bar)?;
        match length {
            Some(length) if received < length => {
                Err(Failure::Remote(format!("the connection ended after {received} of {length} bytes")))
            }
            _ => Ok(start),
        }
    }

    /// Asks for the bytes from `from` on.
    fn send(&self, url: &str, from: u64) -> Result<(StatusCode, HeaderMap, ResponseReader), Failure> {
        let wrong = |e: attohttpc::Error| match e.kind() {
            ErrorKind::Io(e) => Failure::Remote(part::told(e, self.patience)),
            ErrorKind::InvalidBaseUrl | ErrorKind::InvalidUrlHost | ErrorKind::InvalidUrlPort => {
                Failure::Hopeless("is no address of a file (http:// or https://)".into())
            }
            _ => Failure::Remote(e.to_string()),
        };
        let mut request = attohttpc::RequestBuilder::try_new(attohttpc::Method::GET, url).map_err(wrong)?;
        request = request.connect_timeout(self.patience).read_timeout(self.patience).timeout(REQUEST);
        if is_this_machine(url) {
            request = request.proxy_settings(ProxySettings::builder().build());
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        Ok(request.send().map_err(wrong)?.split())
    }

    fn bar(&self, resource: &Resource) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        let bar = ProgressBar::no_length().with_style(style.expect("the template is valid"));
        bar.with_message(resource.name.clone())
    }
}

/// What lies where a file belongs.
enum State {
    Missing,
    Right,
    /// Another file, with this sum.
    Wrong(String),
}

/// Why a request did not do.
enum Failure {
    /// The network or the server: another try, another address.
    Remote(String),
    /// No try at this address can do better.
    Hopeless(String),
    /// This machine: no address helps.
    Local(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Local(error)
    }
}

/// The first byte that `Content-Range: bytes 100-199/200` announces.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Whether an address is of this machine, which no proxy stands before.
fn is_this_machine(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost/", "localhost:", "[::1]"].iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused() {
        let downloader = Downloader::new("nowhere").offline(true);
        for name in ["", "..", "/etc/passwd", "a/b", "../a"] {
            let resource = Resource { name: name.into(), urls: vec![], md5: String::new() };
            let e = downloader.fetch(&resource).unwrap_err().to_string();
            assert!(e.contains("is no file name"), "{name}: {e}");
        }
    }

    #[test]
    fn this_machine_has_no_proxy() {
        let own = ["http://127.0.0.1:80/a", "http://localhost/a", "http://localhost:8/a", "http://[::1]/a"];
        assert!(own.iter().all(|url| is_this_machine(url)));
        assert!(!is_this_machine("http://localhost.example.org/") && !is_this_machine("https://example.org/127.0.0.1"));
    }
}
