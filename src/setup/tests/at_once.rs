//! Setups at the same time.

use super::*;
use crate::config::edit::{self, NewServer};

/// Setups of different servers in one file, beside a program that adds servers to it.
#[test]
fn setups_at_once_lose_nothing() {
    const MANY: usize = 12;
    let entry = |n: usize| format!("\"s{n}\": {{\"command\": \"x{n}\"}}");
    let entries: Vec<String> = (0..MANY).map(entry).collect();
    let text = format!("{{\"mcpServers\": {{\n{}\n}}}}", entries.join(",\n"));
    let (user, path) = User::with(PROJECT, &text);
    std::thread::scope(|scope| {
        for n in 0..MANY {
            let (user, path) = (&user, &path);
            scope.spawn(move || {
                let servers = vec![format!("s{n}")];
                let plan = user.plan(&Selection {
                    servers,
                    ..Selection::default()
                });
                user.wrap_all(&plan).unwrap();
            });
            scope.spawn(move || {
                let server = NewServer {
                    command: "new".to_owned(),
                    ..NewServer::default()
                };
                edit::add(path, &format!("new{n}"), &server, None).unwrap();
            });
        }
    });
    let after = read(&path);
    assert_eq!(after.matches("\"dev\", \"--\"").count(), MANY, "{after}");
    assert_eq!(after.matches("\"new\"").count(), MANY, "{after}");
    // All but the additions can be taken out again.
    assert_eq!(user.undo_all(true).len(), MANY);
    for n in 0..MANY {
        edit::remove(&path, &format!("new{n}"), |_| Ok(())).unwrap();
    }
    assert_eq!(read(&path), text);
}
