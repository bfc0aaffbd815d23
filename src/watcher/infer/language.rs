//! Supported languages: programs, file extensions, manifests, and globs of the sources below a project.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::command_line::{program_name, unversioned};

/// JSON files of a Node.js project that always count; other JSON files count if a source imports them.
const NODE_MANIFESTS: &str = "**/{package,tsconfig*,jsconfig,deno,fastmcp}.{json,jsonc}";

pub(in crate::watcher) const PYTHON: &[&str] = &["**/*.{py,pyi,toml}"];
pub(in crate::watcher) const NODE: &[&str] = &["**/*.{ts,tsx,mts,cts,js,mjs,cjs}", NODE_MANIFESTS];
/// Without TypeScript, for a JavaScript file run by plain `node`, which is often built into an ignored directory.
pub(in crate::watcher) const JAVASCRIPT: &[&str] = &["**/*.{js,mjs,cjs}", NODE_MANIFESTS];
pub(in crate::watcher) const RUST: &[&str] = &["**/*.rs", "**/Cargo.toml", "Cargo.lock"];
pub(in crate::watcher) const GO: &[&str] = &["**/*.go", "go.mod", "go.sum"];

/// Language, or group of related languages.
#[derive(Debug)]
pub(super) struct Language {
    /// Programs that run or build the language; they are never a server's source.
    programs: &'static [&'static str],
    /// Extensions of source files.
    extensions: &'static [&'static str],
    /// Names of files that mark a project; `*.` with an extension stands for any such file.
    manifests: &'static [&'static str],
    pub(super) globs: &'static [&'static str],
    /// Directories below a project that contain built or third-party files.
    pub(super) skipped: &'static [&'static str],
    /// Whether sources are watched even without a manifest or a script.
    pub(super) is_sure: bool,
    /// Extensions of built files that can be run.
    pub(super) built: &'static [&'static str],
}

const NONE: Language = Language {
    programs: &[],
    extensions: &[],
    manifests: &[],
    globs: &[],
    skipped: &[],
    is_sure: false,
    built: &[],
};

/// All languages; the first one with a manifest determines the language of a project.
#[rustfmt::skip] // A table.
pub(super) const LANGUAGES: &[Language] = &[
    Language {
        programs: &[
            "uv", "uvx", "poetry", "pdm", "pipenv", "pipx", "hatch", "rye", "pixi", "conda", "micromamba", "fastmcp",
            "mcp", "uvicorn", "gunicorn", "hypercorn", "py", "ipython",
        ],
        extensions: &["py", "pyw"],
        manifests: &["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile"],
        globs: PYTHON,
        is_sure: true,
        ..NONE
    },
    Language {
        programs: &[
            "node", "npx", "npm", "pnpm", "pnpx", "yarn", "bun", "bunx", "deno", "tsx", "ts-node", "ts-node-esm",
            "ts-node-dev", "tsnd", "nodemon", "vite-node", "nodejs", "jiti",
        ],
        extensions: &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"],
        manifests: &["package.json", "deno.json", "deno.jsonc"],
        globs: NODE,
        is_sure: true,
        ..NONE
    },
    Language {
        programs: &["cargo"],
        extensions: &["rs"],
        manifests: &["Cargo.toml"],
        globs: RUST,
        is_sure: true,
        ..NONE
    },
    Language {
        programs: &["go"],
        extensions: &["go"],
        manifests: &["go.mod"],
        globs: GO,
        is_sure: true,
        ..NONE
    },
    Language {
        programs: &[
            "java", "javaw", "mvn", "mvnw", "gradle", "gradlew", "kotlin", "kotlinc", "scala", "scala-cli", "sbt",
            "groovy", "jbang",
        ],
        extensions: &["java", "kt", "kts", "scala", "sc", "groovy"],
        manifests: &[
            "pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "build.sbt",
        ],
        globs: &["**/*.{java,kt,kts,scala,sc,sbt,groovy,gradle}", "**/pom.xml"],
        skipped: &["build", "bin", "out"],
        built: &["jar", "war", "class"],
        ..NONE
    },
    Language {
        programs: &["dotnet", "csi", "fsi"],
        extensions: &["cs", "csx", "fs", "fsx", "vb"],
        manifests: &["*.csproj", "*.fsproj", "*.vbproj", "*.sln", "*.slnx"],
        globs: &["**/*.{cs,csx,fs,fsx,vb,csproj,fsproj,vbproj,sln,slnx,props,targets}"],
        skipped: &["bin", "obj"],
        built: &["dll", "exe"],
        ..NONE
    },
    Language {
        programs: &["php", "composer"],
        extensions: &["php", "phar"],
        manifests: &["composer.json"],
        globs: &["**/*.php", "composer.{json,lock}"],
        skipped: &["vendor"],
        ..NONE
    },
    Language {
        programs: &["ruby", "bundle", "rake", "jruby", "truffleruby"],
        extensions: &["rb"],
        manifests: &["Gemfile", "*.gemspec"],
        globs: &["**/*.rb", "Gemfile", "Gemfile.lock"],
        skipped: &["vendor"],
        ..NONE
    },
    Language {
        programs: &["mix", "elixir", "iex"],
        extensions: &["ex", "exs"],
        manifests: &["mix.exs"],
        globs: &["**/*.{ex,exs,erl,hrl}", "mix.lock"],
        skipped: &["_build", "deps"],
        ..NONE
    },
    Language {
        programs: &["swift"],
        extensions: &["swift"],
        manifests: &["Package.swift"],
        globs: &["**/*.swift", "Package.resolved"],
        ..NONE
    },
    Language {
        programs: &["dart", "flutter"],
        extensions: &["dart"],
        manifests: &["pubspec.yaml"],
        globs: &["**/*.dart", "pubspec.{yaml,lock}"],
        ..NONE
    },
    Language {
        programs: &["zig"],
        extensions: &["zig"],
        manifests: &["build.zig"],
        globs: &["**/*.{zig,zon}"],
        skipped: &["zig-out", "zig-cache"],
        ..NONE
    },
    Language {
        programs: &["julia"],
        extensions: &["jl"],
        manifests: &["Project.toml"],
        globs: &["**/*.jl", "Project.toml"],
        ..NONE
    },
    Language {
        programs: &["perl"],
        extensions: &["pl", "pm"],
        manifests: &["cpanfile", "Makefile.PL"],
        globs: &["**/*.{pl,pm}"],
        ..NONE
    },
    Language {
        programs: &["lua", "luajit"],
        extensions: &["lua"],
        globs: &["**/*.lua"],
        ..NONE
    },
    Language {
        programs: &["rscript", "r"],
        extensions: &["r", "R"],
        manifests: &["DESCRIPTION", "renv.lock"],
        globs: &["**/*.{R,r}"],
        ..NONE
    },
    Language {
        programs: &["runghc", "runhaskell", "stack", "cabal"],
        extensions: &["hs"],
        manifests: &["stack.yaml", "*.cabal"],
        globs: &["**/*.{hs,cabal}"],
        skipped: &["dist-newstyle"],
        ..NONE
    },
    Language {
        programs: &["crystal", "nim", "nimble", "clojure", "clj", "racket", "ocaml", "dune"],
        extensions: &["cr", "nim", "clj", "rkt", "ml"],
        manifests: &["shard.yml", "*.nimble", "deps.edn", "dune-project"],
        globs: &["**/*.{cr,nim,clj,cljc,edn,rkt,ml,mli}"],
        ..NONE
    },
    Language {
        programs: &["sh", "bash", "zsh", "dash", "ksh", "fish", "pwsh", "powershell"],
        extensions: &["sh", "bash", "zsh", "fish", "ps1"],
        ..NONE
    },
];

impl Language {
    /// Returns the language of a program, given by its name in lower case without directory.
    pub(super) fn of_program(name: &str) -> Option<&'static Self> {
        let plain = match unversioned(name) {
            "python" | "pythonw" | "pypy" => "py",
            plain => plain,
        };
        let named = |language: &&Self| {
            language.programs.contains(&plain) || language.programs.contains(&name)
        };
        LANGUAGES.iter().find(named)
    }

    /// Returns the language of a source file, by extension.
    pub(super) fn of_source(path: &Path) -> Option<&'static Self> {
        let extension = path.extension()?.to_str()?;
        LANGUAGES
            .iter()
            .find(|language| language.extensions.contains(&extension))
    }

    /// Returns the language of an executable script, by the interpreter in its first line.
    pub(super) fn of_shebang(path: &Path) -> Option<&'static Self> {
        let mut start = [0; 128];
        let count = File::open(path).ok()?.read(&mut start).ok()?;
        let text = String::from_utf8_lossy(&start[..count]);
        let mut words = text.lines().next()?.strip_prefix("#!")?.split_whitespace();
        words.find_map(|word| Self::of_program(&program_name(word)))
    }

    /// Returns the language with a manifest in the directory.
    pub(super) fn of_project(directory: &Path) -> Option<&'static Self> {
        // A single listing is faster than a lookup for each of the many manifests.
        let names = names(directory);
        let mut languages = LANGUAGES.iter();
        languages.find(|language| language.is_manifest_among(&names, directory))
    }

    pub(super) fn has_manifest(&self, directory: &Path) -> bool {
        self.is_manifest_among(&names(directory), directory)
    }

    fn is_manifest_among(&self, names: &[OsString], directory: &Path) -> bool {
        let is_manifest = |name: &OsString| {
            self.manifests
                .iter()
                .any(|manifest| match manifest.strip_prefix("*.") {
                    None => name == manifest,
                    Some(end) => Path::new(name).extension() == Some(end.as_ref()),
                })
        };
        let mut found = names.iter().filter(|name| is_manifest(name));
        found.any(|name| directory.join(name).is_file())
    }

    /// Whether the file has the extension of a file built from this language.
    pub(super) fn builds(&self, path: &Path) -> bool {
        path.extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| self.built.contains(&extension))
    }
}

/// Returns the names in the directory; empty if it is unreadable.
fn names(directory: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.file_name()).collect()
}
