/**
 * What an operator sees of a turn in mid command, read from the real Temporal UI in a real browser: phase, turn, step, attempt,
 * the exit code of the command before, and the heartbeat of the one that runs.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { openBrowser, type TestBrowser } from '../support/browser.js';
import { createTestDatabase, testTemporal, type TestDatabase } from '../support/servers.js';
import { startStack, type Stack } from '../support/stack.js';
import { waitFor } from '../support/wait-for.js';

const UI_WAIT_MS = 30_000;
/** The README's pictures are taken from here. */
const SCREENSHOTS = join(PROJECT_ROOT, '.cache', 'screenshots');

describe('an operator at the Temporal UI', () => {
  const user = { userId: 'grace' };
  const turn = { ...user, turnId: 'long' };
  let database: TestDatabase;
  let stack: Stack;
  let browser: TestBrowser;
  let page: Page;
  let laneUrl: string;

  beforeAll(async () => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    database = await createTestDatabase();
    const temporal = await testTemporal();
    stack = await startStack({ databaseUrl: database.url, temporalAddress: temporal.address });
    browser = await openBrowser();
    page = await browser.context.newPage();
    laneUrl = `${temporal.uiUrl}/namespaces/default/workflows/${encodeURIComponent('user-machine/grace')}`;

    await stack.client.submitTurn({
      ...turn,
      prompt: '$ echo first; exit 3\n$ echo second; until [ -e ~/go ]; do sleep 0.1; done',
    });
    await waitFor('the second command runs', async () => (await stack.client.getTurn(turn)).toolCalls === 2);
    // The run id is part of every address below.
    await page.goto(laneUrl);
    await page.waitForURL(/\/timeline|\/history/u, { timeout: UI_WAIT_MS });
    laneUrl = page.url().replace(/\/(timeline|history).*$/u, '');
  });
  afterAll(async () => {
    await stack.client.cancelTurn(turn);
    await browser.close();
    await stack.stop();
    await database.drop();
  });

  async function textOf(path: string, expected: RegExp): Promise<string> {
    await page.goto(`${laneUrl}/${path}`);
    return waitFor(
      `the page ${path} shows ${String(expected)}`,
      async () => {
        // Markdown is shown in a frame of its own, which a refresh may take away while it is read.
        const texts = await Promise.all(
          page.frames().map((frame) =>
            frame
              .locator('body')
              .innerText()
              .catch(() => ''),
          ),
        );
        const text = texts.join('\n');
        return expected.test(text) ? text : undefined;
      },
      UI_WAIT_MS,
    );
  }

  it('reads phase, turn and step in the current details', async () => {
    const text = await textOf('user-metadata', /phase\s+ready/u);
    expect(text).toMatch(/phase\s+ready/u);
    expect(text).toMatch(/turn\s+1, step 1/u);
    expect(text).toMatch(/machine\s+dm-/u);
    await page.screenshot({ path: join(SCREENSHOTS, 'temporal-ui-details.png') });
  });

  it('reads the attempt and the heartbeat of the command that runs', async () => {
    const text = await textOf('pending-activities', /elapsedMs/u);
    expect(text).toMatch(/act/u);
    expect(text).toMatch(/Attempt\s+1/u);
    expect(text).toMatch(/"phase":\s*"command"/u);
    expect(text).toMatch(/"step":\s*1/u);
  });

  it('reads each step by its summary in the timeline', async () => {
    await textOf('timeline', /turn 1 · step 1/u);
    await page.screenshot({ path: join(SCREENSHOTS, 'temporal-ui-lane.png') });
  });

  it('reads the exit code of the command before in the history', async () => {
    await page.goto(`${laneUrl}/history`);
    await page.getByText('turn 1 · step 0 · ').first().waitFor({ timeout: UI_WAIT_MS });
    const text = await waitFor(
      'an event shows the exit code',
      async () => {
        const body = await page.locator('body').innerText();
        return /exitCode"?:\s*3/u.test(body) ? body : undefined;
      },
      UI_WAIT_MS,
    );
    expect(text).toMatch(/"outcome":\s*"exited"/u);
  });
});
