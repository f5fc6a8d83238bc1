/**
 * Asks at the addresses of brokers, or coordinators, that are registered and do not attend (R10). Nothing listens there, or another incarnation: dead at once. The
 * one itself: a sign of life. A connection that breaks says nothing yet, and is tried again at once: a process that is being killed has its listening
 * socket for a moment longer than its connections. Anything else is silence.
 */
import type { ClusterImage, ImageSource } from '@tributary/metadata';
import { type BrokerEpoch, type NodeId, TributaryError, limits } from '@tributary/model';
import type { Clock, Logger, Peer, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import type { Registered, Role, Signs } from './signs.ts';

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

interface Asked extends Registered {
  readonly address: string;
}

/** How those of one role are found and asked. */
interface Way {
  registered(image: ClusterImage): Iterable<Asked>;
  registration(image: ClusterImage, node: NodeId): Asked | undefined;
  whoAreYou(
    peer: Peer,
    options: { readonly deadlineMs: number; readonly signal: AbortSignal },
  ): Promise<{ readonly nodeId: number; readonly epoch: bigint }>;
}

export const ways: Readonly<Record<Role, Way>> = {
  broker: {
    *registered(image) {
      for (const { registration } of image.brokers()) if (registration !== undefined) yield registration;
    },
    registration: (image, node) => image.broker(node)?.registration,
    async whoAreYou(peer, options) {
      const question = { context: askingContext, nodeId: whoeverIsAsked };
      const answer = await peer.unary(methods.describeBroker, question, options);
      return { nodeId: answer.nodeId, epoch: answer.brokerEpoch };
    },
  },
  coordinator: {
    registered: (image) => image.coordinators(),
    registration: (image, node) => image.coordinator(node),
    async whoAreYou(peer, options) {
      const answer = await peer.unary(methods.describeCoordinator, { context: askingContext }, options);
      return { nodeId: answer.nodeId, epoch: answer.coordinatorEpoch };
    },
  },
};

export class Probe {
  readonly #ports: Ports;
  readonly #role: Role;
  readonly #signs: Signs;
  readonly #everyMs: number;
  readonly #onLearnt: () => void;
  readonly #asking = new Map<NodeId, Promise<void>>();

  /** @param onLearnt told of each death. */
  constructor(ports: Ports, role: Role, signs: Signs, sessionTimeoutMs: number, onLearnt: () => void) {
    this.#ports = ports;
    this.#role = role;
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
      const registered = ways[this.#role].registered(images.current);
      for (const { node, epoch } of this.#signs.unattending(registered, clock.monotonicMs(), this.#everyMs))
        void this.ask(node, epoch, signal);
    }
    await Promise.all(this.#asking.values());
  }

  /** Never rejects. One question to each at a time. */
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
      const registration = ways[this.#role].registration(images.current, node);
      if (registration?.createRevision !== epoch || signal.aborted) return;
      const { address } = registration;
      const found = await this.#look(node, epoch, address, signal);
      if (found === 'itself') this.#signs.heard(node, epoch, clock.monotonicMs());
      if (found instanceof NotThere) {
        logger.info(`${this.#role}-not-there`, { nodeId: node, address, why: found.why });
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
      const answer = await ways[this.#role].whoAreYou(peer, options);
      if (signal.aborted) return 'silence';
      if (answer.nodeId === node && answer.epoch === epoch) return 'itself';
      // It may not have learnt of its newest registration yet.
      const isBefore = answer.nodeId === node && answer.epoch > 0n && answer.epoch < epoch;
      if (isBefore) return 'silence';
      return new NotThere(`${this.#role} ${answer.nodeId} in epoch ${answer.epoch} answers there`);
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
