// The page for trying tools: the form and its JSON follow each other, and the answer appears when it arrives.

import { latest } from "./latest.js";
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
