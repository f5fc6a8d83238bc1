/** The other brokers and the coordinators, for what is asked of one of them at another: one hop, never two (F1). */
import {
  type LeaderEpoch,
  limits,
  type NodeId,
  nodeId,
  partitionIndex,
  topicId,
  TributaryError,
} from '@tributary/model';
import type { ClusterImage, ImageSource } from '@tributary/metadata';
import type { CallContext, Clock, Peer, Transport, UnaryMethod } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';
import { noContext } from './controller-client.ts';

/** On the wire: whoever is asked. */
const whoeverIsAsked = -1;

/** Another broker, which leads a partition. */
export interface Elsewhere {
  readonly to: NodeId;
  readonly leaderEpoch: LeaderEpoch;
}

interface Connection {
  readonly peer: Peer;
  users: number;
  /** On the monotonic clock, ms: since when nobody uses it. */
  idleSince: number;
}

/** A connection in use, until disposed. */
export interface InUse extends Disposable {
  readonly peer: Peer;
}

export class Neighbours implements AsyncDisposable {
  readonly me: NodeId;
  readonly source: Pick<ImageSource, 'current' | 'until'>;
  readonly #transport: Pick<Transport, 'connect'>;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  /** By address; several where one would carry too many calls. */
  readonly #connections = new Map<string, Connection[]>();
  readonly #closing = new Set<Promise<void>>();

  constructor(
    me: NodeId,
    source: Pick<ImageSource, 'current' | 'until'>,
    transport: Pick<Transport, 'connect'>,
    clock: Pick<Clock, 'monotonicMs'>,
  ) {
    this.me = me;
    this.source = source;
    this.#transport = transport;
    this.#clock = clock;
  }

  /** undefined: this broker itself is meant. @throws TributaryError INVALID_REQUEST, BROKER_ID_NOT_REGISTERED naming those there are. */
  other(wanted: number): NodeId | undefined {
    if (wanted === whoeverIsAsked || wanted === this.me) return undefined;
    if (wanted < 0) {
      throw new TributaryError(
        'INVALID_REQUEST',
        `${wanted} is no node id: say one, or −1 for the broker that is asked.`,
      );
    }
    const image = this.source.current;
    if (image.broker(nodeId(wanted))?.registration !== undefined) return nodeId(wanted);
    const known = [...image.brokers()].filter((each) => each.registration !== undefined).map((each) => each.nodeId);
    throw new TributaryError(
      'BROKER_ID_NOT_REGISTERED',
      `Broker ${wanted} is not running; ${known.length === 0 ? 'none is registered' : `registered are: ${known.join(', ')}`}.`,
    );
  }

  isRunning(wanted: number): boolean {
    return Number.isInteger(wanted) && this.source.current.broker(nodeId(wanted))?.registration !== undefined;
  }

  /** undefined: nobody leads it, this broker does, or the leader is not running. */
  leaderElsewhere(topic: string, index: number, image: ClusterImage = this.source.current): Elsewhere | undefined {
    const info = image.partition(topicId(topic), partitionIndex(index));
    if (info?.leader === undefined || info.leader === this.me) return undefined;
    if (image.broker(info.leader)?.registration === undefined) return undefined;
    return { to: info.leader, leaderEpoch: info.leaderEpoch };
  }

  /** The connection to a broker: made when need be, kept while it is used and a while longer. @throws TributaryError BROKER_NOT_AVAILABLE. */
  use(to: NodeId): InUse {
    const address = this.source.current.broker(to)?.registration?.address;
    if (address === undefined) throw new TributaryError('BROKER_NOT_AVAILABLE', `Broker ${to} is not running.`);
    return this.at(address);
  }

  /** As {@link use}, of whoever is at the address. */
  at(address: string): InUse {
    this.#closeIdle();
    const connections = this.#connections.get(address) ?? [];
    this.#connections.set(address, connections);
    let connection = connections.find(({ users }) => users < limits.callsPerNeighbour);
    if (connection === undefined) {
      connection = { peer: this.#transport.connect(address), users: 0, idleSince: 0 };
      connections.push(connection);
    }
    const used = connection;
    used.users++;
    return {
      peer: used.peer,
      [Symbol.dispose]: () => {
        used.users--;
        used.idleSince = this.#clock.monotonicMs();
      },
    };
  }

  /**
   * @param deadlineMs limits.internalCallMs if absent.
   * @throws TributaryError that the other answers with; BROKER_NOT_AVAILABLE where the request was forwarded already, or it has just gone.
   */
  async forward<Request extends { context: RequestContext | undefined }, Response>(
    to: NodeId,
    method: UnaryMethod<Request, Response>,
    request: Request,
    call: Pick<CallContext, 'signal'> & Partial<Pick<CallContext, 'peer'>>,
    deadlineMs: number = limits.internalCallMs,
  ): Promise<Response> {
    if (isForwarded(request.context)) {
      throw new TributaryError(
        'BROKER_NOT_AVAILABLE',
        `This is broker ${this.me}, not ${to}, and the request cannot be passed on: ask broker ${to} itself.`,
      );
    }
    using used = this.use(to);
    const context = this.forwarded(request.context, call.peer ?? '');
    try {
      return await used.peer.unary(method, { ...request, context }, { deadlineMs, signal: call.signal });
    } catch (thrown) {
      throw unanswered(to, thrown);
    }
  }

  /** What the next broker is told of who asks. @param host the client's address as seen here. */
  forwarded(context: RequestContext | undefined, host: string): RequestContext {
    const before = { ...noContext, ...context };
    const { revision } = this.source.current;
    return {
      ...before,
      originalPrincipal: before.originalPrincipal || before.principal,
      host: before.host || host,
      hops: 1,
      // M4: what this broker knows, by which it chose that one, that one is to know too.
      minRevision: revision > before.minRevision ? revision : before.minRevision,
    };
  }

  #closeIdle(): void {
    const before = this.#clock.monotonicMs() - limits.neighbourIdleMs;
    for (const [address, connections] of this.#connections) {
      const kept = connections.filter(({ users, idleSince }) => users > 0 || idleSince > before);
      if (kept.length === connections.length) continue;
      for (const connection of connections) if (!kept.includes(connection)) this.#close(connection);
      if (kept.length === 0) this.#connections.delete(address);
      else this.#connections.set(address, kept);
    }
  }

  #close({ peer }: Connection): void {
    const closing = close(peer).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...[...this.#connections.values()].flat().map(({ peer }) => close(peer)), ...this.#closing]);
    this.#connections.clear();
  }
}

async function close(peer: Peer): Promise<void> {
  try {
    await peer[Symbol.asyncDispose]();
  } catch {
    // Nobody uses it.
  }
}

/** It has come from another broker, and goes no further. */
export const isForwarded = (context: RequestContext | undefined): boolean => (context?.hops ?? 0) > 0;

/** Whoever asked has reached this broker: what cannot be reached is the other one. */
export function unanswered(to: NodeId, thrown: unknown): TributaryError {
  const error = TributaryError.from(thrown);
  if (error.error !== 'NETWORK_EXCEPTION') return error;
  return new TributaryError('BROKER_NOT_AVAILABLE', `Broker ${to} does not answer. ${error.message}`, { cause: error });
}

/** F2: a request of another epoch than this broker knows of need not be passed on to be refused. */
export function otherEpoch(name: string, { to, leaderEpoch }: Elsewhere, named: number): TributaryError | undefined {
  if (named === leaderEpoch) return undefined;
  if (named < leaderEpoch) {
    return new TributaryError(
      'FENCED_LEADER_EPOCH',
      `${name} is in leader epoch ${leaderEpoch}, led by broker ${to}; the request named the older ${named}: refresh the metadata.`,
    );
  }
  return new TributaryError(
    'UNKNOWN_LEADER_EPOCH',
    `${name} is in leader epoch ${leaderEpoch} as far as this broker knows, the request named the newer ${named}: try again.`,
  );
}
