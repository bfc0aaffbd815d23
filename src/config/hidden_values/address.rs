//! Secrets of an address whose variables are expanded.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use super::super::secrets::{HIDDEN, guarded, hidden_parts, looks_secret, names_secret};
use super::{HiddenValues, SHORTEST, is_path, is_plain, password};

impl HiddenValues {
    /// Adds the secrets of an address, except paths that exist below `folder`: as a request carries them and as a server
    /// decodes them, and the `Basic` credentials of its login.
    pub(in crate::config) fn add_address(&mut self, address: &str, folder: &Path) {
        let mut secrets: Vec<&str> = password(address).into_iter().collect();
        for (_, part) in hidden_parts(address, &guarded(address)) {
            for pair in part.split(['&', ';']) {
                let (name, value) = pair.split_once('=').unwrap_or_default();
                let is_named = names_secret(name);
                let rest = if name.is_empty() { pair } else { value };
                if is_named || looks_secret(rest) || !is_plain(rest) {
                    secrets.push(rest);
                }
            }
        }
        let mut texts: Vec<String> = Vec::new();
        for secret in secrets {
            texts.extend([
                secret.to_owned(),
                decoded(secret),
                decoded(&secret.replace('+', " ")),
            ]);
        }
        texts.extend(login(address).map(|it| BASE64_STANDARD.encode(decoded(it))));
        texts.retain(|text| text.len() >= SHORTEST && !is_path(text, folder));
        let hidden = texts.into_iter().map(|text| (text, HIDDEN.to_owned()));
        self.0.extend(hidden);
        self.sort();
    }
}

/// Returns the login `me:PASSWORD` in an address.
pub(super) fn login(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    Some(rest.rsplit_once('@')?.0)
}

/// Returns the host and the port of an address; an empty text if it has none.
pub(in crate::config) fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
