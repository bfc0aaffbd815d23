//! The floor: the least a process between client and server can do. Two blocking threads move bytes, over pipes or over each
//! connection to a port.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
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

/// Tells its address, and moves bytes between it and this port until it is killed.
pub(crate) fn to_port(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stderr(), "http://{}/mcp", listener.local_addr()?)?;
    for client in listener.incoming() {
        let mut ends = (client?, TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
        ends.0.set_nodelay(true)?;
        ends.1.set_nodelay(true)?;
        let mut others = (ends.0.try_clone()?, ends.1.try_clone()?);
        thread::spawn(move || copy(&mut ends.0, &mut ends.1));
        thread::spawn(move || copy(&mut others.1, &mut others.0));
    }
    Ok(())
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
