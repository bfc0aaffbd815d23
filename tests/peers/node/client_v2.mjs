// The TypeScript SDK v2 client: `client_v2.mjs legacy|auto (COMMAND… | URL)`. It tells what it sees, one JSON line each.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [, , mode, command, ...args] = process.argv;
const tell = (method, params) => console.log(JSON.stringify({ method, params }));
const descriptions = (tools) => Object.fromEntries(tools.map((tool) => [tool.name, tool.description]));

let first;
let onChanged;
// A notification may also be about a start that took long: an unchanged list is not yet the edit.
const changed = new Promise((resolve, reject) => {
    onChanged = (error, tools) => {
        if (error) return reject(error);
        const now = descriptions(tools);
        if (first !== undefined && JSON.stringify(now) !== JSON.stringify(first)) resolve(now);
    };
});
const client = new Client(
    { name: 'client-v2', version: '1.0.0' },
    { versionNegotiation: { mode }, listChanged: { tools: { onChanged } } },
);
const transport = command.startsWith('http:')
    ? new StreamableHTTPClientTransport(new URL(command))
    : new StdioClientTransport({ command, args, env: process.env });
await client.connect(transport);
first = descriptions((await client.listTools()).tools);
tell('listed', { tools: first });
const result = await client.callTool({ name: 'echo', arguments: { text: 'hello' } });
tell('called', { text: result.content[0].text });
tell('waiting', { version: client.getNegotiatedProtocolVersion?.() });
tell('relisted', { tools: await changed });
await client.close();
