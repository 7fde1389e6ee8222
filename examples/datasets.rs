//! Fetches a published data set, says what is in it, and draws a sample.
//!
//!     cargo run --features download --example datasets -- fashion
//!     cargo run --features download --example datasets -- mnist --dir data/mnist
//!
//! Files go into the cache (`~/.cache/lumigrad` on Linux) unless `--dir` names a folder. What is there is not fetched
//! again; an interrupted transfer is gone on with. `--offline` or `LUMIGRAD_OFFLINE=1` says what is missing instead.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use lumigrad::Result;
use lumigrad::data::{Cifar, Dataset, Mnist, Split, download::Downloader};

/// Fetches a data set and shows what is in it.
#[derive(Parser)]
struct Args {
    /// Which one.
    name: Name,
    /// Where the files go, instead of the cache.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Uses only what is there already.
    #[arg(long)]
    offline: bool,
    /// The sample to draw.
    #[arg(long, default_value_t = 0)]
    sample: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Mnist,
    Fashion,
    Kmnist,
    Cifar10,
    Cifar100,
}

fn main() -> ExitCode {
    env_logger::init();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let folder = match args.name {
        Name::Mnist => "mnist",
        Name::Fashion => "fashion-mnist",
        Name::Kmnist => "kmnist",
        Name::Cifar10 | Name::Cifar100 => "cifar",
    };
    let mut downloader = match &args.dir {
        Some(dir) => Downloader::new(dir),
        None => Downloader::cached(folder)?,
    };
    if args.offline {
        downloader = downloader.offline(true);
    }
    let load = |split| -> Result<Box<dyn Dataset>> {
        Ok(match args.name {
            Name::Mnist => Box::new(Mnist::download_with(&downloader, split)?),
            Name::Fashion => Box::new(Mnist::download_fashion_with(&downloader, split)?),
            Name::Kmnist => Box::new(Mnist::download_kmnist_with(&downloader, split)?),
            Name::Cifar10 => Box::new(Cifar::download_10_with(&downloader, split)?),
            Name::Cifar100 => Box::new(Cifar::download_100_with(&downloader, split)?),
        })
    };
    let (train, test) = (load(Split::Train)?, load(Split::Test)?);
    println!("{} training and {} test samples in {}", train.len(), test.len(), downloader.dir().display());
    for field in train.fields() {
        println!("{}: {} {:?}", field.name, field.kind, field.shape);
    }
    draw(&*train, args.sample)
}

/// A sample's picture in characters, a channel of it.
fn draw(data: &dyn Dataset, index: usize) -> Result<()> {
    let sample = data.get(index)?;
    let (picture, label) = (&sample[0], &sample[1]);
    let width = *picture.shape().last().expect("a picture has a width");
    let height = picture.shape()[picture.shape().len() - 2];
    let shades: Vec<char> = " .:-=+*#%@".chars().collect();
    for row in picture.as_slice::<u8>().expect("pictures are bytes").chunks(width).take(height) {
        let line = row.iter().flat_map(|&pixel| [shades[usize::from(pixel) * shades.len() / 256]; 2]);
        println!("{}", line.collect::<String>().trim_end());
    }
    println!("label {}", label.as_slice::<i32>().expect("labels are integers")[0]);
    Ok(())
}
