/** One Produce stream to one broker, for the journals of all partitions that it leads: what they write in one tick goes in one message. */
import { limits, TributaryError } from '@tributary/model';
import type { Peer, Stream } from '@tributary/ports';
import {
  Acks,
  methods,
  type ProduceBatch,
  type ProduceRequest,
  type ProduceResponse,
  type ProduceResult,
  type RequestContext,
} from '@tributary/wire';

interface Flight {
  readonly resolve: (result: ProduceResult) => void;
  readonly reject: (error: TributaryError) => void;
}

const correlationIds = 2 ** 32;

export class ProducePipe {
  readonly #stream: Stream<ProduceRequest, ProduceResponse>;
  readonly #address: string;
  readonly #cancel = new AbortController();
  readonly #flights = new Map<number, Flight>();
  #context: RequestContext | undefined;
  #batches: ProduceBatch[] = [];
  #nextCorrelationId = 0;
  #isOver = false;

  constructor(peer: Peer, context: RequestContext) {
    this.#address = peer.address;
    this.#context = context;
    this.#stream = peer.stream(methods.produce, this.#cancel.signal);
    void this.#read();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves with the leader's answer, also a refusal. @throws TributaryError NETWORK_EXCEPTION when the stream broke: the batch may be in the log. */
  async send(batch: Omit<ProduceBatch, 'correlationId'>): Promise<ProduceResult> {
    if (this.#isOver) throw broken(this.#address);
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = (correlationId + 1) % correlationIds;
    const { promise, resolve, reject } = Promise.withResolvers<ProduceResult>();
    this.#flights.set(correlationId, { resolve, reject });
    this.#batches.push({ ...batch, correlationId });
    if (this.#batches.length === 1) queueMicrotask(() => this.#flush());
    return await promise;
  }

  /** Whoever waits hears that it broke. */
  cut(): void {
    this.#fail(broken(this.#address));
  }

  #flush(): void {
    const batches = this.#batches;
    this.#batches = [];
    if (batches.length === 0 || this.#isOver) return;
    const context = this.#context;
    this.#context = undefined;
    const timeoutMs = limits.journalAcknowledgedMs;
    this.#stream.send({ context, acks: Acks.ALL, timeoutMs, transactionalId: '', batches });
  }

  async #read(): Promise<void> {
    try {
      for await (const { results } of this.#stream) {
        for (const result of results) {
          const flight = this.#flights.get(result.correlationId);
          this.#flights.delete(result.correlationId);
          flight?.resolve(result);
        }
      }
      this.#fail(broken(this.#address));
    } catch (thrown) {
      this.#fail(TributaryError.from(thrown));
    }
  }

  #fail(error: TributaryError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#batches = [];
    this.#stream.cancel();
    this.#cancel.abort(error);
    for (const flight of this.#flights.values()) flight.reject(error);
    this.#flights.clear();
  }
}

const broken = (address: string): TributaryError =>
  new TributaryError('NETWORK_EXCEPTION', `The stream to the broker at ${address} broke.`);
