/** Registers the lane's search attributes where they are missing, so that no operator has to. */
import type { NativeConnection } from '@temporalio/worker';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import type { Logger } from '../log.js';

/** Indexed value types of Temporal's API (temporal.api.enums.v1.IndexedValueType). */
const INDEXED_VALUE_TYPE = { Keyword: 2, Int: 3, Datetime: 6 } as const;

/** Without the right to register them it warns: a lane that upserts an unknown attribute would be stuck, `doctor` says so too. */
export async function registerSearchAttributes(
  connection: NativeConnection,
  { namespace, log }: { namespace: string; log: Logger },
): Promise<void> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = Object.values(SEARCH_ATTRIBUTES).filter(({ name }) => !(name in (customAttributes ?? {})));
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(({ name, type }) => [name, INDEXED_VALUE_TYPE[type]])),
    });
    log.info({ names: missing.map(({ name }) => name) }, 'registered search attributes');
  } catch (error) {
    log.warn({ err: error }, 'search attributes could not be checked or registered: see docs/operations.md');
  }
}
