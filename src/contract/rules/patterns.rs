//! Faults of regular expressions in schemas.

/// Returns the reason why no dialect of regular expressions accepts `pattern`.
pub(super) fn pattern_fault(pattern: &str) -> Option<&'static str> {
    let (mut groups, mut in_class, mut can_repeat) = (0_usize, false, false);
    let mut rest = pattern.chars();
    while let Some(it) = rest.next() {
        match it {
            '\\' if rest.next().is_none() => return Some("ends with a single `\\`"),
            '\\' => can_repeat = true,
            ']' if in_class => (in_class, can_repeat) = (false, true),
            _ if in_class => {}
            '[' => in_class = true,
            '(' => {
                groups += 1;
                can_repeat = rest.as_str().starts_with('?');
            }
            ')' if groups == 0 => return Some("has a `)` without its `(`"),
            ')' => (groups, can_repeat) = (groups - 1, true),
            '*' | '+' if !can_repeat => return Some("repeats nothing"),
            '|' | '^' => can_repeat = false,
            _ => can_repeat = true,
        }
    }
    match (groups, in_class) {
        (0, false) => None,
        (_, true) => Some("has a `[` without its `]`"),
        (_, false) => Some("has a `(` without its `)`"),
    }
}

/// Returns the reason why JavaScript does not accept `pattern` with the flag `u`, with which validators compile it.
pub(super) fn javascript_fault(pattern: &str) -> Option<String> {
    if let Some(fault) = pattern_fault(pattern) {
        return Some(fault.to_owned());
    }
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(it) = rest.chars().next() {
        rest = &rest[it.len_utf8()..];
        match it {
            '\\' => {
                let escape = rest.chars().next()?;
                if !is_escape(rest, in_class) {
                    return Some(format!("`\\{escape}` is no escape in JavaScript"));
                }
                let braced = ["u{", "p{", "P{"]
                    .iter()
                    .find_map(|it| rest.strip_prefix(it));
                rest = match braced.and_then(|it| it.split_once('}')) {
                    Some((_, after)) => after,
                    None => &rest[escape.len_utf8()..],
                };
                let is_set = "dDsSwW".contains(escape);
                let begins_range = rest.starts_with('-') && !rest.starts_with("-]");
                if in_class && is_set && begins_range {
                    return Some(format!("a range begins with `\\{escape}`"));
                }
            }
            ']' if in_class => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' if rest.starts_with('?') && !is_group(rest) => {
                return Some("has a group that JavaScript does not know".to_owned());
            }
            '{' => match quantifier(rest) {
                Some(after) => rest = after,
                None => return Some("has a `{` that begins no quantifier".to_owned()),
            },
            '}' | ']' => return Some(format!("has a `{it}` without its opening bracket")),
            _ => {}
        }
    }
    None
}

/// Returns true if the characters after a `\` are an escape in JavaScript.
fn is_escape(after: &str, in_class: bool) -> bool {
    const COMMON: &str = "^$\\.*+?()[]{}|/dDsSwWfnrtv0123456789cxu";
    let Some(first) = after.chars().next() else {
        return false;
    };
    COMMON.contains(first)
        || if in_class { "-b" } else { "bB" }.contains(first)
        || ["p{", "P{", "k<"].iter().any(|it| after.starts_with(it))
}

/// Returns true if the characters after a `(` begin a group of JavaScript.
fn is_group(after: &str) -> bool {
    let known = ["?:", "?=", "?!", "?<=", "?<!"];
    let is_name = |it: char| it.is_alphabetic() || it == '_' || it == '$';
    let is_named = || {
        let name = after.strip_prefix("?<");
        name.is_some_and(|it| it.starts_with(is_name))
    };
    // Flags for one group are new in 2025.
    let has_flags = || {
        let flags = after[1..].trim_start_matches(['i', 'm', 's', '-']);
        flags.len() < after.len() - 1 && flags.starts_with(':')
    };
    known.iter().any(|it| after.starts_with(it)) || is_named() || has_flags()
}

/// Returns the rest after a quantifier such as `2,3}`.
fn quantifier(after: &str) -> Option<&str> {
    let (numbers, rest) = after.split_once('}')?;
    let (least, most) = numbers.split_once(',').unwrap_or((numbers, ""));
    let is_number = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    (!least.is_empty() && is_number(least) && is_number(most)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_that_nothing_accepts_are_faulty() {
        for valid in [
            "",
            "^[a-z]+$",
            r"\(",
            "[(]",
            r"[\]]",
            "(?=x)y{2}",
            "(?:a|b)*?",
            "a|b",
            "[^/]+",
            "x++",
            "(?<name>x)*",
            r"\d*",
        ] {
            assert_eq!(pattern_fault(valid), None, "{valid}");
        }
        for faulty in ["(", "a)", "[a", "*a", "a|+b", "\\", "(*)"] {
            assert!(pattern_fault(faulty).is_some(), "{faulty}");
        }
    }

    /// The expectations are those of Node.js 22.
    #[test]
    fn patterns_that_javascript_rejects_are_faulty() {
        for valid in [
            "",
            r"^[\w.-]+@[\w-]+\.[a-z]{2,}$",
            r"^\d{4}-\d{2}-\d{2}$",
            r"(?<year>\d+)\k<year>",
            "(?<=a)b(?<!c)",
            r"[\-_\b]\b\B",
            r"\p{L}+\/\u{1F600}\x41\cA",
            "[^{}]{1,3}?",
            "[[a]",
        ] {
            assert_eq!(javascript_fault(valid), None, "{valid}");
        }
        for faulty in [
            "(?P<id>[a-z]+)",
            "(?>a)",
            "(?i)a",
            r"\Aa",
            r"a\Z",
            r"a\-b",
            r"\_",
            r"[\w-.]",
            "{",
            "a{,3}",
            "a}",
            "a]",
            "[",
        ] {
            assert!(javascript_fault(faulty).is_some(), "{faulty}");
        }
    }
}
