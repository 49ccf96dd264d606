/** Ports on the loopback address: picks free ones, and says who holds a taken one. */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { InnkeeperError } from '../contracts/errors.js';

export const LOOPBACK = '127.0.0.1';

/**
 * Ports to pick from: below those that the kernel gives to outgoing connections (from 32768 on; net.ipv4.ip_local_port_range), one of
 * which could take the port of a server that is stopped and started again.
 */
const PICKED_PORT_MIN = 20_000;
const PICKED_PORT_MAX = 32_767;
const PICK_TRIES_MAX = 50;

/**
 * Picks `count` free ports. All are held at once while they are picked, so that they differ; another process may still take
 * one before it is used, which its user then sees as PORT_IN_USE.
 */
export async function pickFreePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenSomewhere));
  const ports = servers.map(portOf);
  await Promise.all(servers.map(close));
  return ports;
}

/** One free port. */
export async function pickFreePort(): Promise<number> {
  const [port] = await pickFreePorts(1);
  if (port === undefined) throw new Error('no port was picked');
  return port;
}

/** @throws InnkeeperError PORT_IN_USE, naming the port, what it was for, and its holder where that can be seen */
export async function assertPortFree(port: number, purpose: string): Promise<void> {
  try {
    await close(await listen(port));
  } catch (cause) {
    const holder = findPortHolder(port);
    const by = holder === undefined ? '' : ` by ${holder.name} (process ${holder.pid})`;
    throw new InnkeeperError('PORT_IN_USE', `Port ${port} for ${purpose} is taken${by}.`, { cause, details: { port } });
  }
}

type Server = ReturnType<typeof createServer>;

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => resolve(server));
  });
}

async function listenSomewhere(): Promise<Server> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await listen(randomInt(PICKED_PORT_MIN, PICKED_PORT_MAX + 1));
    } catch (error) {
      if (tries >= PICK_TRIES_MAX) throw error;
    }
  }
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}

/** The process that listens on a port, by /proc; undefined where it cannot be seen (another user's, or not Linux). */
export function findPortHolder(port: number): { pid: number; name: string } | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(table, port)));
  if (inodes.size === 0) return undefined;
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(quietly(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? '')?.[1];
      if (inode !== undefined && inodes.has(inode)) {
        const name = quietly(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim()) ?? 'a process';
        return { pid: Number(pid), name };
      }
    }
  }
  return undefined;
}

const TCP_LISTEN = '0A';

function listeningInodes(table: string, port: number): string[] {
  const rows = (quietly(() => readFileSync(table, 'utf8')) ?? '').split('\n').slice(1);
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return rows.flatMap((row) => {
    const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/);
    return state === TCP_LISTEN && local.endsWith(`:${wanted}`) && inode !== undefined ? [inode] : [];
  });
}

function list(folder: string): string[] {
  return quietly(() => readdirSync(folder)) ?? [];
}

function quietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // /proc entries vanish and are private to their owners; what cannot be read is not counted.
  }
}
