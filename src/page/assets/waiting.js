// The number of requests that wait for the user, beside the link to their page.

import { follow } from "./live.js";

const link = document.querySelector("nav a[href='/input']");
follow(({ input: { waiting } }) => {
    const text = waiting === 0 ? "Input" : `Input (${waiting})`;
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("waiting", waiting > 0);
});
