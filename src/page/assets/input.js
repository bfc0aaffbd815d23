// Requests of servers that wait for the user. New ones appear at once; a form that is being filled in stays.

import { connectForm } from "./json-form.js";
import { latest } from "./latest.js";
import { follow, showLocalTimes } from "./live.js";

const OVER = "This request does not wait any more: it was answered in another tab, or its server or client has withdrawn it.";
const questions = document.getElementById("questions");

function connect(article) {
    showLocalTimes(article);
    const form = article.querySelector("form");
    const parts = [".fields", ".as-json", ".misfit", ".fault", ".refused"].map((part) => form.querySelector(part));
    const [place, json, misfit, fault, refused] = parts;
    if (place) connectForm(form, { place, json, misfit, fault });
    form.addEventListener("input", () => {
        article.dataset.touched = "";
        refused.hidden = true;
    });
    form.addEventListener("submit", async (event) => {
        if (event.defaultPrevented) return;
        event.preventDefault();
        const body = new URLSearchParams(new FormData(form, event.submitter));
        article.dataset.sent = "";
        const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
        if (answer?.ok) return article.remove();
        delete article.dataset.sent;
        // The proxy has escaped all foreign text; the parser runs no script.
        const page = new DOMParser().parseFromString((await answer?.text()) ?? "", "text/html");
        refused.textContent = page.querySelector("main pre")?.textContent ?? "The proxy does not answer.";
        refused.hidden = false;
    });
}

/** Tells that a request does not wait any more; one that nobody has begun to answer disappears. */
function end(article) {
    if ("sent" in article.dataset || "ended" in article.dataset) return;
    if (!("touched" in article.dataset)) return article.remove();
    article.dataset.ended = "";
    const refused = article.querySelector(".refused");
    refused.textContent = OVER;
    refused.hidden = false;
    for (const button of article.querySelectorAll("form button")) button.disabled = true;
}

const number = (article) => Number(article.dataset.question);
const newest = () => Math.max(0, ...[...questions.children].map(number));
/** Number of the newest request that this tab has shown. */
let shown = newest();

const refresh = latest(async () => {
    const answer = await fetch(`/input?part=1&after=${shown}`).catch(() => null);
    if (!answer?.ok) return;
    const fresh = document.createElement("main");
    // The proxy has escaped all foreign text, and its policy forbids scripts in the markup.
    fresh.innerHTML = await answer.text();
    const list = fresh.querySelector("#questions");
    if (list.dataset.on !== questions.dataset.on) return isSwitching || location.reload();
    const open = new Set([...list.children].map(number));
    for (const article of [...questions.children]) if (!open.has(number(article))) end(article);
    for (const article of [...list.children].filter((it) => number(it) > shown)) {
        questions.append(article);
        connect(article);
    }
    shown = Math.max(shown, newest());
    document.getElementById("none").textContent = fresh.querySelector("#none").textContent;
});

// The switch leads to a page of its own once the servers have reloaded.
let isSwitching = false;
document.querySelector("form[action='/input/switch']").addEventListener("submit", () => (isSwitching = true));

for (const article of questions.children) connect(article);
follow((news, before) => {
    if (news.input.changes !== before.input?.changes) refresh();
});
