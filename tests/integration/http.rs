//! Clients that come in by HTTP: sessions of the legacy era, requests of the modern one, both at once, and
//! attackers.

mod accepting;
#[cfg(unix)]
mod attacks;
#[cfg(unix)]
mod clients;
#[cfg(unix)]
mod conformance;
#[cfg(unix)]
mod endings;
mod fleets;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod local;
mod modern;
mod parked;
#[cfg(unix)]
mod sessions;

use serde_json::{Value, json};

use crate::harness::http::Site;
use crate::harness::{Project, Proxy, example};

/// The fake server behind an address; its script is its source.
struct Stage {
    site: Site,
    project: Project,
}

impl Stage {
    /// Behind a proxy that watches the script.
    #[track_caller]
    fn new(script: &Value, options: &[&str]) -> Self {
        Self::within(script, &[options, &["--watch", "script.json"]].concat())
    }

    #[track_caller]
    fn within(script: &Value, options: &[&str]) -> Self {
        let project = Project::new();
        project.write("script.json", &script.to_string());
        let proxy = Proxy::dev([example("fake_server"), "script.json".into()])
            .options(["--meta-tools", "none"])
            .options(options.iter().copied())
            .within(&project);
        let site = Site::start(proxy);
        Self { site, project }
    }

    fn plain() -> Self {
        Self::new(&json!({}), &[])
    }

    /// Saves a script that says `mark`.
    fn save(&self, mark: &str) {
        let script = json!({ "mark": mark });
        self.project.save("script.json", &script.to_string());
    }
}
