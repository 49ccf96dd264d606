/** What was said and done over HTTP: the transcript by pages, and a command's output by its id. */
import { formatPosition } from '../contracts/events.js';
import { readOutput, readTranscript } from '../store/transcript.js';
import { BYTES_TYPE, bytesOf, rangeOf } from './bytes.js';
import { describe, problems, toPage, toPosition, userOf } from './routes.js';
import type { Gateway, GatewayParts } from './parts.js';
import { outputHeaders, outputParams, pageQuery, transcriptPage, userParams } from './views.js';

const TAGS = ['transcript'] as const;

export function addTranscriptRoutes(app: Gateway, { store }: GatewayParts): void {
  app.get(
    '/v1/users/:user/transcript',
    describe('user', {
      ...{ summary: 'Read what was said and done, the latest first', tags: TAGS },
      ...{ params: userParams, querystring: pageQuery },
      response: { 200: transcriptPage, ...problems },
    }),
    async ({ params, query: { limit, cursor } }) => {
      const before = cursor === undefined ? {} : { before: toPosition(cursor) };
      const { entries, eventSeq } = await readTranscript(store, { userId: userOf(params), limit, ...before });
      const items = entries.map((entry) => ({ ...entry, calls: [...entry.calls] }));
      const events = formatPosition({ seq: eventSeq, try: 0, n: 0 });
      return { ...toPage(items, limit, ({ seq }) => String(seq)), events };
    },
  );

  app.get(
    '/v1/users/:user/outputs/:command',
    describe('user', {
      ...{ summary: 'Read the output of a command, control sequences included', tags: TAGS },
      ...{ params: outputParams, headers: outputHeaders },
      response: { 200: bytesOf('The output as it is kept'), 206: bytesOf('The range'), ...problems },
    }),
    async ({ params, headers }, reply) => {
      const { bytes, outputBytes } = await readOutput(store, { userId: userOf(params), cmdId: params.command });
      const range = rangeOf(bytes.length, headers.range);
      void reply.headers({
        'content-type': BYTES_TYPE,
        // Hostile by assumption: never shown by a browser as anything of ours.
        'content-disposition': 'attachment',
        'accept-ranges': 'bytes',
        'x-output-bytes': String(outputBytes),
      });
      if (range === undefined) return reply.send(bytes);
      void reply.header('content-range', `bytes ${range.start}-${range.end}/${bytes.length}`);
      return reply.status(206).send(bytes.subarray(range.start, range.end + 1));
    },
  );
}
