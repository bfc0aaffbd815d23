//! Reads the lines of a requirements file. pip and uv differ in line ends, encodings and continued lines. Text that
//! they could read differently is refused, since a check of one reading says nothing about the other.

use std::path::Path;

use super::super::PrepareError;
use super::super::settings::{read_bytes, runs};

/// One line with all its continuations, without its comment; never empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Number of its first line in the file, counted from 1.
    pub(super) number: usize,
    /// Printable ASCII, spaces and tabs, without `\` and `${`.
    pub(super) text: String,
}

/// Reads the lines of a file.
pub(super) fn read(file: &Path) -> Result<Vec<Line>, PrepareError> {
    let bytes = read_bytes(file)?;
    let text = decoded(&bytes).map_err(|what| runs(file, what))?;
    logical(&text).map_err(|(number, what)| runs(file, &format!("{what} in line {number}")))
}

/// Decodes bytes as pip does. uv ignores a declared encoding, so the result must not depend on it.
fn decoded(bytes: &[u8]) -> Result<String, &'static str> {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "is not UTF-8");
    match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => return utf8(text),
        [0xff, 0xfe, text @ ..] => return utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => return utf16(text, u16::from_be_bytes),
        _ => {}
    }
    let text = utf8(bytes)?;
    for name in text.split('\n').take(2).flat_map(codings) {
        let plain = name.replace(['-', '_'], "").to_ascii_lowercase();
        let is_known = match &*plain {
            "utf8" | "ascii" | "usascii" => true,
            // Bytes beyond ASCII could be line ends there.
            "latin1" | "iso88591" => text.is_ascii(),
            _ => false,
        };
        if !is_known {
            return Err("declares an encoding other than UTF-8");
        }
    }
    Ok(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, &'static str> {
    let (pairs, []) = bytes.as_chunks() else {
        return Err("is not UTF-16");
    };
    let units: Vec<u16> = pairs.iter().map(|&it| unit(it)).collect();
    String::from_utf16(&units).map_err(|_| "is not UTF-16")
}

/// Returns the encodings that a comment declares (PEP 263).
fn codings(line: &str) -> impl Iterator<Item = &str> {
    let line = line.strip_prefix('#').unwrap_or_default();
    let names = line.split("coding").skip(1);
    names.filter_map(|rest| {
        let rest = rest.strip_prefix([':', '='])?.trim_start();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        (end > 0).then_some(&rest[..end])
    })
}

/// Splits text into logical lines. An error has the number of the line.
fn logical(text: &str) -> Result<Vec<Line>, (usize, &'static str)> {
    let text = text.replace("\r\n", "\n");
    let (mut lines, mut open) = (Vec::new(), None::<Line>);
    for (line, number) in text.split('\n').zip(1..) {
        let fail = |what| Err((number, what));
        // Some of these end a line for pip, none for uv.
        if line
            .contains(|c: char| c != '\t' && c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        {
            return fail("has a control character or an unusual line end");
        }
        let active = without_comment(line);
        if active.len() < line.len() && line.ends_with('\\') {
            return fail("has a comment that ends in `\\`, which tools read differently");
        }
        let (active, goes_on) = match active.strip_suffix('\\') {
            Some(begun) => (begun, true),
            None => (active, false),
        };
        if active.contains(|c: char| c != '\t' && !(' '..='~').contains(&c)) {
            return fail("has characters outside of ASCII");
        }
        if active.contains('\\') || active.contains("${") {
            return fail("has a `\\` or a variable");
        }
        let whole = open.get_or_insert_with(|| Line {
            number,
            text: String::new(),
        });
        let is_apart = whole.text.is_empty()
            || whole.text.ends_with([' ', '\t'])
            || active.is_empty()
            || active.starts_with([' ', '\t']);
        if !is_apart {
            return fail("has a word that continues on the next line");
        }
        whole.text.push_str(active);
        if !goes_on {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    for line in &mut lines {
        line.text = line.text.trim().to_owned();
    }
    lines.retain(|line| !line.text.is_empty());
    Ok(lines)
}

/// Removes a comment, which begins at the start or after a blank.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with([' ', '\t']);
    let comment = line.match_indices('#').find(begins);
    comment.map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Option<Vec<(usize, String)>> {
        let lines = logical(&decoded(bytes).ok()?).ok()?;
        Some(lines.into_iter().map(|it| (it.number, it.text)).collect())
    }

    #[test]
    fn lines_are_joined_and_lose_their_comments() {
        let text =
            "# ä …\n\na  # b\r\nb#c \\\n  --hash=x \\\n\t# c\n\nc\\\n\nd \\\n#x\n  #  \ne \\";
        let expected = [
            (3, "a"),
            (4, "b#c   --hash=x"),
            (8, "c"),
            (10, "d"),
            (13, "e"),
        ];
        let expected = expected.map(|(number, text)| (number, text.to_owned()));
        assert_eq!(lines(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn encodings_are_those_of_pip() {
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}"
                .encode_utf16()
                .chain(text.encode_utf16())
                .flat_map(bytes)
                .collect()
        };
        let expected = Some(vec![(1, "mcp".to_owned())]);
        assert_eq!(lines(b"\xef\xbb\xbfmcp"), expected);
        assert_eq!(lines(&wide("mcp\n# ä", u16::to_le_bytes)), expected);
        assert_eq!(lines(&wide("mcp", u16::to_be_bytes)), expected);
        for head in [
            "# -*- coding: utf-8 -*-",
            "# vim: fileencoding=UTF8",
            "#coding:latin-1",
            "# the coding of this",
        ] {
            let text = format!("{head}\nmcp");
            assert_eq!(
                lines(text.as_bytes()),
                Some(vec![(2, "mcp".to_owned())]),
                "{head}"
            );
        }
    }

    #[test]
    fn text_that_tools_read_differently_is_refused() {
        for text in [
            &b"# -*- coding: utf-7 -*-\nmcp"[..],
            b"\n# coding=utf-16\nmcp",
            b"# coding: utf-8 coding: cp037\nmcp",
            // The second byte of `Å` is a line end of Latin-1.
            b"# coding: latin-1\n# \xc3\x85-e .",
            b"\xff\xfem\0c",
            // pip takes a second byte order mark for the real one.
            b"\xff\xfe\xfe\xff\0m",
            b"\xff\xfe\0\0m\0\0\0",
            b"mcp \xff",
            b"mcp\r-e .",
            b"# a\x0c-e .",
            b"# a\x1c-e .",
            b"# a\xc2\x85-e .",
            b"# a\xe2\x80\xa8-e .",
            b"mcp\0",
            b"mcp\xc2\xa0# x",
            b"mcp # x \\\n-e .",
            b"# x \\\n-e .",
            b"./fol\\\nder",
            b"mc\\\np",
            b"mcp \\ # x",
            b"mcp \\\\\n-e .",
            b"mcp \\ \n-e .",
            b"${X}",
        ] {
            assert_eq!(lines(text), None, "{}", text.escape_ascii());
        }
    }
}
