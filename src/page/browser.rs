//! Opens the page in the user's browser.

#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(any(target_os = "macos", windows)))]
mod other;
#[cfg(windows)]
mod windows;

use std::process::Stdio;
use std::thread;

use maud::{DOCTYPE, html};

#[cfg(target_os = "macos")]
use self::macos::command;
#[cfg(not(any(target_os = "macos", windows)))]
use self::other::command;
#[cfg(windows)]
use self::windows::command;

use super::remembered::folder;
use crate::file_error::FileError;
use crate::state::StateError;

/// Opens `url` in the browser of the user. A private file passes it on: all users of the machine can read command lines.
/// Blocks.
pub(super) fn open(url: &str) -> Result<(), StateError> {
    let markup = html! {
        (DOCTYPE)
        meta http-equiv="refresh" content=(format!("0;url={url}"));
        a href=(url) { "mcp-proxy" }
    };
    let folder = folder()?;
    let name = file_name();
    folder.write(&name, markup.into_string().as_bytes())?;
    let mut command = command(&folder.file(&name));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn();
    let mut child = child.map_err(FileError::at("open a browser for", &folder.file(&name)))?;
    thread::spawn(move || child.wait());
    Ok(())
}

/// Removes the file that [`open`] has written: its link has expired. Blocks.
pub(super) fn forget() -> Result<(), StateError> {
    folder()?.remove(&file_name())
}

fn file_name() -> String {
    format!("open-{}.html", std::process::id())
}
