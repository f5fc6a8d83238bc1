/** What a scraper and an orchestrator ask a process: GET /metrics, /healthz, /readyz. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TributaryError } from '@tributary/model';
import type { Server } from '@tributary/ports';
import { formatAddress, listenError, parseAddress } from './transport/addresses.ts';

/** Empty: all is well. */
export type Reasons = readonly string[];

export interface HttpPages {
  readonly metrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
  /** Why the process should be restarted. Never depends on a peer. */
  readonly unhealthy: () => Reasons;
  /** Why no traffic should be sent here now. */
  readonly unready: () => Reasons;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** @throws TributaryError INVALID_REQUEST for a bad address, INVALID_CONFIG naming one that cannot be had. */
export async function serveHttp(address: string, pages: HttpPages): Promise<Server> {
  const { host, port } = parseAddress(address);
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => void respond(pages, request, response));
  const bound = await new Promise<number>((resolve, reject) => {
    server.once('error', (thrown) => reject(listenError(address, thrown)));
    server.listen({ host, port }, () => {
      const given = server.address();
      resolve(typeof given === 'object' && given !== null ? given.port : port);
    });
  });
  return {
    address: formatAddress({ host, port: bound }),
    [Symbol.asyncDispose]: () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
}

async function respond(pages: HttpPages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const page = await pageOf(pages, request).catch((thrown: unknown) => text(500, TributaryError.from(thrown).message));
  response.writeHead(page.status, {
    'content-type': page.contentType,
    'cache-control': 'no-store',
    ...(page.status === 405 ? { allow: 'GET' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : page.body);
}

async function pageOf(pages: HttpPages, request: IncomingMessage): Promise<Page> {
  const [path] = (request.url ?? '/').split('?');
  if (path !== '/metrics' && path !== '/healthz' && path !== '/readyz')
    return text(404, 'There are /metrics, /healthz and /readyz.');
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'Only GET.');
  switch (path) {
    case '/metrics':
      return { status: 200, ...(await pages.metrics()) };
    case '/healthz':
      return verdict(pages.unhealthy());
    case '/readyz':
      return verdict(pages.unready());
  }
}

function verdict(reasons: Reasons): Page {
  const status = reasons.length === 0 ? 'ok' : 'unavailable';
  return {
    status: reasons.length === 0 ? 200 : 503,
    contentType: 'application/json',
    body: `${JSON.stringify({ status, reasons })}\n`,
  };
}

function text(status: number, sentence: string): Page {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${sentence}\n` };
}
