import type { ClientHttp2Stream } from 'node:http2';
import { TributaryError } from '@tributary/model';
import type { Peer, Stream, StreamMethod, UnaryMethod } from '@tributary/ports';
import { type Address, formatAddress, parseAddress } from './addresses.ts';
import { ClientCall } from './client-call.ts';
import { type Connection, openConnection } from './connection.ts';
import { timeoutHeader } from './status.ts';

/** The part of a call that the peer handles, whatever its messages are. */
interface OpenCall {
  readonly over: boolean;
  attach(http2: ClientHttp2Stream, connectionFailure: () => string | undefined): void;
  break(error: TributaryError): void;
}

/**
 * One server as a client sees it: one connection, made for the first call and again for the first one after it broke. A failed attempt fails
 * the calls that waited for it; when to try again is the caller's decision.
 */
export class GrpcPeer implements Peer {
  readonly address: string;
  readonly #address: Address;
  readonly #closing = new AbortController();
  readonly #calls = new Set<OpenCall>();
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;

  /** @throws TributaryError INVALID_REQUEST when the address is none. */
  constructor(address: string) {
    this.#address = parseAddress(address);
    this.address = formatAddress(this.#address);
  }

  async unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<Response> {
    const call = this.#call(method, options.signal, { 'grpc-timeout': timeoutHeader(options.deadlineMs) });
    const timer = setTimeout(() => {
      call.break(
        new TributaryError(
          'REQUEST_TIMED_OUT',
          `${this.address} did not answer ${method.path} within ${Math.round(options.deadlineMs)} ms.`,
        ),
      );
    }, options.deadlineMs);
    try {
      call.send(request);
      call.end();
      const answer = await call.next();
      if (answer.done)
        throw new TributaryError('NETWORK_EXCEPTION', `${this.address} ended ${method.path} without an answer.`);
      // The status comes after the answer, and alone says whether it counts.
      if (!(await call.next()).done)
        throw new TributaryError('NETWORK_EXCEPTION', `${this.address} answered ${method.path} more than once.`);
      return answer.value;
    } finally {
      clearTimeout(timer);
      call.cancel();
    }
  }

  stream<Request, Response>(method: StreamMethod<Request, Response>, signal: AbortSignal): Stream<Request, Response> {
    return this.#call(method, signal, {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new TributaryError('NETWORK_EXCEPTION', `The connection to ${this.address} was closed here.`));
    for (const call of this.#calls) call.break(TributaryError.from(this.#closing.signal.reason));
    await this.#connection?.close();
  }

  #call<Request, Response>(
    method: UnaryMethod<Request, Response> | StreamMethod<Request, Response>,
    signal: AbortSignal | undefined,
    headers: Readonly<Record<string, string>>,
  ): ClientCall<Request, Response> {
    const aborted = (): void => {
      call.break(
        new TributaryError('NETWORK_EXCEPTION', `The call to ${this.address} was cancelled here.`, {
          cause: signal?.reason,
        }),
      );
    };
    const call = new ClientCall(this.address, method.request, method.response, () => {
      this.#calls.delete(call);
      signal?.removeEventListener('abort', aborted);
    });
    this.#calls.add(call);
    if (signal?.aborted) aborted();
    else signal?.addEventListener('abort', aborted, { once: true });
    if (!call.over) this.#open(call, method.path, headers);
    return call;
  }

  #open(call: OpenCall, path: string, headers: Readonly<Record<string, string>>): void {
    if (this.#closing.signal.aborted) {
      call.break(TributaryError.from(this.#closing.signal.reason));
      return;
    }
    const start = (connection: Connection): void => {
      if (!call.over) call.attach(connection.request(path, headers), () => connection.failure);
    };
    if (this.#connection?.usable) {
      start(this.#connection);
      return;
    }
    this.#connect()
      .then(start)
      .catch((thrown: unknown) => call.break(TributaryError.from(thrown)));
  }

  #connect(): Promise<Connection> {
    this.#connecting ??= openConnection(this.#address, this.#closing.signal)
      .then((connection) => {
        this.#connection = connection;
        return connection;
      })
      .finally(() => {
        this.#connecting = undefined;
      });
    return this.#connecting;
  }
}
