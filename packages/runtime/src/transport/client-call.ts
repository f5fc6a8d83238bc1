import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { limits, TributaryError } from '@tributary/model';
import type { Codec, Stream } from '@tributary/ports';
import { FrameReader } from './frames.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';
import { resetStream } from './session.ts';
import { errorFromTrailers } from './status.ts';

/**
 * One call from the client's side. It may be used before there is a connection. States: waiting (for `attach`) → open → over, when the
 * server's trailers and all before them have arrived, when the connection breaks, or when this side breaks it.
 */
export class ClientCall<Out, In> implements Stream<Out, In> {
  readonly #address: string;
  readonly #request: Codec<Out>;
  readonly #inbox: Inbox<In>;
  readonly #outbox = new Outbox();
  readonly #onOver: () => void;
  readonly #frames: FrameReader;
  #http2: ClientHttp2Stream | undefined;
  #connectionFailure: () => string | undefined = () => undefined;
  #trailers: IncomingHttpHeaders | undefined;
  #isGrpc = false;
  #over = false;

  /** @param onOver called once. */
  constructor(address: string, request: Codec<Out>, response: Codec<In>, onOver: () => void) {
    this.#address = address;
    this.#request = request;
    this.#onOver = onOver;
    this.#inbox = new Inbox(response.decode, {
      bytes: limits.receiveQueue,
      messages: limits.receiveQueueMessages,
      drained: () => this.#http2?.resume(),
    });
    this.#frames = new FrameReader((message) => {
      if (!this.#inbox.put(message)) this.#http2?.pause();
    });
  }

  get over(): boolean {
    return this.#over;
  }

  /** @param connectionFailure why the connection broke, once it has. */
  attach(http2: ClientHttp2Stream, connectionFailure: () => string | undefined): void {
    this.#http2 = http2;
    this.#connectionFailure = connectionFailure;
    http2.on('response', (headers, flags) => {
      this.#isGrpc = headers[':status'] === constants.HTTP_STATUS_OK;
      const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (ended || !this.#isGrpc) this.#trailers = headers;
    });
    http2.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
    http2.on('data', (chunk: Buffer) => this.#receive(chunk));
    http2.on('close', () => this.#closed(http2.rstCode));
    // Every error is followed by 'close', which knows what the server said before it.
    http2.on('error', () => undefined);
    // Trailers are announced in the same turn as the end of the data, on either side of it.
    http2.on('end', () => setImmediate(() => this.#closed(http2.rstCode)));
    this.#outbox.attach(http2);
  }

  send(message: Out): void {
    if (this.#outbox.open) this.#outbox.send(this.#request, message);
  }

  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  writable(): Promise<void> {
    return this.#outbox.writable();
  }

  end(): void {
    this.#outbox.end();
  }

  cancel(): void {
    if (!this.#over)
      this.break(new TributaryError('NETWORK_EXCEPTION', `The call to ${this.#address} was cancelled here.`));
  }

  /** Ends the call on this side, for this reason. */
  break(error: TributaryError): void {
    if (this.#over) return;
    this.#finish(error);
    if (this.#http2 !== undefined) resetStream(this.#http2);
  }

  next(): Promise<IteratorResult<In, undefined>> {
    return this.#inbox.next();
  }

  /** Iterating again goes on where the last iteration stopped. */
  [Symbol.asyncIterator](): AsyncIterator<In, undefined> {
    return { next: () => this.#inbox.next() };
  }

  #receive(chunk: Buffer): void {
    // The page of some other server is not for us.
    if (this.#over || !this.#isGrpc) return;
    try {
      this.#frames.read(chunk);
    } catch (thrown) {
      this.break(TributaryError.from(thrown));
    }
  }

  #closed(rstCode: number | undefined): void {
    if (this.#over) return;
    this.#finish(
      this.#trailers === undefined ? this.#brokenOff(rstCode) : errorFromTrailers(this.#trailers, this.#address),
    );
    // A server that has ended reads no more.
    this.#http2?.end();
  }

  #brokenOff(rstCode: number | undefined): TributaryError {
    if (rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM)
      return new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        `${this.#address} has no room for this call; try again later.`,
      );
    const what = rstCode === constants.NGHTTP2_REFUSED_STREAM ? 'refused a further call' : 'broke off the call';
    const why = this.#connectionFailure();
    return new TributaryError('NETWORK_EXCEPTION', `${this.#address} ${what}${why === undefined ? '' : ` (${why})`}.`);
  }

  #finish(error: TributaryError | undefined): void {
    this.#over = true;
    if (error !== undefined) this.#inbox.break(error);
    else if (this.#frames.whole) this.#inbox.end();
    else
      this.#inbox.break(new TributaryError('NETWORK_EXCEPTION', `${this.#address} ended the call within a message.`));
    this.#outbox.close();
    this.#onOver();
  }
}
