// The messages of an exported page: list, filter and detail over the data that the file carries.

import { harmless } from "./harmless.js";
import { outcomeText, showMessages, tookText } from "./message-list.js";

/** Length to which a message is cut in the detail. */
const SHOWN = 200_000;
/** Length to which recorders cut a message, in bytes. */
const KEPT = 1 << 20;

const exchanges = JSON.parse(document.getElementById("data").textContent);
const byNumber = new Map(exchanges.map((exchange) => [exchange.n, exchange]));
let last = { query: null, found: exchanges };

/** Returns the exchanges that the parameters select, by the rules of the proxy. */
function selection(parameters) {
    const names = ["text", "server", "session", "about", "slower", "errors", "client"];
    const wanted = Object.fromEntries(names.map((it) => [it, parameters.get(it)?.trim()]));
    const query = JSON.stringify(wanted);
    if (last.query === query) return last.found;
    const [text, about] = [wanted.text, wanted.about].map((it) => it?.toLowerCase());
    const found = exchanges.filter(
        (it) =>
            (!wanted.server || it.server === wanted.server) &&
            (!wanted.session || it.session === wanted.session) &&
            (!about || [it.name, it.method].some((name) => name.toLowerCase().includes(about))) &&
            (!wanted.slower || (it.took !== null && it.took >= wanted.slower * 1000)) &&
            (!wanted.errors || it.state === "bad") &&
            (!wanted.client || it.client) &&
            (!text || it.lines.some((line) => line.toLowerCase().includes(text))),
    );
    last = { query, found };
    return found;
}

function exportedRows(parameters) {
    const found = selection(parameters);
    const length = Number(parameters.get("count"));
    const newest = Math.max(0, found.length - length);
    const near = found.findIndex((it) => it.n >= Number(parameters.get("near") ?? Infinity));
    const wanted = near < 0 ? Number(parameters.get("from") ?? newest) : near - Math.floor(length / 2);
    const start = Math.max(0, Math.min(wanted, found.length));
    return { rows: found.slice(start, start + length), from: start, total: found.length };
}

function tag(name, text, ...children) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
}

/** Returns the message of a recorded line as it was sent: the last member. */
function raw(line) {
    const at = line.indexOf(',"message":');
    return at < 0 ? JSON.parse(line).text : line.slice(at + 11, -1);
}

/** Returns JSON in lines. Its numbers, escapes and duplicate names stay as they are. */
function indented(json) {
    let text = "";
    let depth = 0;
    for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s"{}[\],:]+/g)) {
        if (token === "}" || token === "]") {
            depth = Math.max(0, depth - 1);
            text += `\n${"  ".repeat(depth)}`;
        }
        text += token === ":" ? ": " : token;
        if (token === "{" || token === "[") depth++;
        if (token === "{" || token === "[" || token === ",") text += `\n${"  ".repeat(depth)}`;
    }
    return text.replace(/([{[])\n\s*([}\]])/g, "$1$2");
}

function exportedDetail(number) {
    const exchange = byNumber.get(number);
    if (!exchange) return tag("div", "This message is not in the file.");
    const lines = exchange.lines.map((line) => ({ line, ...JSON.parse(line) }));
    const ofClient = lines.filter((it) => it.from === "client" || it.to === "client");
    const time = tag("time");
    time.dateTime = new Date(exchange.at).toISOString();
    const facts = [["Time", time], ["Session", exchange.session]];
    if (exchange.server) facts.push(["Server", `${exchange.server}, generation ${exchange.generation}`]);
    if (exchange.took !== null) facts.push(["Took", tookText(exchange.took)]);
    const copying = tag("button", "Copy as JSON");
    copying.type = "button";
    copying.dataset.copy = `${exchange.lines.join("\n")}\n`;
    const state = tag("p", outcomeText(exchange));
    state.className = `state ${exchange.state}`;
    const article = tag("article", "", tag("h2", `${exchange.method} ${exchange.name}`), state);
    const list = facts.flatMap(([name, fact]) => [tag("dt", name), tag("dd", "", fact)]);
    article.append(tag("dl", "", ...list), tag("p", "", copying));
    for (const { line, from, to, bytes } of ofClient.length > 1 ? ofClient : lines) {
        const whole = raw(line);
        const shown = harmless(indented(whole.slice(0, SHOWN)));
        const content = tag("pre", shown);
        content.tabIndex = 0;
        article.append(tag("section", "", tag("h3", `${from} → ${to}`), content));
        if (whole.length <= SHOWN) continue;
        const size = `as far as it was kept: the message has ${Math.floor(bytes / KEPT)} MiB`;
        article.append(tag("p", `The rest is not shown; the copy has it${bytes > KEPT ? `, ${size}` : ""}.`));
    }
    return tag("div", "", article);
}

showMessages({ rows: exportedRows, detail: exportedDetail }, false);
