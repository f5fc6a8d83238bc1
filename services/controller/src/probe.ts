/**
 * Asks at the addresses of brokers that are registered and do not attend (R10). Nothing listens there, or another incarnation: dead at once. The
 * broker itself: a sign of life. Anything else is silence.
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
    const { transport, images, clock, logger } = this.#ports;
    const registration = images.current.broker(node)?.registration;
    if (registration?.createRevision !== epoch || signal.aborted) return;
    const notThere = (why: string): void => {
      logger.info('broker-not-there', { nodeId: node, address: registration.address, why });
      this.#signs.notThere(node, epoch);
      this.#onLearnt();
    };
    try {
      await using peer = transport.connect(registration.address);
      const options = { deadlineMs: this.#everyMs * 2, signal };
      const answer = await peer.unary(
        methods.describeBroker,
        { context: askingContext, nodeId: whoeverIsAsked },
        options,
      );
      if (signal.aborted) return;
      const isItself = answer.nodeId === node && answer.brokerEpoch === epoch;
      // It may not have learnt of its newest registration yet.
      const isBefore = answer.nodeId === node && answer.brokerEpoch > 0n && answer.brokerEpoch < epoch;
      if (isItself) this.#signs.heard(node, epoch, clock.monotonicMs());
      else if (!isBefore) notThere(`broker ${answer.nodeId} in epoch ${answer.brokerEpoch} answers there`);
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (!signal.aborted && error.unreachable === 'refused') notThere(error.message);
    }
  }
}
