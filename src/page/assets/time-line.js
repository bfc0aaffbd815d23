// The graph above the events: a lane for each server of each session with its generations, starts, saves and calls.

import { lanes } from "./lanes.js";
import { latest } from "./latest.js";
import { follow } from "./live.js";
import "./refresh.js";

const SVG = "http://www.w3.org/2000/svg";
const LABELS = 110;
const ROW = 18;
/** Maximum number of rows for the calls of one lane. */
const DEPTH = 5;

const graph = document.getElementById("graph");
const svg = document.createElementNS(SVG, "svg");
svg.setAttribute("role", "group");
svg.setAttribute("aria-label", "Generations, saves and calls; the table below has all events in words");
const LEGEND = "▼ save, ✕ failure, ◇ standby ready, bars below: calls. Point at one for its words.";
const told = document.createElement("p");
told.className = "soft told";
told.textContent = LEGEND;
const events = [];
let next = 0;
/** Number of the newest calls that are kept, as many as the proxy sends at once. */
const MAX_CALLS = 2000;
/** Calls, the oldest first. */
let calls = [];
/** True before the first answer, and while a call is open. */
let isBusy = true;
/** Times between which `calls` is whole, and the number of its last change; null before the first answer. */
let held = null;
/**
 * Time span in sight, in milliseconds since 1970. `end` is null while it follows the present, and `most` until a person
 * zooms is the length to which it grows.
 */
const view = { length: 60_000, end: null, most: 60_000 };
/** Time after the last event or message at which the graph stands still, in milliseconds. */
const STILL = 20_000;
/** Time of the last event or message; null before the first answer. */
let lastNews = null;
/** Time span of a recording, which has no present. */
const [from, to] = [graph.dataset.from, graph.dataset.to].map(Number);
const isLive = Number.isNaN(to);

/** Shows the whole recording. */
function showAll() {
    view.length = Math.max((to - from) * 1.04, 20);
    view.end = to + view.length * 0.02;
}
if (!isLive) showAll();

const buttons = document.createElement("p");
buttons.className = "bar";
const action = (text, label, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.ariaLabel = label;
    button.addEventListener("click", () => {
        act(button);
        update();
    });
    buttons.append(button);
    return button;
};
action("−", "Zoom out", () => zoom(2));
action("+", "Zoom in", () => zoom(0.5));
action("All", "Show everything", () => {
    if (!isLive) return showAll();
    view.most = Infinity;
    view.end = null;
});
const saves = [action("← Previous save", "Previous save", () => jump(-1)), action("Next save →", "Next save", () => jump(1))];
const pause = action("Pause", "Pause", togglePause);
// A recording has no saves.
for (const button of [...saves, pause]) button.hidden = !isLive;
graph.append(buttons, svg, told);
graph.hidden = false;

/** Returns the end of the graph that follows the present: what happened last stays in sight. */
function present() {
    return isBusy ? Date.now() : Math.min(Date.now(), lastNews + STILL);
}

const end = () => view.end ?? present();

/** Shows no time before the first event. */
function fit() {
    if (view.most === null || view.end !== null) return;
    const first = events[0] ? Date.parse(events[0].time) : end() - 60_000;
    view.length = Math.min(view.most, Math.max(2000, (end() - first) * 1.1));
}

function togglePause() {
    if (isLive) view.end = view.end === null ? end() : null;
}

function zoom(factor, at = 0.5) {
    const middle = end() - view.length * (1 - at);
    view.most = null;
    view.length = Math.min(Math.max(view.length * factor, 20), 7 * 86_400_000);
    if (view.end !== null) view.end = middle + view.length * (1 - at);
}

function pan(part) {
    view.end = Math.min(end() + view.length * part, Date.now() + view.length / 2);
}

/** Moves the previous or next save to the middle. */
function jump(step) {
    const middle = view.end === null ? Date.now() : view.end - view.length / 2;
    view.length = Math.min(view.length, 60_000);
    const saves = events.filter((event) => event.event === "changed").map((event) => Date.parse(event.time));
    const save = step < 0 ? saves.findLast((at) => at < middle - 1) : saves.find((at) => at > middle + 1);
    if (save !== undefined) view.end = save + view.length / 2;
}

/** Fetches what is new and in sight, and draws it. */
const update = latest(async () => {
    fit();
    const from = Math.floor(end() - view.length);
    const to = view.end === null ? null : Math.ceil(view.end);
    const isHeld = held !== null && held.to === to && held.from <= from;
    // A growing graph moves its start to earlier times.
    const first = isHeld ? held.from : Math.max(0, Math.floor(from - view.length));
    const parameters = new URLSearchParams({ event: next, from: first });
    if (to !== null) parameters.set("to", to);
    if (isHeld) parameters.set("change", held.change);
    const answer = await fetch(`/time-line/news?${parameters}`).catch(() => null);
    if (!answer?.ok) return;
    const news = await answer.json();
    events.push(...news.events);
    next = news.next;
    keep(news);
    held = { from: first, to, change: news.change };
    const last = events.length > 0 ? Date.parse(events.at(-1).time) : 0;
    const isFirst = lastNews === null;
    lastNews = Math.max(lastNews ?? 0, last, news.last) || Date.now();
    fit();
    draw();
    // The end has moved to the last news.
    if (isFirst) update();
});

/** Adds the calls of an answer to those that are known. */
function keep(news) {
    const known = new Map((news.isWhole ? [] : calls).map((call) => [call.n, call]));
    for (const call of news.calls) known.set(call.n, call);
    calls = [...known.values()].sort((a, b) => a.n - b.n).slice(-MAX_CALLS);
    isBusy = calls.some((call) => call.is_open);
}

/** Returns the end of a call's bar. */
function endOf(call) {
    return call.is_open ? end() : call.at + (call.took ?? 0) / 1000;
}

function add(parent, name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
}

function draw() {
    pause.textContent = view.end === null ? "Pause" : "Live";
    pause.ariaLabel = pause.textContent;
    // Elements are drawn anew, but a person keeps the focus.
    const focused = svg.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    svg.replaceChildren();
    const width = graph.clientWidth;
    const start = end() - view.length;
    const x = (at) => LABELS + ((at - start) / view.length) * (width - LABELS);
    /** Adds a bar, if it is in sight. */
    const bar = (parent, from, to, y, height, kind, title, label) => {
        const left = Math.max(x(from), LABELS);
        const right = Math.min(x(to), width);
        if (right < LABELS || left > width) return null;
        const box = add(parent, "rect", { x: left, y, width: Math.max(right - left, 2), height, class: kind, rx: 2 });
        describe(parent === svg ? box : parent, title);
        if (parent === svg) {
            box.setAttribute("tabindex", 0);
            box.setAttribute("role", "img");
        }
        const short = label?.split(" ").at(-1);
        const shown = [label, short].find((it) => it && right - left > 10 + it.length * 7);
        if (shown) add(parent, "text", { x: left + 5, y: y + height - 4, class: "on-bar" }, shown);
        return box;
    };
    let y = ROW + 6;
    axis(x, start, width);
    const all = lanes(events);
    const found = calls.filter((call) => call.at <= end() && endOf(call) >= start);
    // Lanes of sessions that have long ended would hide the others.
    const hasSessions = new Set(all.map((lane) => lane.session)).size > 1;
    for (const lane of all) {
        if (hasSessions && !lane.isIn(start, end())) continue;
        add(svg, "line", { x1: 0, x2: width, y1: y - 4, y2: y - 4, class: "rule" });
        add(svg, "text", { x: 0, y: y + 13, class: "lane" }, lane.server.length > 14 ? `${lane.server.slice(0, 13)}…` : lane.server);
        if (hasSessions) add(svg, "text", { x: 12, y: y + 13 + ROW, class: "session" }, `session ${lane.session}`);
        for (const span of lane.spans) {
            const isLive = span.kind === "live";
            const to = span.to ?? end();
            const title = `${span.words}: ${time(span.from)}, ${length(to - span.from)}${span.to === null ? " so far" : ""}`;
            const kind = isLive || span.kind === "drain" ? `${span.kind} g${span.generation % 6}` : span.kind;
            bar(svg, span.from, to, isLive ? y : y + ROW + 2, isLive ? ROW : ROW - 6, kind, title, isLive ? `generation ${span.generation}` : "");
        }
        for (const mark of lane.marks) {
            const at = x(mark.at);
            if (at < LABELS || at > width) continue;
            const link = add(svg, "a", { href: `#event-${mark.number}` });
            add(link, "text", { x: at, y: y + 2 * ROW + 11, class: `mark ${mark.kind}`, "text-anchor": "middle" }, mark.sign);
            describe(link, `${time(mark.at)}: ${mark.words}`);
        }
        y += 3 * ROW + 2;
        const of = found.filter((call) => call.server === lane.server && call.session === String(lane.session));
        y = drawCalls(of, x, bar, y, hasSessions ? "calls" : `session ${lane.session}`);
    }
    y = drawCalls(found.filter((call) => !call.server), x, bar, y, "refused");
    svg.setAttribute("width", width);
    svg.setAttribute("height", y + 4);
    if (focused) svg.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** Describes an element for people who point at it, focus it or hear it. */
function describe(element, words) {
    add(element, "title", {}, words);
    element.setAttribute("aria-label", words);
    // Without the durations, which grow.
    element.dataset.key = words.split(",")[0];
}

/** Draws the calls of a lane, in as many rows as they overlap. Returns the end of the rows. */
function drawCalls(of, x, bar, y, label) {
    if (of.length === 0) return y + 6;
    const ends = [0];
    /** Right pixels of the last bars of the rows. */
    const edges = [];
    /** Returns true if the bar adds no pixel to its row. */
    const isCovered = (row, from, to) => {
        const edge = Math.floor(Math.max(x(to), x(from) + 2));
        if (edge <= edges[row]) return true;
        edges[row] = edge;
        return false;
    };
    const notices = of.filter((call) => call.state === "plain");
    const top = notices.length > 0 ? y + 11 : y;
    for (const notice of notices) {
        if (isCovered(DEPTH, notice.at, notice.at)) continue;
        const link = add(svg, "a", { href: `/messages#${notice.n}` });
        const words = `${time(notice.at)}: ${notice.method} ${notice.name} of generation ${notice.generation}`;
        if (!bar(link, notice.at, notice.at, y, 8, "tick", words)) link.remove();
    }
    for (const call of of.filter((call) => call.state !== "plain")) {
        const to = endOf(call);
        let row = ends.findIndex((it) => it <= call.at);
        if (row < 0) row = Math.min(ends.length, DEPTH - 1);
        ends[row] = to;
        if (isCovered(row, call.at, to) && call.state !== "bad") continue;
        const took = call.is_open ? "so far, " : call.took === null ? "" : `${length(call.took / 1000)}, `;
        const by = call.server ? `generation ${call.generation}` : `session ${call.session}, refused by the proxy`;
        const words = `${time(call.at)}: ${call.method} ${call.name}: ${call.outcome}, ${took}${by}`;
        const colour = call.server ? `g${call.generation % 6}` : "start";
        const link = add(svg, "a", { href: `/messages#${call.n}` });
        if (!bar(link, call.at, to, top + row * 12, 9, `call ${colour} ${call.state}`, words)) link.remove();
    }
    add(svg, "text", { x: 12, y: top + 9, class: "session" }, label);
    return top + ends.length * 12 + 10;
}

function axis(x, start, width) {
    const steps = [1, 2, 5].flatMap((digit) => [1, 10, 100, 1e3, 1e4].map((power) => digit * power));
    steps.push(6e4, 3e5, 6e5, 18e5, 36e5, 6 * 36e5, 864e5);
    let step = steps.sort((a, b) => a - b).find((it) => (it / view.length) * (width - LABELS) > 90) ?? 864e5;
    // The times in a file may be years apart.
    while (view.length / step > 50) step *= 2;
    for (let at = Math.ceil(start / step) * step; at < start + view.length; at += step) {
        add(svg, "line", { x1: x(at), x2: x(at), y1: 14, y2: 10_000, class: "grid" });
        add(svg, "text", { x: x(at) + 3, y: 12, class: "session" }, time(at).slice(0, step < 1000 ? 12 : 8));
    }
}

function time(at) {
    const date = new Date(at);
    const two = (number, digits = 2) => String(number).padStart(digits, "0");
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
}

function length(ms) {
    return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function tell(event) {
    told.textContent = event.target.closest("svg [aria-label]")?.getAttribute("aria-label") ?? LEGEND;
}
svg.addEventListener("pointerover", (event) => event.target !== svg && tell(event));
svg.addEventListener("focusin", tell);
svg.addEventListener("pointerleave", () => svg.contains(document.activeElement) || (told.textContent = LEGEND));

let dragged = null;
svg.addEventListener("pointerdown", (event) => (dragged = { x: event.clientX, end: end(), isMoved: false }));
addEventListener("pointerup", () => setTimeout(() => (dragged = null)));
svg.addEventListener("pointermove", (event) => {
    if (!dragged || event.buttons === 0 || Math.abs(event.clientX - dragged.x) < 4) return;
    dragged.isMoved = true;
    view.end = dragged.end - ((event.clientX - dragged.x) / (graph.clientWidth - LABELS)) * view.length;
    update();
});
svg.addEventListener("click", (event) => dragged?.isMoved && event.preventDefault(), true);
svg.addEventListener("dragstart", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "w") zoom(0.5);
    else if (event.key === "s") zoom(2);
    else if (event.key === "a") pan(-0.25);
    else if (event.key === "d") pan(0.25);
    else if (event.key === "p") togglePause();
    else return;
    update();
});
new ResizeObserver(draw).observe(graph);
follow((news, before) => {
    const isNew = news.events !== before.events || news.messages !== before.messages;
    if (before.run && isNew) lastNews = Date.now();
    update();
});
// The present moves on, also while nothing happens.
setInterval(() => {
    if (view.end !== null || document.hidden) return;
    fit();
    draw();
}, 1000);
