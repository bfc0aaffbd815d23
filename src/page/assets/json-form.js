// A form made of a schema, and its JSON: both follow each other, and the JSON is sent.

import { argumentsControl } from "./try-fields.js";
import { isSame, parse, print } from "./try-json.js";

const MISFIT = "The form cannot show all of the JSON, which is sent as it is. A change in the form replaces it.";

/** Connects the fields in `place` with the JSON beside them; `misfit` and `fault` say what they cannot take. */
export function connectForm(form, { place, json, misfit, fault }) {
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
        if (!isObject) return say(fault, "This must be a JSON object.");
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
        if (!fault.hidden && !event.submitter?.formNoValidate) {
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
