// Keeps one stream to the proxy while the tab is visible, and says whether the page is live.

export { showLocalTimes } from "./times.js";

const status = document.getElementById("live");
/** Name of the recording that the page shows in place of a running proxy. */
export const { file } = status.dataset;
const { run, messages } = document.documentElement.dataset;
/** Without messages, those of a busy client do not wake the tab. */
const address = messages === undefined ? "/stream" : "/stream?messages=1";
/** Time in ms after which a stream is taken for lost, as behind a tunnel that hangs: the proxy repeats a notice after 15 s. */
const SILENCE = 40_000;
let source;
let silence;
let last = {};

function say(text, isLost) {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("lost", isLost);
}

async function lost() {
    say("The proxy does not answer; waiting for it", true);
    if (source.readyState !== EventSource.CLOSED) return;
    // The stream does not tell why it was refused.
    const answer = await fetch("/").catch(() => null);
    if (answer?.status === 401) {
        close();
        say("This link has expired: open the one that mcp-proxy has printed; mcp-proxy status prints those of running proxies", true);
    } else setTimeout(() => document.hidden || open(), 500);
}

function close() {
    source?.close();
    clearTimeout(silence);
}

/** Waits anew for the next notice. */
function expectNotice() {
    clearTimeout(silence);
    silence = setTimeout(() => {
        say("The proxy does not answer; waiting for it", true);
        open();
    }, SILENCE);
}

function open() {
    close();
    expectNotice();
    source = new EventSource(address);
    source.onerror = lost;
    source.onmessage = (message) => {
        expectNotice();
        const news = JSON.parse(message.data);
        // Another run has other numbers.
        if (news.run !== run) return location.reload();
        say(file ? `Recording ${file}` : "Live", false);
        const before = last;
        last = news;
        for (const notify of listeners) notify(news, before);
    };
}

const listeners = [];

/** Calls `notify` with the newest and the former numbers of events whenever there is something new. */
export function follow(notify) {
    listeners.push(notify);
    if (listeners.length > 1) return;
    open();
    // A browser allows few connections to a host, over all tabs.
    document.addEventListener("visibilitychange", () => {
        if (document.hidden) close();
        else open();
    });
}
