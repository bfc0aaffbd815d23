//! Removal of compiled Python that would run in place of saved sources.
//!
//! Python considers a `.pyc` current if it was made for a source with the same time in whole seconds and the same
//! length. Therefore a save of equal length, within the second in which a process compiled the earlier text, runs the
//! old code. An unchecked hash-based `.pyc` is never compared at all (PEP 552).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::ServerSpec;

/// Variable that moves compiled files to a separate directory.
const PREFIX: &str = "PYTHONPYCACHEPREFIX";

/// Returns true if `files` contains Python sources.
pub(super) fn concerns(files: &BTreeSet<PathBuf>) -> bool {
    files.iter().any(|file| is_source(file))
}

/// Removes the compiled files of the Python sources among `files`, which are relative to the server's working
/// directory. Reads and writes the file system; ignores files that cannot be removed.
pub(super) fn remove(spec: &ServerSpec, files: &BTreeSet<PathBuf>) {
    let mut stems: BTreeMap<PathBuf, Vec<OsString>> = BTreeMap::new();
    let sources = files.iter().filter(|file| is_source(file));
    for file in sources.map(|file| spec.cwd.join(file)) {
        // The cache lies beside the path that Python imported, which may go through symlinks or not.
        for path in [Some(file.clone()), dunce::canonicalize(&file).ok()]
            .into_iter()
            .flatten()
        {
            if let (Some(directory), Some(stem)) = (path.parent(), path.file_stem()) {
                stems
                    .entry(directory.to_owned())
                    .or_default()
                    .push(stem.to_owned());
            }
        }
    }
    let own = spec.env.iter().rev().find(|(name, _)| name == PREFIX);
    let prefix = own.map_or_else(
        || std::env::var_os(PREFIX),
        |(_, value)| Some(value.clone()),
    );
    for (directory, stems) in stems {
        let mut caches = vec![directory.join("__pycache__")];
        if let (Some(prefix), Ok(below)) = (&prefix, directory.strip_prefix("/")) {
            caches.push(spec.cwd.join(prefix).join(below));
        }
        for cache in caches {
            clear(&cache, &stems);
        }
    }
}

fn is_source(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "py" || it == "pyw")
}

/// Removes `STEM.TAG.pyc` and `STEM.TAG.opt-N.pyc` for each of the stems.
fn clear(cache: &Path, stems: &[OsString]) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_of = |stem: &OsString| {
            let rest = name.strip_prefix(stem.as_encoded_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"."))
        };
        if name.ends_with(b".pyc") && stems.iter().any(is_of) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_compiled_from_the_files_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let stale = [
            "a.cpython-311.pyc",
            "a.cpython-313.opt-2.pyc",
            "a.pypy39.pyc",
        ];
        let other = [
            "b.cpython-311.pyc",
            "ab.cpython-311.pyc",
            "a.cpython-311.txt",
        ];
        let prefix = dir.path().join("prefix");
        for directory in [
            PathBuf::from("src/__pycache__"),
            prefix
                .join(dir.path().strip_prefix("/").unwrap())
                .join("src"),
        ] {
            for name in stale.iter().chain(&other) {
                put(directory.join(name).to_str().unwrap());
            }
        }
        put("src/a.py");
        let mut spec = ServerSpec::new("x".into(), "python".into(), vec![], dir.path().to_owned());
        spec.env.push((PREFIX.into(), prefix.clone().into()));
        remove(&spec, &["src/a.py", "src/b.txt"].map(PathBuf::from).into());
        for directory in [
            dir.path().join("src/__pycache__"),
            prefix
                .join(dir.path().strip_prefix("/").unwrap())
                .join("src"),
        ] {
            for name in stale {
                assert!(!directory.join(name).exists(), "{name}");
            }
            for name in other {
                assert!(directory.join(name).exists(), "{name}");
            }
        }
    }
}
