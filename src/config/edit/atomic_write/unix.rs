//! Owner and mode of a file on Unix.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{Gid, Uid, fchown};

/// Gives `new` the owner, the group and the mode of the file that it replaces.
pub(super) fn keep_rights(new: &File, replaced: &Metadata) -> io::Result<()> {
    let known = new.metadata()?;
    if (known.uid(), known.gid()) != (replaced.uid(), replaced.gid()) {
        let (owner, group) = (Uid::from_raw(replaced.uid()), Gid::from_raw(replaced.gid()));
        fchown(new, Some(owner), Some(group))?;
    }
    new.set_permissions(replaced.permissions())
}
