/** The page in a real browser, from a real gateway in front of a whole stack; whatever goes wrong in the browser is noted. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { KeyScope } from '../../../src/store/api-keys.js';
import { openStage, type Stage } from '../../e2e/support/stage.js';
import { openBrowser, type TestBrowser } from '../../support/browser.js';
import type { RunningGateway } from '../../support/stack.js';

/** The pictures of the documents are taken where this names a folder. */
const { SCREENSHOTS_DIR } = process.env;

export interface OpenedPage {
  readonly page: Page;
  /** Errors on the console and of scripts, and requests to anybody else. */
  readonly trouble: readonly string[];
}

export interface PageStage {
  readonly stage: Stage;
  readonly browser: TestBrowser;
  readonly keys: Readonly<Record<KeyScope, string>>;
  url(): string;
  /** Opens a tab; `fragment` without the hash, `at` another gateway than the stage's own. */
  open(fragment: string, at?: string): Promise<OpenedPage>;
  /** As open, for a user by the operator's key. */
  openUser(userId: string): Promise<OpenedPage>;
  killGateway(): Promise<void>;
  /** On the port that it had. */
  startGateway(): Promise<void>;
  picture(page: Page, name: string): Promise<void>;
  close(): Promise<void>;
}

export async function openPageStage(): Promise<PageStage> {
  const stage = await openStage();
  const env = { TEMPORAL_UI_URL: stage.temporalUiUrl, PRICE_VCPU_HOUR: '1', PRICE_GIB_MONTH: '0.1' };
  let gateway: RunningGateway = await stage.stack.startGateway(env);
  const keys = { operator: await stage.createKey('operator'), service: await stage.createKey() };
  const browser = await openBrowser({ viewport: { width: 1280, height: 720 } });

  async function open(fragment: string, at = gateway.url): Promise<OpenedPage> {
    const page = await browser.context.newPage();
    const trouble: string[] = [];
    page.on('pageerror', (error) => trouble.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') trouble.push(message.text());
    });
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== at) trouble.push(`asked ${request.url()}`);
    });
    page.on('dialog', (dialog) => {
      trouble.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(`${at}/#${fragment}`);
    return { page, trouble };
  }

  return {
    ...{ stage, browser, keys, open },
    url: () => gateway.url,
    openUser: (userId) => open(`key=${keys.operator}&user=${encodeURIComponent(userId)}`),
    async killGateway() {
      gateway.process.signal('SIGKILL');
      await gateway.process.exited;
    },
    async startGateway() {
      gateway = await stage.stack.startGateway({ ...env, GATEWAY_PORT: new URL(gateway.url).port });
    },
    async picture(page, name) {
      if (SCREENSHOTS_DIR === undefined) return;
      mkdirSync(SCREENSHOTS_DIR, { recursive: true });
      await page.screenshot({ path: join(SCREENSHOTS_DIR, `${name}.png`) });
    },
    async close() {
      await browser.close();
      await stage.close();
    },
  };
}

/** What a browser says by itself of an answer that is no success: the page deals with those. */
export function withoutRefusals(trouble: readonly string[]): string[] {
  return trouble.filter((text) => !text.startsWith('Failed to load resource'));
}

/** Writes a message and sends it, as a person does. */
export async function sendMessage(page: Page, text: string): Promise<void> {
  await page.getByLabel('Message', { exact: true }).fill(text);
  await page.keyboard.press('Enter');
}
