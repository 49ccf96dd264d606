/**
 * Goal: a person takes the keyboard on the page, works, and hands it back; nothing that their machine prints does anything to the page.
 * Method: a real browser on a real gateway in front of a whole stack; what came of it is read from outside records.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOf, say } from '../e2e/support/actions.js';
import { takeTerminal } from '../support/terminal-client.js';
import { waitFor } from '../support/wait-for.js';
import { openPageStage, sendMessage, withoutRefusals, type PageStage } from './support/page-stage.js';

let test: PageStage;
beforeAll(async () => {
  test = await openPageStage();
});
afterAll(() => test.close());

const region = (page: Page): Locator => page.getByRole('region', { name: 'Your terminal' });
const button = (page: Page, name: 'Take over' | 'Hand back'): Locator => page.getByRole('button', { name });
const shown = (page: Page): Promise<string> => region(page).locator('.xterm-rows').innerText();
const untilShown = (page: Page, expected: RegExp): Promise<string> =>
  waitFor(`the shell shows ${String(expected)}`, async () => {
    const text = (await shown(page)).replaceAll('\u00a0', ' ');
    return expected.test(text) ? text : undefined;
  });

async function takeOver(page: Page): Promise<void> {
  await button(page, 'Take over').click();
  await region(page).waitFor();
  await untilShown(page, /# *$/m);
}

describe('the keyboard', () => {
  it('is taken on the page, typed on, and handed back; the agent goes on where the person was', async () => {
    const userId = 'keys-nora';
    await say(test.stage.stack.client, {
      userId,
      turnId: 'm0',
      prompt: '$ mkdir -p ~/work; cd ~/work; export WHO=agent',
    });
    const { page, trouble } = await test.openUser(userId);
    await takeOver(page);
    await page.getByText('You have the keyboard').waitFor();
    // The focus is in the shell, and a command of the agent waits.
    await page.keyboard.type('export WHO=nora; cd /usr/share; echo "by $WHO"\n');
    await untilShown(page, /by nora/);
    await sendMessage(page, '$ echo "$WHO in $PWD"');
    await page.getByText('The agent waits to run').waitFor();
    await region(page).locator('textarea').focus();
    await page.keyboard.type('ls --color=always /usr | head -3\n');
    await untilShown(page, /games/);
    await test.picture(page, 'page-terminal');
    await button(page, 'Hand back').click();
    await region(page).waitFor({ state: 'detached' });
    const { turnId } = (await test.stage.database.turns(userId)).at(-1) ?? { turnId: '' };
    expect((await endOf(test.stage.stack.client, { userId, turnId })).answer).toContain('nora in /usr/share');
    await page.locator('.turn', { hasText: 'The keyboard is handed back, in /usr/share.' }).first().waitFor();
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('wakes a machine that sleeps, and is left by a key', async () => {
    const userId = 'keys-otto';
    const { client } = test.stage.stack;
    await say(client, { userId, turnId: 'm0', prompt: '$ echo begun' });
    await client.sleepNow({ userId });
    await waitFor('it sleeps', async () => (await test.stage.database.machine(userId))?.phase === 'asleep');
    const { page, trouble } = await test.openUser(userId);
    await takeOver(page);
    // Tab is the shell's; F6 is the page's.
    await page.keyboard.type('echo tab-');
    await page.keyboard.press('Tab');
    await page.keyboard.type('stays\n');
    await untilShown(page, /tab-\s*stays/);
    await page.keyboard.press('F6');
    expect(await page.evaluate('document.activeElement.id')).toBe('keyboard-button');
    await page.keyboard.press('Enter');
    await region(page).waitFor({ state: 'detached' });
    expect(await page.evaluate('document.activeElement.id')).toBe('keyboard-button');
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('is found again after a reload, in the same shell', async () => {
    const userId = 'keys-rosa';
    await say(test.stage.stack.client, { userId, turnId: 'm0', prompt: '$ echo begun' });
    const { page, trouble } = await test.openUser(userId);
    await takeOver(page);
    await page.keyboard.type('kept=here-still\n');
    await page.reload();
    await region(page).waitFor();
    await region(page).locator('textarea').focus();
    await page.keyboard.type('echo "it is $kept"\n');
    await untilShown(page, /it is here-still/);
    await button(page, 'Hand back').click();
    await region(page).waitFor({ state: 'detached' });
    const told = await test.stage.sql<{ type: string }>(
      `select body ->> 'type' as type from turn_events where user_id = $1 and body ->> 'type' like 'terminal.%' order by seq`,
      [userId],
    );
    expect(told.map(({ type }) => type)).toEqual(['terminal.taken', 'terminal.handed_back']);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('of somebody else is shown with who has it, and cannot be had', async () => {
    const userId = 'keys-saul';
    await say(test.stage.stack.client, { userId, turnId: 'm0', prompt: '$ echo begun' });
    const other = await takeTerminal({ base: test.url(), userId, key: test.keys.service });
    const { holder } = await other.hear('taken');
    const { page } = await test.openUser(userId);
    await page.getByText(`${holder} has the keyboard`).waitFor();
    await button(page, 'Take over').click();
    await page.getByText('TERMINAL_TAKEN').waitFor();
    other.send({ type: 'hand_back' });
    await other.closed;
    await waitFor('nobody has it', async () => (await page.getByText('has the keyboard').count()) === 0);
    await page.close();
  });
});

describe('what a shell prints', () => {
  it('draws, and neither answers, nor renames, nor links, nor touches the clipboard', async () => {
    const userId = 'keys-mallory';
    await say(test.stage.stack.client, { userId, turnId: 'm0', prompt: '$ echo begun' });
    const home = await test.stage.home(userId);
    const hostile = [
      '\u001b]0;owned\u0007\u001b]2;owned\u0007',
      '\u001b]52;c;b3duZWQ=\u0007',
      '\u001b]8;;https://elsewhere.example/\u0007a link\u001b]8;;\u0007',
      '\u001b[c\u001b[>c\u001b[5n\u001b[6n\u001b[?6n\u001b[18t\u001b[?1004h\u001b[?2004$p\u001bP$qm\u001b\\',
      '\u001b]10;?\u0007\u001b]11;?\u0007\u001b]4;1;?\u0007',
      '<img src=x onerror=alert(1)>',
    ].join('');
    writeFileSync(join(home, 'hostile'), hostile, { mode: 0o666 });
    const { page, trouble } = await test.openUser(userId);
    await takeOver(page);
    const title = await page.title();
    // Whatever was answered would be read, for as long as a quiet terminal takes to be sure of it.
    await page.keyboard.type(
      'stty -echo -icanon min 0 time 10; cat hostile; answer=$(cat); stty sane; echo; echo "answered ${#answer} bytes"\n',
    );
    await untilShown(page, /a link<img src=x onerror=alert\(1\)>/);
    await untilShown(page, /answered 0 bytes/);
    expect(await page.title()).toBe(title);
    expect(await region(page).locator('a, img').count()).toBe(0);
    await page.mouse.move(10, 10);
    await button(page, 'Hand back').click();
    await region(page).waitFor({ state: 'detached' });
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });

  it('a paste is typed as text, in brackets where the shell can tell, and one that is too long is not', async () => {
    const userId = 'keys-pia';
    await say(test.stage.stack.client, { userId, turnId: 'm0', prompt: '$ echo begun' });
    const { page, trouble } = await test.openUser(userId);
    await takeOver(page);
    const paste = (text: string): Promise<unknown> =>
      page.evaluate(`(() => {
        const clipboardData = new DataTransfer();
        clipboardData.setData('text/plain', ${JSON.stringify(text)});
        const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
        document.querySelector('[aria-label="Your terminal"] textarea').dispatchEvent(event);
      })()`);
    await paste('touch ~/pasted-and-run\necho \u001b[201~\n');
    await untilShown(page, /pasted-and-run/);
    await page.keyboard.press('Control+C');
    await page.keyboard.type('[ -e ~/pasted-and-run ] || echo "not run: $((40 + 2))"\n');
    await untilShown(page, /not run: 42/);
    await paste('x'.repeat(2 * 1024 * 1024));
    await page.getByText('The paste is too long.').waitFor();
    await button(page, 'Hand back').click();
    await region(page).waitFor({ state: 'detached' });
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});
