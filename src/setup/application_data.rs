//! The system's folder for settings of graphical applications.

#[cfg(not(any(target_os = "macos", windows)))]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(windows))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(any(target_os = "macos", windows)))]
pub(super) use linux::folder;
#[cfg(target_os = "macos")]
pub(super) use macos::folder;
#[cfg(not(windows))]
pub(super) use unix::of_package;
#[cfg(windows)]
pub(super) use windows::{folder, of_package};
