/** What both ends of a connection have in common. */
import type { Http2Session, Http2Stream, Settings } from 'node:http2';
import { addAbortSignal } from 'node:stream';
import { limits } from '@tributary/model';

/** Node's own limit on the memory of a session resets streams under load; what arrives is bounded by the windows, what leaves by the senders. */
export const sessionMemoryMax = Number.MAX_SAFE_INTEGER;

export const sessionSettings: Settings = {
  enablePush: false,
  initialWindowSize: limits.transportWindow,
  maxConcurrentStreams: limits.callsPerConnection,
};

/** Of a server, until a connection has been of use. */
export const narrowSettings: Settings = { ...sessionSettings, initialWindowSize: limits.narrowWindow };

interface ProbeTimes {
  readonly everyMs: number;
  readonly timeoutMs: number;
}

/** Probes a quiet connection while `inUse`, and destroys it when no answer comes: its calls then break. Ends with the session. */
export function keepAlive(
  session: Http2Session,
  inUse: () => boolean,
  { everyMs, timeoutMs }: ProbeTimes = { everyMs: limits.keepaliveMs, timeoutMs: limits.keepaliveTimeoutMs },
): void {
  const timer = setInterval(() => {
    if (inUse() && !session.closed && !session.destroyed) probe(session, timeoutMs);
  }, everyMs);
  timer.unref();
  session.once('close', () => clearInterval(timer));
}

function probe(session: Http2Session, timeoutMs: number): void {
  const silent = (): void => session.destroy(new Error(`no answer to a probe within ${timeoutMs} ms`));
  let late: NodeJS.Immediate | undefined;
  // After a pause of our own the timer fires before the answer that has long arrived is read: one more turn of the loop reads it.
  const timer = setTimeout(() => {
    late = setImmediate(() => {
      late = setImmediate(silent);
    });
  }, timeoutMs);
  timer.unref();
  session.ping(() => {
    clearTimeout(timer);
    if (late !== undefined) clearImmediate(late);
  });
}

/** Breaks a call for both ends. Node's own `close(CANCEL)` ends the data first, which the other side could take for an orderly end. */
export function resetStream(stream: Http2Stream): void {
  addAbortSignal(AbortSignal.abort(), stream);
}
