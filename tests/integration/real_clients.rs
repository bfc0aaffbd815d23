//! Clients on the official SDKs, through the proxy: they list, call, and see an edit without reconnecting.

use std::ffi::OsString;
use std::sync::Arc;

use rmcp::model::{CallToolRequestParams, ProtocolVersion, SubscriptionFilter};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{ClientOn, DEADLINE, Peer, Project, Proxy, ServerOn};

const BEFORE: &str = "Echoes the text.";
const AFTER: &str = "Repeats the text.";

fn watching(on: ServerOn, project: &Project) -> Vec<OsString> {
    let source = on.source().expect("an edit needs a source");
    Proxy::dev(on.command(project))
        .within(project)
        .options(["--watch", source, "--startup-wait", "20s"])
        .words()
}

fn sees_an_edit(client: ClientOn, era: &str, server: ServerOn) {
    let project = Project::new();
    let mut command = client.command();
    command.push(era.into());
    command.extend(watching(server, &project));
    let mut command = command.into_iter();
    let mut process = std::process::Command::new(command.next().expect("a client has a program"));
    process.args(command).current_dir(project.root());
    let peer = Peer::spawn_command(process);

    let listed = peer.expect_notification("listed").params();
    assert_eq!(listed["tools"]["echo"], BEFORE, "{}", peer.transcript());
    let called = peer.expect_notification("called").params();
    assert_eq!(called["text"], "echo: hello");
    peer.expect_notification("waiting");
    project.edit(
        server.source().expect("an edit needs a source"),
        BEFORE,
        AFTER,
    );
    let relisted = peer.expect_notification("relisted").params();
    assert_eq!(relisted["tools"]["echo"], AFTER, "{}", peer.transcript());
    assert!(peer.wait_exit().success(), "{}", peer.transcript());
}

macro_rules! clients_see_an_edit {
    ($($name:ident: $client:ident $era:literal $server:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            sees_an_edit(ClientOn::$client, $era, ServerOn::$server);
        })*
    };
}

clients_see_an_edit! {
    python_mcp_legacy: PythonMcp "legacy" TypeScriptV1,
    python_mcp_auto: PythonMcp "auto" PythonMcp,
    fastmcp_legacy: FastMcp "legacy" DiscoverExits,
    fastmcp_auto: FastMcp "auto" TypeScriptV2,
    typescript_v1: TypeScriptV1 "legacy" PythonMcp,
    typescript_v2_legacy: TypeScriptV2 "legacy" FastMcp,
    typescript_v2_auto: TypeScriptV2 "auto" TypeScriptV2,
    typescript_v2_auto_with_a_legacy_server: TypeScriptV2 "auto" TypeScriptV1,
    python_mcp_auto_with_a_server_that_exits_on_a_probe: PythonMcp "auto" DiscoverExits,
}

/// An rmcp client that tells when the tools have changed.
#[derive(Clone, Default)]
struct Rmcp {
    changed: Arc<Notify>,
}

impl ClientHandler for Rmcp {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

async fn connect(project: &Project, mode: ClientLifecycleMode) -> RunningService<RoleClient, Rmcp> {
    let words = watching(ServerOn::DiscoverExits, project);
    let mut command = tokio::process::Command::new(&words[0]);
    command.args(&words[1..]).current_dir(project.root());
    let transport = TokioChildProcess::new(command).unwrap();
    let connected = Rmcp::default().serve_with_lifecycle(transport, mode);
    timeout(DEADLINE, connected).await.unwrap().unwrap()
}

async fn description_of_echo(client: &RunningService<RoleClient, Rmcp>) -> String {
    let tools = timeout(DEADLINE, client.list_all_tools()).await.unwrap();
    let echo = tools.unwrap().swap_remove(0);
    echo.description.unwrap().into_owned()
}

async fn calls_echo(client: &RunningService<RoleClient, Rmcp>) {
    let arguments = json!({"text": "hello"}).as_object().cloned();
    let call = CallToolRequestParams::new("echo").with_arguments(arguments.unwrap());
    let result = timeout(DEADLINE, client.call_tool(call)).await.unwrap();
    let content = serde_json::to_value(result.unwrap().content).unwrap();
    assert_eq!(content[0]["text"], "echo: hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_legacy() {
    let project = Project::new();
    let client = connect(&project, ClientLifecycleMode::Initialize).await;
    assert_eq!(description_of_echo(&client).await, BEFORE);
    calls_echo(&client).await;
    project.edit("discover_exits.py", BEFORE, AFTER);
    let changed = client.service().changed.notified();
    timeout(DEADLINE, changed).await.expect("no list_changed");
    assert_eq!(description_of_echo(&client).await, AFTER);
    client.cancel().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_modern() {
    let project = Project::new();
    let mode = ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    };
    let client = connect(&project, mode).await;
    assert_eq!(description_of_echo(&client).await, BEFORE);
    calls_echo(&client).await;
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let mut listening = timeout(DEADLINE, client.listen(filter))
        .await
        .unwrap()
        .unwrap();
    project.edit("discover_exits.py", BEFORE, AFTER);
    let changed = timeout(DEADLINE, listening.next()).await;
    assert!(changed.expect("no list_changed").unwrap().is_some());
    assert_eq!(description_of_echo(&client).await, AFTER);
    client.cancel().await.unwrap();
}
