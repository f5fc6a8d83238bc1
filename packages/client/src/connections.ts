/** The connections to brokers: made when they are needed, watched while they are silent, and gone round where they lead nowhere. */
import { limits, TributaryError } from '@tributary/model';
import type { Peer, UnaryMethod } from '@tributary/ports';
import { type GetMetadataRequest, methods } from '@tributary/wire';
import type { Addresses } from './addresses.ts';
import type { ClientPorts } from './ports.ts';
import { noLongerNeeded } from './waiting.ts';

export class Connections {
  readonly #ports: ClientPorts;
  readonly #addresses: Addresses;
  /** What any broker that is there answers at once. */
  readonly #question: () => GetMetadataRequest;
  readonly #peers = new Map<string, Peer>();
  /** Connections that were let go of, until they are closed. */
  readonly #leaving = new Set<Promise<void>>();
  /** Addresses that are being asked whether anybody is there. */
  readonly #probing = new Set<string>();
  readonly #closing = new AbortController();

  constructor(ports: ClientPorts, addresses: Addresses, question: () => GetMetadataRequest) {
    this.#ports = ports;
    this.#addresses = addresses;
    this.#question = question;
  }

  /** The connection to an address; made if need be. */
  peer(address: string): Peer {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = this.#ports.transport.connect(address);
      this.#peers.set(address, peer);
    }
    return peer;
  }

  /**
   * A call to one broker. While it takes long the broker is asked whether it is there at all: one that is stopped breaks no connection.
   * @throws TributaryError: its, or NETWORK_EXCEPTION.
   */
  async ask<Request, Response>(
    address: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const peer = this.peer(address);
    const over = new AbortController();
    const stop = (): void => over.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    let silent: TributaryError | undefined;
    const isSilent = (error: TributaryError): void => {
      silent = new TributaryError(
        'NETWORK_EXCEPTION',
        `${address} has been silent for more than ${limits.answerDoubtMs} ms, to other questions too: ${error.message}`,
        { cause: error },
      );
      over.abort(noLongerNeeded);
      this.reconnect(address);
    };
    void this.#watch(peer, over.signal, isSilent);
    try {
      return await peer.unary(method, request, { deadlineMs, signal: over.signal });
    } catch (thrown) {
      const error = silent ?? TributaryError.from(thrown);
      if (error.error === 'NETWORK_EXCEPTION') this.unreachable(address);
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
      over.abort(noLongerNeeded);
    }
  }

  /** Lets go of a connection that has been silent: what begins now takes a new one, instead of waiting for what the network has lost. */
  reconnect(address: string): void {
    const peer = this.#peers.get(address);
    if (peer === undefined) return;
    this.#peers.delete(address);
    const leaving = this.#close(peer).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  /** Nothing has come from this address for long: whether it is there at all is asked, and if not, another way is looked for (F1). */
  doubtReach(address: string): void {
    void this.#probe(address, () => this.outOfReach(address));
  }

  /** Nobody answers there: another way is taken if there is one, and else another connection. */
  outOfReach(address: string): void {
    this.#addresses.outOfReach(address);
    this.reconnect(address);
  }

  /** A connection to this address failed. */
  unreachable(address: string): void {
    this.#addresses.unreachable(address);
  }

  /** A connection to this address carried an answer. */
  reached(address: string): void {
    this.#addresses.reached(address);
  }

  /** Something that is no broker has answered at this address: it is no way to others. */
  answered(address: string): void {
    this.#addresses.answered(address);
  }

  /** The way to a broker, by the address that it advertises. */
  wayTo(advertised: string): string {
    if (this.#addresses.isDueForTrial(advertised)) void this.#probe(advertised, () => undefined);
    return this.#addresses.reachable(advertised);
  }

  /** Cuts off whatever is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...[...this.#peers.values()].map((peer) => this.#close(peer)), ...this.#leaving]);
  }

  /** Asks a broker whether it is there, every second until aborted. Never rejects. */
  async #watch(peer: Peer, signal: AbortSignal, isSilent: (error: TributaryError) => void): Promise<void> {
    const request = this.#question();
    for (;;) {
      try {
        await this.#ports.clock.sleep(limits.answerDoubtMs, signal);
        await peer.unary(methods.getMetadata, request, { deadlineMs: limits.answerDoubtMs, signal });
      } catch (thrown) {
        const error = TributaryError.from(thrown);
        if (signal.aborted) return;
        if (!isSilence(error)) continue;
        isSilent(error);
        return;
      }
    }
  }

  /** Never rejects. */
  async #probe(address: string, isSilent: () => void): Promise<void> {
    if (this.#probing.has(address)) return;
    this.#probing.add(address);
    const request = this.#question();
    const call = { deadlineMs: limits.answerDoubtMs, signal: this.#closing.signal };
    try {
      await this.peer(address).unary(methods.getMetadata, request, call);
      this.reached(address);
    } catch (thrown) {
      if (!this.#closing.signal.aborted) {
        if (isSilence(TributaryError.from(thrown))) isSilent();
        else this.answered(address);
      }
    }
    this.#probing.delete(address);
  }

  async #close(peer: Peer): Promise<void> {
    try {
      await peer[Symbol.asyncDispose]();
    } catch {
      // It is of no more use.
    }
  }
}

/** Coordinators know nothing of metadata: whoever refuses the question is there. */
const isSilence = ({ error }: TributaryError): boolean =>
  error === 'NETWORK_EXCEPTION' || error === 'REQUEST_TIMED_OUT' || error === 'BROKER_NOT_AVAILABLE';
