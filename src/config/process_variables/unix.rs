//! Names of variables on Unix.

use std::borrow::Cow;

pub(super) fn key(name: &str) -> Cow<'_, str> {
    Cow::Borrowed(name)
}
