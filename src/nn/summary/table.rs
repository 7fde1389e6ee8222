//! The table as text.

use std::fmt;

use super::{Summary, SummaryRow};

const HEADER: [&str; 6] = ["Layer", "Output shape", "Parameters", "Trainable", "Mult-adds", "Memory"];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<&SummaryRow> = self.rows.iter().filter(|row| row.depth <= self.max_depth).collect();
        let mut lines = vec![HEADER.map(str::to_string)];
        lines.extend(shown.iter().enumerate().map(|(i, row)| cells(row, &branch(&shown, i))));
        let widths: Vec<usize> =
            (0..HEADER.len()).map(|column| lines.iter().map(|line| width(&line[column])).max().unwrap_or(0)).collect();
        let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        for (i, line) in lines.iter().enumerate() {
            write_line(f, line, &widths)?;
            if i == 0 {
                writeln!(f, "{rule}")?;
            }
        }
        writeln!(f, "{rule}")?;
        self.write_totals(f)
    }
}

impl Summary {
    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trainable = match (self.trainable(), self.parameters()) {
            (some, all) if some == all => "all of them trainable".to_string(),
            (0, _) => "none of them trainable".to_string(),
            (some, all) => format!("{} of them trainable, {} frozen", grouped(some), grouped(all - some)),
        };
        let whole = self.whole();
        writeln!(f, "{} parameters, {trainable}", grouped(self.parameters()))?;
        writeln!(f, "{} multiply-adds", amount(self.mult_adds(), ["", " k", " M", " G", " T"]))?;
        let [total, input, state, activations] =
            [self.total_bytes(), self.input_bytes, whole.state_bytes, whole.activation_bytes].map(bytes);
        write!(f, "{total}: input {input}, parameters and buffers {state}, activations {activations}")
    }
}

/// The first two columns begin at the left, numbers end at the right.
fn write_line(f: &mut fmt::Formatter<'_>, line: &[String; 6], widths: &[usize]) -> fmt::Result {
    let mut text = String::new();
    for (column, cell) in line.iter().enumerate() {
        let gap = " ".repeat(widths[column] - width(cell));
        let cell = if column < 2 { format!("{cell}{gap}") } else { format!("{gap}{cell}") };
        text.push_str(if column > 0 { "  " } else { "" });
        text.push_str(&cell);
    }
    writeln!(f, "{}", text.trim_end())
}

fn cells(row: &SummaryRow, branch: &str) -> [String; 6] {
    let name = row.path.rsplit('.').next().unwrap_or_default();
    let layer = if row.depth == 0 { row.type_name.clone() } else { format!("{branch}{name}: {}", row.type_name) };
    let mut shapes: Vec<String> = row.output_shapes.iter().map(|shape| format!("{shape:?}")).collect();
    if shapes.is_empty() {
        shapes.push(if row.calls == 0 { "not called" } else { "-" }.into());
    }
    [
        layer,
        shapes.join(", "),
        grouped(row.parameters),
        grouped(row.trainable),
        amount(row.mult_adds, ["", " k", " M", " G", " T"]),
        bytes(row.state_bytes + row.activation_bytes),
    ]
}

/// The lines of the tree before a row's name.
fn branch(rows: &[&SummaryRow], i: usize) -> String {
    // Whether another module follows in the same parent, at each depth from 1 to the row's own.
    let follows =
        |depth: usize| rows[i + 1..].iter().find(|row| row.depth <= depth).is_some_and(|row| row.depth == depth);
    let own = rows[i].depth;
    let mut text: String = (1..own).map(|depth| if follows(depth) { "│  " } else { "   " }).collect();
    if own > 0 {
        text.push_str(if follows(own) { "├─ " } else { "└─ " });
    }
    text
}

/// `11,689,512`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: u64) -> String {
    amount(number, [" B", " kB", " MB", " GB", " TB"])
}

/// Four digits and a unit: `1.814 G`.
fn amount(number: u64, units: [&str; 5]) -> String {
    let (mut value, mut unit) = (number as f64, 0);
    // What would be rounded to 1000 has the next unit.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        return format!("{number}{}", units[0]);
    }
    let digits = if value < 9.9995 {
        3
    } else if value < 99.995 {
        2
    } else {
        1
    };
    format!("{value:.digits$}{}", units[unit])
}

/// Columns of a terminal that a text takes.
fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// East Asian and other wide characters take two columns, marks that go on the character before none.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_four_digits() {
        let units = ["", " k", " M", " G", " T"];
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1.000 k"),
            (9_999, "9.999 k"),
            (99_999, "100.0 k"),
            (999_940, "999.9 k"),
            (999_960, "1.000 M"),
            (1_814_073_344, "1.814 G"),
            (u64::MAX, "18446744.1 T"),
        ];
        for (number, expected) in cases {
            assert_eq!(amount(number, units), expected);
        }
        assert_eq!([0, 12, 1234, 11_689_512].map(grouped), ["0", "12", "1,234", "11,689,512"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("層"), width("e\u{301}é"), width("🦀a")), (2, 2, 3));
    }
}
