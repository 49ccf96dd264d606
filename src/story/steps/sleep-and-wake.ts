/** Steps 3 and 4: the user goes quiet and the machine sleeps; three days later everything is in place. */
import { hashFiles, readLines } from '../record/guest-record.js';
import { callsOf, isAccepted } from '../record/provider-record.js';
import type { Step } from '../step.js';
import { machineOf, type Story } from '../story-context.js';
import { waitUntil } from '../wait-until.js';

const THREE_DAYS_MS = 3 * 24 * 3_600_000;
/** Git looks at every file's times and writes them down: its index may change where nothing else does. */
const MAY_CHANGE = new Set(['.bash_history', 'garden/.git/index']);
/** What is there before a message is; filled by step 3, read by step 4. */
const CACHE_LISTING = 'cache-listing.txt';

/** Fills the cache of whichever package manager there is, without a network: a package of one file, made on the spot. */
const FILL_CACHE = [
  'mkdir -p ~/seed && cd ~/seed',
  `printf '{"name":"seed","version":"1.0.0"}' > package.json`,
  'if command -v npm >/dev/null; then npm pack --silent >/dev/null && npm cache add ./seed-1.0.0.tgz && npm cache ls',
  'elif command -v pip3 >/dev/null; then mkdir -p "$(pip3 cache dir)/wheels" && printf seed > "$(pip3 cache dir)/wheels/seed" && pip3 cache info',
  'else mkdir -p ~/.cache/pip && printf seed > ~/.cache/pip/seed; fi',
].join('; ');
const LIST_CACHE = 'if command -v npm >/dev/null; then npm cache ls; else find ~/.cache/pip -type f; fi';

export const goesQuiet: Step<Story> = {
  number: 3,
  title: 'She goes quiet: the machine is put to sleep',
  async run(story, journal) {
    const { provider, database } = story;
    const userId = story.users.ada;
    journal.show('ada: a git repository, a package cache, a diary');
    const turn = await story.say({
      userId,
      turnId: 'work',
      prompt: [
        '$ git init -q . && git config user.name Ada && git config user.email ada@example.org',
        "$ printf 'tulips\\n' > plan.txt && git add plan.txt && git commit -q -m 'Plan the garden'",
        "$ printf 'roses\\n' >> plan.txt && touch seeds.txt && git status --short > ~/status.txt; cat ~/status.txt",
        `$ (${FILL_CACHE}) && (${LIST_CACHE}) > ~/${CACHE_LISTING}`,
        `$ export DIARY=${story.canaries.ada} && echo "$DIARY" > ~/diary-of-ada.txt`,
      ].join('\n'),
    });
    journal.check('the work is done', 'postgres', turn.state === 'completed', { state: turn.state, steps: turn.steps });

    const { machineId } = await machineOf(story, userId);
    const before = await provider.mark();
    journal.show('… nobody says anything …');
    await waitUntil(
      'the lane knows its machine asleep',
      async () => (await database.machine(userId))?.phase === 'asleep',
    );
    const entries = await provider.ledger(0);
    const calls = callsOf(entries, { route: 'machines.sleep', machineId });
    const call = calls.at(-1);
    const isExplicit = call !== undefined && isAccepted(call);
    journal.check('sleep was asked for, explicitly', 'provider', isExplicit, { status: call?.['status'] });
    const hasRevision = /^"?\d+"?$/.test(String(call?.['ifMatch'] ?? ''));
    journal.check('with its If-Match', 'provider', hasRevision, { ifMatch: call?.['ifMatch'] });
    const desired = entries.findLast((entry) => entry.kind === 'machine.desired' && entry.machineId === machineId);
    journal.check('not by the provider on its own', 'provider', desired?.['cause'] === 'api', {
      cause: desired?.['cause'],
      since: before,
    });
    const truth = await provider.machine(machineId);
    const isCold = truth.phase === 'sleeping' && !truth.isFrozen && truth.initPid === null;
    journal.check('it sleeps cold: no process is left of it', 'provider', isCold, {
      phase: truth.phase,
      process: truth.initPid,
    });
  },
};

export const threeDaysLater: Step<Story> = {
  number: 4,
  title: 'Three days later everything is in place',
  async run(story, journal) {
    const { provider, database } = story;
    const userId = story.users.ada;
    const { machineId, homePath } = await machineOf(story, userId);
    const asleep = await provider.machine(machineId);
    const files = hashFiles(homePath);
    const history = readLines(homePath, '.bash_history');
    const before = await provider.mark();
    await provider.advanceClock(THREE_DAYS_MS);
    journal.show('ada, three days later: $ git status --short');
    const turn = await story.say({
      userId,
      turnId: 'back',
      prompt: [
        '$ git status --short | tee ~/status-later.txt',
        '$ echo "$SEASON in $PWD"',
        `$ (${LIST_CACHE}) > ~/${CACHE_LISTING}.later; tail -n 3 ~/.bash_history`,
      ].join('\n'),
    });
    journal.check('her message is answered', 'postgres', turn.state === 'completed', { state: turn.state });

    const entries = await provider.ledger(before);
    const wake = callsOf(entries, { route: 'machines.wake', machineId }).find(isAccepted);
    const hasRevision = /^"?\d+"?$/.test(String(wake?.['ifMatch'] ?? ''));
    journal.check('the machine was woken, with its If-Match', 'provider', hasRevision, { ifMatch: wake?.['ifMatch'] });
    const row = await database.machine(userId);
    const sleptMs = (row?.wokenAt?.getTime() ?? 0) - (row?.sleptAt?.getTime() ?? 0);
    journal.check('it slept three days, by the provider', 'postgres', sleptMs >= THREE_DAYS_MS, {
      sleptAt: row?.sleptAt,
      wokenAt: row?.wokenAt,
    });
    const boot = entries.find((entry) => entry.kind === 'machine.boot' && entry.machineId === machineId);
    const isNewBoot = typeof boot?.['bootId'] === 'string' && boot['bootId'] !== asleep.bootId;
    journal.check('it is another boot', 'provider', isNewBoot, { before: asleep.bootId, after: boot?.['bootId'] });
    const isKnown = row?.bootId === boot?.['bootId'];
    journal.check('and the record knows which', 'postgres', isKnown, { bootId: row?.bootId });

    const later = hashFiles(homePath);
    const changed = [...files].filter(([name, hash]) => later.get(name) !== hash && !MAY_CHANGE.has(name));
    journal.check(`all ${files.size} files are as they were`, 'guest', changed.length === 0 && files.size > 0, {
      files: files.size,
      changed: changed.map(([name]) => name),
    });
    const calls = await database.calls({ userId, turnId: 'back' });
    checkGit(journal, homePath, story);
    const cache = readLines(homePath, CACHE_LISTING);
    const cacheLater = readLines(homePath, `${CACHE_LISTING}.later`);
    const hasCache = cache.length > 0 && cache.join() === cacheLater.join();
    journal.check('the package cache is there', 'guest', hasCache, cacheLater);
    const historyLater = readLines(homePath, '.bash_history');
    const isKept = history.length > 0 && history.every((line, index) => historyLater[index] === line);
    journal.check('~/.bash_history goes on where it was', 'guest', isKept && historyLater.length > history.length, {
      before: history.length,
      after: historyLater.length,
    });
    const isThere = /spring in \S+\/garden/.test(calls[1]?.shown ?? '');
    journal.check('directory and variable are there', 'postgres', isThere, calls[1]?.shown);
  },
};

function checkGit(journal: Parameters<Step<Story>['run']>[1], homePath: string, story: Story): void {
  const status = readLines(homePath, 'status.txt');
  const later = readLines(homePath, 'status-later.txt');
  if (status.length === 0) {
    journal.note(`git is not on this computer, so ${story.users.ada} has none.`);
    return;
  }
  const isSame = status.join() === later.join() && later.includes(' M plan.txt');
  journal.check('git status says what it said', 'guest', isSame, later);
}
