/**
 * Goal: the page lets in whom the gateway lets in and keeps the credential to its tab; it can be used by keyboard alone, on a phone, in light
 * and dark; and it shows and steers the machine. Method: a real browser on a real gateway in front of a whole stack; an audit of what
 * assistive technology would meet.
 */
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilPhase } from '../e2e/support/actions.js';
import { leakedMachines } from '../e2e/support/stage.js';
import { openBrowser } from '../support/browser.js';
import { waitFor } from '../support/wait-for.js';
import { openIssuer } from './support/issuer.js';
import { openPageStage, sendMessage, withoutRefusals, type PageStage } from './support/page-stage.js';

const PHONE = { width: 390, height: 780 };
const TAB_STOPS_MAX = 60;

let test: PageStage;
beforeAll(async () => {
  test = await openPageStage();
});
afterAll(async () => {
  expect(await leakedMachines(test.stage)).toEqual([]);
  await test.close();
});

const message = (page: Page) => page.getByLabel('Message', { exact: true });
const untilAnswered = (page: Page, text: string): Promise<void> =>
  page.locator('.answer > .said', { hasText: text }).first().waitFor();

/** The name of what has the focus; empty: nothing has. */
const FOCUSED = `(({ activeElement: it, body }) =>
  it === body ? '' : (it.ariaLabel ?? it.labels?.[0]?.innerText ?? it.innerText).trim())(document)`;
const OUTLINE = 'getComputedStyle(document.activeElement).outlineStyle';

/** Presses Tab until what is named so has the focus, and shows that it has. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let stop = 0; stop < TAB_STOPS_MAX; stop += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate<string>(FOCUSED);
    expect(focused === '' || (await page.evaluate(OUTLINE)) !== 'none', `${focused} shows its focus`).toBe(true);
    if (focused.startsWith(name)) return;
  }
  throw new Error(`${name} is not reached by Tab`);
}

describe('a credential', () => {
  it('goes from the address into the tab, and no further', async () => {
    const { page } = await test.open(`key=${test.keys.operator}&user=kim`);
    await page.getByText('There is no user kim yet').waitFor();
    expect(page.url()).toBe(`${test.url()}/#user=kim`);
    await page.reload();
    await page.getByText('There is no user kim yet').waitFor();
    // Another tab knows nothing of it.
    const other = await test.browser.context.newPage();
    await other.goto(`${test.url()}/#user=kim`);
    await other.getByLabel('API key').waitFor();
    await page.getByRole('button', { name: 'Forget the key' }).click();
    await page.getByLabel('API key').waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    await Promise.all([page.close(), other.close()]);
  });

  it('that is refused is asked for again, with what to do', async () => {
    const { page } = await test.open(`key=ik_000000000000_${'x'.repeat(43)}`);
    await page.getByRole('alert').filter({ hasText: 'UNAUTHENTICATED' }).waitFor();
    await page.getByLabel('API key').fill(test.keys.operator);
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByLabel('Open a user').waitFor();
    await page.close();
  });

  it('of the scope service opens users by their ids, and lists none', async () => {
    const { page } = await test.open(`key=${test.keys.service}`);
    await page.getByText('This key does not list users').waitFor();
    await page.getByLabel('Open a user').fill('sven');
    await page.keyboard.press('Enter');
    await page.getByText('There is no user sven yet').waitFor();
    expect(page.url()).toBe(`${test.url()}/#user=sven`);
    await page.close();
  });

  it('of a user reaches that user, whatever the address names', async () => {
    const issuer = await openIssuer();
    const gateway = await test.stage.stack.startGateway(issuer.settings);
    const token = await issuer.tokenOf('tessa');
    const { page, trouble } = await test.open(`token=${token}&user=tessa`, gateway.url);
    await page.getByText('There is no user tessa yet').waitFor();
    expect(page.url()).toBe(`${gateway.url}/#user=tessa`);
    expect(await page.getByLabel('Open a user').count()).toBe(0);
    await sendMessage(page, '$ echo by token');
    await untilAnswered(page, 'by token');
    await page.goto(`${gateway.url}/#user=somebody-else`);
    await page.reload();
    await untilAnswered(page, 'by token');
    expect(await page.getByRole('link', { name: 'Lane in the Temporal UI' }).count()).toBe(0);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
    await gateway.process.stop();
    issuer.close();
  });
});

describe('the machine', () => {
  it('is shown with why it is awake, is put to sleep and woken, and leads to its lane', async () => {
    const { page, trouble } = await test.openUser('mia');
    await page.getByText('A machine is made with the first message').waitFor();
    await sendMessage(page, '$ echo hello');
    await untilAnswered(page, 'hello');
    const machine = page.getByRole('complementary', { name: 'Machine of mia' });
    const phase = (word: string): Promise<void> => machine.locator('.phase', { hasText: word }).waitFor();
    await phase('awake');
    await machine.getByText('its idle time runs').waitFor();
    expect(await machine.innerText()).toMatch(/Generation\s+1\s[\s\S]*Cost so far\s+[\d.]+/);
    await test.picture(page, 'page-machine');
    await machine.getByRole('button', { name: 'Sleep' }).click();
    await phase('asleep');
    await untilPhase(test.stage, 'mia', 'asleep');
    await machine.getByRole('button', { name: 'Wake' }).click();
    await phase('awake');
    await untilPhase(test.stage, 'mia', 'ready');
    const lane = await machine.getByRole('link', { name: 'Lane in the Temporal UI' }).getAttribute('href');
    expect(lane).toBe(`${test.stage.temporalUiUrl}/namespaces/default/workflows/user-machine%2Fmia`);
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});

describe('without a mouse', () => {
  it('everything is reached and left by Tab, and done by Enter', async () => {
    const { page, trouble } = await test.open(`key=${test.keys.operator}`);
    await page.getByLabel('Open a user').waitFor();
    const focusOn = (name: string): Promise<void> => tabTo(page, name);
    await focusOn('Open a user');
    await page.keyboard.type('kurt');
    await page.keyboard.press('Enter');
    await focusOn('Skip to the message box');
    await page.keyboard.press('Enter');
    await page.keyboard.type('$ echo by keyboard');
    await page.keyboard.press('Enter');
    await untilAnswered(page, 'by keyboard');
    await focusOn('$ echo by keyboard');
    const isOpen = (): Promise<boolean> => page.locator('details.call').evaluate((card) => card.hasAttribute('open'));
    const before = await isOpen();
    await page.keyboard.press('Enter');
    await waitFor('the card folds', async () => (await isOpen()) !== before);
    await focusOn("What the agent's commands printed");
    await page.keyboard.press('Home');
    // And out again.
    await focusOn('Skip to the message box');
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});

describe('on a phone', () => {
  it('panes are tabs, and nothing is wider than the screen', async () => {
    const { page, trouble } = await test.open(`key=${test.keys.operator}`);
    await page.setViewportSize(PHONE);
    const fits = async (): Promise<void> =>
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(PHONE.width);
    await page.getByRole('tab', { name: 'Users' }).waitFor();
    await page.getByLabel('Open a user').fill('paula');
    await page.keyboard.press('Enter');
    await page.getByRole('tab', { name: 'Chat', selected: true }).waitFor();
    await sendMessage(page, `$ echo ${'wide'.repeat(60)}`);
    await untilAnswered(page, 'wide');
    await fits();
    await test.picture(page, 'phone-chat');
    await page.getByRole('tab', { name: 'Chat' }).press('ArrowRight');
    await page.getByRole('tab', { name: 'Machine', selected: true }).waitFor();
    await page.locator('.xterm-rows', { hasText: 'wide' }).waitFor();
    expect(await message(page).isVisible()).toBe(false);
    await fits();
    await test.picture(page, 'phone-machine');
    expect(withoutRefusals(trouble)).toEqual([]);
    await page.close();
  });
});

describe('an audit', () => {
  it.each(['light', 'dark'] as const)('finds nothing in the %s colours', async (colorScheme) => {
    const browser = await openBrowser({ bypassCSP: true });
    const page = await browser.context.newPage();
    await page.emulateMedia({ colorScheme });
    await page.goto(`${test.url()}/#key=${test.keys.operator}&user=audit-${colorScheme}`);
    await sendMessage(page, '$ echo audited; exit 3');
    await untilAnswered(page, 'audited');
    await page.locator('details.call summary').click();
    await page.locator('.machine dl').waitFor();
    await test.picture(page, `page-${colorScheme}`);
    await page.evaluate(axe.source);
    const audit = async (): Promise<string[]> => {
      const { violations } = (await page.evaluate('axe.run()')) as {
        violations: { id: string; impact: string; nodes: { html: string }[] }[];
      };
      return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0]?.html ?? ''}`);
    };
    expect(await audit()).toEqual([]);
    // And once more with a shell of the person's own in it.
    await page.getByRole('button', { name: 'Take over' }).click();
    await page.locator('.xterm-rows', { hasText: '#' }).waitFor();
    expect(await audit()).toEqual([]);
    await page.getByRole('button', { name: 'Hand back' }).click();
    await browser.close();
  });
});
