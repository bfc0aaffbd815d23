//! Refuses settings in a repository by which uv would run a program of the repository's choice, or write outside the
//! server's folder.

use std::io::ErrorKind;
use std::path::Path;

use pep440_rs::VersionSpecifiers;
use toml::de::{DeTable, DeValue};

use super::PrepareError;
use super::prepare_command::CommandInputs;
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
pub(super) fn check(site: CommandInputs<'_>) -> Result<(), PrepareError> {
    let folders = site.way_up(site.folder);
    for folder in folders.take_while(|_| !site.scripts) {
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

/// Refuses version files by which uv would run a program of the repository as its Python.
pub(super) fn check_pins(site: CommandInputs<'_>) -> Result<(), PrepareError> {
    for folder in site.way_up(site.folder) {
        for name in [".python-version", ".python-versions"] {
            let text = match std::fs::read_to_string(folder.join(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                text => text.map_err(|_| PrepareError::Pin(name))?,
            };
            let lines = text.lines().map(str::trim);
            let mut pins = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            // uv takes a pin that it does not know for a path in its working folder.
            let is_path = |pin: &str| [folder, site.folder].iter().any(|it| it.join(pin).exists());
            if !pins.all(|pin| is_number(pin) || is_version(pin) && !is_path(pin)) {
                return Err(PrepareError::Pin(name));
            }
        }
    }
    Ok(())
}

/// Accepts `3.12.1`, which uv never takes for a path.
fn is_number(pin: &str) -> bool {
    let is_digits = |part: &str| part.len() <= 2 && part.parse::<u8>().is_ok();
    pin.split('.').count() <= 3 && pin.split('.').all(is_digits)
}

/// Accepts `3.13t`, `cpython`, `cpython@3.12`, `cpython-3.12.1-linux-x86_64-gnu`, `>=3.10,<3.13`.
fn is_version(pin: &str) -> bool {
    if ["cpython", "pypy", "graalpy"].contains(&pin) {
        return true;
    }
    if pin.starts_with(['<', '>', '=', '~', '!']) {
        return pin.parse::<VersionSpecifiers>().is_ok();
    }
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
        let site = CommandInputs {
            root: root.path(),
            folder: &folder,
            scripts,
            locks: true,
        };
        check_pins(site).and_then(|()| check(site)).is_err()
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

    fn check_pins_in(folder: &Path) -> Result<(), PrepareError> {
        check_pins(CommandInputs {
            root: folder,
            folder,
            scripts: true,
            locks: true,
        })
    }

    #[test]
    fn a_pin_that_is_no_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str| {
            std::fs::write(folder.path().join(".python-version"), text).unwrap();
            check_pins_in(folder.path())
        };
        std::fs::create_dir(folder.path().join("3.12-tools")).unwrap();
        std::fs::create_dir(folder.path().join("3.11")).unwrap();
        std::fs::create_dir(folder.path().join("3.11.1.1")).unwrap();
        for good in [
            "3.12\n",
            "# why\n\n3.13t\n3.9.1\n",
            "cpython@3.12",
            ">=3.10,<3.13",
            "3.11",
            "pypy",
            "pypy3.10\n3.12-dev",
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
            // A folder with a Python may have such a name.
            "3.12-tools",
            "3.11.1.1",
            ">=3.10/../x",
            "3.12\u{85}./py",
            "https://x.example/3.12",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let wide: Vec<u8> = "\u{feff}./py"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        std::fs::write(folder.path().join(".python-version"), wide).unwrap();
        assert!(check_pins_in(folder.path()).is_err(), "uv reads UTF-16");
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
