//! Values that are not shown: those of variables in a server's definition, those of its `env`, secrets in its command,
//! and inherited secrets. A value of a variable is shown as its variable. A server may repeat any of them on stderr, and that goes into logs and errors.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::expand::{ENVIRONMENT, ValuePiece, pieces};
use super::masking::end_of_string;
use super::process_variables::ProcessVariables;
use super::secrets::{HIDDEN, hidden_parts, looks_secret, names_secret, words};

mod address;
mod json_string;

pub(super) use address::host;
use address::login;
use json_string::decoded;

/// A shorter value is too likely to be part of an ordinary word.
const SHORTEST: usize = 6;

/// Maximum number of JSON texts in one another. A foreign text may nest hundreds, which takes long.
const MAX_NESTING: usize = 8;

/// Values, each with the text that is shown instead, such as `${NAME}`; longer values come first.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct HiddenValues(Vec<(String, String)>);

impl HiddenValues {
    /// Returns the values that `variables` have in `texts`. A value that is the path of an existing file, relative to
    /// `folder` or absolute, is not hidden.
    pub(super) fn of<'a>(
        texts: impl Iterator<Item = &'a str>,
        variables: &ProcessVariables,
        folder: &Path,
    ) -> Self {
        let mut hidden = Self::default();
        for text in texts {
            hidden.add_text(text, variables);
        }
        hidden.0.retain(|(value, _)| !is_path(value, folder));
        hidden.sort();
        hidden
    }

    /// Returns the values without plain settings whose variable names no secret, and without parts of addresses with or in
    /// `host`, if there is one.
    pub(super) fn without_settings(mut self, host: &str) -> Self {
        self.0.retain(|(value, variable)| {
            let is_of_host = !host.is_empty() && (host.contains(&**value) || value.contains(host));
            let is_setting = is_of_host || is_plain(value) && !looks_secret(value);
            names_secret(variable) || !is_setting
        });
        self
    }

    /// Returns the values of the proxy's own variables that name a secret: servers inherit them.
    pub(crate) fn inherited() -> Self {
        let mut hidden = Self::default();
        for (name, value) in std::env::vars_os() {
            // `PWD` and others are paths; a key may begin with `/`.
            let folder = Path::new(&value).parent();
            let is_path = |folder: &Path| folder.components().count() > 1 && folder.is_dir();
            if !Path::new(&value).is_dir() && !folder.is_some_and(is_path) {
                hidden.add_variable(&name, &value, |name, _| names_secret(name));
            }
        }
        hidden.sort();
        hidden
    }

    /// Adds the values of a server's own variables, except paths that exist below `folder`, and plain settings such as
    /// `production` or `us-east-1` whose variable names no secret.
    pub(super) fn add_env(&mut self, env: &[(OsString, OsString)], folder: &Path) {
        for (name, value) in env {
            if !folder.join(value).exists() {
                self.add_variable(name, value, |name, value| {
                    names_secret(name) || looks_secret(value) || !is_plain(value)
                });
            }
        }
        self.sort();
    }

    /// Adds the parts of a command's words that `shown`, the same words for people, hides, except paths that exist below
    /// `folder`, and plain settings in `NAME=VALUE` whose name names no secret.
    pub(super) fn add_words<'a>(
        &mut self,
        written: impl Iterator<Item = &'a str>,
        shown: &[String],
        folder: &Path,
    ) {
        for (word, shown) in written.zip(shown) {
            let mut secrets: Vec<String> = password(word).map(str::to_owned).into_iter().collect();
            for (before, part) in hidden_parts(word, shown) {
                let name = before.strip_suffix('=');
                let is_setting = is_plain(part) && name.is_some_and(|name| !names_secret(name));
                let part = [part.to_owned()];
                // A server may repeat only one of several words.
                let of_part = words(&part).into_iter();
                let is_hidden = |text: &&str| {
                    looks_secret(text) || !is_plain(text) || *text == part[0] && !is_setting
                };
                secrets.extend(of_part.filter(is_hidden).map(str::to_owned));
            }
            secrets.retain(|text| text.len() >= SHORTEST && !is_path(text, folder));
            let hidden = secrets.into_iter().map(|text| (text, HIDDEN.to_owned()));
            self.0.extend(hidden);
        }
        self.sort();
    }

    /// Adds the value of a variable, the password of an address in it, and each of its words if the variable names a
    /// secret, such as `Bearer TOKEN`.
    fn add_variable(
        &mut self,
        name: &OsStr,
        value: &OsStr,
        is_hidden: impl Fn(&str, &str) -> bool,
    ) {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            return;
        };
        let words = value.split_whitespace().filter(|_| names_secret(name));
        let password = password(value);
        for text in std::iter::once(value).chain(words).chain(password) {
            if text.len() >= SHORTEST && (password == Some(text) || is_hidden(name, text)) {
                self.0.push((text.to_owned(), format!("${{{name}}}")));
            }
        }
    }

    fn add_text(&mut self, text: &str, variables: &ProcessVariables) {
        for piece in pieces(text) {
            let ValuePiece::Variable { name, default, .. } = piece else {
                continue;
            };
            let name = name.strip_prefix(ENVIRONMENT).unwrap_or(name);
            match (variables.get(name), default) {
                (Some(value), _) if value.len() >= SHORTEST => {
                    self.0.push((value.clone(), format!("${{{name}}}")));
                }
                (None, Some(default)) => self.add_text(default, variables),
                _ => {}
            }
        }
    }

    fn sort(&mut self) {
        self.0
            .sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        self.0.dedup();
    }

    /// Adds the values of another definition.
    pub(crate) fn add(&mut self, other: &Self) {
        for pair in &other.0 {
            if !self.0.contains(pair) {
                self.0.push(pair.clone());
            }
        }
        self.sort();
    }

    /// Returns `text` with the variable in place of each value. For names and paths: a text of a server may be JSON.
    pub(crate) fn hide(&self, text: String) -> String {
        self.0.iter().fold(text, |text, (value, variable)| {
            if text.contains(value) {
                text.replace(value, variable)
            } else {
                text
            }
        })
    }

    /// Returns a JSON text without the values, even where a string in it writes them with escapes, or is itself such a
    /// text. All else stays as it is. The text may be incomplete; a value outside of strings makes it invalid.
    pub(crate) fn hide_in_json(&self, text: &str) -> String {
        self.hide_in_strings(text, MAX_NESTING)
    }

    /// Hides the values in a text, and in `levels` of strings in it.
    fn hide_in_strings(&self, text: &str, levels: usize) -> String {
        let text = self.hide(text.to_owned());
        if self.0.is_empty() || levels == 0 || !text.contains('\\') {
            return text;
        }
        let (mut shown, mut rest) = (String::with_capacity(text.len()), &*text);
        while let Some(start) = rest.find('"') {
            let (before, from_string) = rest.split_at(start);
            let (raw, after) = from_string.split_at(end_of_string(from_string, '"'));
            shown.push_str(before);
            let hidden = raw.contains('\\').then(|| {
                let decoded = decoded(raw);
                let hidden = self.hide_in_strings(&decoded, levels - 1);
                (hidden != decoded).then(|| Value::from(hidden).to_string())
            });
            shown.push_str(hidden.flatten().as_deref().unwrap_or(raw));
            rest = after;
        }
        shown + rest
    }

    /// Hides the values in each string of `value`, as in a JSON text, except in the members that say which server is meant.
    pub(crate) fn hide_in(&self, value: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::String(text) => *text = self.hide_in_json(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in(item)),
            Value::Object(members) => {
                let members = members.iter_mut();
                let texts = members
                    .filter(|(key, _)| !matches!(key.as_str(), "server" | "name" | "server_name"));
                texts.for_each(|(_, value)| self.hide_in(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Whether a text is the path of an existing file, relative to `folder` or absolute.
fn is_path(text: &str, folder: &Path) -> bool {
    text.contains(['/', '.']) && folder.join(text).exists()
}

/// Whether a text consists of plain words and short numbers, as usual settings do.
fn is_plain(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .all(|part| {
            let is = |kind: fn(&char) -> bool| part.chars().all(|c| kind(&c));
            part.len() <= 3
                || is(char::is_ascii_alphabetic)
                || part.len() <= 5 && is(char::is_ascii_digit)
        })
}

/// Returns the password in an address such as `postgres://me:PASSWORD@host/db`.
fn password(text: &str) -> Option<&str> {
    Some(login(text)?.split_once(':')?.1)
}

/// Shows no value.
impl fmt::Debug for HiddenValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(_, variable)| variable))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::secrets::shown_words;
    use super::*;

    fn hidden(texts: &[&str]) -> HiddenValues {
        let variables = [
            ("SECRET", "hush-hush"),
            ("LONG", "hush-hush-hush"),
            ("S", "short"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        HiddenValues::of(texts.iter().copied(), &variables.into(), Path::new("/"))
    }

    #[test]
    fn a_value_in_a_string_that_json_refuses_is_hidden() {
        let hidden = hidden(&["${SECRET}"]);
        for (start, end) in [
            ("", ""),
            ("", "\\"),
            ("", "\\u"),
            ("", "\\ud83d\\ude0"),
            (r"\ud800", r#"\udc00\ud83d","n":1}"#),
            (r"\x \uäöü", "\n\"}"),
        ] {
            let text = format!(r#"{{"text":"{start}\"hush\u002dhush\" {end}"#);
            let shown = hidden.hide_in_json(&text);
            assert!(shown.contains("${SECRET}"), "{shown}");
        }
    }

    #[test]
    fn values_are_shown_as_their_variables() {
        let hidden = hidden(&["a/${SECRET}/${env:LONG}", "${NO:-${S}}", "${SECRET}"]);
        for (text, shown) in [
            ("/hush-hush/x hush-hush-hush", "/${SECRET}/x ${LONG}"),
            ("hush short", "hush short"),
        ] {
            assert_eq!(hidden.hide(text.to_owned()), shown);
        }
        assert!(!format!("{hidden:?}").contains("hush"));
    }

    #[test]
    fn a_value_in_a_default_is_hidden_and_one_that_is_not_used_is_not() {
        let hide = |texts: &[&str]| hidden(texts).hide("hush-hush".to_owned());
        assert_eq!(hide(&["${NO:-x${SECRET}}"]), "${SECRET}");
        assert_eq!(hide(&["${NO}", "$SECRET"]), "hush-hush");
    }

    #[test]
    fn the_path_of_a_file_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["folder.d", "a-folder"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (value, is_hidden) in [("folder.d", false), ("a-folder", true), ("missing.d", true)] {
            let variables = [("DIR".to_owned(), value.to_owned())].into();
            let hidden = HiddenValues::of(["${DIR}/x"].into_iter(), &variables, folder.path());
            assert_eq!(hidden.hide(value.to_owned()) != value, is_hidden, "{value}");
        }
    }

    #[test]
    fn values_of_env_are_hidden_unless_they_are_plain_words_or_paths() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data-folder")).unwrap();
        for (name, value, text, shown) in [
            (
                "DIFY_KEY",
                "secretword",
                "key secretword.",
                "key ${DIFY_KEY}.",
            ),
            ("MODE", "production", "in production", "in production"),
            (
                "HOST",
                "127.0.0.1:8080",
                "on 127.0.0.1:8080",
                "on 127.0.0.1:8080",
            ),
            ("REGION", "us-east-1", "us-east-1", "us-east-1"),
            ("LOG", "info,mcp=debug", "info,mcp=debug", "info,mcp=debug"),
            ("NAME", "weather-api", "weather-api", "weather-api"),
            (
                "DB",
                "postgres://u:hunter22@h/x",
                "u with hunter22",
                "u with ${DB}",
            ),
            ("PLAIN", "x-1234567", "x-1234567", "${PLAIN}"),
            ("DATA", "data-folder", "in data-folder", "in data-folder"),
            (
                "API_KEY",
                "Bearer hushhush",
                "sent hushhush",
                "sent ${API_KEY}",
            ),
            ("LEVEL", "debug", "debug", "debug"),
        ] {
            let mut hidden = HiddenValues::default();
            hidden.add_env(&[(name.into(), value.into())], folder.path());
            assert_eq!(hidden.hide(text.to_owned()), shown, "{name}={value}");
        }
    }

    #[test]
    fn parts_of_a_command_are_hidden_where_they_are_shown_as_stars() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "").unwrap();
        for (command, text, shown) in [
            (
                &["srv", "--api-key", "sk-live-424242424242"][..],
                "no sk-live-424242424242",
                "no ***",
            ),
            (&["--password=hunterhunter"], "hunterhunter", "***"),
            (&["--password", "production"], "in production", "in ***"),
            (&["-e", "MODE=production"], "in production", "in production"),
            (&["--token=${T:-hush-hush-1}"], "hush-hush-1", "***"),
            (
                &["postgres://me:password@host/db"],
                "password of me",
                "*** of me",
            ),
            (
                &[r#"{"apiKey":"abc123abc","n":1}"#],
                "apiKey abc123abc",
                "apiKey ***",
            ),
            (&["--auth", "ca.pem"], "ca.pem", "ca.pem"),
            (
                &["--port", "8080", "server.py"],
                "server.py 8080",
                "server.py 8080",
            ),
        ] {
            let words = || command.iter().copied();
            let mut hidden = HiddenValues::default();
            hidden.add_words(words(), &shown_words(words()), folder.path());
            assert_eq!(hidden.hide(text.to_owned()), shown, "{command:?}");
        }
    }

    #[test]
    fn values_are_hidden_in_json_however_they_are_written() {
        let variables = [("A", "pa/ss\"wörd"), ("B", "hush-hush")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let texts = ["${A}${B}"].into_iter();
        let hidden = HiddenValues::of(texts, &variables.into(), Path::new("/"));
        for (json, shown) in [
            (r#"{"a":[1E5,"\ud83d"]}"#, r#"{"a":[1E5,"\ud83d"]}"#),
            (r#"{"a":"hush-hush\n"}"#, r#"{"a":"${B}\n"}"#),
            (r#"["\u0068ush-hush",1E5]"#, r#"["${B}",1E5]"#),
            (r#"["\"pa\/ss\"w\u00f6rd\""]"#, r#"["\"${A}\""]"#),
            (r#"["hush-hush \" open \"#, r#"["${B} \" open \"#),
            ("[\"\\ä", "[\"\\ä"),
        ] {
            assert_eq!(hidden.hide_in_json(json), shown, "{json}");
        }
        // Strings that are JSON texts themselves.
        let nested = |password: &str| {
            let inner = json!({ "password": password }).to_string();
            json!([json!([inner]).to_string(), 1]).to_string()
        };
        assert_eq!(hidden.hide_in_json(&nested("pa/ss\"wörd")), nested("${A}"));
    }

    #[test]
    fn names_of_servers_stay() {
        let mut value = json!({"server": "hush-hush", "globs": ["hush-hush/x"], "n": {"why": r#"no {"k":"\u0068ush-hush"}"#}});
        hidden(&["${SECRET}"]).hide_in(&mut value);
        let shown = json!({"server": "hush-hush", "globs": ["${SECRET}/x"], "n": {"why": r#"no {"k":"${SECRET}"}"#}});
        assert_eq!(value, shown);
    }
}
