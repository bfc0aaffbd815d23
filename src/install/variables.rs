//! Environment variables of a request to install: names a model may not set, names the repository mentions.

use std::collections::BTreeSet;
use std::path::Path;

use ignore::WalkBuilder;
use memchr::memmem;

/// Size limits for searched files, in bytes: per file, and in total.
const FILE: u64 = 1 << 20;
const ALL: u64 = 64 << 20;

/// Prefixes of names that control a loader, an interpreter, a shell or a package manager.
const FAMILIES: &[&str] = &[
    "LD_",
    "DYLD_",
    "PYTHON",
    "_PYTHON",
    "GIT_",
    "NPM_CONFIG_",
    "NPM_LIFECYCLE_",
    "PNPM_",
    "YARN_",
    "COREPACK_",
    "BUN_CONFIG_",
    "PIP_",
    "PIPENV_",
    "UV_",
    "POETRY_",
    "PDM_",
    "CONDA_",
    "CARGO_",
    "RUSTUP_",
    "RUSTC",
    "BUNDLE_",
    "BASH_FUNC_",
    "XDG_",
    "CGO_",
    "MALLOC_",
    "LUA_",
    "DOTNET_",
    "CORECLR_",
    "COR_",
    "COMPLUS_",
    "TS_NODE_",
    "NODE_REPL_",
    "NODE_V8_",
    "OPENSSL_",
    "MCP_PROXY_",
];
/// Suffixes of such names.
const ENDINGS: &[&str] = &["_OPTIONS", "_OPTS", "_ASKPASS"];
/// Such names in full.
const NAMES: &[&str] = &[
    "PATH",
    "PATHEXT",
    "COMSPEC",
    "SYSTEMROOT",
    "WINDIR",
    "HOME",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "TMPDIR",
    "TMP",
    "TEMP",
    "SHELL",
    "ENV",
    "BASH_ENV",
    "BASHOPTS",
    "SHELLOPTS",
    "IFS",
    "PS4",
    "PROMPT_COMMAND",
    "CDPATH",
    "ZDOTDIR",
    "FPATH",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "NODE_REDIRECT_WARNINGS",
    "NODE_COMPILE_CACHE",
    "NODE_ICU_DATA",
    "NPM_EXECPATH",
    "NPM_NODE_EXECPATH",
    "INIT_CWD",
    "TSX_TSCONFIG_PATH",
    "ELECTRON_RUN_AS_NODE",
    "BUN_INSTALL",
    "DENO_DIR",
    "DENO_CERT",
    "DENO_TLS_CA_STORE",
    "DENO_INSTALL_ROOT",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
    "RUBYOPT",
    "RUBYLIB",
    "GEM_HOME",
    "GEM_PATH",
    "PERL5OPT",
    "PERL5LIB",
    "PERL5DB",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "CLASSPATH",
    "JAVA_HOME",
    "JDK_HOME",
    "GOPATH",
    "GOROOT",
    "GOBIN",
    "GOENV",
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GOPRIVATE",
    "GONOPROXY",
    "GOINSECURE",
    "GOTOOLCHAIN",
    "CC",
    "CXX",
    "AR",
    "LD",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "GOFLAGS",
    "RUSTFLAGS",
    "MAKEFLAGS",
    "MAKEFILES",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "GLIBC_TUNABLES",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "CURL_HOME",
    "SSH_AUTH_SOCK",
    "SSH_SK_PROVIDER",
    "INPUTRC",
    "ESBUILD_BINARY_PATH",
    "NAPI_RS_NATIVE_LIBRARY_PATH",
    "RUBYGEMS_GEMDEPS",
    "ERL_FLAGS",
    "ERL_AFLAGS",
    "ERL_ZFLAGS",
    "ERL_LIBS",
    "PSMODULEPATH",
    "LESSOPEN",
    "LESSCLOSE",
    "JSR_URL",
    "R_PROFILE",
    "JULIA_LOAD_PATH",
    "SSLKEYLOGFILE",
    "TERMINFO",
];

/// Names with such a prefix that control nothing of the kind.
const HARMLESS: &[&str] = &[
    "PYTHONUNBUFFERED",
    "PYTHONIOENCODING",
    "PYTHONUTF8",
    "PYTHONDONTWRITEBYTECODE",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "DOTNET_ENVIRONMENT",
];

/// Returns true if a variable of this name can decide the code that runs, its origin, or the parties it trusts. Ignores
/// case, as some of the programs that read such variables do.
pub(super) fn steers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if HARMLESS.contains(&&*name) {
        return false;
    }
    FAMILIES.iter().any(|family| name.starts_with(family))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || NAMES.contains(&&*name)
}

/// Returns true if every system and shell accepts the name.
pub(super) fn is_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_good) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Returns the entries of `names` that occur in a file of `folder`.
pub(super) fn mentioned<'a>(
    folder: &Path,
    names: impl Iterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    let mut missing: BTreeSet<&str> = names.collect();
    let mut found = BTreeSet::new();
    let mut left = ALL;
    let files = WalkBuilder::new(folder)
        .standard_filters(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for file in files.flatten() {
        if missing.is_empty() {
            break;
        }
        let is_file = file.file_type().is_some_and(|kind| kind.is_file());
        let size = file.metadata().map_or(u64::MAX, |it| it.len());
        if !is_file || size > FILE.min(left) {
            continue;
        }
        left -= size;
        let text = std::fs::read(file.path()).unwrap_or_default();
        let here: Vec<&str> = missing
            .iter()
            .copied()
            .filter(|name| has_word(&text, name))
            .collect();
        for name in here {
            missing.remove(name);
            found.insert(name);
        }
    }
    found
}

fn has_word(text: &[u8], word: &str) -> bool {
    let goes_on =
        |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_');
    memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        !goes_on(before) && !goes_on(text.get(at + word.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_code_is_told_from_what_a_server_needs() {
        for name in [
            "NODE_OPTIONS",
            "node_options",
            "LD_PRELOAD",
            "LD_AUDIT",
            "DYLD_INSERT_LIBRARIES",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "PYTHONWARNINGS",
            "PATH",
            "Path",
            "BASH_ENV",
            "ENV",
            "GIT_SSH_COMMAND",
            "GIT_EXEC_PATH",
            "npm_config_registry",
            "NPM_CONFIG_SCRIPT_SHELL",
            "PIP_INDEX_URL",
            "UV_INDEX_URL",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "MAVEN_OPTS",
            "RUBYOPT",
            "PERL5OPT",
            "DOTNET_STARTUP_HOOKS",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "GOFLAGS",
            "GOTOOLCHAIN",
            "BUN_OPTIONS",
            "COREPACK_NPM_REGISTRY",
            "YARN_PLUGINS",
            "HOME",
            "XDG_CONFIG_HOME",
            "GLIBC_TUNABLES",
            "NODE_EXTRA_CA_CERTS",
            "MCP_PROXY_CONFIG",
            "BASH_FUNC_ls%%",
            "SSH_ASKPASS",
            "_PYTHON_SYSCONFIGDATA_NAME",
            "ESBUILD_BINARY_PATH",
            "PSModulePath",
        ] {
            assert!(steers(name), "{name}");
        }
        for name in [
            "API_KEY",
            "GITHUB_TOKEN",
            "GITHUB_PERSONAL_ACCESS_TOKEN",
            "OPENAI_API_KEY",
            "NODE_ENV",
            "NPM_TOKEN",
            "GOOGLE_API_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "DATABASE_URL",
            "PGPASSWORD",
            "LOG_LEVEL",
            "DEBUG",
            "TZ",
            "PORT",
            "AWS_REGION",
            "SLACK_BOT_TOKEN",
            "ALLOWED_DIR",
            "LDAP_URL",
            "PIPELINE_ID",
            "DENO_DEPLOY_TOKEN",
            "HTTPS_PROXY",
            "ENVIRONMENT",
            "PYTHONUNBUFFERED",
            "GIT_AUTHOR_NAME",
            "SSH_HOST",
            "FEATURE_FLAGS",
        ] {
            assert!(!steers(name), "{name}");
            assert!(is_name(name), "{name}");
        }
    }

    #[test]
    fn names_are_what_a_shell_takes_for_one() {
        for name in ["", "A B", "A\nB", "A=B", "1A", "A-B", "Ä", "A\0"] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_variable_is_known_if_a_file_has_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        write(".env.example", "API_KEY=\nMY_TOKEN_2=");
        write(".git/config", "HIDDEN");
        let names = ["API_KEY", "MY_TOKEN", "KEY", "HIDDEN"];
        let found = mentioned(folder.path(), names.into_iter());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["API_KEY"]);
    }
}
