//! Remote mounts of macOS, by the name of the file system. `FSEvents` reports only the changes that this
//! machine makes.

/// Returns the kind of the mount if the path is on a remote one.
#[cfg(target_os = "macos")]
pub(in super::super) fn remote_mount(path: &std::path::Path) -> Option<&'static str> {
    let name = rustix::fs::statfs(path).ok()?.f_fstypename;
    let bytes = name.iter().map(|byte| byte.cast_unsigned());
    kind(&bytes.take_while(|byte| *byte != 0).collect::<Vec<_>>())
}

/// Returns the kind of a file system of this name that may be changed from elsewhere.
fn kind(name: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 8] = [
        (b"nfs", "NFS"),
        (b"smbfs", "SMB"),
        (b"afpfs", "AFP"),
        (b"webdav", "WebDAV"),
        (b"ftp", "FTP"),
        (b"macfuse", "FUSE"),
        (b"osxfuse", "FUSE"),
        (b"virtiofs", "virtiofs"),
    ];
    let found = KINDS.iter().find(|(kind, _)| *kind == name);
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_disk_is_not_remote() {
        assert_eq!(
            (kind(b"apfs"), kind(b"hfs"), kind(b"smbfs")),
            (None, None, Some("SMB"))
        );
    }
}
