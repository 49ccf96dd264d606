/** AG-UI's agent, whose own checks of the order of events are made: the same run again is followed from its beginning. */
import { HttpAgent } from '@ag-ui/client';
import { ENDED, fetchEnding, placeOf, Refused, type Protocol } from './protocol.js';

/** What events of ours say beside the protocol's own fields. */
interface Extended {
  readonly metadata?: {
    readonly innkeeper?: { readonly void?: boolean; readonly outcome?: string; readonly exitCode?: number | null };
  };
}

/** The failure is not written to the console, too. */
const SAID: object = { stopPropagation: true };

export const agUi: Protocol = {
  name: 'AG-UI',
  keepsVoid: false,
  open:
    ({ userId, turnId: runId }) =>
    async (connection) => {
      const { url, key, onPiece } = connection;
      const agent = new HttpAgent({
        ...{ url: `${url}/v1/users/${userId}/ag-ui`, threadId: 'main', initialMessages: [] },
        headers: { authorization: `Bearer ${key}` },
        // Where a connection breaks, this client (1.0) leaves a rejection behind that nobody handles.
        fetch: fetchEnding(connection),
      });
      const texts = new Map<string, string>();
      const ends = new Map<string, string>();
      let state: string | undefined;
      let failure: Error | undefined;
      await agent
        .runAgent(
          { runId },
          {
            onEvent: onPiece,
            onTextMessageContentEvent: ({ event: { messageId, delta } }) =>
              void texts.set(messageId, (texts.get(messageId) ?? '') + delta),
            onTextMessageEndEvent: ({ event }) =>
              void ((event as Extended).metadata?.innkeeper?.void === true && texts.delete(event.messageId)),
            onToolCallResultEvent: ({ event }) => {
              const { outcome, exitCode = null } = (event as Extended).metadata?.innkeeper ?? {};
              if (ENDED.has(outcome)) ends.set(placeOf(event.toolCallId), `${outcome} ${exitCode}`);
            },
            onRunFinishedEvent: ({ event }) =>
              void (state = event.outcome?.type === 'success' ? 'completed' : 'cancelled'),
            // The client's own word for a connection that was broken off, too.
            onRunErrorEvent: () => void (connection.signal.aborted || (state = 'failed')),
            onRunFailed: ({ error }) => {
              failure = error;
              return SAID;
            },
          },
        )
        .catch((error: unknown) => (failure ??= error as Error));
      if (state !== undefined) return { state, text: [...texts.values()].join('\n\n'), ends };
      if (failure instanceof Refused) throw failure;
      // Of its checks; a break of the connection is named otherwise.
      if (failure?.name === 'AGUIError') throw new Refused(failure.message);
      return undefined;
    },
};
