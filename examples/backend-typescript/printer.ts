/** Turns what happens into text: each part of a turn as it comes, and what is missing of it once it is complete. */
import type { FeedItem } from 'innkeeper/client';

export interface Printer {
  show(item: FeedItem): void;
}

export function createPrinter(write: (text: string) => void): Printer {
  /** What was printed of the part that is being made: an answer, or the output of a command. */
  let live = '';

  /** The durable event holds the whole part; live text is a help for the impatient, and may lack some of it. */
  function complete(whole: string): void {
    const rest = (whole.startsWith(live) ? whole.slice(live.length) : `\n${whole}`).trimEnd();
    const shown = live + rest;
    write(rest + (shown === '' || shown.endsWith('\n') ? '' : '\n'));
    live = '';
  }

  return {
    show(item) {
      if ('delta' in item) {
        const { body } = item.delta;
        if (body.type === 'part.restarted') {
          // Another worker makes this part again: what was printed of it is void.
          if (live !== '') write('\n[again]\n');
          live = '';
        } else if (body.type === 'answer.delta' || body.type === 'output.delta') {
          live += body.text;
          write(body.text);
        }
        return;
      }
      const { body } = item.event;
      if (body.type === 'step.answered') {
        complete(body.text);
        for (const { title } of body.calls) write(`> ${title}\n`);
      } else if (body.type === 'command.ended') complete(body.output);
    },
  };
}
