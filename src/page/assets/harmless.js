// Foreign text that a page shows.

/** Escapes control characters and marks that reverse the reading direction. */
export function harmless(text) {
    const escape = (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, escape);
}
