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

/// Of each row, whose median counts. They go through all rows in turn, so that what else the machine does is in all alike.
const ROUNDS: usize = 5;

/// Seconds that a round of a row takes, unless one step takes longer.
const ROUND: f64 = 0.1;

/// A network of some size. Its time should be proportional to `units` in the end.
struct Row {
    size: usize,
    units: f64,
    step: Box<dyn FnMut()>,
    calls: u64,
    rounds: Vec<f64>,
}

struct Table {
    title: &'static str,
    size: &'static str,
    unit: &'static str,
    rows: Vec<Row>,
}

fn main() -> Result<()> {
    let device = Device::current();
    println!("# {device}\nforward, cross-entropy, backward, Adam; medians of {ROUNDS} rounds");
    let mut charts = Vec::new();
    for mut table in [batches(&device), widths(&device), depths(&device)] {
        table.measure(&device);
        table.print();
        charts.push(table.chart());
    }
    match std::env::args().skip(1).find(|a| !a.starts_with("--")) {
        Some(path) => curves(&charts, path),
        None => Ok(()),
    }
}

fn batches(device: &Device) -> Table {
    let row = |batch| Row::new(batch, batch as f64, device, [batch, 784], common::mlp());
    let rows = [16, 32, 64, 128, 256, 512, 1024].map(row).into();
    Table { title: "MLP 784-512-256-10", size: "batch", unit: "sample", rows }
}

fn widths(device: &Device) -> Table {
    let row = |width| {
        let layers = nn::Sequential::new().add(nn::Linear::new(784, width)).add(nn::ReLU);
        let model = layers.add(nn::Linear::new(width, width)).add(nn::ReLU).add(nn::Linear::new(width, 10));
        let weights: usize = model.parameters().iter().map(|p| p.numel()).sum();
        Row::new(width, weights as f64 / 1e6, device, [32, 784], model)
    };
    let rows = [128, 256, 512, 1024, 2048, 4096].map(row).into();
    Table { title: "MLP 784-width-width-10, batch 32", size: "width", unit: "million weights", rows }
}

fn depths(device: &Device) -> Table {
    let row = |depth| {
        let hidden = |model: nn::Sequential, _| model.add(nn::Linear::new(64, 64)).add(nn::ReLU);
        let model = (1..depth).fold(nn::Sequential::new(), hidden).add(nn::Linear::new(64, 10));
        Row::new(depth, depth as f64, device, [32, 64], model)
    };
    let rows = [2, 5, 10, 20, 50, 100, 200].map(row).into();
    Table { title: "layers of 64, batch 32", size: "layers", unit: "layer", rows }
}

impl Row {
    fn new(size: usize, units: f64, device: &Device, shape: [usize; 2], model: nn::Sequential) -> Row {
        let labels: Vec<i32> = (0..shape[0]).map(|i| i as i32 % 10).collect();
        let batch = [Tensor::rand_on(&shape, device), Tensor::from_slice_on(&labels, &shape[..1], device)];
        let mut optimizer = Adam::new(model.parameters(), 1e-3);
        let mut step: Box<dyn FnMut()> =
            Box::new(move || drop(train(&model, &mut optimizer, &batch).expect("the step works")));
        device_time(device, 3, &mut step);
        let calls = (ROUND / device_time(device, 1, &mut step).as_secs_f64()).clamp(1.0, 50.0) as u64;
        Row { size, units, step, calls, rounds: Vec::new() }
    }

    /// The median time of a step.
    fn seconds(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    }
}

impl Table {
    fn measure(&mut self, device: &Device) {
        for _ in 0..ROUNDS {
            for row in &mut self.rows {
                let seconds = device_time(device, row.calls, &mut row.step).as_secs_f64();
                row.rounds.push(seconds / row.calls as f64);
            }
        }
    }

    fn print(&self) {
        println!("\n{}", self.title);
        println!("{:>10} {:>12} {:>24} {:>9}", self.size, "ms a step", format!("µs a {}", self.unit), "exponent");
        for (i, row) in self.rows.iter().enumerate() {
            let (size, units, seconds) = (row.size, row.units, row.seconds());
            let grown = |before: &Row| (seconds / before.seconds()).ln() / (units / before.units).ln();
            let exponent = i.checked_sub(1).map_or(String::new(), |before| format!("{:.2}", grown(&self.rows[before])));
            println!("{size:>10} {:>12.3} {:>24.1} {exponent:>9}", seconds * 1e3, seconds / units * 1e6);
        }
    }

    /// The times, and what they would be if each unit took what it takes in the largest network.
    fn chart(&self) -> Chart {
        let last = self.rows.last().expect("every table has rows");
        let each = last.seconds() / last.units;
        let times = self.rows.iter().map(|row| (row.size as f64, row.seconds() * 1e3));
        let even = self.rows.iter().map(|row| (row.size as f64, row.units * each * 1e3));
        let chart = Chart::new(&format!("{}: ms a step", self.title)).x_label(self.size).log_x().log_y();
        chart.line("measured", times).line(&format!("if each {} took the same", self.unit), even)
    }
}
