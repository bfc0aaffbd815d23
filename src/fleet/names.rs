//! Names under which a client sees the tools and prompts of several servers.
//!
//! Pure functions: the catalog keeps the table from these names back to servers and their own names; a name is never
//! split to find its server. Names of two servers can still collide (`a` with `b__c`, `a__b` with `c`), which only that
//! table can detect.

use super::fingerprint::fingerprint;
use crate::config::is_name_char;

/// Separator between a server's prefix and its own name for an entry.
const SEPARATOR: &str = "__";
/// Letters of a suffix, each for the lower five bits of a hash byte. Letters that are easily confused are left out.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Length of a suffix: `_` and a letter for each byte.
const SUFFIX: usize = 9;

/// Returns the name that clients use for a server's `name`: preceded by `prefix`, unless that is empty, only of
/// `A-Z a-z 0-9 _ -`, and at most `max` (16 or more) characters long.
///
/// An altered name ends in a hash of its original, so that different names stay different.
pub(crate) fn public_name(prefix: &str, name: &str, max: usize) -> String {
    let separator = if prefix.is_empty() { "" } else { SEPARATOR };
    let whole = [prefix, separator, name].concat();
    if whole.len() <= max && whole.chars().all(is_name_char) {
        return whole;
    }
    let replaced = whole.chars().map(|c| if is_name_char(c) { c } else { '_' });
    let mut public: String = replaced.take(max.saturating_sub(SUFFIX)).collect();
    public.push('_');
    let hash = fingerprint([prefix.as_bytes(), name.as_bytes()]);
    let letters = hash
        .to_le_bytes()
        .map(|byte| LETTERS[usize::from(byte % 32)]);
    public.extend(letters.map(char::from));
    public
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fitting_name_is_only_prefixed() {
        assert_eq!(public_name("", "get_Time-2", 48), "get_Time-2");
        assert_eq!(public_name("clock", "get_time", 48), "clock__get_time");
        assert_eq!(public_name("clock", "123456789", 16), "clock__123456789");
    }

    /// Clients store these names in their settings: they must not change from one version to the next.
    #[test]
    fn an_altered_name_ends_in_a_hash_that_stays() {
        assert_eq!(public_name("", "get time", 48), "get_time_6cqteek6");
        assert_eq!(
            public_name("clock", "get.time", 48),
            "clock__get_time_pkgbwnrb"
        );
        assert_eq!(public_name("clock", "1234567890", 16), "clock___x7awaucf");
        assert_eq!(public_name("", "時計", 16), "___2zswcz6m");
    }

    #[test]
    fn names_that_look_alike_stay_different() {
        let names = [
            ("", "a.b"),
            ("", "a_b"),
            ("", "a b"),
            ("", "a\u{e9}b"),
            ("a", "b.c"),
            ("a_", "b.c"),
            ("a__b", ".c"),
            ("a", "b__.c"),
        ];
        let public: HashSet<String> = names
            .iter()
            .map(|(prefix, name)| public_name(prefix, name, 48))
            .collect();
        assert_eq!(public.len(), names.len(), "{public:?}");
    }

    proptest! {
        #[test]
        fn every_name_fits_and_differs(
            names in prop::collection::hash_set(("[a-c_. ]{0,6}|\\PC{0,40}", "[a-c_. ]{1,9}|\\PC{1,200}"), 1..20),
            max in 16usize..130,
        ) {
            let mut altered = HashSet::new();
            for (prefix, name) in &names {
                let public = public_name(prefix, name, max);
                prop_assert!(public.len() <= max);
                prop_assert!(public.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
                let separator = if prefix.is_empty() { "" } else { "__" };
                if public != format!("{prefix}{separator}{name}") {
                    prop_assert!(altered.insert(public));
                }
            }
        }
    }
}
