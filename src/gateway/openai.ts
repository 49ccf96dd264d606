/** The routes for clients of OpenAI's API: they work unchanged, with our address and key in place of theirs. */
import { z } from 'zod';
import { addChatCompletionRoutes } from './openai-chat.js';
import { addResponseRoutes } from './openai-responses.js';
import { assertModel, MODEL, openAiErrors, openAiRoute } from './openai-shape.js';
import type { Gateway, RouteParts } from './parts.js';

const modelView = z
  .object({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() })
  .meta({ id: 'OpenAiModel' });
const modelsView = z.object({ object: z.literal('list'), data: z.array(modelView) }).meta({ id: 'OpenAiModels' });

/** It is as old as its clients like. */
const INNKEEPER = { id: MODEL, object: 'model', created: 0, owned_by: MODEL } as const;

export function addOpenAiRoutes(app: Gateway, parts: RouteParts): void {
  app.get(
    '/v1/models',
    openAiRoute({ summary: 'List the models: there is one', response: { 200: modelsView, ...openAiErrors } }),
    () => ({ object: 'list' as const, data: [INNKEEPER] }),
  );
  app.get(
    '/v1/models/:model',
    openAiRoute({
      ...{ summary: 'Read a model', params: z.object({ model: z.string().describe(`\`${MODEL}\``) }) },
      response: { 200: modelView, ...openAiErrors },
    }),
    ({ params }) => {
      assertModel(params.model);
      return INNKEEPER;
    },
  );
  addChatCompletionRoutes(app, parts);
  addResponseRoutes(app, parts);
}
