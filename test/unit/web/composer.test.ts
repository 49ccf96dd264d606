/** A message is sent once, in the order written, and what could not be sent stays under its id. The gateway's part is played by promises that the test settles. */
import { describe, expect, it } from 'vitest';
import { Problem } from '../../../web/api/http.js';
import type { Submission, Submitted } from '../../../web/api/innkeeper.js';
import { openComposer } from '../../../web/room/composer.js';
import { waitFor } from '../../support/wait-for.js';

interface Asked extends Submission {
  accept(): void;
  refuse(): void;
}

function open() {
  const [asked, accepted]: [Asked[], string[]] = [[], []];
  const submit = (_userId: string, submission: Submission): Promise<Submitted> =>
    new Promise((resolve, reject) => {
      const { turnId } = submission;
      asked.push({
        ...submission,
        accept: () => resolve({ turnId, position: asked.length, state: 'queued' }),
        refuse: () => reject(new Problem({ code: 'UNREACHABLE', status: 0, detail: 'gone', advice: 'again' })),
      });
    });
  const composer = openComposer({ api: { submit }, userId: 'ada', onSubmitted: ({ prompt }) => accepted.push(prompt) });
  const say = (text: string): Promise<void> => {
    composer.write(text);
    return composer.send();
  };
  return { composer, asked, accepted, say };
}

describe('the message box', () => {
  it('is free at once, and sends one after the other', async () => {
    const { composer, asked, accepted, say } = open();
    const first = say('one');
    expect([composer.text.value, composer.isSending.value]).toEqual(['', true]);
    void say('two');
    expect(asked.map(({ prompt }) => prompt)).toEqual(['one']);
    asked[0]?.accept();
    await waitFor('the second is asked', () => asked.length === 2);
    asked[1]?.accept();
    await first;
    expect([accepted, composer.text.value, composer.isSending.value]).toEqual([['one', 'two'], '', false]);
    expect(asked[0]?.turnId).not.toBe(asked[1]?.turnId);
  });

  it('takes back what could not be sent, under its id, and gives back what was written since', async () => {
    const { composer, asked, accepted, say } = open();
    const first = say('one');
    composer.write('meanwhile');
    asked[0]?.refuse();
    await first;
    expect([composer.text.value, composer.later.value, composer.problem.value?.code]).toEqual([
      ...['one', 'meanwhile', 'UNREACHABLE'],
    ]);
    const again = composer.send();
    expect([composer.text.value, composer.later.value, composer.problem.value]).toEqual(['meanwhile', '', null]);
    asked[1]?.accept();
    await again;
    expect(asked[1]?.turnId).toBe(asked[0]?.turnId);
    expect(accepted).toEqual(['one']);
  });

  it('gives another text another id', async () => {
    const { composer, asked, say } = open();
    const first = say('one');
    asked[0]?.refuse();
    await first;
    void say('other');
    expect(asked[1]?.turnId).not.toBe(asked[0]?.turnId);
    expect(composer.text.value).toBe('');
  });

  it('emptied by hand gives back what was written since; blank it sends nothing', async () => {
    const { composer, asked, say } = open();
    const first = say('one');
    composer.write('meanwhile');
    asked[0]?.refuse();
    await first;
    composer.write('');
    expect([composer.text.value, composer.later.value]).toEqual(['meanwhile', '']);
    await say('  \n');
    expect(asked).toHaveLength(1);
  });
});
