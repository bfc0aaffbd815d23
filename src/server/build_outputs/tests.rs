use super::*;

/// Returns a time after all edits, at which a server asks for a build.
fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

/// A build and a clock.
struct Site {
    outputs: BuildOutputs,
    now: SystemTime,
}

impl Site {
    fn new() -> Self {
        Self {
            outputs: BuildOutputs::default(),
            now: SystemTime::UNIX_EPOCH,
        }
    }

    fn wait(&mut self) {
        self.now += Duration::from_secs(1);
    }

    fn begin(&mut self) {
        self.wait();
        self.outputs.record_start(self.now);
    }

    fn end(&mut self, is_complete: bool) {
        self.wait();
        self.outputs.record_end(self.now, is_complete);
    }

    fn change(&mut self, file: &str) -> ChangeAuthor {
        self.wait();
        self.outputs
            .author_of(vec![changed(file, self.now)], later())
    }

    /// Runs the build as long as its changes require it. Returns the number of runs, at most 20, including
    /// cancelled ones.
    fn runs(&mut self, changes: impl Fn(usize) -> Vec<String>) -> usize {
        for run in 0..20 {
            self.begin();
            let mut last = ChangeAuthor::Build;
            for file in changes(run) {
                last = last.max(self.change(&file));
                if last == ChangeAuthor::User {
                    break;
                }
            }
            self.end(last != ChangeAuthor::User);
            if last == ChangeAuthor::Build {
                return run + 1;
            }
        }
        20
    }
}

fn changed(file: &str, time: SystemTime) -> FileChange {
    FileChange {
        path: file.into(),
        time: Some(time),
        is_empty: false,
        looked: time,
    }
}

fn files(files: &[&str]) -> Vec<String> {
    files.iter().map(ToString::to_string).collect()
}

#[test]
fn a_stamp_is_learned_once() {
    let mut site = Site::new();
    let stamp = |_| files(&["version.py"]);
    assert_eq!(site.runs(stamp), 4);
    assert_eq!(site.change("main.py"), ChangeAuthor::User);
    assert_eq!(site.runs(stamp), 1);
    assert_eq!(site.runs(|_| vec![]), 1);
    assert_eq!(site.runs(stamp), 1);
}

/// A shell first empties a file and then starts the command that writes it. On a busy machine the author is asked for
/// after the end of the run.
#[test]
fn a_stamp_that_is_seen_half_written_counts_once() {
    for is_asked_late in [false, true] {
        let mut site = Site::new();
        site.runs(|_| files(&["stamp"]));
        site.begin();
        site.wait();
        let emptied = FileChange {
            is_empty: true,
            ..changed("stamp", site.now)
        };
        site.wait();
        let filled = changed("stamp", site.now);
        if is_asked_late {
            site.end(true);
        }
        for change in [emptied, filled] {
            let author = site.outputs.author_of(vec![change], later());
            assert_eq!(author, ChangeAuthor::Build, "{is_asked_late}");
        }
        if !is_asked_late {
            assert_ne!(site.change("stamp"), ChangeAuthor::Build);
        }
    }
}

#[test]
fn a_change_in_a_cancelled_run_counts_once() {
    let mut site = Site::new();
    for count in 1..=3 {
        site.begin();
        site.wait();
        let first = changed("stamp", site.now);
        site.end(false);
        site.begin();
        assert_ne!(
            site.outputs.author_of(vec![first], later()),
            ChangeAuthor::Build
        );
        let author = site.change("stamp");
        assert_eq!(author == ChangeAuthor::Build, count == 3, "{count}");
        site.end(true);
    }
}

/// Another server's builds run while the author is asked for.
#[test]
fn a_known_output_is_known_after_many_runs() {
    let mut site = Site::new();
    site.runs(|_| files(&["stamp"]));
    site.begin();
    site.wait();
    let first = changed("stamp", site.now);
    site.end(true);
    for _ in 0..=REMEMBERED_RUNS {
        site.begin();
        assert_eq!(site.change("stamp"), ChangeAuthor::Build);
        site.end(true);
    }
    assert_eq!(
        site.outputs.author_of(vec![first], later()),
        ChangeAuthor::Build
    );
    assert!(site.outputs.edited.is_empty());
}

#[test]
fn a_save_of_a_stamped_file_is_built_for_each_server() {
    let mut site = Site::new();
    let edit = changed("main.py", site.now);
    assert_eq!(
        site.outputs.author_of(vec![edit], later()),
        ChangeAuthor::User
    );
    site.runs(|_| files(&["main.py"]));
    site.wait();
    let asked = site.now;
    site.wait();
    let edit = changed("main.py", site.now);
    assert_eq!(
        site.outputs.author_of(vec![edit], asked),
        ChangeAuthor::User
    );
    site.begin();
    site.wait();
    let stamp = || changed("main.py", site.now);
    let stamps = [stamp(), stamp()];
    let authors = stamps.map(|it| site.outputs.author_of(vec![it], asked));
    assert_eq!(authors, [ChangeAuthor::User; 2]);
    let stamp = changed("main.py", site.now);
    assert_eq!(
        site.outputs.author_of(vec![stamp], later()),
        ChangeAuthor::Build
    );
}

#[test]
fn an_output_that_an_older_copy_replaces_is_the_users() {
    let mut site = Site::new();
    site.runs(|_| files(&["stamp"]));
    site.wait();
    let copy = FileChange {
        looked: site.now,
        ..changed("stamp", SystemTime::UNIX_EPOCH)
    };
    assert_eq!(
        site.outputs.author_of(vec![copy], later()),
        ChangeAuthor::User
    );
}

#[test]
fn several_files_one_after_another_are_learned_together() {
    let mut site = Site::new();
    let stamps = |_| files(&["a", "b", "c", "b"]);
    assert!(site.runs(stamps) <= 5);
    assert_eq!(site.runs(stamps), 1);
}

#[test]
fn a_file_that_changes_only_in_the_first_run_is_formatted() {
    let mut site = Site::new();
    site.change("main.py");
    let format = |run| {
        if run == 0 {
            files(&["main.py"])
        } else {
            vec![]
        }
    };
    assert_eq!(site.runs(format), 2);
    site.change("main.py");
    assert_eq!(site.runs(format), 2);
}

#[test]
fn saves_of_an_edited_file_cancel_the_run() {
    let mut site = Site::new();
    site.change("main.py");
    for _ in 0..3 {
        site.begin();
        assert_eq!(site.change("main.py"), ChangeAuthor::User);
        site.end(false);
    }
    site.begin();
    assert_eq!(site.change("main.py"), ChangeAuthor::Unclear);
    site.end(true);
    site.begin();
    site.end(true);
    site.begin();
    assert_eq!(site.change("main.py"), ChangeAuthor::User);
}

#[test]
fn a_stamp_in_the_edited_file_is_learned() {
    let mut site = Site::new();
    site.change("main.py");
    let stamp = |_| files(&["main.py"]);
    assert!(site.runs(stamp) < 20);
    site.change("main.py");
    assert_eq!(site.runs(stamp), 1);
}

#[test]
fn a_save_of_what_the_build_writes_is_one_change_too_many() {
    let mut site = Site::new();
    let stamp = |_| files(&["main.py"]);
    site.runs(stamp);
    site.begin();
    assert_eq!(site.change("main.py"), ChangeAuthor::Build);
    assert_ne!(site.change("main.py"), ChangeAuthor::Build);
}

#[test]
fn irregular_saves_during_each_run_are_never_the_build_s() {
    for edited_before in [true, false] {
        let mut site = Site::new();
        if edited_before {
            site.change("main.py");
        }
        let saves = |run| vec!["main.py".to_owned(); [1, 3, 2][run % 3]];
        assert_eq!(site.runs(saves), 20);
    }
}

#[test]
fn another_file_each_time_is_told() {
    let mut site = Site::new();
    assert_eq!(site.runs(|run| vec![format!("gen{run}.py")]), 20);
    assert_eq!(site.outputs.looping_file(), Some(Path::new("gen19.py")));
}

#[test]
fn the_time_of_a_file_tells_in_which_run_it_changed() {
    let mut site = Site::new();
    site.begin();
    let within = site.now;
    site.end(true);
    let between = site.now + Duration::from_millis(500);
    site.begin();
    site.outputs.author_of(vec![changed("a", within)], later());
    assert!(site.outputs.edited.is_empty());
    site.outputs.author_of(vec![changed("a", between)], later());
    assert!(!site.outputs.edited.is_empty());
}

#[test]
fn a_change_that_another_server_looked_at_earlier_counts_once() {
    let mut site = Site::new();
    assert_eq!(site.runs(|_| files(&["stamp"])), 4);
    site.begin();
    site.wait();
    let first = site.now;
    site.end(true);
    site.begin();
    assert_eq!(site.change("stamp"), ChangeAuthor::Build);
    let looked_earlier = vec![changed("stamp", first)];
    assert_eq!(
        site.outputs.author_of(looked_earlier, later()),
        ChangeAuthor::Build
    );
}

#[test]
fn a_change_that_several_servers_are_told_of_counts_once() {
    let mut site = Site::new();
    for origin in [
        ChangeAuthor::User,
        ChangeAuthor::Unclear,
        ChangeAuthor::Unclear,
        ChangeAuthor::Build,
    ] {
        site.begin();
        assert_eq!(site.change("stamp"), origin);
        let again = vec![changed("stamp", site.now)];
        assert_eq!(site.outputs.author_of(again, later()), origin);
        site.end(origin != ChangeAuthor::User);
    }
}
