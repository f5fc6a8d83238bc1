import type { Peer, Transport } from '@tributary/ports';

/** A client's connections, one to each address that it has needed. */
export class Peers implements AsyncDisposable {
  readonly #transport: Transport;
  readonly #peers = new Map<string, Peer>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  to(address: string): Peer {
    const known = this.#peers.get(address);
    if (known !== undefined) return known;
    const peer = this.#transport.connect(address);
    this.#peers.set(address, peer);
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers.values()) await peer[Symbol.asyncDispose]();
  }
}
