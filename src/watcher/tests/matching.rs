//! Selection of files by globs.

use super::super::matcher::{Matcher, PathClass};
use super::*;

struct Place(TempDir);

impl Place {
    fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            put(&dir.path().join(file), file);
        }
        Self(dir)
    }

    fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    /// Returns the files that the globs select, with a walk from the roots like the watcher's.
    fn wanted(&self, globs: &[&str]) -> Vec<String> {
        let globs = globs.iter().map(ToString::to_string).collect();
        let matcher = Matcher::new(self.root(), globs).unwrap();
        let mut wanted = BTreeSet::new();
        let mut open: Vec<PathBuf> = matcher.roots().map(Path::to_owned).collect();
        while let Some(dir) = open.pop().filter(|dir| dir.is_dir() || !open.is_empty()) {
            let entries = fs::read_dir(&dir).into_iter().flatten();
            if !matcher.may_lead_to_files(&dir) {
                continue;
            }
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    open.push(path);
                } else if matches!(matcher.classify(&path), PathClass::Selected(_)) {
                    let short = path.strip_prefix(self.root()).unwrap();
                    wanted.insert(short.to_str().unwrap().to_owned());
                }
            }
        }
        wanted.into_iter().collect()
    }
}

#[test]
fn spellings() {
    let place = Place::new(&["a.py", "src/a.py", "src/x/a.py", "src/x/b.ts", "[x]/a.py"]);
    let all = ["[x]/a.py", "a.py", "src/a.py", "src/x/a.py"];
    let below_src = ["src/a.py", "src/x/a.py", "src/x/b.ts"];
    assert_eq!(place.wanted(&["*.py"]), all, "no slash: at any depth");
    assert_eq!(place.wanted(&["**/*.py"]), all);
    assert_eq!(place.wanted(&["a.py"]), all);
    assert_eq!(place.wanted(&["./a.py"]), ["a.py"]);
    assert_eq!(place.wanted(&["src/*.py"]), ["src/a.py"]);
    assert_eq!(place.wanted(&["./src/*.py"]), ["src/a.py"]);
    assert_eq!(place.wanted(&["src/a.py"]), ["src/a.py"]);
    for spelling in ["src", "src/", "./src", "src/**", "src/."] {
        assert_eq!(place.wanted(&[spelling]), below_src, "{spelling}");
    }
    assert_eq!(place.wanted(&["x/"]), ["src/x/a.py", "src/x/b.ts"]);
    assert_eq!(place.wanted(&["{src,lib}/**/*.{ts,tsx}"]), ["src/x/b.ts"]);
    assert_eq!(place.wanted(&[r"\[x\]/a.py"]), ["[x]/a.py"]);
    let absolute = format!("{}/src/*.py", place.0.path().display());
    assert_eq!(place.wanted(&[&absolute]), ["src/a.py"]);
    assert_eq!(place.wanted(&["src/../src/x/*.py"]), ["src/x/a.py"]);
    assert_eq!(place.wanted(&["src/a.pie", "src//x/*.ts"]), ["src/x/b.ts"]);
}

#[test]
fn the_last_match_wins() {
    let place = Place::new(&[
        "src/a.py",
        "src/gen/b.py",
        "src/gen/keep.py",
        "src/x/gen/c.py",
    ]);
    assert_eq!(place.wanted(&["src/**", "!gen"]), ["src/a.py"]);
    assert_eq!(
        place.wanted(&["src/**", "!src/gen/", "src/gen/keep.py"]),
        ["src/a.py", "src/gen/keep.py", "src/x/gen/c.py"]
    );
    assert_eq!(place.wanted(&["!src/gen/**", "src/**"]).len(), 4);
    assert!(place.wanted(&["!src/gen/**"]).is_empty());
}

#[test]
fn a_place_outside_the_directory() {
    let place = Place::new(&["shared/lib/a.py", "server/x.py"]);
    let matcher = Matcher::new(place.root().join("server"), vec!["../shared/**".into()]).unwrap();
    assert!(matcher.selects(&place.root().join("shared/lib/a.py")));
    assert!(!matcher.selects(&place.root().join("server/x.py")));
}

#[test]
fn ignored_unless_named() {
    let files = [
        ".env",
        "a.js",
        "dist/a.js",
        "dist/node_modules/b.js",
        "debug.log",
        "node_modules/own/a.js",
        "node_modules/own/node_modules/c.js",
        "out/a.js",
        "sub/keep.gen.js",
        "sub/x.gen.js",
    ];
    let place = Place::new(&files);
    git(place.0.path(), "init -q");
    put(
        &place.0.path().join(".gitignore"),
        "dist/\nout/**\n.env\n*.gen.js\n",
    );
    put(&place.0.path().join("sub/.gitignore"), "!keep.gen.js\n");
    assert_eq!(place.wanted(&["**/*.js"]), ["a.js", "sub/keep.gen.js"]);
    assert_eq!(place.wanted(&["dist/**/*.js"]), ["dist/a.js"]);
    assert_eq!(place.wanted(&["out/*.js"]), ["out/a.js"]);
    assert_eq!(
        place.wanted(&["dist/**", "out/**", "**/*.js", "!out/**"]),
        ["a.js", "dist/a.js", "sub/keep.gen.js"]
    );
    assert_eq!(
        place.wanted(&["node_modules/own/**"]),
        ["node_modules/own/a.js"]
    );
    assert_eq!(place.wanted(&[".env", "debug.log"]), [".env", "debug.log"]);
    assert!(place.wanted(&["*.log"]).is_empty());
    put(&place.0.path().join(".ignore"), "!dist/\n");
    assert_eq!(
        place.wanted(&["**/*.js"]),
        ["a.js", "dist/a.js", "sub/keep.gen.js"],
        ".ignore beats .gitignore"
    );
}

#[tokio::test]
async fn the_start_says_what_is_watched_and_warns_of_idle_globs() {
    let project = Project::watching(
        &["src/a.py", "src/x/b.py", "src/c.log", "node_modules/x/i.js"],
        &[
            "src/**/*.py",
            "scr/*.py",
            "src/*.log",
            "**/node_modules/**",
            "!x",
        ],
    );
    let events: Vec<Event> = project.events.try_iter().map(|it| it.event).collect();
    let Event::Watching {
        files,
        directories,
        globs,
        ..
    } = &events[0]
    else {
        panic!("{events:?}");
    };
    assert_eq!((*files, *directories, globs.len()), (1, 3, 5));
    let ignored = "matches only ignored files; to watch them, begin the glob with the ignored directory's name";
    let warnings = [
        "scr/*.py matches no file".to_owned(),
        format!("src/*.log {ignored}"),
        format!("**/node_modules/** {ignored}"),
    ];
    for (event, expected) in events[1..].iter().zip(&warnings) {
        assert!(
            matches!(event, Event::WatchWarning { message, .. } if message == expected),
            "{events:?}"
        );
    }
    assert_eq!(events.len(), 4, "{events:?}");
}

#[tokio::test]
async fn a_bad_glob_is_an_error_that_names_it() {
    let error = Project::with(&[], &["src/[a"], WatchOptions::default(), |_| {}).err();
    assert!(error.unwrap().to_string().contains("src/[a"));
}

#[tokio::test]
async fn without_globs_the_language_decides() {
    let mut project = Project::watching(&["src/a.py"], &[]);
    project.write("README", "not python");
    project.write("src/a.py", "new");
    project.one_change(&["src/a.py"]).await;
}

#[test]
fn other_tools_files_are_not_for_inferred_globs() {
    let place = Place::new(&[
        ".config/x.py",
        "a.py",
        "build/lib/a.py",
        "coverage/a.py",
        "deps/a.py",
        "env/conda-meta/history",
        "env/lib/a.py",
        "src/a.py",
        "trees/one/.git",
        "trees/one/a.py",
        "w.egg-info/a.py",
    ]);
    let globs = ["**/*.py".to_owned()];
    let inferred = Matcher::inferred(place.root(), &globs, Vec::new(), &["deps"]).unwrap();
    let kept = |name: &str| inferred.may_lead_to_files(&place.root().join(name));
    assert!(kept("src") && kept("trees"));
    assert!(!kept(".config") && !kept("coverage") && !kept("deps") && !kept("env"));
    assert!(!kept("trees/one") && !kept("w.egg-info") && !kept("build/lib"));
    // A user's glob covers them; in addition to inferred globs, it must name such a place.
    let swept = place.wanted(&["**/*.py"]);
    assert!(swept.contains(&".config/x.py".to_owned()), "{swept:?}");
    let named = vec![".config/**".to_owned()];
    let both = Matcher::inferred(place.root(), &globs, named, &[]).unwrap();
    assert!(both.selects(&place.root().join(".config/x.py")));
    // The project itself may lie in such a place.
    let hidden = place.root().join(".config");
    let inside = Matcher::inferred(hidden.clone(), &globs, Vec::new(), &[]).unwrap();
    assert!(inside.may_lead_to_files(&hidden) && inside.selects(&hidden.join("x.py")));
}

#[test]
fn pseudo_file_systems_are_never_entered() {
    let matcher = Matcher::new("/".into(), vec!["/**/*.py".into(), "/proc/**".into()]).unwrap();
    assert!(matcher.may_lead_to_files(Path::new("/srv")));
    for place in ["/proc", "/proc/self", "/sys/kernel", "/dev"] {
        assert!(!matcher.may_lead_to_files(Path::new(place)), "{place}");
    }
}

#[test]
fn a_name_matches_in_both_compositions() {
    let (composed, decomposed) = ("caf\u{e9}.py", "cafe\u{301}.py");
    for glob in [composed, decomposed] {
        let matcher = Matcher::new("/project".into(), vec![format!("src/*/{glob}")]).unwrap();
        for name in [composed, decomposed] {
            let path = Path::new("/project/src/a").join(name);
            assert!(matcher.selects(&path), "{glob:?} {name:?}");
        }
        assert!(!matcher.selects(Path::new("/project/src/a/cafe.py")));
    }
}
