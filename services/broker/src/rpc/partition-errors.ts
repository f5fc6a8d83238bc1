// pure
/** How a partition's failure travels in an answer. */
import { TributaryError } from '@tributary/model';
import type { ErrorCode } from '@tributary/wire';

/** @returns fields that an answer without a failure has as 0 and ''. */
export function failure(thrown: unknown): { readonly errorCode: ErrorCode; readonly errorMessage: string } {
  const error = TributaryError.from(thrown);
  return { errorCode: error.code as ErrorCode, errorMessage: error.message };
}
