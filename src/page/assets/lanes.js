// Turns events into lanes.

const SIGNS = {
    changed: ["save", "▼"],
    broken: ["bad", "✕"],
    exited: ["bad", "✕"],
    flapping: ["bad", "✕"],
    standby: ["standby", "◇"],
    drain_abandoned: ["bad", "!"],
};

class Lane {
    constructor(session, server) {
        this.session = session;
        this.server = server;
        this.spans = [];
        this.marks = [];
        this.open = new Map();
    }

    begin(key, kind, from, generation, words) {
        this.end(key, from);
        const span = { kind, from, to: null, generation, words };
        this.spans.push(span);
        this.open.set(key, span);
    }

    end(key, at) {
        const span = this.open.get(key);
        if (!span) return false;
        span.to = at;
        this.open.delete(key);
        return true;
    }

    /** Returns true if something of the lane is between two times. */
    isIn(from, to) {
        return this.marks.some((mark) => mark.at >= from && mark.at <= to) || this.spans.some((span) => span.from <= to && (span.to ?? to) >= from);
    }

    add(event) {
        const at = Date.parse(event.time);
        const generation = event.generation ?? event.failure?.generation;
        const sign = SIGNS[event.event];
        if (sign) this.marks.push({ at, kind: sign[0], sign: sign[1], words: event.text, number: event.n });
        switch (event.event) {
            case "building":
                this.end("build", at);
                this.begin("build", "build", at, 0, "build");
                break;
            case "spawned":
            case "connecting":
                this.end("build", at);
                this.begin(`start ${generation}`, "start", at, generation, `start of generation ${generation}`);
                break;
            case "ready":
            case "reloaded":
                this.end("build", at);
                this.end(`start ${generation}`, at);
                for (const key of [...this.open.keys()]) {
                    if (!key.startsWith("live ")) continue;
                    const { generation: old } = this.open.get(key);
                    this.end(key, at);
                    this.begin(`drain ${old}`, "drain", at, old, `drain of generation ${old}`);
                }
                this.begin(`live ${generation}`, "live", at, generation, `generation ${generation}`);
                break;
            case "broken":
                this.end("build", at);
                this.end(`start ${generation}`, at);
                break;
            case "exited":
            case "stopped":
                for (const kind of ["start", "live", "drain"]) this.end(`${kind} ${generation}`, at);
                break;
            case "unloaded":
                for (const key of [...this.open.keys()]) this.end(key, at);
                break;
        }
    }
}

/** Returns the lanes of the servers of all sessions that the events name, in the order of their first event. */
export function lanes(events) {
    const lanes = new Map();
    for (const event of events) {
        if (!event.server) continue;
        const key = `${event.session} ${event.server}`;
        if (!lanes.has(key)) lanes.set(key, new Lane(event.session, event.server));
        lanes.get(key).add(event);
    }
    return [...lanes.values()];
}
