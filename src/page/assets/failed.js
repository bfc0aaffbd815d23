// The line above each page that names the servers that have failed.

import { follow } from "./live.js";

const line = document.getElementById("failed");
let shown = null;
follow(({ failed }) => {
    const state = JSON.stringify(failed);
    // A link that is drawn anew loses the focus.
    if (state === shown) return;
    shown = state;
    const parts = failed.named.flatMap(([name, address]) => {
        const link = document.createElement("a");
        link.href = address;
        const text = document.createElement("bdi");
        text.textContent = name;
        link.append(text);
        return [", ", link];
    });
    if (failed.more > 0) parts.push(` and ${failed.more} more`);
    line.querySelector("span").replaceChildren(...parts.slice(1));
    line.hidden = failed.named.length === 0;
});
