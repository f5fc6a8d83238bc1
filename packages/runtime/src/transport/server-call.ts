import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { type ConnectionMemory, limits, type Share, TributaryError } from '@tributary/model';
import type { CallContext, Codec, Stream, StreamMethod, UnaryMethod } from '@tributary/ports';
import { timerMsMost } from '../node-clock.ts';
import { FrameReader } from './frames.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';
import { resetStream } from './session.ts';
import { errorTrailers, okTrailers } from './status.ts';

export const responseHeaders: OutgoingHttpHeaders = {
  [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_OK,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
};

/** What a server knows of a call before its first message. */
export interface Incoming {
  readonly http2: ServerHttp2Stream;
  readonly peer: string;
  readonly timeoutMs: number | undefined;
  readonly memory: ConnectionMemory;
  /** Told of the bytes of each message that its handler took. */
  readonly took: (bytes: number) => void;
  /** How long to wait before more of an unfinished message is taken in, ms. */
  readonly intakeDelayMs: (bytes: number) => number;
  /** Told when it is ended for want of room. */
  readonly evicted: () => void;
}

/** For whoever still waits on one that ended well. One for all: an error takes note of where it was made, and each call would pay for that. */
const callOver = new TributaryError('NETWORK_EXCEPTION', 'The call is over.');

/** One call from the server's side. It is over when `finish` has been called or the client is gone. */
export class ServerCall<Out, In> implements Stream<Out, In>, CallContext {
  readonly peer: string;
  readonly memory: ConnectionMemory;
  readonly #http2: ServerHttp2Stream;
  readonly #response: Codec<Out>;
  readonly #inbox: Inbox<In>;
  readonly #share: Share;
  readonly #took: (bytes: number) => void;
  readonly #intakeDelayMs: (bytes: number) => number;
  /** More of an unfinished message is not taken in for a while. @see #rest */
  #resting: NodeJS.Timeout | undefined;
  /** Nor before there is room. Forgets that it waits for it. */
  #waiting: (() => void) | undefined;
  readonly #outbox: Outbox;
  readonly #frames: FrameReader;
  /** Counted of a message that has not all arrived. */
  #unfinished = 0;
  readonly #deadline: NodeJS.Timeout | undefined;
  #controller: AbortController | undefined;
  #trailers: OutgoingHttpHeaders = okTrailers;
  #over = false;
  #movedMs = performance.now();
  /** Of a unary call, to its end: until then it can be ended like any other. */
  #awaitsRequest: boolean;

  constructor(
    { http2, peer, timeoutMs, memory, took, intakeDelayMs, evicted }: Incoming,
    method: UnaryMethod<In, Out> | StreamMethod<In, Out>,
  ) {
    this.peer = peer;
    this.memory = memory;
    this.#took = took;
    this.#intakeDelayMs = intakeDelayMs;
    this.#http2 = http2;
    this.#response = method.response;
    this.#awaitsRequest = method.kind === 'unary';
    this.#share = memory.share(() => {
      evicted();
      this.#evicted();
    });
    this.#outbox = new Outbox(this.#share);
    this.#countArriving(http2);
    this.#inbox = new Inbox((message) => this.#taken(message, method), {
      bytes: limits.receiveQueue,
      messages: limits.receiveQueueMessages,
      drained: () => this.#goOn(),
    });
    const bytesMax = method.kind === 'unary' ? method.requestBytesMax : undefined;
    this.#frames = new FrameReader((message) => {
      // It was counted as it came: counted twice, one of the largest size would never fit.
      this.#countUnfinished();
      this.#share.take(message.length);
      if (!this.#over && !this.#inbox.put(message)) http2.pause();
    }, bytesMax);
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
    // One that is further away is the client's to keep.
    if (timeoutMs !== undefined && timeoutMs <= timerMsMost) {
      this.#deadline = setTimeout(
        () => this.finish(new TributaryError('REQUEST_TIMED_OUT', `No answer within ${timeoutMs} ms.`)),
        timeoutMs,
      );
      this.#deadline.unref();
    }
  }

  /** What comes while the stream is paused waits inside it, without an event: up to a window of it, maybe in single bytes. */
  #countArriving(http2: ServerHttp2Stream): void {
    const push = http2.push.bind(http2);
    http2.push = (chunk: Buffer | null, encoding) => {
      if (chunk !== null && !this.#over) {
        this.#share.take(chunk.length + limits.chunkOverhead);
        if (this.#over) return false;
      }
      return push(chunk, encoding);
    };
  }

  /** A unary call has all of its request: what it holds is under way. */
  accept(): void {
    this.#awaitsRequest = false;
    if (!this.#over) this.#share.pin();
  }

  /** The handler has a message: a stream's says itself what it keeps of it, a unary call keeps all until it has answered. */
  #taken(message: Uint8Array, method: UnaryMethod<In, Out> | StreamMethod<In, Out>): In {
    if (method.kind === 'stream') this.#share.give(message.length);
    this.#took(message.length);
    this.#share.progressed();
    this.#movedMs = performance.now();
    return method.request.decode(message);
  }

  /** Whether the client has left the server waiting since `sinceMs`: to read an answer, or to go on with a request. */
  isStalled(sinceMs: number): boolean {
    if (this.#outbox.bytes > 0) return this.#outbox.movedMs < sinceMs;
    if (this.#over || this.#movedMs >= sinceMs || this.#http2.isPaused()) return false;
    return this.#awaitsRequest || !this.#frames.whole;
  }

  /** Ends the call at once, without what is on its way: the client would not read it. */
  #evicted(): void {
    this.shed(
      new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        'The server has no room for this call: what it may hold for its clients is used up; try again later.',
      ),
    );
  }

  /** Ends the call with this status if the client can still be told, else by a reset that gRPC knows as RESOURCE_EXHAUSTED. What it held is free. */
  shed(error: TributaryError): void {
    const http2 = this.#http2;
    const canTell = !this.#over && (!http2.headersSent || this.#outbox.bytes === 0);
    if (canTell) this.finish(error);
    else if (!this.#over) this.#finish(error);
    this.#inbox.drop(error);
    this.#frames.drop();
    this.#outbox.close();
    if (!canTell && !http2.destroyed) {
      http2.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      http2.destroy();
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
    this.#finish(error ?? callOver);
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
    this.#movedMs = performance.now();
    try {
      this.#frames.read(chunk);
      this.#countUnfinished();
      this.#share.give(chunk.length + limits.chunkOverhead);
      if (!this.#over && this.#frames.allocated > limits.narrowMessage) this.#rest(chunk.length);
    } catch (thrown) {
      this.finish(TributaryError.from(thrown));
    }
  }

  #countUnfinished(): void {
    const more = this.#frames.allocated - this.#unfinished;
    this.#unfinished += more;
    if (more > 0) this.#share.take(more);
    else if (more < 0) this.#share.give(-more);
  }

  /** Holds the client back where it sends much: others take turns with it, and what it sent before is to be done with first. */
  #rest(bytes: number): void {
    const ms = this.#intakeDelayMs(bytes);
    if (ms >= 1 && this.#resting === undefined) {
      this.#resting = setTimeout(() => {
        this.#resting = undefined;
        this.#goOn();
      }, ms);
      this.#resting.unref();
      this.#http2.pause();
    }
    if (this.memory.isBusy && this.#waiting === undefined) {
      this.#waiting = this.memory.onceFree(() => {
        this.#waiting = undefined;
        this.#goOn();
      });
      this.#http2.pause();
    }
  }

  #goOn(): void {
    if (this.#resting !== undefined || this.#waiting !== undefined || this.#inbox.isFull) return;
    if (!this.#http2.destroyed) this.#http2.resume();
  }

  #received(): void {
    // Node also ends the data of a stream that was reset or lost its connection; 'close' then says so.
    const reset = this.#http2.rstCode !== undefined && this.#http2.rstCode !== constants.NGHTTP2_NO_ERROR;
    if (reset || this.#http2.aborted || this.#http2.session?.destroyed !== false) return;
    if (this.#frames.whole) this.#inbox.end();
    else this.#inbox.break(new TributaryError('INVALID_REQUEST', `${this.peer} ended the call within a message.`));
  }

  #closed(): void {
    this.#share.close();
    if (this.#over) return;
    this.#finish(new TributaryError('NETWORK_EXCEPTION', `${this.peer} cancelled the call or is gone.`));
    this.#outbox.close();
  }

  #finish(error: TributaryError): void {
    this.#over = true;
    // What is on its way is still here.
    this.#share.keep(this.#outbox.bytes);
    clearTimeout(this.#deadline);
    clearTimeout(this.#resting);
    this.#resting = undefined;
    this.#waiting?.();
    this.#waiting = undefined;
    this.#inbox.break(error);
    this.#controller?.abort(error);
  }
}
