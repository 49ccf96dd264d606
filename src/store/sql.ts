/** Statements and what may be written with them. Knows no table and no connection. */

/**
 * A statement is prepared once per connection under its name, which saves Postgres the parsing and planning of the longer ones
 * on the path of a turn.
 */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Postgres cuts the names of prepared statements here. */
const NAME_BYTES_MAX = 63;

export function statement(name: string, text: string): Statement {
  if (name.length > NAME_BYTES_MAX) throw new Error(`the name of a statement is too long: ${name}`);
  return { name, text };
}

export interface Rows<R> {
  readonly rows: R[];
  readonly rowCount: number;
}

export interface Queryable {
  /** @throws InnkeeperError STORE_UNAVAILABLE, STORE_NOT_MIGRATED; Postgres's own error for anything else */
  query<R extends object>(statement: Statement, values: readonly unknown[]): Promise<Rows<R>>;
}

/** The one row that a statement must answer. */
export function one<R extends object>(answer: Rows<R>): R {
  const row = answer.rows[0];
  if (answer.rows.length !== 1 || row === undefined) throw new Error(`expected one row, got ${answer.rows.length}`);
  return row;
}

/**
 * Text as Postgres can hold it: NUL and lone surrogates, which neither `text` nor `jsonb` takes, become U+FFFD. Prompts, answers
 * and output come from outside, and none of them may stop a lane.
 */
export function toStorable(text: string): string {
  return text.replace(/\u0000|\p{Cs}/gu, '\uFFFD');
}

/** JSON for a `jsonb` parameter, every text in it storable. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? toStorable(part) : part));
}

/** ISO 8601, as views show instants. */
export function toIso(at: Date): string;
export function toIso(at: Date | null): string | null;
export function toIso(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}
