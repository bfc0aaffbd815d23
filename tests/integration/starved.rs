//! Old code answers no call that was sent after its grace, even if the proxy's threads that hear of files are
//! not run: how soon they are run may cost time, never truth.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::harness::{Message, Peer, Project, Proxy, example, initialize_params, marked, require};

/// From a save on, so long may old code still answer a call that arrives.
const GRACE: Duration = Duration::from_millis(100);
const IN_FLIGHT: usize = 16;
const SCRIPT: &str = "server.json";

/// The number of the version that answered.
#[track_caller]
fn version(answer: &Message) -> usize {
    let result = answer.result();
    let mark = result["structuredContent"]["mark"].as_str();
    mark.and_then(|mark| mark.strip_prefix('v')?.parse().ok())
        .unwrap_or_else(|| panic!("an answer of the tool `mark` was expected: {}", answer.line))
}

fn text(version: usize) -> String {
    marked(&format!("v{version}"))
}

/// In front of a server whose source is its script.
fn proxy(project: &Project) -> Proxy {
    let server = [example("fake_server").into_os_string(), SCRIPT.into()];
    let proxy = Proxy::dev(server).options(["--watch", SCRIPT, "--meta-tools", "none"]);
    proxy.within(project)
}

/// Busy loops, which end with the test.
struct Load(Vec<Child>);

impl Load {
    /// On the processor of this number, or on any.
    fn new(loops: usize, processor: Option<usize>) -> Self {
        let start = |_| {
            let mut command = match processor {
                Some(number) => {
                    let mut command = Command::new("taskset");
                    command.args(["-c", &number.to_string(), "sh"]);
                    command
                }
                None => Command::new("sh"),
            };
            command.args(["-c", "while :; do :; done"]).spawn().unwrap()
        };
        Self((0..loops).map(start).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a tool on each of the proxy's threads that hear of files.
fn on_file_threads(peer: &Peer, program: &str, arguments: &[&str]) {
    let mut found = 0;
    for task in fs::read_dir(format!("/proc/{}/task", peer.pid())).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        if ["watcher", "file-events"].contains(&name.trim()) || name.starts_with("notify") {
            found += 1;
            let output = Command::new(program)
                .args(arguments)
                .arg(task.file_name().unwrap())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
    assert!(found > 1, "{found} threads");
}

/// A processor that this test may use.
fn processor() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.unwrap().trim().split([',', '-']).next();
    first.unwrap().parse().unwrap()
}

#[test]
fn a_thread_that_is_hardly_ever_run_lets_no_old_code_answer() {
    require("chrt", "it is part of util-linux");
    require("taskset", "it is part of util-linux");
    let project = Project::new();
    project.write(SCRIPT, &text(0));
    let peer = proxy(&project).spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("mark", &json!({})).result();
    let processor = processor();
    // Lowest of all, on a processor that has something better to do.
    let _load = Load::new(4, Some(processor));
    on_file_threads(&peer, "taskset", &["-p", "-c", &processor.to_string()]);
    on_file_threads(&peer, "chrt", &["-i", "-p", "0"]);
    for save in 1..=12 {
        project.write(SCRIPT, &text(save));
        // The time that old code has left.
        std::thread::sleep(GRACE);
        let answered = version(&peer.call("mark", &json!({})));
        assert!(answered >= save, "v{answered} answered, v{save} was saved");
    }
}

#[test]
fn a_thread_that_reads_the_files_of_one_server_hides_no_save_of_another() {
    let project = Project::new();
    project.write(SCRIPT, &text(0));
    project.write("other.json", &text(0));
    fs::create_dir(project.path("data")).unwrap();
    for number in 0..48 {
        // As large as a file can be that is read.
        let file = File::create(project.path(&format!("data/{number}"))).unwrap();
        file.set_len(1024 * 1024).unwrap();
    }
    let command = json!(example("fake_server"));
    project.write(
        "mcp-proxy.toml",
        &format!(
            "[servers.small]\ncommand = {command}\nargs = ['{SCRIPT}']\nwatch = ['{SCRIPT}']\n\
             [servers.large]\ncommand = {command}\nargs = ['other.json']\nwatch = ['data/*']\n"
        ),
    );
    let proxy = Proxy::configured("dev").options(["--meta-tools", "none"]);
    let peer = proxy.within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    peer.ask("tools/list", &json!({})).result();
    for save in 1..=8 {
        for number in 0..48 {
            let path = project.path(&format!("data/{number}"));
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now()).unwrap();
        }
        // The large save is over then, and being read.
        std::thread::sleep(Duration::from_millis(100));
        project.save(SCRIPT, &text(save));
        std::thread::sleep(GRACE);
        let answered = version(&peer.call("small__mark", &json!({})));
        assert!(answered >= save, "v{answered} answered, v{save} was saved");
        let lists = peer.ask("tools/list", &json!({}));
        assert!(lists.result_text().contains("small__mark"));
    }
}

/// The proxy on pipes that remember nothing, for hundreds of thousands of calls.
struct Pipes {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Pipes {
    fn start(project: &Project) -> Self {
        let mut command = proxy(project).command();
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::null()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn send(&self, id: usize, method: &str, params: &Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.child.stdin.as_ref().unwrap(), "{request}").unwrap();
    }

    /// The next response and its id.
    fn receive(&mut self) -> (usize, Message) {
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "it ended");
            let message = Message::new(line);
            if message.method().is_none() {
                return (message.id().unwrap().parse().unwrap(), message);
            }
        }
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |number| number.parse().unwrap())
}

/// `CALLS` calls, a few in flight at a time, while `SAVES` saves are made, beside six busy loops. Tells how many
/// of them older code answered after a save's grace.
#[test]
#[ignore = "takes many minutes: cargo test --release --test integration starved -- --ignored --nocapture"]
fn no_call_of_hundreds_of_thousands_is_answered_by_old_code() {
    let (calls, saves) = (number("CALLS", 200_000), number("SAVES", 1000));
    let project = Project::new();
    project.write(SCRIPT, &text(0));
    let mut pipes = Pipes::start(&project);
    pipes.send(1, "initialize", &initialize_params());
    pipes.receive().1.result();
    let _load = Load::new(6, None);
    // When each version was on the disk.
    let saved: Mutex<Vec<Instant>> = Mutex::default();
    let made = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let mut stale = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for save in 1..=saves {
                // Spread evenly over the calls, at every distance from them in time.
                while made.load(Ordering::Relaxed) < save * calls / (saves + 1) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_micros(500));
                }
                match save % 3 {
                    0 => project.write(SCRIPT, &text(save)),
                    _ => project.save(SCRIPT, &text(save)),
                }
                saved.lock().unwrap().push(Instant::now());
            }
        });
        let mark = json!({"name": "mark", "arguments": {}});
        let mut unsent = 2..calls + 2;
        let mut sent: HashMap<usize, Instant> = HashMap::new();
        for answered in 1..=calls {
            for call in unsent.by_ref().take(IN_FLIGHT - sent.len()) {
                sent.insert(call, Instant::now());
                pipes.send(call, "tools/call", &mark);
            }
            let (call, answer) = pipes.receive();
            made.store(answered, Ordering::Relaxed);
            let at = sent.remove(&call).unwrap();
            let saved = saved.lock().unwrap();
            let newest = saved.partition_point(|save| *save + GRACE <= at);
            let by = version(&answer);
            if by < newest {
                stale += 1;
                eprintln!("call {call}: v{by} answered, v{newest} was saved");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let saved = saved.into_inner().unwrap().len();
    eprintln!("{calls} calls, {saved} saves, {stale} stale answers");
    assert_eq!((saved, stale), (saves, 0));
}
