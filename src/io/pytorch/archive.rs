//! The zip archives of `torch.save`: files one behind the other, none of them compressed.
//!
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, sections 4.3 and 4.5.

use std::collections::HashMap;

/// The files of an archive, by their names below its one folder.
pub(super) struct Archive<'a>(HashMap<String, &'a [u8]>);

/// A little-endian number of N bytes.
fn number<const N: usize>(content: &[u8], at: usize) -> Result<u64, String> {
    let bytes = at.checked_add(N).and_then(|end| content.get(at..end)).ok_or_else(cut)?;
    Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
}

fn place<const N: usize>(content: &[u8], at: usize) -> Result<usize, String> {
    usize::try_from(number::<N>(content, at)?).map_err(|_| cut())
}

fn cut() -> String {
    "is no file of torch.save, or is damaged: the archive is cut short".into()
}

impl<'a> Archive<'a> {
    pub fn open(content: &'a [u8]) -> Result<Archive<'a>, String> {
        if !content.starts_with(b"PK") {
            // The number that older files begin with, as a pickle.
            return Err(if content.starts_with(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19") {
                "has the format of PyTorch before 1.6; load it in PyTorch and save it again".into()
            } else {
                "is no file of torch.save".into()
            });
        }
        let (mut at, entries) = directory(content)?;
        let mut files = HashMap::new();
        for _ in 0..entries {
            let (name, file, next) = entry(content, at)?;
            if let Some((_, below)) = name.split_once('/') {
                files.insert(below.to_string(), file);
            }
            at = next;
        }
        let archive = Archive(files);
        match archive.0.get("byteorder") {
            Some(&order) if order != b"little" => Err("was written on a machine with the other order of bytes".into()),
            _ => Ok(archive),
        }
    }

    pub fn file(&self, name: &str) -> Result<&'a [u8], String> {
        self.0.get(name).copied().ok_or_else(|| format!("is no file of torch.save, or is damaged: it has no {name:?}"))
    }
}

/// Where the list of files begins, and how many they are.
fn directory(content: &[u8]) -> Result<(usize, u64), String> {
    const LENGTH: usize = 22;
    let last = content.len().checked_sub(LENGTH).ok_or_else(cut)?;
    let at = (0..=last).rev().take(1 << 16).find(|&at| content[at..].starts_with(b"PK\x05\x06")).ok_or_else(cut)?;
    let (entries, start) = (number::<2>(content, at + 10)?, place::<4>(content, at + 16)?);
    if start != 0xffff_ffff && entries != 0xffff {
        return Ok((start, entries));
    }
    // Large archives have the wide numbers in a record of their own, which a locator before this one names.
    let locator = at.checked_sub(20).filter(|&at| content[at..].starts_with(b"PK\x06\x07")).ok_or_else(cut)?;
    let wide = place::<8>(content, locator + 8)?;
    Ok((place::<8>(content, wide.checked_add(48).ok_or_else(cut)?)?, number::<8>(content, wide + 32)?))
}

/// A file's name, its content, and where the next entry of the list begins.
fn entry(content: &[u8], at: usize) -> Result<(&str, &[u8], usize), String> {
    if number::<4>(content, at)? != u64::from(u32::from_le_bytes(*b"PK\x01\x02")) {
        return Err(cut());
    }
    let [name_len, extra_len, comment_len] =
        [place::<2>(content, at + 28)?, place::<2>(content, at + 30)?, place::<2>(content, at + 32)?];
    let name = content.get(at + 46..at + 46 + name_len).ok_or_else(cut)?;
    let name = std::str::from_utf8(name).map_err(|_| cut())?;
    if number::<2>(content, at + 10)? != 0 {
        return Err(format!("{name:?} is compressed, which torch.save never does"));
    }
    let mut values = [place::<4>(content, at + 20)?, place::<4>(content, at + 24)?, place::<4>(content, at + 42)?];
    widen(content, at + 46 + name_len, extra_len, &mut values)?;
    let [length, _, header] = values;
    let after = |offset| header.checked_add(offset).ok_or_else(cut);
    let start = after(30)? + place::<2>(content, after(26)?)? + place::<2>(content, after(28)?)?;
    let file = start.checked_add(length).and_then(|end| content.get(start..end)).ok_or_else(cut)?;
    Ok((name, file, at + 46 + name_len + extra_len + comment_len))
}

/// Numbers that don't fit four bytes stand in an extra field: size in the file, size, place, as far as they are needed. The
/// order there is size, size in the file, place; the two sizes are one here.
fn widen(content: &[u8], mut at: usize, length: usize, values: &mut [usize; 3]) -> Result<(), String> {
    let end = at + length;
    while at + 4 <= end {
        let (kind, length) = (number::<2>(content, at)?, place::<2>(content, at + 2)?);
        at += 4;
        if kind == 1 {
            let mut own = at;
            for i in [1, 0, 2] {
                if values[i] == 0xffff_ffff {
                    values[i] = place::<8>(content, own)?;
                    own += 8;
                }
            }
        }
        at += length;
    }
    Ok(())
}
