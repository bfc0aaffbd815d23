//! Location of a repository's clone: one folder per repository, whose name neither leaves its parent nor collides with
//! another. Pure.

use std::fmt::Write as _;

use super::is_plain;

/// Names of folders, each safe by itself: one level per field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::install) struct StoreLocation {
    pub(in crate::install) host: String,
    pub(in crate::install) owner: String,
    pub(in crate::install) repo: String,
}

/// Returns the place of the repository whose path has these names.
pub(super) fn place(host: &str, names: &[&str]) -> StoreLocation {
    let (repo, owner) = names.split_last().expect("a path has a last name");
    let owner = owner.iter().map(|it| encode(it)).collect::<Vec<_>>();
    StoreLocation {
        host: host.to_owned(),
        owner: match owner.join("+") {
            none if none.is_empty() => "_".to_owned(),
            owner => shorten(owner),
        },
        repo: shorten(encode(repo.strip_suffix(".git").unwrap_or(repo))),
    }
}

/// Encodes a name as a unique folder name: percent-encodes all but plain characters, and a leading `.` or `-`.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let plain = is_plain(byte.into()) && !(at == 0 && matches!(byte, b'.' | b'-'));
        if plain {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Shortens a name, since file systems limit it to 255 bytes.
fn shorten(name: String) -> String {
    const LONGEST: usize = 120;
    if name.len() <= LONGEST {
        return name;
    }
    // FNV-1a: stable. A collision is of no use to an attacker, since the record names the source.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{}+{hash:016x}", &name[..LONGEST])
}
