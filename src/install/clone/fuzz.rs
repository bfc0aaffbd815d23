//! Fuzz targets for the data of a hostile git server.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository};

use super::packets::{FetchResponseParser, PacketSplitter, ResponsePart, advertisement, request};
use super::refs::RefLookup;
use super::{FetchExtent, Limits, checkout};

/// Feeds responses of a server to the parser. The first byte sets the size of the pieces.
pub fn packets(data: &[u8]) {
    let [size, bytes @ ..] = data else {
        return;
    };
    let whole = answer(bytes, bytes.len().max(1));
    assert_eq!(answer(bytes, 1 + usize::from(*size)), whole);
    let Ok(refs) = advertisement(bytes) else {
        return;
    };
    for name in refs.all.iter().map(|it| it.0.as_str()) {
        let meant = refs.find(Some(name));
        let is_full = name.starts_with("refs/") || name == "HEAD";
        assert!(
            !is_full || matches!(meant, RefLookup::Known { .. }),
            "{name:?}"
        );
    }
    refs.find(None);
    let ids: Vec<Oid> = refs.branches_and_tags();
    for extent in [FetchExtent::Alone, FetchExtent::Commits, FetchExtent::Whole] {
        let mut cutter = PacketSplitter::default();
        cutter.push(&request(&ids, extent));
        while let Ok(Some(_)) = cutter.next() {}
    }
}

/// Parses a response in pieces of `size` bytes. Returns its pack, its shallow commits and the error, if parsing failed.
fn answer(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<Oid>, Option<String>) {
    let (mut cutter, mut answer) = (PacketSplitter::default(), FetchResponseParser::default());
    let (mut pack, mut shallow) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        cutter.push(piece);
        loop {
            let part = match cutter.next() {
                Ok(None) => break,
                Ok(Some(packet)) => answer.take(packet),
                Err(error) => Err(error),
            };
            match part {
                Ok(ResponsePart::Pack(bytes)) => pack.extend(bytes),
                Ok(ResponsePart::Shallow(id)) => shallow.push(id),
                Ok(ResponsePart::Nothing) => {}
                Ok(ResponsePart::End) => return (pack, shallow, None),
                Err(error) => return (pack, shallow, Some(error.to_string())),
            }
        }
    }
    (pack, shallow, None)
}

/// Limits for `trees`.
const LIMITS: fn() -> Limits = || Limits {
    unpacked: 1 << 20,
    entries: 500,
    depth: 40,
    ..Limits::default()
};
/// Modes for the entries of a tree; git never writes the last two.
const MODES: [&[u8]; 7] = [
    b"100644", b"100755", b"120000", b"40000", b"160000", b"100664", b"0",
];

/// Builds objects and checks out the last tree. Asserts that no file outside the folder or of git's own is written, and
/// that no link leads out.
pub fn trees(data: &[u8]) {
    let around = tempfile::tempdir().expect("a folder");
    let folder = around.path().join("repository");
    checkout::init(&folder).expect("a repository");
    let before = own_files(&folder);
    let repository = Repository::open(&folder).expect("a repository");
    let Some(commit) = commit(&repository, data) else {
        return;
    };
    let commit = repository.find_commit(commit).expect("the commit");
    let done = checkout::check_out(&repository, &commit, None, false, &LIMITS(), |_| ());
    let mut links = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).expect("a folder").flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => links.push(path),
                Ok(kind) if kind.is_dir() && path != folder.join(".git") => folders.push(path),
                _ => {}
            }
        }
    }
    // After a failure the caller discards the folder.
    for link in links.iter().filter(|_| done.is_ok()) {
        let opened = fs::OpenOptions::new().append(true).create(true).open(link);
        let real = link.canonicalize();
        let root = folder.canonicalize().expect("the folder");
        let leads_out = real.is_ok_and(|it| !it.starts_with(root));
        assert!(
            !leads_out,
            "{} {:?} {opened:?}",
            link.display(),
            link.read_link()
        );
    }
    assert_eq!(fs::read_dir(around.path()).expect("a folder").count(), 1);
    assert_eq!(own_files(&folder), before);
}

/// Returns the files of `.git` that can make git run a program.
fn own_files(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let git = folder.join(".git");
    let read = |name| (git.join(name), fs::read(git.join(name)).ok());
    let mut files: Vec<_> = ["config", "config.worktree", "info/attributes"]
        .map(read)
        .into();
    let hooks = fs::read_dir(git.join("hooks")).into_iter().flatten();
    files.extend(hooks.flatten().map(|it| (it.path(), None)));
    files
}

/// Writes the objects that `data` describes: kind byte 0 for the bytes of a file, any other for the entries of a tree.
fn commit(repository: &Repository, mut data: &[u8]) -> Option<Oid> {
    let odb = repository.odb().ok()?;
    let (mut objects, mut root) = (vec![odb.write(ObjectType::Blob, b"x").ok()?], None);
    while let Some(kind) = byte(&mut data).filter(|_| objects.len() < 100) {
        let count = usize::from(byte(&mut data)?);
        if kind == 0 {
            objects.push(odb.write(ObjectType::Blob, piece(&mut data, count)).ok()?);
            continue;
        }
        let mut tree = Vec::new();
        for _ in 0..count {
            let Some(mode) = byte(&mut data) else {
                break;
            };
            let object = usize::from(byte(&mut data)?) % objects.len();
            let length = usize::from(byte(&mut data)?);
            tree.extend_from_slice(MODES[usize::from(mode) % MODES.len()]);
            tree.push(b' ');
            tree.extend_from_slice(piece(&mut data, length));
            tree.push(0);
            tree.extend_from_slice(objects[object].as_bytes());
        }
        let tree = odb.write(ObjectType::Tree, &tree).ok()?;
        objects.push(tree);
        root = Some(tree);
    }
    let text = format!(
        "tree {}\nauthor a <a@b> 0 +0000\ncommitter a <a@b> 0 +0000\n\nx",
        root?
    );
    odb.write(ObjectType::Commit, text.as_bytes()).ok()
}

fn byte(data: &mut &[u8]) -> Option<u8> {
    let (first, rest) = data.split_first()?;
    *data = rest;
    Some(*first)
}

fn piece<'a>(data: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (piece, rest) = data.split_at(length.min(data.len()));
    *data = rest;
    piece
}
