//! Checks `bunfig.toml`, and files of variables that bun reads.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SettingsFolder;

/// Files of variables that bun reads, also while it installs.
#[rustfmt::skip] // A table.
pub(super) const VARIABLES: [&str; 8] = [
    ".env", ".env.local", ".env.development", ".env.development.local", ".env.production", ".env.production.local",
    ".env.test", ".env.test.local",
];

/// Settings of the table `install` that run nothing and name no place outside.
#[rustfmt::skip] // A table.
const SETTINGS: [&str; 23] = [
    "auto", "concurrentScripts", "dev", "dryRun", "exact", "frozenLockfile", "hoistPattern", "ignoreScripts",
    "linkWorkspacePackages", "linker", "logLevel", "minimumReleaseAge", "minimumReleaseAgeExcludes", "noVerify",
    "optional", "peer", "prefer", "production", "publicHoistPattern", "registry", "saveTextLockfile", "scopes",
    "telemetry",
];
/// Such settings of inner tables.
const INNER: [(&str, [&str; 2]); 2] = [
    ("cache", ["disable", "disableManifest"]),
    ("lockfile", ["save", "print"]),
];

/// Beginnings of variables that say where bun writes, or what the programs run that bun starts.
const STEERING: [&str; 13] = [
    "BUN", "GIT_", "LD_", "DYLD_", "NODE_", "NPM_", "SSH_", "SSL_", "TMP", "TEMP", "XDG_", "HTTP_",
    "HTTPS_",
];
/// Such variables with a whole name.
const STEERING_NAMES: [&str; 4] = ["HOME", "PATH", "SHELL", "USERPROFILE"];

/// Checks the table `install` of a `bunfig.toml`; other tables do not count while packages are installed.
pub(super) fn check_settings(text: &str, place: &SettingsFolder<'_>) -> Result<(), String> {
    let line = |span: std::ops::Range<usize>| text[..span.start].matches('\n').count() + 1;
    // bun may accept a file that this parser rejects.
    let table = DeTable::parse(text).map_err(|_| "cannot be read as TOML")?;
    let install = table.get_ref().get("install").map(Spanned::get_ref);
    let install = match install {
        None => return Ok(()),
        Some(DeValue::Table(install)) => install,
        Some(_) => return Err("has an `install` that is not a table".into()),
    };
    for (key, value) in install {
        let (name, at) = (&**key.get_ref(), line(key.span()));
        let inner = INNER.iter().find(|(it, _)| *it == name);
        match (inner, value.get_ref()) {
            (Some(("cache", _)), DeValue::Boolean(_)) => {}
            (Some((table, known)), DeValue::Table(settings)) => {
                for (key, value) in settings {
                    let name = &**key.get_ref();
                    let is_inside = matches!(value.get_ref(),
                        DeValue::String(path) if place.inside(path).is_some());
                    let is_fine = known.contains(&name) || name == "dir" && is_inside;
                    if !is_fine {
                        let at = line(key.span());
                        return Err(format!("sets `install.{table}.{name}` (line {at})"));
                    }
                }
            }
            (None, _) if SETTINGS.contains(&name) => {}
            _ => return Err(format!("sets `install.{name}` (line {at})")),
        }
    }
    Ok(())
}

/// Refuses a file with a variable that steers bun. Any word counts, since parsers differ about names and quotes.
pub(super) fn check_variables(text: &str) -> Result<(), String> {
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let upper = line.to_ascii_uppercase();
        let mut words = upper.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let steers = |word: &str| {
            STEERING_NAMES.contains(&word) || STEERING.iter().any(|it| word.starts_with(it))
        };
        if let Some(word) = words.find(|word| steers(word)) {
            return Err(format!("sets `{word}`, which bun reads (line {})", at + 1));
        }
    }
    Ok(())
}
