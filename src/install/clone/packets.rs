//! Parses and writes git's smart protocol over HTTP, version 0: lines with a length prefix. Pure.

use git2::Oid;
use serde::{Deserialize, Serialize};

use super::git_transport::FetchExtent;
use super::refs::Refs;

/// Maximum length of a packet in the protocol.
const LONGEST: usize = 65520;

/// Data that violates git's protocol.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProtocolError {
    #[error("the server's response violates git's smart protocol")]
    Length,
    #[error("the server reported: {0}")]
    Said(String),
    #[error("connection lost before the end of the response")]
    Cut,
}

/// One line, or the end of a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Line(Vec<u8>),
    Flush,
}

/// Splits incoming bytes into packets.
#[derive(Debug, Default)]
pub(super) struct PacketSplitter {
    rest: Vec<u8>,
    taken: usize,
}

impl PacketSplitter {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.drain(..std::mem::take(&mut self.taken));
        self.rest.extend_from_slice(bytes);
    }

    /// Returns the next packet if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, ProtocolError> {
        let rest = &self.rest[self.taken..];
        let Some(digits) = rest.get(..4) else {
            return Ok(None);
        };
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => {
                self.taken += 4;
                Ok(Some(Packet::Flush))
            }
            Some(length @ 4..=LONGEST) => Ok(rest.get(4..length).map(|line| {
                self.taken += length;
                Packet::Line(line.to_vec())
            })),
            _ => Err(ProtocolError::Length),
        }
    }
}

/// Parses the response to `info/refs`.
pub(super) fn advertisement(bytes: &[u8]) -> Result<Refs, ProtocolError> {
    let mut cutter = PacketSplitter::default();
    cutter.push(bytes);
    let mut refs = Refs::default();
    let mut sections = 0;
    while let Some(packet) = cutter.next()? {
        let Packet::Line(line) = packet else {
            sections += 1;
            if sections == 2 {
                return Ok(refs);
            }
            continue;
        };
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(said) = line.strip_prefix(b"ERR ") {
            return Err(ProtocolError::Said(readable(said)));
        }
        if sections == 0 {
            if line != b"# service=git-upload-pack" {
                return Err(ProtocolError::Length);
            }
            continue;
        }
        advertised(line, &mut refs)?;
    }
    Err(ProtocolError::Cut)
}

/// Parses `ID NAME`; the first line also has NUL and the server's capabilities.
fn advertised(line: &[u8], refs: &mut Refs) -> Result<(), ProtocolError> {
    let text = String::from_utf8_lossy(line);
    let (entry, capabilities) = match text.split_once('\0') {
        Some((entry, capabilities)) => (entry, Some(capabilities)),
        None => (&*text, None),
    };
    for capability in capabilities.unwrap_or_default().split(' ') {
        if let Some(head) = capability.strip_prefix("symref=HEAD:") {
            refs.head = Some(head.to_owned());
        }
        refs.any_commit |= capability.starts_with("allow-reachable-sha1-in-want")
            || capability == "allow-any-sha1-in-want";
        refs.shallow |= capability == "shallow";
        refs.filter |= capability == "filter";
    }
    let (id, name) = entry.split_once(' ').ok_or(ProtocolError::Length)?;
    let id = Oid::from_str(id).map_err(|_| ProtocolError::Length)?;
    // An empty repository sends only its capabilities, and shallow lines name no ref.
    if name != "capabilities^{}" && !id.is_zero() {
        refs.all.push((name.to_owned(), id));
    }
    Ok(())
}

/// Builds the request body for `wants` with this extent.
pub(super) fn request(wants: &[Oid], extent: FetchExtent) -> Vec<u8> {
    let mut body = Vec::new();
    for (at, want) in wants.iter().enumerate() {
        let capabilities = if at == 0 {
            concat!(
                " side-band-64k ofs-delta agent=mcp-proxy/",
                env!("CARGO_PKG_VERSION")
            )
        } else {
            ""
        };
        let also = match extent {
            FetchExtent::Alone if at == 0 => " shallow",
            FetchExtent::Commits if at == 0 => " filter",
            _ => "",
        };
        line(&mut body, &format!("want {want}{capabilities}{also}\n"));
    }
    match extent {
        FetchExtent::Alone => line(&mut body, "deepen 1\n"),
        FetchExtent::Commits => line(&mut body, "filter tree:0\n"),
        FetchExtent::Whole => {}
    }
    body.extend_from_slice(b"0000");
    line(&mut body, "done\n");
    body
}

fn line(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(format!("{:04x}{text}", text.len() + 4).as_bytes());
}

/// Meaning of one packet of the response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ResponsePart {
    /// The parents of this commit are left out.
    Shallow(Oid),
    /// A piece of the pack.
    Pack(Vec<u8>),
    Nothing,
    End,
}

/// Parses the response to a [`request`], packet by packet.
#[derive(Debug, Default)]
pub(super) struct FetchResponseParser {
    acknowledged: bool,
}

impl FetchResponseParser {
    pub(super) fn take(&mut self, packet: Packet) -> Result<ResponsePart, ProtocolError> {
        let line = match packet {
            Packet::Flush if self.acknowledged => return Ok(ResponsePart::End),
            Packet::Flush => return Ok(ResponsePart::Nothing),
            Packet::Line(line) => line,
        };
        if let Some(said) = line.strip_prefix(b"ERR ") {
            return Err(ProtocolError::Said(readable(said)));
        }
        if !self.acknowledged {
            return self.before_the_pack(&line);
        }
        match line.split_first() {
            Some((1, pack)) => Ok(ResponsePart::Pack(pack.to_vec())),
            // Progress text of the server, for a person.
            Some((2, _)) => Ok(ResponsePart::Nothing),
            Some((3, said)) => Err(ProtocolError::Said(readable(said))),
            _ => Err(ProtocolError::Length),
        }
    }

    fn before_the_pack(&mut self, line: &[u8]) -> Result<ResponsePart, ProtocolError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line == b"NAK" || line.starts_with(b"ACK ") {
            self.acknowledged = true;
            return Ok(ResponsePart::Nothing);
        }
        let Some(id) = line.strip_prefix(b"shallow ") else {
            return Err(ProtocolError::Length);
        };
        let id = std::str::from_utf8(id)
            .ok()
            .and_then(|id| Oid::from_str(id).ok());
        id.map(ResponsePart::Shallow).ok_or(ProtocolError::Length)
    }
}

fn readable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(500)]);
    let text = anstream::adapter::strip_str(text.trim()).to_string();
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";
    const TAG: &str = "2222222222222222222222222222222222222222";

    fn lines(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in lines {
            match *text {
                "" => bytes.extend_from_slice(b"0000"),
                text => line(&mut bytes, text),
            }
        }
        bytes
    }

    #[test]
    fn an_advertisement_has_refs_head_and_capabilities() {
        let first = format!(
            "{ID} HEAD\0multi_ack symref=HEAD:refs/heads/main allow-reachable-sha1-in-want shallow\n"
        );
        let (main, tag) = (
            format!("{ID} refs/heads/main\n"),
            format!("{TAG} refs/tags/v1\n"),
        );
        let bytes = lines(&["# service=git-upload-pack\n", "", &first, &main, &tag, ""]);
        let refs = advertisement(&bytes).unwrap();
        assert_eq!(refs.head.as_deref(), Some("refs/heads/main"));
        assert!(refs.any_commit && refs.shallow);
        assert_eq!(refs.all.len(), 3);
        assert_eq!(
            refs.all[2],
            ("refs/tags/v1".into(), Oid::from_str(TAG).unwrap())
        );
        for end in [5, 40, bytes.len() - 1] {
            assert_eq!(
                advertisement(&bytes[..end]),
                Err(ProtocolError::Cut),
                "{end}"
            );
        }
    }

    #[test]
    fn an_empty_repository_has_no_refs() {
        let first = format!("{} capabilities^{{}}\0shallow\n", Oid::ZERO_SHA1);
        let bytes = lines(&["# service=git-upload-pack\n", "", &first, ""]);
        assert!(advertisement(&bytes).unwrap().all.is_empty());
    }

    #[test]
    fn bytes_outside_the_protocol_are_reported() {
        for garbage in [&b"<html>"[..], b"0002", b"zzzz", b"fff0x", b"0009hell"] {
            assert!(advertisement(garbage).is_err(), "{garbage:?}");
        }
        let refused = lines(&[
            "# service=git-upload-pack\n",
            "",
            "ERR no\u{1b}[31m such\n",
            "",
        ]);
        assert_eq!(
            advertisement(&refused),
            Err(ProtocolError::Said("no such".into()))
        );
    }

    #[test]
    fn a_request_asks_for_the_commits_alone() {
        let id = Oid::from_str(ID).unwrap();
        let text = String::from_utf8(request(&[id, id], FetchExtent::Alone)).unwrap();
        assert!(text.contains(" shallow\n"), "{text}");
        assert!(
            text.ends_with(&format!("0032want {ID}\n000ddeepen 1\n00000009done\n")),
            "{text}"
        );
        assert!(
            !String::from_utf8(request(&[id], FetchExtent::Whole))
                .unwrap()
                .contains("deepen")
        );
    }

    #[test]
    fn an_answer_is_taken_apart_wherever_the_reads_fall() {
        let shallow = format!("shallow {ID}\n");
        let mut bytes = lines(&[
            &shallow,
            "",
            "NAK\n",
            "\u{1}PACK",
            "\u{2}Counting",
            "\u{1}rest",
            "",
        ]);
        bytes.truncate(bytes.len());
        let (mut cutter, mut answer, mut pack, mut ended) = (
            PacketSplitter::default(),
            FetchResponseParser::default(),
            Vec::new(),
            false,
        );
        for byte in bytes {
            cutter.push(&[byte]);
            while let Some(packet) = cutter.next().unwrap() {
                match answer.take(packet).unwrap() {
                    ResponsePart::Pack(piece) => pack.extend(piece),
                    ResponsePart::Shallow(id) => assert_eq!(id.to_string(), ID),
                    ResponsePart::End => ended = true,
                    ResponsePart::Nothing => {}
                }
            }
        }
        assert!(ended);
        assert_eq!(pack, b"PACKrest");
    }

    #[test]
    fn an_error_behind_the_pack_is_told() {
        let mut answer = FetchResponseParser { acknowledged: true };
        let error = answer.take(Packet::Line(b"\x03out of memory\n".to_vec()));
        assert_eq!(error, Err(ProtocolError::Said("out of memory".into())));
    }
}
