import { TributaryError } from '@tributary/model';
import type { Peer, Stream, StreamMethod, UnaryMethod } from '@tributary/ports';
import { into } from '../gate.ts';
import type { Call, Connection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import type { Frame } from './lane.ts';
import { Shipment } from './shipment.ts';
import { StreamEnd } from './stream-end.ts';

/** What a peer needs of the network. */
export interface Dialling {
  connect(client: Endpoint, address: string): Connection;
  after(delayMicros: number, action: () => void): { cancel(): void };
  readonly nowMicros: number;
  /** A message of a stream leaves its client. */
  sent(call: Call, message: Shipment): void;
}

/** The client's end: one connection to one address, made again when it is needed and broken. */
export class SimulatedPeer implements Peer {
  readonly address: string;
  readonly #client: Endpoint;
  readonly #network: Dialling;
  #connection: Connection | undefined;
  #isClosed = false;

  constructor(client: Endpoint, address: string, network: Dialling) {
    this.#client = client;
    this.address = address;
    this.#network = network;
  }

  unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (!this.#client.alive) return;
      const { signal } = options;
      const refusal = this.#refusal(signal);
      if (refusal !== undefined) {
        reject(refusal);
        return;
      }
      let isOver = false;
      const over = (settle: () => void): void => {
        if (isOver) return;
        isOver = true;
        deadline.cancel();
        signal?.removeEventListener('abort', abort);
        call.forget();
        if (this.#client.alive) settle();
      };
      const call: Call = this.#dialled().call(method.path, {
        frame: (frame) => over(() => answer(method, frame, resolve, reject)),
        broken: (error) => over(() => reject(error)),
        taken: () => undefined,
      });
      const deadlineMicros = this.#network.nowMicros + options.deadlineMs * 1_000;
      const late = new TributaryError(
        'REQUEST_TIMED_OUT',
        `${this.address} did not answer ${method.path} within ${options.deadlineMs} ms`,
      );
      const giveUp = (reason: unknown): void => {
        call.up.send({ kind: 'cancel' });
        over(() => reject(reason));
      };
      const deadline = this.#network.after(options.deadlineMs * 1_000, () => {
        if (this.#client.alive) into(this.#client, 'timer', () => !isOver && giveUp(late));
      });
      const abort = (): void => giveUp(this.#refusal(signal));
      signal?.addEventListener('abort', abort, { once: true });
      call.up.send({ kind: 'call', path: method.path, message: Shipment.of(method.request, request), deadlineMicros });
    });
  }

  stream<Request, Response>(method: StreamMethod<Request, Response>, signal: AbortSignal): Stream<Request, Response> {
    const call: Call = this.#dialled().call(method.path, {
      frame: (frame) => this.#deliver(end, frame, finish),
      broken: (error) => {
        finish();
        end.broken(error);
      },
      taken: () => end.taken(),
    });
    const end = new StreamEnd<Request, Response>(method.request, method.response, {
      send: (frame) => {
        if (!this.#client.alive) return;
        if (frame.kind === 'message') this.#network.sent(call, frame.message);
        call.up.send(frame);
      },
      get queuedBytes() {
        return call.up.queuedBytes;
      },
      consumed: (bytes) => call.down.consumed(bytes),
      cancel: () => {
        call.up.send({ kind: 'cancel' });
        finish();
      },
    });
    const abort = (): void => end.cancel();
    const finish = (): void => {
      signal.removeEventListener('abort', abort);
      call.forget();
    };
    const refusal = this.#refusal(signal);
    if (refusal !== undefined) {
      finish();
      end.broken(refusal);
      return end;
    }
    call.up.send({ kind: 'open', path: method.path });
    signal.addEventListener('abort', abort, { once: true });
    return end;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#connection?.break('closed here', 1, 100);
    return Promise.resolve();
  }

  /** Why no call may begin, or go on. */
  #refusal(signal: AbortSignal | undefined): TributaryError | undefined {
    if (this.#isClosed)
      return new TributaryError('NETWORK_EXCEPTION', `the connection to ${this.address} was closed here`);
    if (signal?.aborted !== true) return undefined;
    return new TributaryError('NETWORK_EXCEPTION', `the call to ${this.address} was cancelled here`, {
      cause: signal.reason,
    });
  }

  #dialled(): Connection {
    if (this.#connection === undefined || this.#connection.state === 'broken') {
      this.#connection = this.#network.connect(this.#client, this.address);
    }
    return this.#connection;
  }

  #deliver<Out, In>(end: StreamEnd<Out, In>, frame: Frame, finish: () => void): void {
    switch (frame.kind) {
      case 'message':
        end.arrived(frame.message.bytes());
        return;
      case 'end':
        // The handler has returned: the call is over in both directions.
        finish();
        end.ended(true);
        return;
      case 'failure':
        finish();
        end.broken(TributaryError.fromAnswer(frame.code, frame.message));
        return;
      case 'call':
      case 'open':
      case 'cancel':
        return;
    }
  }
}

function answer<Request, Response>(
  method: UnaryMethod<Request, Response>,
  frame: Frame,
  resolve: (response: Response) => void,
  reject: (error: unknown) => void,
): void {
  if (frame.kind === 'failure') {
    reject(TributaryError.fromAnswer(frame.code, frame.message));
    return;
  }
  try {
    resolve(method.response.decode(frame.kind === 'message' ? frame.message.bytes() : new Uint8Array(0)));
  } catch (thrown) {
    reject(thrown);
  }
}
