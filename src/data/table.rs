//! Tables in CSV files.

use super::array::HostArray;
use super::dataset::ArrayDataset;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// How columns of a CSV file become a dataset: builder for [`CsvTable::load`].
///
/// ```
/// use lumigrad::data::{CsvTable, Dataset};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("iris.csv");
/// std::fs::write(&path, "length,width,kind\n5.1,3.5,setosa\n7.0,3.2,versicolor\n")?;
/// let iris = CsvTable::new(&path).features(&["length", "width"]).classes("kind").load()?;
/// assert_eq!(iris.len(), 2);
/// assert_eq!(iris.get(1)?[0].as_slice::<f32>().unwrap(), [7.0, 3.2]);
/// assert_eq!(iris.get(1)?[1].as_slice::<i32>().unwrap(), [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CsvTable {
    path: PathBuf,
    delimiter: u8,
    features: Option<Vec<String>>,
    target: Option<Target>,
}

#[derive(Clone, Debug)]
enum Target {
    Classes(String),
    Number(String),
}

impl Target {
    fn name(&self) -> &str {
        match self {
            Target::Classes(name) | Target::Number(name) => name,
        }
    }
}

impl CsvTable {
    /// The table of this file, whose first line names the columns.
    pub fn new(path: impl AsRef<Path>) -> Self {
        CsvTable { path: path.as_ref().to_path_buf(), delimiter: b',', features: None, target: None }
    }

    /// What stands between columns (`,`).
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The columns of the field `x` (all but the target), in this order.
    pub fn features(mut self, names: &[&str]) -> Self {
        self.features = Some(names.iter().map(|name| name.to_string()).collect());
        self
    }

    /// The column of the field `y` as a class: its texts, sorted, are numbered from 0.
    pub fn classes(mut self, name: &str) -> Self {
        self.target = Some(Target::Classes(name.into()));
        self
    }

    /// The column of the field `y` as a number.
    pub fn target(mut self, name: &str) -> Self {
        self.target = Some(Target::Number(name.into()));
        self
    }

    /// Reads the file: fields `x`, f32 `[features]`, and, where there is a target, `y`, i32 `[]` or f32 `[1]`.
    ///
    /// # Errors
    /// [`Error::File`] when the file can't be read; [`Error::Format`] with the line when a cell is no number, a row has
    /// another number of columns, or a column is missing.
    pub fn load(self) -> Result<ArrayDataset> {
        let file = std::fs::File::open(&self.path).map_err(|e| Error::file(&self.path, e))?;
        let mut reader = csv::ReaderBuilder::new().delimiter(self.delimiter).trim(csv::Trim::All).from_reader(file);
        let wrong = |e: csv::Error| Error::format(&self.path, e.to_string());
        let header: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_string).collect();
        let target = self.target.as_ref().map(|t| self.column(&header, t.name())).transpose()?;
        let features: Vec<usize> = match &self.features {
            Some(names) => names.iter().map(|name| self.column(&header, name)).collect::<Result<_>>()?,
            None => (0..header.len()).filter(|column| Some(*column) != target).collect(),
        };
        let (mut x, mut numbers, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let line = record.position().map_or(0, csv::Position::line);
            let number = |column: usize| {
                record[column].parse::<f32>().map_err(|_| {
                    let detail =
                        format!("line {line}: {:?} in column {:?} is no number", &record[column], header[column]);
                    Error::format(&self.path, detail)
                })
            };
            for &column in &features {
                x.push(number(column)?);
            }
            match (&self.target, target) {
                (Some(Target::Number(_)), Some(column)) => numbers.push(number(column)?),
                (Some(Target::Classes(_)), Some(column)) => texts.push(record[column].to_string()),
                _ => {}
            }
        }
        let rows = x.len() / features.len().max(1);
        let mut arrays = vec![("x", HostArray::try_new(&[rows, features.len()], x)?)];
        match &self.target {
            Some(Target::Number(_)) => arrays.push(("y", HostArray::try_new(&[rows, 1], numbers)?)),
            Some(Target::Classes(_)) => arrays.push(("y", HostArray::try_new(&[rows], number_classes(&texts))?)),
            None => {}
        }
        ArrayDataset::try_new(arrays)
    }

    fn column(&self, header: &[String], name: &str) -> Result<usize> {
        header.iter().position(|column| column == name).ok_or_else(|| {
            Error::format(&self.path, format!("there is no column {name:?}; the first line names {header:?}"))
        })
    }
}

fn number_classes(texts: &[String]) -> Vec<i32> {
    let mut classes: Vec<&String> = texts.iter().collect();
    classes.sort_unstable();
    classes.dedup();
    texts.iter().map(|text| classes.binary_search(&text).expect("every text is a class") as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn table(text: &str) -> (tempfile::TempDir, CsvTable) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        (dir, CsvTable::new(path))
    }

    #[test]
    fn columns_are_chosen_by_name() {
        let (_dir, t) = table("a; b ;c\n1;2;x y\n3;\"4\";a\n5;6;x y\n");
        let data = t.clone().delimiter(b';').features(&["b", "a"]).classes("c").load().unwrap();
        assert_eq!(data.arrays()[0], HostArray::new(&[3, 2], vec![2.0f32, 1.0, 4.0, 3.0, 6.0, 5.0]));
        assert_eq!(data.arrays()[1], HostArray::new(&[3], vec![1, 0, 1]));
        let data = t.delimiter(b';').features(&["b"]).target("a").load().unwrap();
        assert_eq!(data.arrays()[1], HostArray::new(&[3, 1], vec![1.0f32, 3.0, 5.0]));
        let (_dir, t) = table("a,b\n");
        let data = t.load().unwrap();
        assert_eq!((data.len(), &data.fields()[0].shape[..]), (0, &[2][..]));
    }

    #[test]
    fn mistakes_name_the_line() {
        let fail = |text: &str, column: &str| {
            let (_dir, t) = table(text);
            t.target(column).load().unwrap_err().to_string()
        };
        assert!(fail("a,b\n1,2\n1,?\n", "b").contains("line 3: \"?\" in column \"b\""));
        assert!(fail("a,b\n1,2\n", "c").contains("no column \"c\""));
        let uneven = fail("a,b\n1,2\n1,2,3\n", "b");
        assert!(uneven.contains("table.csv") && uneven.contains("line: 3"), "{uneven}");
        let missing = CsvTable::new("/nowhere/table.csv").load().unwrap_err();
        assert!(matches!(missing, Error::File { .. }));
    }
}
