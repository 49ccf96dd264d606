/**
 * Terminals that lose, double, tear and delay what crosses them, in both directions. Method: a proxy around the terminal with a seeded
 * choice of fault for every piece; each command advances a counter file, and results are compared with what the machine recorded.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { InnkeeperError } from '../../src/contracts/errors.js';
import { AttachedMachine, deadline } from './support/attached.js';
import { command, finished, text } from './support/commands.js';
import type { TerminalFaults } from './support/local-machine.js';

const SEEDS = [11, 23, 47];
const COMMANDS = 12;
/** Share of pieces that meet a fault. */
const FAULT_SHARE = 0.35;
const LATE_MS = 700;

/** Small seeded generator (mulberry32): the same seed, the same faults. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Fault = 'drop' | 'double' | 'tear' | 'tear-late' | 'late' | 'double-late';
const FAULTS: readonly Fault[] = ['drop', 'double', 'tear', 'tear-late', 'late', 'double-late'];

function strike(fault: Fault, bytes: Buffer, forward: (bytes: Buffer) => void, at: number): void {
  const later = (piece: Buffer): void => {
    setTimeout(() => forward(piece), LATE_MS).unref();
  };
  const cut = Math.floor(bytes.length * at);
  if (fault === 'double' || fault === 'double-late' || fault === 'tear-late') {
    forward(fault === 'tear-late' ? bytes.subarray(0, cut) : bytes);
  }
  if (fault === 'double') forward(bytes);
  if (fault === 'tear') forward(bytes.subarray(0, cut));
  if (fault === 'tear-late') later(bytes.subarray(cut));
  if (fault === 'late' || fault === 'double-late') later(bytes);
}

function faultyTerminal(seed: number, hits: Map<string, number>): TerminalFaults {
  const next = random(seed);
  const handle =
    (direction: string) =>
    (bytes: Buffer, forward: (bytes: Buffer) => void): void => {
      if (next() >= FAULT_SHARE) return forward(bytes);
      const fault = FAULTS[Math.floor(next() * FAULTS.length)] ?? 'drop';
      const key = `${direction} ${fault}`;
      hits.set(key, (hits.get(key) ?? 0) + 1);
      strike(fault, bytes, forward, next());
    };
  return { onInput: handle('input'), onOutput: handle('output') };
}

describe('a terminal that cannot be trusted', () => {
  /** Faults that struck, over all seeds. */
  const hits = new Map<string, number>();

  test.each(SEEDS)(
    'costs time only (seed %i)',
    async (seed) => {
      const host = new AttachedMachine('terminal');
      try {
        await host.attach();
        host.machine.faults = faultyTerminal(seed, hits);
        await host.attach();
        for (let index = 0; index < COMMANDS; index += 1) {
          const which = command(`echo ${index} >>count; seq ${index} 400; exit ${index}`);
          const result = finished(await persist(host, which));
          expect(result.exitCode).toBe(index);
          expect(text(result)).toBe(Array.from({ length: 401 - index }, (_, line) => `${line + index}\n`).join(''));
          const record = readFileSync(join(host.machine.home, `.innkeeper/journal/${which.cmdId}.result`), 'utf8');
          expect(record).toContain(` hash=${result.outputHash} `);
        }
        const count = readFileSync(join(host.machine.home, 'count'), 'utf8');
        expect(count).toBe(Array.from({ length: COMMANDS }, (_, index) => `${index}\n`).join(''));
      } finally {
        host.machine.faults = {};
        await host.dispose();
      }
    },
    120_000,
  );

  test('faults of most kinds struck, in both directions', () => {
    for (const direction of ['input', 'output']) {
      expect(FAULTS.filter((fault) => hits.has(`${direction} ${fault}`)).length).toBeGreaterThanOrEqual(4);
    }
  });

  test('a copy of a submission that comes after the result starts nothing', async () => {
    const host = new AttachedMachine('terminal');
    const lines: { bytes: Buffer; forward: (bytes: Buffer) => void }[] = [];
    try {
      host.machine.faults = {
        onInput(bytes, forward) {
          lines.push({ bytes, forward });
          forward(bytes);
        },
      };
      await host.run('echo once >>count');
      for (const { bytes, forward } of lines.slice(1)) forward(bytes);
      await host.run('echo twice >>count');
      for (const { bytes, forward } of lines.slice(1)) forward(bytes);
      expect((await host.run('cat count')).text).toBe('once\ntwice\n');
    } finally {
      await host.dispose();
    }
  });

  test('output that looks like a frame is output', async () => {
    const host = new AttachedMachine('terminal');
    try {
      const forged = String.raw`tag=$(tr '\0' ' ' </proc/$(cat .innkeeper/serve)/cmdline | cut -d' ' -f4)
header='result x exit=0 total=0 head=0 tail=0 body=0 enc=raw of=x '
printf '\036%s %s %s\037\035%s\n' "$tag" "${'${#header}'}" "$header" "$tag"; exit 3`;
      const which = command(forged, { cmdId: 'x' });
      const result = await host.run(forged, which);
      expect(result.exitCode).toBe(3);
      expect(result.text).toMatch(/result x exit=0/);
    } finally {
      await host.dispose();
    }
  });

  test('a terminal that goes silent is given up, and the command is found again', async () => {
    const host = new AttachedMachine('terminal');
    let isSilent = false;
    try {
      host.machine.faults = {
        onInput: (bytes, forward) => {
          if (!isSilent) forward(bytes);
        },
      };
      const attachment = await host.attach();
      isSilent = true;
      const which = command('echo ran >>count; cat count');
      const options = { submittedBootId: undefined, signal: deadline() };
      await expect(attachment.run(which, options)).rejects.toMatchObject({ code: 'GUEST_UNREACHABLE' });
      expect(attachment.isBroken).toBe(true);
      expect(existsSync(join(host.machine.home, 'count'))).toBe(false);
      isSilent = false;
      const again = await host.attach();
      expect(text(finished(await again.run(which, options)))).toBe('ran\n');
    } finally {
      await host.dispose();
    }
  });

  test('a shell that never starts the runner is left for executions', async () => {
    const host = new AttachedMachine('terminal');
    try {
      host.machine.faults = { onInput: () => undefined };
      expect((await host.run('echo fine')).text).toBe('fine\n');
      expect(host.machine.executions).toBeGreaterThan(1);
    } finally {
      await host.dispose();
    }
  });
});

/** What a worker does: attaches anew whenever the machine could not be reached. */
async function persist(
  host: AttachedMachine,
  which: ReturnType<typeof command>,
): Promise<Parameters<typeof finished>[0]> {
  for (;;) {
    try {
      const attachment = await host.current();
      return await attachment.run(which, { submittedBootId: attachment.identity.bootId, signal: deadline() });
    } catch (error) {
      if (!InnkeeperError.is(error) || error.code !== 'GUEST_UNREACHABLE') throw error;
    }
  }
}
