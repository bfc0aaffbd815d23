// The list of messages: elements exist only for the rows in sight, so that 100,000 messages are no burden.

import { enableCopying } from "./copy.js";
import { latest } from "./latest.js";
import { showLocalTimes } from "./times.js";

/** The messages: `rows` and `detail` return those of an address's parameters and one with its number. */
let source;
/** True for messages that may still come. */
let isLive = true;

const form = document.getElementById("filter");
const detail = document.getElementById("detail");
const holder = document.getElementById("list");

const list = document.createElement("div");
list.className = "rows";
list.tabIndex = 0;
list.setAttribute("role", "listbox");
list.ariaLabel = "Messages";
const space = document.createElement("div");
const jump = document.createElement("button");
jump.type = "button";
jump.hidden = true;
const pause = document.createElement("button");
pause.type = "button";
pause.textContent = "Pause";
const total = document.createElement("p");
total.className = "soft";
list.append(space);
const bar = document.createElement("div");
bar.className = "bar";
bar.append(total, pause, jump);
const heads = document.createElement("div");
heads.className = "heads";
// Each row is read as one text.
heads.ariaHidden = "true";
const columns = ["Time", "Session", "Server", "Message", "Outcome", "Took"];
heads.append(...columns.map((name) => part(name.toLowerCase(), name)));
holder.replaceChildren(bar, heads, list);

/** Content of the detail while no message is selected. */
const hint = document.createElement("p");
hint.className = "soft";
hint.textContent = "Keys: j, k: select. Enter: detail. /: filter. p: pause. G: end of the list. Esc: leave.";
detail.append(hint);
const empty = [...detail.childNodes];

let height = 28;
let count = 0;
let rows = [];
let first = 0;
let selected = addressed();
/** Message that the next rows bring into sight. */
let sought = selected;
let isFollowing = false;
let isPaused = false;
let seen = 0;
const elements = new Map();

/** Returns the number of the message in the address. */
function addressed() {
    return Number(location.hash.slice(1)) || null;
}

function query() {
    const parameters = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...parameters]) if (value === "") parameters.delete(name);
    return parameters;
}

/** Fetches the rows in sight and shows them. */
const fetchRows = latest(async () => {
    const visible = Math.ceil(list.clientHeight / height);
    const parameters = query();
    const near = sought;
    // The end is in sight while the list follows; scrolling fetches the rows above it.
    parameters.set("count", visible + (isFollowing && near === null ? 5 : 40));
    if (near !== null) parameters.set("near", near);
    else if (!isFollowing) parameters.set("from", Math.max(0, Math.floor(list.scrollTop / height) - 20));
    const page = await source.rows(parameters);
    if (!page) return;
    ({ rows, from: first, total: count } = page);
    await new Promise(requestAnimationFrame);
    if (near === null) return draw();
    // Another link may have been followed meanwhile.
    if (sought !== near) return draw();
    sought = null;
    seen = count;
    draw();
    if (position_of(near) !== null) return reveal(near, 0.5);
    // The filter does not select it, or it is not kept any more.
    isFollowing = isLive;
    fetchRows();
});

function draw() {
    height = parseFloat(getComputedStyle(list).getPropertyValue("--row")) || 28;
    space.style.height = `${count * height}px`;
    const none = query().toString() ? "No message matches the filter" : "No message";
    total.textContent = count === 0 ? none : count === 1 ? "1 message" : `${count} messages`;
    if (isFollowing) {
        list.scrollTop = list.scrollHeight;
        seen = count;
    }
    // The filter names those at the start of the page.
    const hasSessions = form.elements.session.options.length > 2 || rows.some((row) => row.session !== rows[0].session);
    if (hasSessions) holder.classList.add("sessions");
    jump.hidden = !isLive || isFollowing || count <= seen;
    jump.textContent = `${count - seen} new: jump to the end`;
    const unused = new Set(elements.keys());
    for (const row of rows) unused.delete(row.n);
    for (const number of unused) {
        elements.get(number).remove();
        elements.delete(number);
    }
    rows.forEach((row, index) => {
        let element = elements.get(row.n);
        if (!element) {
            element = document.createElement("div");
            element.id = `m${row.n}`;
            element.setAttribute("role", "option");
            elements.set(row.n, element);
        }
        // Screen readers read in the order of the elements.
        if (space.children[index] !== element) space.insertBefore(element, space.children[index] ?? null);
        fill(element, row, first + index);
    });
    list.setAttribute("aria-activedescendant", elements.has(selected) ? `m${selected}` : "");
}

function part(className, text) {
    const element = document.createElement("bdi");
    element.className = className;
    element.textContent = text;
    return element;
}

/** Returns the outcome of a row in words. */
export function outcomeText(row) {
    return row.state === "plain" ? "· notification" : row.outcome;
}

/** Returns a duration of microseconds in milliseconds. */
export function tookText(took) {
    return took < 100000 ? `${(took / 1000).toFixed(1)} ms` : `${Math.round(took / 1000)} ms`;
}

function fill(element, row, position) {
    element.style.top = `${position * height}px`;
    element.ariaPosInSet = position + 1;
    element.ariaSetSize = count;
    element.ariaSelected = row.n === selected;
    const state = JSON.stringify(row);
    if (element.dataset.state === state) return;
    element.dataset.state = state;
    element.dataset.at = row.at;
    const time = document.createElement("time");
    time.dateTime = new Date(row.at).toISOString();
    const server = row.server ? `${row.server} (${row.generation})` : "proxy";
    const name = part("name", `${row.method} `);
    const about = document.createElement("strong");
    about.textContent = row.name;
    name.append(about);
    if (row.by_page) name.append(` · ${row.by_page}`);
    const outcome = part(`outcome ${row.state}`, outcomeText(row));
    const took = part("took", row.took === null ? "" : tookText(row.took));
    element.replaceChildren(time, part("session", row.session), part("server", server), name, outcome, took);
    showLocalTimes(element);
}

/** Remembers the selection in the address, which a file does not have. */
function remember(address) {
    if (location.protocol !== "file:") history.replaceState(null, "", address);
}

/** Selects a message and shows it; `isKept` leaves the position of the list. */
async function select(number, isKept = true) {
    selected = number;
    remember(number === null ? location.pathname + location.search : `#${number}`);
    for (const [it, element] of elements) element.ariaSelected = it === number;
    list.setAttribute("aria-activedescendant", elements.has(number) ? `m${number}` : "");
    if (!isKept) reveal(number);
    await showDetail();
}

/** Brings a message into sight, with at least this part of the list before and after it. */
function reveal(number, margin = 0) {
    const position = position_of(number);
    if (position === null) return;
    const around = margin * (list.clientHeight - height);
    const start = position * height - around;
    const end = (position + 1) * height - list.clientHeight + around;
    if (start < list.scrollTop) list.scrollTop = start;
    else if (end > list.scrollTop) list.scrollTop = end;
}

function position_of(number) {
    const index = rows.findIndex((row) => row.n === number);
    return index < 0 ? null : first + index;
}

async function showDetail() {
    if (selected === null) return detail.replaceChildren(...empty);
    const number = selected;
    const fresh = await source.detail(number);
    if (!fresh || selected !== number) return;
    showLocalTimes(fresh);
    enableCopying(fresh);
    detail.replaceChildren(...fresh.childNodes);
}

/** Brings the detail into sight where it is below the list. */
function bringDetail() {
    const isBelow = detail.getBoundingClientRect().top >= list.getBoundingClientRect().bottom;
    if (isBelow) detail.scrollIntoView({ block: "nearest" });
}

function move(step) {
    const position = position_of(selected);
    const index = position === null ? (isLive ? rows.length - 1 : 0) : position - first + step;
    const row = rows[Math.min(Math.max(index, 0), rows.length - 1)];
    if (!row) return;
    isFollowing = false;
    select(row.n, false);
}

list.addEventListener("scroll", () => {
    const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 2;
    if (isFollowing && isAtEnd) return;
    isFollowing = isAtEnd && isLive && !isPaused;
    fetchRows();
});
list.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    isFollowing = false;
    select(Number(row.id.slice(1))).then(bringDetail);
});
jump.addEventListener("click", () => {
    isFollowing = true;
    fetchRows();
});
pause.addEventListener("click", togglePause);
function togglePause() {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    pause.ariaPressed = isPaused;
    if (isPaused) isFollowing = false;
    else fetchRows();
}

form.addEventListener("submit", (event) => event.submitter?.hasAttribute("formaction") || event.preventDefault());
addEventListener("hashchange", () => {
    selected = sought = addressed();
    isFollowing = isLive && sought === null && !isPaused;
    fetchRows();
    showDetail().then(bringDetail);
});

form.addEventListener("input", () => {
    remember(`${location.pathname}?${query()}`);
    isFollowing = isLive;
    if (!isLive) list.scrollTop = 0;
    fetchRows();
});

document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isTyping = event.target.matches("input, select, textarea");
    if (event.key === "Escape") {
        if (isTyping) list.focus();
        else select(null);
    } else if (isTyping) return;
    else if (event.key === "j" || (event.key === "ArrowDown" && event.target === list)) move(1);
    else if (event.key === "k" || (event.key === "ArrowUp" && event.target === list)) move(-1);
    else if (event.key === "Enter" && event.target === list) detail.focus();
    else if (event.key === "/") form.elements.text.focus();
    else if (event.key === "p") togglePause();
    else if (event.key === "G" || event.key === "f") jump.click();
    else return;
    event.preventDefault();
});

/** Shows the messages of `messages`, the newest first if more may come. Returns functions that fetch them again. */
export function showMessages(messages, mayGrow) {
    source = messages;
    isLive = mayGrow;
    isFollowing = isLive && selected === null;
    pause.hidden = !isLive;
    new ResizeObserver(fetchRows).observe(list);
    if (selected !== null) showDetail().then(bringDetail);
    return {
        update: () => isPaused || fetchRows(),
        updateDetail: () => detail.querySelector("[data-open]") && showDetail(),
    };
}
