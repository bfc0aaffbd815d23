//! Fuzz target for recordings of other programs.

use super::own_line;

/// Tests with the bytes of a file.
pub fn recordings(data: &[u8]) {
    for line in String::from_utf8_lossy(data).lines() {
        let _ = own_line(line);
    }
}
