//! A training that is killed for real, at random moments, and started again ends with the bits of one that never was.
//!
//! `LUMIGRAD_KILLS` says how often (5).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A run of so many epochs, which have 30 steps. Cargo builds the examples beside the tests.
fn start(epochs: usize, dir: &Path) -> Child {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join("checkpoint");
    let arguments = ["--epochs", &epochs.to_string(), "--batches", "30", "--every", "3", "--dir"];
    let mut command = Command::new(program.with_extension(std::env::consts::EXE_EXTENSION));
    command.args(arguments).arg(dir).env("LUMIGRAD_DEVICE", "reference").current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the example is built")
}

/// The line with the fingerprint of the weights, after all epochs.
fn finish(epochs: usize, child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let last = stdout.lines().last().unwrap_or_default().to_string();
    let end = format!("after {} steps", 30 * epochs);
    assert!(last.starts_with("weights ") && last.ends_with(&end), "{stdout}{stderr}");
    last
}

#[test]
fn a_killed_training_goes_on_with_the_same_bits() {
    let kills: usize = std::env::var("LUMIGRAD_KILLS").map_or(5, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let whole = finish(2, start(2, &dir.path().join("whole")));
    let duration = begun.elapsed();

    let killed = dir.path().join("killed");
    // Moments differ from run to run, on purpose; what comes out may not.
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut random = lumigrad::data::Random::new(seed);
    let mut gone_on = 0;
    for _ in 0..kills {
        let mut child = start(2, &killed);
        std::thread::sleep(duration.mul_f64(random.uniform(0.05, 0.6)));
        // SIGKILL on Unix: the program can't do anything about it.
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        gone_on += usize::from(String::from_utf8_lossy(&output.stdout).contains("going on after step"));
    }
    let begun = Instant::now();
    assert_eq!(finish(2, start(2, &killed)), whole, "after {kills} kills, seed {seed}");
    assert!(begun.elapsed() < duration + Duration::from_secs(60));
    // Every value is logged once, in whatever order values came back from the device.
    let logged = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join("log.jsonl")).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(logged(&killed), logged(&dir.path().join("whole")));
    println!("{kills} kills, {gone_on} of the runs went on from a checkpoint");
    for entry in std::fs::read_dir(&killed).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_none_or(|e| e != "tmp"), "{} is left of a killed run", path.display());
        if path.extension().is_some_and(|e| e == "ckpt") {
            lumigrad::train::Checkpoint::load(&path, &lumigrad::Device::reference()).unwrap();
        }
    }
}

/// Sends SIGINT, which is what Ctrl-C does.
#[cfg(unix)]
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Waits until a run has written its first checkpoint, so that it is training.
#[cfg(unix)]
fn wait_for_checkpoint(dir: &Path) {
    let begun = Instant::now();
    while !dir.join("last.ckpt").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_after_the_step_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let whole = finish(6, start(6, &dir.path().join("whole")));
    let stopped = dir.path().join("stopped");
    let child = start(6, &stopped);
    wait_for_checkpoint(&stopped);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.lines().last().unwrap().ends_with("the same command goes on"), "{stdout}{stderr}");
    assert!(stderr.contains("ending after this step") && stderr.contains("last.ckpt\") goes on"), "{stdout}{stderr}");
    assert_eq!(finish(6, start(6, &stopped)), whole);
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut said = String::new();
    // A run whose step and checkpoint are done before the second signal comes ends well.
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let child = start(6, dir.path());
        wait_for_checkpoint(dir.path());
        (0..200).for_each(|_| interrupt(&child));
        let output = child.wait_with_output().unwrap();
        said = String::from_utf8_lossy(&output.stderr).into();
        match output.status.code() {
            Some(130) => return,
            code => assert_eq!(code, Some(0), "{said}"),
        }
    }
    panic!("no second Ctrl-C ended a run: {said}");
}
