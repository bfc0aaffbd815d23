//! The floor: the least a process between client and server can do. Two blocking threads move bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

/// Starts the server and moves bytes both ways until it ends.
pub(crate) fn run(command: &[String]) -> io::Result<()> {
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Plain descriptors: the standard handles would buffer.
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut to_server = child.stdin.take().expect("stdin is piped");
    let mut from_server = child.stdout.take().expect("stdout is piped");
    thread::spawn(move || copy(&mut stdin, &mut to_server));
    copy(&mut from_server, &mut stdout)?;
    child.wait().map(drop)
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n])?,
        }
    }
}
