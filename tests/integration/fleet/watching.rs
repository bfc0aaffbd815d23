//! What is watched of a server whose definition changes.

use super::Servers;
use super::servers::command;
use crate::harness::{DEADLINE, eventually, marked};

/// The walk through the directory of a changed definition takes longer than the start of the server, during which
/// the file is saved that the process has just read.
#[test]
fn a_save_before_the_files_of_a_changed_definition_are_watched_counts() {
    let fleet = Servers::marked(["a"]).legacy();
    fleet.mark("a");
    for number in 0..2000 {
        let path = format!("other/src/{}/{}", number / 100, number % 100);
        std::fs::create_dir_all(fleet.project.path(&path)).unwrap();
    }
    fleet.project.write("other/b.json", &marked("old"));
    fleet.project.write("new.json", &marked("new"));
    let script = format!(
        "cp b.json read.txt; mv ../new.json b.json; exec {} read.txt",
        command()
    );
    fleet.project.write("start.sh", &script);
    let text =
        "[servers.a]\ncommand = 'sh'\nargs = ['../start.sh']\ncwd = 'other'\nwatch = '**/*.json'\n";
    fleet.project.save("mcp-proxy.toml", text);
    eventually(DEADLINE, || fleet.mark("a").0 == "new");
}
