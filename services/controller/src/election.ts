import {
  type Expectation,
  type ImageSource,
  type MetadataKeys,
  type StateTransaction,
  LinkedAbort,
  encodeTransaction,
} from '@tributary/metadata';
import { type IncarnationId, type NodeId, limits } from '@tributary/model';
import type { Clock, Logger, MetadataStore, Transport } from '@tributary/ports';
import { unseatTheGone } from './succession.ts';

/** One time in office. */
export interface Term {
  /** Every write of the term names it: a controller that has lost its election can no longer write (M3). */
  readonly fence: Expectation;
  /** Aborted once the election's lease may have run out, or the controller stops. */
  readonly signal: AbortSignal;
  /** Ends the term, which then throws. @param sitOutMs how long this controller does not stand again. */
  resign(why: Error, sitOutMs?: number): void;
}

export interface Candidate {
  readonly nodeId: NodeId;
  /** Of this process. */
  readonly incarnationId: IncarnationId;
  readonly address: string;
  readonly leaseMs: number;
}

export interface ElectionPorts {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** To the elected one. */
  readonly transport: Pick<Transport, 'connect'>;
}

const place = { kind: 'controller' } as const;

/**
 * Stands for election again and again (M5): waits until nobody is elected, or who is elected has gone, puts its own key under a lease of its own, and while it holds
 * that runs `inOffice`. The key's create revision is the fence. Ends only by throwing: the signal's reason, or what `inOffice` throws while
 * its term's signal is not aborted.
 */
export async function standForElection(
  self: Candidate,
  ports: ElectionPorts,
  inOffice: (term: Term) => Promise<never>,
  signal: AbortSignal,
): Promise<never> {
  let retryMs: number = limits.storeRetryMsMin;
  for (;;) {
    await untilVacant(ports, signal);
    using candidacy = new LinkedAbort(signal);
    let term: 'lost' | { readonly sitOutMs: number } = 'lost';
    try {
      term = await stand(self, ports, inOffice, candidacy);
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof CandidacyFailed)) throw thrown;
      ports.logger.warn('controller-election-failed', { why: thrown.message });
    } finally {
      // A lease of which the answer was lost is not kept alive either.
      candidacy.abort(new Error('The candidacy is over.'));
    }
    if (term !== 'lost') retryMs = limits.storeRetryMsMin;
    await ports.clock.sleep(Math.max(retryMs, term === 'lost' ? 0 : term.sitOutMs), signal);
    retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
  }
}

/** Nobody is elected any more: the lease has run out, or the process that held it is gone and its key was taken away (M5). */
async function untilVacant(ports: ElectionPorts, signal: AbortSignal): Promise<void> {
  using waiting = new LinkedAbort(signal);
  const looking = unseatTheGone(ports, waiting.signal);
  try {
    await ports.images.until((image) => image.controller === undefined, signal);
  } finally {
    waiting.abort(new Error('Nobody is elected.'));
    await looking;
  }
}

/** The store did not answer: whether the key was written is unknown, and its lease is given up. */
class CandidacyFailed extends Error {
  override readonly name = 'CandidacyFailed';
}

/** One candidacy. @returns after it is over; where it was won, how long to wait before the next. */
async function stand(
  self: Candidate,
  ports: ElectionPorts,
  inOffice: (term: Term) => Promise<never>,
  candidacy: LinkedAbort,
): Promise<'lost' | { readonly sitOutMs: number }> {
  let sitOutMs = 0;
  const { store, keys, images, logger } = ports;
  const lease = await asking(store.lease(self.leaseMs, candidacy.signal));
  const lost = (): void => candidacy.abort(lease.lost.reason);
  lease.lost.addEventListener('abort', lost, { once: true });
  try {
    const { succeeded, revision } = await asking(store.commit(encodeTransaction(keys, candidature(self), lease)));
    if (!succeeded) return 'lost';
    // Everything that an earlier controller wrote is in the image from here on, and it cannot write any more.
    await images.reached(revision, candidacy.signal);
    logger.info('controller-elected', { nodeId: self.nodeId, revision: String(revision) });
    const fence = { place, is: 'created-at', revision } as const;
    const resign = (why: Error, forMs = 0): void => {
      sitOutMs = forMs;
      candidacy.abort(why);
    };
    await inOffice({ fence, signal: candidacy.signal, resign });
    return { sitOutMs };
  } catch (thrown) {
    if (!candidacy.signal.aborted) throw thrown;
    logger.warn('controller-resigned', { nodeId: self.nodeId, why: reasonOf(candidacy.signal) });
    return { sitOutMs };
  } finally {
    lease.lost.removeEventListener('abort', lost);
    await lease.revoke().catch(() => undefined);
  }
}

function candidature({ nodeId, incarnationId, address }: Candidate): StateTransaction {
  const value = { nodeId, incarnationId, address };
  return { expect: [{ place, is: 'absent' }], put: [{ kind: 'controller', value }], delete: [] };
}

async function asking<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (thrown) {
    throw new CandidacyFailed(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
  }
}

function reasonOf(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : String(signal.reason);
}
