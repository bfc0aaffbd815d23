//! JSON files imported by Node.js modules, and HTML files that they serve as views (MCP Apps). Imported JSON counts as
//! code under any loader; other JSON is data, which the server may write itself.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::paths::canonical;

/// Extensions of sources that may import JSON.
const SOURCES: &[&str] = &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"];
/// Keywords before a module name.
const KEYWORDS: [&str; 3] = ["from", "import", "require"];
const QUOTES: &str = "'\"`";
/// Maximum length of a module name; a longer string follows the keyword by chance.
const LONGEST_NAME: usize = 300;
/// Size limit in bytes; a larger file is not handwritten.
const LARGEST_SOURCE: u64 = 1024 * 1024;

/// Whether the file may import JSON.
pub(super) fn is_source(path: &Path) -> bool {
    let end = path.extension().and_then(OsStr::to_str);
    end.is_some_and(|end| SOURCES.contains(&end))
}

/// Returns the existing JSON files imported by the source and the HTML files of its views, with canonical directories.
/// Names without a leading dot may be relative to `roots`. Reads the file system.
pub(super) fn imported(source: &Path, roots: &[PathBuf]) -> Vec<PathBuf> {
    let is_small = std::fs::metadata(source).is_ok_and(|it| it.len() <= LARGEST_SOURCE);
    let text = is_small.then(|| std::fs::read(source).ok()).flatten();
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let found = names(&text).filter_map(|name| resolve(name, source, roots));
    let views = view_names(&text).flat_map(|name| view_files(name, source, roots));
    found.chain(views).collect()
}

/// Returns the quoted names of HTML files in the text of a source that serves views.
fn view_names(text: &str) -> impl Iterator<Item = &str> {
    let serves_views = memmem::find(text.as_bytes(), b"ui://").is_some();
    let places = memmem::find_iter(text.as_bytes(), ".html");
    let ends = places.map(|at| at + ".html".len());
    ends.filter(move |_| serves_views).filter_map(|end| {
        let quote = text[end..]
            .chars()
            .next()
            .filter(|it| QUOTES.contains(*it))?;
        let (_, name) = text[..end].rsplit_once(quote)?;
        (name.len() <= LONGEST_NAME && !name.contains(['\n', ':'])).then_some(name)
    })
}

/// Returns the existing HTML files of this name at the usual locations: beside the source, in a root, or where a bundler
/// writes them.
fn view_files(name: &str, source: &Path, roots: &[PathBuf]) -> Vec<PathBuf> {
    let folders = source.parent().into_iter();
    let folders = folders.chain(roots.iter().map(PathBuf::as_path));
    let places = folders.flat_map(|it| [it.join(name), it.join("dist").join(name)]);
    let files = places.filter(|path| path.is_file());
    files.filter_map(|path| of_the_user(&path)).collect()
}

/// Returns the module names imported in a text, possibly with false positives.
fn names(text: &str) -> impl Iterator<Item = &str> {
    KEYWORDS.iter().flat_map(move |keyword| {
        let places = memmem::find_iter(text.as_bytes(), keyword);
        places.filter_map(|at| name(&text[at + keyword.len()..]))
    })
}

/// Returns the quoted name at the start of `rest`, after whitespace, comments and parentheses.
fn name(rest: &str) -> Option<&str> {
    let mut rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '(']);
    while let Some(comment) = rest.strip_prefix("/*") {
        rest = comment.split_once("*/")?.1.trim_start();
    }
    let quote = rest.chars().next().filter(|it| QUOTES.contains(*it))?;
    let (name, _) = rest[1..].split_once(quote)?;
    (name.len() <= LONGEST_NAME && !name.contains('\n')).then_some(name)
}

/// Returns the JSON file of this name at the location that Node.js or a bundler would use.
fn resolve(name: &str, source: &Path, roots: &[PathBuf]) -> Option<PathBuf> {
    let name = name.split(['?', '#']).next()?;
    let directory = source.parent()?;
    let found = if name.starts_with('.') || name.starts_with('/') {
        module_file(&directory.join(name))
    } else if is_json(Path::new(name)) {
        let alias = name.trim_start_matches(['@', '~']).trim_start_matches('/');
        let packages = directory.ancestors();
        let packages = packages.map(|above| above.join("node_modules").join(name));
        let aliased = roots
            .iter()
            .flat_map(|root| [root.join(alias), root.join("src").join(alias)]);
        aliased.chain(packages).find(|path| path.is_file())
    } else {
        None
    };
    of_the_user(&found?)
}

/// Returns the file with a canonical directory; `None` if it belongs to an installed package.
fn of_the_user(file: &Path) -> Option<PathBuf> {
    // A symlinked package directory, as in a workspace, is not an installed package.
    let real = canonical(file.parent()?).join(file.file_name()?);
    let is_installed = real.iter().any(|part| part == "node_modules");
    (!is_installed).then_some(real)
}

/// Returns the JSON file at a path with or without an extension.
fn module_file(path: &Path) -> Option<PathBuf> {
    if is_json(path) {
        return path.is_file().then(|| path.to_owned());
    }
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(end);
        PathBuf::from(name)
    };
    let is_other = path.is_file() || SOURCES.iter().any(|end| with(end).is_file());
    let json = with("json");
    (!is_other && json.is_file()).then_some(json)
}

fn is_json(path: &Path) -> bool {
    let end = path.extension().and_then(OsStr::to_str);
    end.is_some_and(|end| matches!(end, "json" | "jsonc" | "json5"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_found_however_they_are_asked_for() {
        let text = "import a from './a.json' with { type: 'json' };\nimport\n  b\n  from \"./b.json\";\n\
                    import './c.js'; const d = require(\"./d\"), e = await import(/* now */ './e.json');\n\
                    export * from`./f.json`; fs.readFileSync('./data.json'); transform('x'); import.meta.url";
        let mut found: Vec<&str> = names(text).collect();
        found.sort_unstable();
        let expected = [
            "./a.json", "./b.json", "./c.js", "./d", "./e.json", "./f.json",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_source_with_views_names_their_files() {
        let text = "const uri = 'ui://clock/view.html', page = \"https://x.example/a.html\";\n\
                    read(join(DIST, 'view.html')); read(`pages/b.html`); // c.html";
        let found: Vec<&str> = view_names(text).collect();
        assert_eq!(found, ["view.html", "pages/b.html"]);
        assert_eq!(view_names(&text.replace("ui:", "")).count(), 0);
        let folder = tempfile::tempdir().unwrap();
        let root = canonical(folder.path());
        for file in ["dist/view.html", "src/view.html", "node_modules/view.html"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let (source, roots) = (root.join("src/server.ts"), [root.clone()]);
        let files = |name| view_files(name, &source, &roots);
        let expected = ["src/view.html", "dist/view.html"].map(|it| root.join(it));
        assert_eq!(files("view.html"), expected);
        assert!(files("other.html").is_empty() && files("node_modules/view.html").is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn names_lead_to_json_files_of_the_users_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for file in [
            "src/a.json",
            "config/b.json",
            "src/c.js",
            "src/c.json",
            "d.json",
            "node_modules/kit/e.json",
            "packages/own/f.json",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("../packages/own", root.join("node_modules/own")).unwrap();
        let source = root.join("src/server.js");
        let roots = [root.clone()];
        for (name, expected) in [
            ("./a.json", Some("src/a.json")),
            ("./a", Some("src/a.json")),
            ("./a.json?raw", Some("src/a.json")),
            ("../config/b.json", Some("config/b.json")),
            ("./c", None),
            ("./none.json", None),
            ("@/a.json", Some("src/a.json")),
            ("~/config/b.json", Some("config/b.json")),
            ("d.json", Some("d.json")),
            ("kit/e.json", None),
            ("own/f.json", Some("packages/own/f.json")),
            ("express", None),
        ] {
            let expected = expected.map(|it| root.join(it));
            assert_eq!(resolve(name, &source, &roots), expected, "{name}");
        }
    }
}
