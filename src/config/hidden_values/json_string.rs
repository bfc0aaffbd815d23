//! JSON strings that a JSON parser may refuse.

/// Returns the text of a JSON string. Its end may be missing, and an escape may be wrong: half of a pair of surrogates
/// becomes U+FFFD, and any other loses its backslash.
pub(super) fn decoded(raw: &str) -> String {
    if let Ok(text) = serde_json::from_str(raw) {
        return text;
    }
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut rest = raw[1..].chars();
    while let Some(mut c) = rest.next().filter(|c| *c != '"') {
        if c == '\\' {
            if let Some((unit, after)) = escaped_unit(rest.as_str()) {
                units.push(unit);
                rest = after.chars();
                continue;
            }
            c = match rest.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c) => c,
                None => break,
            };
        }
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

/// Returns the UTF-16 unit that `text` begins with, as `u` and four digits, and the text after it.
fn escaped_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, after) = text.strip_prefix('u')?.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, after))
}
