/**
 * AG-UI's agent at a gateway: `node ag-ui.mjs NAME …` plays scenarios, each with a user of its own, and prints as JSON what the client had in
 * the end. It holds no opinion, and runs with any version of `@ag-ui/client` beside it.
 */
import { HttpAgent } from '@ag-ui/client';

const { INNKEEPER_URL: url, INNKEEPER_KEY: key, INNKEEPER_USER: prefix } = process.env;

/** A run as an application sees it; `until` waits for the first event that is as wanted. */
function start(user, { text, runId = 'r1', messages, headers = {}, credential = key }) {
  const agent = new HttpAgent({
    ...{ url: `${url}/v1/users/${user}/ag-ui`, threadId: 'main' },
    headers: { authorization: `Bearer ${credential}`, ...headers },
    initialMessages: messages ?? [{ id: 'm1', role: 'user', content: text }],
  });
  const events = [];
  const waiting = new Set();
  const seen = { user, runId, events, outcome: undefined, error: undefined, messages: agent.messages };
  const subscriber = {
    onEvent: ({ event }) => {
      events.push(event);
      for (const look of waiting) look(event);
    },
    onRunFinishedEvent: ({ outcome }) => void (seen.outcome = outcome),
    onRunErrorEvent: ({ event }) => void (seen.outcome = event.code),
    onRunFailed: ({ error }) => {
      seen.error = { status: error.status, message: error.message };
      return { stopPropagation: true };
    },
  };
  const ended = agent.runAgent({ runId }, subscriber).then(() => ({ ...seen, messages: agent.messages }));
  const until = (condition) =>
    new Promise((resolve) => {
      const look = (event) => {
        if (!condition(event)) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
    });
  return { agent, ended, until };
}

const hasText = ({ type }) => type === 'TEXT_MESSAGE_CONTENT';
const hasPrinted = ({ type, name }) => type === 'CUSTOM' && name === 'output.delta';
const LONG = '$ echo begun; sleep 300';

const scenarios = {
  plain: (user) => start(user, { text: 'hello' }).ended,
  command: (user) => start(user, { text: '$ for i in 1 2 3; do echo "line $i"; sleep 0.5; done' }).ended,
  failed: (user) => start(user, { text: '!model refuse' }).ended,
  retold: (user) => start(user, { text: '!model pace 1000\n$ echo x\n!model reset' }).ended,
  repeated: async (user) => {
    const run = { text: '$ echo once >> ~/once.txt' };
    const runs = await Promise.all([start(user, run).ended, start(user, run).ended]);
    return { user, runs: [...runs, await start(user, run).ended] };
  },
  resumed: async (user) => {
    const left = start(user, { text: '!model pace 500\n$ seq 1 60' });
    await left.until(hasText);
    left.agent.abortRun();
    const { messages } = await left.ended;
    return { ...(await start(user, { messages }).ended), left: messages };
  },
  /** By its id alone: the application has lost what was said. */
  named: async (user) => {
    const first = await start(user, { text: 'hello' }).ended;
    return { ...(await start(user, { messages: [] }).ended), first };
  },
  cancelled: async (user) => {
    const run = start(user, { text: LONG });
    await run.until(hasPrinted);
    await fetch(`${url}/v1/users/${user}/turns/r1/cancel`, {
      ...{ method: 'POST', headers: { authorization: `Bearer ${key}` } },
    });
    return run.ended;
  },
  stopped: async (user) => {
    const run = start(user, { text: LONG, headers: { 'x-innkeeper-cancel-on-disconnect': 'true' } });
    await run.until(hasPrinted);
    run.agent.abortRun();
    return run.ended;
  },
  left: async (user) => {
    const run = start(user, { text: '$ echo begun; sleep 1; echo done >> ~/done.txt' });
    await run.until(hasPrinted);
    run.agent.abortRun();
    return run.ended;
  },
  refused: (user) => start(user, { text: 'hello', credential: 'ik_wrong' }).ended,
  hasty: async (user) => {
    await start(user, { text: 'hello' }).ended;
    return start(user, { text: 'hello', runId: 'r2' }).ended;
  },
};

const played = await Promise.all(
  process.argv.slice(2).map(async (name) => [name, await scenarios[name](`${prefix}-${name}`)]),
);
process.stdout.write(JSON.stringify(Object.fromEntries(played)));
