//! Detection of a copy of the project that is installed as a package and runs in place of the saved files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::ServerSpec;
use crate::warm::LoadedFiles;

/// Saved file, and the module that the process has loaded in its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InstalledCopy {
    saved: PathBuf,
    /// Path below the directory of installed packages.
    module: PathBuf,
    is_python: bool,
}

impl InstalledCopy {
    /// Returns the copy of `saved` (relative to `cwd`, or absolute) if the process has loaded a copy and not the file
    /// itself. Reads the file system.
    pub(crate) fn of(saved: &Path, cwd: &Path, loaded: &LoadedFiles) -> Option<Self> {
        let path = cwd.join(saved);
        let (module, is_python) = match path.extension()?.to_str()? {
            "py" => (python_copy(&path, loaded)?, true),
            _ => (node_copy(&path, loaded)?, false),
        };
        Some(Self {
            saved: saved.to_owned(),
            module: module.to_owned(),
            is_python,
        })
    }

    /// Returns a warning with advice on how to run the saved files.
    pub(crate) fn warning(&self, spec: &ServerSpec) -> String {
        let words = || {
            let program = Path::new(&spec.program).file_name();
            program
                .into_iter()
                .chain(spec.args.iter().map(AsRef::as_ref))
        };
        let advice = if !self.is_python {
            "link the package with `npm link`, or start the project's own file"
        } else if words().any(|word| word == "uvx" || word == "tool") {
            "start it with `uv run`, or reinstall it at each start with `uvx --reinstall --from .`"
        } else {
            "install the project with `pip install -e .`, or start it with `uv run`"
        };
        let (saved, module) = (self.saved.display(), self.module.display());
        format!(
            "the server runs an installed copy, {module}, instead of the saved file {saved}; {advice}"
        )
    }
}

/// Returns the module with the same name, relative to the root of the project's packages.
fn python_copy<'a>(path: &Path, loaded: &'a LoadedFiles) -> Option<&'a Path> {
    let real = dunce::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if loaded.code.contains(path) || loaded.code.contains(&real) {
        return None;
    }
    let mut modules = loaded.installed.iter();
    let module = modules.find(|module| {
        let root = path.ancestors().nth(module.components().count());
        // A module inside a package must match with its full name, not only with its last part.
        path.ends_with(module) && root.is_some_and(|root| !root.join("__init__.py").exists())
    });
    module.map(PathBuf::as_path)
}

/// Returns a module of the package named in the project's manifest, if no file of the project itself was loaded.
fn node_copy<'a>(path: &Path, loaded: &'a LoadedFiles) -> Option<&'a Path> {
    let mut above = path.ancestors().skip(1);
    let project = above.find(|directory| directory.join("package.json").is_file())?;
    let manifest = fs::read(project.join("package.json")).ok()?;
    let manifest: Value = serde_json::from_slice(&manifest).ok()?;
    let name = manifest["name"].as_str()?;
    let real = dunce::canonicalize(project).ok()?;
    if loaded.code.iter().any(|file| file.starts_with(&real)) {
        return None;
    }
    let mut modules = loaded.installed.iter();
    modules
        .find(|module| module.starts_with(name))
        .map(PathBuf::as_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(code: &[PathBuf], installed: &[&str]) -> LoadedFiles {
        LoadedFiles {
            code: code.iter().cloned().collect(),
            installed: installed.iter().map(PathBuf::from).collect(),
            ..LoadedFiles::default()
        }
    }

    #[test]
    fn a_module_of_python_is_told_from_one_that_has_its_last_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = dunce::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(root.join("src/weather")).unwrap();
        for file in ["__init__.py", "server.py", "six.py"] {
            fs::write(root.join("src/weather").join(file), "").unwrap();
        }
        let saved = Path::new("src/weather/server.py");
        let copy = |code: &[PathBuf], installed: &[&str], saved: &str| {
            let copy = InstalledCopy::of(Path::new(saved), &root, &noted(code, installed));
            copy.map(|it| it.module)
        };
        let installed = ["mcp/server.py", "six.py", "weather/server.py"];
        let found = copy(&[], &installed, "src/weather/server.py");
        assert_eq!(found.as_deref(), Some(Path::new("weather/server.py")));
        assert_eq!(copy(&[], &installed, "src/weather/six.py"), None);
        assert_eq!(
            copy(&[root.join(saved)], &installed, "src/weather/server.py"),
            None
        );
        assert_eq!(copy(&[], &["mcp/server.py"], "src/weather/server.py"), None);
    }

    #[test]
    fn a_package_of_node_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = dunce::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("package.json"), r#"{"name": "@me/weather"}"#).unwrap();
        let copy = |code: &[PathBuf], installed: &[&str]| {
            InstalledCopy::of(Path::new("src/index.ts"), &root, &noted(code, installed)).is_some()
        };
        assert!(copy(&[], &["@me/weather/dist/index.js"]));
        assert!(!copy(&[], &["@me/weathercock/index.js", "zod/index.js"]));
        assert!(!copy(&[root.join("dist/index.js")], &["@me/weather/x.js"]));
    }
}
