/** The parts of Tributary as programs of the world: the same assemblies that `main.ts` and `tributary dev` use, on simulated ports. */
import { type BrokerConfig, createBroker } from '@tributary/broker';
import { createController } from '@tributary/controller';
import { createCoordinator } from '@tributary/coordinator';
import {
  EmbeddedMetadataStore,
  type ImageSource,
  type MetadataKeys,
  metadataKeys,
  openImageSource,
  unlessAborted,
} from '@tributary/metadata';
import { nodeId } from '@tributary/model';
import type { Handlers, MetadataStore, Service } from '@tributary/ports';
import type { ProcessMain, ProcessPorts } from './process.ts';

/** The broker's, on its machine's disk. */
export const DATA_DIRECTORY = 'data/broker-1';
export const METADATA_DIRECTORY = 'data/metadata';
const BROKER_PORT = 9095;
const CONTROLLER_PORT = 9096;
const COORDINATOR_PORT = 9097;
/** Shorter than in production, so that a run sees several sessions end. */
const SESSION_TIMEOUT_MS = 2_000;
/** Checkpoints and retention as often as a run needs to see them under faults. */
const CHECKPOINT_MS = 400;
const RETENTION_CHECK_MS = 300;
const CLEANER_BACKOFF_MS = 350;
const LAG_POLL_MS = 1_000;

export const brokerAddress = (machine: string): string => `${machine}:${BROKER_PORT}`;
export const coordinatorAddress = (machine: string): string => `${machine}:${COORDINATOR_PORT}`;

/** How the parts are spread over processes, and where metadata is kept. */
export type Deployment =
  /** Controller and broker in processes of their own, metadata in a store that survives everything. */
  | 'apart'
  /** All in one process, metadata in the embedded store on the same disk, as `tributary dev` has it. */
  | 'embedded';

interface ClusterPorts extends ProcessPorts {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
}

async function clusterPorts(
  ports: ProcessPorts,
  store: MetadataStore,
  stop: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<ClusterPorts> {
  const keys = metadataKeys('simulated');
  const images = stack.use(await openImageSource(store, keys, ports.clock, stop));
  return { ...ports, store, keys, images };
}

/** What differs from broker to broker. */
export interface BrokerPlace {
  readonly machine: string;
  readonly nodeId: number;
  readonly rack: string;
  readonly sessionTimeoutMs: number;
  /** Beside what every run has. */
  readonly configs: Readonly<Record<string, string>>;
}

function brokerConfig({ machine, nodeId: node, rack, sessionTimeoutMs, configs }: BrokerPlace): BrokerConfig {
  return {
    nodeId: node,
    dataDirectory: DATA_DIRECTORY,
    host: machine,
    rack,
    sessionTimeoutMs,
    configs: {
      'log.retention.check.interval.ms': String(RETENTION_CHECK_MS),
      'log.cleaner.backoff.ms': String(CLEANER_BACKOFF_MS),
      ...configs,
    },
    checkpointMs: CHECKPOINT_MS,
  };
}

const only = (machine: string): BrokerPlace => ({
  machine,
  nodeId: 1,
  rack: '',
  sessionTimeoutMs: SESSION_TIMEOUT_MS,
  configs: {},
});

/** What differs from controller to controller. */
export interface ControllerPlace {
  readonly machine: string;
  readonly nodeId: number;
  readonly sessionTimeoutMs: number;
  readonly electionTimeoutMs: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
}

const alone = (machine: string): ControllerPlace => ({
  machine,
  nodeId: 1,
  sessionTimeoutMs: SESSION_TIMEOUT_MS,
  electionTimeoutMs: SESSION_TIMEOUT_MS,
  replicationFactor: 1,
  minInsyncReplicas: 1,
});

function controllerConfig(place: ControllerPlace, address: string) {
  const { nodeId: node, sessionTimeoutMs, electionTimeoutMs, replicationFactor, minInsyncReplicas } = place;
  return {
    nodeId: nodeId(node),
    address,
    defaults: { partitions: 1, replicationFactor, minInsyncReplicas },
    sessionTimeoutMs,
    electionTimeoutMs,
  };
}

export function controllerProgram(at: string | ControllerPlace): ProcessMain {
  return async (processPorts, stop) => {
    await using stack = new AsyncDisposableStack();
    const place = typeof at === 'string' ? alone(at) : at;
    const address = `${place.machine}:${CONTROLLER_PORT}`;
    const ports = await clusterPorts(processPorts, processPorts.metadata, stop, stack);
    const controller = stack.use(createController(controllerConfig(place, address), ports));
    stack.use(await ports.transport.serve(address, controller.service));
    await unlessAborted(controller.start(), stop);
    await until(stop);
  };
}

export function brokerProgram(at: string | BrokerPlace): ProcessMain {
  return async (processPorts, stop) => {
    await using stack = new AsyncDisposableStack();
    const place = typeof at === 'string' ? only(at) : at;
    const { machine } = place;
    const ports = await clusterPorts(processPorts, processPorts.metadata, stop, stack);
    const broker = stack.use(await createBroker(brokerConfig(place), ports, stop));
    stack.use(await ports.transport.serve(brokerAddress(machine), broker.service));
    await unlessAborted(broker.start(brokerAddress(machine)), stop);
    // While it is still served, as in `main.ts`.
    stack.defer(() => broker.handOver());
    ports.logger.info('serving');
    await until(stop);
  };
}

/** What differs from coordinator to coordinator. */
export interface CoordinatorPlace {
  readonly machine: string;
  readonly nodeId: number;
  readonly sessionTimeoutMs: number;
}

export function coordinatorProgram({ machine, nodeId: node, sessionTimeoutMs }: CoordinatorPlace): ProcessMain {
  return async (processPorts, stop) => {
    await using stack = new AsyncDisposableStack();
    const address = coordinatorAddress(machine);
    const ports = await clusterPorts(processPorts, processPorts.metadata, stop, stack);
    const config = { nodeId: node, host: machine, rack: '', sessionTimeoutMs, lagPollMs: LAG_POLL_MS };
    const coordinator = stack.use(createCoordinator(config, ports));
    stack.use(await ports.transport.serve(address, coordinator.service));
    await unlessAborted(coordinator.start(address), stop);
    // While it is still served, as in `main.ts`.
    stack.defer(() => coordinator.handOver());
    await until(stop);
  };
}

export function embeddedProgram(machine: string): ProcessMain {
  return async (processPorts, stop) => {
    await using stack = new AsyncDisposableStack();
    const { files, clock, random, host } = processPorts;
    const store = stack.use(await EmbeddedMetadataStore.open(files, METADATA_DIRECTORY, clock, random, host));
    const ports = await clusterPorts(processPorts, store, stop, stack);
    const controller = stack.use(createController(controllerConfig(alone(machine), brokerAddress(machine)), ports));
    await controller.start();
    const broker = stack.use(await createBroker(brokerConfig(only(machine)), ports, stop));
    stack.use(await ports.transport.serve(brokerAddress(machine), both(controller.service, broker.service)));
    await broker.start(brokerAddress(machine));
    ports.logger.info('serving');
    await until(stop);
  };
}

/** What the controller serves itself needs no forwarding. */
function both(controller: Service, broker: Service): Service {
  return (handlers: Handlers) => {
    broker(handlers);
    controller(handlers);
  };
}

function until(stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener('abort', () => resolve(), { once: true });
  });
}
