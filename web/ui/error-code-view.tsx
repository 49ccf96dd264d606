/** An error code with what to do about it; one of a later release stands alone. */
import { ERROR_TABLE, isErrorCode } from '../../src/contracts/errors.js';

export function ErrorCodeView({ code }: { readonly code: string }) {
  return (
    <>
      {isErrorCode(code) ? `${ERROR_TABLE[code].advice} ` : ''}
      <code>{code}</code>
    </>
  );
}
