import type { IncarnationId, NodeId } from '@tributary/model';
import type { ImageSource, MetadataKeys } from '@tributary/metadata';
import type { Clock, Logger, MetadataStore, Random, Service } from '@tributary/ports';

export interface ControllerConfig {
  /** From the one namespace of all roles; `tributary dev` gives controller and broker of one process the same. */
  readonly nodeId: NodeId;
  /** host:port at which AdminService and ControllerService are served. */
  readonly address: string;
  /** What a topic gets when its creator does not say. */
  readonly defaults: TopicDefaults;
  /** Of the election's lease, and the grace of absent brokers after a takeover (M5), ms. */
  readonly sessionTimeoutMs?: number;
}

export interface TopicDefaults {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
}

export interface ControllerPorts {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** Of the same store; the controller does not dispose it. */
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface Controller extends AsyncDisposable {
  /** AdminService and ControllerService. Refuses with NOT_CONTROLLER, naming the active one, while another is active. */
  readonly service: Service;
  /** Runs for the election, and acts whenever it is won, until disposed. Resolves when it has begun to. */
  start(): Promise<void>;
  readonly isActive: boolean;
}

export type { IncarnationId };

export declare function createController(config: ControllerConfig, ports: ControllerPorts): Controller;
