/**
 * What a controller that stands by does about the elected one: asks it whether it is there, and where its process has certainly gone (nothing listens at its
 * address, or another incarnation answers) takes its election's key away, so that another takes over at once and not when the lease has run out. A wrong guess
 * costs a takeover and no more: whoever has lost the key cannot write (M3), and resigns. Silence is no proof; for that there is the lease (M5).
 */
import {
  type ControllerInfo,
  type ImageSource,
  type MetadataKeys,
  type Stored,
  encodeTransaction,
} from '@tributary/metadata';
import { TributaryError, limits } from '@tributary/model';
import type { Clock, Logger, MetadataStore, Peer, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import { askingContext } from './probe.ts';

interface Ports {
  readonly store: Pick<MetadataStore, 'commit'>;
  readonly keys: MetadataKeys;
  readonly images: Pick<ImageSource, 'current'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly transport: Pick<Transport, 'connect'>;
}

type Elected = Stored<ControllerInfo>;

/** Until the signal aborts. Never rejects. */
export async function unseatTheGone(ports: Ports, signal: AbortSignal): Promise<void> {
  const { images, clock } = ports;
  let retryMs: number = limits.probeRetryMsMin;
  while (!signal.aborted) {
    const elected = images.current.controller;
    const end = elected === undefined ? 'over' : await watchOver(elected, ports, signal);
    // A process that is being killed closes its connections a moment before its listening socket.
    retryMs = end === 'broken' ? Math.min(2 * retryMs, limits.successionAskMs) : limits.probeRetryMsMin;
    await clock.sleep(end === 'broken' ? retryMs : limits.successionAskMs, signal).catch(() => undefined);
  }
}

/** Asks this one again and again, for as long as the connection holds and it is the elected one. */
async function watchOver(elected: Elected, ports: Ports, signal: AbortSignal): Promise<'over' | 'broken'> {
  const { images, clock, logger, transport } = ports;
  await using peer = transport.connect(elected.address);
  const isElected = (): boolean => images.current.controller?.createRevision === elected.createRevision;
  for (;;) {
    const found = await look(elected, peer, signal);
    if (signal.aborted || !isElected()) return 'over';
    if (found.kind === 'broken') return 'broken';
    if (found.kind === 'gone') {
      logger.info('controller-not-there', { nodeId: elected.nodeId, address: elected.address, why: found.why });
      await unseat(elected, ports);
      return 'over';
    }
    await clock.sleep(limits.successionAskMs, signal).catch(() => undefined);
    if (signal.aborted || !isElected()) return 'over';
  }
}

type Found = { readonly kind: 'there' | 'broken' | 'silent' } | { readonly kind: 'gone'; readonly why: string };

async function look(elected: Elected, peer: Peer, signal: AbortSignal): Promise<Found> {
  try {
    const options = { deadlineMs: limits.controllerLeaseMs, signal };
    const { nodeId, incarnationId } = await peer.unary(methods.describeController, { context: askingContext }, options);
    if (nodeId === elected.nodeId && incarnationId === elected.incarnationId) return { kind: 'there' };
    return { kind: 'gone', why: `controller ${nodeId} answers there, incarnation ${incarnationId}` };
  } catch (thrown) {
    const error = TributaryError.from(thrown);
    if (error.unreachable === 'refused') return { kind: 'gone', why: error.message };
    return { kind: error.error === 'NETWORK_EXCEPTION' ? 'broken' : 'silent' };
  }
}

/** Nothing is lost where it does not come about: then the lease runs out. */
async function unseat(elected: Elected, { store, keys, logger }: Ports): Promise<void> {
  const place = { kind: 'controller' } as const;
  const expect = [{ place, is: 'created-at', revision: elected.createRevision } as const];
  try {
    await store.commit(encodeTransaction(keys, { expect, put: [], delete: [place] }));
  } catch (thrown) {
    logger.warn('controller-not-unseated', { why: TributaryError.from(thrown).message });
  }
}
