// What cells ask of the kernel of the chat beside the work, see widgets/panels/side_chat.py.
const TARGET = "genailabs.cells";
const PATIENCE = 20_000; // milliseconds until the first word
const SILENT = { ok: false, reason: "The chat's kernel does not answer.", remedy: "Restart it, or close the chat and ask again." };

/**
 * Send a request about a cell.
 * @param {object} kernel the chat's
 * @param {{type: string, cell: object}} request
 * @param {AbortSignal} signal cancels it
 * @param {(model: string) => void} heard is told which model is asked
 * @returns {Promise<object | null>} the reply; null where the kernel no longer knows of the chat. It fails at a cancel.
 */
export function ask(kernel, request, signal, heard) {
  const comm = kernel.createComm(TARGET);
  const ends = [];
  const reply = new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(SILENT), PATIENCE);
    const look = (_, status) => /dead|restarting|terminating/.test(status) && resolve(null);
    const cancel = () => reject(signal.reason);
    kernel.statusChanged.connect(look);
    signal.addEventListener("abort", cancel);
    ends.push(() => clearTimeout(timer), () => kernel.statusChanged.disconnect(look), () => signal.removeEventListener("abort", cancel));
    comm.onClose = () => resolve(null);
    comm.onMsg = ({ content: { data } }) => {
      clearTimeout(timer);
      if ("ok" in data) resolve(data);
      else heard(data.model);
    };
    comm.open(request);
  });
  return reply.finally(() => {
    for (const end of ends) end();
    comm.onClose = () => {};
    if (!comm.isDisposed && !kernel.isDisposed) comm.close();
  });
}
