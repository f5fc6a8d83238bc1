/** What every admin call has in common: how long it may take, and which failures are final. */
import { type ErrorName, limits, TributaryError } from '@tributary/model';
import { FinalError } from './final-error.ts';
import type { CallOptions, Routing } from './routing.ts';

export interface AdminOptions {
  /** For the whole call, retries included, ms. Default: the client's `requestTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ChangeOptions extends AdminOptions {
  /** Checks everything, says what would come of it, and changes nothing. */
  readonly validateOnly?: boolean | undefined;
}

/** @param what for the error: `Creating topic "a"`. */
export function adminCall(
  routing: Routing,
  what: string,
  options: AdminOptions,
): CallOptions & { readonly attemptMs: number } {
  const deadlineMs = options.timeoutMs ?? routing.options.requestTimeoutMs;
  // A change takes what it takes: asking again while the first attempt runs would only queue behind it.
  return { deadlineMs, attemptMs: Math.max(deadlineMs, limits.attemptTimeoutMs), signal: options.signal, what };
}

/** Having asked the controller, an unknown topic is not one in creation. */
export function finalIfUnknown(thrown: unknown): TributaryError {
  const error = TributaryError.from(thrown);
  return error.error === 'UNKNOWN_TOPIC_OR_PARTITION'
    ? new FinalError(error.error, error.message, { cause: error })
    : error;
}

const doubtful: readonly ErrorName[] = [
  'NETWORK_EXCEPTION',
  'REQUEST_TIMED_OUT',
  'UNKNOWN_SERVER_ERROR',
  // It may have been the one until in the middle of the request, or have gone with the answer.
  'NOT_CONTROLLER',
];

/** What was asked for may have been done. */
export const leavesDoubt = ({ error }: TributaryError): boolean => doubtful.includes(error);
