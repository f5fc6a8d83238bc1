import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { limits, TributaryError } from '@tributary/model';
import type { Codec, Peer, Stream, StreamMethod, UnaryMethod } from '@tributary/ports';
import { formatAddress, parseAddress } from '../transport/addresses.ts';
import { Inbox } from '../transport/inbox.ts';
import { asBuffer, GrpcJsOutbox } from './grpc-js-outbox.ts';
import { clientOptions } from './grpc-js-options.ts';
import { errorFromStatus } from './grpc-js-status.ts';

interface OpenCall {
  break(error: TributaryError): void;
}

const asItIs = (bytes: Buffer): Buffer => bytes;

/** One server as a client sees it. After a failed attempt the channel is made anew, so that the next call tries at once. */
export class GrpcJsPeer implements Peer {
  readonly address: string;
  readonly #calls = new Set<OpenCall>();
  #client: Client | undefined;
  #closed = false;

  /** @throws TributaryError INVALID_REQUEST when the address is none. */
  constructor(address: string) {
    this.address = formatAddress(parseAddress(address));
  }

  unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (this.#closed || signal?.aborted === true) {
        reject(this.#closed ? this.#closedError() : this.#cancelled(signal));
        return;
      }
      const bytes = asBuffer(method.request.encode(request));
      const options: CallOptions = { deadline: Date.now() + deadlineMs };
      const answered = (failure: ServiceError | null, answer?: Buffer): void => {
        over();
        if (failure !== null) {
          reject(signal?.aborted === true ? this.#cancelled(signal) : errorFromStatus(failure, this.address));
          return;
        }
        try {
          resolve(method.response.decode(answer ?? Buffer.alloc(0)));
        } catch (thrown) {
          reject(thrown);
        }
      };
      const http2 = this.#channel().makeUnaryRequest(
        method.path,
        asItIs,
        asItIs,
        bytes,
        new Metadata(),
        options,
        answered,
      );
      const cancel = (): void => http2.cancel();
      const call: OpenCall = {
        break: (error) => {
          over();
          cancel();
          reject(error);
        },
      };
      const over = (): void => {
        this.#calls.delete(call);
        signal?.removeEventListener('abort', cancel);
      };
      this.#calls.add(call);
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  stream<Request, Response>(method: StreamMethod<Request, Response>, signal: AbortSignal): Stream<Request, Response> {
    const http2 = this.#closed
      ? undefined
      : this.#channel().makeBidiStreamRequest(method.path, asItIs, asItIs, new Metadata());
    const aborted = (): void => call.break(this.#cancelled(signal));
    const call = new GrpcJsCall(this.address, http2, method.request, method.response, () => {
      this.#calls.delete(call);
      signal.removeEventListener('abort', aborted);
    });
    if (http2 === undefined) call.break(this.#closedError());
    else if (signal.aborted) aborted();
    else {
      this.#calls.add(call);
      signal.addEventListener('abort', aborted, { once: true });
    }
    return call;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const call of this.#calls) call.break(this.#closedError());
    this.#client?.close();
  }

  #channel(): Client {
    if (this.#client?.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE) {
      this.#client.close();
      this.#client = undefined;
    }
    this.#client ??= new Client(this.address, credentials.createInsecure(), clientOptions);
    return this.#client;
  }

  #cancelled(signal: AbortSignal | undefined): TributaryError {
    const sentence = `The call to ${this.address} was cancelled here.`;
    return new TributaryError('NETWORK_EXCEPTION', sentence, { cause: signal?.reason });
  }

  #closedError(): TributaryError {
    return new TributaryError('NETWORK_EXCEPTION', `The connection to ${this.address} was closed here.`);
  }
}

class GrpcJsCall<Out, In> implements Stream<Out, In>, OpenCall {
  readonly #address: string;
  readonly #request: Codec<Out>;
  readonly #http2: ClientDuplexStream<Buffer, Buffer> | undefined;
  readonly #inbox: Inbox<In>;
  readonly #outbox: GrpcJsOutbox | undefined;
  readonly #onOver: () => void;
  #status: StatusObject | undefined;
  #over = false;

  constructor(
    address: string,
    http2: ClientDuplexStream<Buffer, Buffer> | undefined,
    request: Codec<Out>,
    response: Codec<In>,
    onOver: () => void,
  ) {
    this.#address = address;
    this.#http2 = http2;
    this.#request = request;
    this.#onOver = onOver;
    this.#inbox = new Inbox(response.decode, {
      bytes: limits.receiveQueue,
      messages: limits.receiveQueueMessages,
      drained: () => http2?.resume(),
    });
    if (http2 === undefined) return;
    this.#outbox = new GrpcJsOutbox(http2);
    http2.on('data', (message: Buffer) => {
      if (!this.#inbox.put(message)) http2.pause();
    });
    http2.on('status', (status: StatusObject) => {
      this.#status = status;
    });
    // The status is told in the same turn as the end of the data.
    http2.on('end', () => this.#finish(errorFromStatus(this.#status, this.#address)));
    http2.on('error', () => undefined);
  }

  send(message: Out): void {
    if (!this.#over && this.#outbox?.open === true) this.#outbox.send(this.#request.encode(message));
  }

  get queuedBytes(): number {
    return this.#outbox?.bytes ?? 0;
  }

  writable(): Promise<void> {
    return this.#outbox?.writable() ?? Promise.resolve();
  }

  end(): void {
    if (this.#outbox?.open !== true) return;
    this.#outbox.hold();
    this.#http2?.end();
  }

  cancel(): void {
    this.break(new TributaryError('NETWORK_EXCEPTION', `The call to ${this.#address} was cancelled here.`));
  }

  break(error: TributaryError): void {
    if (this.#over) return;
    this.#finish(error);
    this.#http2?.cancel();
  }

  [Symbol.asyncIterator](): AsyncIterator<In, undefined> {
    return { next: () => this.#inbox.next() };
  }

  #finish(error: TributaryError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    if (error === undefined) this.#inbox.end();
    else this.#inbox.break(error);
    this.#outbox?.close();
    this.#onOver();
  }
}
