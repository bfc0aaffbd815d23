//! Steps over JSON text without decoding it, to find the end of a value. Nesting has no limit.
//!
//! Accepts all JSON of RFC 8259. Within an array or object that is stepped over as a whole, it does not detect missing
//! or extra separators or malformed numbers: the receiver gets them as they were sent.

mod blocks;
#[cfg(any(test, fuzzing))]
pub(in crate::jsonrpc) mod oracle;
#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

/// Position of a syntax error: the first byte that does not fit, or the end of a truncated text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JsonSyntaxError(usize);

impl JsonSyntaxError {
    /// Describes the position of the error in `text`.
    pub(super) fn describe(self, text: &str) -> String {
        let Self(at) = self;
        match text.get(at..).and_then(|rest| rest.chars().next()) {
            Some(sign) => format!("unexpected {sign:?} at byte {at}"),
            None => format!("unexpected end at byte {at}"),
        }
    }
}

/// Position in a text that moves forward value by value.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the first byte of the next value or punctuation; zero at the end of the text.
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while matches!(byte(bytes, self.at), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        byte(bytes, self.at)
    }

    /// Steps over the next value and returns it as it is written. Its strings, escapes and brackets are valid, and
    /// every other character is one that JSON allows there.
    pub(super) fn value(&mut self) -> Result<&'a str, JsonSyntaxError> {
        let first = self.peek();
        let (bytes, from) = (self.text.as_bytes(), self.at);
        self.at = match first {
            b'{' | b'[' => blocks::container(bytes, from)?,
            b'"' => string(bytes, from + 1)?,
            _ => scalar(self.text, from)?,
        };
        Ok(&self.text[from..self.at])
    }

    /// Steps over the next value, which must be an object. `take` gets each name as it is written, and must step over
    /// the member's value.
    pub(super) fn members(
        &mut self,
        mut take: impl FnMut(&mut Self, &'a str) -> Result<(), JsonSyntaxError>,
    ) -> Result<(), JsonSyntaxError> {
        self.expect(b'{')?;
        if self.passes(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != b'"' {
                return Err(JsonSyntaxError(self.at));
            }
            let name = self.value()?;
            self.expect(b':')?;
            take(self, name)?;
            if self.passes(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Steps over the next value, which must be an array. `take` must step over each element.
    pub(super) fn elements(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<(), JsonSyntaxError>,
    ) -> Result<(), JsonSyntaxError> {
        self.expect(b'[')?;
        if self.passes(b']') {
            return Ok(());
        }
        loop {
            take(self)?;
            if self.passes(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Checks that only white space follows.
    pub(super) fn end(&mut self) -> Result<(), JsonSyntaxError> {
        self.peek();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(JsonSyntaxError(self.at))
        }
    }

    fn expect(&mut self, sign: u8) -> Result<(), JsonSyntaxError> {
        if self.passes(sign) {
            Ok(())
        } else {
            Err(JsonSyntaxError(self.at))
        }
    }

    /// Steps over `sign` if it comes next.
    fn passes(&mut self, sign: u8) -> bool {
        let is_next = self.peek() == sign;
        self.at += usize::from(is_next);
        is_next
    }
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Returns the end of the string whose first character is at `at`.
fn string(bytes: &[u8], mut at: usize) -> Result<usize, JsonSyntaxError> {
    loop {
        at = plain_text(bytes, at)?;
        match byte(bytes, at) {
            b'"' => return Ok(at + 1),
            _ => at += escape(&bytes[at..]).ok_or(JsonSyntaxError(at))?,
        }
    }
}

/// Returns the position of the first quote or backslash from `at` on, which lies in a string; else the end of `bytes`.
fn plain_text(bytes: &[u8], at: usize) -> Result<usize, JsonSyntaxError> {
    let rest = &bytes[at..];
    let len = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    let is_control = |byte: &u8| *byte < b' ';
    // Checks all bytes at once, which is faster than stopping at the first control character.
    let any = rest[..len]
        .iter()
        .fold(false, |any, byte| any | is_control(byte));
    if any {
        return Err(JsonSyntaxError(
            at + rest.iter().position(is_control).unwrap_or(0),
        ));
    }
    Ok(at + len)
}

/// Returns the length of the escape at the start of `text`, including its backslash. A lone surrogate counts as one.
fn escape(text: &[u8]) -> Option<usize> {
    match text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' if text.get(2..6)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// Returns the end of the number or literal at `from`.
fn scalar(text: &str, from: usize) -> Result<usize, JsonSyntaxError> {
    let rest = &text[from..];
    let ends = |sign: char| matches!(sign, ',' | '}' | ']') || sign.is_ascii_whitespace();
    let scalar = &rest[..rest.find(ends).unwrap_or(rest.len())];
    match serde_json::from_str::<IgnoredAny>(scalar) {
        Ok(_) => Ok(from + scalar.len()),
        Err(_) => Err(JsonSyntaxError(from)),
    }
}
