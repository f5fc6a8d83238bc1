/** R6: a broker's word to the controller that a replica flushes each write from now on, and has flushed what it wrote before. */
import { LinkedAbort } from '@tributary/metadata';
import { limits, TributaryError } from '@tributary/model';
import type { Clock, Logger } from '@tributary/ports';
import type { NewlyFlushing, Replicas } from './replicas.ts';

interface FlushReportPorts {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Gives the word again and again until metadata has it; ends with the signal. @param report one request. */
export async function reportFlushed(
  replicas: Pick<Replicas, 'newlyFlushing' | 'flushing'>,
  report: (flushed: readonly NewlyFlushing[]) => Promise<unknown>,
  { clock, logger }: FlushReportPorts,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    using waiting = new LinkedAbort(signal);
    const more = replicas.flushing.heard(waiting.signal);
    more.catch(() => {});
    const due = [...replicas.newlyFlushing()];
    try {
      if (due.length === 0) {
        await more;
        continue;
      }
      // All of them each time: the first ones may have to wait for somebody who is away.
      for (let at = 0; at < due.length && !signal.aborted; at += limits.flushReports) {
        const some = due.slice(at, at + limits.flushReports);
        for (const { partition } of some) await partition.log.sync();
        await report(some);
      }
    } catch (thrown) {
      if (signal.aborted) return;
      if (!(thrown instanceof TributaryError)) throw thrown;
      logger.warn('flush-report-failed', { why: thrown.message });
    }
    const again = clock.sleep(limits.flushReportMs, waiting.signal);
    again.catch(() => {});
    await Promise.race([more, again]).catch(() => {});
    waiting.abort(new Error('It is time.'));
  }
}
