#!/usr/bin/env node
// Stand-in for Prisma's native `query-engine` binary: prisma-client-py spawns the file named by
// PRISMA_QUERY_ENGINE_BINARY and talks GraphQL to it over HTTP. Here that protocol is answered by the
// official WebAssembly build of the same engine on top of node-postgres.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const SHUTDOWN_GRACE_MS = 5000;
const PARENT_CHECK_MS = 1000;
const HOST = '127.0.0.1';
const DEFAULT_PORT = 4466;

const log = (message, extra = {}) =>
  process.stderr.write(`${JSON.stringify({ source: 'prisma-query-engine', message, ...extra })}\n`);

function fail(message, error) {
  log(message, { error: String(error?.stack ?? error) });
  process.exit(1);
}

function printVersion() {
  const packageFile = createRequire(import.meta.url).resolve('@prisma/query-engine-wasm/package.json');
  const { version } = JSON.parse(fs.readFileSync(packageFile, 'utf8'));
  process.stdout.write(`query-engine ${version.split('.').at(-1)}\n`);
}

function readPort(argv) {
  const at = argv.findIndex((arg) => arg === '-p' || arg === '--port');
  return Number(at >= 0 ? argv[at + 1] : DEFAULT_PORT);
}

/** Ends with the answers to all received requests sent, on a signal or when the client's process is gone. */
function stopWhenAsked(server, engine) {
  let isStopping = false;
  const stop = async (reason) => {
    if (isStopping) return;
    isStopping = true;
    setTimeout(() => process.exit(0), SHUTDOWN_GRACE_MS).unref();
    const drained = new Promise((resolve) => { server.close(resolve); });
    server.closeIdleConnections();
    await drained;
    await engine.close().catch((error) => log('close failed', { reason, error: error.message }));
    process.exit(0);
  };
  process.on('SIGINT', () => stop('SIGINT'));
  process.on('SIGTERM', () => stop('SIGTERM'));
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && stop('parent exited'), PARENT_CHECK_MS).unref();
}

async function serve(port) {
  const [{ readConnection, readDatabaseUrl }, { Engine, loadWasm }, { createServer }] =
    await Promise.all([import('./database.mjs'), import('./engine.mjs'), import('./server.mjs')]);
  loadWasm();
  const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8');
  const connection = readConnection(readDatabaseUrl(datamodel, process.env));
  const engine = new Engine({ datamodel, connection, log, environment: process.env });
  const server = createServer(engine, log);
  stopWhenAsked(server, engine);
  await engine.connect().catch((error) => fail(`cannot use the database at ${connection.address}`, error.message));
  server.listen(port, HOST);
}

if (process.argv.includes('--version')) {
  printVersion();
} else {
  // A panic inside the WASM engine surfaces here and leaves it unusable: end, so that the client starts another.
  process.on('uncaughtException', (error) => fail('engine stopped', error));
  await serve(readPort(process.argv.slice(2))).catch((error) => fail('cannot start', error));
}
