// The page for trying tools: the form and its JSON follow each other, and the answer appears when it arrives.

import { connectForm } from "./json-form.js";
import { latest } from "./latest.js";
import { follow } from "./live.js";

const chooser = document.getElementById("choose");
if (chooser) {
    chooser.querySelector("button").hidden = true;
    chooser.addEventListener("change", () => chooser.submit());
}

/**
 * Keeps the arguments for this tool in this tab until the proxy ends, and shows them again unless the page has been
 * given those of a call. Another program may get the port after the proxy.
 */
function keepArguments({ at, tool, arguments: json }) {
    const { run } = document.documentElement.dataset;
    const key = JSON.stringify(["arguments", run, at.value, tool.value]);
    const others = Object.keys(sessionStorage).filter((it) => it.startsWith('["arguments"') && JSON.parse(it)[1] !== run);
    for (const other of others) sessionStorage.removeItem(other);
    const kept = sessionStorage.getItem(key);
    const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";
    if (kept !== null && (isReload || json.form.dataset.given === undefined)) json.value = kept;
    const keep = () => {
        try {
            sessionStorage.setItem(key, json.value);
        } catch {
            // Too long for the browser: those before would come back in their place.
            sessionStorage.removeItem(key);
        }
    };
    keep();
    json.form.addEventListener("input", keep);
}

const form = document.getElementById("call");
if (form) {
    keepArguments(form.elements);
    const [place, json, misfit, fault] = ["fields", "arguments", "misfit", "fault"].map((id) => document.getElementById(id));
    connectForm(form, { place, json, misfit, fault });
}

/** Returns the text at a path of the proxy; null if there is none. */
async function textAt(path) {
    try {
        const answer = await fetch(path);
        return answer.ok ? await answer.text() : null;
    } catch {
        return null;
    }
}

const place = document.getElementById("answer");

/** Shows the answer when it has arrived. */
const showAnswer = latest(async () => {
    const open = place.querySelector("[data-open]");
    if (!open) return;
    const answer = await textAt(`/try/answer?call=${open.dataset.call}`);
    if (answer === null) return;
    const fresh = document.createElement("div");
    // The proxy has escaped all foreign text, and its policy forbids scripts in the markup.
    fresh.innerHTML = answer;
    if (!fresh.querySelector("[data-open]")) place.replaceChildren(...fresh.childNodes);
});

/** Tells that a save has changed the tools: the form may be filled in, and stays. */
const checkTools = latest(async () => {
    const { at, tool } = form.elements;
    const tools = await textAt(`/try/tools?${new URLSearchParams({ at: at.value, tool: tool.value })}`);
    if (tools !== null) document.getElementById("changed").hidden = tools === form.dataset.tools;
});

follow((news, before) => {
    showAnswer();
    if (form && before.events !== undefined && news.events !== before.events) checkTools();
});
showAnswer();
