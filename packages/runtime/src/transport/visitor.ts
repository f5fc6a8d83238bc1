/** One connection as the server keeps it, and the bounds that it must keep. */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { brokerSettings, type ConnectionMemory, limits, MemoryBudget } from '@tributary/model';
import type { ServerLimits } from '@tributary/ports';
import { keepAlive, sessionSettings } from './session.ts';

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
  #isWide = false;
  /** By method. */
  readonly #shut = new Map<string, { readonly untilMs: number; readonly forMs: number }>();
  #useful = 0;

  constructor(session: ServerHttp2Session, memory: ConnectionMemory) {
    this.session = session;
    this.memory = memory;
    session.setLocalWindowSize(limits.narrowConnectionWindow);
    session.once('remoteSettings', () => {
      this.#greeted = true;
    });
    keepAlive(session, () => this.#open > 0);
  }

  /** The handlers have taken so many bytes of whole messages. @returns whether it is wide now, and was not. */
  took(bytes: number): boolean {
    this.#useful += bytes;
    return !this.#isWide && this.#useful >= limits.widenedAfter;
  }

  get isWide(): boolean {
    return this.#isWide;
  }

  /** Bytes taken since the last look. */
  get useful(): number {
    return this.#useful;
  }

  /** How much its client may send ahead. */
  set isWide(wide: boolean) {
    if (this.#isWide === wide || this.session.destroyed || this.session.closed) return;
    this.#isWide = wide;
    const window = wide ? limits.transportWindow : limits.narrowWindow;
    this.session.settings({ ...sessionSettings, initialWindowSize: window });
    if (wide) this.session.setLocalWindowSize(limits.transportWindow);
  }

  /** The client lost a call of this method for want of room: it may not have the next one at once, and later each time. */
  evicted(path: string): void {
    const now = performance.now();
    const before = this.#shut.get(path);
    const isAgain = before !== undefined && now < before.untilMs + limits.stalledMs;
    const forMs = isAgain ? Math.min(2 * before.forMs, limits.stalledMs) : limits.evictedMs;
    this.#shut.set(path, { untilMs: now + forMs, forMs });
  }

  /** @returns for how long calls of this method are refused, ms. */
  shutFor(path: string): number {
    return Math.max(0, (this.#shut.get(path)?.untilMs ?? 0) - performance.now());
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
    this.#useful = 0;
    if (!this.#greeted && now - this.#sinceMs > limits.handshakeMs) this.session.destroy();
    else if (this.#open === 0 && now - this.#lastCallMs > idleMs) this.session.close();
  }
}
