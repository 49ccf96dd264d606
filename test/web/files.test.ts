/**
 * Goal: a person sees the files of their machine, brings files to it, takes them away and deletes them, by mouse, by keyboard and on a phone;
 * and nobody wakes a machine by looking. Method: a real browser on a real gateway in front of a whole stack; what became of it is read from
 * the machine's disk and the provider's ledger.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { say, untilPhase } from '../e2e/support/actions.js';
import { leakedMachines } from '../e2e/support/stage.js';
import { openBrowser } from '../support/browser.js';
import { waitFor } from '../support/wait-for.js';
import { openPageStage, withoutRefusals, type OpenedPage, type PageStage } from './support/page-stage.js';

const PHONE = { width: 390, height: 780 };
const MADE =
  '$ mkdir -p notes/deep; echo hello >notes/a.txt; ln -s /etc away; printf "\\033[31m" >"odd$(printf "\\342\\200\\256")name"';

let test: PageStage;
/** Of this computer. */
let folder: string;
beforeAll(async () => {
  test = await openPageStage();
  folder = mkdtempSync(join(tmpdir(), 'innkeeper-files-'));
});
afterAll(async () => {
  expect(await leakedMachines(test.stage)).toEqual([]);
  await test.close();
  rmSync(folder, { recursive: true, force: true });
});

function local(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}
const panel = (page: Page): Locator => page.locator('details.files');
const entries = (page: Page): Promise<string[]> => panel(page).locator('.entries .entry-name').allInnerTexts();
const untilEntries = (page: Page, expected: readonly string[]): Promise<unknown> =>
  waitFor(`it lists ${expected.join(', ')}`, async () => (await entries(page)).join('\n') === expected.join('\n'));
const openPanel = async (page: Page): Promise<void> => page.locator('details.files summary').click();

async function openUser(userId: string): Promise<OpenedPage & { readonly home: string }> {
  await say(test.stage.stack.client, { userId, turnId: 'm1', prompt: MADE });
  return { ...(await test.openUser(userId)), home: await test.stage.home(userId) };
}

describe('files', () => {
  it('are listed and gone into, uploaded with what is replaced asked for, downloaded and deleted', async () => {
    const { page, trouble, home } = await openUser('files-page');
    await openPanel(page);
    await untilEntries(page, ['.bash_history', 'away', 'notes/', 'odd\\u{202e}name']);
    expect(await page.getByRole('button', { name: 'Open away' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Open notes' }).click();
    await untilEntries(page, ['a.txt', 'deep/']);

    const upload = page.getByLabel('Files to upload');
    await upload.setInputFiles([local('a.txt', 'other'), local('b & c.txt', 'brought')]);
    await page.getByRole('alert').filter({ hasText: 'a.txt is there already.' }).waitFor();
    await untilEntries(page, ['a.txt', 'b & c.txt', 'deep/']);
    expect(readFileSync(join(home, 'notes/b & c.txt'), 'utf8')).toBe('brought');
    expect(readFileSync(join(home, 'notes/a.txt'), 'utf8')).toBe('hello\n');
    await test.picture(page, 'page-files');
    await page.getByRole('button', { name: 'Replace a.txt' }).click();
    await waitFor('it is replaced', () => readFileSync(join(home, 'notes/a.txt'), 'utf8') === 'other');
    await page.getByRole('button', { name: 'Replace a.txt' }).waitFor({ state: 'detached' });

    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download b & c.txt' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('b & c.txt');
    expect(readFileSync(await download.path(), 'utf8')).toBe('brought');

    await page.getByRole('button', { name: 'Delete deep' }).click();
    await page
      .getByRole('group', { name: 'Delete it with all that is in it? deep' })
      .getByRole('button', { name: 'Keep' })
      .click();
    expect(existsSync(join(home, 'notes/deep'))).toBe(true);
    await page.getByRole('button', { name: 'Delete deep' }).click();
    await page.getByRole('button', { name: 'Delete now' }).click();
    await untilEntries(page, ['a.txt', 'b & c.txt']);
    expect(readdirSync(join(home, 'notes')).toSorted()).toEqual(['a.txt', 'b & c.txt']);
    await page.getByRole('navigation', { name: 'Folder' }).getByRole('button', { name: 'Home' }).click();
    await untilEntries(page, ['.bash_history', 'away', 'notes/', 'odd\\u{202e}name']);
    const log = page.getByRole('log', { name: 'What happens' });
    expect(await log.innerText()).toContain('b & c.txt is on the machine.');
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('are uploaded by dropping them', async () => {
    const { page, trouble, home } = await openUser('files-drop');
    await openPanel(page);
    await untilEntries(page, ['.bash_history', 'away', 'notes/', 'odd\\u{202e}name']);
    const dropped = await page.evaluateHandle(
      `(() => { const data = new DataTransfer(); data.items.add(new File(['dropped'], 'drop.txt')); return data; })()`,
    );
    await page.locator('.files-drop').dispatchEvent('dragover', { dataTransfer: dropped });
    await page.locator('.files-drop.over').waitFor();
    await page.locator('.files-drop').dispatchEvent('drop', { dataTransfer: dropped });
    await untilEntries(page, ['.bash_history', 'away', 'drop.txt', 'notes/', 'odd\\u{202e}name']);
    expect(readFileSync(join(home, 'drop.txt'), 'utf8')).toBe('dropped');
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('say what is the matter where something cannot be done, and what to do', async () => {
    const { page, home } = await openUser('files-wrong');
    await openPanel(page);
    await untilEntries(page, ['.bash_history', 'away', 'notes/', 'odd\\u{202e}name']);
    rmSync(join(home, 'notes'), { recursive: true });
    await page.getByRole('button', { name: 'Open notes' }).click();
    await panel(page).getByRole('alert').filter({ hasText: 'FILE_UNKNOWN' }).waitFor();
    await page.getByRole('button', { name: 'Look again' }).click();
    await untilEntries(page, ['.bash_history', 'away', 'odd\\u{202e}name']);
    expect(await panel(page).getByRole('alert').count()).toBe(0);
    await page.close();
  });
});

describe('a machine that is asleep', () => {
  it('is not woken by a look, and is by the button that says so', async () => {
    const { page, trouble } = await openUser('files-asleep');
    await test.stage.stack.client.sleepNow({ userId: 'files-asleep' });
    await untilPhase(test.stage, 'files-asleep', 'asleep');
    const mark = await test.stage.provider.mark();
    await openPanel(page);
    const wake = page.getByRole('button', { name: 'Wake the machine and show its files' });
    await wake.waitFor();
    const id = await test.stage.machineId('files-asleep');
    expect((await test.stage.provider.ledger(mark)).filter(({ machineId }) => machineId === id)).toEqual([]);
    await wake.click();
    await untilEntries(page, ['.bash_history', 'away', 'notes/', 'odd\\u{202e}name']);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});

describe('without a mouse', () => {
  it('files are reached, deleted and left', async () => {
    const { page, trouble, home } = await openUser('files-keys');
    await page.locator('details.files summary').focus();
    await page.keyboard.press('Enter');
    await untilEntries(page, ['.bash_history', 'away', 'notes/', 'odd\\u{202e}name']);
    const almostMinuteAgo = Date.now() / 1_000 - 55;
    utimesSync(join(home, 'notes', 'a.txt'), almostMinuteAgo, almostMinuteAgo);
    await page.getByRole('button', { name: 'Open notes' }).press('Enter');
    await untilEntries(page, ['a.txt', 'deep/']);
    await page.getByRole('button', { name: 'Delete a.txt' }).press('Enter');
    // The harmless answer has the focus.
    const focused = (): Promise<string> => page.evaluate('document.activeElement.innerText');
    expect(await focused()).toBe('Keep');
    await page.keyboard.press('Tab');
    // Ages go on, and take nobody's focus.
    await page.locator('.entries li').filter({ hasText: 'a.txt' }).filter({ hasText: '1 min' }).waitFor();
    expect(await focused()).toBe('Delete now');
    await page.keyboard.press('Enter');
    await untilEntries(page, ['deep/']);
    await waitFor('the list has the focus', () =>
      page.evaluate<boolean>("document.activeElement.classList.contains('entries')"),
    );
    expect(readdirSync(join(home, 'notes'))).toEqual(['deep']);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});

describe('on a phone, and to assistive technology', () => {
  it('files fit and have nothing that an audit finds', async () => {
    const userId = 'files-phone';
    await say(test.stage.stack.client, { userId, turnId: 'm1', prompt: MADE });
    const home = await test.stage.home(userId);
    mkdirSync(join(home, 'wide'.repeat(40)));
    const browser = await openBrowser({ bypassCSP: true, viewport: PHONE });
    const page = await browser.context.newPage();
    await page.goto(`${test.url()}/#key=${test.keys.operator}&user=${userId}`);
    await page.getByRole('tab', { name: 'Machine' }).click();
    await openPanel(page);
    await waitFor('it lists', async () => (await entries(page)).length === 5);
    await page.getByRole('button', { name: 'Delete notes' }).click();
    await page.getByRole('button', { name: 'Delete now' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(PHONE.width);
    await test.picture(page, 'phone-files');
    await page.evaluate(axe.source);
    const { violations } = (await page.evaluate("axe.run('.files')")) as {
      violations: { id: string; impact: string; nodes: { html: string }[] }[];
    };
    expect(violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0]?.html ?? ''}`)).toEqual([]);
    await browser.close();
  });
});
