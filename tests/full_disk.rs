//! A training that can't write its files goes on, keeps what was there, and says at the end what is missing.
//!
//! Two ways: files may not grow past a limit, which a shell can set for a process; and a disk of a few megabytes that is
//! really full, where the system lets a process mount one.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lumigrad::Device;
use lumigrad::train::Checkpoint;

/// Cargo builds the examples beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join("checkpoint")
}

/// Runs a shell script, whose `$1` is the program and `$2` the folder.
fn shell(script: &str, dir: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(program()).arg(dir).env("LUMIGRAD_DEVICE", "reference");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RUST_LOG").output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The line with the fingerprint of the weights, of a run that ended well.
fn weights(output: &Output) -> String {
    let text = text(output);
    assert!(output.status.success(), "{text}");
    text.lines().find(|line| line.starts_with("weights ")).expect("a fingerprint").to_string()
}

fn step(path: &Path) -> u64 {
    Checkpoint::load(path, &Device::reference()).unwrap().global_step()
}

#[test]
fn files_that_may_not_grow_cost_only_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dir) = (folder.path().join("whole"), folder.path().join("limited"));
    let run = "exec \"$1\" --batches 10 --every 5 --dir \"$2\" --epochs";
    let want = weights(&shell(&format!("{run} 3"), &whole));
    weights(&shell(&format!("{run} 1"), &dir));
    let last = dir.join("last.ckpt");
    let log = || std::fs::read_to_string(dir.join("log.jsonl")).unwrap();
    let (before, logged) = (std::fs::read(&last).unwrap(), log());

    // No file may be longer than half a kilobyte: neither checkpoint nor log can be written.
    let limited = shell(&format!("trap '' XFSZ; ulimit -f 1; {run} 3"), &dir);
    let said = text(&limited);
    assert!(!limited.status.success(), "{said}");
    let count = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    // Four between epochs' ends, two at them, and as many of the best.
    assert!(count("last.ckpt: File too large") >= 6 && count("this checkpoint is left out") >= 6, "{said}");
    assert!(count("what was to be logged is lost") > 0, "{said}");
    // It came to its end; that its state is nowhere is what the last line says.
    assert!(said.lines().last().unwrap().contains("last.ckpt"), "{said}");
    assert!(std::fs::read(&last).unwrap() == before, "the checkpoint is as it was");
    let lines = log();
    assert!(lines.starts_with(&logged) && lines.ends_with("}\n") && lines.len() <= 512, "whole lines: {lines}");
    let left = std::fs::read_dir(&dir).unwrap().filter(|e| {
        let name = e.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".tmp")
    });
    assert_eq!(left.count(), 0);

    // With room again it goes on from there, to the same bits.
    assert_eq!(step(&last), 10);
    assert_eq!(weights(&shell(&format!("{run} 3"), &dir)), want);
    assert_eq!(step(&last), 30);
}

#[test]
fn a_disk_that_is_full_costs_only_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    // A mount of its own, which goes away with the process.
    let mount = "mount -t tmpfs -o size=5m none \"$2\"";
    let inside = |script: &str| {
        shell(&format!("exec unshare -rm sh -c '{mount} || exit 77; {script}' sh \"$1\" \"$2\""), folder.path())
    };
    if inside("true").status.code() != Some(0) {
        eprintln!("skipped: a process may not mount a disk of its own here");
        return;
    }
    let run = "\"$1\" --batches 10 --every 5 --dir \"$2\"/run --epochs";
    let other = tempfile::tempdir().unwrap();
    let want = weights(&shell(&format!("exec {run} 3"), other.path()));
    let output = inside(&format!(
        "set -e; {run} 1 >/dev/null; before=$(md5sum < \"$2\"/run/last.ckpt); \
         head -c 9m /dev/zero > \"$2\"/filler 2>/dev/null || true; \
         {run} 3 && exit 1; \
         test \"$before\" = \"$(md5sum < \"$2\"/run/last.ckpt)\"; ls -A \"$2\"/run; rm \"$2\"/filler; {run} 3"
    ));
    let said = text(&output);
    assert_eq!(weights(&output), want);
    assert!(said.contains("last.ckpt: No space left on device") && said.contains("is left out"), "{said}");
    assert!(said.contains("going on after step 10 of epoch 2"), "{said}");
    assert!(!said.lines().any(|line| line.ends_with(".tmp")), "{said}");
}
