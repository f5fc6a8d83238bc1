/** Every part that exists, in one process: metadata in an embedded store on a local file, one gRPC port for all. */
import { type Broker, type BrokerObserver, createBroker } from '@tributary/broker';
import { type Controller, createController } from '@tributary/controller';
import { type Coordinator, createCoordinator } from '@tributary/coordinator';
import { EmbeddedMetadataStore, type ImageSource, metadataKeys, openImageSource } from '@tributary/metadata';
import { checkBrokerConfigs, limits, nodeId } from '@tributary/model';
import type { Handlers, Host, Logger } from '@tributary/ports';
import { grpcTransport, nodeClock, nodeFileSystem, nodeRandom, withStandardServices } from '@tributary/runtime';

export interface DevConfig {
  readonly dataDirectory: string;
  readonly host: string;
  /** Not 0: the controller's address is made known before the port is bound. */
  readonly port: number;
  /** Broker settings where the cluster has none. */
  readonly configs: Readonly<Record<string, string>>;
}

export interface DevPorts {
  readonly host: Host;
  readonly logger: Logger;
  readonly observer?: BrokerObserver;
}

export interface Dev extends AsyncDisposable {
  /** host:port of the gRPC listener. */
  readonly address: string;
  readonly broker: Broker;
  readonly controller: Controller;
  readonly coordinator: Coordinator;
  readonly images: ImageSource;
}

/** Node id of every part: one namespace for all roles, one process. */
const me = nodeId(1);

/**
 * Where the coordinator listens, beside the one port for all: the broker serves the same calls there, and passes them on. Clients on this machine go to it by themselves,
 * others stay with the broker.
 */
const coordinatorListener = '127.0.0.1:0';

/** Served by the controller, for health. */
const isControllers = (service: string): boolean => /\.(Admin|Controller)Service$/.test(service);

/** The disk of somebody's own machine may well be nearly full: what a broker needs to live is enough. */
const gentle = { 'disk.free.enough.bytes': String(64 * 1024 * 1024) };

/** Resolves once records can be produced. @throws TributaryError naming what is wrong with the data directory or the port. */
export async function assembleDev(config: DevConfig, ports: DevPorts, signal: AbortSignal): Promise<Dev> {
  await using stack = new AsyncDisposableStack();
  checkBrokerConfigs(config.configs, 'broker');
  const address = `${config.host}:${config.port}`;
  const { host, logger, observer } = ports;
  const store = stack.use(
    await EmbeddedMetadataStore.open(nodeFileSystem, `${config.dataDirectory}/metadata`, nodeClock, nodeRandom, host),
  );
  const keys = metadataKeys('dev');
  const images = stack.use(await openImageSource(store, keys, nodeClock, signal));
  const world = {
    clock: nodeClock,
    random: nodeRandom,
    files: nodeFileSystem,
    transport: grpcTransport,
    store,
    keys,
    images,
    host,
    logger,
  };
  const controller = stack.use(
    createController(
      { nodeId: me, address, defaults: { partitions: 1, replicationFactor: 1, minInsyncReplicas: 1 } },
      world,
    ),
  );
  await controller.start();
  const broker = stack.use(
    await createBroker(
      {
        nodeId: me,
        dataDirectory: `${config.dataDirectory}/broker-1`,
        host: config.host,
        rack: '',
        sessionTimeoutMs: limits.sessionTimeoutMs,
        configs: { ...gentle, ...config.configs },
        checkpointMs: limits.checkpointMs,
      },
      { ...world, ...(observer === undefined ? {} : { observer }) },
      signal,
    ),
  );
  // The controller's AdminService comes last and takes the place of the broker's, which would forward to it.
  const service = (handlers: Handlers): void => {
    broker.service(handlers);
    controller.service(handlers);
  };
  // Whoever finds the port open finds everything behind it: registering needs the store alone, so it can come first.
  await broker.start(address);
  const isReady = (name: string): boolean =>
    isControllers(name) ? images.current.controller !== undefined : broker.readiness().ready;
  const server = stack.use(
    await grpcTransport.serve(address, withStandardServices(service, isReady), broker.resources),
  );
  stack.defer(() => broker.handOver());
  const coordinator = stack.use(
    createCoordinator({ nodeId: me, host: config.host, rack: '', sessionTimeoutMs: limits.sessionTimeoutMs }, world),
  );
  const desk = stack.use(await grpcTransport.serve(coordinatorListener, coordinator.service));
  await coordinator.start(desk.address);
  stack.defer(() => coordinator.handOver());
  const running = stack.move();
  return {
    ...{ address: server.address, broker, controller, coordinator, images },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
