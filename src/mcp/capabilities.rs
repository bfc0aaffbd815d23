//! What the proxy promises beyond what the server does.

use crate::jsonrpc::Members;

/// The server's raw `capabilities` object with everything added that a reload may bring: a legacy
/// client never asks again for what `initialize` did not promise, and some clients ignore
/// `list_changed` unless it was announced.
pub(crate) fn generous(capabilities: &str) -> String {
    let mut all = Members::of(capabilities);
    for (kind, flags) in [
        ("tools", &["listChanged"][..]),
        ("prompts", &["listChanged"]),
        ("resources", &["subscribe", "listChanged"]),
        ("logging", &[]),
        ("completions", &[]),
    ] {
        let mut members = Members::of(capabilities)
            .get(kind)
            .map(ToOwned::to_owned)
            .unwrap_or_default();
        if !flags.is_empty() || members.is_empty() {
            let mut edited = Members::of(&members);
            for flag in flags {
                edited.set(flag, "true");
            }
            members = edited.to_string();
        }
        all.set(kind, members);
    }
    all.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_without_taking_away() {
        assert_eq!(
            generous(
                r#"{"tools":{"listChanged":false,"x":1},"vendor":{"a":1E5},"logging":{"b":1}}"#
            ),
            r#"{"tools":{"listChanged":true,"x":1},"vendor":{"a":1E5},"logging":{"b":1},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"completions":{}}"#
        );
    }
}
