import {
  type HeldRegistration,
  type ImageSource,
  confirmRemoval,
  isAdmitted,
  openImageSource,
  registerBroker,
} from '@tributary/metadata';
import { type IncarnationId, incarnationId, nodeId } from '@tributary/model';
import type { Clock, MetadataStore, Stream, Transport } from '@tributary/ports';
import { type AttendRequest, type AttendResponse, type IsrProposal, methods } from '@tributary/wire';
import type { MachineClock } from '../../../tests/simulator/clock.ts';
import type { SimulatedMetadataStore } from '../../../tests/simulator/metadata-store.ts';
import type { SimulatedNetwork } from '../../../tests/simulator/network.ts';
import { keys, registration } from './pure-cluster.ts';

const never = new AbortController().signal;
const heartbeatMs = 1_000;

interface Surroundings {
  readonly network: SimulatedNetwork;
  readonly world: SimulatedMetadataStore;
  /** Until the controller that decides has this revision in its own picture. */
  seenByController(revision: bigint): Promise<void>;
}

/** As much of a broker as the controller sees: it registers, attends, answers at its address, and confirms the removal of deleted topics. */
export class BrokerProcess {
  readonly id: number;
  readonly machine: string;
  alive = true;
  /** Hears and says nothing while it is (SIGSTOP). */
  isStopped = false;
  isLeaving = false;
  /** The previous stop was one that lost what was not flushed; set before the start. */
  isLossy = false;
  /** What it says of its log of partition 0 of the topic; undefined: nothing. */
  log: { readonly topicId: string; readonly lastEpoch: number; readonly endOffset: bigint } | undefined;
  registration: HeldRegistration | undefined;
  /** What the controller said on any stream, in order. */
  readonly answers: AttendResponse[] = [];
  readonly #cluster: Surroundings;
  readonly #incarnation: IncarnationId;
  readonly #clock: Clock;
  readonly #isAttending: boolean;
  #stream: Stream<AttendRequest, AttendResponse> | undefined;
  #streamNumber = 0n;

  constructor(cluster: Surroundings, id: number, clock: MachineClock, number: number, isAttending: boolean) {
    this.id = id;
    this.machine = `broker-${id}`;
    this.#cluster = cluster;
    this.#incarnation = incarnationId(`broker-${id}-${number}`);
    this.#clock = clock.forProcess(() => this.alive);
    this.#isAttending = isAttending;
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

  /** Resolves when it has been let in, and the controller's picture shows it, too. */
  async start(): Promise<void> {
    const isAlive = (): boolean => this.alive;
    const user = {
      machine: this.machine,
      get alive() {
        return isAlive();
      },
    };
    const store = this.#cluster.world.client(user);
    const images = await openImageSource(store, keys, this.#clock, never);
    const transport = this.#cluster.network.transport(this);
    const info = registration(this.id, { incarnationId: this.#incarnation, lossy: this.isLossy });
    await transport.serve(info.address, (handlers) => {
      handlers.unary(methods.describeBroker, () => Promise.resolve(this.#description()));
      handlers.unary(methods.describeLogDirs, () => Promise.resolve(this.#logDirs()));
    });
    const register = async (): Promise<HeldRegistration> => {
      const held = await registerBroker(store, keys, info, this.#clock, { signal: never });
      held.lost.addEventListener('abort', () => void register(), { once: true });
      this.registration = held;
      return held;
    };
    const { epoch: brokerEpoch } = await register();
    void this.#confirmRemovals(store, images);
    if (this.#isAttending) void this.#attend(transport, images);
    const { revision } = await images.until(
      (image) => isAdmitted(image, nodeId(this.id), brokerEpoch, this.#incarnation),
      never,
    );
    await this.#cluster.seenByController(revision);
    void this.#registerAgain(images, register);
  }

  /** On the present stream. */
  say(proposals: readonly IsrProposal[], hello?: AttendRequest['hello']): void {
    this.#stream?.send({ hello, proposals: [...proposals], leaving: this.isLeaving });
  }

  /** The next stream comes soon. */
  breakStream(): void {
    this.#stream?.cancel();
  }

  get hello(): AttendRequest['hello'] {
    return {
      context: undefined,
      brokerId: this.id,
      brokerEpoch: this.registration?.epoch ?? 0n,
      incarnationId: this.#incarnation,
      streamNumber: this.#streamNumber,
      controllerTerm: 0n,
    };
  }

  async #attend(transport: Transport, images: ImageSource): Promise<void> {
    for (;;) {
      const { controller } = await images.until((image) => image.controller !== undefined, never);
      if (controller !== undefined && this.registration !== undefined) {
        await using peer = transport.connect(controller.address);
        const stream = peer.stream(methods.attend, never);
        this.#streamNumber++;
        stream.send({
          hello: { ...this.hello, controllerTerm: controller.createRevision } as NonNullable<AttendRequest['hello']>,
          proposals: [],
          leaving: this.isLeaving,
        });
        this.#stream = stream;
        void this.#beat(stream);
        try {
          for await (const answer of stream) if (!this.isStopped) this.answers.push(answer);
        } catch {
          // Another one follows.
        }
        this.#stream = undefined;
      }
      await this.#clock.sleep(100, never);
    }
  }

  async #beat(stream: Stream<AttendRequest, AttendResponse>): Promise<void> {
    while (this.#stream === stream) {
      await this.#clock.sleep(heartbeatMs, never);
      if (!this.isStopped) stream.send({ hello: undefined, proposals: [], leaving: this.isLeaving });
    }
  }

  /** A broker whose registration was taken away registers anew. */
  async #registerAgain(images: ImageSource, register: () => Promise<HeldRegistration>): Promise<void> {
    for (;;) {
      const epoch = this.registration?.epoch ?? 0n;
      const isGone = (at: typeof images.current): boolean =>
        at.revision >= epoch && at.broker(nodeId(this.id))?.registration === undefined;
      await images.until((at) => isGone(at) || this.registration?.epoch !== epoch, never);
      if (this.registration?.epoch !== epoch) continue;
      if (this.isStopped) {
        await this.#clock.sleep(100, never);
        continue;
      }
      await register();
    }
  }

  #logDirs() {
    const zeros = { sizeBytes: 0n, segments: 0, logStartOffset: 0n, highWatermark: 0n, firstDirtyOffset: -1n };
    const disk = { path: '', totalBytes: 0n, freeBytes: 0n, refuseBelowFreeBytes: 0n };
    const fine = { errorCode: 0 as const, errorMessage: '' };
    const { topicId = '', lastEpoch = -1, endOffset = 0n } = this.log ?? {};
    const logged = { topicId, topic: '', partition: 0, lastEpoch, logEndOffset: endOffset, errorMessage: '', ...zeros };
    const partitions = this.log === undefined ? [] : [logged];
    return {
      throttleMs: 0,
      nodeId: this.id,
      logDirs: [{ ...disk, ...fine, directoryId: `directory-${this.id}`, partitions }],
    };
  }

  #description() {
    return {
      throttleMs: 0,
      nodeId: this.id,
      address: '',
      host: '',
      rack: '',
      brokerEpoch: this.registration?.epoch ?? 0n,
      softwareVersion: '',
      startedMs: 0n,
      partitions: 0,
      partitionsLed: 0,
      resources: [],
    };
  }

  async #confirmRemovals(store: MetadataStore, images: ImageSource): Promise<void> {
    const mine = registration(this.id);
    for await (const { image, delta } of images.changes(never)) {
      for (const id of delta.topics.keys()) {
        const topic = image.topic(id);
        if (topic?.phase !== 'deleting' || image.removalsOf(id).has(mine.nodeId)) continue;
        if (topic.removingReplicas.some((each) => each.nodeId === mine.nodeId))
          await confirmRemoval(store, keys, topic, mine, this.#clock, never);
      }
    }
  }
}
