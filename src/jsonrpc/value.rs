//! JSON values, byte for byte as their senders wrote them, where their decoded text occurs as well.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::members::{quoted, request_number, unquoted};

/// Value in a message, as it stands there: a string still has its quotes and escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawJson<'a>(&'a str);

impl<'a> RawJson<'a> {
    /// Creates a value from a slice of a message.
    pub(super) fn new(value: &'a str) -> Self {
        Self(value)
    }

    /// Returns the value as it stands in the message.
    pub(crate) fn as_str(self) -> &'a str {
        self.0
    }

    /// Decodes a string; None if the value is not a string or has a lone surrogate.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        unquoted(self.0)
    }

    /// Returns the number of the proxy's own request for which a server has received this value as its token.
    pub(crate) fn request_number(self) -> Option<u64> {
        request_number(self.0)
    }

    /// Returns true if the value is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }
}

#[cfg(test)]
impl<'a> From<&'a str> for RawJson<'a> {
    fn from(value: &'a str) -> Self {
        Self(value)
    }
}

/// Value that outlives its message. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedJson(Arc<str>);

impl OwnedJson {
    /// Encodes `text` as a string.
    pub(crate) fn of_text(text: &str) -> Self {
        Self(quoted(text).into())
    }

    /// Returns the value for a message.
    pub(crate) fn as_raw(&self) -> RawJson<'_> {
        RawJson(&self.0)
    }
}

impl From<RawJson<'_>> for OwnedJson {
    fn from(value: RawJson<'_>) -> Self {
        Self(value.0.into())
    }
}

#[cfg(test)]
impl From<&str> for OwnedJson {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Display for OwnedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
