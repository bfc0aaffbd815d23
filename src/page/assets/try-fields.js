// Controls for the arguments of a tool. Each has an `element`; `get` returns the JSON text of its value, or undefined if
// it was not filled in; `set` shows a parsed value, or nothing for undefined. All texts come from servers.

import { harmless } from "./harmless.js";
import { Digits, parse, print } from "./try-json.js";

function create(tag, className = "", text = "") {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.textContent = text;
    return element;
}

let count = 0;

/** Returns a control with one input, and a box for null beside it if the field may be null. */
function simple(field, input, read, write) {
    input.id = `field${++count}`;
    input.ariaLabel = field.label;
    const element = create("span");
    const wrong = create("span", "wrong");
    wrong.setAttribute("role", "alert");
    element.append(input);
    let box = null;
    if (field.is_nullable && field.kind !== "choice" && field.kind !== "boolean") {
        box = create("input");
        box.type = "checkbox";
        box.addEventListener("input", () => (input.disabled = box.checked));
        box.ariaLabel = `${field.label}: null`;
        const label = create("label", "null");
        label.append(box, " null");
        element.append(label);
    }
    element.append(wrong);
    const check = (message) => {
        wrong.textContent = message && ` ${message}`;
        input.ariaInvalid = message ? "true" : "false";
        input.setCustomValidity(message);
    };
    return {
        element,
        get() {
            check("");
            if (box?.checked) return "null";
            return input.value === "" ? undefined : read(input.value, check);
        },
        set(value) {
            if (box) box.checked = value === null;
            input.disabled = box?.checked ?? false;
            input.value = value === undefined || (box && value === null) ? "" : write(value);
        },
    };
}

function text(field) {
    const input = create("textarea");
    input.rows = 1;
    return simple(field, input, (typed) => JSON.stringify(typed), (value) => (typeof value === "string" ? value : ""));
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const INTEGER = /^-?(0|[1-9]\d*)$/;

function number(field) {
    const isInteger = field.kind === "integer";
    const input = create("input");
    input.inputMode = isInteger ? "numeric" : "decimal";
    input.autocomplete = "off";
    const read = (typed, check) => {
        const digits = typed.trim();
        if ((isInteger ? INTEGER : NUMBER).test(digits)) return digits;
        check(isInteger ? "not an integer" : "not a number");
    };
    return simple(field, input, read, (value) => (value instanceof Digits ? value.text : ""));
}

function json(field) {
    const input = create("textarea");
    input.rows = 2;
    input.spellcheck = false;
    input.placeholder = "JSON";
    const read = (typed, check) => {
        try {
            return print(parse(typed));
        } catch {
            check("not JSON");
        }
    };
    return simple({ ...field, is_nullable: false }, input, read, (value) => print(value, "  "));
}

function choice(field) {
    const options = [...(field.options ?? ["true", "false"])];
    if (field.is_nullable && !options.includes("null")) options.push("null");
    const input = create("select");
    const values = options.map((option) => print(parse(option)));
    input.append(new Option("— left out —", ""));
    values.forEach((value, index) => {
        const shown = parse(options[index]);
        const title = field.titles?.[index] || (typeof shown === "string" ? shown : value);
        input.append(new Option(harmless(title), value));
    });
    return simple(field, input, (value) => value, (value) => {
        const text = print(value);
        return values.includes(text) ? text : "";
    });
}

function object(field) {
    const element = create("fieldset");
    element.ariaLabel = field.label;
    const children = field.fields.map((child) => [child.name, labelled(child)]);
    element.append(...children.map(([, child]) => child.element));
    return {
        element,
        get() {
            const values = children.map(([name, child]) => [name, child.get()]);
            const members = values.filter(([, value]) => value !== undefined);
            if (members.length === 0) return undefined;
            return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`;
        },
        set(value) {
            const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
            const member = (name) => (isObject && Object.hasOwn(value, name) ? value[name] : undefined);
            for (const [name, child] of children) child.set(member(name));
        },
    };
}

function list(field) {
    const element = create("fieldset");
    element.ariaLabel = field.label;
    const add = create("button", "", "Add an item");
    add.type = "button";
    element.append(add);
    let items = [];
    const changed = () => element.dispatchEvent(new Event("input", { bubbles: true }));
    const append = (value) => {
        const control = of({ ...field.item, label: `${field.label}, item` });
        const row = create("div", "item field");
        const remove = create("button", "", "Remove");
        remove.type = "button";
        const item = { control, row };
        remove.addEventListener("click", () => {
            items = items.filter((it) => it !== item);
            row.remove();
            add.focus();
            changed();
        });
        row.append(control.element, remove);
        control.set(value);
        items.push(item);
        add.before(row);
        return row;
    };
    add.addEventListener("click", () => append(undefined).querySelector("input, textarea, select, button")?.focus());
    return {
        element,
        get() {
            const values = items.map(({ control }) => control.get()).filter((value) => value !== undefined);
            return values.length === 0 ? undefined : `[${values.join()}]`;
        },
        set(value) {
            for (const { row } of items) row.remove();
            items = [];
            if (Array.isArray(value)) value.slice(0, 200).forEach(append);
        },
    };
}

const CONTROLS = { text, number, integer: number, boolean: choice, choice, object, list, json };

/** Returns the control for a field; an object or a list that may be null has a box for that. */
function of(field) {
    const control = CONTROLS[field.kind](field);
    if (!field.is_nullable || (field.kind !== "object" && field.kind !== "list")) return control;
    const element = create("span");
    const label = create("label", "null");
    const box = create("input");
    box.type = "checkbox";
    label.append(box, " null");
    element.append(label, control.element);
    const show = () => (control.element.disabled = box.checked);
    box.addEventListener("input", show);
    return {
        element,
        get: () => (box.checked ? "null" : control.get()),
        set(value) {
            box.checked = value === null;
            show();
            control.set(value);
        },
    };
}

/** Returns the control for a member of an object, with its name and description. */
function labelled(field) {
    const control = of({ ...field, label: field.name });
    const element = create("div", "field");
    const name = create("bdi", "name", harmless(field.name));
    const about = create("p", "about", field.about ?? "");
    const hints = [field.is_required ? "required" : "", field.default === null ? "" : `default ${harmless(field.default)}`];
    const hint = create("span", "soft", hints.filter(Boolean).join(", "));
    if (control.element.matches("fieldset")) {
        const legend = create("legend");
        legend.append(name, " ", hint);
        control.element.prepend(legend, about);
        element.append(control.element);
    } else {
        const label = create("label");
        label.htmlFor = control.element.querySelector("textarea, select, input")?.id ?? "";
        label.append(name, " ", hint);
        element.append(label, about, control.element);
    }
    return { ...control, element };
}

/** Returns the control for all arguments. */
export function argumentsControl(fields) {
    return object({ fields, label: "Arguments" });
}
