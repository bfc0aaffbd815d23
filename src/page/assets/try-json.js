// JSON that keeps numbers as they are written, since many have no exact value in a browser.

/** Number as it is written. */
export class Digits {
    constructor(text) {
        this.text = text;
    }
}

/** Parses a JSON text; throws for any other. */
export function parse(text) {
    const kept = (_, value, context) => (typeof value === "number" ? new Digits(context?.source ?? String(value)) : value);
    return JSON.parse(text, kept);
}

/** Returns the JSON text of a parsed value; with an indentation in lines. */
export function print(value, indentation = "", line = "\n") {
    if (value instanceof Digits) return value.text;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    const isList = Array.isArray(value);
    const inner = line + indentation;
    const name = (key) => `${JSON.stringify(key)}:${indentation && " "}`;
    const parts = isList
        ? value.map((item) => print(item, indentation, inner))
        : Object.keys(value).map((key) => name(key) + print(value[key], indentation, inner));
    const [begin, end] = isList ? "[]" : "{}";
    if (parts.length === 0) return begin + end;
    if (!indentation) return begin + parts.join() + end;
    return begin + inner + parts.join(`,${inner}`) + line + end;
}

/** Returns true if two parsed values are the same; the order of members does not count. */
export function isSame(one, other) {
    if (one instanceof Digits || other instanceof Digits) return one?.text !== undefined && one.text === other?.text;
    if (one === null || other === null || typeof one !== "object" || typeof other !== "object") return one === other;
    if (Array.isArray(one) !== Array.isArray(other)) return false;
    const names = Object.keys(one);
    const isMember = (name) => Object.hasOwn(other, name) && isSame(one[name], other[name]);
    return names.length === Object.keys(other).length && names.every(isMember);
}
