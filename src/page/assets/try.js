// The page for trying tools: the form and its JSON follow each other, and the answer appears when it arrives.

import { follow } from "./live.js";
import { argumentsControl } from "./try-fields.js";
import { isSame, parse, print } from "./try-json.js";

const MISFIT = "The form cannot show all of the JSON, which is sent as it is. A change in the form replaces it.";

const chooser = document.getElementById("choose");
if (chooser) {
    chooser.querySelector("button").hidden = true;
    chooser.addEventListener("change", () => chooser.submit());
}

const form = document.getElementById("call");
if (form) connect(document.getElementById("fields"), document.getElementById("arguments"));

function connect(place, json) {
    const fault = document.getElementById("fault");
    const misfit = document.getElementById("misfit");
    const fields = JSON.parse(place.dataset.fields ?? "[]");
    const control = fields.length > 0 ? argumentsControl(fields) : null;

    function say(element, text) {
        element.textContent = text;
        element.hidden = text === "";
    }

    /** Shows the JSON in the form, where it fits. */
    function read(isFirst) {
        let value;
        try {
            value = parse(json.value.trim() || "{}");
            say(fault, "");
        } catch (error) {
            return say(fault, `Not JSON: ${error.message}`);
        }
        const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
        if (!isObject) return say(fault, "The arguments must be a JSON object.");
        if (isFirst) json.value = print(value, "  ");
        if (!control) return;
        control.set(value);
        const isFit = isSame(parse(control.get() ?? "{}"), value);
        place.classList.toggle("stale", !isFit);
        // A value that its field refuses is sent nevertheless.
        form.noValidate = !isFit;
        say(misfit, isFit ? "" : MISFIT);
    }

    if (control) {
        place.append(control.element);
        place.addEventListener("input", () => {
            json.value = print(parse(control.get() ?? "{}"), "  ");
            place.classList.remove("stale");
            form.noValidate = false;
            say(misfit, "");
            say(fault, "");
        });
    }
    json.addEventListener("input", () => read(false));
    form.addEventListener("submit", (event) => {
        if (!fault.hidden) {
            event.preventDefault();
            json.focus();
        }
    });
    form.addEventListener("keydown", (event) => {
        const isRun = event.key === "Enter" && (event.ctrlKey || event.metaKey);
        if (isRun) form.requestSubmit(form.querySelector("button.main"));
    });
    read(true);
}

const place = document.getElementById("answer");
let isBusy = false;
let isStale = false;

/** Shows the answer when it has arrived. */
async function showAnswer() {
    isStale = true;
    if (isBusy) return;
    isBusy = true;
    while (isStale && place.querySelector("[data-open]")) {
        isStale = false;
        const { call } = place.querySelector("[data-open]").dataset;
        const answer = await fetch(`/try/answer?call=${call}`).catch(() => null);
        if (!answer?.ok) break;
        const fresh = document.createElement("div");
        // The proxy has escaped all foreign text, and its policy forbids scripts in the markup.
        fresh.innerHTML = await answer.text();
        if (!fresh.querySelector("[data-open]")) place.replaceChildren(...fresh.childNodes);
    }
    isBusy = false;
}

/** Tells that a save has changed the tools: the form may be filled in, and stays. */
async function checkTools() {
    const { at, tool } = form.elements;
    const parameters = new URLSearchParams({ at: at.value, tool: tool.value, part: 1 });
    const answer = await fetch(`/try?${parameters}`).catch(() => null);
    if (!answer?.ok) return;
    const fresh = document.createElement("div");
    fresh.innerHTML = await answer.text();
    const shown = (root) => {
        const parts = [...root.querySelectorAll("#fields, #choose option")];
        return parts.map((it) => it.dataset.fields ?? it.value).join();
    };
    document.getElementById("changed").hidden = shown(fresh) === shown(document);
}

follow((news, before) => {
    showAnswer();
    if (form && before.events !== undefined && news.events !== before.events) checkTools();
});
showAnswer();
