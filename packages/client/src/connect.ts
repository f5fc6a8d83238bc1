import { limits, TributaryError } from '@tributary/model';
import { Admin } from './admin.ts';
import { bootstrapAddresses } from './bootstrap.ts';
import { Consumer } from './consumer.ts';
import type { ConsumerOptions } from './consumer-options.ts';
import type { ClientPorts } from './ports.ts';
import { Producer } from './producer.ts';
import type { ProducerOptions } from './producer-options.ts';
import { closedError, Routing } from './routing.ts';

/** Times are milliseconds. */
export interface ConnectOptions {
  /** `host:port` of any broker, or several, as a list or separated by commas: they find the others. */
  readonly bootstrap: string | readonly string[];
  /** How this client is called in the brokers' logs. Default `tributary`. */
  readonly clientId?: string;
  /** How long `connect` tries. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** Deadline of one call, its retries included, where the call names none. Default 30,000. */
  readonly requestTimeoutMs?: number;
  /** The longest wait before a retry within the first second of failing; then a quarter of the time that it has lasted. Default 50. */
  readonly retryBackoffMs?: number;
  /** The longest wait between retries. Default 1,000. */
  readonly retryBackoffMsMax?: number;
}

/**
 * A connection to a cluster, and what is made from it. `await using` closes everything, the reverse of how it was made.
 */
export class Tributary implements AsyncDisposable {
  readonly #routing: Routing;
  /** What was made and is not closed, in that order. */
  readonly #made = new Set<AsyncDisposable>();
  /** Topics and the cluster. */
  readonly admin: Admin;
  #closing: Promise<void> | undefined;

  /** Use `connect`. */
  constructor(routing: Routing) {
    this.#routing = routing;
    this.admin = new Admin(routing);
  }

  /** Given out by the cluster's first controller. */
  get clusterId(): string {
    return this.#routing.clusterId;
  }

  /** @throws TributaryError INVALID_CONFIG naming the bad option. */
  producer<K = Uint8Array | string, V = Uint8Array | string>(options: ProducerOptions<K, V> = {}): Producer<K, V> {
    const producer = new Producer<K, V>(this.#openRouting(), options, () => this.#made.delete(producer));
    this.#made.add(producer);
    return producer;
  }

  /** @throws TributaryError INVALID_CONFIG naming the bad option. */
  consumer<K = Uint8Array, V = Uint8Array>(options: ConsumerOptions<K, V> = {}): Consumer<K, V> {
    const consumer = new Consumer<K, V>(this.#openRouting(), options, () => this.#made.delete(consumer));
    this.#made.add(consumer);
    return consumer;
  }

  /** Closes every producer, flushed, and every consumer, then the connections. @throws as `Producer.close`; closed it is in any case. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    stack.use(this.#routing);
    for (const made of this.#made) stack.use(made);
  }

  #openRouting(): Routing {
    if (this.#closing !== undefined) throw closedError();
    return this.#routing;
  }
}

/**
 * Connects through the given ports: what `connect` does with real ones.
 * @throws TributaryError INVALID_CONFIG, or BROKER_NOT_AVAILABLE when nothing answers at any address within `connectTimeoutMs`.
 */
export async function connectWith(ports: ClientPorts, options: ConnectOptions): Promise<Tributary> {
  const routing = new Routing(ports, {
    bootstrap: bootstrapAddresses(options.bootstrap),
    clientId: options.clientId ?? 'tributary',
    requestTimeoutMs: positive('requestTimeoutMs', options.requestTimeoutMs ?? limits.requestTimeoutMs),
    retryBackoffMs: positive('retryBackoffMs', options.retryBackoffMs ?? limits.retryBackoffMs),
    retryBackoffMsMax: positive('retryBackoffMsMax', options.retryBackoffMsMax ?? limits.retryBackoffMsMax),
  });
  try {
    await routing.connect(positive('connectTimeoutMs', options.connectTimeoutMs ?? limits.connectTimeoutMs));
  } catch (thrown) {
    await routing[Symbol.asyncDispose]();
    throw thrown;
  }
  return new Tributary(routing);
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new TributaryError(
    'INVALID_CONFIG',
    `Bad value ${String(value)} for the option ${name} of connect: allowed is a number of milliseconds above 0.`,
  );
}
