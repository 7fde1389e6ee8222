//! Work grows as it should: the time of a training step of an MLP against its batch, its width and its depth.
//!
//!     cargo bench --bench growth [-- picture.svg]
//!
//! A row each: the time, the time of a unit of work, and the exponent of the growth since the row before: 1 where twice the
//! units take twice the time, less while something that does not grow still counts.

mod common;

use common::{device_time, train};
use lumigrad::optim::Adam;
use lumigrad::plot::{Chart, curves};
use lumigrad::{nn, prelude::*};

/// Steps of one network; `units` are what its time should be proportional to in the end.
struct Row {
    size: usize,
    units: f64,
    seconds: f64,
}

struct Table {
    title: &'static str,
    size: &'static str,
    unit: &'static str,
    rows: Vec<Row>,
}

fn main() -> Result<()> {
    let device = Device::current();
    println!("# {device}\nforward, cross-entropy, backward, Adam; medians of five rounds");
    let tables = [batches(&device), widths(&device), depths(&device)];
    match std::env::args().skip(1).find(|a| !a.starts_with("--")) {
        Some(path) => draw(&tables, &path),
        None => Ok(()),
    }
}

fn batches(device: &Device) -> Table {
    let mut table = Table::new("MLP 784-512-256-10", "batch", "sample");
    for batch in [16, 32, 64, 128, 256, 512, 1024] {
        table.add(batch, batch as f64, time(device, batch, 784, common::mlp()));
    }
    table
}

fn widths(device: &Device) -> Table {
    let mut table = Table::new("MLP 784-width-width-10, batch 32", "width", "million weights");
    for width in [128, 256, 512, 1024, 2048, 4096] {
        let layers = nn::Sequential::new().add(nn::Linear::new(784, width)).add(nn::ReLU);
        let model = layers.add(nn::Linear::new(width, width)).add(nn::ReLU).add(nn::Linear::new(width, 10));
        let weights: usize = model.parameters().iter().map(|p| p.numel()).sum();
        table.add(width, weights as f64 / 1e6, time(device, 32, 784, model));
    }
    table
}

fn depths(device: &Device) -> Table {
    let mut table = Table::new("layers of 64, batch 32", "layers", "layer");
    for depth in [2, 5, 10, 20, 50, 100, 200] {
        let hidden = |model: nn::Sequential, _| model.add(nn::Linear::new(64, 64)).add(nn::ReLU);
        let model = (1..depth).fold(nn::Sequential::new(), hidden).add(nn::Linear::new(64, 10));
        table.add(depth, depth as f64, time(device, 32, 64, model));
    }
    table
}

/// Seconds of a step.
fn time(device: &Device, batch: usize, features: usize, model: nn::Sequential) -> f64 {
    let x = Tensor::rand_on(&[batch, features], device);
    let labels: Vec<i32> = (0..batch).map(|i| i as i32 % 10).collect();
    let batch = [x, Tensor::from_slice_on(&labels, &[batch], device)];
    let mut optimizer = Adam::new(model.parameters(), 1e-3);
    let mut step = || drop(train(&model, &mut optimizer, &batch).expect("the step works"));
    device_time(device, 3, &mut step);
    // Rounds of a tenth of a second, or of one step.
    let calls = (0.1 / device_time(device, 1, &mut step).as_secs_f64()).clamp(1.0, 50.0) as u64;
    let mut rounds: Vec<f64> =
        (0..5).map(|_| device_time(device, calls, &mut step).as_secs_f64() / calls as f64).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[2]
}

impl Table {
    fn new(title: &'static str, size: &'static str, unit: &'static str) -> Table {
        println!("\n{title}\n{size:>10} {:>12} {:>24} {:>9}", "ms a step", format!("µs a {unit}"), "exponent");
        Table { title, size, unit, rows: Vec::new() }
    }

    fn add(&mut self, size: usize, units: f64, seconds: f64) {
        let grown = |last: &Row| (seconds / last.seconds).ln() / (units / last.units).ln();
        let exponent = self.rows.last().map_or(String::new(), |last| format!("{:.2}", grown(last)));
        println!("{size:>10} {:>12.3} {:>24.3} {exponent:>9}", seconds * 1e3, seconds / units * 1e6);
        self.rows.push(Row { size, units, seconds });
    }
}

/// Times, and beside them what they would be if each unit took what it takes in the largest.
fn draw(tables: &[Table], path: &str) -> Result<()> {
    let charts = tables.iter().map(|table| {
        let times = table.rows.iter().map(|row| (row.size as f64, row.seconds * 1e3));
        let last = table.rows.last().expect("every table has rows");
        let even = table.rows.iter().map(|row| (row.size as f64, row.units * last.seconds / last.units * 1e3));
        let chart = Chart::new(&format!("{}: ms a step", table.title)).x_label(table.size).log_x().log_y();
        chart.line("measured", times).line(&format!("the same for each {}", table.unit), even)
    });
    curves(&charts.collect::<Vec<_>>(), path)
}
