//! Refuses settings in a repository by which uv would run a program of the repository's choice, or write outside the
//! server's folder.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::PrepareError;
use super::errands::Site;
use super::settings::{one_of, read, runs};

/// Keys for the source of Python and for uv's cache; without `-`.
const PROGRAMS: [&str; 4] = [
    "pythondownloadsjsonurl",
    "pythoninstallmirror",
    "pypyinstallmirror",
    "cachedir",
];
/// Keys of the table `pip` that name another Python or another install location.
const PLACES: [&str; 5] = [
    "python",
    "target",
    "prefix",
    "system",
    "breaksystempackages",
];

/// Checks the settings that uv reads, from the server's folder upwards.
pub(super) fn check(site: Site<'_>) -> Result<(), PrepareError> {
    for folder in site.way_up(site.folder) {
        check_pin(folder)?;
        if site.scripts {
            continue;
        }
        check_settings(&folder.join("uv.toml"), &[])?;
        check_settings(&folder.join("pyproject.toml"), &["tool", "uv"])?;
    }
    Ok(())
}

/// Checks the table at `path` of a file.
fn check_settings(file: &Path, path: &[&str]) -> Result<(), PrepareError> {
    let text = read(file)?;
    // uv may accept a file that this parser rejects.
    let table = DeTable::parse(&text);
    let table = table.map_err(|_| runs(file, "cannot be read as TOML"))?;
    let mut settings = table.get_ref();
    for name in path {
        let Some(DeValue::Table(inner)) = settings.get(*name).map(toml::Spanned::get_ref) else {
            return Ok(());
        };
        settings = inner;
    }
    for (key, value) in settings {
        if one_of(&PROGRAMS, key.get_ref()).is_some() {
            return Err(runs(file, &format!("sets `{}` for uv", key.get_ref())));
        }
        let (DeValue::Table(inner), "pip") = (value.get_ref(), &**key.get_ref()) else {
            continue;
        };
        let place = inner
            .keys()
            .find(|it| one_of(&PLACES, it.get_ref()).is_some());
        if let Some(key) = place {
            return Err(runs(file, &format!("sets `pip.{}` for uv", key.get_ref())));
        }
    }
    Ok(())
}

/// Refuses a version file by which uv would run a program of the repository as its Python.
fn check_pin(folder: &Path) -> Result<(), PrepareError> {
    for name in [".python-version", ".python-versions"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let mut pins = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        if !pins.all(is_version) {
            return Err(PrepareError::Pin(name));
        }
    }
    Ok(())
}

/// Accepts `3.12`, `3.13t`, `cpython@3.12`, `cpython-3.12.1-linux-x86_64-gnu`.
fn is_version(pin: &str) -> bool {
    let makers = ["cpython", "pypy", "graalpy", "python"];
    let rest = makers.into_iter().find_map(|maker| pin.strip_prefix(maker));
    let rest = rest.map_or(pin, |rest| rest.trim_start_matches(['@', '-']));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    rest.starts_with(|c: char| c.is_ascii_digit()) && rest.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns true if a server in `sub` is refused because of a file at `path`; `scripts` permits scripts.
    fn refused(path: &str, text: &str, scripts: bool) -> bool {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sub");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(root.path().join(path), text).unwrap();
        let site = Site {
            root: root.path(),
            folder: &folder,
            scripts,
            locks: true,
        };
        check(site).is_err()
    }

    #[test]
    fn settings_that_run_programs_or_write_elsewhere_are_refused() {
        for (path, text) in [
            ("sub/pyproject.toml", "[tool.uv.pip]\npython = './evil'"),
            ("pyproject.toml", "[tool.uv]\npip = { target = '..' }"),
            ("sub/uv.toml", "[pip]\n\"pre\\u0066ix\" = '..'"),
            ("uv.toml", "pip.break-system-packages = true"),
            (
                "sub/pyproject.toml",
                "tool.uv.python-downloads-json-url = 'x'",
            ),
            ("sub/uv.toml", "python-install-mirror = 'file:///x'"),
            ("sub/pyproject.toml", "[tool.uv]\ncache-dir = '.'"),
            ("sub/uv.toml", "cache-dir = "),
        ] {
            assert!(refused(path, text, false), "{path}: {text}");
            assert!(!refused(path, text, true), "{path}: {text}");
        }
        for path in ["sub/.python-version", ".python-versions"] {
            assert!(refused(path, "3.12\n../evil", true), "{path}");
        }
    }

    #[test]
    fn a_pin_that_is_no_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str| {
            std::fs::write(folder.path().join(".python-version"), text).unwrap();
            check_pin(folder.path())
        };
        for good in [
            "3.12\n",
            "# why\n\n3.13t\n3.9.1\n",
            "cpython@3.12",
            "pypy-3.10-linux-x86_64-gnu",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "./tools/py",
            "tools",
            "3.12/../../py",
            "python",
            "cpython@./py",
            "3.12\ntools/py",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn usual_settings_are_fine() {
        let text = "[project]\nname = 'x'\n[tool.pip]\npython = 'x'\n[tool.uv]\npackage = false\nindex-url = 'x'\n\
            python-preference = 'system'\n[tool.uv.sources]\npython = { path = 'x' }\n[tool.uv.pip]\nindex-url = 'x'";
        assert!(!refused("sub/pyproject.toml", text, false));
        assert!(!refused("uv.toml", "link-mode = 'copy'", false));
        assert!(!refused("sub/.python-version", "# mine\n3.13t\n", false));
    }
}
