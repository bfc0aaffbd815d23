// Buttons that copy something. They are hidden without scripts.

/** Shows the buttons below `root` and lets them copy. */
export function enableCopying(root) {
    for (const button of root.querySelectorAll("button[data-copy], button[data-copy-from]")) {
        button.hidden = false;
        button.addEventListener("click", () => copy(button));
    }
}

async function copy(button) {
    const { copy: text, copyFrom } = button.dataset;
    try {
        await navigator.clipboard.writeText(text ?? (await (await fetch(copyFrom)).text()));
        button.textContent = "Copied";
    } catch {
        button.textContent = "The browser does not allow it";
    }
}
