import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { limits, TributaryError } from '@tributary/model';
import type { CallContext, Codec, Stream } from '@tributary/ports';
import { FrameReader } from './frames.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';
import { resetStream } from './session.ts';
import { errorTrailers, okTrailers } from './status.ts';

export const responseHeaders: OutgoingHttpHeaders = {
  [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_OK,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
};

/** One call from the server's side. It is over when `finish` has been called or the client is gone. */
export class ServerCall<Out, In> implements Stream<Out, In>, CallContext {
  readonly peer: string;
  readonly #http2: ServerHttp2Stream;
  readonly #response: Codec<Out>;
  readonly #inbox: Inbox<In>;
  readonly #outbox = new Outbox();
  readonly #frames: FrameReader;
  readonly #deadline: NodeJS.Timeout | undefined;
  #controller: AbortController | undefined;
  #trailers: OutgoingHttpHeaders = okTrailers;
  #over = false;

  constructor(
    http2: ServerHttp2Stream,
    peer: string,
    request: Codec<In>,
    response: Codec<Out>,
    timeoutMs: number | undefined,
  ) {
    this.peer = peer;
    this.#http2 = http2;
    this.#response = response;
    this.#inbox = new Inbox(request.decode, {
      bytes: limits.receiveQueue,
      messages: limits.receiveQueueMessages,
      drained: () => http2.resume(),
    });
    this.#frames = new FrameReader((message) => {
      if (!this.#inbox.put(message)) http2.pause();
    });
    http2.on('data', (chunk: Buffer) => this.#receive(chunk));
    // A Node client that cancels ends its data first; the reset is right behind it.
    http2.on('end', () => setImmediate(() => this.#received()));
    http2.on('close', () => this.#closed());
    // Every error is followed by 'close'.
    http2.on('error', () => undefined);
    http2.once('wantTrailers', () => {
      http2.sendTrailers(this.#trailers);
      this.#stopClient();
    });
    if (timeoutMs !== undefined) {
      this.#deadline = setTimeout(
        () => this.finish(new TributaryError('REQUEST_TIMED_OUT', `No answer within ${timeoutMs} ms.`)),
        timeoutMs,
      );
      this.#deadline.unref();
    }
  }

  /** Made when it is first asked for: most calls need none. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#over) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  send(message: Out): void {
    if (this.#over || !this.#outbox.open) return;
    if (!this.#http2.headersSent) this.#respond();
    this.#outbox.send(this.#response, message);
  }

  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  writable(): Promise<void> {
    return this.#outbox.writable();
  }

  /** In gRPC the server's end is the end of the call: it is told when the handler settles, so that the client may go on until then. */
  end(): void {
    this.#outbox.hold();
  }

  cancel(): void {
    if (this.#over) return;
    this.#finish(new TributaryError('NETWORK_EXCEPTION', `The call from ${this.peer} was cancelled here.`));
    resetStream(this.#http2);
  }

  next(): Promise<IteratorResult<In, undefined>> {
    return this.#inbox.next();
  }

  /** Iterating again goes on where the last iteration stopped. */
  [Symbol.asyncIterator](): AsyncIterator<In, undefined> {
    return { next: () => this.#inbox.next() };
  }

  /** Ends the call with this status, after all that was sent. */
  finish(error?: TributaryError): void {
    if (this.#over) return;
    this.#trailers = error === undefined ? okTrailers : errorTrailers(error);
    const http2 = this.#http2;
    if (!http2.closed && !http2.destroyed) {
      if (http2.headersSent || error === undefined) {
        if (!http2.headersSent) this.#respond();
        this.#outbox.end();
        http2.end();
      } else {
        http2.respond({ ...responseHeaders, ...this.#trailers }, { endStream: true });
        this.#stopClient();
      }
      // What the client still sends is dropped.
      http2.resume();
    }
    this.#finish(error ?? new TributaryError('NETWORK_EXCEPTION', 'The call is over.'));
  }

  #respond(): void {
    this.#http2.respond(responseHeaders, { waitForTrailers: true });
    this.#outbox.attach(this.#http2);
  }

  /** A client that would go on sending is told, without an error, that nobody reads any more. */
  #stopClient(): void {
    setImmediate(() => {
      if (!this.#http2.destroyed && !this.#http2.readableEnded) this.#http2.close(constants.NGHTTP2_NO_ERROR);
    });
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    try {
      this.#frames.read(chunk);
    } catch (thrown) {
      this.finish(TributaryError.from(thrown));
    }
  }

  #received(): void {
    // Node also ends the data of a stream that was reset or lost its connection; 'close' then says so.
    const reset = this.#http2.rstCode !== undefined && this.#http2.rstCode !== constants.NGHTTP2_NO_ERROR;
    if (reset || this.#http2.aborted || this.#http2.session?.destroyed !== false) return;
    if (this.#frames.whole) this.#inbox.end();
    else this.#inbox.break(new TributaryError('INVALID_REQUEST', `${this.peer} ended the call within a message.`));
  }

  #closed(): void {
    if (this.#over) return;
    this.#finish(new TributaryError('NETWORK_EXCEPTION', `${this.peer} cancelled the call or is gone.`));
    this.#outbox.close();
  }

  #finish(error: TributaryError): void {
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#inbox.break(error);
    this.#controller?.abort(error);
  }
}
