//! What is never shown: values that came from a variable, all of `env` and of `headers`, and what else looks like a
//! secret in arguments and addresses. Of such a value only the variables that it is made of are shown, as written.

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
/// What keys of well-known services begin with.
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
    let mut words = upper.split(|c: char| !c.is_alphanumeric());
    SECRET.iter().any(|part| upper.contains(part)) || words.any(|word| SECRET_WORD.contains(&word))
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

/// A text in which an address or something like a key may stand, without what is secret in it.
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
        Piece::Literal(text) if text.split('/').any(looks_secret) => HIDDEN.to_owned(),
        Piece::Literal(text) => text.to_owned(),
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

/// What follows `://`: the login, the query, the fragment and parts of the path that look like keys are hidden.
fn address(rest: &str) -> String {
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
    let part = |part: &str| {
        if looks_secret(part) {
            redacted(part)
        } else {
            part.to_owned()
        }
    };
    let path: Vec<String> = path.split('/').map(part).collect();
    format!("{host}{}{query}", path.join("/"))
}

/// A program as it may be shown; some write the whole command line for it.
pub(super) fn program(text: &str) -> String {
    shown_words(text.split(' ')).join(" ")
}

/// What the argument is that follows an option.
#[derive(Clone, Copy)]
enum Follows {
    Anything,
    Secret,
    /// A header: its name may be shown.
    Header,
}

impl Follows {
    fn option(option: &str) -> Self {
        match option {
            "-H" | "--header" | "--headers" => Self::Header,
            _ if option.starts_with('-') && !option.contains('=') && names_secret(option) => {
                Self::Secret
            }
            _ => Self::Anything,
        }
    }
}

/// The words of a command as they were written, without what is secret in them.
pub(super) fn shown_words<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut follows = Follows::Anything;
    let shown = words.map(
        |arg| match std::mem::replace(&mut follows, Follows::option(arg)) {
            Follows::Secret => redacted(arg),
            Follows::Header => header(arg),
            Follows::Anything => argument(arg),
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
            _ => guarded(value),
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
        _ => guarded(arg),
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

/// The words of what is sent to a server that may repeat them, the longest first.
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
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_without_secrets() {
        for (args, shown) in [
            (
                &["--api-key", "abc", "--port", "80"][..],
                &["--api-key", "***", "--port", "80"][..],
            ),
            (
                &["--password=abc", "--pat=a", "--path=a"],
                &["--password=***", "--pat=***", "--path=a"],
            ),
            (&["-H", "X-Api: abc"], &["-H", "X-Api: ***"]),
            (
                &["--header=Authorization:Bearer abc"],
                &["--header=Authorization:Bearer ***"],
            ),
            (&["--header", "${H}"], &["--header", "${H}"]),
            (
                &["Authorization: Bearer ${T}"],
                &["Authorization: Bearer ${T}"],
            ),
            (&["X-Api-Key:abc"], &["X-Api-Key:***"]),
            (
                &["https://u:p@x.example/a/b?k=v#f"],
                &["https://***@x.example/a/b?***"],
            ),
            (
                &["https://x.example/services/T0/B0/a1b2c3d4e5f6g7h8i9"],
                &["https://x.example/services/T0/B0/***"],
            ),
            (
                &["https://x.example/${A}/mcp"],
                &["https://x.example/${A}/mcp"],
            ),
            (&["user:pass@db:5432"], &["***@db:5432"]),
            (
                &[
                    "npm:left-pad@1.0.0",
                    "@scope/server@1.2.3",
                    "git@github.com:me/x",
                ],
                &[
                    "npm:left-pad@1.0.0",
                    "@scope/server@1.2.3",
                    "git@github.com:me/x",
                ],
            ),
            (&["sk-abcdefgh12345678"], &["***"]),
            (&["01234567-89ab-cdef-0123-456789abcdef"], &["***"]),
            (
                &["{\"apiKey\": \"abc\"}", "{\"a\": 1}"],
                &["***", "{\"a\": 1}"],
            ),
            (
                &["${TOKEN:-abc}", "${DIR:-src}", "a/${X}/b"],
                &["${TOKEN:-***}", "${DIR:-src}", "a/${X}/b"],
            ),
            (
                &[
                    "/home/me/my-server-2/dist/index.js",
                    "C:\\x\\y.py",
                    "mcp_server_fetch==2025.1.17",
                ],
                &[
                    "/home/me/my-server-2/dist/index.js",
                    "C:\\x\\y.py",
                    "mcp_server_fetch==2025.1.17",
                ],
            ),
        ] {
            let found = shown_words(args.iter().copied());
            assert_eq!(found, shown, "{args:?}");
        }
    }

    #[test]
    fn every_word_that_was_sent_is_hidden() {
        let sent = [
            "Bearer abcd".to_owned(),
            "sid=wxyz; theme=dark".to_owned(),
            "a b".to_owned(),
        ];
        let said = "got abcd (Bearer abcd), wxyz and dark; a b";
        assert_eq!(
            without(said, &words(&sent)),
            "got *** (***), *** and ***; a b"
        );
    }
}
