//! Table of programs that run a command or a script, and of their options.

use self::Role::{Fetcher, Runtime, Server, Shell, Wrapper};
use super::arguments::ArgumentKind::{
    self, Directory, Early, Flag, Module, Package, Valued, Watching,
};

/// Program that runs a command or a script.
#[derive(Debug)]
pub(super) struct Program {
    /// Names without version, the usual one first.
    names: &'static str,
    /// Subcommands before the command or script.
    subcommands: &'static str,
    pub(super) role: Role,
    pub(super) options: Options,
}

/// Relation of a program to the words after its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs a command.
    Wrapper,
    /// Runs a command of a package, which it fetches first.
    Fetcher,
    /// Runs a script, or builds a program and runs it.
    Runtime,
    /// Runs a script; its options may follow the script.
    Server,
    /// Runs a script, or the command line in an argument.
    Shell,
}

/// Options of a program, by kind; the first kind of an option counts.
pub(super) type Options = &'static [(ArgumentKind, &'static str)];

// The flags lack -I, -E and -S, which prevent a bootstrap, and -c and -i, which do not just run a program.
#[rustfmt::skip] // A table.
const PYTHON: Options = &[(Flag, "-u -B -O -OO -b -bb -d -q -s -P -v"), (Valued, "-X -W"), (Module, "-m")];

/// Flags of all forms of `uv`, and valued options.
const UV_FLAGS: &str = "--isolated --managed-python --native-tls --no-cache --no-config --no-env-file --no-progress \
    --no-python-downloads --offline --quiet --verbose -n -q -v";
const UV_VALUED: &str = "--cache-dir --color --config-file --default-index --env-file --extra-index-url --find-links \
    --index --index-url --python --with --with-editable --with-requirements -i -p";
const UV_DIRECTORY: &str = "--directory --project";
/// Options of `uv run`, before and after `run`.
#[rustfmt::skip] // A table.
const UV: Options = &[
    (Flag, UV_FLAGS), (Valued, UV_VALUED), (Directory, UV_DIRECTORY), (Module, "-m --module"),
    (Flag, "--active --all-extras --all-groups --all-packages --dev --exact --frozen --locked --no-active --no-build \
        --no-default-groups --no-dev --no-editable --no-project --no-sync --only-dev --script -s"),
    (Valued, "--extra --group --no-extra --no-group --only-group --package"),
];
/// Options of `uvx` and of `uv tool run`.
#[rustfmt::skip] // A table.
const UVX: Options = &[
    (Flag, UV_FLAGS), (Valued, UV_VALUED), (Directory, UV_DIRECTORY), (Package, "--from"),
    (Flag, "--refresh --reinstall"), (Valued, "--refresh-package --reinstall-package -f -w"),
];

#[rustfmt::skip] // A table.
const NODE_EARLY: &str = "--conditions --config --env-file --env-file-if-exists --experimental-loader --import \
    --loader --require --tsconfig -C -r";
#[rustfmt::skip] // Tables.
const NODE: Options = &[
    (Flag, "--enable-source-maps --no-deprecation --no-warnings --trace-deprecation --trace-uncaught --trace-warnings"),
    (Valued, "--max-old-space-size --stack-trace-limit"), (Early, NODE_EARLY), (Watching, "--watch --watch-path"),
];
#[rustfmt::skip] // Tables.
const TSX: Options = &[(Flag, "--no-cache"), (Valued, "--tsconfig"), (Early, NODE_EARLY), (Watching, "--watch")];
#[rustfmt::skip] // Tables.
const NPX: Options = &[
    (Flag, "--no --no-install --yes -y"), (Valued, "--loglevel --registry --workspace -w"), (Directory, "--prefix -C"),
    (Package, "--package -p"),
];
#[rustfmt::skip] // Tables.
const PNPM: Options = &[(Valued, "--filter -F"), (Directory, "--dir --prefix -C"), (Package, "--package")];
const YARN: Options = &[(Directory, "--cwd"), (Package, "--package -p")];
#[rustfmt::skip] // Tables.
const BUN: Options = &[
    (Early, "--conditions --config --env-file --import --loader --preload --require -r"), (Valued, "--filter -F"),
    (Directory, "--cwd"), (Package, "--package -p"), (Watching, "--watch --hot"),
];
#[rustfmt::skip] // Tables.
const DENO: Options = &[
    (Early, "--config --import-map --preload"), (Watching, "--watch --watch-hmr --watch-exclude --hmr"),
];
const MISE: Options = &[(Directory, "--cd -C")];

#[rustfmt::skip] // A table.
const PROGRAMS: &[Program] = &[
    program("uv", "run", Wrapper, UV),
    program("uv", "tool run", Fetcher, UVX),
    program("uvx", "", Fetcher, UVX),
    program("poetry", "run", Wrapper, &[(Directory, "--directory --project -C -P")]),
    program("pdm", "run", Wrapper, &[(Directory, "--project -p")]),
    program("pipenv", "run", Wrapper, &[(Valued, "--python")]),
    program("hatch", "run", Wrapper, &[(Valued, "--config --env --project -e -p")]),
    program("rye", "run", Wrapper, &[(Valued, "--pyproject")]),
    program("pixi", "run", Wrapper, &[(Valued, "--environment --manifest-path -e")]),
    program("conda micromamba", "run", Wrapper, &[(Valued, "--name --prefix -n -p -r"), (Directory, "--cwd")]),
    program("pipx", "run", Fetcher, &[(Valued, "--index-url --python --with -i"), (Package, "--spec")]),
    program("npx", "", Fetcher, NPX),
    program("npm", "exec", Fetcher, NPX),
    program("npm", "x", Fetcher, NPX),
    program("pnpm", "exec", Wrapper, PNPM),
    program("pnpm", "dlx", Fetcher, PNPM),
    program("pnpx", "", Fetcher, PNPM),
    program("yarn", "exec", Wrapper, YARN),
    program("yarn", "dlx", Fetcher, YARN),
    program("bunx", "", Fetcher, BUN),
    program("bun", "x", Fetcher, BUN),
    program("bundle", "exec", Wrapper, &[]),
    program("mise", "exec", Wrapper, MISE),
    program("mise", "x", Wrapper, MISE),
    program("env", "", Wrapper, &[(Valued, "--unset -u"), (Directory, "--chdir -C")]),
    program("dotenv", "", Wrapper, &[(Valued, "-e -f")]),
    program("dotenvx", "run", Wrapper, &[(Valued, "--env --env-file -e -f")]),
    program("doppler", "run", Wrapper, &[(Valued, "--config --project -c -p")]),
    program("nice", "", Wrapper, &[(Valued, "--adjustment -n")]),
    program("stdbuf", "", Wrapper, &[(Valued, "--error --input --output -e -i -o")]),
    program("caffeinate", "", Wrapper, &[(Valued, "-t -w")]),
    program("mcp-inspector", "", Wrapper, &[(Valued, "--config --method --server --transport -e")]),
    program("command cross-env exec nohup time", "", Wrapper, &[]),

    program("python", "", Runtime, PYTHON),
    program("py pythonw pypy ipython", "", Runtime, PYTHON),
    program("node nodejs", "", Runtime, NODE),
    program("tsx", "", Runtime, TSX),
    program("vite-node", "", Runtime, &[(Early, NODE_EARLY), (Watching, "--watch -w")]),
    program("ts-node ts-node-esm ts-node-dev tsnd nodemon esno esr jiti swc-node babel-node", "", Runtime,
        &[(Early, NODE_EARLY)]),
    program("bun", "", Runtime, BUN),
    program("bun", "run", Runtime, BUN),
    program("deno", "", Runtime, DENO),
    program("deno", "run", Runtime, DENO),
    program("deno", "serve", Runtime, DENO),
    program("ruby", "", Runtime, &[(Valued, "-I"), (Early, "-r")]),
    program("cargo", "", Runtime, &[
        (Valued, "--bin --example --features --manifest-path --package --profile --target -F -p"), (Directory, "-C"),
    ]),
    program("go", "", Runtime, &[(Directory, "-C")]),
    program("dotnet", "", Runtime, &[(Directory, "--project")]),
    program("concurrently hupper jurigged mcp mcp-hmr npm-run-all watchfiles", "", Runtime, &[]),

    program("gradle gradlew", "", Server, &[(Directory, "--project-dir -p"), (Watching, "--continuous -t")]),
    program("fastmcp granian gunicorn hypercorn litestar uvicorn", "", Server,
        &[(Valued, "--config --env-file"), (Watching, "--reload")]),
    program("flask", "", Server, &[(Watching, "--reload --debug")]),
    program("sanic", "", Server, &[(Watching, "--auto-reload --dev")]),
    program("nest", "", Server, &[(Watching, "--watch")]),
    program("sh bash zsh dash ksh fish cmd", "", Shell, &[]),
];

const fn program(
    names: &'static str,
    subcommands: &'static str,
    role: Role,
    options: Options,
) -> Program {
    Program {
        names,
        subcommands,
        role,
        options,
    }
}

impl Program {
    /// Returns the rows of a program, one for each of its subcommands.
    pub(super) fn rows(name: &str) -> Vec<&'static Self> {
        let plain = unversioned(name);
        let is_named = |row: &&Self| row.names.split(' ').any(|it| it == name || it == plain);
        PROGRAMS.iter().filter(is_named).collect()
    }

    /// Returns the usual name of the program: `python` for `python3.12`, `node` for `nodejs`.
    pub(super) fn usual_name(&self) -> &'static str {
        self.names.split(' ').next().unwrap_or_default()
    }

    /// Returns the subcommands before the command or script.
    pub(super) fn subcommands(&self) -> impl Iterator<Item = &'static str> {
        self.subcommands.split_whitespace()
    }
}

/// Removes a version from the name of a program: `python3.12` → `python`.
pub(crate) fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit())
}
