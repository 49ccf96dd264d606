/** Programs that come from the system's package manager. */
import { findProgram, run, say, SetupError, tryRun } from './say.mjs';

/**
 * The path of a program, installed where it is missing, or not complete, and we may.
 * @param {{
 *   names: readonly string[], debianPackage: string, purpose: string, isComplete?: (path: string) => boolean
 * }} what
 */
export function ensureProgram({ names, debianPackage, purpose, isComplete = () => true }) {
  const found = findProgram(...names);
  if (found !== undefined && isComplete(found)) return found;
  const install = ['apt-get', 'install', '--yes', '--no-install-recommends', debianPackage];
  const asRoot = rootPrefix();
  if (findProgram('apt-get') === undefined || asRoot === undefined) {
    throw new SetupError(
      `${names[0]} is missing or not complete; it is needed for ${purpose}.`,
      `Type: sudo apt-get install ${debianPackage}   (or the like on your system), then try again.`,
    );
  }
  say(`Installing ${debianPackage} for ${purpose} (about 20 s) …`);
  const { command, args } = toCommand([...asRoot, ...install]);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  if (!tryRun(command, args, { env }).ok) {
    // A fresh system has no package lists yet.
    const update = toCommand([...asRoot, 'apt-get', 'update']);
    tryRun(update.command, update.args, { env });
    run(command, args, { env });
  }
  const installed = findProgram(...names);
  if (installed === undefined) throw new Error(`${debianPackage} was installed but has no ${names.join(' or ')}`);
  return installed;
}

/** What to put before a command so that root runs it; undefined where we may not. */
function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  return findProgram('sudo') !== undefined && tryRun('sudo', ['-n', 'true']).ok ? ['sudo', '-n'] : undefined;
}

/** @param {readonly string[]} words */
function toCommand(words) {
  return { command: words[0] ?? '', args: words.slice(1) };
}
