//! Downloads from a server on this machine that does everything wrong that servers do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lumigrad::Error;
use lumigrad::data::download::{Downloader, Resource};
use md5::{Digest, Md5};

/// What was asked of the server: the path, and the first byte of the range if there was one.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    path: String,
    from: Option<usize>,
    /// How many came before it.
    number: usize,
}

struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Answers every request in a thread of its own; what goes wrong in it is the client's to notice.
    fn start(answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (asked, stop) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let (log, end, answer) = (asked.clone(), stop.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (log, answer, mut stream) = (log.clone(), answer.clone(), stream.unwrap());
                std::thread::spawn(move || {
                    let Some((path, from)) = read_head(&mut stream) else { return };
                    let asked = {
                        let mut log = log.lock().unwrap();
                        let asked = Asked { path, from, number: log.len() };
                        log.push(asked.clone());
                        asked
                    };
                    let _ = answer(&asked, &mut stream);
                });
            }
        });
        Server { address, asked, stop }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// The first bytes of the ranges that were asked for.
    fn ranges(&self) -> Vec<Option<usize>> {
        self.asked.lock().unwrap().iter().map(|asked| asked.from).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

fn read_head(stream: &mut TcpStream) -> Option<(String, Option<usize>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.trim_start_matches('/').to_string();
    let range = head.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_string));
    Some((path, range.and_then(|range| range.trim_end_matches('-').parse().ok())))
}

fn head(stream: &mut TcpStream, status: &str, length: usize, more: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
}

/// A server as it should be.
fn serve(asked: &Asked, stream: &mut TcpStream, file: &[u8]) -> std::io::Result<()> {
    match asked.from {
        Some(from) if from >= file.len() => head(stream, "416 Range Not Satisfiable", 0, ""),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
            head(stream, "206 Partial Content", file.len() - from, &range)?;
            stream.write_all(&file[from..])
        }
        None => {
            head(stream, "200 OK", file.len(), "")?;
            stream.write_all(file)
        }
    }
}

/// Bytes without a pattern.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

fn sum(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn resource(urls: &[String], bytes: &[u8]) -> Resource {
    Resource { name: "file.bin".into(), urls: urls.to_vec(), md5: sum(bytes) }
}

fn downloader(dir: &Path) -> Downloader {
    Downloader::new(dir).progress(false)
}

/// What lies in the folder, without the lock.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lumigrad.lock");
    names.sort();
    names
}

/// The message of a download that failed, which left no file.
fn refused(downloader: &Downloader, resource: &Resource) -> String {
    let e = downloader.fetch(resource).unwrap_err();
    assert!(matches!(e, Error::Download { .. }), "{e:?}");
    assert!(!downloader.dir().join(&resource.name).exists());
    let e = e.to_string();
    assert!(e.contains(&resource.name) && resource.urls.iter().all(|url| e.contains(url)), "{e}");
    e
}

/// Fetches, and looks at what came of it.
fn fetched(downloader: &Downloader, resource: &Resource, bytes: &[u8]) {
    let path = downloader.fetch(resource).unwrap();
    assert_eq!(path, downloader.dir().join("file.bin"));
    assert!(std::fs::read(path).unwrap() == bytes);
    assert_eq!(names(downloader.dir()), ["file.bin"]);
}

#[test]
fn a_file_is_fetched_once() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(300_000));
    let own = file.clone();
    let server = Server::start(move |asked, stream| serve(asked, stream, &own));
    let resource = resource(&[server.url("data/file.bin")], &file);
    let deep = downloader(&dir.path().join("made/when/needed"));
    fetched(&deep, &resource, &file);
    fetched(&deep, &resource, &file);
    fetched(&deep.clone().offline(true), &resource, &file);
    assert_eq!(server.ranges(), [None]);
    assert_eq!(server.asked.lock().unwrap()[0].path, "data/file.bin");

    // Sums may be written in capitals; a file with another sum is replaced.
    let capitals = Resource { md5: resource.md5.to_uppercase(), ..resource };
    std::fs::write(deep.dir().join("file.bin"), &file[1..]).unwrap();
    fetched(&deep, &capitals, &file);
    assert_eq!(server.ranges(), [None, None]);
}

#[test]
fn a_bad_file_stays_until_there_is_a_good_one() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(1000));
    std::fs::write(dir.path().join("file.bin"), b"mine").unwrap();
    let server = Server::start(|_, stream| head(stream, "404 Not Found", 0, ""));
    let resource = resource(&[server.url("x")], &file);
    assert!(downloader(dir.path()).fetch(&resource).is_err());
    assert_eq!(std::fs::read(dir.path().join("file.bin")).unwrap(), b"mine");
    let e = downloader(dir.path()).offline(true).fetch(&resource).unwrap_err().to_string();
    assert!(e.contains(&sum(b"mine")) && e.contains(&sum(&file)) && e.contains("offline"), "{e}");
}

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(500_000));
    let own = file.clone();
    // Every answer ends after 100,000 bytes: more often than tries may fail, but each brings something.
    let server = Server::start(move |asked, stream| {
        let from = asked.from.unwrap_or(0);
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", own.len() - 1, own.len());
        let status = if asked.from.is_some() { "206 Partial Content" } else { "200 OK" };
        head(stream, status, own.len() - from, &range)?;
        stream.write_all(&own[from..own.len().min(from + 100_000)])
    });
    fetched(&downloader(dir.path()).attempts(1), &resource(&[server.url("x")], &file), &file);
    let want: Vec<_> = [None].into_iter().chain((1..5).map(|i| Some(i * 100_000))).collect();
    assert_eq!(server.ranges(), want);
}

#[test]
fn the_next_address_goes_on_with_the_part() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(100_000));
    let (first, second) = (file.clone(), file.clone());
    // Less than what counts as getting on.
    let broken = Server::start(move |asked, stream| {
        if asked.number > 0 {
            return head(stream, "503 Service Unavailable", 0, "");
        }
        head(stream, "200 OK", first.len(), "")?;
        stream.write_all(&first[..30_000])
    });
    let good = Server::start(move |asked, stream| serve(asked, stream, &second));
    let both = resource(&[broken.url("x"), good.url("x")], &file);
    fetched(&downloader(dir.path()), &both, &file);
    assert_eq!(broken.ranges(), [None, Some(30_000), Some(30_000)]);
    assert_eq!(good.ranges(), [Some(30_000)]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(200_000));
    let own = file.clone();
    let server = Server::start(move |asked, stream| {
        head(stream, "200 OK", own.len(), "")?;
        stream.write_all(if asked.number == 0 { &own[..150_000] } else { &own })
    });
    fetched(&downloader(dir.path()), &resource(&[server.url("x")], &file), &file);
    assert_eq!(server.ranges(), [None, Some(150_000)]);
    // One that always stops there does not get on, however much it sends.
    let own = file.clone();
    let server = Server::start(move |_, stream| {
        head(stream, "200 OK", own.len(), "")?;
        stream.write_all(&own[..150_000])
    });
    std::fs::remove_file(dir.path().join("file.bin")).unwrap();
    let e = refused(&downloader(dir.path()), &resource(&[server.url("x")], &file));
    assert!(e.contains("ended after 150000 of 200000 bytes (3 tries)"), "{e}");
    assert_eq!(server.ranges().len(), 4);
}

#[test]
fn leftovers_of_other_files_are_thrown_away() {
    let file = content(100_000);
    for left in [vec![7; 40_000], vec![7; 100_000], vec![7; 200_000]] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file.bin.part"), &left).unwrap();
        let own = file.clone();
        let server = Server::start(move |asked, stream| serve(asked, stream, &own));
        fetched(&downloader(dir.path()).attempts(1), &resource(&[server.url("x")], &file), &file);
        assert_eq!(server.ranges(), [Some(left.len()), None]);
    }
    // A part that is whole needs nothing but its place.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file.bin.part"), &file).unwrap();
    let own = file.clone();
    let server = Server::start(move |asked, stream| serve(asked, stream, &own));
    fetched(&downloader(dir.path()), &resource(&[server.url("x")], &file), &file);
    assert_eq!(server.ranges(), [Some(100_000)]);
}

#[test]
fn a_wrong_sum_is_never_put_in_place() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(50_000));
    let mut wrong = file.clone();
    wrong[25_000] ^= 1;
    let (lie, truth) = (wrong.clone(), file.clone());
    let liar = Server::start(move |asked, stream| serve(asked, stream, &lie));
    let good = Server::start(move |asked, stream| serve(asked, stream, &truth));
    let e = refused(&downloader(dir.path()), &resource(&[liar.url("x")], &file));
    assert!(e.contains(&sum(&wrong)) && e.contains(&sum(&file)), "{e}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    // Asking it again is no use.
    assert_eq!(liar.ranges(), [None]);
    fetched(&downloader(dir.path()), &resource(&[liar.url("x"), good.url("x")], &file), &file);
    assert_eq!((liar.ranges(), good.ranges()), (vec![None; 2], vec![None]));
}

#[test]
fn silence_and_a_trickle_cost_a_bounded_time() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(50_000));
    let own = file.clone();
    let server = Server::start(move |asked, stream| match asked.path.as_str() {
        "mute" => {
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        "stall" => {
            head(stream, "200 OK", own.len(), "")?;
            stream.write_all(&own[..10_000])?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        "trickle" => {
            head(stream, "200 OK", own.len(), "")?;
            own.iter().try_for_each(|byte| {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(&[*byte])
            })
        }
        _ => serve(asked, stream, &own),
    });
    let impatient = downloader(dir.path()).attempts(1).patience(Duration::from_millis(400));
    for (path, what) in
        [("mute", "nothing came for 400ms"), ("stall", "(after 10000 bytes)"), ("trickle", "bytes came in ")]
    {
        let begun = Instant::now();
        let e = refused(&impatient, &resource(&[server.url(path)], &file));
        assert!(e.contains(what), "{e}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{path}: {:?}", begun.elapsed());
    }
    let all = ["mute", "stall", "trickle", "good"].map(|path| server.url(path));
    fetched(&impatient.patience(Duration::from_secs(1)), &resource(&all, &file), &file);
}

#[test]
fn errors_of_servers_lead_to_the_next_address() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(50_000));
    let own = file.clone();
    let server = Server::start(move |asked, stream| match asked.path.as_str() {
        "missing" => head(stream, "404 Not Found", 0, ""),
        "broken" => head(stream, "500 Internal Server Error", 0, ""),
        "shy" if asked.number < 6 => head(stream, "503 Service Unavailable", 0, ""),
        "garbage" => stream.write_all(b"220 smtp.example.org ready\r\n\r\n"),
        "circle" => head(stream, "302 Found", 0, "Location: /circle\r\n"),
        "moved" => head(stream, "301 Moved Permanently", 0, "Location: /there\r\n"),
        "slammed" => Ok(()),
        _ => serve(asked, stream, &own),
    });
    // A port that nobody listens on any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bad = ["missing", "broken", "garbage", "circle", "slammed"].map(|path| server.url(path));
    let others = [format!("http://{closed}/x"), "file:///etc/passwd".into(), "no address".into()];
    let bad = [&bad[..], &others[..]].concat();
    let e = refused(&downloader(dir.path()).attempts(2), &resource(&bad, &file));
    for part in [
        "/missing: the server answered 404 Not Found;",
        "/broken: the server answered 500 Internal Server Error (2 tries)",
        "/circle: Too many redirections",
        "efused",
        "file:///etc/passwd: is no address",
        "no address: is no address",
        "by hand",
    ] {
        assert!(e.contains(part), "{part}: {e}");
    }
    let count = |path: &str| server.asked.lock().unwrap().iter().filter(|asked| asked.path == path).count();
    assert_eq!((count("missing"), count("broken")), (1, 2));
    fetched(&downloader(dir.path()), &resource(&[&bad[..], &[server.url("moved")]].concat(), &file), &file);

    let e = downloader(dir.path()).fetch(&Resource { name: "other".into(), urls: vec![], md5: sum(b"") }).unwrap_err();
    assert!(e.to_string().contains("no address is known"), "{e}");
}

#[test]
fn a_page_instead_of_the_file_is_not_taken() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(50_000));
    let server = Server::start(|_, stream| {
        // Without a length: the end of the connection is the end of the page.
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>please log in</html>")
    });
    let e = refused(&downloader(dir.path()), &resource(&[server.url("x")], &file));
    assert!(e.contains("MD5"), "{e}");
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(10));
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let place = dir.path().join("file/below");
    let e = downloader(&place).fetch(&resource(&["http://127.0.0.1:1/".into()], &file)).unwrap_err();
    assert!(matches!(e, Error::File { .. }) && e.to_string().contains(&place.display().to_string()), "{e}");
}

/// The name of the variable that makes a process one of those below.
const CHILD: &str = "LUMIGRAD_DOWNLOAD_CHILD";

/// Fetches the file at an address into a folder, in a process of its own.
fn child(dir: &Path, url: &str, md5: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "in_a_process_of_its_own", "--nocapture"])
        .env(CHILD, format!("{}|{url}|{md5}", dir.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn in_a_process_of_its_own() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let [dir, url, md5] = task.split('|').collect::<Vec<_>>().try_into().unwrap();
    let resource = Resource { name: "file.bin".into(), urls: vec![url.into()], md5: md5.into() };
    match Downloader::new(dir).fetch(&resource) {
        Ok(path) => println!("fetched {}", path.display()),
        Err(e) => println!("refused {e}"),
    }
}

/// What a process printed.
fn output(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server of this file that takes its time.
fn slow(file: &[u8]) -> Server {
    let own = file.to_vec();
    Server::start(move |asked, stream| {
        let from = asked.from.unwrap_or(0);
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", own.len() - 1, own.len());
        head(stream, if from > 0 { "206 Partial Content" } else { "200 OK" }, own.len() - from, &range)?;
        own[from..].chunks(20_000).try_for_each(|chunk| {
            stream.write_all(chunk)?;
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        })
    })
}

#[test]
fn processes_at_once_fetch_it_once() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(200_000));
    let server = slow(&file);
    let (url, md5) = (server.url("x"), sum(&file));
    let children: Vec<Child> = (0..3).map(|_| child(dir.path(), &url, &md5)).collect();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (dir, resource) = (dir.path().to_path_buf(), resource(std::slice::from_ref(&url), &file));
            std::thread::spawn(move || downloader(&dir).fetch(&resource).unwrap())
        })
        .collect();
    for child in children {
        let text = output(child);
        assert!(text.contains("fetched"), "{text}");
    }
    threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    assert!(std::fs::read(dir.path().join("file.bin")).unwrap() == file);
    assert_eq!((names(dir.path()), server.ranges()), (vec!["file.bin".to_string()], vec![None]));
}

#[test]
fn a_killed_download_goes_on() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(400_000));
    let server = slow(&file);
    let mut process = child(dir.path(), &server.url("x"), &sum(&file));
    let part = dir.path().join("file.bin.part");
    let begun = Instant::now();
    while std::fs::metadata(&part).map_or(0, |m| m.len()) < 40_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(names(dir.path()), ["file.bin.part"]);
    fetched(&downloader(dir.path()), &resource(&[server.url("x")], &file), &file);
    assert!(server.ranges()[1].is_some_and(|from| from >= 40_000), "{:?}", server.ranges());
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_named_and_costs_only_what_did_not_fit() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(100_000));
    let own = file.clone();
    let server = Server::start(move |asked, stream| serve(asked, stream, &own));
    // No file of this process may become longer than 64 blocks of 512 bytes, or of 1,024 in some shells.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact in_a_process_of_its_own --nocapture"]);
    command.arg(std::env::current_exe().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env(CHILD, format!("{}|{}|{}", dir.path().display(), server.url("x"), sum(&file)));
    let text = output(command.spawn().unwrap());
    let part = dir.path().join("file.bin.part");
    assert!(text.contains(&format!("refused {}: File too large", part.display())), "{text}");
    assert_eq!(server.ranges(), [None], "no other try helps");
    let length = std::fs::metadata(&part).unwrap().len();
    assert!(length == 64 * 512 || length == 64 * 1024, "{length}");
    fetched(&downloader(dir.path()), &resource(&[server.url("x")], &file), &file);
    assert_eq!(server.ranges(), [None, Some(length as usize)]);
}

#[test]
fn the_environment_switches_fetching_off() {
    let (dir, file) = (tempfile::tempdir().unwrap(), content(100));
    let own = file.clone();
    let server = Server::start(move |asked, stream| serve(asked, stream, &own));
    let (url, md5) = (server.url("x"), sum(&file));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_process_of_its_own", "--nocapture"]).env("LUMIGRAD_OFFLINE", "1");
    command.env(CHILD, format!("{}|{url}|{md5}", dir.path().display())).stdout(Stdio::piped());
    let text = output(command.spawn().unwrap());
    let place = dir.path().join("file.bin").display().to_string();
    assert!(text.contains("refused") && text.contains(&format!("{place} is missing")) && text.contains(&url), "{text}");
    assert_eq!((server.ranges(), names(dir.path())), (vec![], Vec::<String>::new()));
}

/// A `.tar.gz` of these entries: name, type, content. Names are written as they are, however bad.
fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.as_old_mut().linkname[..9].copy_from_slice(b"../secret");
        }
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Serves an archive and asks for its folder `set`.
fn unpack(dir: &Path, bytes: Vec<u8>) -> (lumigrad::Result<PathBuf>, usize) {
    let own = bytes.clone();
    let server = Server::start(move |asked, stream| serve(asked, stream, &own));
    let resource = resource(&[server.url("x")], &bytes);
    let got = downloader(dir).fetch_archive(&resource, "set");
    (got, server.ranges().len())
}

#[test]
fn archives_are_unpacked_whole() {
    use tar::EntryType::{Directory, Regular};
    let dir = tempfile::tempdir().unwrap();
    let big = content(300_000);
    let good = archive(&[("set/", Directory, b""), ("./set/a.bin", Regular, b"one"), ("set/deep/b", Regular, &big)]);
    // What a killed process left is no obstacle.
    std::fs::create_dir_all(dir.path().join(".set.unpacking/set")).unwrap();
    std::fs::write(dir.path().join(".set.unpacking/set/half"), b"").unwrap();
    let (folder, requests) = unpack(dir.path(), good.clone());
    assert_eq!((folder.unwrap(), requests), (dir.path().join("set"), 1));
    assert_eq!(names(dir.path()), ["set"]);
    assert_eq!(names(&dir.path().join("set")), ["a.bin", "deep"]);
    assert!(std::fs::read(dir.path().join("set/deep/b")).unwrap() == big);
    // It is there now.
    assert_eq!(unpack(dir.path(), good.clone()).1, 0);

    // An archive that was put there by hand is unpacked offline, and stays.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file.bin"), &good).unwrap();
    let offline = downloader(dir.path()).offline(true);
    offline.fetch_archive(&resource(&["http://127.0.0.1:1/".into()], &good), "set").unwrap();
    assert_eq!(names(dir.path()), ["file.bin", "set"]);
}

#[test]
fn archives_that_reach_outside_are_refused() {
    use tar::EntryType::{Char, Directory, Link, Regular, Symlink};
    let good = ("set/a", Regular, &b"one"[..]);
    let cases = [
        (vec![good, ("../evil", Regular, b"evil")], "../evil, which lies outside"),
        (vec![good, ("set/../../evil", Regular, b"evil")], "which lies outside"),
        (vec![good, ("/tmp/lumigrad-evil", Regular, b"evil")], "which lies outside"),
        (vec![good, ("../evil/", Directory, b"")], "which lies outside"),
        (vec![good, ("set/link", Symlink, b"")], "neither file nor folder but Symlink"),
        (vec![good, ("set/link", Link, b"")], "neither file nor folder"),
        (vec![good, ("set/device", Char, b"")], "neither file nor folder"),
        (vec![("other/a", Regular, b"one")], "does not hold the folder set"),
    ];
    for (entries, why) in cases {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        let e = unpack(&dir, archive(&entries)).0.unwrap_err();
        assert!(matches!(e, Error::Format { .. }), "{e:?}");
        assert!(e.to_string().contains(why) && e.to_string().contains("file.bin"), "{e}");
        assert_eq!((names(outer.path()), names(&dir)), (vec!["data".to_string()], vec!["file.bin".to_string()]));
        assert!(!Path::new("/tmp/lumigrad-evil").exists());
    }
    for damaged in [b"no archive".to_vec(), archive(&[good])[..60].to_vec()] {
        let dir = tempfile::tempdir().unwrap();
        let e = unpack(dir.path(), damaged).0.unwrap_err().to_string();
        assert!(e.contains("file.bin") && e.contains("damaged"), "{e}");
        assert_eq!(names(dir.path()), ["file.bin"]);
    }
}
