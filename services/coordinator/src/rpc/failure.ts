// pure
/** How a failure travels in an answer. */
import { type ErrorName, errorTable, limits } from '@tributary/model';
import type { ErrorCode } from '@tributary/wire';

const codeOf = ({ error }: { readonly error: ErrorName }): ErrorCode => errorTable[error].code as ErrorCode;

/** @returns fields that an answer without a failure has as 0 and ''. */
export function failure({ error, message }: { readonly error: ErrorName; readonly message: string }) {
  return { errorCode: codeOf({ error }), errorMessage: message.slice(0, limits.errorMessageLength) };
}
