/** A real browser, with a profile of its own that goes with it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext } from 'playwright-core';
import { readTools } from '../../src/dev/paths.js';

/** Flags without which a browser of a closed network keeps asking for hosts that it cannot reach. */
const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

export interface TestBrowser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

/** `bypassCSP`: for tools that put scripts of their own into a page. */
export async function openBrowser(
  options: {
    readonly viewport?: { readonly width: number; readonly height: number };
    readonly bypassCSP?: boolean;
  } = {},
): Promise<TestBrowser> {
  const profile = mkdtempSync(join(tmpdir(), 'innkeeper-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: readTools().chromium ?? '/usr/bin/chromium',
    args: FLAGS,
    viewport: { width: 1400, height: 1000 },
    ...options,
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
