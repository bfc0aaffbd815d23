"""The official Python SDK's client of the conformance suite: `conformance_client.py URL`, or through the proxy whose
program is in `MCP_PROXY_PROGRAM`. Which scenario it plays is in the environment that the suite sets. With
`MCP_PROXY_CLIENT=legacy` it speaks the legacy era to the proxy, and the proxy the modern era to the suite.
"""

import asyncio
import os
import runpy
import sys
import tempfile
from pathlib import Path

from mcp import Client, StdioServerParameters

here = Path(__file__).parent
proxy = os.environ.get("MCP_PROXY_PROGRAM")
mode = os.environ.get("MCP_PROXY_CLIENT")


def through_the_proxy(url, **options):
    """A client of the proxy, which has the suite's server as its only one, with its names."""
    folder = tempfile.mkdtemp()
    config = Path(folder) / "mcp-proxy.toml"
    config.write_text(f"[servers.suite]\nurl = '{url}'\nprefix = ''\n")
    words = ["dev", "--config", str(config), "--meta-tools", "none", "--startup-wait", "20s"]
    if mode:
        words += ["--era", "modern"]
        options["mode"] = mode
    server = StdioServerParameters(command=proxy, args=words, env=dict(os.environ))
    return Client(server, **options)


url = sys.argv[-1]
# Its functions look up what they use when they are called, in the globals that this gives.
script = runpy.run_path(str(here / ".venv/everything/client.py"), run_name="client")
play = script["HANDLERS"][os.environ["MCP_CONFORMANCE_SCENARIO"]]
if proxy:
    play.__globals__["Client"] = through_the_proxy
asyncio.run(play(url))
