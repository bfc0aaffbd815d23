// Finds the packages that modules of the user load before they do anything else.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const Module = require('node:module');
const { fileURLToPath } = require('node:url');
const { isModuleNamespaceObject } = require('node:util').types;

const PACKAGES = path.join('/', 'node_modules', '/');

/**
 * Returns the packages loaded before any code of the user does more than import them, in evaluation order. `roots` maps
 * the file of each to the kind of import and the importing file. These packages see a process in its initial state;
 * later ones may see changes made by the user's code. `isAlone`: whether the entry is the only module of the user.
 *
 * @param files    files loaded by a process; an import of any other file ends the search
 * @param common   modules of the user that are CommonJS
 */
function beginning(entry, files, common) {
    const roots = new Map();
    const seen = new Set();
    const visit = (file) => {
        seen.add(file);
        const isCommon = common.has(file);
        const { names, isWhole } = header(fs.readFileSync(file, 'utf8'), file, isCommon);
        for (const name of names) {
            if (doesNothing(name)) continue;
            const it = resolved(name, file, files, isCommon);
            if (it?.includes(PACKAGES)) {
                // `require` of an ES module may print a warning, which must appear at its usual point.
                if (isCommon && isModuleNamespaceObject(Module._cache[it]?.exports)) return false;
                if (!roots.has(it)) roots.set(it, [isCommon ? '#require' : '#import', file]);
            } else if (!seen.has(it)) {
                if (it !== undefined && (common.has(it) || !isCommon)) visit(it);
                // The body of that module has run by now.
                return false;
            }
        }
        return isWhole;
    };
    return { isAlone: visit(entry), roots };
}

/** Whether loading this module runs no code of the user. */
const doesNothing = (name) => Module.isBuiltin(name) || /^\..*\.json$/s.test(name);

const GAP = String.raw`(?:\s|//.*|/\*[^]*?\*/)*`;
const NAME = String.raw`(?:"([^"\\\n]+)"|'([^'\\\n]+)')`;
const IMPORT = RegExp(
    String.raw`(import|export)\b(?!\s+(?:defer|source)\b)(?:${GAP}((?:(?!\b(?:import|export)\b)[\w$*,{}\s]|//.*|/\*[^]*?\*/)+?)\bfrom)?${GAP}${NAME}` +
        String.raw`(?:${GAP}(?:with|assert)${GAP}\{[^{}]*\})?`,
    'y',
);
const REQUIRE = RegExp(
    String.raw`(?:(?:(?:const|let|var)\s+|,\s*)(?:[\w$]+|\{[\w$,:\s]*\})\s*=\s*)?` +
        String.raw`(?:__import(?:Default|Star)\(require\(${NAME}\)\)|require\(${NAME}\))(?:\.[\w$]+)*` +
        // Any other text might continue the expression.
        String.raw`(?=\s*[;,]|[^\S\n]*(?://.*)?(?:\n${GAP}(?!in\b|instanceof\b)[\w$'"}]|\s*$))`,
    'y',
);
/** Text without effect between imports, most of it from compilers. */
const NOTHING = RegExp(
    String.raw`(?:\s|;|//.*|/\*[^]*?\*/|#!.*|'use strict'|"use strict"` +
        String.raw`|Object\.defineProperty\(exports, "__esModule", \{ value: true \}\);|(?:exports\.[\w$]+ = )+(?:void 0|[\w$]+);` +
        String.raw`|var (__createBinding|__setModuleDefault|__importStar|__importDefault|__exportStar) = \(this && this\.\1\) \|\| ` +
        String.raw`[^]*?\n\}[()]*;)*`,
    'y',
);

/**
 * Returns the names that a module certainly imports before it does anything else. `isWhole`: whether the rest of the
 * module has no further imports.
 */
function header(text, file, isCommon) {
    const isTypeScript = /\.[cm]?tsx?$/.test(file);
    const names = [];
    let at = text.startsWith('\ufeff') ? 1 : 0;
    const next = (pattern) => {
        pattern.lastIndex = at;
        const found = pattern.exec(text);
        at += found?.[0].length ?? 0;
        return found;
    };
    const isRequired = isCommon && !isTypeScript;
    for (;;) {
        next(NOTHING);
        const found = next(isRequired ? REQUIRE : IMPORT);
        if (!found) break;
        if (isRequired) {
            names.push(found.slice(1).find(Boolean));
            continue;
        }
        const [, word, clause, ...either] = found;
        const name = either.find(Boolean);
        const kept = !isTypeScript || clause === undefined || doesNothing(name) || isKept(word, clause, text);
        if (kept === undefined) return { names, isWhole: false };
        if (kept) names.push(name);
    }
    return { names, isWhole: !isRequired && !/\bimport\b(?!\s*[.(])|(?<!\.)\bfrom\b/.test(text.slice(at)) };
}

/** Whether a TypeScript compiler keeps this import, which it does for a use as a value; `undefined` if uncertain. */
function isKept(word, clause, text) {
    const plain = clause.replace(/\/\/.*|\/\*[^]*?\*\//g, ' ').trim();
    if (/^type\s+(?!from\b)[\w${*]/.test(plain)) return false;
    if (word === 'export') return true;
    const parts = plain.replace(/[{}]/g, ',').split(',').map((it) => it.trim()).filter(Boolean);
    const values = parts.filter((it) => !it.startsWith('type ')).map((it) => it.split(/\s+/).pop());
    if (parts.length > 0 && values.length === 0 && dropsTypes()) return false;
    const code = text.replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|\/\/.*|\/\*[^]*?\*\//g, (it) => (it[0] === '/' ? ' ' : it[0].repeat(2)));
    const isUsed = (value) => {
        const it = String.raw`(?<![.\w$])${value.replaceAll('$', '\\$')}`;
        const used = String.raw`${it}(?:\.[\w$]+)*(?:<[^<>()]*>)?\(|\b(?:new|return|instanceof)\s+${it}\b|[\w$]\(\s*${it}\s*[,)]|\bclass\s+[\w$]+\s+extends\s+${it}\b`;
        return RegExp(used).test(code);
    };
    return values.some(isUsed) ? true : undefined;
}

/** Whether the compiler certainly drops imports of types only. */
function dropsTypes() {
    if (process.env.TSX_TSCONFIG_PATH !== undefined || !process.execArgv.some((it) => it.includes('tsx'))) return false;
    for (let at = process.cwd(); ; at = path.dirname(at)) {
        const place = path.join(at, 'tsconfig.json');
        if (fs.existsSync(place)) {
            return !/verbatimModuleSyntax|preserveValueImports|importsNotUsedAsValues|extends/.test(fs.readFileSync(place, 'utf8'));
        }
        if (at === path.dirname(at)) return true;
    }
}

/** Returns the file of `files` that a name refers to; `undefined` if there is none, or if it is uncertain. */
function resolved(name, file, files, isCommon) {
    if (isCommon) {
        try {
            const it = Module.createRequire(file).resolve(name);
            return files.has(it) ? it : undefined;
        } catch {
            // TypeScript allows other names for its files.
        }
    }
    if (isPath(name)) {
        const [base, ...others] = candidates(name, file);
        const found = new Set([base, ...others].map(real).filter((it) => files.has(it)));
        if (isFile(base)) found.add(real(base));
        const [it] = found;
        return found.size === 1 && files.has(it) ? it : undefined;
    }
    const { place, rest } = installed(name, file) ?? {};
    return place && fileOf(real(place), rest, files);
}

const isPath = (name) => /^(\.|\/|file:)/.test(name);

const isFile = (place) => fs.existsSync(place) && fs.statSync(place).isFile();

function real(place) {
    try {
        return fs.realpathSync(place);
    } catch {
        return place;
    }
}

/** Returns the files that a path may refer to, the literal one first: TypeScript allows other names for its files. */
function candidates(name, file) {
    const base = name.startsWith('file:') ? fileURLToPath(name) : path.resolve(path.dirname(file), name);
    const stem = base.replace(/\.[cm]?js$/, '');
    const ends = ['.ts', '.tsx', '.mts', '.cts', '.js', '.mjs', '.cjs', '/index.ts', '/index.js'];
    return [base, ...ends.map((end) => stem + end)];
}

/** Returns the location of the package at the start of a name, and the rest of the name. */
function installed(name, file) {
    const [, packageName, rest] = /^((?:@[^/]+\/)?[^/]+)(.*)$/s.exec(name);
    for (let at = path.dirname(file); ; at = path.dirname(at)) {
        const place = path.join(at, 'node_modules', packageName);
        if (fs.existsSync(place)) return { place, rest };
        if (at === path.dirname(at)) return undefined;
    }
}

/** Returns the file of `files` that a package exports under a name. */
function fileOf(place, rest, files) {
    const description = path.join(place, 'package.json');
    const { exports, main } = fs.existsSync(description) ? JSON.parse(fs.readFileSync(description, 'utf8')) : {};
    const names = exports === undefined ? [rest ? '.' + rest : main ?? 'index.js'] : targets(exports, '.' + rest);
    const found = names.flatMap((it) => [it, it + '.js', it + '/index.js']).map((it) => path.join(place, it));
    return found.find((it) => files.has(it));
}

/** Returns the targets of `name` under the conditions of an import; the first loaded one applies. */
function targets(exports, name) {
    const flat = (it) => {
        if (typeof it === 'string') return [it];
        if (it === null || typeof it !== 'object') return [];
        return Object.entries(it).flatMap(([key, value]) => (key === 'require' ? [] : flat(value)));
    };
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

