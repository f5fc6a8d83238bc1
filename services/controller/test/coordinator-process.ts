import { CoordinatorRegistration, type ImageSource, openImageSource } from '@tributary/metadata';
import { limits, nodeId } from '@tributary/model';
import type { Clock, MetadataStore, Random, Stream, Transport } from '@tributary/ports';
import { type AttendRequest, type AttendResponse, methods, PartRole } from '@tributary/wire';
import type { MachineClock } from '../../../tests/simulator/clock.ts';
import type { SimulatedMetadataStore } from '../../../tests/simulator/metadata-store.ts';
import type { SimulatedNetwork } from '../../../tests/simulator/network.ts';
import { keys } from './pure-cluster.ts';

const never = new AbortController().signal;
const heartbeatMs = 1_000;
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

interface Surroundings {
  readonly network: SimulatedNetwork;
  readonly world: SimulatedMetadataStore;
  readonly random: Random;
}

/** As much of a coordinator as the controller sees: it registers, attends, and answers at its address. */
export class CoordinatorProcess {
  readonly id: number;
  readonly machine: string;
  alive = true;
  /** Hears and says nothing while it is (SIGSTOP). */
  isStopped = false;
  isLeaving = false;
  /** What the controller said on any stream, in order. */
  readonly answers: AttendResponse[] = [];
  /** Why its streams ended. */
  readonly ends: unknown[] = [];
  registration: CoordinatorRegistration | undefined;
  readonly #cluster: Surroundings;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #stream: Stream<AttendRequest, AttendResponse> | undefined;
  #streamNumber = 0n;

  constructor(cluster: Surroundings, id: number, clock: MachineClock) {
    this.id = id;
    this.machine = `coordinator-${id}`;
    this.#cluster = cluster;
    this.#clock = clock.forProcess(() => this.alive);
  }

  get address(): string {
    return `${this.machine}:9097`;
  }

  kill(): void {
    this.alive = false;
    this.#cluster.network.processEnded(this);
  }

  /** The machine with it: nobody is left to refuse a connection. */
  powerOff(): void {
    this.alive = false;
    this.#cluster.network.machineOff(this.machine);
  }

  /** Gives up its registration, once it owns nothing or wants to wait no longer. */
  async stop(): Promise<void> {
    this.registration?.handedOver();
    this.#stop.abort();
    await this.registration?.revoke();
    this.kill();
  }

  /** Resolves when it is registered. */
  async start(): Promise<void> {
    const isAlive = (): boolean => this.alive;
    const user = {
      machine: this.machine,
      get alive() {
        return isAlive();
      },
    };
    const client = this.#cluster.world.client(user);
    const store: MetadataStore = {
      ...client,
      // With which registering begins.
      lease: async (ttlMs, signal) => {
        while (this.isStopped) await this.#clock.sleep(100, signal);
        return client.lease(ttlMs, signal);
      },
    };
    const images = await openImageSource(store, keys, this.#clock, never);
    const transport = this.#cluster.network.transport(this);
    await transport.serve(this.address, (handlers) => {
      handlers.unary(methods.describeCoordinator, () => Promise.resolve(this.#description()));
    });
    const where = {
      nodeId: nodeId(this.id),
      address: this.address,
      host: this.machine,
      rack: '',
      sessionTimeoutMs: limits.sessionTimeoutMs,
    };
    const ports = { clock: this.#clock, random: this.#cluster.random, store, keys, images, logger };
    const registration = new CoordinatorRegistration(where, ports);
    this.registration = registration;
    const registered = Promise.withResolvers<void>();
    void registration.keep(() => registered.resolve(), this.#stop.signal).catch(registered.reject);
    await registered.promise;
    void this.#attend(transport, images);
  }

  say(message: Partial<AttendRequest>): void {
    this.#stream?.send({ hello: undefined, proposals: [], leaving: this.isLeaving, ...message });
  }

  breakStream(): void {
    this.#stream?.cancel();
  }

  async #attend(transport: Transport, images: ImageSource): Promise<void> {
    for (;;) {
      const { controller } = await images.until((image) => image.controller !== undefined, never);
      const current = this.registration?.current;
      if (controller !== undefined && current !== undefined) {
        await using peer = transport.connect(controller.address);
        const stream = peer.stream(methods.attend, never);
        const hello = {
          context: undefined,
          brokerId: this.id,
          brokerEpoch: current.epoch,
          incarnationId: current.incarnationId,
          streamNumber: ++this.#streamNumber,
          controllerTerm: controller.createRevision,
          role: PartRole.COORDINATOR,
        };
        stream.send({ hello, proposals: [], leaving: this.isLeaving });
        this.#stream = stream;
        void this.#beat(stream);
        try {
          for await (const answer of stream) if (!this.isStopped) this.answers.push(answer);
        } catch (thrown) {
          this.ends.push(thrown);
        }
        this.#stream = undefined;
      }
      await this.#clock.sleep(100, never);
    }
  }

  async #beat(stream: Stream<AttendRequest, AttendResponse>): Promise<void> {
    while (this.#stream === stream) {
      await this.#clock.sleep(heartbeatMs, never);
      if (!this.isStopped) this.say({});
    }
  }

  async #description() {
    // Never, while it is stopped.
    if (this.isStopped) await this.#clock.sleep(1_000_000, never);
    return {
      throttleMs: 0,
      nodeId: this.id,
      coordinatorEpoch: this.registration?.current?.epoch ?? 0n,
      address: this.address,
      softwareVersion: '',
      startedMs: 0n,
      partitionsOwned: 0,
      partitionsServing: 0,
    };
  }
}
