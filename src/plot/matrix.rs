//! A confusion matrix.

use std::path::Path;

use plotters::prelude::*;

use super::text::{At, fitting, width, write};
use super::{Area, Drawn, SMALL, TITLE, save, told};
use crate::metrics::{Confusion, Normalize};
use crate::{Error, Result};

/// Pixels of a class's name at most.
const MOST_NAME: u32 = 150;
/// The colour of 100 %.
const FULL: RGBColor = RGBColor(8, 81, 156);

/// Draws a confusion matrix to an SVG file: a row a true class, a column a predicted one, with counts where they have
/// room, coloured by the share of the true class.
///
/// `names` are those of the classes; without any they are numbered.
///
/// ```
/// use lumigrad::metrics::Confusion;
/// # let dir = std::env::temp_dir().join("lumigrad-matrix-doc");
/// # let path = dir.join("confusion.svg");
/// let confusion = Confusion::from_rows(&[vec![9, 1], vec![3, 7]]);
/// lumigrad::plot::confusion_matrix(&confusion, &["cat", "dog"], &path)?;
/// # assert!(std::fs::read_to_string(&path).unwrap().contains("dog"));
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// When there are not as many names as classes, or the file can't be written.
pub fn confusion_matrix(confusion: &Confusion, names: &[&str], path: impl AsRef<Path>) -> Result<()> {
    let classes = confusion.classes();
    if !names.is_empty() && names.len() != classes {
        let detail = format!("{} names were given for {classes} classes", names.len());
        return Err(Error::argument("confusion_matrix", detail));
    }
    let names: Vec<String> = match names.is_empty() {
        true => (0..classes).map(|class| class.to_string()).collect(),
        false => names.iter().map(|name| name.to_string()).collect(),
    };
    let plan = Plan::of(confusion, &names);
    save(path.as_ref(), plan.size, |root| plan.draw(root, confusion))
}

/// Where everything goes.
struct Plan {
    names: Vec<String>,
    title: String,
    cell: i32,
    /// Size of the classes' names.
    font: u32,
    /// Size of the counts, if they fit.
    counts: Option<u32>,
    /// Whether the names below are read from bottom to top.
    upwards: bool,
    left: i32,
    top: i32,
    size: (u32, u32),
}

impl Plan {
    fn of(confusion: &Confusion, names: &[String]) -> Plan {
        let classes = confusion.classes() as u32;
        let cell: u32 = match classes {
            0..=12 => 46,
            13..=24 => 34,
            25..=48 => 22,
            _ => 12,
        };
        let font = SMALL.min(cell - 3);
        let names: Vec<String> = names.iter().map(|name| fitting(name, font, MOST_NAME)).collect();
        let longest = names.iter().map(|name| width(name, font)).max().unwrap_or(0);
        let upwards = longest + 4 > cell;
        let most = confusion.rows().concat().iter().max().map_or(String::new(), u64::to_string);
        let counts = (7..=SMALL).rev().find(|&font| width(&most, font) + 4 <= cell);
        // Rounded down: 100 % has no mistakes.
        let percent = (10_000.0 * confusion.accuracy()).floor() / 100.0;
        let title = format!("{percent:.2} % of {} samples right", confusion.total());
        let (left, top) = (30 + longest + 8, 40);
        let side = classes * cell;
        let below = if upwards { longest } else { font } + 38;
        let size = (left + side + 80, top + side.max(100) + below);
        let size = (size.0.max(width(&title, TITLE) + 40), size.1);
        let (cell, left, top) = (cell as i32, left as i32, top as i32);
        Plan { names, title, cell, font, counts, upwards, left, top, size }
    }

    fn draw(&self, area: &Area<'_>, confusion: &Confusion) -> Drawn {
        let side = self.cell * self.names.len() as i32;
        let (middle_x, middle_y) = (self.left + side / 2, self.top + side / 2);
        write(area, &self.title, (self.size.0 as i32 / 2, 20), TITLE, &BLACK, At::Middle)?;
        let shares = confusion.normalized(Normalize::True);
        for (truth, row) in shares.iter().enumerate() {
            for (predicted, &share) in row.iter().enumerate() {
                let count = confusion.count(truth, predicted);
                if count == 0 {
                    continue;
                }
                let (x, y) = (self.left + self.cell * predicted as i32, self.top + self.cell * truth as i32);
                let corners = [(x, y), (x + self.cell, y + self.cell)];
                area.draw(&Rectangle::new(corners, shade(share).filled())).map_err(told)?;
                if let Some(font) = self.counts {
                    let color = if share > 0.3 { WHITE } else { BLACK };
                    let middle = (x + self.cell / 2, y + self.cell / 2);
                    write(area, &count.to_string(), middle, font, &color, At::Middle)?;
                }
            }
        }
        let frame = [(self.left, self.top), (self.left + side, self.top + side)];
        area.draw(&Rectangle::new(frame, RGBColor(120, 120, 120))).map_err(told)?;
        for (i, name) in self.names.iter().enumerate() {
            let along = self.cell * i as i32 + self.cell / 2;
            write(area, name, (self.left - 6, self.top + along), self.font, &BLACK, At::Right)?;
            let below = (self.left + along, self.top + side + if self.upwards { 6 } else { 6 + self.font as i32 / 2 });
            write(area, name, below, self.font, &BLACK, if self.upwards { At::Upwards } else { At::Middle })?;
        }
        write(area, "true class", (14, middle_y), SMALL, &BLACK, At::UpwardsMiddle)?;
        write(area, "predicted class", (middle_x, self.size.1 as i32 - 14), SMALL, &BLACK, At::Middle)?;
        self.scale(area, self.left + side + 20, side.clamp(100, 300))
    }

    /// What the colours mean.
    fn scale(&self, area: &Area<'_>, x: i32, height: i32) -> Drawn {
        let steps = 50;
        for i in 0..steps {
            let (from, to) = (self.top + height * i / steps, self.top + height * (i + 1) / steps);
            let share = 1.0 - (f64::from(i) + 0.5) / f64::from(steps);
            area.draw(&Rectangle::new([(x, from), (x + 12, to)], shade(share).filled())).map_err(told)?;
        }
        area.draw(&Rectangle::new([(x, self.top), (x + 12, self.top + height)], RGBColor(120, 120, 120)))
            .map_err(told)?;
        for (share, at) in [("100 %", 0), ("50 %", height / 2), ("10 %", height * 9 / 10)] {
            write(area, share, (x + 16, self.top + at), 10, &BLACK, At::Left)?;
        }
        Ok(())
    }
}

/// White for none, and darker for more; by the root, so that few are seen beside many.
fn shade(share: f64) -> RGBColor {
    let mix = |full: u8| (255.0 + (f64::from(full) - 255.0) * share.clamp(0.0, 1.0).sqrt()).round() as u8;
    RGBColor(mix(FULL.0), mix(FULL.1), mix(FULL.2))
}
