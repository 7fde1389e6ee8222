//! Numbers and columns as people read them.

use std::io::IsTerminal;

/// Columns of the terminal that standard output goes to; no limit where it goes to a file or a program.
pub fn width() -> Option<usize> {
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    std::io::stdout().is_terminal().then(|| columns().unwrap_or(100))
}

/// Bytes in the largest unit that leaves a number of at least 1.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value.fract() >= 0.05 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A duration with three digits or fewer.
pub fn duration(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.0} µs", nanos as f64 / 1e3),
        1_000_000..100_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} ms", nanos as f64 / 1e6),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// An error in units of what is allowed: 1 is the most.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        0.0 => "0".into(),
        r if r.is_infinite() => "inf".into(),
        r if r < 0.001 => "<0.001".into(),
        r if r < 100.0 => format!("{r:.3}"),
        r => format!("{r:.1e}"),
    }
}

/// At most `width` characters, with a sign where something was left out.
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `1 case`, `2 cases`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A float for JSON, which has no infinities and no NaN: those become text.
pub fn json(x: f64) -> serde_json::Value {
    serde_json::Number::from_f64(x).map_or_else(|| format!("{x}").into(), serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!([0, 1000, 128 << 20, 3 << 29].map(bytes), ["0 bytes", "1000 bytes", "128 MiB", "1.5 GiB"]);
        assert_eq!(
            [999, 1_500, 2_500_000, 250_000_000, 61_000_000_000].map(duration),
            ["999 ns", "2 µs", "2.5 ms", "250 ms", "61.0 s"]
        );
    }

    #[test]
    fn ratios_and_columns() {
        assert_eq!([0.0, 1e-5, 0.5, 12345.0, f64::INFINITY].map(ratio), ["0", "<0.001", "0.500", "1.2e4", "inf"]);
        assert_eq!((fit("µabc", 4), fit("µabcd", 4)), ("µabc".into(), "µab…".into()));
        assert_eq!((json(f64::NAN), json(0.5)), ("NaN".into(), 0.5.into()));
    }
}
