/** A coordinator's place in the cluster: registered under a lease, for as long as it runs. What it owns, the controller says in `group-partitions`. */
import {
  type BrokerEpoch,
  type IncarnationId,
  type NodeId,
  TributaryError,
  incarnationId,
  limits,
  randomId,
} from '@tributary/model';
import type { Clock, Logger, MetadataStore, Random } from '@tributary/ports';
import { type ClusterImage, epochOf } from './image.ts';
import type { ImageSource } from './image-source.ts';
import type { MetadataKeys } from './keys.ts';
import { keepCoordinatorRegistration, registerCoordinator } from './registration.ts';
import type { HeldRegistration, RegistrationOptions } from './own-registration.ts';
import type { CoordinatorInfo } from './state.ts';
import { stayRegistered } from './stay-registered.ts';
import { LinkedAbort } from './waiting.ts';

export interface CoordinatorWhereabouts {
  readonly nodeId: NodeId;
  /** host:port at which GroupService is served. */
  readonly address: string;
  readonly host: string;
  readonly rack: string;
  /** Of the lease, ms. */
  readonly sessionTimeoutMs: number;
}

export interface CoordinatorRegistrationPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
  readonly logger: Logger;
}

interface Held extends HeldRegistration {
  readonly registration: CoordinatorInfo;
}

/** Cluster versions that coordinators speak (M7). */
const versions = { min: 1, max: 1 } as const;

export class CoordinatorRegistration {
  readonly #where: CoordinatorWhereabouts;
  readonly #ports: CoordinatorRegistrationPorts;
  readonly #own = new Set<IncarnationId>();
  #held: Held | undefined;
  #isOver = false;

  constructor(where: CoordinatorWhereabouts, ports: CoordinatorRegistrationPorts) {
    this.#where = where;
    this.#ports = ports;
  }

  /** What others know it by; undefined: it is not registered yet. One that is being replaced stays until the next. */
  get current(): { readonly epoch: BrokerEpoch; readonly incarnationId: IncarnationId } | undefined {
    const held = this.#held;
    return held === undefined ? undefined : { epoch: held.epoch, incarnationId: held.registration.incarnationId };
  }

  /** From now on a registration that is gone stays so: the coordinator is about to stop. */
  handedOver(): void {
    this.#isOver = true;
  }

  /**
   * Until the signal, or {@link handedOver}. At its start it waits a while for its node id where another address has it.
   * @throws TributaryError DUPLICATE_BROKER_REGISTRATION; MetadataStoreError `refused`.
   */
  keep(onRegistered: (epoch: BrokerEpoch) => void, signal: AbortSignal): Promise<void> {
    const { images, logger } = this.#ports;
    const isOver = (): boolean => this.#isOver;
    return stayRegistered(
      {
        register: async (until) => {
          const held = await this.#register(until);
          onRegistered(held.epoch);
          return held;
        },
        renew: (held, until) => this.#renew(held, until),
        epochIn: (image) => this.#epochIn(image),
        get isOver() {
          return isOver();
        },
      },
      { images, logger },
      signal,
    );
  }

  /** Leaves the cluster at once. */
  async revoke(): Promise<void> {
    await this.#held?.revoke();
    this.#held = undefined;
  }

  #epochIn(image: ClusterImage): BrokerEpoch | undefined {
    const registered = image.coordinator(this.#where.nodeId);
    return registered === undefined ? undefined : epochOf(registered);
  }

  async #register(signal: AbortSignal): Promise<Held> {
    const { nodeId, address, host, rack } = this.#where;
    const { store, keys, clock, random, logger } = this.#ports;
    const incarnation = incarnationId(randomId(() => random.nextU32()));
    const registration = {
      nodeId,
      incarnationId: incarnation,
      address,
      host,
      rack,
      versionMin: versions.min,
      versionMax: versions.max,
    };
    // The first may replace whatever an earlier process left; from then on another's is a second coordinator at this address.
    const own = this.#own.size === 0 ? undefined : this.#own;
    const options = {
      ...this.#options(signal),
      ...(own === undefined ? {} : { isOwn: (id: IncarnationId) => own.has(id) || id === incarnation }),
    };
    const isFirst = this.#own.size === 0;
    const attempt = (): Promise<HeldRegistration> => registerCoordinator(store, keys, registration, clock, options);
    const taken = await (isFirst ? this.#outlasting(attempt, signal) : attempt());
    this.#own.add(incarnation);
    logger.info('registered', { nodeId, coordinatorEpoch: taken.epoch.toString(), address });
    this.#held = { ...taken, registration };
    return this.#held;
  }

  /**
   * Unlike a broker (R6) it has no directory by which to tell that the one at another address is an earlier life of its own; if that has crashed, its registration
   * goes soon: by the controller (R10), or with its lease. @throws TributaryError DUPLICATE_BROKER_REGISTRATION where it is still there after that.
   */
  async #outlasting(attempt: () => Promise<HeldRegistration>, signal: AbortSignal): Promise<HeldRegistration> {
    const { clock, images, logger } = this.#ports;
    const { nodeId, sessionTimeoutMs } = this.#where;
    const endMs = clock.monotonicMs() + sessionTimeoutMs * limits.idTakenSessions;
    let isSaid = false;
    for (;;) {
      try {
        return await attempt();
      } catch (thrown) {
        const leftMs = endMs - clock.monotonicMs();
        const isTaken = thrown instanceof TributaryError && thrown.error === 'DUPLICATE_BROKER_REGISTRATION';
        if (!isTaken || leftMs <= 0) throw thrown;
        if (!isSaid) logger.warn('node-id-taken', { nodeId, why: thrown.message, tryingForMs: Math.round(leftMs) });
        isSaid = true;
        using waiting = new LinkedAbort(signal);
        const gone = images.until((image) => image.coordinator(nodeId) === undefined, waiting.signal);
        const either = [gone, clock.sleep(leftMs, waiting.signal)];
        for (const each of either) each.catch(() => undefined);
        await Promise.race(either);
        waiting.abort(new Error('It is tried again.'));
        // The image may be a little behind the store.
        await clock.sleep(limits.storeRetryMsMin, signal);
      }
    }
  }

  async #renew({ registration, epoch }: Held, signal: AbortSignal): Promise<Held | undefined> {
    const { store, keys, clock } = this.#ports;
    const kept = await keepCoordinatorRegistration(store, keys, registration, epoch, clock, this.#options(signal));
    if (kept === undefined) return undefined;
    this.#held = { ...kept, registration };
    return this.#held;
  }

  #options(signal: AbortSignal): RegistrationOptions {
    return {
      sessionTimeoutMs: this.#where.sessionTimeoutMs,
      signal,
      onFailure: (why) => this.#ports.logger.warn('registering-failed', { why }),
    };
  }
}
