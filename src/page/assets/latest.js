// Work that repeats itself while there is something new.

/** Returns a function that runs `work`, or, while it runs, lets it run once more afterwards. */
export function latest(work) {
    let isBusy = false;
    let isStale = false;
    return async () => {
        isStale = true;
        if (isBusy) return;
        isBusy = true;
        try {
            while (isStale) {
                isStale = false;
                const begin = performance.now();
                await work();
                // Long work leaves half of the time to the proxy and to the person.
                // A hidden tab draws nothing meanwhile.
                const rest = Math.min(performance.now() - begin, 1000);
                if (isStale) await new Promise((done) => setTimeout(done, rest));
            }
        } finally {
            isBusy = false;
        }
    };
}
