/** A call of a tool -> a turn that is only this call. */
import { parseToolCall } from '../contracts/tools.js';
import type { AdmitTurnInput } from '../store/admission.js';
import type { TurnOrigin } from '../store/turns.js';

/** Who asked, for the people and the model that read the transcript. */
const ASKED_BY: Readonly<Record<TurnOrigin, string>> = {
  backend: 'Asked for by the application',
  mcp: 'Asked for by another agent, by MCP',
};

/** @throws InnkeeperError INVALID_INPUT */
export function toGivenTurn(
  name: string,
  values: unknown,
  origin: TurnOrigin,
): Required<Pick<AdmitTurnInput, 'prompt' | 'given'>> {
  const { call, title } = parseToolCall(name, values);
  return {
    prompt: `[${ASKED_BY[origin]}, not by a message] ${call.tool}: ${title}`,
    given: { tool: call.tool, argumentsJson: JSON.stringify(call.arguments), origin },
  };
}
