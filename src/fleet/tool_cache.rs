//! Last-known tools of servers, on disk, so that the tools of a server that is not loaded can be searched.
//!
//! There is one file per server, named after the server and a hash of its command or address, so that it is not
//! confused with another project's server of the same name. A file holds the server's answer to `tools/list` and
//! nothing of the configuration: neither arguments nor variables. Several proxies may share the directory: files are
//! replaced atomically, and the last write wins. All functions here block.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

use serde_json::value::RawValue;

use super::fingerprint::fingerprint;
use super::names::public_name;
use crate::config::ServerSpec;
use crate::mcp::{List, ListKind};
use crate::private_files;

/// Maximum size of a file in bytes; longer ones are neither written nor read.
const MAX_SIZE: u64 = 8 << 20;

/// Directory of last-known tools.
#[derive(Debug, Clone)]
pub(crate) struct ToolCache {
    dir: PathBuf,
}

impl ToolCache {
    /// Opens the directory `dir`, which is created by the first write.
    pub(crate) fn open(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Stores the tools of `server`, readable for the user only. Does not touch a file with the same content.
    pub(crate) fn store(&self, server: &ServerSpec, tools: &List) -> io::Result<()> {
        let text = tools.result(ListKind::Tools, &[]);
        if text.len() as u64 > MAX_SIZE {
            return self.remove(server);
        }
        if self.read(server).is_some_and(|known| known == text) {
            return Ok(());
        }
        private_files::folder(&self.dir)?;
        private_files::replace(&self.path(server), text)
    }

    /// Returns the tools that `server` had last and that it may offer now; None if unknown.
    pub(crate) fn load(&self, server: &ServerSpec) -> Option<List> {
        let text = self.read(server)?;
        // Text after the JSON value means that the file was not written here.
        serde_json::from_str::<&RawValue>(&text).ok()?;
        let mut tools = List::default();
        tools.add_page(ListKind::Tools, &text).ok()?;
        let tool_filter = server.tools.compile();
        tools.retain(|name| tool_filter.admits(name));
        Some(tools)
    }

    /// Deletes the stored tools of `server`.
    pub(crate) fn remove(&self, server: &ServerSpec) -> io::Result<()> {
        match fs::remove_file(self.path(server)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read(&self, server: &ServerSpec) -> Option<String> {
        let path = self.path(server);
        // Opening a named pipe would wait for a writer.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        let file = File::open(path).ok()?;
        file.take(MAX_SIZE + 1).read_to_string(&mut text).ok()?;
        (text.len() as u64 <= MAX_SIZE).then_some(text)
    }

    fn path(&self, server: &ServerSpec) -> PathBuf {
        let parts = [server.name.as_bytes(), server.program.as_encoded_bytes()]
            .into_iter()
            .chain([server.cwd.as_os_str().as_encoded_bytes()])
            .chain(server.args.iter().map(|arg| arg.as_encoded_bytes()))
            .chain(server.remote.iter().map(|it| it.url.as_str().as_bytes()));
        let name = public_name("", &server.name, 48);
        self.dir
            .join(format!("{name}-{:016x}.json", fingerprint(parts)))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn server(name: &str) -> ServerSpec {
        let args = vec!["--key".into(), "geheim".into()];
        let mut server = ServerSpec::new(name.into(), "uv".into(), args, "/project".into());
        server.env = vec![("TOKEN".into(), "geheim".into())];
        server
    }

    fn tools(names: &[&str]) -> List {
        let entries: Vec<String> = names
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","x":1E5}}"#))
            .collect();
        let mut list = List::default();
        let page = format!(r#"{{"tools":[{}],"_meta":{{"k":-0}}}}"#, entries.join(", "));
        list.add_page(ListKind::Tools, &page).unwrap();
        list
    }

    fn cache() -> (tempfile::TempDir, ToolCache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = ToolCache::open(dir.path().join("a/tools"));
        (dir, cache)
    }

    #[test]
    fn stored_tools_are_returned_until_they_are_removed() {
        let (dir, cache) = cache();
        assert_eq!(cache.load(&server("a")), None);
        cache.remove(&server("a")).unwrap();
        cache.store(&server("a"), &tools(&["x", "y"])).unwrap();
        cache.store(&server("../ü/b"), &tools(&[])).unwrap();
        let again = ToolCache::open(dir.path().join("a/tools"));
        assert_eq!(again.load(&server("a")), Some(tools(&["x", "y"])));
        assert_eq!(again.load(&server("../ü/b")), Some(tools(&[])));
        again.store(&server("a"), &tools(&["z"])).unwrap();
        assert_eq!(cache.load(&server("a")), Some(tools(&["z"])));
        again.remove(&server("a")).unwrap();
        assert_eq!(cache.load(&server("a")), None);
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
    }

    #[test]
    fn another_command_is_another_server() {
        let (_dir, cache) = cache();
        cache.store(&server("a"), &tools(&["x"])).unwrap();
        let mut same = server("a");
        same.env.clear();
        same.watch = vec!["*.py".into()];
        assert!(cache.load(&same).is_some());
        let changes: [fn(&mut ServerSpec); 5] = [
            |it| it.name = "A".into(),
            |it| it.program = "uvx".into(),
            |it| it.args = vec!["--keygeheim".into()],
            |it| it.args.clear(),
            |it| it.cwd = "/other".into(),
        ];
        for change in changes {
            let mut other = server("a");
            change(&mut other);
            assert_eq!(cache.load(&other), None, "{other:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_tell_no_secret_and_are_written_only_when_different() {
        let (_dir, cache) = cache();
        cache.store(&server("a"), &tools(&["x"])).unwrap();
        let path = cache.path(&server("a"));
        let before = fs::metadata(&path).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains("geheim"));
        cache.store(&server("a"), &tools(&["x"])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
        assert_eq!(
            fs::metadata(&path).unwrap().mtime_nsec(),
            before.mtime_nsec()
        );
    }

    #[test]
    fn a_broken_or_foreign_file_is_not_known_and_is_replaced() {
        let (_dir, cache) = cache();
        cache.store(&server("a"), &tools(&["x"])).unwrap();
        let path = cache.path(&server("a"));
        let long = format!(r#"{{"tools":[]{}}}"#, " ".repeat((8 << 20) - 11));
        assert_eq!(long.len() as u64, MAX_SIZE + 1);
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"tools":[]}x"#,
            r#"{"tools":{}}"#,
            &long,
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(cache.load(&server("a")), None, "{}", text.len());
        }
        fs::write(&path, b"{\"tools\":[],\"x\":\"\xff\"}").unwrap();
        assert_eq!(cache.load(&server("a")), None);
        cache.store(&server("a"), &tools(&["x"])).unwrap();
        assert!(cache.load(&server("a")).is_some());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(cache.load(&server("a")), None);
        assert!(cache.store(&server("a"), &tools(&["x"])).is_err());
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
    }

    #[test]
    fn a_list_that_is_too_long_to_be_read_is_not_kept() {
        let (_dir, cache) = cache();
        cache.store(&server("a"), &tools(&["x"])).unwrap();
        let long = "x".repeat(8 << 20);
        cache.store(&server("a"), &tools(&[&long])).unwrap();
        assert_eq!(cache.load(&server("a")), None);
        assert!(!cache.path(&server("a")).exists());
    }
}
