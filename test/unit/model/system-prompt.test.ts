/** Goal: the agent is told whose machine it is and what became of it; a template that cannot work is refused at start. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import {
  loadSystemPromptTemplate,
  parseSystemPromptTemplate,
  type SystemPromptFacts,
} from '../../../src/model/system-prompt.js';

const facts: SystemPromptFacts = {
  user: 'ada',
  machineId: 'dm-1',
  home: '/home/machine',
  missing: [],
  lastSleep: undefined,
  replaced: undefined,
  now: '2026-09-01T10:00:00Z',
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'prompt-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function problemOf(run: () => unknown): InnkeeperError {
  try {
    run();
  } catch (error) {
    if (InnkeeperError.is(error)) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('the built-in template', () => {
  test('says whose machine it is and that the home lasts, and leaves out what does not apply', () => {
    const text = loadSystemPromptTemplate(undefined).render(facts);
    expect(text).toContain('"ada"');
    expect(text).toContain('its id is dm-1');
    expect(text).toContain('Everything under /home/machine lasts');
    expect(text).not.toMatch(/\{\{|\n\n\n|slept|replaced|installed/);
  });

  test('says what is missing, how long the machine slept and that it was replaced', () => {
    const text = loadSystemPromptTemplate(undefined).render({
      ...facts,
      machineId: undefined,
      missing: ['nodejs', 'git'],
      lastSleep: { sleptAt: '2026-08-29T10:00:00Z', wokenAt: '2026-09-01T09:59:00Z' },
      replaced: { at: '2026-08-01T00:00:00Z', reason: 'its host was lost' },
    });
    expect(text).toContain('being prepared');
    expect(text).toContain('missing: nodejs, git.');
    expect(text).toContain('slept from 2026-08-29T10:00:00Z until 2026-09-01T09:59:00Z');
    expect(text).toContain('replaced by a new, empty one at 2026-08-01T00:00:00Z (its host was lost)');
  });
});

describe('a template of the deployment', () => {
  test('is read from its file, values are not expanded again', () => {
    const file = join(folder, 'prompt.txt');
    writeFileSync(file, 'Hello {{ user }} at {{now}}, $& stays.');
    expect(loadSystemPromptTemplate(file).render({ ...facts, user: '{{home}} $&' })).toBe(
      'Hello {{home}} $& at 2026-09-01T10:00:00Z, $& stays.',
    );
  });

  test('an unknown placeholder is refused with the names there are', () => {
    const problem = problemOf(() => parseSystemPromptTemplate('{{user}} {{usr}} {{Home}} {{}}', 'the template'));
    expect(problem.code).toBe('SETTINGS_INVALID');
    expect(problem.message).toContain('{{usr}}, {{Home}}, {{}}');
    expect(problem.message).toContain('{{lastSleep}}');
  });

  test('a missing or empty file is refused', () => {
    expect(problemOf(() => loadSystemPromptTemplate(join(folder, 'none'))).message).toContain('cannot be read');
    expect(problemOf(() => parseSystemPromptTemplate(' \n', 'the template')).message).toContain('is empty');
  });
});
