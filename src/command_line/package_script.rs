//! Calls of scripts of a `package.json`, such as `npm run dev`.

use std::path::PathBuf;

use super::{ArgumentKind, CommandLine};

/// Call of a script of a `package.json`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScriptCall {
    /// Directory in which the caller looks for a `package.json`, or in one above it.
    pub(crate) base: PathBuf,
    /// Name or directory of the workspace's package that has the script, if the call names one.
    pub(crate) workspace: Option<String>,
    pub(crate) name: String,
    /// Arguments for the last command of the script.
    pub(crate) args: Vec<String>,
    /// Whether the command cannot be anything else: `yarn dev` may also run a program.
    pub(crate) is_certain: bool,
}

/// Script of a `package.json`.
#[derive(Debug, Clone)]
pub(crate) struct PackageScript {
    pub(crate) name: String,
    pub(crate) commands: Vec<CommandLine>,
    /// Whether another script runs before it.
    pub(crate) has_more: bool,
}

impl ScriptCall {
    /// Reads `npm run dev`, `npm -w server start`, `yarn dev`, `node --run dev`; `None` for other commands.
    pub(crate) fn of(command: &CommandLine) -> Option<Self> {
        let program = command.program();
        if !["npm", "pnpm", "yarn", "bun", "node"].contains(&&*program) {
            return None;
        }
        let mut call = Self {
            base: command.base.clone(),
            workspace: None,
            name: String::new(),
            args: Vec::new(),
            is_certain: false,
        };
        let mut plain = Vec::new();
        let mut end = command.words.len();
        for argument in command.arguments() {
            let is_named = !call.name.is_empty();
            // Only npm takes options of its own after the name, until `--`.
            if is_named && (program != "npm" || argument.word == "--") {
                end = argument.at;
                break;
            }
            match (argument.kind, argument.option, argument.value) {
                (ArgumentKind::Plain, _, Some(word)) if is_named => call.args.push(word.to_owned()),
                (ArgumentKind::Plain, _, Some(word)) => {
                    plain.push(word);
                    call.take_words(&program, &plain)?;
                }
                (ArgumentKind::Directory, _, Some(directory)) => call.base.push(directory),
                (_, "--run", _) => plain.push("run"),
                (_, option, value) if is_workspace(&program, option) => {
                    // Several packages, or a pattern for them.
                    let is_one =
                        value.is_some_and(|it| !it.contains(['*', '.', '^', '{', '!', '[']));
                    let is_path = program == "npm" && value.is_some_and(|it| !it.contains('*'));
                    if call.workspace.is_some() || !(is_one || is_path) {
                        return None;
                    }
                    call.workspace = value.map(str::to_owned);
                }
                _ => {}
            }
        }
        let rest = command.words[end..].iter().skip_while(|word| *word == "--");
        call.args.extend(rest.cloned());
        (!call.name.is_empty()).then_some(call)
    }

    /// Reads the words before the name of the script and the name itself; `None` if they call no script.
    fn take_words(&mut self, program: &str, plain: &[&str]) -> Option<()> {
        let words = match (program, plain) {
            ("yarn", ["workspace"]) => return Some(()),
            ("yarn", ["workspace", name, rest @ ..]) => {
                self.workspace = Some((*name).to_owned());
                rest
            }
            (_, words) => words,
        };
        let (name, is_certain) = match (program, words) {
            (_, [] | ["run" | "run-script"]) => return Some(()),
            // A script or a file.
            ("bun", ["run", name]) => (*name, false),
            (_, ["run" | "run-script", name])
            | ("npm" | "pnpm" | "yarn", [name @ ("start" | "test" | "restart")]) => (*name, true),
            ("pnpm" | "yarn" | "bun", [name]) => (*name, self.workspace.is_some()),
            _ => return None,
        };
        name.clone_into(&mut self.name);
        self.is_certain = is_certain;
        Some(())
    }
}

/// Whether the option names the package, or packages, of a workspace with the script.
fn is_workspace(program: &str, option: &str) -> bool {
    match program {
        "npm" => matches!(option, "-w" | "--workspace" | "--workspaces" | "-ws"),
        _ => matches!(
            option,
            "-w" | "--workspace-root" | "--filter" | "-F" | "-r" | "--recursive"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Option<ScriptCall> {
        let words = shlex::split(line).unwrap();
        let base = PathBuf::from("p");
        ScriptCall::of(&CommandLine { base, words })
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn calls_are_read() {
        for (line, base, workspace, name, args) in [
            ("npm start", "p", None, "start", ""),
            ("npm run -s dev", "p", None, "dev", ""),
            ("npm --prefix web run dev --silent 1 -- --port 2", "p/web", None, "dev", "1 --port 2"),
            ("npm run start -w srv", "p", Some("srv"), "start", ""),
            ("npm -w srv run start", "p", Some("srv"), "start", ""),
            ("npm.cmd run start --workspace=packages/srv -- x", "p", Some("packages/srv"), "start", "x"),
            ("pnpm -C web dev --port 2", "p/web", None, "dev", "--port 2"),
            ("pnpm --filter @me/srv run dev", "p", Some("@me/srv"), "dev", ""),
            ("yarn dev -w x", "p", None, "dev", "-w x"),
            ("yarn --cwd web workspace srv run dev", "p/web", Some("srv"), "dev", ""),
            ("bun run dev", "p", None, "dev", ""),
            ("node --run dev -- -v", "p", None, "dev", "-v"),
        ] {
            let found = call(line).unwrap_or_else(|| panic!("{line}"));
            let path = found.base.to_str().map(|it| it.replace('\\', "/"));
            let read = (path.as_deref(), found.workspace.as_deref(), &*found.name, &*found.args.join(" "));
            assert_eq!(read, (Some(base), workspace, name, args), "{line}");
        }
        for line in [
            "npm install", "npm run", "npm exec x", "npm -w a -w b start", "npm --workspaces start", "node x.js run",
            "pnpm -r dev", "pnpm --filter './packages/**' dev", "bunx x", "python run dev", "npx run dev",
        ] {
            assert_eq!(call(line), None, "{line}");
        }
        assert!(!call("pnpm exec x").unwrap().is_certain);
    }
}
