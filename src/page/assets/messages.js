// The messages of the proxy, or of a recording that it shows.

import { file, follow } from "./live.js";
import { showMessages } from "./message-list.js";

let changes = -1;

async function rows(parameters) {
    const answer = await fetch(`/messages/rows?${parameters}`).catch(() => null);
    if (!answer?.ok) return null;
    const page = await answer.json();
    ({ changes } = page);
    return page;
}

async function detail(number) {
    const answer = await fetch(`/messages/${number}?part=1`).catch(() => null);
    if (!answer) return null;
    const fresh = document.createElement("div");
    // The proxy has escaped all foreign text, and its policy forbids scripts in the markup.
    if (answer.ok) fresh.innerHTML = await answer.text();
    else fresh.textContent = "This message is not kept any more.";
    return fresh;
}

document.querySelector("#filter button:not([formaction])").hidden = true;
const list = showMessages({ rows, detail }, !file);
follow((news) => {
    if (news.messages !== changes) list.update();
    list.updateDetail();
});
