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
                await work();
            }
        } finally {
            isBusy = false;
        }
    };
}
