// The database side: connection string -> pool -> Prisma driver adapter.
import fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { PrismaPg } from '@prisma/adapter-pg';
import { SERVER_GONE, isConnectionLost, strangerError } from './errors.mjs';

const DEFAULT_POOL_SIZE = 10;
const DEFAULT_POOL_TIMEOUT_S = 10;
const DEFAULT_IDLE_S = 300; // as the native engine
const PATIENCE_MS = 8000; // less than the 10 s that the client gives a new engine
const RETRY_MS = 200;
const SCRAM = 'scram-sha-256';
// Understood by the native engine only; node-postgres would send or reject them.
const IGNORED_PARAMETERS = ['pgbouncer', 'statement_cache_size', 'socket_timeout', 'connect_timeout', 'max_connection_lifetime',
  'single_use_connections'];

/**
 * @param {string} datamodel text of schema.prisma
 * @param {object} environment usually process.env; OVERWRITE_DATASOURCES is how the client passes its own URL
 * @returns {string} connection string of the database
 */
export function readDatabaseUrl(datamodel, environment) {
  const [override] = JSON.parse(environment.OVERWRITE_DATASOURCES ?? '[]');
  if (override) return override.url;
  const [, variable, literal] = datamodel.match(/^\s*url\s*=\s*(?:env\("([^"]+)"\)|"([^"]+)")/m) ?? [];
  const url = literal ?? environment[variable];
  if (!url) throw new Error(`Environment variable not found: ${variable}`);
  return url;
}

/** Prisma's sslmode: `require` encrypts, only `sslaccept=strict` or a certificate also verifies. */
function readTls(take) {
  const [mode, accept, certificate] = [take('sslmode'), take('sslaccept'), take('sslcert')];
  if (mode !== 'require') return false; // `prefer` against a server without TLS must work, and is the default
  return { rejectUnauthorized: accept === 'strict', ...(certificate && { ca: fs.readFileSync(certificate, 'utf8') }) };
}

/**
 * Turns Prisma's URL parameters into pool options; everything else is left for node-postgres.
 *
 * @param {string} databaseUrl
 * @returns {{schema?: string, address: string, pool: object}} `address` is host:port, fit for messages
 */
export function readConnection(databaseUrl) {
  const url = URL.parse?.(databaseUrl) ?? (URL.canParse(databaseUrl) ? new URL(databaseUrl) : null);
  if (!url) throw new Error('The database URL is not a valid URL'); // URL's own error would show the password
  const take = (name) => {
    const value = url.searchParams.get(name);
    url.searchParams.delete(name);
    return value;
  };
  const schema = take('schema') ?? undefined;
  // The adapter only understands UTC timestamps.
  const sessionOptions = ['-c timezone=UTC', schema && `-c search_path="${schema}"`, take('options')];
  const pool = {
    max: Number(take('connection_limit') ?? DEFAULT_POOL_SIZE),
    connectionTimeoutMillis: Number(take('pool_timeout') ?? DEFAULT_POOL_TIMEOUT_S) * 1000, // 0 = for ever, as in Prisma
    idleTimeoutMillis: Number(take('max_idle_connection_lifetime') ?? DEFAULT_IDLE_S) * 1000,
    options: sessionOptions.filter(Boolean).join(' '),
    ssl: readTls(take),
    keepAlive: true,
  };
  const requireAuth = take('require_auth'); // as libpq's, for the one method worth requiring
  if (![null, SCRAM].includes(requireAuth)) throw new Error(`The database URL has require_auth=${requireAuth}; known is ${SCRAM}`);
  IGNORED_PARAMETERS.forEach(take);
  return { schema, address: `${url.hostname}:${url.port || 5432}`, pool: { ...pool, requireAuth, connectionString: url.toString() } };
}

/**
 * Keeps the password from a stranger who took the database's port: it is never sent, neither in clear nor as MD5.
 * `hasProof` says whether the server has proven by SCRAM that it knows the password too.
 */
class CautiousClient extends pg.Client {
  hasProof = false;

  constructor(options) {
    super(options);
    const { connection } = this;
    // These come before the client's own listeners; what those write to a destroyed stream goes nowhere.
    const refuse = (what) => connection.stream.destroy(strangerError(what));
    connection.on('authenticationCleartextPassword', () => refuse('asks for the password in clear'));
    connection.on('authenticationMD5Password', () => refuse('asks for the password as MD5'));
    connection.on('authenticationSASLFinal', () => { this.hasProof = true; });
    connection.on('error', () => { // among others, because the proof is wrong
      this.hasProof = false;
      connection.stream.destroy();
    });
  }
}

/**
 * Waits for a database that is restarting: nothing has been sent yet, so trying again is safe, whereas LiteLLM drops the
 * spend it is about to write when a transaction cannot start.
 */
class PatientPool extends pg.Pool {
  waitingForDatabase = 0;

  connect(callback) {
    const connecting = this.connectPatiently();
    if (!callback) return connecting;
    connecting.then((client) => callback(undefined, client, client.release), (error) => callback(error, undefined, () => {}));
    return undefined;
  }

  async connectPatiently() {
    const deadline = Date.now() + PATIENCE_MS;
    let isWaiting = false;
    try {
      for (;;) {
        try {
          return this.proven(await super.connect());
        } catch (error) {
          if (!isConnectionLost(error) || this.ending || Date.now() > deadline) throw error;
        }
        if (!isWaiting) this.waitingForDatabase += 1;
        isWaiting = true;
        await delay(RETRY_MS);
      }
    } finally {
      if (isWaiting) this.waitingForDatabase -= 1;
    }
  }

  /** Gives only a client whose server has proven itself, where the URL asks for that; nothing was sent over it yet. */
  proven(client) {
    if (!this.options.requireAuth || client.hasProof) return client;
    client.release(true);
    throw strangerError(`does not prove itself by ${SCRAM}`);
  }
}

/**
 * @param {object} options as in `readConnection().pool`
 * @param {(message: string, extra?: object) => void} log
 * @returns {PatientPool}
 */
export function openPool(options, log) {
  const pool = new PatientPool({ ...options, Client: CautiousClient });
  pool.on('error', (error) => log('idle database connection lost', { error: error.message }));
  // A checked-out client has no listener of its own; without one a lost connection would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

// ---------------------------------------------------------------- adapter

// Postgres types the adapter rejects, shown to it as text (the form the native engine returns).
const { getTypeParser, setTypeParser, builtins: OID } = pg.types;
const [TEXT_ARRAY, NAME_ARRAY] = [1009, 1003];
const SHOWN_AS = new Map([
  [NAME_ARRAY, TEXT_ARRAY],
  ...[OID.CHAR, 19 /* name */, OID.XID, 705 /* unknown */, OID.MACADDR, OID.REGCLASS, OID.REGTYPE, 2278 /* void */,
    OID.INTERVAL, 3220 /* pg_lsn */].map((oid) => [oid, OID.TEXT]),
]);
setTypeParser(NAME_ARRAY, getTypeParser(TEXT_ARRAY));
setTypeParser(OID.INTERVAL, (text) => text);

// Base class of the pool's and the transactions' adapter, which exports only the former.
const Queryable = Object.getPrototypeOf(PrismaPg.prototype);
const { performIO } = Queryable;
Queryable.performIO = async function performTolerantIO(query) {
  const result = await performIO.call(this, query);
  if (result.ok) {
    for (const field of result.value.fields) field.dataTypeID = SHOWN_AS.get(field.dataTypeID) ?? field.dataTypeID;
  } else if (SERVER_GONE.test(result.error.code)) {
    // A server that shuts down has not refused the statement: callers must see a lost connection, not bad data.
    throw Object.assign(new Error(result.error.message), { code: result.error.code });
  }
  return result;
};

export { PrismaPg as Adapter };
