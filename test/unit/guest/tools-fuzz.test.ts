/**
 * Goal: a tool call is the model's text, and what a machine says of itself is the machine's: whatever either writes, it is a script
 * within its limits, a problem in words, an identity, or a coded error.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import { COMMAND_TIMEOUT_MS_MAX } from '../../../src/contracts/limits.js';
import { toolDefinitions } from '../../../src/contracts/tools.js';
import { createGuest } from '../../../src/guest/create-guest.js';
import { compileToolCall } from '../../../src/guest/tools.js';
import type { MachineProvider } from '../../../src/machines/provider.js';
import { hostileRecord, hostileText } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

const names = [...toolDefinitions.map(({ name }) => name), 'toString', '__proto__', ''];
const argumentsOf = hostileRecord({
  command: fc.constantFrom('ls', 'é', ''),
  timeout: fc.constantFrom(1, 0.0001, 1e308, -1),
  path: fc.constantFrom('/x', '~/x', ''),
  content: fc.constantFrom('', 'text'),
  offset: fc.constantFrom(1, 2 ** 53),
  limit: fc.constantFrom(1, 0),
});

describe('a tool call', () => {
  test('of anything is a script within its limits, or a problem in words', () => {
    const json = fc.oneof(
      argumentsOf.map((value) => JSON.stringify(value)),
      argumentsOf.map((value) => JSON.stringify(value).slice(0, -1)),
      hostileText,
      fc.constant('['.repeat(100_000)),
    );
    fc.assert(
      fc.property(fc.constantFrom(...names), json, (name, argumentsJson) => {
        const compiled = compileToolCall(name, argumentsJson);
        if (!compiled.ok) {
          expect(compiled.problem).toMatch(/^\S.{0,600}[.]$/s);
          return;
        }
        expect(compiled.script).not.toBe('');
        expect(compiled.script).not.toContain('\0');
        expect(compiled.timeoutMs).toBeGreaterThan(0);
        expect(compiled.timeoutMs).toBeLessThanOrEqual(COMMAND_TIMEOUT_MS_MAX);
        expect(compiled.title).not.toMatch(/\n/);
        expect(compileToolCall(name, argumentsJson)).toEqual(compiled);
      }),
      runs(2_000),
    );
  });
});

describe('what a machine says of itself', () => {
  test('is an identity, or a coded error', async () => {
    const line = fc.constantFrom('innkeeper-machine b L3Jvb3Q=', 'innkeeper-machine b', 'innkeeper-bootstrap git', 'x');
    const said = fc.array(fc.oneof(line, hostileText), { maxLength: 5 }).map((lines) => lines.join('\n'));
    await fc.assert(
      fc.asyncProperty(said, async (stdout) => {
        const end = { exitCode: 0, signal: undefined, expired: false, stderr: '', stdoutTruncated: false };
        const machines = {
          execute: () => Promise.resolve({ executionId: 'e', stdout, ...end }),
        } as unknown as MachineProvider;
        const guest = createGuest({ machines, newKey: () => 'key' });
        try {
          const told = await guest.bootstrap('m', {
            ...{ idempotencyKey: 'key', expectsHome: true },
            signal: new AbortController().signal,
          });
          expect(told.bootId).toMatch(/^\S+$/);
          expect(told.missing.every((name) => /^[\w-]+$/.test(name))).toBe(true);
        } catch (error) {
          if (!InnkeeperError.is(error)) throw error;
          expect(error.code).toBe('GUEST_UNREACHABLE');
        }
      }),
      runs(500),
    );
  });
});
