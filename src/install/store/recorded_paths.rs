//! Paths in a record of an installation: as text, or in the units of the system if they are not Unicode. They must stay
//! exact, since a later removal opens the files.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RecordedPath {
    Text(String),
    Units(OsString),
}

pub(super) fn serialize<S: Serializer>(
    paths: &[PathBuf],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| match path.to_str() {
        Some(text) => RecordedPath::Text(text.to_owned()),
        None => RecordedPath::Units(path.as_os_str().to_owned()),
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<RecordedPath>::deserialize(deserializer)?;
    let path = |path| match path {
        RecordedPath::Text(text) => PathBuf::from(text),
        RecordedPath::Units(units) => units.into(),
    };
    Ok(paths.into_iter().map(path).collect())
}
