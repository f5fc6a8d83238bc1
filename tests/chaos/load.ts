// The clients of a run: producers that retry by themselves, readers of everything from the beginning, and an operator whose changes need the
// controller and etcd. All that they see is recorded with its time, and judged afterwards.

import { setTimeout as sleep } from 'node:timers/promises';
import { connectWith, type Producer, serializers, type Tributary } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import { grpcTransport, nodeClock, nodeRandom } from '@tributary/runtime';
import { type Event, type FinalLog, type Heard, judge, largestGap } from './judge.ts';
import { Traffic } from './traffic.ts';

/** Each producer sends one record to each partition so often, ms: hundreds of records a second, so that little is ever not in flight. */
const intervalMs = 25;
const producers = 2;
/** Each reads everything once, as it comes. */
const readers = ['r0', 'r1'];
/** A reader that begins again and again: what has gone meanwhile is missed. ms. */
const passMs = 5_000;
/** What is still on its way gets so long when a run ends early, ms. */
const closeMs = 2_000;
/** Beside the record's name: enough that a batch cut short is seen. */
const padding = '.'.repeat(80);

export interface LoadShape {
  readonly bootstrap: string;
  readonly topic: string;
  readonly partitions: number;
  /** What producers ask for. The judge always takes an acknowledgement for one of `all`: 1 is a planted bug. Default 'all'. */
  readonly acks?: 1 | 'all';
}

/** What a run saw between two moments. */
export interface Measured {
  /** ms, over all partitions. */
  readonly acknowledgementGapMs: number;
  readonly deliveryGapMs: number;
  /** Between changes that the controller had made, ms. */
  readonly decisionGapMs: number;
}

export class Load implements AsyncDisposable {
  readonly events: Event[] = [];
  readonly traffic = new Traffic();
  /** What reached the caller of `send` or of a reader as an error. */
  readonly errors: string[] = [];
  readonly partitions: readonly number[];
  readonly #shape: LoadShape;
  readonly #clients: Tributary[] = [];
  readonly #producers: Producer[] = [];
  readonly #stop = new AbortController();
  readonly #sendStop = new AbortController();
  readonly #decided: number[] = [];
  readonly #next = new Map<string, bigint>();
  #sending: Promise<unknown> = Promise.resolve();
  #others: Promise<unknown> = Promise.resolve();
  #unsettled = 0;
  #change = 0;

  private constructor(shape: LoadShape) {
    this.#shape = shape;
    this.partitions = Array.from({ length: shape.partitions }, (_, partition) => partition);
  }

  /** Resolves when something has been acknowledged and read in every partition. */
  static async begin(shape: LoadShape): Promise<Load> {
    const load = new Load(shape);
    try {
      const names = Array.from({ length: producers }, (_, i) => `p${i}`);
      const sending = await Promise.all(names.map(async (name) => ({ name, client: await load.#client(name) })));
      const reading = await Promise.all(readers.map(async (name) => ({ name, client: await load.#client(name) })));
      const again = await load.#client('again');
      const operator = await load.#client('operator');
      load.#sending = Promise.all(sending.map(({ name, client }) => load.#send(name, client)));
      load.#others = Promise.all([
        ...reading.map(({ name, client }) => load.#read(name, client, load.#stop.signal)),
        load.#readAgain(again),
        load.#operate(operator),
      ]);
      await load.until(
        () => load.hasRecoveredSince(0, 'records'),
        20_000,
        'something is acknowledged and read in every partition',
      );
      return load;
    } catch (thrown) {
      await load[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** It has happened since then: in every partition, as far as it is about records. */
  hasRecoveredSince(at: number, what: 'everything' | 'records' | 'acknowledgements' | 'decisions'): boolean {
    switch (what) {
      case 'acknowledgements':
        return this.#isUnderWay(at, ['acknowledged']);
      case 'records':
        return this.#isUnderWay(at, ['acknowledged', ...readers]);
      case 'decisions':
        return (this.#decided.at(-1) ?? 0) > at;
      case 'everything':
        return this.hasRecoveredSince(at, 'records') && this.hasRecoveredSince(at, 'decisions');
    }
  }

  /** @throws naming what did not happen in time. */
  async until(condition: () => boolean | Promise<boolean>, withinMs: number, what: string): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!(await condition())) {
      if (performance.now() > deadline)
        throw new Error(
          `${what}: not within ${withinMs} ms. Errors: ${this.errors.join('; ') || 'none'}. ${this.#behind()}`,
        );
      await sleep(10);
    }
  }

  measure(from: number, to = performance.now()): Measured {
    const gap = (heard: Heard): number => largestGap(this.events, heard, this.partitions, from, to);
    const decided = [from, ...this.#decided.filter((at) => at > from && at < to), to];
    return {
      acknowledgementGapMs: gap('acknowledged'),
      deliveryGapMs: Math.max(...readers.map((reader) => gap({ reader }))),
      decisionGapMs: Math.round(Math.max(...decided.slice(1).map((at, i) => at - (decided[i] ?? at)))),
    };
  }

  /** Sends no more, waits for what is on its way, lets the readers come to the end, and reads everything once more. @returns what does not hold. */
  async finish(withinMs: number): Promise<readonly string[]> {
    this.#sendStop.abort();
    await this.#sending;
    await this.until(() => this.#unsettled === 0, withinMs, 'every record sent has an outcome');
    const logs = await this.#finalLogs(withinMs);
    const isAtEnd = (): boolean =>
      readers.every((reader) =>
        this.partitions.every((partition) => this.#nextOf(reader, partition) >= (logs.get(partition)?.length ?? 0)),
      );
    await this.until(isAtEnd, withinMs, 'both readers come to the end');
    return judge(this.events, logs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sendStop.abort();
    this.#stop.abort();
    await this.#sending;
    // A cluster that is gone would be waited for.
    const enough = AbortSignal.timeout(closeMs);
    await Promise.all(this.#producers.map((producer) => producer.close(enough).catch(() => undefined)));
    await Promise.all(this.#clients.map((client) => client.close().catch(() => undefined)));
    await this.#others;
  }

  /** A client with a connection of its own, of which what it sends is counted. */
  async #client(name: string): Promise<Tributary> {
    const ports = {
      clock: nodeClock,
      random: nodeRandom,
      transport: this.traffic.counted(grpcTransport),
    };
    const client = await connectWith(ports, { bootstrap: this.#shape.bootstrap, clientId: name });
    this.#clients.push(client);
    return client;
  }

  async #send(name: string, client: Tributary): Promise<void> {
    const producer = client.producer({ acks: this.#shape.acks ?? 'all' });
    this.#producers.push(producer);
    for (let order = 0; !this.#sendStop.signal.aborted; order++) {
      for (const partition of this.partitions) this.#sendOne(producer, partition, name, order);
      await sleep(intervalMs);
    }
  }

  #sendOne(producer: Producer, partition: number, name: string, order: number): void {
    const id = `${name}/${partition}#${order}`;
    this.#unsettled++;
    this.events.push({ kind: 'sent', at: performance.now(), partition, id, producer: name, order });
    producer.send({ topic: this.#shape.topic, partition, value: `${id} ${padding}` }).then(
      ({ offset }) => {
        this.#unsettled--;
        this.events.push({ kind: 'acknowledged', at: performance.now(), partition, id, offset });
      },
      (thrown: unknown) => {
        this.#unsettled--;
        const error = String(thrown);
        this.errors.push(error);
        this.events.push({ kind: 'failed', at: performance.now(), partition, id, error });
      },
    );
  }

  async #read(name: string, client: Tributary, stop: AbortSignal): Promise<void> {
    const consumer = client.consumer({ valueDeserializer: serializers.string });
    for (const partition of this.partitions)
      this.events.push({ kind: 'reading', at: performance.now(), partition, reader: name });
    await consumer.assign([{ topic: this.#shape.topic, offset: 'beginning' }]);
    while (!stop.aborted) {
      try {
        for (const { partition, records } of await consumer.pollGrouped({ signal: stop, timeoutMs: 500 })) {
          const at = performance.now();
          for (const { offset, value } of records) {
            this.events.push({ kind: 'read', at, partition, reader: name, offset, value: idIn(value) });
            this.#next.set(`${name}/${partition}`, offset + 1n);
          }
        }
      } catch (thrown) {
        if (stop.aborted) break;
        this.errors.push(`${name}: ${String(TributaryError.from(thrown))}`);
        await sleep(100);
      }
    }
    await consumer[Symbol.asyncDispose]();
  }

  /** Passes from the beginning, one after the other. */
  async #readAgain(client: Tributary): Promise<void> {
    for (let pass = 0; !this.#stop.signal.aborted; pass++) {
      const over = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(passMs)]);
      await this.#read(`again${pass}`, client, over);
    }
  }

  /** Changes of a setting, one after the other: each one is a decision of the controller, kept in etcd. */
  async #operate(client: Tributary): Promise<void> {
    const { topic } = this.#shape;
    while (!this.#stop.signal.aborted) {
      this.#change++;
      // Further away than any run lasts, so that nothing is removed.
      const value = String(1_000_000_000 + this.#change);
      const change = { operation: 'set', name: 'retention.ms', value } as const;
      try {
        await client.admin.alterConfigs({ kind: 'topic', name: topic }, [change], { signal: this.#stop.signal });
        this.#decided.push(performance.now());
      } catch (thrown) {
        // It waits for 30 s by itself. What it gives up is seen as a gap between decisions.
        if (!this.#stop.signal.aborted && !TributaryError.from(thrown).retriable)
          this.errors.push(`operator: ${String(thrown)}`);
      }
      await sleep(20);
    }
  }

  async #finalLogs(withinMs: number): Promise<ReadonlyMap<number, FinalLog>> {
    await using client = await this.#client('final');
    const consumer = client.consumer({ valueDeserializer: serializers.string });
    const { topic } = this.#shape;
    const ends = await consumer.endOffsets(this.partitions.map((partition) => ({ topic, partition })));
    const logs = new Map(this.partitions.map((partition) => [partition, [] as { offset: bigint; value: string }[]]));
    await consumer.assign([{ topic, offset: 'beginning' }]);
    const isWhole = (): boolean =>
      ends.every(({ partition, offset }) => (logs.get(partition)?.at(-1)?.offset ?? -1n) + 1n >= offset);
    const until = performance.now() + withinMs;
    while (!isWhole()) {
      if (performance.now() > until)
        throw new Error(`the log could not be read to its end within ${withinMs} ms. ${this.#behind()}`);
      for (const { partition, records } of await consumer.pollGrouped())
        for (const { offset, value } of records) logs.get(partition)?.push({ offset, value: idIn(value) });
    }
    return logs;
  }

  #isUnderWay(at: number, kinds: readonly string[]): boolean {
    const seen = new Set<string>();
    for (let i = this.events.length - 1; i >= 0; i--) {
      const event = this.events[i];
      if (event === undefined || event.at < at) break;
      if (event.kind === 'acknowledged') seen.add(`acknowledged ${event.partition}`);
      if (event.kind === 'read' && readers.includes(event.reader)) seen.add(`${event.reader} ${event.partition}`);
    }
    return this.partitions.every((partition) => kinds.every((kind) => seen.has(`${kind} ${partition}`)));
  }

  #nextOf(reader: string, partition: number): bigint {
    return this.#next.get(`${reader}/${partition}`) ?? 0n;
  }

  /** For sentences about what does not go on. */
  #behind(): string {
    const now = performance.now();
    const ages = this.partitions.map((partition) => {
      const last = (kind: Event['kind']): string => {
        const event = this.events.findLast((each) => each.kind === kind && each.partition === partition);
        return event === undefined ? 'never' : `${Math.round(now - event.at)} ms ago`;
      };
      return `${partition}: acknowledged ${last('acknowledged')}, read ${last('read')}`;
    });
    return `${this.#unsettled} records without an outcome. Partitions: ${ages.join('; ')}.`;
  }
}

/** The name of a record, if all of the value is there; else the value, which nobody sent. */
function idIn(value: string | null): string {
  const [id = '', rest] = (value ?? '').split(' ');
  return rest === padding ? id : `damaged:${value ?? 'null'}`;
}
