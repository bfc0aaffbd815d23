// The TypeScript SDK v2 client with a person in front of it: `asked_v2.mjs legacy|auto COMMAND…`. It calls the tool `ask`,
// answers what it is asked, and tells the text of the result.
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [, , mode, command, ...args] = process.argv;

const capabilities = { elicitation: {}, roots: {} };
const client = new Client({ name: 'asked-v2', version: '1.0.0' }, { capabilities, versionNegotiation: { mode } });
client.setRequestHandler('elicitation/create', async ({ params }) => {
    const names = Object.keys(params.requestedSchema.properties);
    return { action: 'accept', content: Object.fromEntries(names.map((name) => [name, 'Ada'])) };
});
client.setRequestHandler('roots/list', async () => ({ roots: [{ uri: 'file:///work' }] }));
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const result = await client.callTool({ name: 'ask', arguments: { question: 'Who?' } });
console.log(JSON.stringify({ method: 'answered', params: { text: result.content[0].text } }));
await client.close();
