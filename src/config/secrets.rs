//! Hides secrets in the proxy's output: values that came from a variable, all values of `env` and `headers`, and likely
//! secrets in arguments and addresses. A hidden value still shows its variables as written.

use std::path::Path;

use super::expand::{ValuePiece, pieces};

pub(crate) use likely::looks_secret;
use likely::mentions_secret;
pub(super) use likely::names_secret;
pub(crate) use lines::line;

mod likely;
mod lines;

/// Stands for what is not shown.
pub(super) const HIDDEN: &str = "***";
/// Authentication schemes, the words before a credential.
const SCHEMES: [&str; 4] = ["Bearer", "Basic", "Token", "Digest"];

/// Returns the variables of a value; the text around them is hidden, except an authentication scheme.
pub(super) fn redacted(value: &str) -> String {
    let piece = |piece| match piece {
        ValuePiece::Literal(text) => match text.split_once(' ') {
            Some((scheme, "")) if SCHEMES.contains(&scheme) => text.to_owned(),
            Some((scheme, _)) if SCHEMES.contains(&scheme) => format!("{scheme} {HIDDEN}"),
            _ => HIDDEN.to_owned(),
        },
        ValuePiece::Variable {
            name,
            default: Some(""),
            ..
        } => format!("${{{name}:-}}"),
        ValuePiece::Variable {
            name,
            default: Some(_),
            ..
        } => format!("${{{name}:-{HIDDEN}}}"),
        ValuePiece::Variable { written, .. } => written.to_owned(),
    };
    pieces(value).into_iter().map(piece).collect()
}

/// Hides the secrets in a text that may be, or hold, addresses or a key.
pub(crate) fn guarded(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        // A query is hidden as a whole, with any address in it.
        let (before, second) = match start_of_second(rest).map(|at| rest.split_at(at)) {
            Some((before, second)) if !before.contains(['?', '#']) => (before, guarded(second)),
            _ => (rest, String::new()),
        };
        return format!("{scheme}://{}{second}", address(before));
    }
    let login = text.split_once('@').map(|(login, _)| login);
    let is_login = |login: &str| {
        login.contains(':') && !login.contains(['/', ' ']) && !login.starts_with("npm:")
    };
    if let Some(login) = login.filter(|login| is_login(login)) {
        return format!("{}{}", redacted(login), &text[login.len()..]);
    }
    let piece = |piece| match piece {
        ValuePiece::Literal(text) => parts(text),
        ValuePiece::Variable {
            name,
            default: Some(default),
            ..
        } if !default.is_empty() && (names_secret(name) || looks_secret(default)) => {
            format!("${{{name}:-{HIDDEN}}}")
        }
        ValuePiece::Variable { written, .. } => written.to_owned(),
    };
    pieces(text).into_iter().map(piece).collect()
}

/// Returns the offset of the scheme of another address in `rest`.
fn start_of_second(rest: &str) -> Option<usize> {
    let before = &rest[..rest.find("://")?];
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    Some(before.trim_end_matches(is_scheme).len())
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
    format!("{host}{}{query}", parts(path))
}

/// Hides keys in a path. Nix puts a hash before the name of each package.
fn parts(path: &str) -> String {
    const NIX: &str = "/nix/store/";
    let (before, path) = match path.strip_prefix(NIX) {
        Some(rest) => (NIX, rest),
        None => ("", path),
    };
    let mut parts: Vec<String> = path.split('/').map(part).collect();
    if !before.is_empty() {
        let package = path.split('/').next().unwrap_or_default();
        package.clone_into(&mut parts[0]);
    }
    format!("{before}{}", parts.join("/"))
}

/// Hides a part of a path that is like a key. A commit or a digest after `@` is no secret.
fn part(part: &str) -> String {
    let is_hex = |it: &str| it.chars().all(|c| c.is_ascii_hexdigit());
    let is_digest = |it: &str| {
        ["sha1", "sha256", "sha384", "sha512"].iter().any(|name| {
            it.strip_prefix(name)
                .is_some_and(|it| it.starts_with([':', '-']))
        })
    };
    let names_version = |it: &str| it.len() == 40 && is_hex(it) || is_digest(it);
    let name = match part.rsplit_once('@') {
        Some((name, version)) if names_version(version) => name,
        _ if is_digest(part) => "",
        _ => part,
    };
    if looks_secret(name) {
        redacted(part)
    } else {
        part.to_owned()
    }
}

/// Hides the secrets in each `NAME=VALUE` and `NAME:VALUE` of a text without spaces, such as a connection string.
fn pairs(text: &str) -> String {
    let separates = |c: char| matches!(c, ';' | ',' | '&' | '"' | '\'');
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

/// Kind of the argument after an option or a word.
#[derive(Clone, Copy)]
enum ArgumentKind {
    Anything,
    Secret,
    /// Perhaps `USER:PASSWORD`.
    Login,
    /// A header: its name may be shown.
    Header,
    /// Perhaps `NAME=VALUE` of an environment variable.
    Variable,
}

impl ArgumentKind {
    fn word(word: &str) -> Self {
        match word {
            "-H" | "--header" | "--headers" => Self::Header,
            "-u" | "--user" | "--proxy-user" | "--login" => Self::Login,
            "-e" | "--env" => Self::Variable,
            // A line, no option.
            _ if word.contains(char::is_whitespace) => Self::Anything,
            _ if word.eq_ignore_ascii_case("bearer") => Self::Secret,
            // `NAME: VALUE` and `NAME="VALUE"` in a line.
            _ if word.ends_with([':', '=']) && names_secret(word) => Self::Secret,
            _ if word.starts_with("--no-") => Self::Anything,
            _ if word.starts_with('-') && !word.contains('=') && names_secret(word) => Self::Secret,
            _ => Self::Anything,
        }
    }

    /// Hides the secrets in `text`, which follows.
    fn shown(self, text: &str) -> String {
        match self {
            Self::Secret => redacted(text),
            Self::Header => header(text),
            Self::Login if text.contains(':') && !text.contains("://") => header(text),
            Self::Variable => variable(text),
            Self::Login | Self::Anything => argument(text),
        }
    }
}

/// Hides the secrets in the words of a command. All other text is returned as written.
pub(crate) fn shown_words(words: impl IntoIterator<Item: AsRef<str>>) -> Vec<String> {
    let mut follows = ArgumentKind::Anything;
    let mut shown = |word: &str| match follows {
        // `Authorization: Bearer TOKEN` in a line.
        ArgumentKind::Secret if SCHEMES.contains(&word) => word.to_owned(),
        _ => std::mem::replace(&mut follows, ArgumentKind::word(word)).shown(word),
    };
    let words = words.into_iter();
    words.map(|word| shown(word.as_ref())).collect()
}

fn argument(arg: &str) -> String {
    // Such as a list or an object of settings.
    if arg.starts_with(['{', '[']) && mentions_secret(arg) {
        return redacted(arg);
    }
    // `curl -uUSER:PASSWORD` and `curl -HNAME:VALUE`.
    if arg.starts_with("-u") && arg.contains(':') && !arg.contains(['=', ' '])
        || arg.starts_with("-H") && arg.contains(':')
    {
        return format!("{}{}", &arg[..2], header(&arg[2..]));
    }
    let named = arg.split_once('=');
    let named = named.filter(|(name, _)| !name.contains(['/', ' ', '\t', '\n', '{']));
    let is_option = arg.starts_with('-') && named.is_some();
    // Such as the argument of `sh -c`.
    if arg.contains(char::is_whitespace) && !is_option && !is_header(arg) {
        return line(arg);
    }
    if let Some((name, value)) = named {
        let value = match ArgumentKind::word(name) {
            ArgumentKind::Anything if names_secret(name) => redacted(value),
            // Such as `--env=NAME=VALUE`.
            follows => follows.shown(value),
        };
        return format!("{name}={value}");
    }
    if is_header(arg) {
        // A header that some option of the server's own takes.
        return header(arg);
    }
    guarded(&pairs(arg))
}

/// Whether `arg` is a header with a secret in it.
fn is_header(arg: &str) -> bool {
    arg.split_once(':').is_some_and(|(name, value)| {
        !name.contains(['/', '{', ' ', '=']) && !value.starts_with("//") && names_secret(name)
    })
}

/// Hides the value of `NAME=VALUE`, which may be any; other text is an ordinary argument.
fn variable(text: &str) -> String {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => format!("{name}={}", redacted(value)),
        _ => argument(text),
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
    let is_variable = |piece: &ValuePiece<'_>| matches!(piece, ValuePiece::Variable { .. });
    if pieces(written).iter().any(is_variable) {
        guarded(written)
    } else {
        path.display().to_string()
    }
}

/// Returns the parts of a `written` text that `shown` hides, each behind the text before it.
pub(super) fn hidden_parts<'a>(written: &'a str, shown: &str) -> Vec<(&'a str, &'a str)> {
    let mut parts = Vec::new();
    let mut kept = shown.split(HIDDEN).peekable();
    let first = kept.next().unwrap_or_default();
    if !written.starts_with(first) {
        return parts;
    }
    let mut start = first.len();
    while let Some(text) = kept.next() {
        let rest = &written[start..];
        let end = match kept.peek() {
            Some(_) => rest.find(text),
            None => rest.strip_suffix(text).map(str::len),
        };
        let Some(length) = end else {
            break;
        };
        parts.push((&written[..start], &rest[..length]));
        start += length + text.len();
    }
    parts
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
