/** The brokers that lead partitions, as the coordinator reaches them: by its own picture of the cluster, one connection and one Produce stream to each. */
import { limits, type LeaderEpoch, type PartitionIndex, type TopicId } from '@tributary/model';
import type { ClusterImage, ImageSource } from '@tributary/metadata';
import type { Clock, Peer, Transport, UnaryMethod } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';
import { ProducePipe } from './produce-pipe.ts';

export interface LeadersPorts {
  readonly images: ImageSource;
  readonly transport: Pick<Transport, 'connect'>;
  readonly clock: Clock;
}

/** Who leads a partition, and where. */
export interface Leader {
  readonly address: string;
  readonly leaderEpoch: LeaderEpoch;
}

export class Leaders implements AsyncDisposable {
  readonly #ports: LeadersPorts;
  readonly #clientId: string;
  readonly #peers = new Map<string, Peer>();
  readonly #pipes = new Map<string, ProducePipe>();
  /** Connections that were let go of, until they are closed. */
  readonly #leaving = new Set<Promise<void>>();

  /** @param clientId by which brokers know this coordinator. */
  constructor(ports: LeadersPorts, clientId: string) {
    this.#ports = ports;
    this.#clientId = clientId;
  }

  get context(): RequestContext {
    const { current } = this.#ports.images;
    return {
      clusterId: current.cluster?.clusterId ?? '',
      clientId: this.#clientId,
      principal: '',
      originalPrincipal: '',
      host: '',
      // It goes to leaders themselves: an answer that names another one is of more use than a detour (F1).
      hops: 1,
      minRevision: 0n,
    };
  }

  /** undefined: nobody leads it, or the leader is not registered. */
  of(
    topicId: TopicId,
    partition: PartitionIndex,
    image: ClusterImage = this.#ports.images.current,
  ): Leader | undefined {
    const info = image.partition(topicId, partition);
    if (info?.leader === undefined) return undefined;
    const address = image.broker(info.leader)?.registration?.address;
    return address === undefined ? undefined : { address, leaderEpoch: info.leaderEpoch };
  }

  /** The connection to a broker; made if need be. */
  peer(address: string): Peer {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = this.#ports.transport.connect(address);
      this.#peers.set(address, peer);
    }
    return peer;
  }

  /** The stream on which batches go to a broker; another one where the last broke. */
  pipe(address: string): ProducePipe {
    let pipe = this.#pipes.get(address);
    if (pipe === undefined || pipe.isOver) {
      pipe = new ProducePipe(this.peer(address), this.context);
      this.#pipes.set(address, pipe);
    }
    return pipe;
  }

  /** Nothing comes from there: what begins now takes a new connection, instead of waiting for what the network has lost. */
  reconnect(address: string): void {
    this.#pipes.get(address)?.cut();
    this.#pipes.delete(address);
    const peer = this.#peers.get(address);
    if (peer === undefined) return;
    this.#peers.delete(address);
    const leaving = close(peer).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  /** @throws TributaryError: the broker's, or NETWORK_EXCEPTION. */
  async ask<Request, Response>(
    address: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal: AbortSignal,
    deadlineMs: number = limits.internalCallMs,
  ): Promise<Response> {
    return await this.peer(address).unary(method, request, { deadlineMs, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pipe of this.#pipes.values()) pipe.cut();
    this.#pipes.clear();
    await Promise.all([...[...this.#peers.values()].map(close), ...this.#leaving]);
    this.#peers.clear();
  }
}

async function close(peer: Peer): Promise<void> {
  try {
    await peer[Symbol.asyncDispose]();
  } catch {
    // It is of no more use.
  }
}
