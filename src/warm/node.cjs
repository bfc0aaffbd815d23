// Bootstrap for Node.js: prepares a process for the next start of a server and leaves no trace.
//
// Node.js loads this file before it runs its command, because NODE_OPTIONS requires it. The folder of the same name
// beside this file has the same content as the folder of the Python bootstrap, and
//
//     report    its creation requests the notes of loaded files
//
// Marks in the notes: `#import` and `#require` are packages that the user's code loads itself, in this order, before it
// does anything else, found by `imports.cjs` (prepended to this file). `#common` are CommonJS modules of the user,
// `#link` symlink paths to modules, `#found` modules that are named but not loaded yet. Worker threads require this
// file, too, as long as the process lives; it does nothing there.
const { pathToFileURL } = require('node:url');
const { setFlagsFromString } = require('node:v8');
const { isMainThread } = require('node:worker_threads');

const isWindows = process.platform === 'win32';
const folder = __filename.slice(0, -'.cjs'.length);
const within = (name) => path.join(folder, name);

function read(name) {
    try {
        return fs.readFileSync(within(name), 'utf8');
    } catch {
        return undefined;
    }
}

/** Whether this is the server process, which communicates with the client, not a wrapper or a tool. */
function isRightProcess() {
    const words = (read('words') ?? '').split('\0').slice(0, -1);
    const given = process.argv.slice(1);
    const same = (word, at) => word === words[at] || (at === 0 && path.basename(word) === path.basename(words[0]));
    if (words.length === 0 || given.length !== words.length || !given.every(same)) return false;
    // On Windows, `isFIFO` is always false.
    const piped = [0, 1].every((fd) => (fs.fstatSync(fd).mode & fs.constants.S_IFMT) === 0o010000);
    // `realpathSync` reads the result of the last `stat` and stops if it shows a FIFO.
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

// Notes for the next standby.

/** Returns the files of all code compiled by V8 so far, in that order. */
function compiled() {
    const files = new Set();
    inspect((session) => {
        session.on('Debugger.scriptParsed', ({ params: { url } }) => {
            const file = url.startsWith('file://') ? fileURLToPath(url) : url;
            if (!path.isAbsolute(file) || file === __filename) return;
            // Loaders of TypeScript append a query to some paths, too.
            files.add(/[?#]/.test(file) && !fs.existsSync(file) ? file.replace(/[?#].*/s, '') : file);
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

function report() {
    const entry = fs.realpathSync(process.argv[1]);
    const files = compiled();
    const lines = [`#interpreter\t${process.execPath}`];
    const folders = new Set();
    for (const file of files) {
        const at = file.indexOf(PACKAGES);
        if (at >= 0) folders.add(file.slice(0, at + PACKAGES.length));
    }
    for (const place of folders) lines.push(`#installed\t${place}`, `#interpreter\t${place}.package-lock.json`);
    // In a workspace, the server may be started from another folder than that of its package.
    for (let at = path.dirname(entry); at !== path.dirname(at); at = path.dirname(at)) {
        lines.push(`#own\t${at}`);
        if (fs.existsSync(path.join(at, 'package.json'))) break;
    }
    const common = new Set(Object.keys(Module._cache).filter((file) => !file.includes(PACKAGES)));
    for (const file of common) lines.push(`#common\t${file}`);
    for (const [root, [how, asker]] of beginning(entry, files, common).roots) lines.push(`${how}\t${root}\t${asker}`);
    const { data, links, later } = besides(files);
    if (entry !== path.resolve(process.argv[1])) links.add(path.resolve(process.argv[1]));
    for (const link of links) lines.push(`#link\t${link}`);
    for (const file of later) lines.push(`#found\t${file}`);
    for (const file of new Set([...files, ...common, ...data])) lines.push(`${file}\t${file}`);
    // Without O_CREAT: the removal of the folder ends the notes.
    fs.appendFileSync(within('log'), lines.join('\n') + '\n#end\t\n', { flag: fs.constants.O_WRONLY | fs.constants.O_APPEND });
}

/**
 * Returns JSON files named by modules of the user, which V8 does not compile, symlinks to modules, and modules of the
 * user that are named but not loaded yet, for example by `import()` in a function.
 */
function besides(files) {
    const data = new Set();
    const links = new Set();
    const later = new Set();
    const visited = [...files].filter((it) => !it.includes(PACKAGES) && isFile(it));
    const addLater = (file) => {
        if (files.has(file) || later.has(file)) return;
        later.add(file);
        visited.push(file);
    };
    for (const file of visited) {
        for (const [, name] of fs.readFileSync(file, 'utf8').matchAll(/\b(?:from|import|require)\b[\s(]*['"]([^'"\n]+)['"]/g)) {
            if (isPath(name)) {
                const places = candidates(name, file).filter(isFile);
                if (places[0]?.endsWith('.json')) data.add(real(places[0]));
                else if (places[0] && isCode(places[0]) && !places.some((it) => files.has(real(it)))) addLater(real(places[0]));
                for (const it of places) if (real(it) !== it && files.has(real(it))) links.add(it);
            } else {
                const { place, rest } = installed(name, file) ?? {};
                const target = place && real(place);
                if (target === place || target.includes(PACKAGES)) continue;
                const named = fileOf(target, rest, files) ?? fileOf(target, rest, { has: (it) => isCode(it) && isFile(it) });
                if (named) addLater(named);
                const inside = [...files, ...later].filter((it) => it.startsWith(target + path.sep));
                for (const it of inside) links.add(place + it.slice(target.length));
            }
        }
    }
    return { data, links, later };
}

const isCode = (place) => /(?<!\.d)\.[cm]?[jt]sx?$/.test(place);

/** Polls for the request of a report, without keeping the process alive. */
function learn() {
    const timer = setInterval(() => {
        try {
            if (fs.existsSync(within('report'))) report();
            else if (fs.existsSync(within('log'))) return;
        } catch {
            // Without a report nothing is learned.
        }
        clearInterval(timer);
    }, 100);
    timer.unref();
}

// Standby.

class Unfit extends Error {}

/** Returns the path of a named pipe, which on Windows stands in the file of that name. */
const pipe = (name) => (isWindows ? read(name) : within(name));

/** Synchronous if only CommonJS modules are loaded ahead: the command then runs from the same caller as without it. */
async function standBy(learned) {
    const said = fs.openSync(pipe('said'), fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    const go = fs.openSync(pipe('go'), 'r');
    const say = (text) => fs.writeSync(said, text.replaceAll('\n', ' ').slice(0, 500) + '\n');
    const waitFor = (word) => {
        const heard = Buffer.alloc(1);
        // The pipe closes when the proxy ends.
        if (fs.readSync(go, heard) !== 1 || heard.toString() !== word) process.reallyExit(0);
    };
    const { imports, requires, main, mismatch } = plan(learned);
    let run;
    try {
        say(`claimed ${process.pid}`);
        waitFor('i');
        if (process.execArgv.includes('--import') || imports.length > 0) {
            run = await whenMainIsDue();
            await importFirst();
        }
        const check = watch();
        // Compiles all functions now, not at their first call, which would be after the save.
        setFlagsFromString('--no-lazy');
        const isLate = imports.length > 0 && (await importAll(imports));
        requireAll(requires, main);
        setFlagsFromString('--lazy');
        check();
        if (isLate && mismatch(isLate)) throw new Unfit(mismatch(isLate));
        // Otherwise a garbage collection would be due at the start of the command.
        inspect((session) => session.post('HeapProfiler.collectGarbage'));
        say('ready');
        waitFor('g');
        const different = mismatch(isLate);
        if (different) {
            say(`differs ${different}`);
            process.reallyExit(0);
        }
        say('runs');
        fs.closeSync(said);
        fs.closeSync(go);
    } catch (error) {
        try {
            say(error instanceof Unfit ? `unfit ${error.message}` : `unfit preloading failed: ${error}`);
        } finally {
            process.reallyExit(0);
        }
    }
    learn();
    // An exception must not become a rejection of this promise.
    if (run) process.nextTick(run);
}

/** Returns the packages to load, and a function that explains why the saved code would load them differently. */
function plan(learned) {
    const lines = learned.split('\n').map((line) => line.split('\t'));
    const marked = (mark) => new Set(lines.filter(([name]) => name === mark).map(([, place]) => place));
    const linked = marked('#linked');
    const roots = lines.filter(([name]) => name === '#import' || name === '#require').map(([how, ...rest]) => [rest[0], how, rest[1]]);
    const end = roots.findIndex(([place]) => linked.has(place));
    if (end >= 0) roots.splice(end);
    const files = new Set(lines.filter(([name]) => !name.startsWith('#')).map(([name]) => name));
    const entry = real(process.argv[1]);
    const common = marked('#common');
    const mismatch = (isLate) => {
        const now = beginning(entry, files, common);
        const order = [...now.roots];
        const other = roots.find(([place, ...how], at) => order[at]?.flat().join() !== [place, ...how].join());
        if (other) return `the saved code loads ${packageNameOf(other[0])} later than before, or not at all`;
        return isLate && !now.isAlone ? 'a package waits while it is loaded, and other code runs meanwhile' : undefined;
    };
    const [imports, requires] = ['#import', '#require'].map((kind) => roots.filter(([, how]) => how === kind));
    return { imports, requires, main: common.has(entry) ? entry : undefined, mismatch };
}

function packageNameOf(place) {
    const name = place.slice(place.lastIndexOf(PACKAGES) + PACKAGES.length).replaceAll(path.sep, '/');
    return /^(?:@[^/]+\/)?[^/]+/.exec(name)[0];
}

/**
 * Evaluates packages as an importing module of the user does. Resolves to whether one of them uses top-level await, so
 * that later code may run before its evaluation ends.
 */
async function importAll(imports) {
    const module = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
    const last = module('export let isLate = false; queueMicrotask(() => { isLate = true; });');
    const names = [...imports.map(([place]) => pathToFileURL(place).href), last];
    const text = names.map((it, at) => `import * as m${at} from ${JSON.stringify(it)};`).join('');
    const list = names.map((_, at) => `m${at}`).join();
    const { all, wasLate } = await import(module(`${text} export const all = [${list}], wasLate = m${imports.length}.isLate;`));
    imports.forEach(([place], at) => buildSchemas(place, all[at]));
    return wasLate;
}

/**
 * Builds the schemas of the MCP SDK, which otherwise does so at the first messages, for longer than the rest of a start.
 * It offers this function to hosts that start ahead of a request.
 */
function buildSchemas(place, loaded) {
    const isSdk = packageNameOf(place).startsWith('@modelcontextprotocol/');
    if (isSdk && typeof loaded?.preloadSchemas === 'function') loaded.preloadSchemas();
}

/** Requires packages on behalf of the modules that use them; `main` is the program's file if it is CommonJS. */
function requireAll(requires, main) {
    const askers = new Map();
    const askerOf = (file) => {
        if (!askers.has(file)) {
            const asker = new Module(file, askers.get(main));
            asker.filename = file;
            asker.paths = Module._nodeModulePaths(path.dirname(file));
            // Some packages act as the program if no module requires them, or look up the main module.
            if (file === main) process.mainModule = asker;
            askers.set(file, asker);
            Module._cache[file] = asker;
        }
        return askers.get(file);
    };
    if (requires.length > 0 && main) askerOf(main);
    for (const [place, , file] of requires) buildSchemas(place, Module._load(place, askerOf(file), false));
    if (askers.has(main)) delete process.mainModule;
    for (const file of askers.keys()) delete Module._cache[file];
}

/** Resolves when Node.js is about to run its command, to a function that runs it. */
function whenMainIsDue() {
    const run = Module.runMain;
    return new Promise((resolve) => {
        Module.runMain = (...main) => {
            Module.runMain = run;
            resolve(() => run(...main));
        };
    });
}

/** Evaluates the `--import` options of the command line, which enable TypeScript and take time. */
async function importFirst() {
    const { execArgv } = process;
    for (const [at, option] of execArgv.entries()) {
        if (option !== '--import') continue;
        const name = execArgv[at + 1];
        const { resolve } = Module.createRequire(path.join(process.cwd(), 'x'));
        await import(name.startsWith('file:') ? name : pathToFileURL(resolve(name)));
    }
}

/** Returns the number of threads of this process; 0 on Windows, which shows it only to programs that start slowly. */
function threads() {
    if (isWindows) return 0;
    if (process.platform === 'linux') return fs.readdirSync('/proc/self/task').length;
    // Prints a heading and a line for each thread.
    const { execFileSync } = require('node:child_process');
    const lines = execFileSync('/bin/ps', ['-M', String(process.pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return lines.trim().split('\n').length - 1;
}

/** Returns a check, to run after packages were loaded, for effects that only the command may have. */
function watch() {
    const before = threads();
    return () => {
        // Node.js starts the four threads of its own pool on first use.
        if (threads() > before + 4) throw new Unfit('preloaded packages start threads');
        const own = [...compiled(), ...Object.keys(Module._cache)].find((file) => !file.includes(PACKAGES));
        if (own !== undefined) throw new Unfit(`a package loads ${own}, which is not an installed module`);
    };
}

if (isMainThread && isRightProcess() && claim()) {
    restore();
    const learned = read('learned');
    if (learned !== undefined) standBy(learned);
    else learn();
}
