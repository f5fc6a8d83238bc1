/** A broker's registration (R6), and a coordinator's. */
import { TributaryError, type BrokerEpoch } from '@tributary/model';
import type { Clock, MetadataStore } from '@tributary/ports';
import type { MetadataKeys } from './keys.ts';
import { type HeldRegistration, type RegistrationOptions, keepOwn, register } from './own-registration.ts';
import type { CoordinatorInfo, RegistrationInfo } from './state.ts';

export type { HeldRegistration, RegistrationOptions } from './own-registration.ts';

/**
 * Writes the broker's registration under a lease of its own. One of the same data directory is replaced, whether or not its lease lives; the new one
 * has a new epoch in any case. The controller then looks at it; the broker waits for `isAdmitted`. One by an incarnation that is not this broker's own is of
 * a process with a copy of the directory: two such would take it from each other for ever.
 * @throws TributaryError DUPLICATE_BROKER_REGISTRATION while a broker with this node id and another data directory, or a copy of this one, is registered.
 * @throws MetadataStoreError `refused`: no further attempt would do better.
 * @throws the signal's reason. A store that does not answer is asked again until then.
 */
export function registerBroker(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: RegistrationInfo,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration> {
  const refuse = (existing: RegistrationInfo, isOwn: boolean): void => {
    refuseOtherDirectory(existing, registration);
    if (!isOwn) throw twin(existing, registration);
  };
  return register(store, keys, { value: { kind: 'registration', value: registration }, refuse }, clock, options);
}

/**
 * Puts the broker's own registration, which is as it was, under a new lease: where the store was away for longer than the old one, and nobody
 * has seen the registration go, nothing has happened.
 * @returns undefined when it is gone, or another: the broker registers anew. @throws as {@link registerBroker}.
 */
export function keepRegistration(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: RegistrationInfo,
  epoch: BrokerEpoch,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration | undefined> {
  return keepOwn(store, keys, { kind: 'registration', value: registration }, epoch, clock, options);
}

/**
 * The same of a coordinator. It keeps nothing from life to life: one at the same address is an earlier life of it, and is replaced, unless it is not this one's
 * own although it has registered before.
 * @throws TributaryError DUPLICATE_BROKER_REGISTRATION while a coordinator with this node id and another address, or a second one at this address, is registered.
 */
export function registerCoordinator(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: CoordinatorInfo,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration> {
  const refuse = (existing: CoordinatorInfo, isOwn: boolean): void => {
    if (existing.address === registration.address && isOwn) return;
    const { nodeId, address } = registration;
    throw new TributaryError(
      'DUPLICATE_BROKER_REGISTRATION',
      existing.address === address
        ? `Another process has registered as coordinator ${nodeId} at ${address}; this one stops.`
        : `Node id ${nodeId} belongs to the coordinator at ${existing.address}; this one is at ${address}. Give it another node id, ` +
            'or stop the other one first; after a crash, wait for its session timeout.',
    );
  };
  const value = { kind: 'coordinator-registration', value: registration } as const;
  return register(store, keys, { value, refuse }, clock, options);
}

/** As {@link keepRegistration}. */
export function keepCoordinatorRegistration(
  store: MetadataStore,
  keys: MetadataKeys,
  registration: CoordinatorInfo,
  epoch: BrokerEpoch,
  clock: Clock,
  options: RegistrationOptions,
): Promise<HeldRegistration | undefined> {
  return keepOwn(store, keys, { kind: 'coordinator-registration', value: registration }, epoch, clock, options);
}

function refuseOtherDirectory(existing: RegistrationInfo, mine: RegistrationInfo): void {
  if (existing.directoryId === mine.directoryId) return;
  throw new TributaryError(
    'DUPLICATE_BROKER_REGISTRATION',
    `Node id ${mine.nodeId} belongs to the running broker at ${existing.address} with data directory ${existing.directoryId}; ` +
      `this one has ${mine.directoryId}. Give it another node id, or stop the other broker first.`,
  );
}

function twin(existing: RegistrationInfo, mine: RegistrationInfo): TributaryError {
  return new TributaryError(
    'DUPLICATE_BROKER_REGISTRATION',
    `Another process, at ${existing.address}, has registered as broker ${mine.nodeId} with a copy of data directory ${mine.directoryId}; ` +
      `this one, at ${mine.address}, stops. Find out which has the newest records, and start that one alone.`,
  );
}
