//! Where the clone of a repository belongs: one folder for each repository there is, whose name can
//! neither leave its place nor meet another's. Pure.

use std::fmt::Write as _;

use super::is_plain;

/// Names of folders, each safe by itself: one level per field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::install) struct Place {
    pub(in crate::install) host: String,
    pub(in crate::install) owner: String,
    pub(in crate::install) repo: String,
}

/// The place of the repository whose path has these names.
pub(super) fn place(host: &str, names: &[&str]) -> Place {
    let (repo, owner) = names.split_last().expect("a path has a last name");
    let owner = owner.iter().map(|it| encode(it)).collect::<Vec<_>>();
    Place {
        host: host.to_owned(),
        owner: match owner.join("+") {
            none if none.is_empty() => "_".to_owned(),
            owner => shorten(owner),
        },
        repo: shorten(encode(repo.strip_suffix(".git").unwrap_or(repo))),
    }
}

/// One name of a folder for each name there is: letters outside of the plain ones in percents, `.` and
/// `-` in front as well.
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

/// File systems take 255 bytes.
fn shorten(name: String) -> String {
    const LONGEST: usize = 120;
    if name.len() <= LONGEST {
        return name;
    }
    // FNV-1a: stable, and nobody gains by a collision, since the record names the source.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{}+{hash:016x}", &name[..LONGEST])
}
