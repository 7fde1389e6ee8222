//! The IDX file format, in which MNIST and its relatives are published.
//!
//! Two zero bytes, one byte for the element type, one for the number of dims, each dim as a big-endian u32, then the
//! elements, row-major and big-endian. A file may be gzip'd; that is told by its content, not by its name.

use super::array::{HostArray, HostData};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

/// Memory that is set aside on the word of a header alone. Beyond it, only bytes that really come make a buffer grow.
const TRUSTED: u64 = 64 << 20;

/// Reads an IDX file, plain or gzip'd, into an array with the dims of its header.
///
/// u8, i32 and f32 keep their kind. i8 and i16 become i32, which holds them exactly. f64 is refused, since no kind of
/// [`HostArray`] does.
///
/// ```no_run
/// let labels = lumigrad::data::idx::read("data/mnist/train-labels-idx1-ubyte.gz")?;
/// println!("{:?}", labels.shape());
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`] when the file can't be read; [`Error::Format`] when it is not IDX, has a type that can't be held,
/// holds fewer or more bytes than its header announces, or its gzip data is damaged.
pub fn read(path: impl AsRef<Path>) -> Result<HostArray> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| Error::file(path, e))?;
    read_from(BufReader::new(file), path)
}

/// Reads IDX, plain or gzip'd, from anything; `path` is what errors name.
///
/// ```
/// use lumigrad::data::idx;
///
/// let file = [0, 0, 8, 1, 0, 0, 0, 3, 10, 20, 30]; // u8, one dim of 3
/// let array = idx::read_from(&file[..], "three".as_ref())?;
/// assert_eq!(array.as_slice::<u8>().unwrap(), [10, 20, 30]);
/// # Ok::<(), lumigrad::Error>(())
/// ```
///
/// # Errors
/// As [`read`].
pub fn read_from(mut source: impl Read, path: &Path) -> Result<HostArray> {
    // Looks at the first two bytes and puts them back in front.
    let mut start = Vec::new();
    source.by_ref().take(2).read_to_end(&mut start).map_err(|e| failed(path, e))?;
    let packed = start == [0x1f, 0x8b];
    let source = Cursor::new(start).chain(source);
    if packed { parse(MultiGzDecoder::new(source), path) } else { parse(source, path) }
}

/// Damaged gzip data is a wrong content; everything else is the operating system's matter.
fn failed(path: &Path, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::format(path, format!("the gzip data is damaged or cut short ({e}); fetch the file again"))
        }
        _ => Error::file(path, e),
    }
}

/// The element types of IDX.
#[derive(Clone, Copy)]
enum Type {
    U8,
    I8,
    I16,
    I32,
    F32,
}

impl Type {
    fn size(self) -> u64 {
        match self {
            Type::U8 | Type::I8 => 1,
            Type::I16 => 2,
            Type::I32 | Type::F32 => 4,
        }
    }
}

/// Reads the header, then exactly as many elements as it announces.
fn parse(mut source: impl Read, path: &Path) -> Result<HostArray> {
    let mut magic = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut magic).map_err(|e| failed(path, e))?;
    let (kind, rank) = read_magic(&magic).map_err(|detail| Error::format(path, detail))?;

    let mut header = Vec::with_capacity(rank * 4);
    source.by_ref().take(rank as u64 * 4).read_to_end(&mut header).map_err(|e| failed(path, e))?;
    if header.len() < rank * 4 {
        let detail = format!("cut short in the header: {rank} dims take {} bytes, {} are left", rank * 4, header.len());
        return Err(Error::format(path, detail));
    }
    let dims: Vec<u32> = header.chunks_exact(4).map(|b| u32::from_be_bytes(b.try_into().unwrap())).collect();

    let bytes = payload(&dims, kind).map_err(|detail| Error::format(path, detail))?;
    let mut raw = Vec::with_capacity(bytes.min(TRUSTED) as usize);
    source.by_ref().take(bytes).read_to_end(&mut raw).map_err(|e| failed(path, e))?;
    if (raw.len() as u64) < bytes {
        let detail = format!("cut short: dims {dims:?} need {bytes} bytes of elements, {} are there", raw.len());
        return Err(Error::format(path, detail));
    }
    // Reading on also makes the gzip decoder compare its checksum.
    let mut more = Vec::new();
    if source.take(1).read_to_end(&mut more).map_err(|e| failed(path, e))? > 0 {
        let detail = format!("too long: dims {dims:?} need {bytes} bytes of elements, more follow");
        return Err(Error::format(path, detail));
    }
    HostArray::try_new(&dims.iter().map(|&d| d as usize).collect::<Vec<_>>(), convert(raw, kind))
        .map_err(|e| Error::format(path, e.to_string()))
}

/// Type and number of dims from the first four bytes; what is wrong with them otherwise.
fn read_magic(magic: &[u8]) -> std::result::Result<(Type, usize), String> {
    const EXPECTED: &str = "expected the bytes 00 00, an element type (08 for u8) and the number of dims";
    let &[a, b, code, rank] = magic else {
        return Err(format!("not an IDX file: only {} bytes long; {EXPECTED}", magic.len()));
    };
    if (a, b) != (0, 0) {
        let hint = match magic {
            [b'<', ..] => " (this looks like a web page, so the download went wrong)",
            [0x1f, 0x8b, ..] => " (this is gzip inside gzip; unpack it once)",
            [b'P', b'K', ..] => " (this is a zip archive; unpack it)",
            _ => "",
        };
        return Err(format!("not an IDX file: it starts with {a:02x} {b:02x} {code:02x} {rank:02x}{hint}; {EXPECTED}"));
    }
    let kind = match code {
        0x08 => Type::U8,
        0x09 => Type::I8,
        0x0b => Type::I16,
        0x0c => Type::I32,
        0x0d => Type::F32,
        0x0e => return Err("the elements are f64, which would lose digits; store them as f32".into()),
        _ => {
            return Err(format!(
                "element type {code:#04x} is unknown to IDX; expected 08 (u8), 09 (i8), 0b (i16), 0c (i32) or 0d (f32)"
            ));
        }
    };
    if rank == 0 {
        return Err("the header announces 0 dims; expected at least 1".into());
    }
    Ok((kind, rank as usize))
}

/// Bytes of all elements, if memory could address them.
fn payload(dims: &[u32], kind: Type) -> std::result::Result<u64, String> {
    if dims.contains(&0) {
        return Ok(0);
    }
    let bytes = dims.iter().try_fold(kind.size(), |n, &dim| n.checked_mul(dim as u64));
    // i8 and i16 grow to four bytes, so the elements may not take more than a quarter of what can be addressed.
    bytes
        .filter(|&n| n <= isize::MAX as u64 / 4)
        .ok_or_else(|| format!("the header announces dims {dims:?}, more than memory can hold; it must be damaged"))
}

/// Big-endian bytes to elements.
fn convert(raw: Vec<u8>, kind: Type) -> HostData {
    match kind {
        Type::U8 => HostData::U8(raw),
        Type::I8 => HostData::I32(raw.iter().map(|&b| (b as i8).into()).collect()),
        Type::I16 => HostData::I32(numbers(&raw, |b| i16::from_be_bytes(b).into())),
        Type::I32 => HostData::I32(numbers(&raw, i32::from_be_bytes)),
        Type::F32 => HostData::F32(numbers(&raw, f32::from_be_bytes)),
    }
}

fn numbers<const N: usize, T>(raw: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&bytes| of(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Kind;
    use std::io::Write;

    fn idx(code: u8, dims: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, code, dims.len() as u8];
        dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
        file.extend(elements);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn load(bytes: &[u8]) -> Result<HostArray> {
        read_from(bytes, Path::new("some/file"))
    }

    /// The message of a format error, which must name the file.
    fn refused(bytes: &[u8]) -> String {
        let e = load(bytes).unwrap_err();
        assert!(matches!(e, Error::Format { .. }), "{e:?}");
        let message = e.to_string();
        assert!(message.starts_with("some/file: "), "{message}");
        message
    }

    #[test]
    fn every_type_is_read_big_endian() {
        let x = load(&idx(0x08, &[2, 2], &[0, 1, 254, 255])).unwrap();
        assert_eq!(
            (x.shape(), x.kind(), x.as_slice::<u8>().unwrap()),
            (&[2, 2][..], Kind::U8, &[0u8, 1, 254, 255][..])
        );
        let x = load(&idx(0x09, &[3], &[0, 0x7f, 0x80])).unwrap();
        assert_eq!(x.as_slice::<i32>().unwrap(), [0, 127, -128]);
        let x = load(&idx(0x0b, &[2], &[0x01, 0x02, 0xff, 0xfe])).unwrap();
        assert_eq!(x.as_slice::<i32>().unwrap(), [0x0102, -2]);
        let x = load(&idx(0x0c, &[1], &[0x80, 0, 0, 1])).unwrap();
        assert_eq!(x.as_slice::<i32>().unwrap(), [i32::MIN + 1]);
        let x = load(&idx(0x0d, &[1], &1.5f32.to_be_bytes())).unwrap();
        assert_eq!(x.as_slice::<f32>().unwrap(), [1.5]);
        assert!(refused(&idx(0x0e, &[1], &1.5f64.to_be_bytes())).contains("f64"));
    }

    #[test]
    fn gzip_is_told_by_content() {
        let plain = idx(0x0b, &[2, 1], &[1, 2, 3, 4]);
        assert_eq!(load(&plain).unwrap(), load(&gzip(&plain)).unwrap());
        // Members one after the other are one stream, as for the gzip program.
        let parts = [gzip(&plain[..7]), gzip(&plain[7..])].concat();
        assert_eq!(load(&plain).unwrap(), load(&parts).unwrap());
    }

    #[test]
    fn foreign_files_are_refused() {
        assert!(refused(b"").contains("only 0 bytes long"));
        assert!(refused(&[0, 0, 8]).contains("only 3 bytes long"));
        assert!(refused(b"\x89PNG....").contains("starts with 89 50 4e 47; expected the bytes 00 00"));
        assert!(refused(b"<!DOCTYPE html>").contains("web page"));
        assert!(refused(b"PK\x03\x04....").contains("zip archive"));
        assert!(refused(&gzip(&gzip(&idx(8, &[1], &[1])))).contains("gzip inside gzip"));
        assert!(refused(&idx(0x0a, &[1], &[1])).contains("type 0x0a is unknown"));
        assert!(refused(&idx(0x08, &[], &[1])).contains("0 dims"));
    }

    #[test]
    fn cut_files_are_refused_wherever_the_cut_is() {
        let file = idx(0x08, &[3, 2], &[1, 2, 3, 4, 5, 6]);
        for cut in 0..file.len() {
            let message = refused(&file[..cut]);
            assert!(message.contains("only") || message.contains("cut short"), "{cut}: {message}");
        }
        assert!(refused(&file[..10]).contains("2 dims take 8 bytes, 6 are left"));
        assert!(refused(&file[..15]).contains("[3, 2] need 6 bytes of elements, 3 are there"));
        let packed = gzip(&file);
        // From two bytes on it is known to be gzip; the checksum and length at the end count as well.
        for cut in 2..packed.len() {
            assert!(refused(&packed[..cut]).contains("cut short"), "{cut}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut file = idx(0x08, &[2], &[1, 2, 3]);
        assert!(refused(&file).contains("[2] need 2 bytes of elements, more follow"));
        assert!(refused(&gzip(&file)).contains("more follow"));
        file.pop();
        let mut packed = gzip(&file);
        packed.extend(b"junk");
        assert!(refused(&packed).contains("gzip"));
        assert!(refused(&idx(0x08, &[0, 5], &[1])).contains("more follow"));
        assert_eq!(load(&idx(0x08, &[0, 5], &[])).unwrap().shape(), [0, 5]);
    }

    #[test]
    fn damaged_gzip_is_refused() {
        let good = gzip(&idx(0x08, &[40], &[7; 40]));
        let checksum = good.len() - 8;
        for at in [2, 12, checksum] {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            refused(&bad);
        }
    }

    #[test]
    fn absurd_dims_cost_no_memory() {
        let huge = [u32::MAX; 4];
        assert!(refused(&idx(0x08, &huge, &[1, 2])).contains("more than memory can hold"));
        assert!(refused(&idx(0x0c, &[u32::MAX, 1 << 30], &[1])).contains("more than memory can hold"));
        // A terabyte can be addressed, but it is not there; setting it aside would abort the process.
        for file in [idx(0x08, &[1 << 20, 1 << 20], &[1, 2]), gzip(&idx(0x08, &[1 << 20, 1 << 20], &[1, 2]))] {
            assert!(refused(&file).contains("need 1099511627776 bytes of elements, 2 are there"));
        }
        assert!(refused(&[&[0, 0, 8, 255][..], &[0xff; 1020]].concat()).contains("more than memory can hold"));
    }

    #[test]
    fn a_missing_file_is_the_systems_error() {
        let e = read("no/such/file").unwrap_err();
        assert!(matches!(e, Error::File { .. }) && e.to_string().starts_with("no/such/file: "), "{e}");
        // A reader that fails is not a damaged file.
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cable pulled"))
            }
        }
        let e = read_from(Broken, Path::new("disk")).unwrap_err();
        assert!(matches!(e, Error::File { .. }) && e.to_string().contains("cable pulled"), "{e}");
    }
}
