/** What the stories of the transport contract share: the stage, methods and small talk. */
import assert from 'node:assert/strict';
import { TributaryError } from '@tributary/model';
import type { Codec, Service, Stream, StreamMethod, Transport, UnaryMethod } from '@tributary/ports';

export interface TransportStage {
  /** As the serving process has it. */
  readonly server: Transport;
  /** As the calling process has it. */
  readonly client: Transport;
  /** Where the server may serve; the port may be 0. */
  readonly address: string;
  /** Where a client finds what the server serves at this address. */
  reach(served: string): Promise<string>;
  /** Breaks every connection that is open now. */
  breakConnections(): void;
  sleep(ms: number): Promise<void>;
}

/** Runs one story to its end, on a stage of its own. */
export type RunTransportStory = (story: (stage: TransportStage) => Promise<void>) => Promise<void>;

const texts: Codec<string> = { encode: (text) => Buffer.from(text), decode: (bytes) => Buffer.from(bytes).toString() };
const raw: Codec<Uint8Array> = { encode: (bytes) => Buffer.from(bytes), decode: (bytes) => bytes };
const strict: Codec<string> = {
  encode: (text) => Buffer.from(text),
  decode: () => {
    throw new TributaryError('INVALID_REQUEST', 'The message is no such message.');
  },
};
export const ask: UnaryMethod<string, string> = {
  kind: 'unary',
  path: '/contract.Service/Ask',
  request: texts,
  response: texts,
};
export const misread: UnaryMethod<string, string> = { ...ask, path: '/contract.Service/Misread', request: strict };
export const talk: StreamMethod<string, string> = {
  kind: 'stream',
  path: '/contract.Service/Talk',
  request: texts,
  response: texts,
};
export const carry: StreamMethod<Uint8Array, Uint8Array> = {
  kind: 'stream',
  path: '/contract.Service/Carry',
  request: raw,
  response: raw,
};

export const soon = { deadlineMs: 10_000 };
export const never = (): AbortSignal => new AbortController().signal;

export interface Audience {
  readonly stage: TransportStage;
  readonly peer: ReturnType<Transport['connect']>;
}

/** A server, a peer connected to it, and a story of both. */
export function served(
  run: RunTransportStory,
  service: Service,
  story: (audience: Audience) => Promise<void>,
): Promise<void> {
  return run(async (stage) => {
    await using server = await stage.server.serve(stage.address, service);
    await using peer = stage.client.connect(await stage.reach(server.address));
    await story({ stage, peer });
  });
}

export async function echo<T>(stream: Stream<T, T>): Promise<void> {
  for await (const message of stream) {
    stream.send(message);
    await stream.writable();
  }
}

export async function collect<T>(stream: Stream<never, T> | AsyncIterable<T>): Promise<T[]> {
  const messages: T[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

/** Sends until `writable` does not come for a while. @returns how many were sent. */
export async function sendUntilHeld(
  stream: Stream<Uint8Array, Uint8Array>,
  chunk: Uint8Array,
  most: number,
  stage: TransportStage,
): Promise<number> {
  for (let sent = 0; sent < most; sent++) {
    const held = Symbol('held');
    const writable = stream.writable();
    if ((await Promise.race([writable, stage.sleep(300).then(() => held)])) === held) return sent;
    stream.send(chunk);
  }
  return most;
}

export function patterned(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + seed * 7) & 0xff;
  return bytes;
}

export function isError(
  name: TributaryError['error'],
  message?: string | RegExp | ((message: string) => boolean),
): (thrown: unknown) => boolean {
  return (thrown) => {
    if (!(thrown instanceof TributaryError)) return false;
    assert.equal(thrown.error, name, thrown.message);
    if (typeof message === 'string') assert.equal(thrown.message, message);
    else if (message instanceof RegExp) assert.match(thrown.message, message);
    else if (message !== undefined) assert.ok(message(thrown.message), thrown.message);
    return true;
  };
}
