// The recording in the head of each page: its state, and its buttons.

import { follow } from "./live.js";

const form = document.getElementById("record");
const [start, stop] = form.querySelectorAll("button");

form.addEventListener("submit", (event) => {
    event.preventDefault();
    // The stream tells the outcome.
    fetch(form.action, { method: "POST", body: `do=${event.submitter.value}` }).catch(() => null);
});
follow(({ recording }) => {
    const { words, isRunning } = recording;
    const recorded = document.getElementById("recorded");
    if (recorded.textContent !== (words ?? "")) recorded.textContent = words ?? "";
    document.getElementById("download").hidden = words === null;
    form.toggleAttribute("data-running", isRunning);
    start.hidden = isRunning;
    stop.hidden = !isRunning;
    // The hidden button would lose the focus to the whole page.
    if (form.contains(document.activeElement) && document.activeElement.hidden) (isRunning ? stop : start).focus();
});
