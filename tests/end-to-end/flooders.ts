// Clients that mean harm, in a process of their own: raw HTTP/2, no library of ours between them and the broker.
//   node flooders.ts <port> <topic id> <leader epoch> <idle> <readers> <writers>
// Idle connections are made first; then each line on standard input toggles the others, and is answered with a line.

import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { createInterface } from 'node:readline';
import { type FetchRequest, methods } from '@tributary/wire';

const [port = '', topicId = '', leaderEpoch = '', idle = '0', readers = '0', writers = '0'] = process.argv.slice(2);
const address = `http://127.0.0.1:${port}`;
const garbage = Buffer.alloc(64 * 1024, 0xee);
/** A header that promises 60 MiB. */
const promise = Buffer.from([0, 60 >> 4, (60 << 4) & 0xff, 0, 0]);

const sessions = new Set<ClientHttp2Session>();
let attacking = false;
let broken = 0;

function open(settings = {}): Promise<ClientHttp2Session> {
  return new Promise((resolve) => {
    const session = connect(address, { settings });
    sessions.add(session);
    session.on('error', () => undefined);
    session.once('close', () => sessions.delete(session));
    session.once('remoteSettings', () => resolve(session));
    session.once('close', () => resolve(session));
  });
}

function call(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc+proto',
    te: 'trailers',
  });
  stream.setMaxListeners(0);
  stream.on('error', () => broken++);
  return stream;
}

function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const everything: FetchRequest = {
  context: undefined,
  rack: '',
  isolationLevel: 0,
  open: [
    {
      topicId,
      partition: 0,
      offset: 0n,
      generation: 1,
      leaderEpoch: Number(leaderEpoch),
      lastEpoch: -1,
      creditLimit: 1n << 40n,
    },
  ],
  credit: [],
  close: [],
  fromFollower: false,
};

/** Asks for everything, and reads nothing. */
async function neverRead(): Promise<void> {
  const session = await open();
  while (attacking && !session.destroyed) {
    const stream = call(session, methods.fetch.path);
    stream.pause();
    stream.write(frame(methods.fetch.request.encode(everything)));
    await new Promise<void>((resolve) => stream.once('close', () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  session.destroy();
}

/** Promises a large batch and sends garbage for as long as it is taken; then again. */
async function neverStop(): Promise<void> {
  while (attacking) {
    const session = await open();
    while (attacking && !session.destroyed) {
      const stream = call(session, methods.produce.path);
      stream.resume();
      stream.write(promise);
      while (attacking && !stream.destroyed && !stream.closed) {
        if (!stream.write(garbage))
          await new Promise<void>((resolve) => {
            stream.once('drain', () => resolve());
            stream.once('close', () => resolve());
          });
        await new Promise((resolve) => setImmediate(resolve));
      }
      stream.destroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    session.destroy();
  }
}

for (let made = 0; made < Number(idle); made += 50) await Promise.all(Array.from({ length: 50 }, () => open()));
console.log(`idle ${sessions.size}`);
for await (const _line of createInterface({ input: process.stdin })) {
  attacking = !attacking;
  if (attacking) {
    for (let i = 0; i < Number(readers); i++) void neverRead();
    for (let i = 0; i < Number(writers); i++) void neverStop();
  }
  console.log(`attacking ${attacking} ${sessions.size} ${broken}`);
}
process.exit(0);
