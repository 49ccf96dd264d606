/** Steps 1 and 2: a machine comes with the first message, and the shell is where one left it. */
import { awakeIntervals, callsOf, isAccepted } from '../record/provider-record.js';
import { findCommand, readJournal, readLines } from '../record/guest-record.js';
import type { Step } from '../step.js';
import { machineOf, QUIET_MS, type Story } from '../story-context.js';

export const firstMessage: Step<Story> = {
  number: 1,
  title: 'A first message makes a machine',
  async run(story, journal) {
    const { provider, database, client } = story;
    const userId = story.users.ada;
    const before = await provider.mark();
    await client.createUser({ userId, idleMs: QUIET_MS });
    const created = await client.getUser({ userId });
    const early = await provider.ledger(before);
    const isLazy = created.machine.phase === 'none' && !early.some(({ kind }) => kind === 'machine.created');
    journal.check('a user alone has no machine', 'provider', isLazy, { phase: created.machine.phase });

    journal.show('ada: $ uname -s');
    const turn = await story.say({ userId, turnId: 'hello', prompt: 'Which system is this?\n$ uname -s' });
    const answered = turn.state === 'completed' && turn.answer?.includes('Linux') === true;
    journal.check('the first message is answered', 'postgres', answered, { state: turn.state, answer: turn.answer });

    const entries = await provider.ledger(before);
    const creations = entries.filter(({ kind }) => kind === 'machine.created');
    const [creation] = creations;
    const { machineId, homePath } = await machineOf(story, userId);
    const isOne = creations.length === 1 && creation?.machineId === machineId;
    journal.check('one machine was created, and it is hers', 'provider', isOne, {
      created: creations.map((entry) => entry.machineId),
      hers: machineId,
    });
    const { vcpu, memoryMib, storageGib } = story.config.machines.size;
    const sizes = {
      vcpu: creation?.['vcpu'],
      memoryMib: creation?.['memoryMib'],
      storageGib: creation?.['storageGib'],
    };
    const fits = sizes.vcpu === vcpu && sizes.memoryMib === memoryMib && sizes.storageGib === storageGib;
    journal.check(`its size: ${vcpu} vCPU, ${memoryMib} MiB, ${storageGib} GiB`, 'provider', fits, sizes);
    const isAfter = creation !== undefined && Date.parse(creation.wallAt) >= Date.parse(turn.createdAt);
    journal.check('it was asked for after the message came', 'provider', isAfter, {
      message: turn.createdAt,
      create: creation?.wallAt,
    });

    const phases = await database.phases(userId);
    const row = await database.machine(userId);
    const isBootstrapped = phases.join(' ') === 'provisioning bootstrapping ready';
    journal.check('it was bootstrapped before the command', 'postgres', isBootstrapped, {
      phases,
      missing: row?.missing,
    });
    const [call] = await database.calls({ userId, turnId: 'hello' });
    const command = call === undefined ? undefined : findCommand(homePath, call.cmdId);
    const ranOnce = command?.starts === 1 && command.exitCode === 0 && readJournal(homePath).length === 1;
    journal.check('its journal has the command once, exit 0', 'guest', ranOnce, command);
    const isSame = command !== undefined && command.outputHash === call?.outputHash;
    journal.check('stored output is the output on the machine', 'guest', isSame, {
      guest: command?.outputHash,
      postgres: call?.outputHash,
    });
  },
};

export const shellContext: Step<Story> = {
  number: 2,
  title: 'The shell stays where it was left',
  async run(story, journal) {
    const userId = story.users.ada;
    journal.show('ada: $ cd ~/garden; export SEASON=spring');
    const first = await story.say({
      userId,
      turnId: 'go',
      prompt: '$ mkdir -p ~/garden && cd ~/garden && export SEASON=spring',
    });
    journal.show('ada, next message: $ echo "$SEASON in $PWD"');
    const second = await story.say({ userId, turnId: 'look', prompt: '$ echo "$SEASON in $PWD" | tee ~/where.txt' });
    const { machineId, homePath } = await machineOf(story, userId);
    const calls = [
      ...(await story.database.calls({ userId, turnId: 'go' })),
      ...(await story.database.calls({ userId, turnId: 'look' })),
    ];
    const isThere = /spring in \S+\/garden/.test(calls.at(-1)?.shown ?? '');
    journal.check('directory and variable are there in the next turn', 'postgres', isThere, calls.at(-1)?.shown);
    const lines = readLines(homePath, 'where.txt');
    journal.check('the machine itself wrote the same', 'guest', /^spring in .*\/garden$/.test(lines[0] ?? ''), lines);
    const ids = calls.map(({ cmdId }) => cmdId);
    const commands = ids.map((cmdId) => findCommand(homePath, cmdId));
    const areTwo = new Set(ids).size === 2 && commands.every((command) => command?.starts === 1);
    journal.check('two commands, each in a process of its own', 'guest', areTwo, commands);
    journal.check(
      'both turns completed',
      'postgres',
      [first, second].every(({ state }) => state === 'completed'),
      {
        states: [first.state, second.state],
      },
    );
    const entries = await story.provider.ledger(0);
    const awake = awakeIntervals(entries, machineId, await story.provider.nowMs());
    const sleeps = callsOf(entries, { route: 'machines.sleep', machineId }).filter(isAccepted);
    if (awake.length > 1) journal.note(`The machine slept in between, ${sleeps.length} time(s): it went quiet.`);
  },
};
