//! Pictures: what is in them, that no text is cut or lies on another, and what is refused.

use std::path::Path;

use lumigrad::metrics::Confusion;
use lumigrad::plot::{Chart, Curves, confusion_matrix, curves, image_sheet, misclassified};
use lumigrad::prelude::*;
use lumigrad::train::Logger;

/// A piece of text and about the place that it takes.
#[derive(Debug)]
struct Label {
    text: String,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

fn labels(svg: &str) -> Vec<Label> {
    let label = |part: &str| {
        let (tag, rest) = part.split_once('>').unwrap();
        let text = rest.split("</text>").next().unwrap().trim().to_string();
        let number = |name: &str| attribute(tag, name).unwrap().parse::<f64>().unwrap();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        let wide = 0.5 * size * text.chars().count() as f64;
        let (before, after) = match attribute(tag, "text-anchor").unwrap() {
            "start" => (0.0, wide),
            "middle" => (wide / 2.0, wide / 2.0),
            _ => (wide, 0.0),
        };
        let half = size * 0.4;
        let [left, top, right, bottom] = match attribute(tag, "transform") {
            // Read from bottom to top.
            Some(_) => [x - half, y - after, x + half, y + before],
            None => [x - before, y - half, x + after, y + half],
        };
        Label { text, left, top, right, bottom }
    };
    svg.split("<text").skip(1).map(label).collect()
}

/// The picture's text, after a look at where it is.
fn read(path: &Path) -> String {
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", path.display());
    let size = |name: &str| attribute(&svg, name).unwrap().parse::<f64>().unwrap();
    let (wide, high) = (size("width"), size("height"));
    let labels = labels(&svg);
    assert!(!labels.is_empty(), "{}", path.display());
    for (i, a) in labels.iter().enumerate() {
        let inside = a.left >= 0.0 && a.top >= 0.0 && a.right <= wide && a.bottom <= high;
        assert!(inside, "{:?} is cut at {wide} by {high}: {a:?}", a.text);
        for b in &labels[i + 1..] {
            let apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
            assert!(apart, "{:?} lies on {:?}: {a:?}, {b:?}", a.text, b.text);
        }
    }
    svg
}

#[test]
fn curves_of_any_length_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/curves.svg");
    for points in [1, 2, 5, 100, 20_000] {
        let values = |scale: f64| (0..points).map(|i| scale / f64::from(i + 1)).collect::<Vec<f64>>();
        let charts = [1e-9, 0.3, 1.0, 7e3, 2e14].map(|scale| {
            let name = "the loss of a model with a name that goes on until there is no more room for it at all";
            Chart::new(name).x_label("epoch").values(name, &values(scale)).values("short", &values(-scale / 3.0))
        });
        curves(&charts, &path).unwrap();
        let svg = read(&path);
        assert!(svg.contains("epoch") && svg.contains("short") && svg.len() < 1_000_000, "{}", svg.len());
    }
    let gaps = Chart::new("gaps & <holes>").values("x", &[1.0, f64::NAN, 3.0, f64::INFINITY, 2.0, 2.5]);
    curves(&[gaps, Chart::new("empty"), Chart::new("nothing finite").values("x", &[f64::NAN])], &path).unwrap();
    let svg = read(&path);
    assert!(svg.contains("gaps &amp; &lt;holes&gt;") && svg.matches("no values").count() == 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert!(curves(&[], &path).unwrap_err().to_string().contains("no chart"));
}

#[test]
fn axes_by_powers_of_ten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.svg");
    let points = [(1.0, 0.001), (10.0, 0.0), (100.0, -1.0), (1000.0, 1.0), (1e4, 1000.0)];
    let chart = Chart::new("growth").log_x().log_y().line("time", points);
    curves(&[chart.clone(), chart.clone().y_range(0.01..100.0), chart.y_range(0.0..100.0)], &path).unwrap();
    let svg = read(&path);
    let labels: Vec<String> = labels(&svg).into_iter().map(|label| label.text).collect();
    for label in ["0.001", "0.01", "100", "1000", "10000"] {
        assert!(labels.iter().any(|text| text == label), "{label} is not in {labels:?}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    // What has no logarithm is a gap: a point alone, and a line of two.
    assert_eq!(svg.matches("<circle").count(), 3 * 3);
}

#[test]
fn a_logger_draws_what_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("curves.svg");
    let mut logger = Curves::new(&path);
    for step in 1..=8 {
        logger.log(0, step, &[("train_loss".into(), 1.0 / step as f64), ("lr".into(), 0.1)]).unwrap();
    }
    logger.log(0, 8, &[("val_loss".into(), 0.4), ("val_f1".into(), 0.9)]).unwrap();
    assert_eq!(logger.charts().len(), 3);
    assert!(!path.exists());
    logger.finish(true).unwrap();
    let svg = read(&path);
    assert!(["train_loss", "val_loss", "val_f1", "step"].iter().all(|name| svg.contains(name)));
    // Nothing was logged: no picture.
    let empty = dir.path().join("empty.svg");
    Curves::new(&empty).finish(true).unwrap();
    assert!(!empty.exists());
}

#[test]
fn confusion_matrices_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("confusion.svg");
    for classes in [2, 3, 10, 20, 40, 100] {
        for count in [7, 4321, 12_345_678] {
            let row = |truth| (0..classes).map(|p| if p == truth { count } else { (truth * p) as u64 % 3 }).collect();
            let confusion = Confusion::from_rows(&(0..classes).map(row).collect::<Vec<_>>());
            for name in ["", "c", "a class with a name that is much longer than any name should be, number "] {
                let names: Vec<String> = (0..classes).map(|class| format!("{name}{class}")).collect();
                confusion_matrix(&confusion, &names.iter().map(|name| &**name).collect::<Vec<_>>(), &path).unwrap();
                let svg = read(&path);
                assert!(svg.contains("true class") && svg.contains("predicted class"));
                assert!(classes > 20 || count > 10_000 || svg.contains(&format!("\n{count}\n")), "{classes} {count}");
            }
        }
    }
    let one = Confusion::from_rows(&[vec![0, 0], vec![0, 0]]);
    confusion_matrix(&one, &[], &path).unwrap();
    assert!(read(&path).contains("0.00 % of 0 samples"));
    let e = confusion_matrix(&one, &["a", "b", "c"], &path).unwrap_err().to_string();
    assert!(e.contains("3 names") && e.contains("2 classes"), "{e}");
}

#[test]
fn sheets_show_every_image_with_its_caption() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sheet.svg");
    Device::new_reference(true).scope(|| {
        for shape in [&[5, 28, 28][..], &[5, 1, 8, 12], &[5, 3, 100, 60]] {
            let long = "a caption that is longer than there is room for below an image";
            image_sheet(&Tensor::rand(shape), &["a", "b\nsecond line", "", long, "e"], &path).unwrap();
            let svg = read(&path);
            assert_eq!(svg.matches("data:image/png;base64,iVBORw0KGgo").count(), 5, "{shape:?}");
            assert!(svg.contains("second line") && svg.contains('…'));
        }
        let e = image_sheet(&Tensor::rand(&[2, 4, 8, 8]), &["a", "b"], &path).unwrap_err().to_string();
        assert!(e.contains("[2, 4, 8, 8]"), "{e}");
        assert!(image_sheet(&Tensor::rand(&[2, 8, 8]), &["a"], &path).is_err());
    });
}

#[test]
fn misclassified_images_say_what_was_taken_for_what() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wrong.svg");
    Device::new_reference(true).scope(|| {
        let images = Tensor::rand(&[100, 1, 28, 28]);
        let truth: Vec<usize> = (0..100).map(|i| i % 10).collect();
        let mut predicted = truth.clone();
        misclassified(&images, &truth, &predicted, &[], &path).unwrap();
        assert!(read(&path).contains("none of 100 images"));
        (predicted[3], predicted[15]) = (7, 0);
        misclassified(&images, &truth, &predicted, &[], &path).unwrap();
        let svg = read(&path);
        assert!(svg.contains("3 → 7") && svg.contains("5 → 0") && svg.matches("<image").count() == 2, "{svg}");
        predicted.fill(10);
        let names: Vec<String> = (0..11).map(|class| format!("class number {class}")).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        misclassified(&images, &truth, &predicted, &names, &path).unwrap();
        let svg = read(&path);
        assert!(svg.contains("48 of 100 misclassified") && svg.contains("→ class number 10"));
        assert!(misclassified(&images, &truth, &predicted, &names[..10], &path).is_err(), "a class without a name");
        assert!(misclassified(&images, &truth[..5], &predicted, &[], &path).is_err());
    });
}
