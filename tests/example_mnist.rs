//! The example as a user runs it: what it prints and leaves behind, and what it says to bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Cargo builds the examples beside the tests.
fn example() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join("mnist");
    assert!(program.with_extension(std::env::consts::EXE_EXTENSION).exists(), "{} is not built", program.display());
    let mut command = Command::new(program);
    command.env_remove("LUMIGRAD_DEVICE").env_remove("RUST_LOG").env("RUST_BACKTRACE", "1");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn short(out: &Path) -> Command {
    let mut command = example();
    command.args(["--device", "reference", "--epochs", "1", "--max-steps", "3", "--hidden", "16", "--out"]).arg(out);
    command
}

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist-10k")
}

/// One line that says what is wrong, exit code 1, no backtrace.
fn assert_refused(output: &Output, parts: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let lines: Vec<_> = stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    let last = lines.last().unwrap_or_else(|| panic!("no error line in: {stderr}"));
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
    for part in parts {
        assert!(last.contains(part), "{part:?} is not in: {last}");
    }
}

#[test]
fn it_trains_and_leaves_weights_and_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let output = short(dir.path()).output().unwrap();
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    let last = stdout.lines().last().unwrap();
    let percent = last.strip_prefix("test accuracy: ").and_then(|s| s.strip_suffix('%')).expect("the last line");
    assert!(percent.parse::<f64>().is_ok() && percent.split_once('.').unwrap().1.len() == 2, "{last}");
    assert!(stdout.contains("8000 training and 2000 test images"), "{stdout}");
    let picture = std::fs::read_to_string(dir.path().join("training.svg")).unwrap();
    assert!(picture.contains("<svg") && picture.contains("test accuracy"));
    let weights = lumigrad::io::load_safetensors(dir.path().join("mnist.safetensors"), &lumigrad::Device::reference());
    let weights = weights.unwrap();
    assert_eq!(weights.get("linear_relu_stack.0.weight").unwrap().shape(), [16, 784]);
    for name in ["confusion.svg", "misclassified.svg"] {
        assert!(std::fs::read_to_string(dir.path().join(name)).unwrap().contains("<svg"), "{name}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing else is left");
    assert!(stdout.contains("12,730 parameters") && stdout.contains("lowest recall: "), "{stdout}");

    let again = short(dir.path()).output().unwrap();
    let losses = |o: &Output| {
        text(&o.stdout).lines().find(|l| l.starts_with("epoch 1")).map(|l| l.split(", ").next().unwrap().to_string())
    };
    assert_eq!(losses(&output), losses(&again), "the same seed gives the same loss");
}

#[test]
fn without_an_adapter_it_says_so_and_uses_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = example();
    command.args(["--epochs", "1", "--max-steps", "2", "--hidden", "8", "--out"]).arg(dir.path());
    // No driver for the loader to find, and no other backend.
    command
        .env("WGPU_BACKEND", "vulkan")
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent");
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let said: Vec<_> = stderr.lines().filter(|l| l.contains("no GPU adapter found")).collect();
    assert!(said.len() == 1 && said[0].contains("install") && said[0].contains("reference"), "{stderr}");
    assert!(text(&output.stdout).contains("on reference"));
}

#[test]
fn bad_arguments_are_refused_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| short(dir.path()).args(arguments).output().unwrap();
    assert_refused(&run(&["--data", "/no/such/folder"]), &["/no/such/folder"]);
    let output = example().args(["--device", "warp drive"]).arg("--out").arg(dir.path()).output().unwrap();
    if !text(&output.stderr).contains("no GPU adapter") {
        assert_refused(&output, &["warp drive", "reference", "gpu"]);
    }
    for (option, value) in
        [("--batch", "0"), ("--hidden", "16,0"), ("--lr", "-1"), ("--lr", "NaN"), ("--epochs", "many")]
    {
        let output = run(&[&format!("{option}={value}")]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        assert!(text(&output.stderr).contains(option), "{}", text(&output.stderr));
    }
}

#[test]
fn a_folder_that_can_not_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    assert_refused(&short(&file.join("out")).output().unwrap(), &["file"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn damaged_data_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    std::fs::create_dir(&data).unwrap();
    for entry in std::fs::read_dir(bundled()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
    }
    let images = data.join("train-images-idx3-ubyte.gz");
    let whole = std::fs::read(&images).unwrap();
    std::fs::write(&images, &whole[..whole.len() / 2]).unwrap();
    let run = || short(&out).arg("--data").arg(&data).output().unwrap();
    assert_refused(&run(), &["train-images-idx3-ubyte.gz"]);
    std::fs::write(&images, "PNG is not IDX").unwrap();
    assert_refused(&run(), &["train-images-idx3-ubyte.gz"]);
    std::fs::remove_file(&images).unwrap();
    assert_refused(&run(), &["train-images-idx3-ubyte"]);
    assert!(!out.join("mnist.safetensors").exists());
}

#[test]
fn a_training_that_diverges_says_so_and_writes_no_weights() {
    let dir = tempfile::tempdir().unwrap();
    let output = short(dir.path()).args(["--lr", "1e38"]).output().unwrap();
    assert_refused(&output, &["converge", "--lr"]);
    assert!(!dir.path().join("mnist.safetensors").exists());
}
