// Prepares a Node.js process for the next start of a server, then is as if it had never been there.
//
// Node.js loads this before it runs its command, because NODE_OPTIONS requires it. The folder beside this file,
// of the same name, holds what the folder of `python.py` holds, and
//
//     report    once it is there, the process notes what it has loaded
//
// What is noted as `#import` or `#require` the user's own code asks for itself, in this order; the rest follows from
// it. This file is required by worker threads as well, as long as the process lives, and does nothing there.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const Module = require('node:module');
const { fileURLToPath, pathToFileURL } = require('node:url');
const { isModuleNamespaceObject } = require('node:util').types;
const { isMainThread } = require('node:worker_threads');

const folder = __filename.slice(0, -'.cjs'.length);
const within = (name) => path.join(folder, name);
const PACKAGES = '/node_modules/';

function read(name) {
    try {
        return fs.readFileSync(within(name), 'utf8');
    } catch {
        return undefined;
    }
}

/** Whether this is the process that speaks with the client, not a wrapper or a tool that it runs. */
function isRightProcess() {
    const words = (read('words') ?? '').split('\0').slice(0, -1);
    const given = process.argv.slice(1);
    const same = (word, at) => word === words[at] || (at === 0 && path.basename(word) === path.basename(words[0]));
    if (words.length === 0 || given.length !== words.length || !given.every(same)) return false;
    const piped = [0, 1].every((fd) => fs.fstatSync(fd).isFIFO());
    // Node.js looks at what was asked for last when it follows links, and stops at what it takes for a pipe.
    fs.statSync('/');
    return piped;
}

function claim() {
    try {
        fs.unlinkSync(within('claim'));
        return true;
    } catch {
        return false;
    }
}

function restore() {
    const original = read('original');
    if (original === undefined) {
        delete process.env.NODE_OPTIONS;
    } else {
        process.env.NODE_OPTIONS = original;
    }
    const value = process._preload_modules.filter((it) => it !== __filename);
    Object.defineProperty(process, '_preload_modules', { ...Object.getOwnPropertyDescriptor(process, '_preload_modules'), value });
    delete Module._cache[__filename];
}

// What is learned.

/** The files of all code that V8 has compiled so far, in that order. */
function compiled() {
    const files = new Set();
    inspect((session) => {
        session.on('Debugger.scriptParsed', ({ params: { url } }) => {
            const file = url.startsWith('file://') ? fileURLToPath(url) : url;
            if (path.isAbsolute(file) && file !== __filename) files.add(file.replace(/[?#].*/s, ''));
        });
        session.post('Debugger.enable');
        session.post('Debugger.disable');
    });
    return files;
}

function inspect(ask) {
    const { Session } = require('node:inspector');
    const session = new Session();
    session.connect();
    ask(session);
    session.disconnect();
}

/**
 * What the modules of the user's own ask for, in the order in which it is evaluated: the files of packages, each with
 * `#import` or `#require` for how it is asked for.
 */
function rootsOf(entry, files) {
    const roots = new Map();
    const seen = new Set();
    const visit = (file) => {
        if (seen.has(file)) return;
        seen.add(file);
        const required = Module._cache[file]?.children.map((it) => it.filename);
        for (const it of required ?? imports(file, files)) {
            if (!it.includes(PACKAGES)) visit(it);
            // What requires an ES module may be told that this is new; that is not for us to hear.
            else if (!required) roots.set(it, roots.get(it) ?? '#import');
            else if (!isModuleNamespaceObject(Module._cache[it]?.exports)) roots.set(it, roots.get(it) ?? '#require');
        }
    };
    visit(entry);
    return roots;
}

/** The files that an ES module imports, as far as they are among `files`. */
function imports(file, files) {
    const text = fs.readFileSync(file, 'utf8');
    const statements = text.matchAll(/^\s*(?:import|export)\b(?:[^'"`;()]*?\bfrom)?\s*(['"])([^'"\n]+)\1/gm);
    return [...statements].map(([, , name]) => resolved(name, file, files)).filter(Boolean);
}

function resolved(name, file, files) {
    if (/^(node:|data:|https?:)/.test(name) || Module.builtinModules.includes(name)) return undefined;
    if (/^(\.|\/|file:)/.test(name)) {
        const base = name.startsWith('file:') ? fileURLToPath(name) : path.resolve(path.dirname(file), name);
        const stem = base.replace(/\.[cm]?js$/, '');
        const ends = ['.ts', '.tsx', '.mts', '.cts', '.js', '.mjs', '.cjs', '/index.ts', '/index.js'];
        return [base, ...ends.map((end) => stem + end)].find((it) => files.has(it));
    }
    const [, packageName, rest] = /^((?:@[^/]+\/)?[^/]+)(.*)$/s.exec(name);
    for (let at = path.dirname(file); ; at = path.dirname(at)) {
        const place = path.join(at, 'node_modules', packageName);
        if (fs.existsSync(place)) return fileOf(fs.realpathSync(place), rest, files);
        if (at === path.dirname(at)) return undefined;
    }
}

/** The file that a package gives out under a name. */
function fileOf(place, rest, files) {
    const { exports, main } = JSON.parse(fs.readFileSync(path.join(place, 'package.json'), 'utf8'));
    const names = exports === undefined ? [rest ? '.' + rest : main ?? 'index.js'] : targets(exports, '.' + rest);
    const found = names.flatMap((it) => [it, it + '.js', it + '/index.js']).map((it) => path.join(place, it));
    return found.find((it) => files.has(it));
}

/** The targets of `name` that conditions may lead to, the first one that was loaded being the one. */
function targets(exports, name) {
    const flat = (it) => (typeof it === 'string' ? [it] : it && typeof it === 'object' ? Object.values(it).flatMap(flat) : []);
    const isMap = exports !== null && typeof exports === 'object' && Object.keys(exports).some((key) => key.startsWith('.'));
    if (!isMap) return name === '.' ? flat(exports) : [];
    if (name in exports) return flat(exports[name]);
    for (const [key, value] of Object.entries(exports)) {
        const [before, after] = key.split('*');
        if (after !== undefined && name.startsWith(before) && name.endsWith(after)) {
            const star = name.slice(before.length, name.length - after.length);
            return flat(value).map((it) => it.replaceAll('*', star));
        }
    }
    return [];
}

function report() {
    const entry = fs.realpathSync(process.argv[1]);
    const files = compiled();
    const lines = [`#interpreter\t${process.execPath}`];
    const installed = new Set();
    for (const file of files) {
        const at = file.indexOf(PACKAGES);
        if (at >= 0) installed.add(file.slice(0, at + PACKAGES.length));
    }
    for (const place of installed) lines.push(`#installed\t${place}`, `#interpreter\t${place}.package-lock.json`);
    for (const [root, how] of rootsOf(entry, files)) lines.push(`${how}\t${root}`);
    for (const file of files) lines.push(`${file}\t${file}`);
    // Not made anew: once the folder is gone, nothing is to be noted any more.
    fs.appendFileSync(within('log'), lines.join('\n') + '\n#end\t\n', { flag: fs.constants.O_WRONLY | fs.constants.O_APPEND });
}

/** Looks from time to time whether a report is wanted, without keeping the process alive. */
function learn() {
    const timer = setInterval(() => {
        try {
            if (fs.existsSync(within('report'))) report();
            else if (fs.existsSync(within('log'))) return;
        } catch {
            // Nothing is learned then.
        }
        clearInterval(timer);
    }, 100);
    timer.unref();
}

// What is done with it.

class Unfit extends Error {}

/** Without a turn of the event loop if all that is known is required: then whoever runs the command is the same. */
async function standBy(learned) {
    const said = fs.openSync(within('said'), fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    const go = fs.openSync(within('go'), 'r');
    const say = (text) => fs.writeSync(said, text.replaceAll('\n', ' ').slice(0, 500) + '\n');
    const waitFor = (word) => {
        const heard = Buffer.alloc(1);
        // The end of the pipe is the end of the proxy.
        if (fs.readSync(go, heard) !== 1 || heard.toString() !== word) process.reallyExit(0);
    };
    const lines = learned.split('\n').map((line) => line.split('\t'));
    const linked = new Set(lines.filter(([name]) => name === '#linked').map(([, place]) => place));
    const roots = lines.filter(([name, place]) => (name === '#import' || name === '#require') && !linked.has(place));
    let run;
    try {
        say(`claimed ${process.pid}`);
        waitFor('i');
        if (process.execArgv.includes('--import') || roots.some(([how]) => how === '#import')) {
            run = await whenMainIsDue();
            await importFirst();
        }
        const check = watch();
        // One that nobody asks for would take itself for the program.
        const asker = new Module(process.argv[1]);
        asker.filename = asker.id;
        for (const [how, place] of roots) {
            if (how === '#import') await import(pathToFileURL(place));
            else Module._load(place, asker, false);
        }
        check();
        // Or it would be due just when the command is to start.
        inspect((session) => session.post('HeapProfiler.collectGarbage'));
        say('ready');
        waitFor('g');
        say('runs');
        fs.closeSync(said);
        fs.closeSync(go);
    } catch (error) {
        try {
            say(error instanceof Unfit ? `unfit ${error.message}` : `unfit loading ahead failed: ${error}`);
        } finally {
            process.reallyExit(0);
        }
    }
    learn();
    // What it throws is not for a promise.
    if (run) process.nextTick(run);
}

/** Resolves when Node.js is about to run its command, which the function that it gives does. */
function whenMainIsDue() {
    const run = Module.runMain;
    return new Promise((resolve) => {
        Module.runMain = (...main) => {
            Module.runMain = run;
            resolve(() => run(...main));
        };
    });
}

/** Imports what the command line has imported first: it makes TypeScript loadable, and takes its time. */
async function importFirst() {
    const { execArgv } = process;
    for (const [at, option] of execArgv.entries()) {
        if (option !== '--import') continue;
        const name = execArgv[at + 1];
        const { resolve } = Module.createRequire(path.join(process.cwd(), 'x'));
        await import(name.startsWith('file:') ? name : pathToFileURL(resolve(name)));
    }
}

/** Gives what tells, after packages were loaded, whether they did what only the command may do. */
function watch() {
    const threads = () => fs.readdirSync('/proc/self/task').length;
    const before = threads();
    const { exit } = process;
    process.exit = () => {
        throw new Unfit('a package ends the process');
    };
    return () => {
        process.exit = exit;
        // Those that read files for Node.js itself are started when they are first needed.
        if (threads() > before + 4) throw new Unfit('loading ahead starts threads');
        const own = [...compiled(), ...Object.keys(Module._cache)].find((file) => !file.includes(PACKAGES));
        if (own !== undefined) throw new Unfit(`a package loads ${own}, which is no package`);
    };
}

if (isMainThread && isRightProcess() && claim()) {
    restore();
    const learned = read('learned');
    if (learned !== undefined) standBy(learned);
    else learn();
}
