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
holder.replaceChildren(bar, list);

let height = 28;
let count = 0;
let rows = [];
let first = 0;
let selected = Number(location.hash.slice(1)) || null;
let isFollowing = false;
let isPaused = false;
let seen = 0;
const elements = new Map();

function query() {
    const parameters = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...parameters]) if (value === "") parameters.delete(name);
    return parameters;
}

/** Fetches the rows in sight and shows them. */
const fetchRows = latest(async () => {
    const visible = Math.ceil(list.clientHeight / height);
    const parameters = query();
    parameters.set("count", visible + 40);
    if (!isFollowing) parameters.set("from", Math.max(0, Math.floor(list.scrollTop / height) - 20));
    const page = await source.rows(parameters);
    if (!page) return;
    ({ rows, from: first, total: count } = page);
    await new Promise(requestAnimationFrame);
    draw();
});

function draw() {
    height = parseFloat(getComputedStyle(list).getPropertyValue("--row")) || 28;
    space.style.height = `${count * height}px`;
    total.textContent = count === 1 ? "1 message" : `${count} messages`;
    if (isFollowing) {
        list.scrollTop = list.scrollHeight;
        seen = count;
    }
    jump.hidden = !isLive || isFollowing || count <= seen;
    jump.textContent = `${count - seen} new: jump to the end`;
    const unused = new Set(elements.keys());
    rows.forEach((row, index) => {
        unused.delete(row.n);
        let element = elements.get(row.n);
        if (!element) {
            element = document.createElement("div");
            element.id = `m${row.n}`;
            element.setAttribute("role", "option");
            elements.set(row.n, element);
            space.append(element);
        }
        fill(element, row, first + index);
    });
    for (const number of unused) {
        elements.get(number).remove();
        elements.delete(number);
    }
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
    const server = row.server ? `${row.server} (${row.generation})` : row.from;
    const name = part("name", `${row.method} `);
    const about = document.createElement("strong");
    about.textContent = row.name;
    name.append(about);
    if (row.from === "page") name.append(" · by the page");
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

function reveal(number) {
    const position = position_of(number);
    if (position === null) return;
    if (position * height < list.scrollTop) list.scrollTop = position * height;
    const end = (position + 1) * height - list.clientHeight;
    if (end > list.scrollTop) list.scrollTop = end;
}

function position_of(number) {
    const index = rows.findIndex((row) => row.n === number);
    return index < 0 ? null : first + index;
}

async function showDetail() {
    if (selected === null) return;
    const number = selected;
    const fresh = await source.detail(number);
    if (!fresh || selected !== number) return;
    showLocalTimes(fresh);
    enableCopying(fresh);
    detail.replaceChildren(...fresh.childNodes);
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
    select(Number(row.id.slice(1)));
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
        else {
            select(null);
            detail.replaceChildren();
        }
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
    showDetail();
    return {
        update: () => isPaused || fetchRows(),
        updateDetail: () => detail.querySelector("[data-open]") && showDetail(),
    };
}
