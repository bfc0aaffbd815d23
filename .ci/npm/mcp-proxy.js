#!/usr/bin/env node
// Starts the program, which is in the package of this platform. Stdin, stdout and stderr are those of this process.
"use strict";

const { spawn } = require("node:child_process");
const { isatty } = require("node:tty");
const { name, optionalDependencies } = require("./package.json");

const windows = process.platform === "win32";
const platform = `${process.platform}-${process.arch}`;
const platformPackage = `${name}-${platform}`;

function find() {
  try {
    return require.resolve(`${platformPackage}/bin/mcp-proxy${windows ? ".exe" : ""}`);
  } catch {
    const advice = optionalDependencies[platformPackage]
      ? `the npm package ${platformPackage} is missing. Install ${name} again here, with optional dependencies.`
      : `${name} has no npm package for ${platform}. Build it with \`cargo install ${name}\`.`;
    console.error(`error: ${advice}`);
    process.exitCode = 1;
    return undefined;
  }
}

// For Windows, and for versions of Node.js that cannot replace their process.
function supervise(program, args) {
  // A terminal sends Ctrl-C to the program too. Other signals may reach only this process. On Windows there are no
  // others, and `kill` would terminate the program.
  const atTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"]) {
    process.on(signal, () => {
      if (!windows && !(signal === "SIGINT" && atTerminal)) {
        child.kill(signal);
      }
    });
  }
  const child = spawn(program, args, { stdio: "inherit" });
  child.on("error", (error) => {
    console.error(`error: cannot start ${program}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit(code);
    }
  });
}

function main() {
  const program = find();
  const args = process.argv.slice(2);
  if (program === undefined) {
    return;
  }
  if (process.execve && !windows) {
    process.execve(program, [program, ...args]);
  }
  supervise(program, args);
}

main();
