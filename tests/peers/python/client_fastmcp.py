"""The FastMCP client: `client_fastmcp.py legacy|auto (COMMAND… | URL)`. It tells what it sees, one JSON line each."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp.client.subscriptions import listen

mode, command, *args = sys.argv[1:]


def tell(method, **params):
    print(json.dumps({"method": method, "params": params}), flush=True)


async def tools_of(client):
    return {tool.name: tool.description for tool in await client.list_tools()}


class Handler(MessageHandler):
    def __init__(self):
        self.changed = asyncio.Event()

    async def on_tool_list_changed(self, message):
        self.changed.set()


async def main():
    handler = Handler()
    is_url = command.startswith("http:")
    transport = StreamableHttpTransport(command) if is_url else StdioTransport(command, args)
    async with Client(transport, mode=mode, message_handler=handler, cache=False) as client:
        first = await tools_of(client)
        tell("listed", tools=first)
        result = await client.call_tool("echo", {"text": "hello"})
        tell("called", text=result.content[0].text)
        # A notification may also be about a start that took long: an unchanged list is not yet the edit.
        version = client.session.protocol_version
        if version >= "2026":
            async with listen(client.session, tools_list_changed=True) as events:
                tell("waiting", version=version)
                async for _ in events:
                    if (tools := await tools_of(client)) != first:
                        break
        else:
            tell("waiting", version=version)
            tools = first
            while tools == first:
                await handler.changed.wait()
                handler.changed.clear()
                tools = await tools_of(client)
        tell("relisted", tools=tools)


asyncio.run(main())
