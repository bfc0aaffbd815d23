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

pub(crate) const BEFORE: &str = "Echoes the text.";
pub(crate) const AFTER: &str = "Repeats the text.";

/// The proxy in front of a server of the project, whose source is watched.
#[track_caller]
pub(crate) fn watching(on: ServerOn, project: &Project) -> Proxy {
    let source = on.source().expect("an edit needs a source");
    Proxy::dev(on.command(project)).within(project).options([
        "--watch",
        source,
        "--startup-wait",
        "2m",
    ])
}

/// The client's behaviour after an edit: `target` is its way to the proxy, which is in front of `server`.
#[track_caller]
pub(crate) fn sees_an_edit(
    client: ClientOn,
    era: &str,
    target: impl IntoIterator<Item = OsString>,
    project: &Project,
    server: ServerOn,
) {
    let mut command = client.command();
    command.push(era.into());
    command.extend(target);
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

/// A test for each pairing of a real client and a real server, which `$sees` joins.
macro_rules! clients_see_an_edit {
    ($sees:path) => {
        $crate::real_clients::clients_see_an_edit! { $sees;
            python_mcp_legacy: PythonMcp "legacy" TypeScriptV1,
            python_mcp_auto: PythonMcp "auto" PythonMcp,
            fastmcp_legacy: FastMcp "legacy" DiscoverExits,
            fastmcp_auto: FastMcp "auto" TypeScriptV2,
            typescript_v1: TypeScriptV1 "legacy" PythonMcp,
            typescript_v2_legacy: TypeScriptV2 "legacy" FastMcp,
            typescript_v2_auto: TypeScriptV2 "auto" TypeScriptV2,
            typescript_v2_auto_with_a_legacy_server: TypeScriptV2 "auto" TypeScriptV1,
        }
    };
    ($sees:path; $($name:ident: $client:ident $era:literal $server:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            $sees(ClientOn::$client, $era, ServerOn::$server);
        })*
    };
}
pub(crate) use clients_see_an_edit;

#[track_caller]
fn over_stdio(client: ClientOn, era: &str, server: ServerOn) {
    let project = Project::new();
    let command = watching(server, &project).words();
    sees_an_edit(client, era, command, &project, server);
}

clients_see_an_edit!(over_stdio);

#[test]
fn python_mcp_auto_with_a_server_that_exits_on_a_probe() {
    over_stdio(ClientOn::PythonMcp, "auto", ServerOn::DiscoverExits);
}

/// An rmcp client that tells when the tools have changed.
#[derive(Clone, Default)]
pub(crate) struct Rmcp {
    changed: Arc<Notify>,
}

impl ClientHandler for Rmcp {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

async fn connect(project: &Project, mode: ClientLifecycleMode) -> RunningService<RoleClient, Rmcp> {
    let words = watching(ServerOn::DiscoverExits, project).words();
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

/// The behaviour of a client with a session after an edit of the server in the project.
pub(crate) async fn legacy_sees_an_edit(
    client: RunningService<RoleClient, Rmcp>,
    project: &Project,
) {
    assert_eq!(description_of_echo(&client).await, BEFORE);
    calls_echo(&client).await;
    project.edit("discover_exits.py", BEFORE, AFTER);
    let changed = client.service().changed.notified();
    timeout(DEADLINE, changed).await.expect("no list_changed");
    assert_eq!(description_of_echo(&client).await, AFTER);
    client.cancel().await.unwrap();
}

/// The same of one whose requests stand alone.
pub(crate) async fn modern_sees_an_edit(
    client: RunningService<RoleClient, Rmcp>,
    project: &Project,
) {
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

/// How an rmcp client begins that speaks the modern era only.
pub(crate) fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_legacy() {
    let project = Project::new();
    let client = connect(&project, ClientLifecycleMode::Initialize).await;
    legacy_sees_an_edit(client, &project).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_modern() {
    let project = Project::new();
    let client = connect(&project, modern()).await;
    modern_sees_an_edit(client, &project).await;
}
