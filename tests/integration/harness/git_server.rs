//! Serves git repositories over https, correctly or with faults. Real git answers, through `git http-backend`; the
//! first part of the URL's path selects the behaviour: `/git/REPO` is correct, `/silent/…` never answers, and so on.
//! The unit tests of the installer use this module too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// Git server on a free port of localhost; runs until the process ends.
#[derive(Debug)]
pub(crate) struct GitServer {
    folder: TempDir,
    port: u16,
    authority: String,
}

impl GitServer {
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("mcp-proxy-git-").unwrap();
        let (config, authority) = tls();
        std::fs::write(folder.path().join("ca.pem"), &authority).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = folder.path().to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, root) = (Arc::clone(&config), root.clone());
                thread::spawn(move || serve(stream, config, &root, port));
            }
        });
        Self {
            folder,
            port,
            authority,
        }
    }

    /// Returns the URL of a path: `https://localhost:PORT/PATH`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.port)
    }

    /// Returns the certificate (PEM) that clients must trust.
    #[allow(
        dead_code,
        reason = "the unit tests take it from here, the others from the file"
    )]
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the file with that certificate, for `SSL_CERT_FILE`.
    #[allow(dead_code, reason = "as above")]
    pub(crate) fn authority_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Creates a repository with its first commit.
    pub(crate) fn repository(&self, name: &str, files: &[(&str, &str)]) -> Repository {
        let repository = Repository {
            folder: self.folder.path().join(name),
        };
        std::fs::create_dir_all(&repository.folder).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit(files);
        repository
    }
}

/// Folder with a repository.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) folder: PathBuf,
}

impl Repository {
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let git = Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example",
                "-c",
                "tag.gpgSign=false",
            ])
            .args(["-c", "commit.gpgSign=false"])
            .args(args)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(git.status.success(), "git {args:?}: {git:?}");
        String::from_utf8_lossy(&git.stdout).trim().to_owned()
    }

    /// Writes files and commits the whole folder; returns the hash of the commit.
    #[track_caller]
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=change"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Returns the TLS configuration of a server named `localhost`, and the certificate (PEM) of the authority that signed
/// its certificate.
pub(super) fn tls() -> (Arc<ServerConfig>, String) {
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    (tls_with(&own, &own_key), certificate.pem())
}

/// Returns the TLS configuration of a server that presents `certificate`.
pub(super) fn tls_with(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
) -> Arc<ServerConfig> {
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    Arc::new(config)
}

struct Request {
    method: String,
    path: String,
    query: String,
    content: String,
    authorization: String,
    body: Vec<u8>,
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, root: &Path, port: u16) {
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let Some(request) = read(&mut stream) else {
        return;
    };
    let answer = answer(&request, root, port);
    let _ = stream
        .get_mut()
        .write_all(answer.as_deref().unwrap_or_default());
    if answer.is_none() || request.path.starts_with("/stalled/") && request.method == "POST" {
        // Waits until the client disconnects.
        let _ = stream.read(&mut [0]);
    }
    stream.get_mut().conn.send_close_notify();
    let _ = stream.get_mut().flush();
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let method = words.next()?.to_owned();
    let (path, query) = {
        let target = words.next()?;
        target.split_once('?').unwrap_or((target, ""))
    };
    let (path, query) = (path.to_owned(), query.to_owned());
    let (mut length, mut content, mut authorization) = (0, String::new(), String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => value.clone_into(&mut content),
            "authorization" => value.clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        query,
        content,
        authorization,
        body,
    })
}

fn answer(request: &Request, root: &Path, port: u16) -> Option<Vec<u8>> {
    let (_, rest) = request.path.split_once('/')?;
    let (how, repository) = rest.split_once('/')?;
    let is_pack = request.method == "POST";
    let status =
        |line: &str| Some(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n").into_bytes());
    match how {
        "silent" => None,
        "silent-pack" if is_pack => None,
        "cut" | "stalled" if is_pack => {
            let whole = backend(request, root, repository);
            Some(whole[..whole.len() / 2].to_vec())
        }
        "damaged" if is_pack => {
            let mut whole = backend(request, root, repository);
            let pack = whole.windows(4).position(|it| it == b"PACK").unwrap();
            whole[pack + 20] ^= 0x55;
            Some(whole)
        }
        "packed" if is_pack => {
            let repository = repository.split_once('/').map_or(repository, |(name, _)| name);
            Some(packed(&std::fs::read(root.join(repository).join("made.pack")).ok()?))
        }
        "garbage" => Some(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\nhello".to_vec()),
        "page" => Some(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>".to_vec()),
        "missing" => status("404 Not Found"),
        "broken" => status("500 Internal Server Error"),
        "moved" => status(&format!("301 Moved\r\nLocation: /git/{repository}?{}", request.query)),
        "away" => status(&format!(
            "302 Found\r\nLocation: https://127.0.0.1:{port}/git/{repository}?{}",
            request.query
        )),
        "moved-private" => status(&format!("301 Moved\r\nLocation: /private/{repository}?{}", request.query)),
        "private-away" if !request.authorization.is_empty() => status(&format!(
            "302 Found\r\nLocation: https://127.0.0.1:{port}/git/{repository}?{}",
            request.query
        )),
        "private" if request.authorization == "Basic bWU6c2VjcmV0" => {
            Some(backend(request, root, repository))
        }
        "private" | "private-away" => status("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\""),
        _ => Some(backend(request, root, repository)),
    }
}

/// Wraps a pack, which git itself would not create, in a response as git sends it.
fn packed(pack: &[u8]) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-result\r\n\r\n0008NAK\n";
    let mut answer = head.as_bytes().to_vec();
    for piece in pack.chunks(60_000) {
        answer.extend_from_slice(format!("{:04x}\x01", piece.len() + 5).as_bytes());
        answer.extend_from_slice(piece);
    }
    answer.extend_from_slice(b"0000");
    answer
}

/// Returns the response of `git http-backend`.
fn backend(request: &Request, root: &Path, path: &str) -> Vec<u8> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", &request.content)
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // git complains on stderr when a client disconnects.
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writer = thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap().stdout;
    let _ = writer.join();
    let end = output
        .windows(4)
        .position(|it| it == b"\r\n\r\n")
        .unwrap_or(0);
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|it| it.strip_prefix("Status: "));
    let mut answer = format!("HTTP/1.1 {}\r\n", status.unwrap_or("200 OK")).into_bytes();
    answer.extend_from_slice(&output);
    answer
}
