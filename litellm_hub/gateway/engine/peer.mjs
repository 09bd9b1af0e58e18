// The engine's protocol has no authentication, and every user of a machine can connect to its loopback.
import fs from 'node:fs';

const CONNECTIONS = '/proc/net/tcp';
const [LOCAL, REMOTE, UID] = [1, 2, 7]; // columns, see proc(5)

/** An IPv4 address and port as the kernel prints them: bytes reversed, in hexadecimal. */
function kernelForm(address, port) {
  const bytes = address.split('.').reverse().map((byte) => Number(byte).toString(16).padStart(2, '0'));
  return `${bytes.join('')}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

/** Whether the other end of a loopback connection belongs to the account that runs this process. */
export function isOwnAccount(socket) {
  const client = kernelForm(socket.remoteAddress, socket.remotePort);
  const here = kernelForm(socket.localAddress, socket.localPort);
  const rows = fs.readFileSync(CONNECTIONS, 'utf8').split('\n').map((line) => line.trim().split(/\s+/));
  const row = rows.find((columns) => columns[LOCAL] === client && columns[REMOTE] === here);
  return row !== undefined && Number(row[UID]) === process.getuid();
}
