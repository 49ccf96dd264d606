/** Step 6: the worker is killed in the middle of a command. */
import { findCommand, readLines } from '../record/guest-record.js';
import type { Step } from '../step.js';
import { machineOf, type Story } from '../story-context.js';
import { waitUntil } from '../wait-until.js';

const SECONDS = 4;

export const workerKilled: Step<Story> = {
  number: 6,
  title: 'The worker is killed in mid command',
  async run(story, journal) {
    const { client, database } = story;
    const turn = { userId: story.users.ada, turnId: 'long' };
    const { homePath } = await machineOf(story, turn.userId);
    journal.show(`ada: $ echo run >> ~/runs.txt; sleep ${SECONDS}`);
    const prompt = `$ echo run >> ~/runs.txt; echo began; sleep ${SECONDS}; echo ended`;
    await client.submitTurn({ ...turn, prompt });
    const command = await waitUntil('the command runs', async () => {
      const [call] = await database.calls(turn);
      return call !== undefined && readLines(homePath, 'runs.txt').length > 0 && findCommand(homePath, call.cmdId);
    });
    const pid = story.workerPid();
    if (pid === undefined) throw new Error('There is no worker to kill.');
    process.kill(pid, 'SIGKILL');
    const killedAt = Date.now();
    journal.show(`kill -9 ${pid}`);
    const isCut = findCommand(homePath, command.cmdId)?.endedAtMs === null;
    journal.check('it died before the command was over', 'guest', isCut, { cmdId: command.cmdId });
    const next = await waitUntil('a worker is started again', () => {
      const now = story.workerPid();
      return now !== pid && now;
    });
    journal.show(`worker ${next} takes over`);

    const result = await client.turnResult({ ...turn, timeoutMs: 90_000 });
    const isAnswered = result.state === 'completed' && result.answer?.includes('ended') === true;
    journal.check('the turn ends with the whole output', 'postgres', isAnswered, {
      state: result.state,
      answer: result.answer,
      afterKillMs: Date.now() - killedAt,
    });
    const runs = readLines(homePath, 'runs.txt');
    journal.check('the command ran once: its counter is 1', 'guest', runs.length === 1, runs);
    const after = findCommand(homePath, command.cmdId);
    journal.check('its journal has one start', 'guest', after?.starts === 1 && after.exitCode === 0, after);
    const [call] = await database.calls(turn);
    const isTried = (call?.tries ?? 0) > 1 && call?.exitCode === 0;
    journal.check('two tries of one command id', 'postgres', isTried, { tries: call?.tries, cmdId: call?.cmdId });
  },
};
