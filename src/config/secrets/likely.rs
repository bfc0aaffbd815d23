//! Likely secrets, by the name of a value or by its look.

/// A word of a name that ends with one of these names a secret, such as `KEY` and `apikey`.
#[rustfmt::skip] // A table.
const SECRETS: [&str; 24] = [
    "TOKEN", "TOKENS", "KEY", "KEYS", "SECRET", "SECRETS", "PASS", "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE",
    "PASSCODE", "AUTH", "AUTHORIZATION", "CREDENTIAL", "CREDENTIALS", "COOKIE", "COOKIES", "PWD", "BEARER", "JWT",
    "PRIVATE", "WEBHOOK", "SIGNATURE",
];
/// So does a word with one of these anywhere in it.
const CONTAINED: [&str; 4] = ["PASSW", "SECRET", "CREDENTIAL", "APIKEY"];
/// So does each of these as a whole word.
const SHORT: [&str; 6] = ["PAT", "DSN", "SIG", "CRED", "CREDS", "SAS"];
/// Ordinary words that end like a secret.
const HARMLESS: [&str; 5] = ["MONKEY", "TURKEY", "HOTKEY", "BYPASS", "COMPASS"];
/// A name with one of these as its last word is that of a property of a secret, or of the place where it is kept.
#[rustfmt::skip] // A table.
const PROPERTIES: [&str; 24] = [
    "FILE", "PATH", "DIR", "DIRECTORY", "FOLDER", "STORE", "LIMIT", "COUNT", "BUDGET", "SIZE", "LENGTH", "LEN",
    "TTL", "TIMEOUT", "EXPIRY", "TYPE", "MODE", "METHOD", "SCHEME", "FORMAT", "ALGORITHM", "ENV", "VAR", "NAME",
];
/// `--max-tokens` counts those of a model.
const COUNTS: [&str; 3] = ["MAX", "MIN", "NUM"];
/// The address of a login holds no secret, unlike that of a webhook. Its query is hidden in any case.
const ADDRESSES: [&str; 3] = ["URL", "URI", "ENDPOINT"];
/// Prefixes of the keys of well-known services.
#[rustfmt::skip] // A table.
const KEYS: [&str; 30] = [
    "sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-",
    "xoxa-", "xapp-", "eyJ", "AKIA", "ASIA", "AIza", "ya29.", "hf_", "npm_", "pypi-", "dckr_pat_", "SG.",
    "lin_api_", "ntn_", "secret_", "figd_", "tvly-",
];

/// Whether the value of this name is likely a secret.
pub(in crate::config) fn names_secret(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last() else {
        return false;
    };
    let has = |list: &[&str]| words.iter().any(|it| list.contains(&it.as_str()));
    let is_harmless = PROPERTIES.contains(&last.as_str())
        || ADDRESSES.contains(&last.as_str()) && has(&["AUTH", "OAUTH", "TOKEN"])
        || has(&COUNTS) && last.starts_with("TOKEN");
    !is_harmless && words.iter().any(|word| is_secret(word))
}

/// Whether any word of a text names a secret.
pub(super) fn mentions_secret(text: &str) -> bool {
    words(text).iter().any(|word| is_secret(word))
}

fn is_secret(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    SHORT.contains(&word)
        || CONTAINED.iter().any(|part| word.contains(part))
        || SECRETS.iter().any(|end| word.ends_with(end)) && !HARMLESS.contains(&word)
}

/// Splits a name into its words in upper case: `--api-key`, `API_KEY` and `apiKey` have the same ones.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut word, mut was_lower) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && was_lower {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_uppercase());
        }
        was_lower = c.is_lowercase();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a text is like a key that a machine made.
pub(crate) fn looks_secret(text: &str) -> bool {
    let is_known = |start: &str| text.len() >= start.len() + 8 && text.starts_with(start);
    if KEYS.into_iter().any(is_known) {
        return true;
    }
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let is_uuid =
        groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let count = |word: &str, is_meant: fn(&char) -> bool| word.chars().filter(is_meant).count();
    let is_random = |word: &str| {
        word.len() >= 16
            && count(word, char::is_ascii_digit) >= 2
            && count(word, char::is_ascii_alphabetic) >= 2
    };
    is_uuid
        || text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_random)
}
