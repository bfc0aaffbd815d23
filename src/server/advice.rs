//! Advice for servers that find a port or a lock taken that only one process can have, most often because the proxy
//! starts a server beside its predecessor. Recognizes error messages of servers, databases and browsers.

mod outside;

pub(super) use self::outside::of_exit;
use crate::config::{ReloadMode, ServerSpec};
use crate::mcp::Era;

/// Process that has what a server found taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The generation before, beside which the server was started.
    Predecessor,
    /// A process that the proxy does not run for this server.
    Other,
}

impl Holder {
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Predecessor => STOP_FIRST,
            Self::Other => END_OTHER,
        }
    }
}

/// Advice for a server whose port or lock another process has.
const END_OTHER: &str = "another process has the port or lock, perhaps this server in another client, or one left \
    from an earlier run: end that process, and call again";

/// Advice for a server of which only one process can run at a time.
const STOP_FIRST: &str = "two generations cannot run at once: use `--reload stop-first` for a server that owns a port or a lock";

/// Messages about a taken port: a line must contain all parts of one entry, in this order.
#[rustfmt::skip] // A table.
const TAKEN_PORTS: &[&[&str]] = &[
    &["eaddrinuse"], &["address already in use"], &["address is already in use"], &["address in use"],
    &["address is in use"], &["address ", "already in use"], &[" port ", "in use"], &["port is already allocated"],
    &[" port ", " is already taken"], &[" port ", " is taken"], &[" port ", " is occupied"], &[" port ", " being used"],
    &[" port ", " is not available"], &["already running on port"], &["already listening on"],
    &["cannot find empty port"], &["only one usage of each socket address"], &["connection in use: ("],
    &["failed to bind to address"], &["not bind to port"], &["failed to bind to port"], &["unable to bind to port"],
    &["conflicts with an existing registration on the machine"],
];

/// Messages of programs that switch to another port.
#[rustfmt::skip] // A table.
const PORT_FALLBACKS: &[&str] = &[
    "trying ", "using another", "using available", "using port", "using alternative", ", using ", "falling back",
    "switching to", "next available", "alternative port",
];

/// Messages about a taken lock or locked resource, in the form of [`TAKEN_PORTS`].
#[rustfmt::skip] // A table.
const TAKEN_LOCKS: &[&[&str]] = &[
    // SQLite, DuckDB, Kuzu, RocksDB, LevelDB, Badger, bbolt, redb, HDF5, gdbm, Tantivy, Whoosh.
    &["database", "is locked"], &["sqlite_busy"], &["could not set lock on file"], &["conflicting lock"],
    &["lock", "resource temporarily unavailable"], &["resource temporarily unavailable", "flock"],
    &["lock", "already held"], &["lock", "already being held"], &["lock is held by"], &["lock held by"],
    &["lock hold by"], &["level_locked"], &["open", ".db: timeout"], &["open db: timeout"], &["bolt", ": timeout"],
    &["already open", "lock"], &["databasealreadyopen"], &["gdbm", "resource temporarily unavailable"],
    &["lockbusy"], &["index.lockerror"], &["writing.lockerror"], &["index is locked"],
    // Qdrant, Milvus, Derby, H2, Firefox, Chrome, Puppeteer, Playwright, Eclipse, Docker, Telegram.
    &["already accessed by another"], &["opened by another"], &["database", "already in use"],
    &["database", "in use by"], &["database", "being used by"], &["file is locked"],
    &["profile", "in use by another"], &["processsingleton"],
    &["lock: file exists"], &["browser is already in use"], &["browser is already running"],
    &["opening in existing browser session"], &["firefox is already running"], &["directory is already in use"],
    &["workspace", "already in use"], &["workspace in use"], &["container name", "already in use"],
    &["terminated by other getupdates"],
    // The libraries of many languages.
    &["lock", "could not be acquired"], &["could not acquire", " lock"], &["couldn't acquire", " lock"],
    &["cannot acquire", " lock"], &["can't acquire", " lock"], &["unable to acquire", " lock"],
    &["failed to acquire", " lock"], &["lock", "already acquired"], &["could not get lock"],
    &["unable to get", " lock"], &["failed to get lock"], &["could not obtain", " lock"], &["unable to obtain", " lock"],
    &["failed to obtain", " lock"], &["could not take", " lock"], &["failed to take", " lock"], &["failed to lock"],
    &["cannot lock"], &["could not lock"], &["couldn't lock"], &["unable to lock"], &["lockobtainfailed"],
    &["overlappingfilelock"], &["elocked"], &["alreadylocked"], &["already locked"], &["locked by another"],
    &["locked by process"], &["process has locked"], &["lock acquisition failed"], &["try_lock failed"],
    &["kind: would_"], &["value: \"would_\""],
    // Lock files.
    &["lock file", "already exists"], &["lockfile", "already exists"], &["lock file exists"], &["lockfile exists"],
    &["eexist", ".lock'"], &["eexist", ".pid'"], &["file exists: ", ".lock'"], &["file exists: ", ".pid'"],
    &["pid file", "already exists"], &["pidfile", "already exists"], &["pid file exists"], &["pidfile exists"],
    // Single-instance programs, files and devices.
    &["another instance", "running"], &["another instance", "already"], &["another instance", "using"],
    &["another copy", "running"], &["another process", "using"], &["used by another process"],
    &["in use by another process"], &["instance is already running"], &["instance already running"],
    &["already an instance"], &["one instance", "running"], &["one instance", "allowed"], &["only one instance"],
    &["single instance", "allowed"], &["singleinstanceexception"], &["process", " is already running"],
    &["process already running"], &["program already running"], &["application is already running"],
    &["app is already running"], &["server is already running"], &["server already running"],
    &["another server running"], &["daemon is already running"], &["already running", "pid"], &["resource busy"],
    &["libusb_error_busy"], &["could not open port", "access is denied"], &["opening com", "access denied"],
];

/// Messages about resources that a server does not own for as long as it runs, and about other faults.
#[rustfmt::skip] // A table.
const UNRELATED: &[&str] = &[
    "deadlock", "email", "event loop", "another git process", ".git/index.lock", "lock ref", "lock config file", "dpkg",
    "package cache", "state lock", "on row", "on relation", "locknotavailable", "not in use", "permission denied",
    "cannot assign requested", "import name", "module named",
];

/// Calls that take a lock. The last line of a traceback names only the error; a line above it names the failed call.
const LOCK_CALLS: &[&str] = &["flock(", "lockf(", "lock_ex", "f_setlk"];

/// System errors for a taken lock, and for many other failures.
const LOCK_REFUSALS: &[&str] = &[
    "resource temporarily unavailable",
    "blockingioerror",
    "wouldblock",
];

/// Returns the process that was in the way of a server, which wrote `stderr` and exited; `None` if the server failed for
/// another reason. `predecessor` is true if an old process was running.
pub(super) fn holder(stderr: &[String], predecessor: bool, spec: &ServerSpec) -> Option<Holder> {
    let is_taken = |line: &str| reports_taken_port(line) || matches_any(line, TAKEN_LOCKS);
    let is_conflict = said(stderr).any(is_taken)
        || is_locked_out(stderr)
        // `flock -n` prints nothing when it gives up.
        || (stderr.is_empty() && runs_flock(spec));
    let is_beside = predecessor && spec.reload == ReloadMode::Overlap;
    is_conflict.then_some(if is_beside {
        Holder::Predecessor
    } else {
        Holder::Other
    })
}

/// Returns the advice for a start that timed out; `predecessor` is true if an old process was running.
pub(super) fn timeout_advice(predecessor: bool, spec: &ServerSpec) -> String {
    let mut advice = "if the server needs longer, raise `--start-timeout` (`start_timeout` in the configuration); the \
        next call restarts it with twice the timeout"
        .to_owned();
    if predecessor && spec.reload == ReloadMode::Overlap {
        advice.push_str(
            ". If the server waits for a port or a lock of its old process, use `--reload stop-first`",
        );
    }
    advice
}

/// Returns the advice for a server that did not complete the handshake of the era that the user set for it.
pub(super) fn forced_era(era: Era) -> String {
    let era = era.name();
    format!(
        "`era = \"{era}\"` or `--era {era}` is set: use `auto` if the server does not speak the {era} era"
    )
}

/// Returns the line of `stderr` in which a running server reports a taken port, most likely its debugger's.
pub(super) fn missed_port(stderr: &[String]) -> Option<&str> {
    said(stderr)
        .find(|line| reports_taken_port(line))
        .map(str::trim)
}

/// Returns the lines without the code that tracebacks of Python and error reports of Node.js quote.
fn said(lines: &[String]) -> impl Iterator<Item = &str> {
    let is_place = |line: &String| line.contains("File \"") && line.contains("\", line ");
    let is_pointer =
        |line: &String| line.contains('^') && line.chars().all(|it| " ^~\t".contains(it));
    let is_quoted = move |at: usize| {
        let before = at.checked_sub(1).map(|before| &lines[before]);
        before.is_some_and(is_place) || lines.get(at + 1).is_some_and(is_pointer)
    };
    let lines = lines.iter().enumerate();
    lines
        .filter(move |(at, _)| !is_quoted(*at))
        .map(|(_, line)| line.as_str())
}

fn reports_taken_port(line: &str) -> bool {
    matches_any(line, TAKEN_PORTS)
        && !PORT_FALLBACKS
            .iter()
            .any(|sign| line.to_lowercase().contains(sign))
}

fn matches_any(line: &str, signs: &[&[&str]]) -> bool {
    // "block" contains "lock".
    let line = format!(" {} ", line.to_lowercase().replace("block", "_"));
    let has_all = |sign: &&[&str]| {
        let mut rest = line.as_str();
        sign.iter().all(|part| {
            let found = rest.split_once(part);
            found.is_some_and(|(_, behind)| {
                rest = behind;
                true
            })
        })
    };
    !UNRELATED.iter().any(|other| line.contains(other)) && signs.iter().any(has_all)
}

/// Returns true if a traceback shows that the system refused a lock.
fn is_locked_out(stderr: &[String]) -> bool {
    let has = |line: &String, signs: &[&str]| {
        let line = line.to_lowercase();
        signs.iter().any(|sign| line.contains(sign))
    };
    let call = stderr.iter().position(|line| has(line, LOCK_CALLS));
    call.is_some_and(|call| stderr[call..].iter().any(|line| has(line, LOCK_REFUSALS)))
}

/// Returns true if `flock` starts the server, directly or in a shell.
fn runs_flock(spec: &ServerSpec) -> bool {
    let words = std::iter::once(&spec.program).chain(&spec.args);
    words
        .map(|word| word.to_string_lossy())
        .any(|word| word.split_whitespace().any(|it| it.ends_with("flock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(command: &[&str]) -> ServerSpec {
        let args = command[1..].iter().map(Into::into).collect();
        ServerSpec::new("s".into(), command[0].into(), args, "/".into())
    }

    fn holder_of(text: &str) -> Option<Holder> {
        let stderr: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        holder(&stderr, true, &spec(&["server"]))
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn messages_about_a_resource_of_the_predecessor_are_recognised() {
        for text in [
            "Error: listen EADDRINUSE: address already in use :::3000",
            "OSError: [Errno 98] Address already in use",
            "listen tcp 127.0.0.1:8080: bind: address already in use",
            "java.net.BindException: Address already in use",
            "Error: Os { code: 98, kind: AddrInUse, message: \"Address in use\" }",
            "OSError: [WinError 10048] Only one usage of each socket address (protocol/network address/port) is normally permitted",
            "Error: That port is already in use.",
            "Port 5000 is in use by another program. Either identify and stop that program, or start the server with a different port.",
            "Bind for 0.0.0.0:6333 failed: port is already allocated",
            "RuntimeError: Can't listen for client connections: [Errno 98] Address already in use",
            "sqlite3.OperationalError: database is locked",
            "_duckdb.IOException: IO Error: Could not set lock on file \"/p/a.duckdb\": Conflicting lock is held in /usr/bin/python3.11 (PID 7).",
            "RuntimeError: Storage folder /p/q is already accessed by another instance of Qdrant client. If you require concurrent access, use Qdrant server instead.",
            "IO error: While lock file: /p/db/LOCK: Resource temporarily unavailable",
            "IO error: lock /p/db/LOCK: already held by process",
            "Error: Database already open. Cannot acquire lock.",
            "Cannot acquire directory lock on \"/p\".  Another process is using this Badger database.",
            "filelock._error.Timeout: The file lock '/p/a.lock' could not be acquired.",
            "portalocker.exceptions.AlreadyLocked: [Errno 11] Resource temporarily unavailable",
            "Error: Lock file is already being held",
            "The profile appears to be in use by another Google Chrome process (4242) on another computer (host).",
            "Error: Browser is already in use for /home/me/.cache/mcp-chrome, use --isolated to run multiple instances",
            "The browser is already running for /tmp/p. Use a different `userDataDir` or stop the running browser first.",
            "fatal: another instance is running",
            "Another instance of this server is already active",
            "my-server is already running (pid 4242)",
            "Error: EAGAIN: resource temporarily unavailable, flock",
            "Traceback (most recent call last):\n    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\nBlockingIOError: [Errno 11] Resource temporarily unavailable",
            "[ERROR] Connection in use: ('127.0.0.1', 8000)",
            "RuntimeError: Failed to bind to address [::]:50051; set GRPC_VERBOSITY=debug environment variable to see detailed error message.",
            "Failed to listen on prefix 'http://localhost:8080/' because it conflicts with an existing registration on the machine.",
            "Port 8501 is not available",
            "Error: Port 3000 is already taken",
            "pydevd: Could not bind to port: 5678",
            "docker: Error response from daemon: Conflict. The container name \"/qdrant\" is already in use by container \"a\".",
            "ValueError: Failed to acquire Lockfile: LockBusy.",
            "whoosh.index.LockError",
            "[ERROR:process_singleton_posix.cc(353)] Failed to create /p/SingletonLock: File exists (17)",
            "SessionNotCreatedException: Message: session not created: probably user data directory is already in use, please specify a unique value",
            "FileExistsError: [Errno 17] File exists: '/p/server.lock'",
            "Error: EEXIST: file already exists, open '/p/server.pid'",
            "telegram.error.Conflict: Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            "_gdbm.error: [Errno 11] Resource temporarily unavailable: 'x.db'",
            "called `Result::unwrap()` on an `Err` value: Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }",
            "could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)",
            "The process cannot access the file because another process has locked a portion of the file. (os error 33)",
            "usb.core.USBError: [Errno 16] Resource busy",
            "Only one instance of this app can run at a time",
            "serial.serialutil.SerialException: [Errno 16] could not open port /dev/ttyUSB0: [Errno 16] Device or resource busy",
        ] {
            assert_eq!(holder_of(text), Some(Holder::Predecessor), "{text}");
        }
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn other_failures_are_not_taken_for_it() {
        for text in [
            "ModuleNotFoundError: No module named 'portalocker'",
            "RuntimeError: This event loop is already running",
            "RuntimeError: Already running asyncio in this thread",
            "ValueError: Tool name forecast is already in use",
            "Error: this email address is already in use",
            "error: the lock file Cargo.lock needs to be updated but --locked was passed",
            "npm error `package-lock.json` and `package.json` are not in sync",
            "BlockingIOError: [Errno 11] write could not complete without blocking",
            "Error: EAGAIN: resource temporarily unavailable, read",
            "sh: fork: retry: Resource temporarily unavailable",
            "SyntaxError: Identifier 'lock' has already been declared",
            "fatal: Unable to create '/p/.git/index.lock': File exists. Another git process seems to be running in this repository",
            "deadlock detected; failed to acquire the lock",
            "The port 8888 is already in use, trying another port.\nKeyError: 'TOKEN'",
            "ImportError: cannot import name 'port' from 'in use'",
            "ImportError: cannot import name 'AlreadyLocked' from 'portalocker'",
            "LockNotAvailable: could not obtain lock on row in relation \"x\"",
            "bind() to 0.0.0.0:80 failed: Failed to bind to address 0.0.0.0:80: Permission denied",
            "Error: Port 3000 is not in use",
            "  File \"/p/a.py\", line 3, in <module>\n    log(\"Server is already running on port %d\" % prt)\nNameError: name 'prt' is not defined",
            "/p/a.js:3\nthrow new Error(\"database is locked\"\n                ^^^^^^^\nSyntaxError: missing ) after argument list",
        ] {
            assert_eq!(holder_of(text), None, "{text}");
        }
    }

    #[test]
    fn without_a_process_beside_it_another_one_is_in_the_way() {
        let mut spec = spec(&["server"]);
        let locked = ["database is locked".to_owned()];
        assert_eq!(holder(&locked, false, &spec), Some(Holder::Other));
        spec.reload = ReloadMode::StopFirst;
        assert_eq!(holder(&locked, true, &spec), Some(Holder::Other));
        assert_eq!(holder(&["KeyError: 1".to_owned()], false, &spec), None);
    }

    #[test]
    fn flock_is_silent() {
        let flock = ["flock", "-n", "lock", "server"];
        assert!(holder(&[], true, &spec(&flock)).is_some());
        let shell = ["sh", "-c", "exec /usr/bin/flock -n lock server"];
        assert!(holder(&[], true, &spec(&shell)).is_some());
        let other = ["KeyError: 1".to_owned()];
        assert_eq!(holder(&other, true, &spec(&flock)), None);
        assert_eq!(holder(&[], true, &spec(&["python", "-m", "flocks"])), None);
    }

    #[test]
    fn the_line_of_a_debugger_is_found() {
        let line = "Starting inspector on 127.0.0.1:9229 failed: address already in use";
        let stderr = ["hello".to_owned(), line.to_owned()];
        assert_eq!(missed_port(&stderr), Some(line));
        let helped = "Port 5173 is in use, trying another one...".to_owned();
        assert_eq!(
            missed_port(&[helped, "database is locked".to_owned()]),
            None
        );
    }
}
