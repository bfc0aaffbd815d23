//! Clients on the official SDKs, rmcp and the Inspector, which come by HTTP: they list, call, and see an edit
//! without reconnecting.

use std::process::{Command, Output};

use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::http::Site;
use crate::harness::suite::inspector;
use crate::harness::{ClientOn, DEADLINE, Project, ServerOn};
use crate::real_clients::{
    BEFORE, Rmcp, clients_see_an_edit, legacy_sees_an_edit, modern, modern_sees_an_edit,
    sees_an_edit, watching,
};

#[track_caller]
fn over_http(client: ClientOn, era: &str, server: ServerOn) {
    let project = Project::new();
    let site = Site::start(watching(server, &project));
    let target = [site.url.clone().into()];
    sees_an_edit(client, era, target, &project, server);
}

clients_see_an_edit!(over_http);

async fn rmcp_connects(
    site: &Site,
    mode: ClientLifecycleMode,
) -> rmcp::service::RunningService<rmcp::RoleClient, Rmcp> {
    // Two providers of TLS may be compiled in, so one has to be chosen, though nothing here uses it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let transport = StreamableHttpClientTransport::from_uri(site.url.as_str());
    let connected = Rmcp::default().serve_with_lifecycle(transport, mode);
    timeout(DEADLINE, connected).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_legacy() {
    let project = Project::new();
    let site = Site::start(watching(ServerOn::DiscoverExits, &project));
    let client = rmcp_connects(&site, ClientLifecycleMode::Initialize).await;
    legacy_sees_an_edit(client, &project).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_modern() {
    let project = Project::new();
    let site = Site::start(watching(ServerOn::DiscoverExits, &project));
    let client = rmcp_connects(&site, modern()).await;
    modern_sees_an_edit(client, &project).await;
}

#[test]
fn the_inspector_lists_and_calls() {
    let project = Project::new();
    let site = Site::start(watching(ServerOn::FastMcp, &project));
    let inspect = |words: &[&str]| {
        let [node, main] = inspector();
        let output: Output = Command::new(node)
            .arg(main)
            .args(["--cli", &site.url, "--transport", "http"])
            .args(["--connect-timeout", "120000"])
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let listed = inspect(&["--method", "tools/list"]);
    assert_eq!(listed["tools"][0]["description"], BEFORE);
    let call = ["--method", "tools/call", "--tool-name", "echo"];
    let called = inspect(&[&call[..], &["--tool-arg", "text=hi"]].concat());
    assert_eq!(called["content"][0]["text"], "echo: hi");
}
