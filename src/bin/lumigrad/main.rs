//! The `lumigrad` command: which adapters there are, and whether every kernel computes right on them.

mod devices;
mod doctor;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at the GPUs of this machine and checks lumigrad's kernels on them.
#[derive(Parser)]
#[command(name = "lumigrad", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Devices(devices::Devices),
    Doctor(doctor::Doctor),
}

/// Why a command did not come to its end.
enum Failure {
    /// Something to tell the user.
    Message(String),
    /// Nobody reads the output any more.
    Closed,
}

impl From<lumigrad::Error> for Failure {
    fn from(error: lumigrad::Error) -> Self {
        Failure::Message(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Message(format!("writing the output: {error}")),
        }
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("lumigrad=warn")).init();
    let mut out = io::stdout().lock();
    let result = match Arguments::parse().command {
        Command::Devices(command) => command.run(&mut out),
        Command::Doctor(command) => command.run(&mut out),
    };
    match result.and_then(|code| out.flush().map(|()| code).map_err(Failure::from)) {
        Ok(code) => code,
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Message(message)) => {
            // Standard error may be closed as well.
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}
