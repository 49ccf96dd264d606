/**
 * A small process that outlives a killed `dev`: it holds the list of dev's children and ends them when its input closes, which
 * the system does for a process that dies in whatever way. Started by child-list.ts; nothing imports it.
 */
import { createInterface } from 'node:readline';
import { endProcesses, type Child } from './end-processes.js';

async function main(): Promise<void> {
  // The terminal's signals are for dev: this process ends when dev does.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  let children: readonly Child[] = [];
  for await (const line of createInterface({ input: process.stdin })) children = JSON.parse(line) as Child[];
  await endProcesses(children);
}

await main();
