//! Globs inferred from commands.

use std::ffi::OsString;

use super::super::infer::{GO, Inference, JAVASCRIPT, NODE, PYTHON, RUST, infer as infer_in};
use super::*;

/// Folder for inference, with files; text after `=` is the content of a file.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let (name, text) = file.split_once('=').unwrap_or((file, ""));
            put(&dir.path().join(name), text);
        }
        Self(dir)
    }

    fn root(&self) -> PathBuf {
        dunce::canonicalize(self.0.path()).unwrap()
    }

    /// Infers globs for a command started in `cwd`. The folder is the home directory; `ROOT` in the command stands for
    /// it.
    pub(super) fn inferred(&self, cwd: &str, command: &str, builds: bool) -> Inference {
        let root = self.root().to_str().unwrap().replace(MAIN_SEPARATOR, "/");
        let command = command.replace("ROOT", &root);
        let mut words = shlex::split(&command)
            .unwrap()
            .into_iter()
            .map(OsString::from);
        let program = words.next().unwrap();
        let args: Vec<OsString> = words.collect();
        let cwd = self.root().join(cwd);
        let cwd: PathBuf = cwd.components().collect();
        let mut found = infer_in(&program, &args, &cwd, Some(&self.root()), builds, false);
        for glob in &mut found.globs {
            *glob = glob.replace(MAIN_SEPARATOR, "/");
        }
        found
    }
}

/// Returns the globs for a command in a project with these files, without those for `.env`.
fn infer(files: &[&str], command: &str) -> Vec<String> {
    let mut globs = inferred(files, command).globs;
    globs.retain(|glob| Path::new(glob).file_name() != Some(".env".as_ref()));
    globs
}

pub(super) fn inferred(files: &[&str], command: &str) -> Inference {
    let files: Vec<String> = files.iter().map(|file| format!("p/{file}")).collect();
    let folder = Folder::new(&files.iter().map(String::as_str).collect::<Vec<_>>());
    fs::create_dir_all(folder.root().join("p")).unwrap();
    folder.inferred("p", command, false)
}

/// Returns the globs below a directory.
fn below(directory: &str, globs: &[&str]) -> Vec<String> {
    globs
        .iter()
        .map(|glob| format!("{directory}/{glob}"))
        .collect()
}

fn and(globs: &[&str], more: &[&str]) -> Vec<String> {
    globs.iter().chain(more).map(ToString::to_string).collect()
}

#[test]
fn the_language_follows_from_the_program() {
    assert_eq!(infer(&[], "python3.12 -m weather"), PYTHON);
    assert_eq!(infer(&[], "npm run dev"), NODE);
    assert_eq!(infer(&[], "cargo run -q"), RUST);
    assert_eq!(infer(&[], "go run ./cmd/server"), GO);
    assert_eq!(infer(&[], "uv run weather"), PYTHON);
}

#[test]
fn a_script_is_watched_too() {
    assert_eq!(
        infer(&["server.py"], "python -u server.py"),
        and(PYTHON, &["./server.py"])
    );
    assert_eq!(
        infer(&["dist/index.js"], "node dist/index.js"),
        and(JAVASCRIPT, &["dist/index.js", "dist/**/*.{js,mjs,cjs}"])
    );
    assert_eq!(infer(&["run.sh"], "bash run.sh"), ["./run.sh"]);
    assert_eq!(
        infer(&["server"], "python -u server"),
        and(PYTHON, &["./server"])
    );
    assert_eq!(infer(&["run.rb"], "ruby run.rb")[0], "**/*.rb");
}

#[test]
fn an_executable_script_without_an_extension_is_watched() {
    let python = "server=#!/usr/bin/env -S python3 -u\n";
    assert_eq!(infer(&[python], "./server"), and(PYTHON, &["./server"]));
    let node = "bin/weather=#!/usr/bin/env node\n";
    let found = infer(
        &[node, "package.json={\"name\":\"w\"}"],
        "bin/weather --stdio",
    );
    assert_eq!(found, and(NODE, &["bin/weather"]));
    let folder = Folder::new(&["tools/.git/HEAD", "tools/serve=#!/usr/bin/python3\n", "p/x"]);
    let found = folder.inferred("p", "ROOT/tools/serve", false).globs;
    assert!(
        found.iter().any(|glob| glob.ends_with("/tools/serve")),
        "{found:?}"
    );
    // A program of PATH, not the file of its name.
    assert_eq!(
        infer(&["python3=#!/usr/bin/python3\n"], "python3 -m w"),
        PYTHON
    );
}

#[test]
fn wrappers_are_looked_through() {
    let server = &["a/server.py"];
    let globs = [&format!("a/{}", PYTHON[0]), "a/server.py"];
    let a = &["a/pyproject.toml", "a/server.py"];
    assert_eq!(infer(a, "uv --directory a run --with mcp server.py"), globs);
    assert_eq!(
        infer(server, "uv run --directory=a python server.py"),
        globs
    );
    assert_eq!(
        infer(server, "sh -c 'cd a && exec env A=1 python server.py'"),
        globs
    );
    assert_eq!(
        infer(&["src/main.ts"], "npx -y tsx --import x src/main.ts"),
        and(NODE, &["src/main.ts"])
    );
    assert_eq!(infer(&[], "npm --prefix web start"), below("web", NODE));
    assert_eq!(
        infer(
            &[],
            "cargo run --manifest-path=x --manifest-path c/Cargo.toml"
        )[0],
        "c/**/*.rs"
    );
    let scripts = r#"package.json={"name":"w","scripts":{"dev":"node build/x.js"}}"#;
    let found = infer(&[scripts, "build/x.js"], "npm run dev");
    assert!(found.contains(&"build/x.js".to_owned()), "{found:?}");
}

#[test]
fn the_base_is_the_project_of_the_script() {
    let files = [
        "work/w/pyproject.toml",
        "work/w/src/pkg/server.py",
        "package.json={\"name\":\"dotfiles\"}",
        "mono/.git/HEAD",
        "mono/packages/a/package.json={\"name\":\"a\"}",
        "mono/packages/a/src/x.js",
        "mono/packages/a/src/package.json={\"type\":\"module\"}",
        ".config/x/server.py",
        "bare/server.py",
        "loose.py",
        "work/w/.venv/pyvenv.cfg",
        "work/w/.venv/bin/python",
        "work/w/.venv/lib/python3/site-packages/foo/server.py",
    ];
    let folder = Folder::new(&files);
    let root = folder.root();
    let root = root.to_str().unwrap();
    for cwd in ["", "/"] {
        let base = |command: &str| {
            let first = folder
                .inferred(cwd, command, false)
                .globs
                .into_iter()
                .next();
            let first = first.unwrap_or_else(|| panic!("{command} in {cwd:?}"));
            let first = if cwd.is_empty() {
                format!("{root}/{first}")
            } else {
                first
            };
            first.replace(root, "ROOT")
        };
        let python = |base: &str| format!("ROOT/{base}/{}", PYTHON[0]);
        assert_eq!(
            base("python ROOT/work/w/src/pkg/server.py"),
            python("work/w")
        );
        assert_eq!(
            base("uv run ROOT/work/w/src/pkg/server.py"),
            python("work/w")
        );
        assert_eq!(
            base("uv run --directory ROOT/work/w weather"),
            python("work/w")
        );
        assert_eq!(
            base("ROOT/work/w/.venv/bin/python -m pkg"),
            python("work/w")
        );
        assert_eq!(base("python ROOT/.config/x/server.py"), python(".config/x"));
        assert_eq!(base("python ROOT/bare/server.py"), python("bare"));
        assert_eq!(
            base("node ROOT/mono/packages/a/src/x.js"),
            format!("ROOT/mono/packages/a/{}", JAVASCRIPT[0])
        );
        // The home directory contributes only the files beside the script, nothing below.
        assert_eq!(base("python ROOT/loose.py"), "ROOT/*.{py,pyi,toml}");
        for command in [
            "python -m weather",
            "npm start",
            "uv run weather",
            "weather",
        ] {
            let found = folder.inferred(cwd, command, false);
            assert!(found.globs.is_empty(), "{command}: {found:?}");
            assert_eq!(found.warnings.len(), 1, "{command}: {found:?}");
            assert!(found.warnings[0].contains("--cwd"), "{found:?}");
        }
    }
}

/// A sandbox may set a home directory below the project.
#[test]
fn a_home_directory_without_a_project_does_not_widen_the_directory_around_it() {
    let globs = |files: &[&str]| {
        let folder = Folder::new(files);
        let (program, args) = ("python".as_ref(), ["server.py".into()]);
        let home = folder.root().join("home");
        infer_in(program, &args, &folder.root(), Some(&home), false, false).globs
    };
    let whole = globs(&["server.py", "home/.cache/uv/x"]);
    assert!(whole.contains(&PYTHON[0].to_owned()), "{whole:?}");
    let beside = globs(&["server.py", "home/work/x.py"]);
    assert!(!beside.contains(&PYTHON[0].to_owned()), "{beside:?}");
}

#[test]
fn a_package_of_others_is_not_the_project() {
    let files = [
        r#"package.json={"name":"@me/weather","bin":{"weather":"src/index.js"}}"#,
        "pyproject.toml=[project]\nname = \"My_Weather\"\nscripts = {forecast = \"a:b\"}\n",
        "src/index.ts",
        "src/index.js",
        "server.py",
        "lib/pyproject.toml",
    ];
    for command in [
        "npx -y some-server",
        "npx some-server@latest --port 3",
        "npx -y @scope/name@1 /data",
        "uvx weather-of-others",
        "uv tool run other",
        "uvx --from git+https://github.com/me/my-weather my-weather",
        "uvx --from 'other[cli]>=2' other",
        "pnpm dlx other",
        "yarn dlx other",
        "bunx other",
        "pipx run other",
        "npm exec -y -- other",
        "deno run -A npm:other",
        "deno run https://example.org/x.ts",
        "deno run jsr:@a/b",
        "docker run -i --rm image",
        "go run example.org/x@latest",
        "sh -c 'exec npx -y other'",
        "cmd /c npx -y other",
    ] {
        let found = inferred(&files, command);
        assert!(found.globs.is_empty(), "{command}: {found:?}");
        assert_eq!(found.notes.len(), 1, "{command}: {found:?}");
        assert!(found.warnings.is_empty(), "{command}: {found:?}");
    }
    for command in [
        "npx weather",
        "npx -y @me/weather@1.2",
        "npx tsx src/index.ts",
        "uvx flask --app server run",
        "npx ts-node --esm src/index.ts",
        "npx -y @modelcontextprotocol/inspector node src/index.js",
        "uvx my-weather",
        "uvx --from . forecast",
        "uvx --with-editable . fastmcp run server.py:mcp",
        "uvx --from ./lib x",
        "uvx --from 'mcp[cli]' mcp run server.py",
        "uvx fastmcp run server.py",
        "npx -p . weather",
        "npx --package=file:. weather",
    ] {
        let found = inferred(&files, command);
        assert!(!found.globs.is_empty(), "{command}: {found:?}");
        assert!(found.notes.is_empty(), "{command}: {found:?}");
    }
    let settings = inferred(&["pw.json"], "npx other --config pw.json");
    assert_eq!(settings.globs, ["./pw.json"]);
}

#[test]
fn a_binary_is_watched_itself() {
    assert_eq!(
        infer(&[], "./target/debug/server --stdio"),
        ["target/debug/server"]
    );
    assert_eq!(infer(&["Cargo.toml"], "./server"), ["./server"]);
    let folder = Folder::new(&["p/Cargo.toml"]);
    let built = folder.inferred("p", "./target/debug/server", true);
    assert_eq!(built.globs, RUST, "a save builds it");
}

#[test]
fn a_runtime_is_never_the_source() {
    let jvm = "**/*.{java,kt,kts,scala,sc,sbt,groovy,gradle}";
    for (files, command, first) in [
        (&["pom.xml"][..], "mvn -q spring-boot:run", jvm),
        (&["build.gradle.kts"], "./gradlew run", jvm),
        (
            &["pom.xml"],
            "/opt/jdk/bin/java -jar target/app.jar",
            "target/app.jar",
        ),
        (
            &["target/classes/A.class"],
            "java -cp target/classes A",
            "target/classes",
        ),
        (&["bin/x.dll"], "dotnet bin/x.dll", "bin/x.dll"),
        (
            &["a/x.csproj"],
            "dotnet run --project a/x.csproj",
            "a/**/*.{cs,csx,fs,fsx,vb,csproj,fsproj,vbproj,sln,slnx,props,targets}",
        ),
        (&["Gemfile", "s.rb"], "~/.asdf/shims/ruby s.rb", "**/*.rb"),
        (
            &["composer.json", "artisan"],
            "php artisan mcp:start",
            "**/*.php",
        ),
        (&["mix.exs"], "mix run --no-halt", "**/*.{ex,exs,erl,hrl}"),
        (&["Package.swift"], "swift run", "**/*.swift"),
        (&["deno.json", "m.ts"], "deno run -A m.ts", NODE[0]),
        (&["s.lua"], "/usr/bin/lua5.4 s.lua", "**/*.lua"),
    ] {
        assert_eq!(infer(files, command)[0], first, "{command}");
    }
    for command in [
        "java Main",
        "/opt/jdk/bin/java Main",
        "dotnet x",
        "php -r x",
    ] {
        let found = inferred(&[], command);
        assert!(found.globs.is_empty(), "{command}: {found:?}");
        assert!(found.warnings[0].contains("--watch 'src/**'"), "{found:?}");
    }
    let folder = Folder::new(&["p/pom.xml", "p/target/app.jar"]);
    let plain = folder.inferred("p", "java -jar target/app.jar", false);
    assert_eq!(plain.globs, ["target/app.jar"]);
    assert!(plain.notes[0].contains("--build"), "{plain:?}");
    let built = folder.inferred("p", "java -jar target/app.jar", true);
    assert_eq!(built.globs, [jvm, "**/pom.xml"]);
}

#[test]
fn files_that_the_command_names_count() {
    let files = [
        "src/server.py",
        "pyproject.toml",
        "c/config.yaml",
        "notes.json",
    ];
    let found = inferred(
        &files,
        "uv run --env-file dev.env src/server.py --config c/config.yaml --store notes.json",
    )
    .globs;
    let more = [
        "src/server.py",
        "c/config.yaml",
        "./dev.env",
        "src/.env",
        "./.env",
    ];
    assert_eq!(found, and(PYTHON, &more));
    let found = inferred(&["x.js"], "node --env-file=a/.env x.js").globs;
    assert!(found.contains(&"a/.env".to_owned()), "{found:?}");
    let named = r#"fastmcp.json={"source":{"path":"s/server.py"}}"#;
    let found = inferred(&[named, "s/server.py"], "fastmcp run").globs;
    assert!(found.contains(&"./fastmcp.json".to_owned()), "{found:?}");
    assert!(found.contains(&"s/server.py".to_owned()), "{found:?}");
}

#[test]
fn a_command_that_tells_nothing_falls_back_on_the_manifest() {
    assert_eq!(infer(&["package.json"], "no-such-program-here"), NODE);
    assert!(infer(&[], "no-such-program-here").is_empty());
}
