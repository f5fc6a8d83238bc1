/** HTTP/2 and the standard health service by hand: one hop at a time, so that the one that fails has a name. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { CheckFailed, type Verdict } from './checks.ts';

/** @throws CheckFailed when what answers does not speak HTTP/2. */
export async function openSession(address: string, timeoutMs: number): Promise<ClientHttp2Session> {
  const session = connect(`http://${address}`);
  const advice =
    'Something else listens there: a proxy that speaks HTTP/1 only, TLS, or another program. Give the gRPC port.';
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new CheckFailed(`no HTTP/2 settings within ${timeoutMs} ms`, advice)),
        timeoutMs,
      );
      const settle = (after: () => void) => () => {
        clearTimeout(timer);
        after();
      };
      session.once('remoteSettings', settle(resolve));
      session.once(
        'close',
        settle(() => reject(new CheckFailed('the connection was closed before it spoke HTTP/2', advice))),
      );
      session.on('error', (error: Error) =>
        settle(() => reject(new CheckFailed(`it does not speak HTTP/2 (${error.message})`, advice)))(),
      );
    });
    return session;
  } catch (thrown) {
    session.destroy();
    throw thrown;
  }
}

const serving: Readonly<Record<number, string>> = {
  0: 'UNKNOWN',
  1: 'SERVING',
  2: 'NOT_SERVING',
  3: 'SERVICE_UNKNOWN',
};
const grpcUnimplemented = '12';

/** Asks for the health of the whole server. */
export async function health(session: ClientHttp2Session, timeoutMs: number): Promise<Verdict> {
  const { status, message, body } = await call(session, '/grpc.health.v1.Health/Check', timeoutMs);
  if (status === grpcUnimplemented)
    return {
      outcome: 'warning',
      detail: 'gRPC answers, but has no health service',
      advice: 'Probably an older or another server.',
    };
  if (status !== '0')
    return {
      outcome: 'failed',
      detail: `gRPC status ${status} ${message}`.trim(),
      advice: 'The server is up but unwell: look at its log.',
    };
  // An empty message is status 0; else field 1, a varint.
  const state = body.length > 6 && body[5] === 0x08 ? (serving[body[6] ?? 0] ?? String(body[6])) : 'UNKNOWN';
  if (state === 'SERVING') return { detail: state };
  return {
    outcome: 'failed',
    detail: state,
    advice: 'It is starting or stopping: see /readyz on its HTTP port for the reason.',
  };
}

interface Answer {
  readonly status: string;
  readonly message: string;
  readonly body: Buffer;
}

function call(session: ClientHttp2Session, path: string, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const headers: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    stream.setTimeout(timeoutMs, () => {
      stream.destroy();
      reject(
        new CheckFailed(
          `no answer to ${path} within ${timeoutMs} ms`,
          'The server accepts connections but does not answer: look at its log and load.',
        ),
      );
    });
    stream.on('response', (more) => Object.assign(headers, more));
    stream.on('trailers', (more) => Object.assign(headers, more));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', (error: Error) =>
      reject(new CheckFailed(error.message, 'What answers speaks HTTP/2, but not gRPC.')),
    );
    stream.on('end', () => {
      const { 'grpc-status': status, 'grpc-message': message } = headers;
      if (typeof status !== 'string')
        reject(
          new CheckFailed(
            `HTTP status ${String(headers[':status'])} without a gRPC status`,
            'A proxy answers instead of a broker: look at its routes.',
          ),
        );
      else
        resolve({
          status,
          message: typeof message === 'string' ? message : '',
          body: Buffer.concat(chunks),
        });
    });
    // A message of no bytes: not compressed, length 0.
    stream.end(Buffer.alloc(5));
  });
}
