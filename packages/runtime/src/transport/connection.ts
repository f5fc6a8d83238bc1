import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { limits, type TributaryError } from '@tributary/model';
import { type Address, connectError, formatAddress, notHttp2 } from './addresses.ts';
import { codeOf } from '../system-error.ts';
import { keepAlive, sessionMemoryMax, sessionSettings } from './session.ts';

/** One HTTP/2 connection of a client. An idle one does not keep the process alive. */
export class Connection {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  #calls = 0;
  #failure: string | undefined;

  constructor(session: ClientHttp2Session, socket: Socket) {
    this.#session = session;
    this.#socket = socket;
    session.on('error', (failure: Error) => {
      this.#failure = failure.message;
    });
    session.unref();
    keepAlive(session, () => this.#calls > 0);
  }

  /** False once it broke or the server is leaving: calls in flight may still finish. */
  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  /** @throws when the connection is no longer usable. */
  request(path: string, headers: Readonly<Record<string, string>>): ClientHttp2Stream {
    const http2 = this.#session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
      [constants.HTTP2_HEADER_TE]: 'trailers',
      ...headers,
    });
    if (this.#calls++ === 0) this.#session.ref();
    http2.once('close', () => {
      if (--this.#calls === 0) this.#session.unref();
    });
    return http2;
  }

  /** Resolves when it is closed; what has not ended in time is cut off. A session waits for the other side's goodbye, for good where that side stands still. */
  async close(): Promise<void> {
    if (this.#session.destroyed) return;
    const closed = new Promise<void>((resolve) => this.#session.once('close', () => resolve()));
    const timer = setTimeout(() => this.#socket.resetAndDestroy(), limits.closeGraceMs);
    this.#session.close();
    await closed;
    clearTimeout(timer);
  }
}

/** @throws TributaryError NETWORK_EXCEPTION: one sentence on what is there instead. */
export function openConnection(address: Address, signal: AbortSignal): Promise<Connection> {
  const name = formatAddress(address);
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host: address.host, port: address.port, noDelay: true });
    let connected = false;
    socket.once('connect', () => {
      connected = true;
    });
    const session = connect(`http://${name}`, {
      createConnection: () => socket,
      settings: sessionSettings,
      maxSessionMemory: sessionMemoryMax,
    });
    const fail = (error: TributaryError): void => {
      settled();
      session.on('error', () => undefined);
      session.destroy();
      reject(error);
    };
    const onError = (failure: Error): void =>
      fail(connected && !isSocketError(failure) ? notHttp2(name, failure) : connectError(name, failure));
    const onClose = (): void => fail(connected ? notHttp2(name, undefined) : connectError(name, signal.reason));
    const onTimeout = (): void => onError(Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' }));
    const onAbort = (): void => fail(connectError(name, signal.reason));
    // The server's settings prove that it speaks HTTP/2; only then are calls entrusted to it.
    const onSettings = (): void => {
      settled();
      session.setLocalWindowSize(limits.transportWindow);
      resolve(new Connection(session, socket));
    };
    const timer = setTimeout(onTimeout, limits.connectTimeoutMs);
    const settled = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      session.off('error', onError).off('close', onClose).off('remoteSettings', onSettings);
    };
    session.once('error', onError).once('close', onClose).once('remoteSettings', onSettings);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** Node's HTTP/2 names its own errors ERR_…; what the socket met has an errno. */
function isSocketError(failure: Error): boolean {
  return /^E(?!RR_)/.test(codeOf(failure));
}
