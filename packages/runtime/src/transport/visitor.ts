/** One connection as the server keeps it, and the bounds that it must keep. */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { brokerSettings, type ConnectionMemory, limits, MemoryBudget } from '@tributary/model';
import type { ServerLimits } from '@tributary/ports';
import { keepAlive } from './session.ts';

/** Of a server that nobody gave any. */
export function defaultBounds(): ServerLimits {
  const settings = brokerSettings({});
  return {
    memory: new MemoryBudget(limits.serverMemory, settings.requestBytesPerConnection),
    connectionsMax: settings.connections,
    connectionIdleMs: settings.connectionIdleMs,
    use: { connections: 0, connectionsRefused: 0, calls: 0, callsRefused: 0 },
  };
}

export class Visitor {
  readonly session: ServerHttp2Session;
  readonly memory: ConnectionMemory;
  readonly #sinceMs = performance.now();
  #greeted = false;
  #open = 0;
  #lastCallMs = performance.now();
  /** Streams that the client broke off since the last look. */
  #resets = 0;

  constructor(session: ServerHttp2Session, memory: ConnectionMemory) {
    this.session = session;
    this.memory = memory;
    session.setLocalWindowSize(limits.transportWindow);
    session.once('remoteSettings', () => {
      this.#greeted = true;
    });
    keepAlive(session, () => this.#open > 0);
  }

  opened(http2: ServerHttp2Stream): void {
    this.#open++;
    http2.once('close', () => {
      this.#open--;
      this.#lastCallMs = performance.now();
      if (http2.rstCode !== constants.NGHTTP2_CANCEL) return;
      if (++this.#resets > limits.resetsPerSweep) this.session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
  }

  /** @param now monotonic, ms. */
  check(now: number, idleMs: number): void {
    this.#resets = 0;
    if (!this.#greeted && now - this.#sinceMs > limits.handshakeMs) this.session.destroy();
    else if (this.#open === 0 && now - this.#lastCallMs > idleMs) this.session.close();
  }
}
