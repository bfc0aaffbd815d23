//! Fetches with the `git` program: for ssh and private repositories, because git knows the user's keys, hosts and
//! credential helpers. It never prompts, and contacts only the permitted address.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use git2::Oid;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::git_transport::{FetchExtent, GitTransport};
use super::refs::Refs;
use super::{CloneContext, CloneError};
use crate::lock::locked;
use crate::program_search;
use crate::transport::resolve::without_own;
use crate::transport::run_command;

/// Poll interval for the size of the fetched data.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Maximum number of listed refs.
const MOST_REFS: usize = 1_000_000;

/// Repository at an address that only git supports.
#[derive(Debug)]
pub(super) struct ProgramRepository {
    git: PathBuf,
    url: String,
    job: CloneContext,
}

impl ProgramRepository {
    pub(super) fn new(url: &str, job: &CloneContext) -> Result<Self, CloneError> {
        Ok(Self {
            git: program_search::find_own("git").ok_or(CloneError::NoProgram)?,
            url: url.to_owned(),
            job: job.clone(),
        })
    }

    /// Builds a `git` command that neither prompts nor runs a program that an address could name.
    fn command(&self) -> Command {
        let seconds = self.job.limits.silence.as_secs().max(1);
        // The caller has permitted the scheme of the URL; add it to the standard ones.
        let own = self
            .url
            .split_once("://")
            .map_or("ssh", |(scheme, _)| scheme);
        let mut command = Command::new(&self.git);
        command
            .args(["-c", "http.followRedirects=false"])
            .env("GIT_ALLOW_PROTOCOL", format!("https:ssh:{own}"))
            .args(["-c", "http.lowSpeedLimit=1"])
            .args(["-c", &format!("http.lowSpeedTime={seconds}")])
            .args(["-c", "core.askPass="])
            // Keeps the fetched objects in one pack file, whose size is polled.
            .args(["-c", "fetch.unpackLimit=1"])
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GCM_INTERACTIVE", "never")
            .env("LC_ALL", "C");
        without_own(&mut command);
        // Inherited git variables may point to another repository.
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES",
            "GIT_COMMON_DIR",
            "GIT_NAMESPACE",
        ] {
            command.env_remove(name);
        }
        if std::env::var_os("GIT_SSH_COMMAND").is_none() && !user_has_ssh_command() {
            let alive = "-oServerAliveInterval=10 -oServerAliveCountMax=3";
            let ssh = format!("ssh -oBatchMode=yes -oConnectTimeout={seconds} {alive}");
            command.env("GIT_SSH_COMMAND", ssh);
        }
        command
    }

    /// Runs the command until it exits; `tell` gets each line of output.
    fn run(
        &self,
        command: Command,
        folder: &Path,
        tell: impl FnMut(String) + Send + 'static,
    ) -> Result<(), CloneError> {
        let job = &self.job;
        job.runtime.block_on(async {
            let running = run_command::run(command, &job.reaper, tell);
            let ended = tokio::select! {
                () = job.cancel.cancelled() => return Err(CloneError::Cancelled),
                error = too_large(folder, job) => return Err(error),
                ended = timeout(job.left(), running) => ended,
            };
            let ended = ended.map_err(|_| CloneError::Slow(job.limits.whole))??;
            if ended.status.success() {
                return Ok(());
            }
            let said = ended.tail.last(5).join("; ");
            Err(match said.as_str() {
                "" => CloneError::Program(ended.status.to_string()),
                said => CloneError::Program(said.to_owned()),
            })
        })
    }
}

impl GitTransport for ProgramRepository {
    fn refs(&mut self) -> Result<Refs, CloneError> {
        let mut command = self.command();
        command.args(["ls-remote", "--symref", "--", &self.url]);
        let refs = Arc::new(Mutex::new(Refs {
            any_commit: true,
            shallow: true,
            ..Refs::default()
        }));
        let listed = Arc::clone(&refs);
        let tell = move |line: String| {
            let mut refs = locked(&listed);
            if refs.all.len() < MOST_REFS {
                listed_line(&line, &mut refs);
            }
        };
        self.run(command, Path::new("/nonexistent"), tell)?;
        Ok(std::mem::take(&mut *locked(&refs)))
    }

    fn fetch(
        &mut self,
        folder: &Path,
        wants: &[Oid],
        extent: FetchExtent,
    ) -> Result<(), CloneError> {
        let mut command = self.command();
        let git = folder.join(".git");
        command.arg("--git-dir").arg(&git);
        command.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]);
        if extent == FetchExtent::Alone {
            command.args(["--depth", "1"]);
        }
        command.args(["--", &self.url]);
        match wants {
            [commit] if extent == FetchExtent::Alone => command.arg(commit.to_string()),
            _ => command.args([
                "+refs/heads/*:refs/remotes/origin/*",
                "+refs/tags/*:refs/tags/*",
            ]),
        };
        self.run(command, &git, |_| {})?;
        // The data may have exceeded the limit between two polls.
        let bytes = size(&git.join("objects/pack"));
        self.job.limits.check_download(bytes)
    }
}

/// Parses `ID<tab>NAME` or `ref: NAME<tab>HEAD`; ignores other lines.
fn listed_line(line: &str, refs: &mut Refs) {
    let Some((what, name)) = line.split_once('\t') else {
        return;
    };
    if let Some(target) = what.strip_prefix("ref: ") {
        if name == "HEAD" {
            refs.head = Some(target.to_owned());
        }
    } else if let (40, Ok(id)) = (what.len(), Oid::from_str(what)) {
        refs.all.push((name.to_owned(), id));
    }
}

fn user_has_ssh_command() -> bool {
    let config = git2::Config::open_default().and_then(|it| it.get_string("core.sshCommand"));
    config.is_ok()
}

/// Resolves once the fetched data exceeds the limit.
async fn too_large(folder: &Path, job: &CloneContext) -> CloneError {
    loop {
        sleep(LOOK_AGAIN).await;
        if let Err(error) = job
            .limits
            .check_download(size(&folder.join("objects/pack")))
        {
            return error;
        }
    }
}

/// Returns the total size of the files in a folder, in bytes.
pub(super) fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|it| it.metadata().ok())
        .map(|it| it.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_from_chatter() {
        let mut refs = Refs::default();
        let id = "1".repeat(40);
        for line in [
            "Warning: Permanently added 'host' to the list of known hosts.",
            "ref: refs/heads/main\tHEAD",
            &format!("{id}\tHEAD"),
            &format!("{id}\trefs/heads/main"),
            "Identity\tadded",
        ] {
            listed_line(line, &mut refs);
        }
        assert_eq!(refs.head.as_deref(), Some("refs/heads/main"));
        assert_eq!(refs.all.len(), 2);
    }
}
