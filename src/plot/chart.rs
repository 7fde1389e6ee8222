//! Curves.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use super::text::{At, fitting, width, write};
use super::{Area, Drawn, SMALL, TITLE, save, told};
use crate::{Error, Result};

/// Lines over one axis, one panel of a picture.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    title: String,
    x_label: String,
    y_range: Option<(f64, f64)>,
    log_x: bool,
    log_y: bool,
    series: Vec<(String, Vec<(f64, f64)>)>,
}

/// Size of a panel.
const PANEL: (u32, u32) = (450, 340);
/// Points of a line at most; of more, the highest and lowest of neighbours are drawn.
const MOST_POINTS: usize = 2000;
/// Points up to which each is marked.
const MARKED: usize = 40;

const COLORS: [RGBColor; 10] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
];

/// The colour of a line; those after the tenth are paler.
fn color(line: usize) -> RGBColor {
    let RGBColor(r, g, b) = COLORS[line % COLORS.len()];
    if line < COLORS.len() { RGBColor(r, g, b) } else { RGBColor(r / 2 + 127, g / 2 + 127, b / 2 + 127) }
}

impl Chart {
    /// An empty one with this title.
    pub fn new(title: &str) -> Self {
        Chart { title: title.into(), ..Chart::default() }
    }

    /// What the horizontal axis counts.
    pub fn x_label(mut self, text: &str) -> Self {
        self.x_label = text.into();
        self
    }

    /// What the vertical axis shows; without it, all values.
    pub fn y_range(mut self, range: Range<f64>) -> Self {
        self.y_range = Some((range.start, range.end));
        self
    }

    /// A horizontal axis by powers of ten. Points at 0 or below leave gaps.
    pub fn log_x(mut self) -> Self {
        self.log_x = true;
        self
    }

    /// A vertical axis by powers of ten. Points at 0 or below leave gaps.
    pub fn log_y(mut self) -> Self {
        self.log_y = true;
        self
    }

    /// Adds a line through these points. One that is not finite leaves a gap.
    pub fn line(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series.push((name.into(), points.into_iter().collect()));
        self
    }

    /// Adds a line through these values, at 1, 2, 3, …
    pub fn values(self, name: &str, values: &[f64]) -> Self {
        let points: Vec<(f64, f64)> = (1..).map(f64::from).zip(values.iter().copied()).collect();
        self.line(name, points)
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let (pixels, _) = area.dim_in_pixel();
        write(area, &fitting(&self.title, TITLE, pixels - 20), (pixels as i32 / 2, 18), TITLE, &BLACK, At::Middle)?;
        let lines = self.legend(area, 34)?;
        let (_, plot) = area.split_vertically(34 + 16 * lines);
        let drawn: Vec<Vec<(f64, f64)>> = self.series.iter().map(|(_, points)| self.scaled(points)).collect();
        let (Some(x), Some(y)) = (range(&drawn, |p| p.0), range(&drawn, |p| p.1)) else {
            return write(area, "no values", (pixels as i32 / 2, PANEL.1 as i32 / 2), SMALL, &BLACK, At::Middle);
        };
        let whole = self.series.iter().flat_map(|(_, points)| points).all(|p| p.0.fract() == 0.0);
        let asked = self.y_range.map(|(low, high)| (scale(low, self.log_y), scale(high, self.log_y)));
        let y = asked.filter(is_finite).unwrap_or(padded(y));
        let frame = Frame::new(&plot, x, y, |x, y| {
            let of_x = if self.log_x { Ticks::log(x, 6) } else { Ticks::of(x, 6, whole) };
            (of_x, if self.log_y { Ticks::log(y, 7) } else { Ticks::of(y, 7, false) })
        });
        frame.draw(&plot, &fitting(&self.x_label, SMALL, pixels - 80))?;
        for (i, points) in drawn.iter().enumerate() {
            let color = color(i);
            let (marked, thin) = (points.len() <= MARKED, thinned(points));
            for part in thin.split(|p| !is_finite(p)).filter(|part| !part.is_empty()) {
                let pixels: Vec<(i32, i32)> = part.iter().map(|&p| frame.pixel(p)).collect();
                if marked || part.len() == 1 {
                    let mut dots = pixels.iter().map(|&p| Circle::new(p, 3, color.filled()));
                    dots.try_for_each(|dot| plot.draw(&dot)).map_err(told)?;
                }
                plot.draw(&PathElement::new(pixels, color.stroke_width(2))).map_err(told)?;
            }
        }
        Ok(())
    }

    /// Names with their colours, as many beside each other as fit; gives the number of lines.
    fn legend(&self, area: &Area<'_>, top: i32) -> std::result::Result<u32, String> {
        let (pixels, _) = area.dim_in_pixel();
        let most = pixels - 40;
        let entries: Vec<(String, u32)> = self
            .series
            .iter()
            .map(|(name, _)| {
                let name = fitting(name, SMALL, most - 40);
                let wide = width(&name, SMALL) + 44;
                (name, wide)
            })
            .collect();
        let mut rows: Vec<(u32, Vec<usize>)> = Vec::new();
        for (i, (_, wide)) in entries.iter().enumerate() {
            match rows.last_mut().filter(|(used, _)| used + wide <= most) {
                Some((used, row)) => {
                    *used += wide;
                    row.push(i);
                }
                None => rows.push((*wide, vec![i])),
            }
        }
        for (line, (used, row)) in rows.iter().enumerate() {
            let (mut x, y) = ((pixels.saturating_sub(*used) / 2) as i32 + 8, top + 16 * line as i32 + 6);
            for &i in row {
                let color = color(i);
                area.draw(&PathElement::new(vec![(x, y), (x + 20, y)], color.stroke_width(2))).map_err(told)?;
                write(area, &entries[i].0, (x + 26, y), SMALL, &BLACK, At::Left)?;
                x += entries[i].1 as i32;
            }
        }
        Ok(rows.len() as u32)
    }

    /// The points as the axes have them.
    fn scaled(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        points.iter().map(|&(x, y)| (scale(x, self.log_x), scale(y, self.log_y))).collect()
    }
}

/// A number on an axis; what has no logarithm is not finite.
fn scale(value: f64, log: bool) -> f64 {
    if log { value.log10() } else { value }
}

/// The lowest and highest coordinate of all points.
fn range(lines: &[Vec<(f64, f64)>], coordinate: impl Fn(&(f64, f64)) -> f64) -> Option<(f64, f64)> {
    let all = lines.iter().flatten().filter(|p| is_finite(p)).map(coordinate);
    all.fold(None, |range, v| Some(range.map_or((v, v), |(lo, hi): (f64, f64)| (lo.min(v), hi.max(v)))))
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The range with a twentieth of it on either side, and never empty.
fn padded((low, high): (f64, f64)) -> (f64, f64) {
    let pad = match high - low {
        span if span > 0.0 => span / 20.0,
        _ if low == 0.0 => 0.5,
        _ => low.abs() / 10.0,
    };
    (low - pad, high + pad)
}

/// The axes, and where values are between them.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    ticks: (Ticks, Ticks),
    /// Left, top, right and bottom.
    edges: [i32; 4],
}

impl Frame {
    fn new(
        area: &Area<'_>,
        x: (f64, f64),
        y: (f64, f64),
        ticks: impl FnOnce((f64, f64), (f64, f64)) -> (Ticks, Ticks),
    ) -> Frame {
        let (wide, high) = area.dim_in_pixel();
        let x = if x.0 < x.1 { x } else { (x.0 - 0.5, x.1 + 0.5) };
        let y = if y.0 < y.1 { y } else { padded((y.0, y.0)) };
        let ticks = ticks(x, y);
        let edges = [ticks.1.width as i32 + 22, 12, wide as i32 - 26, high as i32 - 48];
        Frame { x, y, ticks, edges }
    }

    /// Where a point is; one outside is on the edge.
    fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let [left, top, right, bottom] = self.edges;
        let between = |(from, to): (f64, f64), v: f64| ((v - from) / (to - from)).clamp(0.0, 1.0);
        let (x, y) = (between(self.x, x) * f64::from(right - left), between(self.y, y) * f64::from(bottom - top));
        (left + x.round() as i32, bottom - y.round() as i32)
    }

    fn draw(&self, area: &Area<'_>, x_label: &str) -> Drawn {
        let [left, top, right, bottom] = self.edges;
        let line = |from, to, color: RGBColor| area.draw(&PathElement::new(vec![from, to], color)).map_err(told);
        let (grid, axis) = (RGBColor(228, 228, 228), RGBColor(90, 90, 90));
        for (tick, text) in &self.ticks.1.at {
            let (_, y) = self.pixel((self.x.0, *tick));
            line((left, y), (right, y), grid)?;
            write(area, text, (left - 6, y), SMALL, &BLACK, At::Right)?;
        }
        for (tick, text) in &self.ticks.0.at {
            let (x, _) = self.pixel((*tick, self.y.0));
            line((x, bottom), (x, bottom + 4), axis)?;
            write(area, text, (x, bottom + 14), SMALL, &BLACK, At::Middle)?;
        }
        line((left, top), (left, bottom), axis)?;
        line((left, bottom), (right, bottom), axis)?;
        write(area, x_label, ((left + right) / 2, bottom + 34), SMALL, &BLACK, At::Middle)
    }
}

/// Round numbers on an axis.
struct Ticks {
    at: Vec<(f64, String)>,
    /// Pixels of the widest.
    width: u32,
}

impl Ticks {
    /// About `count` multiples of 1, 2 or 5 times a power of ten in the range.
    fn of((low, high): (f64, f64), count: u32, whole: bool) -> Ticks {
        let raw = (high - low) / f64::from(count);
        let power = 10f64.powf(raw.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= raw * 0.999).unwrap_or(10.0);
        let step = if whole { (factor * power).max(1.0) } else { factor * power };
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let numbers = (0..=(last - first).clamp(0.0, 100.0) as u32).map(|i| (first + f64::from(i)) * step);
        let numbers: Vec<f64> = numbers.collect();
        let most = numbers.iter().fold(0f64, |most, v| most.max(v.abs()));
        Ticks::with_texts(numbers.into_iter().map(|v| (v, text(v, step, most))).collect())
    }

    /// Powers of ten in a range of logarithms, and where these are few, twice and five times them.
    fn log((low, high): (f64, f64), count: u32) -> Ticks {
        let (first, last) = ((low - 1.0).floor() as i32, high.ceil() as i32);
        let decades = ((high - low) / f64::from(count)).ceil().max(1.0) as i32;
        let factors: &[f64] = if 3.0 * (high - low) <= f64::from(count) + 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (first..=last).filter(|power| power % decades == 0);
        let all = powers
            .flat_map(|power| factors.iter().map(move |factor| (factor.log10() + f64::from(power), power, *factor)));
        let inside = all.filter(|(at, ..)| (low - 1e-9..=high + 1e-9).contains(at));
        let at: Vec<(f64, String)> = inside
            .map(|(at, power, factor)| {
                let value = factor * 10f64.powi(power);
                let decimals = (-power).max(0) as usize;
                (at, if (-4..6).contains(&power) { format!("{value:.decimals$}") } else { format!("{factor}e{power}") })
            })
            .collect();
        if at.len() > 1 {
            return Ticks::with_texts(at);
        }
        // Less than a decade: round numbers, where their logarithms are.
        let plain = Ticks::of((10f64.powf(low), 10f64.powf(high)), count, false);
        Ticks { at: plain.at.into_iter().map(|(v, text)| (v.log10(), text)).collect(), ..plain }
    }

    fn with_texts(at: Vec<(f64, String)>) -> Ticks {
        let width = at.iter().map(|(_, text)| width(text, SMALL)).max().unwrap_or(0);
        Ticks { at, width }
    }
}

/// One of several numbers, `step` apart and none above `most`.
fn text(value: f64, step: f64, most: f64) -> String {
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    if most >= 1e7 || decimals > 5 {
        // As many digits as tell two of them apart.
        let digits = if most > 0.0 { ((most / step).log10()).ceil().clamp(0.0, 8.0) as usize } else { 0 };
        return if value == 0.0 { "0".into() } else { format!("{value:.digits$e}") };
    }
    // No negative zero.
    format!("{:.decimals$}", if value.abs() < step / 2.0 { 0.0 } else { value })
}

/// At most `MOST_POINTS` of the points: the lowest and the highest of each stretch, in their order.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MOST_POINTS / 2);
    let extremes = points.chunks(stretch).flat_map(|part| {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (part.iter().min_by(by), part.iter().max_by(by));
        let mut both: Vec<(f64, f64)> = low.into_iter().chain(high).copied().collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        both
    });
    extremes.collect()
}

/// Draws charts side by side, two in a row, to an SVG file.
///
/// # Errors
/// When there is no chart, or the file can't be written.
pub fn curves(charts: &[Chart], path: impl AsRef<Path>) -> Result<()> {
    if charts.is_empty() {
        return Err(Error::argument("curves", "there is no chart"));
    }
    let columns = charts.len().min(2);
    let rows = charts.len().div_ceil(columns);
    let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32);
    save(path.as_ref(), size, |root| {
        let areas = root.split_evenly((rows, columns));
        areas.iter().zip(charts).try_for_each(|(area, chart)| chart.draw(area))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let texts = |range, whole| Ticks::of(range, 7, whole).at.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts((1.0, 2.0), true), ["1", "2"]);
        assert_eq!(texts((-0.13, 0.21), false), ["-0.10", "-0.05", "0.00", "0.05", "0.10", "0.15", "0.20"]);
        assert_eq!(texts((0.0, 62_500.0), true), ["0", "10000", "20000", "30000", "40000", "50000", "60000"]);
        assert_eq!(texts((1e-9, 3e-9), false), ["1.0e-9", "1.5e-9", "2.0e-9", "2.5e-9", "3.0e-9"]);
        assert_eq!(texts((5.0, 5.0), false).len(), 1);
    }

    #[test]
    fn ticks_of_logarithms_are_round() {
        let texts = |low: f64, high: f64| {
            let at = Ticks::log((low.log10(), high.log10()), 6).at;
            assert!(at.iter().all(|(v, text)| (10f64.powf(*v) / text.parse::<f64>().unwrap() - 1.0).abs() < 1e-9));
            at.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts(16.0, 1024.0), ["20", "50", "100", "200", "500", "1000"]);
        assert_eq!(texts(0.002, 0.09), ["0.002", "0.005", "0.01", "0.02", "0.05"]);
        assert_eq!(texts(1e-3, 1e3), ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(texts(3.0, 4.2), ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0", "4.2"]);
        assert_eq!(texts(1e-30, 1e30).len(), 7);
    }

    #[test]
    fn many_points_keep_their_peaks() {
        let points: Vec<(f64, f64)> =
            (0..50_000).map(|i| (f64::from(i), if i == 31_234 { 9.0 } else { 0.1 })).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS && thin.contains(&(31_234.0, 9.0)) && thin.is_sorted_by_key(|p| p.0));
    }
}
