//! JSON object as a list of raw members, for the few places that read or edit one.

use std::borrow::Cow;
use std::fmt;

use super::scan::Scanner;

/// Members of one JSON object, in order, names and values raw. Duplicate names are kept; the last one counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Members<'a> {
    /// Parses the members of `object`; none if it is not a JSON object.
    pub(crate) fn of(object: &'a str) -> Self {
        let mut members = Vec::new();
        let mut scanner = Scanner::new(object);
        let read = scanner.members(|scanner, name| {
            members.push((name.into(), scanner.value()?.into()));
            Ok(())
        });
        let whole = read.and_then(|()| scanner.end());
        whole.map_or_else(|_| Self::default(), |()| Self { members })
    }

    /// Returns the raw value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.members
            .iter()
            .rev()
            .find(|(key, _)| names(key, name))
            .map(|(_, value)| &**value)
    }

    /// Returns the raw value of `name` as a slice of the parsed object; None if it was set since.
    pub(crate) fn original(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self
            .members
            .iter()
            .rev()
            .find(|(key, _)| names(key, name))?;
        match value {
            Cow::Borrowed(raw) => Some(raw),
            Cow::Owned(_) => None,
        }
    }

    /// Returns the decoded string `name`; None if it is not a string.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).and_then(unquoted)
    }

    /// Returns the members of the object `name`; none if it does not exist.
    pub(crate) fn object(&self, name: &str) -> Members<'_> {
        self.get(name).map(Members::of).unwrap_or_default()
    }

    /// Replaces the value of `name`, or appends it. `value` is raw JSON.
    pub(crate) fn set(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        match self
            .members
            .iter_mut()
            .rev()
            .find(|(key, _)| names(key, name))
        {
            Some((_, old)) => *old = value,
            None => self.members.push((quoted(name).into(), value)),
        }
    }

    /// Removes every member with that name; returns true if there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.members.len();
        self.members.retain(|(key, _)| !names(key, name));
        self.members.len() < before
    }

    /// Returns true if there are no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns names and raw values in order; a name with a lone surrogate is returned as written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
        self.members
            .iter()
            .map(|(key, value)| (unquoted(key).unwrap_or(Cow::Borrowed(key)), &**value))
    }

    /// Returns raw names, with their quotes, and raw values in order.
    pub(crate) fn into_raw(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.members.into_iter()
    }

    /// Creates an object from raw names and raw values.
    pub(crate) fn from_raw(members: Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Self {
        Self { members }
    }
}

/// Returns true if the raw name `key` decodes to `name`.
fn names(key: &str, name: &str) -> bool {
    unquoted(key).is_some_and(|key| key == name)
}

/// Serializes the object.
impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.members.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            write!(f, "{open}{name}:{value}")?;
        }
        f.write_str(if self.is_empty() { "{}" } else { "}" })
    }
}

/// Returns the raw elements of a JSON array; None if it is not an array.
pub(crate) fn elements(array: &str) -> Option<Vec<&str>> {
    let mut elements = Vec::new();
    let mut scanner = Scanner::new(array);
    let read = scanner.elements(|scanner| {
        elements.push(scanner.value()?);
        Ok(())
    });
    read.and_then(|()| scanner.end()).ok()?;
    Some(elements)
}

/// Decodes a raw JSON string; None if it is not a string or has a lone surrogate.
pub(crate) fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

/// Parses the request number in a raw id or token from the server. Some servers return every id as a string, and some
/// programming languages read every number as a fraction and write `1.0`.
pub(crate) fn request_number(raw: &str) -> Option<u64> {
    let parsed = |text: &str| text.parse().ok();
    parsed(raw)
        .or_else(|| parsed(&unquoted(raw)?))
        .or_else(|| parsed(raw.strip_suffix(".0")?))
}

/// Returns `text` as a raw JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_requests_are_read_in_each_form() {
        for raw in ["7", "\"7\"", "7.0"] {
            assert_eq!(request_number(raw), Some(7), "{raw}");
        }
        for raw in ["7.5", "7.", "-7", "\"x\"", "null", "18446744073709551616.0"] {
            assert_eq!(request_number(raw), None, "{raw}");
        }
    }

    #[test]
    fn edits_keep_what_they_do_not_touch() {
        let mut members =
            Members::of(r#"{"a": 1E5,"b":{"c":"\ud83d"},"\u0061":-0,"\ud83d\/":1,"d":"x"}"#);
        assert_eq!(members.get("a"), Some("-0"));
        assert_eq!(members.text("d").as_deref(), Some("x"));
        assert_eq!(members.object("b").get("c"), Some(r#""\ud83d""#));
        members.set("b", "[]");
        members.set("e", "true");
        assert!(members.remove("d"));
        assert_eq!(
            members.to_string(),
            r#"{"a":1E5,"b":[],"\u0061":-0,"\ud83d\/":1,"e":true}"#
        );
    }

    #[test]
    fn no_object_has_no_members() {
        assert_eq!(Members::of("[1]").to_string(), "{}");
        assert_eq!(elements("{}"), None);
        assert_eq!(elements("[1, {\"a\":2}]"), Some(vec!["1", "{\"a\":2}"]));
    }
}
