#!/usr/bin/env node
// Plain JavaScript, so that any Node from 20 on can start it; the rest is TypeScript, which the project's own Node runs as it is.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST = 24;

function projectNode() {
  const file = process.platform === 'win32' ? 'node.exe' : 'node';
  const path = join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', file);
  if (existsSync(path)) return path;
  process.stderr.write(
    `error binary_missing: Rowhouse needs Node ${OLDEST}; this is ${process.version}, and npm has not installed its own\n` +
      '  run: npm ci   (its install scripts have to run)\n',
  );
  process.exit(1);
}

function runAgain(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the child, too: passed on, it would count as a second one.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`error binary_missing: ${node} does not start: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (status, signal) => {
    if (signal === null) process.exit(status);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

if (Number(process.versions.node.split('.')[0]) >= OLDEST) await import('../functions/cli/main.ts');
else runAgain(projectNode());
