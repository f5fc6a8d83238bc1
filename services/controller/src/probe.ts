/**
 * Asks at the addresses of brokers that are registered and do not attend (R10). Nothing listens there, or another incarnation: dead at once. The
 * broker itself: a sign of life. A connection that breaks says nothing yet, and is tried again at once: a process that is being killed has its listening
 * socket for a moment longer than its connections. Anything else is silence.
 */
import type { ImageSource } from '@tributary/metadata';
import { type BrokerEpoch, type NodeId, TributaryError, limits } from '@tributary/model';
import type { Clock, Logger, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import type { LifeSigns } from './life-signs.ts';

interface Ports {
  readonly transport: Pick<Transport, 'connect'>;
  readonly images: Pick<ImageSource, 'current'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Forwarded once: whoever is asked answers for itself. */
export const askingContext = {
  clusterId: '',
  clientId: '',
  principal: '',
  originalPrincipal: '',
  host: '',
  hops: 1,
  minRevision: 0n,
};

export const whoeverIsAsked = -1;

export class Probe {
  readonly #ports: Ports;
  readonly #signs: LifeSigns;
  readonly #everyMs: number;
  readonly #onLearnt: () => void;
  readonly #asking = new Map<NodeId, Promise<void>>();

  /** @param onLearnt told of each death. */
  constructor(ports: Ports, signs: LifeSigns, sessionTimeoutMs: number, onLearnt: () => void) {
    this.#ports = ports;
    this.#signs = signs;
    this.#everyMs = Math.ceil(sessionTimeoutMs / limits.probesPerSession);
    this.#onLearnt = onLearnt;
  }

  /** Asks all that do not attend, again and again until the signal aborts. */
  async keepAsking(signal: AbortSignal): Promise<void> {
    const { clock, images } = this.#ports;
    while (!signal.aborted) {
      await clock.sleep(this.#everyMs, signal).catch(() => undefined);
      if (signal.aborted) break;
      for (const { node, epoch } of this.#signs.unattending(images.current, clock.monotonicMs(), this.#everyMs))
        void this.ask(node, epoch, signal);
    }
    await Promise.all(this.#asking.values());
  }

  /** Never rejects. One question per broker at a time. */
  ask(node: NodeId, epoch: BrokerEpoch, signal: AbortSignal): Promise<void> {
    const under = this.#asking.get(node);
    if (under !== undefined) return under;
    const asking = this.#ask(node, epoch, signal).finally(() => this.#asking.delete(node));
    this.#asking.set(node, asking);
    return asking;
  }

  async #ask(node: NodeId, epoch: BrokerEpoch, signal: AbortSignal): Promise<void> {
    const { images, clock, logger } = this.#ports;
    const endMs = clock.monotonicMs() + this.#everyMs;
    for (let retryMs: number = limits.probeRetryMsMin; ; retryMs *= 2) {
      const registration = images.current.broker(node)?.registration;
      if (registration?.createRevision !== epoch || signal.aborted) return;
      const { address } = registration;
      const found = await this.#look(node, epoch, address, signal);
      if (found === 'itself') this.#signs.heard(node, epoch, clock.monotonicMs());
      if (found instanceof NotThere) {
        logger.info('broker-not-there', { nodeId: node, address, why: found.why });
        this.#signs.notThere(node, epoch);
        this.#onLearnt();
      }
      if (found !== 'broken' || clock.monotonicMs() + retryMs >= endMs) return;
      await clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  async #look(
    node: NodeId,
    epoch: BrokerEpoch,
    address: string,
    signal: AbortSignal,
  ): Promise<'itself' | 'broken' | 'silence' | NotThere> {
    try {
      await using peer = this.#ports.transport.connect(address);
      const options = { deadlineMs: this.#everyMs * 2, signal };
      const answer = await peer.unary(
        methods.describeBroker,
        { context: askingContext, nodeId: whoeverIsAsked },
        options,
      );
      if (signal.aborted) return 'silence';
      if (answer.nodeId === node && answer.brokerEpoch === epoch) return 'itself';
      // It may not have learnt of its newest registration yet.
      const isBefore = answer.nodeId === node && answer.brokerEpoch > 0n && answer.brokerEpoch < epoch;
      if (isBefore) return 'silence';
      return new NotThere(`broker ${answer.nodeId} in epoch ${answer.brokerEpoch} answers there`);
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (signal.aborted) return 'silence';
      if (error.unreachable === 'refused') return new NotThere(error.message);
      return error.error === 'NETWORK_EXCEPTION' ? 'broken' : 'silence';
    }
  }
}

class NotThere {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}
