/**
 * Goal: a person chats with their machine by the page: sees commands while they print, loses and doubles nothing by a reload or by a dead
 * gateway, stops what runs, takes back what waits; and nothing that a command prints does anything to the page. Method: a real browser on
 * a real gateway in front of a whole stack; what became of it is read from outside records.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processesWith } from '../e2e/support/processes.js';
import { say, untilWritten } from '../e2e/support/actions.js';
import { leakedMachines } from '../e2e/support/stage.js';
import { waitFor } from '../support/wait-for.js';
import { openPageStage, sendMessage, withoutRefusals, type PageStage } from './support/page-stage.js';

let test: PageStage;
beforeAll(async () => {
  test = await openPageStage();
});
afterAll(async () => {
  expect(await leakedMachines(test.stage)).toEqual([]);
  await test.close();
});

/** Prints `first`, waits for a file, prints `second`. */
const GATED = '$ echo first | tee -a ~/began.txt; until [ -e ~/go ]; do sleep 0.1; done; echo second';
const letGo = async (userId: string): Promise<void> =>
  writeFileSync(join(await test.stage.home(userId), 'go'), '', { mode: 0o666 });

const cards = (page: Page): Locator => page.locator('details.call');
const outputs = (page: Page): Locator => page.locator('details.call .output');
const count = (text: string, part: string): number => text.split(part).length - 1;
const untilText = (what: Locator, expected: RegExp): Promise<string> =>
  waitFor(`it shows ${String(expected)}`, async () => {
    const text = (await what.allInnerTexts()).join('\n');
    return expected.test(text) ? text : undefined;
  });

describe('a conversation', () => {
  it('begins with an id that nobody has, and shows a command while it prints and how it ended', async () => {
    const { page, trouble } = await test.open(`key=${test.keys.operator}`);
    await page.getByLabel('Open a user').fill('nadia');
    await page.keyboard.press('Enter');
    await page.getByText('There is no user nadia yet').waitFor();
    await sendMessage(page, GATED);
    await untilText(outputs(page), /first/);
    expect(await cards(page).locator('.outcome').innerText()).toBe('runs');
    expect(await outputs(page).innerText()).not.toContain('second');
    await test.picture(page, 'page-running');
    await letGo('nadia');
    await untilText(cards(page).locator('.outcome'), /^exit code 0$/);
    await untilText(outputs(page), /first\nsecond/);
    // The answer quotes the output, and the list knows who was active.
    await untilText(page.locator('.answer > .said'), /second/);
    await untilText(page.locator('.users'), /nadia/);
    // Who does not look is told: the command, how it ended, the whole answer.
    const log = page.getByRole('log', { name: 'What happens' });
    await untilText(log, /Command: echo first[\s\S]*exit code 0[\s\S]*I ran one command/);
    await untilText(page.locator('.xterm-rows'), /echo first[\s\S]*second/);
    await test.picture(page, 'page');
    expect(withoutRefusals(trouble)).toEqual([]);
    expect((await test.stage.journal('nadia')).length).toBe(1);
    await page.close();
  });

  it('that is reloaded in the middle of a command misses nothing and doubles nothing', async () => {
    const { page, trouble } = await test.openUser('rita');
    await sendMessage(page, GATED);
    await untilText(outputs(page), /first/);
    await page.reload();
    await untilText(outputs(page), /first/);
    await letGo('rita');
    const text = await untilText(outputs(page), /second/);
    await untilText(page.locator('.answer > .said'), /second/);
    expect([count(text, 'first'), await page.locator('.prompt').count(), await cards(page).count()]).toEqual([1, 1, 1]);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('that is reloaded in the middle of an answer shows the whole of it once', async () => {
    const { page, trouble } = await test.openUser('anna');
    await sendMessage(page, "!model pace 60\n$ seq -s ' ' 100 220");
    await untilText(page.locator('.answer.live'), /100 101/);
    await page.reload();
    await page.locator('.answer.live').waitFor();
    await untilText(page.locator('.turn'), /219 220/);
    await page.locator('.turn[data-state="completed"]').waitFor();
    const said = await page.locator('.answer > .said').innerText();
    const [row] = await test.stage.sql<{ answer: string }>("select answer from turns where user_id = 'anna'");
    const words = (text: string): string[] => text.match(/\d+/g) ?? [];
    expect(words(said)).toEqual(words(row?.answer ?? ''));
    expect(count(said, '150')).toBe(1);
    expect(trouble.filter((line) => !line.startsWith('Failed to load'))).toEqual([]);
    await page.close();
  });

  it('is stopped: the command is gone from its machine', async () => {
    const { page, trouble } = await test.openUser('stella');
    await sendMessage(page, '$ echo x >> ~/began.txt; sleep 86311');
    await untilWritten(test.stage, 'stella', 'began.txt');
    await waitFor('the command runs', () => processesWith('86311').length > 0);
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped.').waitFor();
    await untilText(cards(page).locator('.outcome'), /^cancelled$/);
    await waitFor('the command is gone', () => processesWith('86311').length === 0);
    expect(await page.getByRole('button', { name: 'Stop' }).count()).toBe(0);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('takes messages while a turn runs, gives them back, and runs the rest in their order', async () => {
    const { client } = test.stage.stack;
    const prompt = '$ mkdir -p demo/src && touch demo/README.md demo/main.py\n$ ls -lA --color=always demo';
    await say(client, { userId: 'wanda', turnId: 'm0', prompt });
    const { page, trouble } = await test.openUser('wanda');
    await sendMessage(page, GATED);
    await untilText(outputs(page), /first/);
    await sendMessage(page, '$ echo taken back');
    await sendMessage(page, '$ echo kept');
    const waiting = page.getByRole('region', { name: 'Waiting messages' });
    await untilText(waiting.locator('.waiting-text'), /taken back\n.*kept/);
    await waiting.getByRole('button', { name: 'Remove $ echo taken back' }).click();
    await waitFor('one waits', async () => (await waiting.locator('li').count()) === 1);
    await test.picture(page, 'page-waiting');
    // What came live before is not said again.
    expect((await outputs(page).last().innerText()).trim()).toBe('first');
    await letGo('wanda');
    await untilText(outputs(page), /kept/);
    expect(await page.locator('.prompt').count()).toBe(3);
    const turns = await test.stage.sql<{ state: string }>(
      "select state from turns where user_id = 'wanda' order by position",
    );
    expect(turns.map(({ state }) => state).slice(1, 3)).toEqual(['completed', 'cancelled']);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('that is long is read piece by piece, and the reader stays where they are', async () => {
    const lines = (from: number): string =>
      Array.from({ length: 30 }, (_, at) => `$ echo number-${from + at}`).join('\n');
    for (const [at, prompt] of [lines(100), lines(130)].entries()) {
      await say(test.stage.stack.client, { userId: 'lena', turnId: `m${at}`, prompt });
    }
    const { page, trouble } = await test.openUser('lena');
    await untilText(cards(page), /number-159/);
    const earlier = page.getByRole('button', { name: 'Show earlier' });
    const first = cards(page).first();
    const [title, known] = [await first.innerText(), await cards(page).count()];
    expect(known).toBeLessThan(60);
    await earlier.scrollIntoViewIfNeeded();
    const marked = page
      .locator('details.call', { hasText: title.split('\n')[0]?.replace(/^\S* *\$ */, '') ?? '' })
      .first();
    const before = (await marked.boundingBox())?.y ?? 0;
    await earlier.click();
    await waitFor('all is there', async () => (await cards(page).count()) === 60);
    expect(Math.abs(((await marked.boundingBox())?.y ?? 0) - before)).toBeLessThan(60);
    const titles = await cards(page).locator('.command').allInnerTexts();
    expect(titles).toEqual(Array.from({ length: 60 }, (_, at) => `$ echo number-${100 + at}`));
    expect(await earlier.count()).toBe(0);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('shows messages and commands of whoever else talks to the machine', async () => {
    const { page } = await test.openUser('otto');
    await page.getByText('There is no user otto yet').waitFor();
    await test.stage.stack.client.submitTurn({ userId: 'otto', turnId: 'm1', prompt: '$ echo from elsewhere' });
    await page.reload();
    await untilText(page.locator('.prompt'), /from elsewhere/);
    await test.stage.stack.client.submitTurn({ userId: 'otto', turnId: 'm2', prompt: '$ echo again' });
    await untilText(page.locator('.prompt'), /from elsewhere[\s\S]*echo again/);
    await page.close();
  });
});

describe('a gateway that dies', () => {
  it('is said; what cannot be sent stays with what to do; when it is back everything goes on, and nothing was taken twice', async () => {
    const { page, trouble } = await test.openUser('greta');
    await sendMessage(page, GATED);
    await untilText(outputs(page), /first/);
    await test.killGateway();
    await page.getByText('The connection is lost').waitFor();
    await sendMessage(page, '$ echo later');
    await untilText(page.locator('.composer .problem'), /cannot be reached[\s\S]*try again/);
    expect(await page.getByLabel('Message', { exact: true }).inputValue()).toBe('$ echo later');
    await test.picture(page, 'page-broken');
    await letGo('greta');
    // Told all at once when the page comes back, and shown unfolded as what is seen to run.
    await say(test.stage.stack.client, { userId: 'greta', turnId: 'meanwhile', prompt: '$ echo meanwhile' });
    await test.startGateway();
    await untilText(outputs(page), /first\nsecond/);
    await untilText(outputs(page), /meanwhile/);
    await page.getByText('The connection is lost').waitFor({ state: 'hidden' });
    await page.getByLabel('Message', { exact: true }).press('Enter');
    await untilText(outputs(page), /later/);
    expect(await page.getByLabel('Message', { exact: true }).inputValue()).toBe('');
    const turns = await test.stage.sql("select from turns where user_id = 'greta'");
    expect(turns).toHaveLength(3);
    expect(count((await outputs(page).allInnerTexts()).join('\n'), 'first')).toBe(1);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});

describe('hostile output', () => {
  it('is text, and nothing else', async () => {
    const { page, trouble } = await test.openUser('holger');
    const title = await page.title();
    await sendMessage(
      page,
      "$ printf '\\033]0;owned\\007<img src=x onerror=alert(1)>\\033[31mred\\033[0m\\033]8;;https://evil.example\\007here\\033]8;;\\007\\n'",
    );
    await untilText(outputs(page), /<img src=x onerror=alert\(1\)>redhere/);
    await untilText(page.locator('.answer > .said'), /<img src=x onerror=alert/);
    const isRed = page.locator('.xterm-rows .xterm-fg-1', { hasText: 'red' });
    await isRed.first().waitFor();
    // Whoever comes later sees it in colour too: from the journal's bytes.
    await page.reload();
    await isRed.first().waitFor();
    expect(await page.locator('#page img, #page a[href*="evil"], #page iframe').count()).toBe(0);
    expect(await page.title()).toBe(title);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});
