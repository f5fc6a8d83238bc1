// pure
/** The answers about single groups and partitions. */
import { TributaryError } from '@tributary/model';
import type { OffsetCommitResult } from '@tributary/wire';

/** @throws what the answer says. */
export function throwIfRefused(answer: OffsetCommitResult | undefined): void {
  const error = errorOf(answer);
  if (error !== undefined) throw error;
}

/** @throws the first that is worth another attempt: what has been done meanwhile is done again, and comes to the same. */
export function retriableThrown(results: readonly OffsetCommitResult[]): readonly OffsetCommitResult[] {
  const error = results.map(errorOf).find((each) => each?.retriable === true);
  if (error !== undefined) throw error;
  return results;
}

export function errorOf(answer: OffsetCommitResult | undefined): TributaryError | undefined {
  if (answer === undefined)
    return new TributaryError('UNKNOWN_SERVER_ERROR', 'The answer of the coordinator lacks what was asked for.');
  return answer.errorCode === 0 ? undefined : TributaryError.fromAnswer(answer.errorCode, answer.errorMessage);
}
