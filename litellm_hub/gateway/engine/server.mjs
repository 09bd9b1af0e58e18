// The native engine's HTTP interface.
import http from 'node:http';
import { engineError } from './errors.mjs';
import { isOwnAccount } from './peer.mjs';

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function answerQuery(engine, request) {
  const content = await readBody(request);
  try {
    return { body: await engine.query(JSON.parse(content), request.headers['x-transaction-id']) };
  } catch (error) {
    return { body: { errors: [engineError(String(error?.message ?? error))] } };
  }
}

function transactionStatus({ error_code: code, message }) {
  if (!code) return 200;
  if (/already closed/i.test(message)) return 422;
  return /Unable to start/.test(message) ? 504 : 500;
}

/** Transaction end-points answer errors with an HTTP status; queries answer 200 with an `errors` list. */
async function answerTransaction(engine, request, [, , id, verb]) {
  const content = await readBody(request);
  const body = id === 'start' ? await engine.startTransaction(JSON.parse(content)) : await engine.endTransaction(id, verb);
  return { status: transactionStatus(body), body };
}

function answerMetrics(engine, format) {
  const gauges = engine.gauges();
  if (format === 'json') return { body: { counters: [], gauges, histograms: [] } };
  return { text: gauges.map((g) => `# HELP ${g.key} ${g.description}\n# TYPE ${g.key} gauge\n${g.key} ${g.value}\n`).join('') };
}

async function route(engine, request) {
  if (!request.socket.isOwnAccount) return { status: 403, body: { error: 'This engine serves its own account only' } };
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (request.method === 'GET' && pathname === '/status') return { body: { status: 'ok' } };
  if (request.method === 'GET' && pathname === '/metrics') return answerMetrics(engine, searchParams.get('format'));
  if (request.method === 'POST' && pathname === '/') return answerQuery(engine, request);
  if (request.method === 'POST' && /^\/transaction\/(start|[^/]+\/(commit|rollback))$/.test(pathname)) {
    return answerTransaction(engine, request, pathname.split('/'));
  }
  return { status: 404, body: { error: `No such endpoint: ${request.method} ${pathname}` } };
}

/**
 * @param {import('./engine.mjs').Engine} engine
 * @param {(message: string, extra?: object) => void} log
 * @returns {http.Server} not yet listening
 */
export function createServer(engine, log) {
  const server = http.createServer(async (request, response) => {
    const answer = await route(engine, request).catch((error) => {
      log('request failed', { error: String(error?.stack ?? error) });
      return { status: 500, body: engineError(String(error?.message ?? error)).user_facing_error };
    });
    response.writeHead(answer.status ?? 200, { 'content-type': answer.text ? 'text/plain' : 'application/json' });
    response.end(answer.text ?? JSON.stringify(answer.body));
  });
  server.on('connection', (socket) => { socket.isOwnAccount = isOwnAccount(socket); });
  // Node's 5 s idle limit equals httpx's, so a reused connection could be closed under a request.
  server.keepAliveTimeout = 0;
  return server;
}
