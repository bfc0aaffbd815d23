// The TypeScript SDK v1 client: `client_v1.mjs legacy (COMMAND… | URL)`. It tells what it sees, one JSON line each.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const [, , , command, ...args] = process.argv;
const tell = (method, params) => console.log(JSON.stringify({ method, params }));
const toolsOf = async () =>
    Object.fromEntries((await client.listTools()).tools.map((tool) => [tool.name, tool.description]));

const client = new Client({ name: 'client-v1', version: '1.0.0' });
let first;
// A notification may also be about a start that took long: an unchanged list is not yet the edit.
const changed = new Promise((resolve) =>
    client.setNotificationHandler(ToolListChangedNotificationSchema, async () => {
        const tools = await toolsOf();
        if (first !== undefined && JSON.stringify(tools) !== JSON.stringify(first)) resolve(tools);
    }),
);
const transport = command.startsWith('http:')
    ? new StreamableHTTPClientTransport(new URL(command))
    : new StdioClientTransport({ command, args, env: process.env });
await client.connect(transport);
first = await toolsOf();
tell('listed', { tools: first });
const result = await client.callTool({ name: 'echo', arguments: { text: 'hello' } });
tell('called', { text: result.content[0].text });
tell('waiting', {});
tell('relisted', { tools: await changed });
await client.close();
