//! Ids of requests, byte for byte as their senders wrote them.

use std::borrow::Borrow;
use std::fmt;

use super::members::{quoted, request_number};

/// Id of a request as it stands in a message: a number, a string with its quotes, or `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawId<'a>(&'a str);

impl<'a> RawId<'a> {
    /// Id of the response to a message that has no readable id.
    pub(crate) const NULL: RawId<'static> = RawId("null");

    /// Creates an id from a value of a message.
    pub(super) fn new(value: &'a str) -> Self {
        Self(value)
    }

    /// Writes `number` into `digits` and returns it as an id.
    pub(crate) fn of_number(mut number: u64, digits: &'a mut [u8; 20]) -> Self {
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
            if number == 0 {
                break;
            }
        }
        Self(std::str::from_utf8(&digits[at..]).unwrap_or_default())
    }

    /// Returns the id as it stands in the message.
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns true if a request may have this id.
    pub(crate) fn is_string_or_number(self) -> bool {
        self.0.starts_with(['"', '-']) || self.0.starts_with(|c: char| c.is_ascii_digit())
    }

    /// Returns true if the id is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Returns the number that the id is, if it is one of the proxy's own.
    pub(crate) fn number(self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Returns the number that the id is or contains as a string: some servers return every id as a string.
    pub(crate) fn lenient_number(self) -> Option<u64> {
        request_number(self.0)
    }

    /// Returns the parts of `line` before and after this id, which is a slice of `line`.
    pub(super) fn around(self, line: &str) -> (&str, &str) {
        let at = self.0.as_ptr() as usize - line.as_ptr() as usize;
        (&line[..at], &line[at + self.0.len()..])
    }

    /// Returns `line`, of which this id is a slice, with the id `new` in its place, in three parts.
    pub(crate) fn replaced<'b>(self, line: &'b str, new: RawId<'b>) -> [&'b [u8]; 3] {
        let (before, after) = self.around(line);
        [before, new.0, after].map(str::as_bytes)
    }
}

impl fmt::Display for RawId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Id of a request that outlives the message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(Box<str>);

impl RequestId {
    /// Encodes `text` as an id.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(quoted(text).into())
    }

    /// Returns the id for a message.
    pub(crate) fn as_raw(&self) -> RawId<'_> {
        RawId(&self.0)
    }
}

impl From<RawId<'_>> for RequestId {
    fn from(id: RawId<'_>) -> Self {
        Self(id.0.into())
    }
}

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        RawId::of_number(number, &mut [0; 20]).into()
    }
}

impl PartialEq<RawId<'_>> for RequestId {
    fn eq(&self, other: &RawId<'_>) -> bool {
        *self.0 == *other.0
    }
}

#[cfg(test)]
impl<'a> From<&'a str> for RawId<'a> {
    fn from(value: &'a str) -> Self {
        Self(value)
    }
}

#[cfg(test)]
impl From<&str> for RequestId {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

/// Finds an id in a map by [`RawId::as_str`].
impl Borrow<str> for RequestId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_or_strings_of_them() {
        for (id, number, lenient) in [
            ("7", Some(7), Some(7)),
            (r#""7""#, None, Some(7)),
            (r#""\u0037""#, None, Some(7)),
            (r#""seven""#, None, None),
            ("7.5", None, None),
            ("null", None, None),
        ] {
            let id = RawId::new(id);
            assert_eq!(
                (id.number(), id.lenient_number()),
                (number, lenient),
                "{id}"
            );
        }
    }

    #[test]
    fn numbers_become_ids() {
        for number in [0, 7, 10, u64::MAX] {
            assert_eq!(RequestId::from(number).0.to_string(), number.to_string());
        }
    }

    #[test]
    fn an_id_is_replaced_where_it_stands() {
        let line = r#"{"x":7,"id": 7 ,"y":7}"#;
        let id = RawId::new(&line[13..14]);
        let parts = id.replaced(line, RawId::new("\"one\""));
        assert_eq!(parts.concat(), br#"{"x":7,"id": "one" ,"y":7}"#);
    }
}
