"""The official Python client: `client_mcp.py legacy|auto (COMMAND… | URL)`. It tells what it sees, one JSON line each."""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.types import ToolListChangedNotification

mode, command, *args = sys.argv[1:]


def tell(method, **params):
    print(json.dumps({"method": method, "params": params}), flush=True)


async def tools_of(client):
    tools = (await client.list_tools(cache_mode="refresh")).tools
    return {tool.name: tool.description for tool in tools}


async def main():
    changed = asyncio.Event()

    async def on_message(message):
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    is_url = command.startswith("http:")
    server = command if is_url else StdioServerParameters(command=command, args=args)
    async with Client(server, mode=mode, message_handler=on_message) as client:
        first = await tools_of(client)
        tell("listed", tools=first)
        result = await client.call_tool("echo", {"text": "hello"})
        tell("called", text=result.content[0].text)
        # A notification may also be about a start that took long: an unchanged list is not yet the edit.
        if client.protocol_version >= "2026":
            async with client.listen(tools_list_changed=True) as events:
                tell("waiting", version=client.protocol_version)
                async for _ in events:
                    if (tools := await tools_of(client)) != first:
                        break
        else:
            tell("waiting", version=client.protocol_version)
            tools = first
            while tools == first:
                await changed.wait()
                changed.clear()
                tools = await tools_of(client)
        tell("relisted", tools=tools)


asyncio.run(main())
