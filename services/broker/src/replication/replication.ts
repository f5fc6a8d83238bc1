/** This broker's part in keeping replicas in step: what it leads is pushed to others, what it follows comes from them (docs/adr/0008-replication.md). */
import type { ImageSource, PartitionName } from '@tributary/metadata';
import type { BrokerEpoch, BrokerSettings } from '@tributary/model';
import type { Clock, Handlers, Logger, Transport } from '@tributary/ports';
import { methods } from '@tributary/wire';
import type { IsrProposer } from '../attendance/proposals.ts';
import type { Partition } from '../partition/partition.ts';
import type { Replicas, Roles } from '../replicas.ts';
import { Followers } from './followers.ts';
import { IsrKeeper, type IsrObserver } from './isr-keeper.ts';
import { replicateHandler } from './leader-stream.ts';

export interface ReplicationParts {
  readonly replicas: Replicas;
  readonly images: ImageSource;
  readonly transport: Pick<Transport, 'connect'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly proposer: IsrProposer;
  readonly observer: IsrObserver;
  readonly settings: { readonly current: BrokerSettings };
  /** Of the current registration; undefined: there is none. */
  brokerEpoch(): BrokerEpoch | undefined;
}

export class Replication implements Roles, AsyncDisposable {
  readonly #parts: ReplicationParts;
  readonly #followers: Followers;
  readonly #keeper: IsrKeeper;

  constructor(parts: ReplicationParts) {
    const { replicas, settings } = parts;
    this.#parts = parts;
    this.#followers = new Followers({
      ...parts,
      me: replicas.me,
      clusterId: replicas.clusterId,
      restart: ({ name, partition, term }, beginsAt) => replicas.restart(name, partition, term, beginsAt),
    });
    this.#keeper = new IsrKeeper({
      ...parts,
      me: replicas.me,
      replicaLagMs: () => settings.current.replicaLagMs,
    });
    replicas.roles = this;
  }

  serve(handlers: Handlers): void {
    const { settings } = this.#parts;
    const handler = replicateHandler({
      ...this.#parts,
      catchUpBytesPerSecond: () => settings.current.catchUpBytesPerSecond,
      acknowledged: (name) => this.#keeper.acknowledged(name),
    });
    handlers.stream(methods.replicate, handler);
  }

  /** Looks after the in-sync replicas until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#keeper.run(signal);
  }

  leading(name: PartitionName, partition: Partition): void {
    this.#followers.forget(name);
    this.#keeper.lead(name, partition);
  }

  following(name: PartitionName, partition: Partition): void {
    this.#keeper.forget(name);
    this.#followers.follow(name, partition);
  }

  forget(name: PartitionName): void {
    this.#keeper.forget(name);
    this.#followers.forget(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#followers[Symbol.asyncDispose]();
  }
}
