//! Paths in a record of an installation: as text, or as bytes if they are not UTF-8. They must stay exact, since a later
//! removal opens the files.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RecordedPath {
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) fn serialize<S: Serializer>(
    paths: &[PathBuf],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| match path.to_str() {
        Some(text) => RecordedPath::Text(text.to_owned()),
        None => RecordedPath::Bytes(path.as_os_str().as_bytes().to_owned()),
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<RecordedPath>::deserialize(deserializer)?;
    let path = |path| match path {
        RecordedPath::Text(text) => PathBuf::from(text),
        RecordedPath::Bytes(bytes) => OsString::from_vec(bytes).into(),
    };
    Ok(paths.into_iter().map(path).collect())
}
