//! Hides secrets in the proxy's output: values that came from a variable, all values of `env` and `headers`, and likely
//! secrets in arguments and addresses. A hidden value still shows its variables as written.

use std::path::Path;

use super::expand::{Piece, pieces};

/// Stands for what is not shown.
const HIDDEN: &str = "***";
/// A name with one of these in it names a secret.
const SECRET: [&str; 13] = [
    "TOKEN",
    "KEY",
    "SECRET",
    "PASS",
    "AUTH",
    "CREDENTIAL",
    "COOKIE",
    "PWD",
    "BEARER",
    "JWT",
    "PRIVATE",
    "WEBHOOK",
    "SIGNATURE",
];
/// So does a name with one of these as a word of its own.
const SECRET_WORD: [&str; 5] = ["PAT", "DSN", "SIG", "CRED", "SAS"];
/// Prefixes of the keys of well-known services.
const KEYS: [&str; 30] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "eyJ",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "hf_",
    "npm_",
    "pypi-",
    "dckr_pat_",
    "SG.",
    "lin_api_",
    "ntn_",
    "secret_",
    "figd_",
    "tvly-",
];
/// The words before a credential, which tell only how to log in.
const SCHEMES: [&str; 4] = ["Bearer", "Basic", "Token", "Digest"];

fn names_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_alphanumeric()).collect();
    // `--max-tokens` counts those of a model.
    let counts = ["MAX", "MIN", "NUM"].iter().any(|it| words.contains(it));
    let is_harmless =
        |word: &str| matches!(word, "AUTHOR" | "AUTHORS") || counts && word == "TOKENS";
    let mut words = words.into_iter().filter(|word| !is_harmless(word));
    words.any(|word| SECRET_WORD.contains(&word) || SECRET.iter().any(|part| word.contains(part)))
}

/// Whether a text is like a key that a machine made.
pub(super) fn looks_secret(text: &str) -> bool {
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

/// The variables of a value; what stands around them is hidden, except the word for how to log in.
pub(super) fn redacted(value: &str) -> String {
    let piece = |piece| match piece {
        Piece::Literal(text) => match text.split_once(' ') {
            Some((scheme, "")) if SCHEMES.contains(&scheme) => text.to_owned(),
            Some((scheme, _)) if SCHEMES.contains(&scheme) => format!("{scheme} {HIDDEN}"),
            _ => HIDDEN.to_owned(),
        },
        Piece::Variable {
            name,
            default: Some(""),
            ..
        } => format!("${{{name}:-}}"),
        Piece::Variable {
            name,
            default: Some(_),
            ..
        } => format!("${{{name}:-{HIDDEN}}}"),
        Piece::Variable { written, .. } => written.to_owned(),
    };
    pieces(value).into_iter().map(piece).collect()
}

/// Hides the secrets in a text that may be, or hold, an address or a key.
pub(crate) fn guarded(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        return format!("{scheme}://{}", address(rest));
    }
    let login = text.split_once('@').map(|(login, _)| login);
    let is_login = |login: &str| {
        login.contains(':') && !login.contains(['/', ' ']) && !login.starts_with("npm:")
    };
    if let Some(login) = login.filter(|login| is_login(login)) {
        return format!("{}{}", redacted(login), &text[login.len()..]);
    }
    let piece = |piece| match piece {
        Piece::Literal(text) => text.split('/').map(part).collect::<Vec<_>>().join("/"),
        Piece::Variable {
            name,
            default: Some(default),
            ..
        } if !default.is_empty() && (names_secret(name) || looks_secret(default)) => {
            format!("${{{name}:-{HIDDEN}}}")
        }
        Piece::Variable { written, .. } => written.to_owned(),
    };
    pieces(text).into_iter().map(piece).collect()
}

/// Hides login, query, fragment and keys in the path of an address, given from behind its `://`.
fn address(rest: &str) -> String {
    // A password may hold a `/`, `?` or `#`, and a port consists of digits.
    let first = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_login = first
        .split_once(':')
        .is_some_and(|(_, it)| !it.chars().all(|c| c.is_ascii_digit()));
    if let Some(at) = rest.rfind('@').filter(|_| is_login && !first.contains('@')) {
        return format!("{}{}", redacted(&rest[..at]), address(&rest[at..]));
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (place, query) = rest.split_at(end);
    let query = query
        .split_at_checked(1)
        .map_or(String::new(), |(sign, query)| {
            format!("{sign}{}", redacted(query))
        });
    let end = place.find('/').unwrap_or(place.len());
    let (host, path) = place.split_at(end);
    let host = match host.rfind('@') {
        Some(at) => format!("{}{}", redacted(&host[..at]), &host[at..]),
        None => host.to_owned(),
    };
    let path: Vec<String> = path.split('/').map(part).collect();
    format!("{host}{}{query}", path.join("/"))
}

/// A part of a path. A commit after `@` is no secret.
fn part(part: &str) -> String {
    let is_commit = |it: &str| it.len() == 40 && it.chars().all(|c| c.is_ascii_hexdigit());
    let name = part
        .rsplit_once('@')
        .filter(|(_, commit)| is_commit(commit))
        .map_or(part, |(name, _)| name);
    if looks_secret(name) {
        redacted(part)
    } else {
        part.to_owned()
    }
}

/// `NAME=VALUE` and `NAME:VALUE` within a longer text, as in a connection string or a line for a shell.
fn pairs(text: &str) -> String {
    let separates = |c: char| c.is_whitespace() || matches!(c, ';' | ',' | '&' | '"' | '\'');
    let pair = |token: &str| {
        let (token, sign) = match token.char_indices().next_back() {
            Some((at, c)) if separates(c) => token.split_at(at),
            _ => (token, ""),
        };
        let is_named =
            |(at, _): &(usize, &str)| !token[..*at].contains('$') && names_secret(&token[..*at]);
        match token.match_indices(['=', ':']).next().filter(is_named) {
            Some((at, _)) if !token[at..].starts_with("://") && at + 1 < token.len() => {
                format!("{}{}{sign}", &token[..=at], redacted(&token[at + 1..]))
            }
            _ => format!("{token}{sign}"),
        }
    };
    text.split_inclusive(separates).map(pair).collect()
}

/// A program as it may be shown; some write the whole command line for it.
pub(super) fn program(text: &str) -> String {
    shown_words(text.split(' ')).join(" ")
}

/// Kind of the argument after an option.
#[derive(Clone, Copy)]
enum Follows {
    Anything,
    Secret,
    /// Perhaps `USER:PASSWORD`.
    Login,
    /// A header: its name may be shown.
    Header,
}

impl Follows {
    fn option(option: &str) -> Self {
        match option {
            "-H" | "--header" | "--headers" => Self::Header,
            "-u" | "--user" => Self::Login,
            _ if option.starts_with("--no-") => Self::Anything,
            _ if option.starts_with('-') && !option.contains('=') && names_secret(option) => {
                Self::Secret
            }
            _ => Self::Anything,
        }
    }
}

/// Hides the secrets in the words of a command, which stay as they were written otherwise.
pub(super) fn shown_words<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut follows = Follows::Anything;
    let shown = words.map(
        |arg| match std::mem::replace(&mut follows, Follows::option(arg)) {
            Follows::Secret => redacted(arg),
            Follows::Header => header(arg),
            Follows::Login if arg.contains(':') => header(arg),
            Follows::Login | Follows::Anything => argument(arg),
        },
    );
    shown.collect()
}

fn argument(arg: &str) -> String {
    if let Some((name, value)) = arg
        .split_once('=')
        .filter(|(name, _)| !name.contains(['/', ' ', '{']))
    {
        let value = match Follows::option(name) {
            Follows::Header => header(value),
            _ if names_secret(name) => redacted(value),
            // Such as `--env=NAME=VALUE`.
            _ => argument(value),
        };
        return format!("{name}={value}");
    }
    match arg.split_once(':') {
        // A header that some option of the server's own takes.
        Some((name, value))
            if names_secret(name) && !value.starts_with("//") && !name.contains(['/', '{']) =>
        {
            header(arg)
        }
        // Such as a list or an object of settings.
        _ if arg.starts_with(['{', '[']) && names_secret(arg) => redacted(arg),
        _ => guarded(&pairs(arg)),
    }
}

/// `NAME: ***`.
fn header(text: &str) -> String {
    let Some((name, value)) = text.split_once(':').filter(|(name, _)| !name.contains('$')) else {
        return redacted(text);
    };
    let trimmed = value.trim_start();
    let space = &value[..value.len() - trimmed.len()];
    format!("{name}:{space}{}", redacted(trimmed))
}

/// The path that was `written`, as it may be shown.
pub(super) fn path(written: &str, path: &Path) -> String {
    let is_variable = |piece: &Piece<'_>| matches!(piece, Piece::Variable { .. });
    if pieces(written).iter().any(is_variable) {
        guarded(written)
    } else {
        path.display().to_string()
    }
}

/// Splits `values`, which a server was sent and may repeat, into words to hide; the longest come first.
pub(super) fn words(values: &[String]) -> Vec<&str> {
    let separates = |c: char| c.is_whitespace() || matches!(c, ';' | ',' | '=' | ':' | '&' | '"');
    let parts = values
        .iter()
        .flat_map(|value| std::iter::once(&**value).chain(value.split(separates)));
    let mut words: Vec<&str> = parts
        .filter(|word| word.len() > 3 && !SCHEMES.contains(word))
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

/// `text` without these words.
pub(super) fn without(text: &str, words: &[&str]) -> String {
    words
        .iter()
        .fold(text.to_owned(), |text, word| text.replace(word, HIDDEN))
}

#[cfg(test)]
mod tests;
