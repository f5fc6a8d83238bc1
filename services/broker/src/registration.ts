/**
 * A broker's place in the cluster (R6): registered under a lease, then admitted by the controller. When the lease is lost it registers anew;
 * existing leaderships go on until the image says otherwise (no metadata store, no election: leaders keep serving).
 */
import {
  type BrokerEpoch,
  type DirectoryId,
  type IncarnationId,
  incarnationId,
  type NodeId,
  randomId,
  TributaryError,
} from '@tributary/model';
import {
  type ClusterImage,
  epochOf,
  type HeldRegistration,
  type ImageSource,
  isAdmitted,
  keepRegistration,
  type MetadataKeys,
  type PartitionName,
  registerBroker,
  type Registering,
  type RegistrationInfo,
  type RegistrationOptions,
  stayRegistered,
} from '@tributary/metadata';
import type { Clock, Logger, MetadataStore, Random } from '@tributary/ports';
import type { DataDirectory } from './log/data-directory.ts';

interface RegistrationPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
  readonly logger: Logger;
}

interface Whereabouts {
  readonly nodeId: NodeId;
  readonly address: string;
  readonly host: string;
  readonly rack: string;
  readonly sessionTimeoutMs: number;
  /** Settings that it was started with, for those who ask. */
  readonly configs: Readonly<Record<string, string>>;
}

interface Held extends HeldRegistration {
  readonly registration: RegistrationInfo;
}

/** What others know a registration by. */
export interface RegisteredAs {
  readonly epoch: BrokerEpoch;
  readonly incarnationId: IncarnationId;
}

/** Cluster versions that this code speaks (M7). */
const versions = { min: 1, max: 1 } as const;

export class Registration {
  readonly #where: Whereabouts;
  readonly #directory: Pick<DataDirectory, 'identity' | 'lastStop'>;
  readonly #ports: RegistrationPorts;
  #held: Held | undefined;
  /** Suspects and lossiness are told until the controller has looked: what it has made of them is in the image from then on (R6). */
  #isHeard = false;
  #isOver = false;

  constructor(where: Whereabouts, directory: Pick<DataDirectory, 'identity' | 'lastStop'>, ports: RegistrationPorts) {
    this.#where = where;
    this.#directory = directory;
    this.#ports = ports;
  }

  get epoch(): BrokerEpoch | undefined {
    return this.#held?.epoch;
  }

  admitted(image: ClusterImage): boolean {
    if (this.#held === undefined) return false;
    const { epoch, registration } = this.#held;
    return isAdmitted(image, registration.nodeId, epoch, registration.incarnationId);
  }

  /** The controller has let this incarnation in, and with it taken note of what it told. */
  async heard(): Promise<void> {
    if (this.#isHeard) return;
    this.#isHeard = true;
    await this.#directory.identity.recordHeard();
  }

  /** From now on a registration that is gone stays so: the broker is about to stop. */
  handedOver(): void {
    this.#isOver = true;
  }

  /** See {@link stayRegistered}. Ends with the signal. @throws TributaryError DUPLICATE_BROKER_REGISTRATION; MetadataStoreError `refused`. */
  keep(
    suspects: readonly PartitionName[],
    onRegistered: (incarnation: RegisteredAs) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const isOver = (): boolean => this.#isOver;
    const part: Registering<Held> = {
      register: async (until) => {
        const held = await this.#register(this.#isHeard ? [] : suspects, until);
        onRegistered({ epoch: held.epoch, incarnationId: held.registration.incarnationId });
        return held;
      },
      renew: (held, until) => this.#renew(held, until),
      epochIn: (image) => {
        const registered = image.broker(this.#where.nodeId)?.registration;
        return registered === undefined ? undefined : epochOf(registered);
      },
      get isOver() {
        return isOver();
      },
    };
    return stayRegistered(part, this.#ports, signal);
  }

  async #renew(before: Held, signal: AbortSignal): Promise<Held | undefined> {
    const { store, keys, clock } = this.#ports;
    const { registration, epoch } = before;
    const kept = await keepRegistration(store, keys, registration, epoch, clock, this.#options(signal));
    if (kept === undefined) return undefined;
    this.#held = { ...kept, registration };
    return this.#held;
  }

  #options(signal: AbortSignal): RegistrationOptions {
    const { sessionTimeoutMs } = this.#where;
    return {
      sessionTimeoutMs,
      signal,
      onFailure: (why) => this.#ports.logger.warn('registering-failed', { why }),
    };
  }

  async #register(suspects: readonly PartitionName[], signal: AbortSignal): Promise<Held> {
    const { nodeId, address, host, rack, configs } = this.#where;
    const { identity } = this.#directory;
    const incarnation = incarnationId(randomId(() => this.#ports.random.nextU32()));
    const own = identity.incarnations;
    const inMetadata = incarnationsIn(this.#ports.images.current, nodeId, identity.directoryId);
    const known = inMetadata.filter((each) => own.includes(each));
    // Synced before registering: a directory restored from a backup knows neither of the two ids that etcd holds (R6).
    await identity.recordPending(incarnation, known);
    const registration = {
      nodeId,
      incarnationId: incarnation,
      directoryId: identity.directoryId,
      address,
      host,
      rack,
      versionMin: versions.min,
      versionMax: versions.max,
      lossy: !this.#isHeard && this.#directory.lastStop === 'lossy',
      suspects,
      configs,
    };
    const { store, keys, clock } = this.#ports;
    const options = { ...this.#options(signal), isOwn: (id: IncarnationId) => identity.incarnations.includes(id) };
    const taken = await registerBroker(store, keys, registration, clock, options);
    const held = { ...taken, registration };
    this.#held = held;
    await identity.recordRegistered(incarnation, known);
    this.#ports.logger.info('registered', { nodeId, brokerEpoch: held.epoch.toString(), address });
    return held;
  }

  /** Leaves the cluster at once. */
  async revoke(): Promise<void> {
    await this.#held?.revoke();
    this.#held = undefined;
  }
}

/** By which metadata knows a data directory of this broker. */
export function incarnationsIn(image: ClusterImage, node: NodeId, directory: DirectoryId): readonly IncarnationId[] {
  const broker = image.broker(node);
  return [broker?.registration, broker?.status].flatMap((each) =>
    each?.directoryId === directory ? [each.incarnationId] : [],
  );
}

/** @throws TributaryError when the cluster's finalised version is outside what this code speaks (M7). */
export function checkVersion(image: ClusterImage): void {
  const version = image.cluster?.version ?? versions.max;
  if (version < versions.min || version > versions.max) {
    throw new TributaryError(
      'UNSUPPORTED_VERSION',
      `The cluster is at version ${version}; this broker speaks ${versions.min} to ${versions.max}: use another release.`,
    );
  }
}
