//! Parses the source of a server, written by a person or a model. Pure; `clone` checks that the repository exists.
//!
//! `@` starts a branch, tag or commit only after the path, never before the host, and `#` starts a folder of the
//! repository. No part can begin with `-` or leave a folder, because the parts become arguments of git and paths.

mod browser_url;
mod store_location;

use std::fmt;
use std::path::{Component, MAIN_SEPARATOR, Path, PathBuf};

use reqwest::Url;

use browser_url::split_browsed;
pub(super) use store_location::StoreLocation;
use store_location::{encode, place};

use crate::config::guarded;

/// Repository, reference and folder of a server, and the location of its clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(super) remote: RepositoryAddress,
    /// Branch, tag or commit; `None` for the default branch.
    pub(crate) reference: Option<String>,
    /// Folder of the server in the repository.
    pub(crate) subdir: Option<PathBuf>,
    pub(super) place: StoreLocation,
}

/// Address of a repository, by transport.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum RepositoryAddress {
    /// Handled by the proxy itself. The credentials are never shown or stored.
    Http {
        url: Url,
        credentials: Option<(String, String)>,
    },
    /// Handled by the `git` program: ssh, and `git://` where the user insists.
    Program(String),
    /// Local folder.
    Local(PathBuf),
}

/// Permitted kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SourcePermissions {
    /// Permits `http://` and `git://`, whose data anybody on the network path can change.
    pub(crate) insecure: bool,
    /// Permits a path or `file://`.
    pub(crate) local: bool,
}

/// Reason why a source is refused; the text suggests a correct form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SourceError {
    #[error("no source is given; write https://host/owner/repo, git@host:owner/repo or owner/repo")]
    Empty,
    #[error("`{0}` begins with `-`, like an option")]
    Option(String),
    #[error("the source contains a control character or a space")]
    Character,
    #[error(
        "{0}:// is not encrypted, so anyone on the network path can change the code; use https://{1}"
    )]
    Insecure(String, &'static str),
    #[error("a local path can be installed only from the command line: mcp-proxy install {0}")]
    Local(String),
    #[error(
        "{0} is not a supported kind of address; write https://host/owner/repo, ssh://host/owner/repo, \
         git@host:owner/repo or owner/repo"
    )]
    Scheme(String),
    #[error(
        "`{0}` is not the address of a repository; write https://host/owner/repo, git@host:owner/repo, owner/repo or \
         ./path"
    )]
    NoRepository(String),
    #[error("`{0}` is a file; write `{1}`, followed by `#folder` if the server is in a subfolder")]
    File(String, String),
    #[error("`{0}` contains `.`, `..` or an encoded slash")]
    Escape(String),
    #[error("`{0}` has a query; write the URL that `git clone` takes")]
    Query(String),
    #[error("`{0}` is not a valid name of a branch, tag or commit")]
    Reference(String),
    #[error("`{0}` is not a folder inside the repository")]
    Subdir(String),
}

impl Source {
    /// Parses `text`. A relative path is relative to `cwd`.
    pub(crate) fn parse(
        text: &str,
        permit: SourcePermissions,
        cwd: &Path,
    ) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if text.starts_with('-') {
            return Err(SourceError::Option(guarded(text)));
        }
        let (text, subdir) = match text.split_once('#') {
            Some((text, subdir)) => (text, Some(parse_subdir(subdir)?)),
            None => (text, None),
        };
        // Windows has roots with and without a drive.
        let has_root = Path::new(text).has_root();
        let is_path = has_root || text.starts_with(['.', '~']) || text.starts_with("file:");
        if text.contains(|c: char| c.is_control() || (c.is_whitespace() && !is_path)) {
            return Err(SourceError::Character);
        }
        let text = text.strip_prefix("git+").unwrap_or(text);
        let mut source = if is_path {
            local(text, permit, cwd)?
        } else if let Some((scheme, rest)) = text.split_once("://") {
            url(scheme, rest, permit)?
        } else if text.contains("::") {
            return Err(SourceError::Scheme(format!("`{}`", guarded(text))));
        } else if let Some((host, path)) = text.split_once(':') {
            scp(host, path)?
        } else {
            hub(text)?
        };
        source.subdir = subdir.or(source.subdir);
        Ok(source)
    }

    /// Returns the default name of the server.
    pub(crate) fn default_name(&self) -> String {
        let repository = self.repository();
        let subdir = self.subdir.as_deref().and_then(Path::file_name);
        let name = match subdir {
            Some(subdir) => subdir.to_string_lossy().into_owned(),
            None => repository
                .rsplit(['/', ':', MAIN_SEPARATOR])
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        let name = name.strip_suffix(".git").unwrap_or(&name);
        let plain = |c: char| if is_plain(c) && c != '.' { c } else { '-' };
        let name = name.chars().map(plain).collect::<String>();
        match name.trim_matches('-') {
            "" => "server".to_owned(),
            name => name.to_owned(),
        }
    }

    /// Returns the repository for display and globs: without credentials and `.git`.
    pub(crate) fn repository(&self) -> String {
        let address = self.address();
        match &self.remote {
            RepositoryAddress::Local(_) => address,
            _ => address.strip_suffix(".git").unwrap_or(&address).to_owned(),
        }
    }

    /// Returns the address for git, without credentials.
    pub(super) fn address(&self) -> String {
        match &self.remote {
            RepositoryAddress::Http { url, .. } => url.to_string(),
            RepositoryAddress::Program(url) => url.clone(),
            RepositoryAddress::Local(path) => path.display().to_string(),
        }
    }
}

/// Writes a text that [`Source::parse`] parses into the same source, except for credentials.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remote {
            RepositoryAddress::Local(_) => f.write_str(&self.address().replace('@', "%40"))?,
            _ => f.write_str(&self.address())?,
        }
        if let Some(reference) = &self.reference {
            write!(f, "@{reference}")?;
        }
        match &self.subdir {
            Some(subdir) => write!(f, "#{}", subdir.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for RepositoryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => write!(f, "Http({url})"),
            Self::Program(url) => write!(f, "Program({url})"),
            Self::Local(path) => write!(f, "Local({})", path.display()),
        }
    }
}

/// Returns the folder that a recorded source names.
pub(super) fn subdir_of(recorded: &str) -> Option<PathBuf> {
    parse_subdir(recorded.split_once('#')?.1).ok()
}

fn source(remote: RepositoryAddress, reference: Option<String>, place: StoreLocation) -> Source {
    Source {
        remote,
        reference,
        subdir: None,
        place,
    }
}

/// Parses `owner/repo` as a GitHub repository, and a URL that was copied without `https://`.
fn hub(text: &str) -> Result<Source, SourceError> {
    let (path, _) = split_reference(text);
    let plain = |name: &str| !name.is_empty() && name.chars().all(is_plain);
    match path.split('/').collect::<Vec<_>>()[..] {
        [owner, repo] if plain(owner) && plain(repo) => url(
            "https",
            &format!("github.com/{text}"),
            SourcePermissions::default(),
        ),
        [host, _, _, ..] if host.contains('.') && plain(host) => {
            url("https", text, SourcePermissions::default())
        }
        _ => Err(SourceError::NoRepository(guarded(text))),
    }
}

/// Parses `scheme://rest`.
fn url(scheme: &str, rest: &str, permit: SourcePermissions) -> Result<Source, SourceError> {
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        // Only a person may name a local source too, and take this risk.
        "http" | "git" if !permit.insecure && permit.local => {
            return Err(SourceError::Insecure(scheme, ", or pass --insecure"));
        }
        "http" | "git" if !permit.insecure => return Err(SourceError::Insecure(scheme, "")),
        "https" | "ssh" | "http" | "git" => {}
        _ => return Err(SourceError::Scheme(format!("{scheme}://"))),
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    // Without credentials.
    let site = format!("{scheme}://{host}");
    let whole = || guarded(&format!("{site}/{path}"));
    // Over http the user is a part of the credentials, which ssh does not get.
    let user = if scheme.starts_with("http") { "" } else { user };
    // A percent-encoded `@` hides the beginning of the host.
    let inner = host.rsplit("%40").next().unwrap_or(host);
    let parts = [user, host, inner, path];
    if let Some(part) = parts.into_iter().find(|it| begins_option(it)) {
        return Err(SourceError::Option(part.to_owned()));
    }
    if authority.is_empty() {
        return Err(SourceError::NoRepository(whole()));
    }
    if path.contains('?') {
        return Err(SourceError::Query(whole()));
    }
    let (path, reference) = split_reference(path);
    let reference = reference.map(parse_reference).transpose()?;
    let (path, browsed) = split_browsed(path, &site)?;
    let names = names(path)?;
    let url = Url::parse(&format!("{scheme}://{authority}/{}", names.join("/")));
    let url = url.map_err(|_| SourceError::NoRepository(whole()))?;
    let host = host_folder(&url).ok_or_else(|| SourceError::NoRepository(whole()))?;
    let place = place(&host, &names);
    let remote = remote(url);
    let (tree, subdir) = browsed.unzip();
    let mut source = source(remote, reference.or(tree), place);
    source.subdir = subdir.flatten();
    Ok(source)
}

/// Returns true if a host, the user before it, or a path begins with `-` after git has decoded it: ssh would parse it
/// as an option.
fn begins_option(part: &str) -> bool {
    let decoded = part.replace("%2D", "-").replace("%2d", "-");
    decoded.trim_start_matches('/').starts_with('-')
}

fn remote(mut url: Url) -> RepositoryAddress {
    if !matches!(url.scheme(), "http" | "https") {
        return RepositoryAddress::Program(url.into());
    }
    let user = url.username().to_owned();
    let password = url.password().unwrap_or_default().to_owned();
    // These fail only for URLs without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let credentials = (!user.is_empty() || !password.is_empty()).then_some((user, password));
    RepositoryAddress::Http { url, credentials }
}

fn host_folder(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|it| !it.is_empty())?;
    Some(match url.port() {
        Some(port) => format!("{}+{port}", encode(&host.to_ascii_lowercase())),
        None => encode(&host.to_ascii_lowercase()),
    })
}

/// Parses `git@host:owner/repo`.
fn scp(host: &str, path: &str) -> Result<Source, SourceError> {
    let whole = || format!("{host}:{path}");
    let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
    if host.starts_with('-') || name.starts_with('-') {
        return Err(SourceError::Option(whole()));
    }
    let plain = |text: &str| text.chars().all(|c| is_plain(c) || c == '@');
    if name.is_empty() || !plain(host) || path.contains('?') {
        return Err(SourceError::NoRepository(whole()));
    }
    let (path, reference) = split_reference(path);
    let reference = reference.map(parse_reference).transpose()?;
    let names = names(path)?;
    if begins_option(path) {
        return Err(SourceError::Option(whole()));
    }
    let place = place(&encode(&name.to_ascii_lowercase()), &names);
    let remote = RepositoryAddress::Program(format!("{host}:{path}"));
    Ok(source(remote, reference, place))
}

/// Parses a path as the shell passes it, or `file://`.
fn local(text: &str, permit: SourcePermissions, cwd: &Path) -> Result<Source, SourceError> {
    if !permit.local {
        return Err(SourceError::Local(text.to_owned()));
    }
    let plain = match text.strip_prefix("file:") {
        // A `file:` URL must name an absolute path of this machine.
        Some(rest) => match rest.strip_prefix("//").unwrap_or(rest) {
            path if path.starts_with('/') => path,
            _ => return Err(SourceError::NoRepository(guarded(text))),
        },
        None => text,
    };
    let (path, reference) = split_reference(plain);
    let reference = reference.map(parse_reference).transpose()?;
    let path = lexical(&cwd.join(path.replace("%40", "@")));
    let names: Vec<String> = path
        .components()
        .filter_map(|it| match it {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            Component::Prefix(prefix) => Some(prefix.as_os_str().to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    // A prefix is a drive of Windows. A name such as `C:` within a path becomes one without a root.
    if names.is_empty() || !path.has_root() {
        return Err(SourceError::NoRepository(guarded(text)));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = place("local", &names);
    Ok(source(RepositoryAddress::Local(path), reference, place))
}

/// Removes `.` and `..` without resolving links, which do not matter here.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            other => plain.push(other),
        }
    }
    plain
}

/// Splits at the first `@` that does not begin a name, as it does in `/@scope/repo`.
fn split_reference(path: &str) -> (&str, Option<&str>) {
    let begins = |at: usize| at > 0 && !path[..at].ends_with(std::path::is_separator);
    let mut marks = path.match_indices('@').map(|(at, _)| at);
    match marks.find(|at| begins(*at)) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

/// Splits a path into its names.
fn names(path: &str) -> Result<Vec<&str>, SourceError> {
    let names: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    // A server may decode percent-encoded characters.
    let dots = |name: &str| {
        let name = name.to_ascii_lowercase().replace("%2e", ".");
        name == "." || name == ".."
    };
    let hides = |name: &str| name.to_ascii_lowercase().contains("%2f") || name.contains('\\');
    if names.iter().any(|it| dots(it) || hides(it)) {
        return Err(SourceError::Escape(path.to_owned()));
    }
    match names.last() {
        None | Some(&".git") => Err(SourceError::NoRepository(path.to_owned())),
        Some(_) => Ok(names),
    }
}

/// Returns true for characters that need no escape anywhere.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Parses a reference. Refuses names that git refuses, and abbreviations of revisions.
#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "git compares so, and it is no extension"
)]
fn parse_reference(text: &str) -> Result<String, SourceError> {
    let text = text.trim_end_matches('/');
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\#".contains(c);
    let bad = text.is_empty()
        || text.starts_with(['-', '/', '.'])
        || text.ends_with(['.', '/'])
        || text.ends_with(".lock")
        || ["..", "//", "@{", "/.", ".lock/"]
            .iter()
            .any(|it| text.contains(it))
        || text.contains(is_bad);
    if bad {
        return Err(SourceError::Reference(text.to_owned()));
    }
    Ok(text.to_owned())
}

/// Parses a folder below the root of the repository. `subdirectory=` is pip's syntax; `/` stands for that root.
fn parse_subdir(text: &str) -> Result<PathBuf, SourceError> {
    let plain = text.strip_prefix("subdirectory=").unwrap_or(text);
    let plain = plain.strip_prefix('/').unwrap_or(plain);
    let path = Path::new(plain.trim_end_matches('/'));
    let normal = |it: Component<'_>| match it {
        Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
        Component::CurDir => true,
        _ => false,
    };
    let hostile = plain.starts_with('-') || plain.contains(['\\', '\0', '\n', '\r']);
    if hostile || !path.components().all(normal) {
        return Err(SourceError::Subdir(text.to_owned()));
    }
    let names = plain.split('/').filter(|name| !["", "."].contains(name));
    // With `/` on every system, so that it can be parsed again.
    let path = names.collect::<Vec<_>>().join("/");
    if path.is_empty() {
        return Err(SourceError::Subdir(text.to_owned()));
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests;
