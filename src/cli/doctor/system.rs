//! Facts that each system tells in its own way.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
#[cfg_attr(
    not(target_os = "macos"),
    expect(dead_code, reason = "for macOS; parts are tested here as well")
)]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as this;
#[cfg(target_os = "macos")]
use macos as this;
#[cfg(windows)]
use windows as this;

pub(super) use this::{desktop_path, limits};
