//! Text of about the width that it will have: an SVG file knows nothing of the fonts that it is shown with.

use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Area, Drawn, told};

/// Pixels that a text of this font size takes. Most fonts are narrower.
pub(super) fn width(text: &str, size: u32) -> u32 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | '[' | ']' | ' ' => {
            0.36
        }
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '→' | '…' => 0.98,
        c if c.is_uppercase() => 0.74,
        c if u32::from(c) >= 0x1100 => 1.05,
        _ => 0.61,
    };
    (text.chars().map(em).sum::<f64>() * f64::from(size)).ceil() as u32
}

/// The text, or as much of its beginning and end as fits: names often differ at their ends.
pub(super) fn fitting(text: &str, size: u32, pixels: u32) -> String {
    if width(text, size) <= pixels {
        return text.to_string();
    }
    let chars: Vec<char> = text.chars().collect();
    let cut = |kept: usize| {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let head: String = chars[..head].iter().collect();
        let tail: String = chars[chars.len() - tail..].iter().collect();
        format!("{}…{}", head.trim_end(), tail.trim_start())
    };
    (0..chars.len()).rev().map(cut).find(|cut| width(cut, size) <= pixels).unwrap_or_else(|| "…".into())
}

/// Where a text stands at its point.
#[derive(Clone, Copy)]
pub(super) enum At {
    Left,
    Middle,
    Right,
    /// Below its point, read from bottom to top.
    Upwards,
    /// Around its point, read from bottom to top.
    UpwardsMiddle,
}

pub(super) fn write(area: &Area<'_>, text: &str, point: (i32, i32), size: u32, color: &RGBColor, at: At) -> Drawn {
    // plotters' back end writes a size divided by this.
    let font = ("sans-serif", f64::from(size) * 1.24).into_font();
    let (font, pos) = match at {
        At::Left => (font, Pos::new(HPos::Left, VPos::Center)),
        At::Middle => (font, Pos::new(HPos::Center, VPos::Center)),
        At::Right => (font, Pos::new(HPos::Right, VPos::Center)),
        At::Upwards => (font.transform(FontTransform::Rotate270), Pos::new(HPos::Right, VPos::Center)),
        At::UpwardsMiddle => (font.transform(FontTransform::Rotate270), Pos::new(HPos::Center, VPos::Center)),
    };
    let style = TextStyle::from(font).color(color).pos(pos);
    area.draw(&Text::new(text.to_string(), point, style)).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(fitting("cat", 12, 100), "cat");
        let cut = fitting("a very long name of a class", 12, 80);
        assert!(cut.starts_with("a ver") && cut.ends_with("lass") && width(&cut, 12) <= 80, "{cut}");
        assert_eq!(fitting("cat", 12, 0), "…");
    }
}
