/** The tool call of a turn that asks no model: given with the turn, and its first step. */
import type { TurnOrigin } from './turns.js';

export interface GivenCall {
  readonly tool: string;
  readonly argumentsJson: string;
  readonly origin: TurnOrigin;
}

/** In the order of the columns: given_tool, given_arguments, origin. */
export function toGivenColumns(given: GivenCall | undefined): (string | null)[] {
  return [given?.tool ?? null, given?.argumentsJson ?? null, given?.origin ?? null];
}

/** What one step of such a turn consists of: the first one of the call, any other of nothing. */
export interface GivenStep {
  readonly call: Omit<GivenCall, 'origin'> | undefined;
}

export interface GivenRow {
  /** null: the turn is a message. */
  given_tool: string | null;
  given_arguments: string | null;
}

/** GivenRow of the turn $1 at the step $2; the arguments of the first one alone, since they may be long. */
export const SELECT_GIVEN = `
  select given_tool, case when $2 = 0 then given_arguments end as given_arguments from turns where turn_key = $1::bigint`;

export function toGivenStep({ given_tool: tool, given_arguments: argumentsJson }: GivenRow): GivenStep | undefined {
  if (tool === null) return undefined;
  return { call: argumentsJson === null ? undefined : { tool, argumentsJson } };
}
