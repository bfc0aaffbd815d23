//! File access of edits: locking and atomic replacement.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

use super::super::files::read_text;
use super::{EditError, MARK};
use crate::file_error::FileError;
use crate::folder_lock::FolderLock;
use crate::private_files;

/// Maximum wait for other edits. A busy disk takes seconds to write one.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of attempts if another program changes the file during an edit.
const ATTEMPTS: usize = 5;

/// Replaces the text of `file` with the result of `edit`; `None` leaves the file unchanged. A symlink stays a symlink,
/// and `edit` receives the path of its target.
pub(crate) fn rewrite<E: From<EditError>>(
    file: &Path,
    mut edit: impl FnMut(&Path, Option<&str>) -> Result<Option<String>, E>,
) -> Result<(), E> {
    let file = behind_links(file)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let _lock = lock(folder)?;
    for _ in 0..ATTEMPTS {
        let old = read(&file)?;
        let Some(new) = edit(&file, old.as_deref())? else {
            return Ok(());
        };
        let marked = old.as_deref().is_some_and(|old| old.starts_with(MARK));
        let new = if marked && !new.starts_with(MARK) {
            format!("{MARK}{new}")
        } else {
            new
        };
        let fresh = write_beside(&file, &new);
        // Programs that do not take the lock write to the file as well.
        if read(&file)? != old {
            continue;
        }
        let swapped = fresh.and_then(|fresh| {
            fs::rename(&fresh.0, &file).map_err(FileError::at("replace", &file))?;
            Ok(())
        });
        match swapped {
            Err(error) if old.is_some() && is_fixed(&error) => write_in_place(&file, &new)?,
            swapped => swapped?,
        }
        // Makes the rename survive a power failure. Failure is harmless: the file itself is synced.
        let _ = File::open(folder).and_then(|it| it.sync_all());
        return Ok(());
    }
    Err(EditError::Restless(file).into())
}

/// Returns the end of a chain of symlinks, which need not exist.
fn behind_links(file: &Path) -> Result<PathBuf, EditError> {
    let mut path = std::path::absolute(file).map_err(FileError::at("find", file))?;
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else {
            return Ok(path);
        };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    let looped = io::Error::other("symlink loop");
    Err(FileError::at("resolve the symlinks of", file)(looped).into())
}

fn read(file: &Path) -> Result<Option<String>, EditError> {
    match read_text(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::at("read", file)(error).into()),
    }
}

/// Locks the folder: a lock on the file would be lost when the file is replaced, and a separate lock file would remain.
fn lock(folder: &Path) -> Result<FolderLock, EditError> {
    // Without locks, only the comparison before the replacement protects the file.
    let lock = FolderLock::wait(folder, LOCK_TIMEOUT).map_err(FileError::at("lock", folder))?;
    lock.ok_or_else(|| EditError::Locked(folder.into()))
}

/// New file; removed on drop unless it was renamed.
#[derive(Debug)]
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes `text` to a new file beside `file`. The name is constant, so that an edit removes the leftovers of a killed
/// one.
fn write_beside(file: &Path, text: &str) -> Result<TemporaryFile, EditError> {
    let known = fs::metadata(file).ok();
    if known.as_ref().is_some_and(|it| it.permissions().readonly()) {
        return Err(EditError::ReadOnly(file.to_owned()));
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".mcp-proxy-new");
    let path = file.with_file_name(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::at("remove", &path)(error).into());
        }
        _ => {}
    }
    // Variable values in the file must not be readable by others.
    let mut handle = private_files::new_file(&path).map_err(FileError::at("create", &path))?;
    let fresh = TemporaryFile(path);
    let written = handle.write_all(text.as_bytes()).and_then(|()| {
        if let Some(known) = &known {
            system::keep_rights(&handle, known)?;
        }
        handle.sync_all()
    });
    written.map_err(FileError::at("write", &fresh.0))?;
    Ok(fresh)
}

/// Whether the error means that `file` cannot be replaced: it is a mount point, its folder is not writable, the new
/// file's name is too long, or the owner cannot be preserved.
fn is_fixed(error: &EditError) -> bool {
    use io::ErrorKind::{
        CrossesDevices, InvalidFilename, PermissionDenied, ReadOnlyFilesystem, ResourceBusy,
    };
    let EditError::File(FileError { source, .. }) = error else {
        return false;
    };
    matches!(
        source.kind(),
        CrossesDevices | InvalidFilename | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

/// Overwrites the file in place.
fn write_in_place(file: &Path, text: &str) -> Result<(), EditError> {
    let write = || {
        let mut handle = OpenOptions::new().write(true).open(file)?;
        handle.write_all(text.as_bytes())?;
        handle.set_len(text.len() as u64)?;
        handle.sync_all()
    };
    write().map_err(FileError::at("write", file))?;
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::super::tests::{file, read as text_of, server};
    use super::super::{ConfigDocument, add, plain, remove};
    use super::*;

    #[test]
    fn links_and_the_mode_are_kept() {
        let (folder, path) = file("real/mcp.json", "{}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o606)).unwrap();
        let link = folder.path().join(".mcp.json");
        symlink("real/link.json", &link).unwrap();
        symlink("mcp.json", folder.path().join("real/link.json")).unwrap();
        let change = add(&link, "x", &server(), None).unwrap();
        assert_eq!(change.file, path);
        assert!(fs::read_link(&link).is_ok() && text_of(&path).contains("\"x\""));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o606);
        // Creates the target of a dangling symlink.
        let link = folder.path().join("mcp-proxy.toml");
        symlink("real/own.toml", &link).unwrap();
        assert!(add(&link, "x", &server(), None).unwrap().created);
        assert!(fs::read_link(&link).is_ok() && text_of(&link).contains("[servers.x]"));
        symlink("circle.json", folder.path().join("circle.json")).unwrap();
        assert!(add(&folder.path().join("circle.json"), "x", &server(), None).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let error = remove(&path, "x", |_| Ok(())).unwrap_err();
        assert!(matches!(error, EditError::ReadOnly(_)), "{error}");
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_the_owner_of_an_old_one_is_kept() {
        let (_folder, path) = file(".mcp.json", "{}");
        fs::remove_file(&path).unwrap();
        add(&path, "x", &server(), None).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        if chown(&path, Some(12345), Some(54321)).is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "run this test as root in CI"
            );
            return;
        }
        remove(&path, "x", |_| Ok(())).unwrap();
        let known = fs::metadata(&path).unwrap();
        assert_eq!((known.uid(), known.gid(), mode()), (12345, 54321, 0o664));
    }

    #[test]
    fn a_file_that_none_can_take_the_place_of_is_overwritten() {
        // The name leaves no room for the suffix of the new file's name.
        let (_folder, path) = file(&format!("{}.json", "x".repeat(250)), "{\"other\": 1}");
        let inode = fs::metadata(&path).unwrap().ino();
        add(&path, "x", &server(), None).unwrap();
        assert!(text_of(&path).contains("\"x\""));
        remove(&path, "x", |_| Ok(())).unwrap();
        assert_eq!(text_of(&path), "{\"other\": 1}");
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        let errors = FileError::at("write", &path);
        for (kind, fixed) in [
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::ResourceBusy, true),
            (io::ErrorKind::StorageFull, false),
            (io::ErrorKind::NotFound, false),
        ] {
            assert_eq!(is_fixed(&errors(kind.into()).into()), fixed, "{kind}");
        }
    }

    #[test]
    fn leftovers_of_a_killed_edit_are_removed_by_the_next() {
        let (folder, path) = file(".mcp.json", "{}");
        let left = folder.path().join("..mcp.json.mcp-proxy-new");
        symlink("/elsewhere", &left).unwrap();
        add(&path, "x", &server(), None).unwrap();
        assert!(fs::symlink_metadata(left).is_err());
    }

    #[test]
    fn many_at_once_lose_nothing() {
        for name in [".mcp.json", "mcp-proxy.toml"] {
            let (_folder, path) = file(name, "");
            std::thread::scope(|scope| {
                for writer in 0..8 {
                    let path = &path;
                    scope.spawn(move || {
                        for at in 0..8 {
                            let name = format!("s{writer}-{at}");
                            add(path, &name, &server(), None).unwrap();
                        }
                    });
                }
            });
            let document = ConfigDocument::parse(&path, &text_of(&path)).unwrap();
            let place = document.place("").unwrap();
            assert_eq!(plain(place.servers).as_object().unwrap().len(), 64);
        }
    }

    #[test]
    fn a_change_by_a_program_that_knows_no_lock_is_edited_again() {
        let (_folder, path) = file(".mcp.json", "{}");
        let mut times = 0;
        let edit = |file: &Path, text: Option<&str>| {
            times += 1;
            if times == 1 {
                fs::write(file, "{\"other\": 1}").unwrap();
            }
            Ok(text.map(|text| format!("{text}\n")))
        };
        rewrite::<EditError>(&path, edit).unwrap();
        assert_eq!((text_of(&path).as_str(), times), ("{\"other\": 1}\n", 2));
        let edit = |file: &Path, text: Option<&str>| {
            fs::write(file, format!("{} ", text.unwrap())).unwrap();
            Ok(Some(String::new()))
        };
        let error = rewrite::<EditError>(&path, edit).unwrap_err();
        assert!(matches!(error, EditError::Restless(_)), "{error}");
    }
}
