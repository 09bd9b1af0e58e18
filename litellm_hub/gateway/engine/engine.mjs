// The WebAssembly engine: queries, batches and interactive transactions.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { bindAdapter } from '@prisma/driver-adapter-utils';
import * as wasmBindings from '@prisma/query-engine-wasm/postgresql/query_engine_bg.js';
import { Adapter, openPool } from './database.mjs';
import { engineError, explainDriverError } from './errors.mjs';
import { readModels, restoreAnswer, translateDocument } from './protocol.mjs';

const WASM_FILE = '@prisma/query-engine-wasm/postgresql/query_engine_bg.wasm';
const NO_TRACE = '{}';
const [DEFAULT_WAIT_MS, DEFAULT_LIFE_MS] = [2000, 5000];

/** Loads the engine's machine code; once per process, before the first `Engine`. */
export function loadWasm() {
  const file = createRequire(import.meta.url).resolve(WASM_FILE);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(file)), { './query_engine_bg.js': wasmBindings });
  wasmBindings.__wbg_set_wasm(instance.exports);
}

const closedTransaction = () =>
  engineError('Transaction already closed: it was committed, rolled back, timed out or never existed.', 'P2028');

export class Engine {
  /**
   * @param {{datamodel: string, connection: object, log: Function, environment: object}} options `connection` from `readConnection`
   */
  constructor({ datamodel, connection, log, environment }) {
    this.address = connection.address;
    this.models = readModels(datamodel);
    this.pool = openPool(connection.pool, log);
    this.adapter = bindAdapter(new Adapter(this.pool, { schema: connection.schema }));
    // The WASM engine panics on a transaction id it does not know, so only live ids are passed on.
    this.liveTransactions = new Map(); // id -> timer that forgets it
    const options = { datamodel, logLevel: environment.RUST_LOG ?? 'error', logQueries: Boolean(environment.LOG_QUERIES) };
    this.wasm = new wasmBindings.QueryEngine(options, (line) => process.stderr.write(`${line}\n`), this.adapter);
  }

  /** Like the native engine, refuses to start without a database. */
  async connect() {
    await this.wasm.connect(NO_TRACE);
    await this.pool.query('SELECT 1');
  }

  /**
   * @param {{query?: string, batch?: {query: string}[], transaction?: boolean}} body as the client posts it
   * @param {string} [transactionId] from `startTransaction`
   * @returns {Promise<object>} GraphQL answer, with `errors` where it failed
   */
  async query(body, transactionId) {
    if (Array.isArray(body.batch)) return this.queryBatch(body, transactionId);
    const request = translateDocument(body.query, this.models);
    return restoreAnswer(await this.run(request.text, transactionId), request);
  }

  async queryBatch({ batch, transaction }, transactionId) {
    const requests = batch.map(({ query }) => translateDocument(query, this.models));
    const asTransaction = transaction ? ',"transaction":{}' : '';
    const answer = await this.run(`{"batch":[${requests.map((r) => r.text).join(',')}]${asTransaction}}`, transactionId);
    if (answer.batchResult) answer.batchResult = answer.batchResult.map((item, i) => restoreAnswer(item, requests[i]));
    return answer;
  }

  async run(requestText, transactionId) {
    if (transactionId && !this.liveTransactions.has(transactionId)) return { errors: [closedTransaction()] };
    const answer = JSON.parse(await this.wasm.query(requestText, NO_TRACE, transactionId));
    const explain = (error) => explainDriverError(error, this.adapter.errorRegistry, this.address);
    if (answer.errors) answer.errors = answer.errors.map(explain);
    for (const item of answer.batchResult ?? []) if (item.errors) item.errors = item.errors.map(explain);
    return answer;
  }

  /**
   * @param {{max_wait: number, timeout: number}} options milliseconds: wait for a connection, life of the transaction
   * @returns {Promise<object>} `{id}` or a user-facing error
   */
  async startTransaction(options) {
    const starting = this.wasm.startTransaction(JSON.stringify(options), NO_TRACE).then(JSON.parse);
    // The WASM build does not watch max_wait itself. It bounds the wait for others' connections, not for a restart.
    const waited = delay(options.max_wait ?? DEFAULT_WAIT_MS, undefined, { ref: false });
    const answer = (await Promise.race([starting, waited])) ?? (this.pool.waitingForDatabase > 0 ? await starting : undefined);
    if (!answer) {
      starting.then((late) => (late.id ? this.wasm.rollbackTransaction(late.id, NO_TRACE) : this.explainUserFacing(late)));
      return engineError('Transaction API error: Unable to start a transaction in the given time.', 'P2028').user_facing_error;
    }
    if (!answer.id) return this.explainUserFacing(answer);
    const forget = setTimeout(() => this.liveTransactions.delete(answer.id), options.timeout ?? DEFAULT_LIFE_MS);
    this.liveTransactions.set(answer.id, forget.unref());
    return answer;
  }

  /** @param {'commit' | 'rollback'} verb */
  async endTransaction(id, verb) {
    if (!this.liveTransactions.has(id)) return closedTransaction().user_facing_error;
    clearTimeout(this.liveTransactions.get(id));
    this.liveTransactions.delete(id);
    const end = verb === 'commit' ? this.wasm.commitTransaction : this.wasm.rollbackTransaction;
    return this.explainUserFacing(JSON.parse(await end.call(this.wasm, id, NO_TRACE)));
  }

  explainUserFacing(answer) {
    return explainDriverError({ user_facing_error: answer }, this.adapter.errorRegistry, this.address).user_facing_error;
  }

  /** @returns {{key: string, value: number, description: string, labels: object}[]} state of the connection pool */
  gauges() {
    const { totalCount, idleCount, waitingCount } = this.pool;
    const gauge = (name, value) => ({ key: `prisma_${name}`, labels: {}, value, description: name.replaceAll('_', ' ') });
    return [gauge('pool_connections_open', totalCount), gauge('pool_connections_idle', idleCount),
      gauge('pool_connections_busy', totalCount - idleCount), gauge('client_queries_wait', waitingCount)];
  }

  async close() {
    await this.wasm.disconnect(NO_TRACE);
    await this.pool.end();
  }
}
