// Failures in the shape and with the codes of the native engine: prisma-client-py and LiteLLM choose
// their exception, and whether to reconnect, by code and wording.

/**
 * @param {string} message what the caller reads
 * @param {string} [code] Prisma's error code, e.g. P1001; without one the client raises a plain DataError
 * @returns {object} one entry of an answer's `errors` list
 */
export const engineError = (message, code) => ({
  error: message,
  user_facing_error: { is_panic: false, message, meta: {}, ...(code && { error_code: code }) },
});

/** SQLSTATE classes of a server that is going away or not yet there, rather than refusing a statement. */
export const SERVER_GONE = /^(08...|57P0[123])$/;

/**
 * @param {string} what it does, for the message
 * @returns {Error} for a server that may not be the database: as if there were none, for nothing was sent to it
 */
export const strangerError = (what) =>
  Object.assign(new Error(`The database server ${what}: it may not be the lab's`), { code: 'ESTRANGER' });

const CONNECTION_LOST =
  /ESTRANGER|SCRAM-SERVER-FINAL-MESSAGE|ECONN|ENOTFOUND|ENOENT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|EAI_AGAIN|Connection terminated|not queryable|\b(?:08\w{3}|57P0[123])\b/;
const POOL_EXHAUSTED = /timeout exceeded when trying to connect/;
const PASSED_ON = 'P2036'; // the engine's code for "the driver threw, ask the driver"

const describe = (cause) => [cause?.code, cause?.message, ...(cause?.errors ?? []).map((e) => e.code)].filter(Boolean).join(' ');

/** @returns {boolean} whether `cause` (an Error of the driver) means that the database could not be reached */
export const isConnectionLost = (cause) => CONNECTION_LOST.test(describe(cause));

/**
 * Replaces the opaque "external connector" error by the one that the native engine gives.
 *
 * @param {object} error entry of an answer's `errors` list
 * @param {{registeredErrors: object[], consumeError(id: number): {error: Error}}} registry where the bound adapter keeps what it threw
 * @param {string} address host:port of the database
 */
export function explainDriverError(error, registry, address) {
  if (error.user_facing_error?.error_code !== PASSED_ON) return error;
  const { id } = error.user_facing_error.meta;
  const cause = registry.consumeError(id)?.error;
  registry.registeredErrors[id] = undefined; // the registry never frees a slot by itself
  const detail = describe(cause);
  if (isConnectionLost(cause)) return engineError(`Can't reach database server at \`${address}\` (${detail})`, 'P1001');
  if (POOL_EXHAUSTED.test(detail)) {
    return engineError('Timed out fetching a new connection from the connection pool.', 'P2024');
  }
  return engineError(`Error in database driver: ${detail}`, PASSED_ON);
}
