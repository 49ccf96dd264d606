/** Step 5: two users at the same time see nothing of each other, and neither sees a key of ours. */
import { findCommand } from '../record/guest-record.js';
import { awakeIntervals } from '../record/provider-record.js';
import { searchGuest } from '../record/secret-search.js';
import type { Journal, Step } from '../step.js';
import { machineOf, type Story } from '../story-context.js';
import { waitUntil } from '../wait-until.js';

const SLOW_START_MS = 600_000;

/** Everything that a guest can be told about by its own kernel, written down for the search. */
const LOOK_AROUND = [
  "(env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/[0-9]*/mountinfo",
  'cat /proc/net/* /proc/mounts; ls -la / /home /root /tmp /mnt /run /opt /srv /var) > ~/what-i-see.txt 2>/dev/null; wc -c < ~/what-i-see.txt',
].join('; ');

export const twoUsers: Step<Story> = {
  number: 5,
  title: 'A second user: two machines, two worlds',
  async run(story, journal) {
    const { database, client, users, canaries } = story;
    const sinceMs = await beginningMs(story);
    const { homePath } = await machineOf(story, users.ada);
    journal.show('ada looks around, and stays busy with a long command');
    const held = { userId: users.ada, turnId: 'watch' };
    await client.submitTurn({ ...held, prompt: `$ ${LOOK_AROUND}\n$ sleep 600` });
    const waiting = await waitUntil('her long command runs', async () => {
      const call = (await database.calls(held))[1];
      return call !== undefined && findCommand(homePath, call.cmdId);
    });

    journal.show('grace, at the same time: $ find / -name "diary-of-*"');
    const turn = await story.say({
      userId: users.grace,
      turnId: 'hello',
      prompt: [
        `$ export DIARY=${canaries.grace} && echo "$DIARY" > ~/diary-of-grace.txt`,
        '$ find / -name "diary-of-*" -not -path "/proc/*" 2>/dev/null; ls /home',
        `$ ${LOOK_AROUND}`,
      ].join('\n'),
    });
    journal.check('grace is answered', 'postgres', turn.state === 'completed', { state: turn.state });
    const [, seen] = await database.calls({ userId: users.grace, turnId: 'hello' });
    const seesOwn = seen?.shown.includes('diary-of-grace.txt') === true && !seen.shown.includes('diary-of-ada');
    journal.check("grace finds her own diary, not ada's", 'postgres', seesOwn, seen?.shown);

    const machines = [
      { name: 'ada', ...(await machineOf(story, users.ada)), other: canaries.grace },
      { name: 'grace', ...(await machineOf(story, users.grace)), other: canaries.ada },
    ];
    const isApart = machines[0]?.machineId !== machines[1]?.machineId;
    journal.check(
      'each has a machine of their own',
      'provider',
      isApart,
      machines.map(({ machineId }) => machineId),
    );
    for (const machine of machines) await searchMachine(story, journal, { ...machine, sinceMs });
    await checkTogether(story, journal, machines);

    await client.cancelTurn(held);
    const cancelled = await client.turnResult({ ...held, timeoutMs: 60_000 });
    const command = findCommand(homePath, waiting.cmdId);
    const isOver = cancelled.state === 'cancelled' && command?.endedAtMs !== null;
    journal.check("ada's long command is cancelled, and over", 'guest', isOver, { state: cancelled.state, command });
  },
};

/** No key of this data folder is older than its emulator's first entry, give or take a slow start. */
async function beginningMs(story: Story): Promise<number> {
  const [first] = await story.provider.ledger(0);
  if (first === undefined) throw new Error("The provider's ledger is empty.");
  return Date.parse(first.wallAt) - SLOW_START_MS;
}

async function searchMachine(
  story: Story,
  journal: Journal,
  machine: { name: string; machineId: string; homePath: string; other: string; sinceMs: number },
): Promise<void> {
  const { initPid } = await story.provider.machine(machine.machineId);
  if (initPid === null) throw new Error(`The machine of ${machine.name} does not run.`);
  const keys = await searchGuest(
    { initPid, homePath: machine.homePath },
    story.secrets.map(({ value }) => value),
    machine.sinceMs,
  );
  const names = [...new Set(story.secrets.map(({ name }) => name))];
  journal.check(`${machine.name}: no key in environment, disk or /proc`, 'host', keys.found.length === 0, {
    keys: names,
    processes: keys.processes,
    found: keys.found,
  });
  const other = await searchGuest({ initPid, homePath: machine.homePath }, [machine.other], machine.sinceMs);
  journal.check(`${machine.name}: nothing of the other user`, 'host', other.found.length === 0, { found: other.found });
}

/** A search that finds nothing proves something only where it would find what is there. */
async function checkTogether(
  story: Story,
  journal: Journal,
  machines: readonly { machineId: string; homePath: string }[],
): Promise<void> {
  const [ada] = machines;
  const entries = await story.provider.ledger(0);
  const nowMs = await story.provider.nowMs();
  const last = machines.map(({ machineId }) => awakeIntervals(entries, machineId, nowMs).at(-1));
  const areBoth = last.every((interval) => interval?.untilMs === nowMs);
  journal.check('both machines were awake meanwhile', 'provider', areBoth, last);
  if (ada === undefined) return;
  const { initPid } = await story.provider.machine(ada.machineId);
  if (initPid === null) return;
  const own = await searchGuest({ initPid, homePath: ada.homePath }, [story.canaries.ada], Date.now());
  const finds = ['/diary-of-ada.txt', '/environ'].map((end) => own.found.some((path) => path.endsWith(end)));
  journal.check('the same search finds her own secret', 'host', finds.every(Boolean), {
    inFile: finds[0],
    inEnvironment: finds[1],
  });
}
