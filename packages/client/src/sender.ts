/**
 * Sending, apart from calling: takes batches from the partitions' queues to the leaders' streams and their answers back. `pump` looks at everything
 * that may move and is called once per tick however much has happened: that is what coalesces batches into messages.
 */
import { limits, producerEpoch, producerId, TributaryError } from '@tributary/model';
import type { Compression } from '@tributary/record';
import { Acks, methods, type ProduceResult } from '@tributary/wire';
import { Alarm } from '@tributary/metadata';
import { pauseMs } from './backoff.ts';
import type { ProducerBatch, ProducerIdentity } from './batch.ts';
import { refusedError } from './batch-verdict.ts';
import type { BatchAnswer, EndedBatch, PartitionQueue } from './partition-queue.ts';
import { ProduceStream, type ProduceStreamListener } from './produce-stream.ts';
import { absentTopicError, type Route, type Routing } from './routing.ts';
import { SendMetrics } from './send-metrics.ts';

export interface SenderOptions {
  readonly acks: 0 | 1 | 'all';
  readonly idempotent: boolean;
  readonly compression: Compression;
  readonly lingerMs: number;
}

export interface SenderListener {
  ended(ended: EndedBatch): void;
  /** After everything that a tick brought has been told. */
  pumped(): void;
}

/** How late a deadline may be noticed, ms, where what is due can only be waited for. */
const recheckMs = 50;

const wireAcks = { 0: Acks.NONE, 1: Acks.LEADER, all: Acks.ALL } as const;

export class Sender implements ProduceStreamListener, AsyncDisposable {
  readonly #routing: Routing;
  readonly #options: SenderOptions;
  readonly #listener: SenderListener;
  readonly #alarm: Alarm;
  readonly #subscription: Disposable;
  readonly #streams = new Map<string, ProduceStream>();
  /** The stream that each queue's unanswered batches are on. */
  readonly #streamOf = new Map<PartitionQueue, ProduceStream>();
  /** Queues with anything in them. */
  readonly #busy = new Set<PartitionQueue>();
  readonly #closing = new AbortController();
  #identity: ProducerIdentity | undefined;
  #identityAsked = false;
  #identityRetryAt = 0;
  #identityError: TributaryError | undefined;
  readonly metrics = new SendMetrics();
  #pumpScheduled = false;
  /** Batches go out though neither full nor old: somebody waits for them, or for their memory. */
  hurried = false;
  /** Bytes of sealed batches that have never been sent. */
  unsentBytes = 0;

  constructor(routing: Routing, options: SenderOptions, listener: SenderListener) {
    this.#routing = routing;
    this.#options = options;
    this.#listener = listener;
    this.#alarm = new Alarm(routing.ports.clock, () => this.#expire());
    this.#subscription = routing.subscribe(() => this.pumpSoon());
    if (options.idempotent) this.#askForIdentity();
  }

  /** A batch was begun in the queue. */
  began(queue: PartitionQueue, batch: ProducerBatch): void {
    this.#busy.add(queue);
    if (this.#options.lingerMs === 0) this.pumpSoon();
    else this.#alarm.at(batch.lingerUntil);
  }

  /** The queue's batch is complete. */
  seal(queue: PartitionQueue): void {
    const batch = queue.seal();
    if (batch === undefined) return;
    batch.unsent = true;
    this.unsentBytes += batch.size;
    this.pumpSoon();
  }

  /** `pump`, at the end of this tick. */
  pumpSoon(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => this.#pump());
  }

  #pump(): void {
    this.#pumpScheduled = false;
    if (this.#closing.signal.aborted) return;
    this.#routing.refreshWhenOld();
    const now = this.#routing.ports.clock.monotonicMs();
    for (const queue of this.#busy) {
      this.#drain(queue, now);
      if (queue.idle) {
        this.#busy.delete(queue);
        this.#streamOf.delete(queue);
      } else {
        this.#alarm.at(queue.deadline > now ? queue.deadline : now + recheckMs);
      }
    }
    for (const stream of this.#streams.values()) {
      stream.flush();
      this.#alarm.at(Math.min(this.#doubtAt(stream), stream.oldestSentAt + this.#answerTimeoutMs));
    }
    this.#listener.pumped();
  }

  /** Sends what the queue has and may send. */
  #drain(queue: PartitionQueue, now: number): void {
    this.#followLeader(queue, now);
    while (this.#mayMove(queue, now)) {
      const route = this.#route(queue);
      if (route === undefined) return;
      // Asked again: the route may have shown that the topic was made anew.
      const step = queue.next(now);
      if (step.kind === 'nothing') return;
      if (step.kind === 'needs-identity') {
        if (!this.#renew(queue)) return;
        continue;
      }
      const stream = this.#stream(queue, route);
      if (stream === undefined || !stream.hasRoom()) return;
      if (step.batch === queue.open) this.seal(queue);
      this.#send(queue, step.batch, stream, route, now);
    }
  }

  /** Whoever led when the queue's batches were sent does so no longer: what waits need not, and what it leaves unanswered goes to its successor (P1). */
  #followLeader(queue: PartitionQueue, now: number): void {
    if (queue.retryAt <= now && !queue.awaitsAnswers) return;
    if (!this.#routing.hasNewerLeader(queue.topic, queue.partition, queue.leaderEpoch)) return;
    queue.retryAt = now;
    // What that one may refuse while it begins is tried again as soon as at first.
    queue.failingSince = undefined;
    const stream = this.#streamOf.get(queue);
    if (stream === undefined || !queue.awaitsAnswers) return;
    if (stream.oldestOf(queue) + limits.answerDoubtMs > now) return;
    const error = new TributaryError(
      'NETWORK_EXCEPTION',
      `${stream.address} did not answer for more than ${limits.answerDoubtMs} ms, and another leads now.`,
    );
    if (stream.heardAt + limits.answerDoubtMs > now) {
      stream.release(queue);
      for (const ended of queue.broken(error)) this.#end(ended);
      return;
    }
    // Nothing at all has come from there: what else it owes is looked for as well, and on another connection.
    this.#routing.connections.reconnect(stream.address);
    stream.abandon(error);
    queue.retryAt = now;
  }

  /** Cheap, because most queues of a producer have nothing to do at most times. */
  #mayMove(queue: PartitionQueue, now: number): boolean {
    const step = queue.next(now);
    if (step.kind === 'nothing') {
      if (queue.retryAt > now) this.#alarm.at(queue.retryAt);
      return false;
    }
    return step.kind !== 'send' || step.batch !== queue.open || this.#due(step.batch, now);
  }

  #due(batch: ProducerBatch, now: number): boolean {
    if (this.hurried || now >= batch.lingerUntil) return true;
    this.#alarm.at(batch.lingerUntil);
    return false;
  }

  #send(queue: PartitionQueue, batch: ProducerBatch, stream: ProduceStream, route: Route, now: number): void {
    queue.sending(batch);
    queue.leaderEpoch = route.leaderEpoch;
    this.metrics.attempted(batch);
    this.#noLongerUnsent(batch);
    const answered = this.#options.acks !== 0;
    stream.add(queue, batch, batch.bytes(this.#options.compression), route, now, answered);
    if (answered) this.#streamOf.set(queue, stream);
    else this.#end(queue.handedOver(batch));
  }

  #noLongerUnsent(batch: ProducerBatch): void {
    if (!batch.unsent) return;
    batch.unsent = false;
    this.unsentBytes -= batch.size;
  }

  /** Where the queue's batches go; undefined while that is not known, in which case the routing is looking for it. */
  #route(queue: PartitionQueue): Route | undefined {
    const topic = this.#routing.topic(queue.topic);
    switch (topic.kind) {
      case 'unasked':
        return undefined;
      case 'absent': {
        const error = absentTopicError(queue.topic, topic, this.#routing.ports.clock.monotonicMs());
        if (error !== undefined) this.#fail(queue, error);
        return undefined;
      }
      case 'known': {
        if (queue.topicId !== topic.id) {
          if (queue.awaitsAnswers) return undefined;
          if (queue.topicId !== undefined) queue.topicReplaced();
          queue.topicId = topic.id;
        }
        const partition = topic.partitions[queue.partition];
        if (partition === undefined) {
          this.#fail(
            queue,
            new TributaryError(
              'UNKNOWN_TOPIC_OR_PARTITION',
              `topic "${queue.topic}" has only ${topic.partitions.length} partitions now.`,
            ),
          );
          return undefined;
        }
        const route = this.#routing.route(topic.id, partition);
        if (route === undefined) this.#routing.refresh();
        return route;
      }
    }
  }

  /** The stream to the leader; undefined while answers are awaited on another one, since batches could overtake each other. */
  #stream(queue: PartitionQueue, route: Route): ProduceStream | undefined {
    const before = this.#streamOf.get(queue);
    if (before !== undefined && queue.awaitsAnswers) return before.address === route.address ? before : undefined;
    let stream = this.#streams.get(route.address);
    if (stream === undefined) {
      stream = new ProduceStream(route.address, this.#routing, wireAcks[this.#options.acks], this);
      this.#streams.set(route.address, stream);
    }
    return stream;
  }

  answered(queue: PartitionQueue, batch: ProducerBatch, answer: BatchAnswer, result: ProduceResult): void {
    const failures = queue.failures;
    if (answer.kind === 'acknowledged') {
      queue.failingSince = undefined;
      this.#routing.trustLeader(queue.topic, queue.partition);
    } else if (answer.error.refreshMetadata) {
      this.#routing.leaderMoved(queue.topic, queue.partition, result.leaderId, result.leaderEpoch);
      this.#routing.doubtLeader(queue.topic, queue.partition, queue.leaderEpoch);
      if (answer.error.error === 'BROKER_NOT_AVAILABLE') this.#routing.leaderIsDown(queue.topic, queue.partition);
    }
    for (const ended of queue.answered(batch, answer)) this.#end(ended);
    // Told who leads now, it does not wait: see #followLeader.
    if (queue.failures > failures) this.#backOff(queue);
    this.pumpSoon();
  }

  broken(stream: ProduceStream, queues: ReadonlySet<PartitionQueue>, error: TributaryError): void {
    if (this.#streams.get(stream.address) === stream) this.#streams.delete(stream.address);
    if (this.#closing.signal.aborted) return;
    if (!stream.heard && error.error === 'NETWORK_EXCEPTION') this.#routing.connections.unreachable(stream.address);
    this.#routing.refreshAvoiding(stream.address);
    for (const queue of queues) {
      this.#routing.doubtLeader(queue.topic, queue.partition, queue.leaderEpoch);
      for (const ended of queue.broken(error)) this.#end(ended);
      this.#backOff(queue);
    }
    this.pumpSoon();
  }

  ready(): void {
    this.pumpSoon();
  }

  #backOff(queue: PartitionQueue): void {
    const { clock, random } = this.#routing.ports;
    const { retryBackoffMs, retryBackoffMsMax } = this.#routing.options;
    const now = clock.monotonicMs();
    queue.failingSince ??= now;
    queue.retryAt = now + pauseMs(now - queue.failingSince, retryBackoffMs, retryBackoffMsMax, random);
  }

  #fail(queue: PartitionQueue, error: TributaryError): void {
    for (const ended of queue.fail((batch) => refusedError(batch, error))) this.#end(ended);
  }

  #end(ended: EndedBatch): void {
    this.#noLongerUnsent(ended.batch);
    this.metrics.ended(ended);
    this.#listener.ended(ended);
  }

  /** Deadlines of batches, and brokers that do not answer. */
  #expire(): void {
    const now = this.#routing.ports.clock.monotonicMs();
    for (const stream of [...this.#streams.values()]) {
      if (this.#doubtAt(stream) <= now) {
        stream.doubtedAt = now;
        this.#routing.refreshAvoiding(stream.address);
        if (stream.heardAt + 2 * limits.answerDoubtMs <= now) this.#routing.connections.doubtReach(stream.address);
      }
      if (stream.oldestSentAt + this.#answerTimeoutMs <= now) {
        stream.abandon(
          new TributaryError(
            'NETWORK_EXCEPTION',
            `${stream.address} has not answered for ${this.#answerTimeoutMs} ms.`,
          ),
        );
      }
    }
    for (const queue of this.#busy) {
      if (queue.deadline <= now) for (const ended of queue.expire(now, this.#obstacle(queue))) this.#end(ended);
    }
    this.#pump();
  }

  /** On the monotonic clock, ms: when to ask others who leads what the stream owes answers about. */
  #doubtAt(stream: ProduceStream): number {
    return Math.max(stream.oldestSentAt + limits.answerDoubtMs, stream.doubtedAt + limits.doubtRefreshMs);
  }

  /** The broker itself waits for replicas up to the request timeout; half as much again allows for the way. */
  get #answerTimeoutMs(): number {
    return this.#routing.options.requestTimeoutMs * 1.5;
  }

  /** Why a queue's batches could not even be sent. */
  #obstacle(queue: PartitionQueue): TributaryError | undefined {
    const topic = this.#routing.topic(queue.topic);
    if (topic.kind === 'unasked')
      return new TributaryError('BROKER_NOT_AVAILABLE', 'no broker has told about the topic');
    if (topic.kind === 'absent') return new TributaryError(topic.error, topic.message || 'the topic is not there');
    const partition = topic.partitions[queue.partition];
    if (partition?.leaderId === undefined)
      return new TributaryError('LEADER_NOT_AVAILABLE', partition?.reason || 'the partition has no leader');
    return this.#identityError;
  }

  /** @returns whether the queue has a fresh identity (P1, P4); if not, one is being asked for. */
  #renew(queue: PartitionQueue): boolean {
    if (this.#identity === undefined || !queue.canTake(this.#identity)) {
      this.#identity = undefined;
      this.#askForIdentity();
      return false;
    }
    queue.renew(this.#identity);
    return true;
  }

  #askForIdentity(): void {
    const now = this.#routing.ports.clock.monotonicMs();
    if (this.#identityAsked) return;
    if (now < this.#identityRetryAt) {
      this.#alarm.at(this.#identityRetryAt);
      return;
    }
    this.#identityAsked = true;
    void this.#fetchIdentity();
  }

  async #fetchIdentity(): Promise<void> {
    const what = 'Getting a producer id';
    const request = () => ({ context: this.#routing.context, transactionalId: '' });
    try {
      const options = { deadlineMs: this.#routing.options.requestTimeoutMs, signal: this.#closing.signal, what };
      const answer = await this.#routing.call(methods.initProducerId, request, options);
      this.#identity = { id: producerId(answer.producerId), epoch: producerEpoch(answer.producerEpoch) };
      this.#identityError = undefined;
    } catch (thrown) {
      this.#identityError = TributaryError.from(thrown);
      this.#identityRetryAt = this.#routing.ports.clock.monotonicMs() + limits.retryBackoffMsMax;
    }
    this.#identityAsked = false;
    this.pumpSoon();
  }

  /** Whatever is left fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.#busy) {
      this.#fail(
        queue,
        new TributaryError('REQUEST_TIMED_OUT', 'the producer was closed before they were acknowledged'),
      );
    }
    this.#closing.abort();
    this.#subscription[Symbol.dispose]();
    this.#alarm[Symbol.dispose]();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    await Promise.all(streams.map((stream) => stream.close()));
  }
}
