// Replaces the content of a page that the proxy renders whenever something has happened.

import { latest } from "./latest.js";
import { follow, showLocalTimes } from "./live.js";

const main = document.querySelector("[data-refresh]") ?? document.querySelector("main");
const path = location.pathname;
const FOCUSABLE = "a, summary, pre, .scroll, button, input";

/** Returns a name by which a part is found again after the replacement. */
function names(root, selector) {
    const counts = new Map();
    return [...root.querySelectorAll(selector)].map((part) => {
        const label = part.closest("tr[id]")?.id ?? part.closest("[aria-label]")?.ariaLabel ?? "";
        const text = part.matches("details") ? part.querySelector("summary").textContent.replace(/\d+/g, "") : part.tagName;
        const name = `${part.closest("article")?.ariaLabel} ${label} ${text}`;
        counts.set(name, (counts.get(name) ?? 0) + 1);
        return [`${name} ${counts.get(name)}`, part];
    });
}

const refresh = latest(async () => {
    const answer = await fetch(`${path}?part=1`).catch(() => null);
    if (answer?.ok) show(await answer.text());
});

function show(markup) {
    // The proxy has escaped all foreign text, and its policy forbids scripts in the markup.
    const page = document.createElement("main");
    page.innerHTML = markup;
    const fresh = page.querySelector("[data-refresh]") ?? page;
    showLocalTimes(fresh);
    // A person who reads or selects something keeps it.
    if (fresh.innerHTML === shown || !getSelection().isCollapsed) return;
    shown = fresh.innerHTML;
    const before = new Map(names(main, "details, pre, .scroll, input"));
    for (const [name, part] of names(fresh, "details, pre, .scroll, input")) {
        const old = before.get(name);
        if (!old) continue;
        if (part.matches("details")) part.open = old.open;
        if (part.matches("input:not([type=hidden])")) part.value = old.value;
        part.dataset.top = old.scrollTop;
    }
    const caret = document.activeElement.selectionStart;
    const focused = names(main, FOCUSABLE).find(([, part]) => part === document.activeElement)?.[0];
    main.replaceChildren(...fresh.childNodes);
    for (const part of main.querySelectorAll("[data-top]")) part.scrollTop = part.dataset.top;
    const part = new Map(names(main, FOCUSABLE)).get(focused);
    part?.focus({ preventScroll: true });
    if (part?.matches("input")) part.setSelectionRange(caret, caret);
}

let shown = "";
showLocalTimes(main);
let later;
follow((news, before) => {
    if (news.events === before.events) return;
    refresh();
    // A server's state changes a moment after the event that tells of it, or without any event.
    clearTimeout(later);
    later = setTimeout(refresh, 500);
});
