/**
 * The contract of the MachineProvider port, as a suite that any provider has to pass: what the lanes rely on. It only uses the
 * port, so it runs on the emulator's profiles and on the real cloud alike, and destroys every machine that it makes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uuidv7 } from '../support/keys.js';
import { InnkeeperError, type ErrorCode } from '../../src/contracts/errors.js';
import { sameMachineId } from '../../src/machines/dedalus/machine-body.js';
import type {
  ExecutionRequest,
  ExecutionResult,
  Machine,
  MachinePhase,
  MachineProvider,
  Terminal,
} from '../../src/machines/provider.js';
import { waitFor } from '../support/wait-for.js';

export interface Subject {
  readonly provider: MachineProvider;
  /** What this API is known to offer; undefined: not known beforehand. */
  readonly hasTerminals: boolean | undefined;
  readonly hasAutosleep: boolean | undefined;
  /** A late writer with an old revision is refused. */
  readonly fences: boolean;
  close(): Promise<void>;
}

const size = { vcpu: 1, memoryMib: 2_048, storageGib: 10 };
/** A real cloud takes its time. */
const PHASE_WAIT_MS = 180_000;
const SLOW_TEST_MS = 240_000;

export async function failureCode(run: Promise<unknown>): Promise<ErrorCode | 'no failure'> {
  try {
    await run;
    return 'no failure';
  } catch (error) {
    if (InnkeeperError.is(error)) return error.code;
    throw error;
  }
}

/** Waits for a phase, as any caller has to: 2xx only means taken. */
export async function untilPhase(provider: MachineProvider, machineId: string, phase: MachinePhase): Promise<Machine> {
  return await waitFor(
    `machine ${phase}`,
    async () => {
      const machine = await provider.find(machineId);
      return machine?.phase === phase && machine;
    },
    PHASE_WAIT_MS,
  );
}

/** Runs a command with patience for a machine that says running and is not routable yet. */
export async function run(
  provider: MachineProvider,
  machineId: string,
  script: string,
  extra: Partial<ExecutionRequest> = {},
): Promise<ExecutionResult> {
  return await waitFor(
    `command: ${script}`,
    async () => {
      try {
        const request = { argv: ['/bin/sh', '-c', script], timeoutMs: 30_000, ...extra };
        return await provider.execute(machineId, request, { idempotencyKey: uuidv7() });
      } catch (error) {
        const isPassing = InnkeeperError.is(error) && error.kind === 'transient';
        if (!isPassing) throw error;
        return undefined;
      }
    },
    PHASE_WAIT_MS,
  );
}

/** What a terminal has said so far, as text. */
export function textOf(terminal: Terminal): () => string {
  const pieces: Uint8Array[] = [];
  terminal.onOutput((bytes) => pieces.push(bytes));
  return () => Buffer.concat(pieces).toString('utf8');
}

export function describeProvider(name: string, start: () => Promise<Subject>): void {
  describe(`provider contract: ${name}`, () => {
    let subject: Subject;
    let provider: MachineProvider;
    let machineId: string;
    const made = new Set<string>();

    beforeAll(async () => {
      subject = await start();
      ({ provider } = subject);
      const created = await provider.create({ ...size, autosleepSeconds: 900 }, { idempotencyKey: uuidv7() });
      machineId = created.machineId;
      made.add(machineId);
      await untilPhase(provider, machineId, 'running');
      await run(provider, machineId, 'true');
    }, SLOW_TEST_MS);

    afterAll(async () => {
      for (const id of made) await destroy(id);
      await subject.close();
    }, SLOW_TEST_MS);

    async function destroy(id: string): Promise<void> {
      await waitFor(
        'machine destroyed',
        async () => {
          const found = await provider.find(id);
          if (found === undefined || found.phase === 'destroying') return true;
          const code = await failureCode(provider.destroy(id, { idempotencyKey: uuidv7(), ifMatch: found.revision }));
          if (code !== 'no failure' && code !== 'REVISION_CONFLICT' && code !== 'PROVIDER_UNAVAILABLE')
            throw new Error(code);
          return code === 'no failure';
        },
        PHASE_WAIT_MS,
      );
    }

    /** Sends a change with the revision of the moment, again after a conflict. */
    async function change(verb: 'wake' | 'sleep'): Promise<Machine> {
      return await waitFor(verb, async () => {
        const { revision } = (await provider.find(machineId))!;
        try {
          return await provider[verb](machineId, { idempotencyKey: uuidv7(), ifMatch: revision });
        } catch (error) {
          if (InnkeeperError.is(error) && error.code === 'REVISION_CONFLICT') return undefined;
          throw error;
        }
      });
    }

    test('a machine has the size asked for, a revision, and is listed', async () => {
      const machine = (await provider.find(machineId))!;
      expect(machine).toMatchObject({ ...size, phase: 'running', desiredState: 'running' });
      expect(machine.revision).toMatch(/^\d+$/);
      if (subject.hasAutosleep !== undefined) {
        expect(provider.takesAutosleep).toBe(subject.hasAutosleep);
        expect(machine.autosleepSeconds).toBe(subject.hasAutosleep ? 900 : undefined);
      }
      const listed: Machine[] = [];
      let cursor: string | undefined;
      do {
        const page = await provider.list({ limit: 1, ...(cursor === undefined ? {} : { cursor }) });
        listed.push(...page.machines);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      expect(listed.filter((item) => sameMachineId(item.machineId, machineId))).toHaveLength(1);
    });

    test(
      'a creation repeated with its key makes one machine; its key with another body is refused',
      async () => {
        const idempotencyKey = uuidv7();
        const request = { ...size, autosleepSeconds: 900 };
        const [first, second] = [
          await provider.create(request, { idempotencyKey }),
          await provider.create(request, { idempotencyKey }),
        ];
        made.add(first.machineId);
        made.add(second.machineId);
        expect(sameMachineId(first.machineId, second.machineId)).toBe(true);
        expect(await failureCode(provider.create({ ...request, storageGib: 11 }, { idempotencyKey }))).toBe(
          'PROVIDER_KEY_REUSED',
        );
        await destroy(first.machineId);
      },
      SLOW_TEST_MS,
    );

    test('a size that cannot be had is refused for good', async () => {
      const request = { ...size, memoryMib: 100_000_000, autosleepSeconds: undefined };
      expect(await failureCode(provider.create(request, { idempotencyKey: uuidv7() }))).toBe('PROVIDER_REFUSED');
    });

    describe('executions', () => {
      test('give exit code, both outputs, and take directory, environment and stdin', async () => {
        const result = await run(provider, machineId, 'pwd; echo "$greetingText"; cat; echo err >&2; exit 7', {
          cwd: '/tmp',
          env: { greetingText: 'héllo' },
          stdin: 'from stdin',
        });
        expect(result).toMatchObject({ exitCode: 7, signal: undefined, expired: false, stderr: 'err\n' });
        expect(result.stdout).toBe('/tmp\nhéllo\nfrom stdin');
      });

      test('repeated with its key it runs once', async () => {
        const options = { idempotencyKey: uuidv7() };
        const file = `/tmp/once-${options.idempotencyKey}`;
        const request = { argv: ['/bin/sh', '-c', `echo x >> ${file}; wc -l < ${file}`], timeoutMs: 10_000 };
        const first = await provider.execute(machineId, request, options);
        const second = await provider.execute(machineId, request, options);
        expect(second).toEqual(first);
        expect(second.stdout.trim()).toBe('1');
      });

      test('over its time it expires', async () => {
        const request = { argv: ['/bin/sleep', '60'], timeoutMs: 300 };
        const result = await provider.execute(machineId, request, { idempotencyKey: uuidv7() });
        expect(result).toMatchObject({ expired: true, exitCode: undefined });
      });

      test('aborted, the wait ends with the reason of the signal', async () => {
        const stop = new AbortController();
        const reason = new Error('stop waiting');
        const request = { argv: ['/bin/sleep', '3'], timeoutMs: 5_000 };
        const wait = provider.execute(machineId, request, { idempotencyKey: uuidv7(), signal: stop.signal });
        stop.abort(reason);
        await expect(wait).rejects.toBe(reason);
      });

      test('on a machine that does not exist it is lost', async () => {
        const request = { argv: ['/bin/true'], timeoutMs: 1_000 };
        const nobody = machineId.replace(/[0-9a-f]{12}$/, '000000000000');
        expect(await failureCode(provider.execute(nobody, request, { idempotencyKey: uuidv7() }))).toBe('MACHINE_LOST');
      });
    });

    test(
      'a terminal is a byte stream in both directions, with its size and environment, and ends',
      async () => {
        const opening = provider.openTerminal(
          machineId,
          { columns: 100, rows: 30, shell: '/bin/bash', cwd: '/tmp', env: { markerText: 'here' } },
          { idempotencyKey: uuidv7() },
        );
        if (subject.hasTerminals === false || !provider.hasTerminals()) {
          expect(await failureCode(opening)).toBe('PROVIDER_ROUTE_CLOSED');
          expect(provider.hasTerminals()).toBe(false);
          return;
        }
        const terminal = await opening;
        const text = textOf(terminal);
        terminal.write(Buffer.from('echo "size:$(stty size):$markerText:$((40 + 2))"; pwd\n'));
        await waitFor('output of the terminal', () => /size:30 100:here:42[\s\S]*\/tmp/.test(text()));
        terminal.write(Buffer.from("printf '\\101\\303\\251\\n'; exit\n"));
        await waitFor('bytes beyond ASCII', () => text().includes('Aé'));
        await terminal.closed;
        await terminal.close();
        expect(await failureCode((async () => terminal.write(Buffer.from('x')))())).toBe('GUEST_UNREACHABLE');
      },
      SLOW_TEST_MS,
    );

    test(
      'sleep and wake keep the home; a late writer is refused; a command wakes by itself',
      async () => {
        const { stdout } = await run(provider, machineId, 'echo "$HOME"; echo kept > "$HOME/kept-over-sleep"');
        const stale = (await provider.find(machineId))!.revision;
        const taken = await change('sleep');
        expect(taken.desiredState).toBe('sleeping');
        const asleep = await untilPhase(provider, machineId, 'sleeping');
        expect(asleep.desiredState).toBe('sleeping');
        if (subject.fences) {
          const late = provider.wake(machineId, { idempotencyKey: uuidv7(), ifMatch: stale });
          expect(await failureCode(late)).toBe('REVISION_CONFLICT');
        }
        await change('wake');
        await untilPhase(provider, machineId, 'running');
        const home = stdout.split('\n')[0]!;
        expect((await run(provider, machineId, `cat ${home}/kept-over-sleep`)).stdout).toBe('kept\n');

        await change('sleep');
        await untilPhase(provider, machineId, 'sleeping');
        expect((await run(provider, machineId, `cat ${home}/kept-over-sleep`)).stdout).toBe('kept\n');
      },
      SLOW_TEST_MS,
    );

    test(
      'destroyed is destroyed: nobody finds it, twice is once, and it does not come back',
      async () => {
        const { machineId: id } = await provider.create(
          { ...size, autosleepSeconds: 900 },
          { idempotencyKey: uuidv7() },
        );
        made.add(id);
        await untilPhase(provider, id, 'running');
        const { revision } = (await provider.find(id))!;
        await provider.destroy(id, { idempotencyKey: uuidv7(), ifMatch: revision });
        await waitFor('machine gone', async () => (await provider.find(id)) === undefined, PHASE_WAIT_MS);
        await provider.destroy(id, { idempotencyKey: uuidv7(), ifMatch: revision });
        const wake = provider.wake(id, { idempotencyKey: uuidv7(), ifMatch: revision });
        expect(['MACHINE_LOST', 'MACHINE_INVALID_STATE']).toContain(await failureCode(wake));
      },
      SLOW_TEST_MS,
    );
  });
}
