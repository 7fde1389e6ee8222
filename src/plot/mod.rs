//! Pictures as SVG files: curves of a training, confusion matrices, sheets of images. Needs the feature `plot`.
//!
//! ```
//! use lumigrad::plot::{Chart, curves};
//! # let dir = std::env::temp_dir().join("lumigrad-plot-doc");
//! let loss = Chart::new("loss").x_label("epoch").values("train", &[0.5, 0.2, 0.1]).values("validation", &[0.4, 0.3, 0.3]);
//! let accuracy = Chart::new("accuracy, %").x_label("epoch").values("validation", &[88.0, 91.5, 93.0]);
//! curves(&[loss, accuracy], dir.join("training.svg"))?;
//! # std::fs::remove_dir_all(dir).unwrap();
//! # Ok::<(), lumigrad::Error>(())
//! ```
//!
//! [`Curves`] is a logger that draws what a [`Trainer`](crate::train::Trainer) logs; [`confusion_matrix`] draws what a
//! [`ConfusionMatrix`](crate::metrics::ConfusionMatrix) counted; [`image_sheet`] and [`misclassified`] show images with
//! captions. A file is put in its place whole, and folders are made.

mod chart;
mod logger;
mod matrix;
mod sheet;
mod text;

pub use chart::{Chart, curves};
pub use logger::Curves;
pub use matrix::confusion_matrix;
pub use sheet::{image_sheet, misclassified};

use std::fmt::Display;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::{Error, Result};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Sizes of letters.
const TITLE: u32 = 14;
const SMALL: u32 = 11;

/// What goes wrong while something is drawn, as text: plotters has an error type for every kind of area.
type Drawn = std::result::Result<(), String>;

/// For `map_err`.
fn told(error: impl Display) -> String {
    error.to_string()
}

/// Draws a picture and puts the file in its place.
fn save(path: &Path, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
    save_with(path, size, "", draw)
}

/// [`save`] with elements of SVG on top.
fn save_with(path: &Path, size: (u32, u32), elements: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(told).and_then(|()| draw(&root)).and_then(|()| root.present().map_err(told))
    };
    drawn.map_err(|e| Error::format(path, format!("can't be drawn: {e}")))?;
    if let Some(end) = svg.rfind("</svg>") {
        svg.insert_str(end, elements);
    }
    crate::io::make_parent(path)?;
    crate::io::write_atomically(path, svg.as_bytes())
}
