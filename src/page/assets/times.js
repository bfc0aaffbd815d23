// Times in the zone of the browser.

/** Shows the times below `root` in the zone of the browser. */
export function showLocalTimes(root) {
    for (const time of root.querySelectorAll("time")) {
        const at = new Date(time.dateTime);
        const two = (number, digits = 2) => String(number).padStart(digits, "0");
        const [hours, minutes, seconds] = [at.getHours(), at.getMinutes(), at.getSeconds()].map((it) => two(it));
        time.textContent = `${hours}:${minutes}:${seconds}.${two(at.getMilliseconds(), 3)}`;
        time.title = at.toString();
    }
}
