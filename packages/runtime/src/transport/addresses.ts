/** `host:port`, and what is said when nobody can be reached or served there. */
import { TributaryError } from '@tributary/model';
import { codeOf } from '../system-error.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws TributaryError INVALID_REQUEST. An IPv6 host stands in brackets. */
export function parseAddress(address: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new TributaryError(
      'INVALID_REQUEST',
      `Bad address "${address}": expected host:port, such as localhost:9095.`,
    );
  }
  return { host, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Why nobody could be reached: one sentence, what and what to do. */
export function connectError(address: string, thrown: unknown): TributaryError {
  return new TributaryError('NETWORK_EXCEPTION', connectSentence(address, thrown), {
    cause: thrown,
    ...(codeOf(thrown) === 'ECONNREFUSED' ? { unreachable: 'refused' } : {}),
  });
}

function connectSentence(address: string, thrown: unknown): string {
  const code = codeOf(thrown);
  switch (code) {
    case 'ECONNREFUSED':
      return `Nothing listens at ${address} (connection refused): check the address, or start the server.`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host of ${address} cannot be resolved (${code}): check its spelling and the name service.`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `There is no route to ${address} (${code}): check the address and the network.`;
    case 'ETIMEDOUT':
      return `${address} did not answer in time: check the address, and whether a firewall drops the connection.`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${address} closed the connection: the server may be stopping, or may expect TLS.`;
    default:
      return `${address} could not be reached (${code === '' ? sentence(thrown) : code}).`;
  }
}

/** What answers there, but not in HTTP/2. */
export function notHttp2(address: string, thrown: unknown): TributaryError {
  return new TributaryError(
    'NETWORK_EXCEPTION',
    `What listens at ${address} does not speak gRPC in plain text: it may be another service, an HTTP port, or may expect TLS.`,
    { cause: thrown },
  );
}

/** Why an address cannot be served. */
export function listenError(address: string, thrown: unknown): TributaryError {
  return new TributaryError('INVALID_CONFIG', listenSentence(address, thrown), { cause: thrown });
}

function listenSentence(address: string, thrown: unknown): string {
  const code = codeOf(thrown);
  switch (code) {
    case 'EADDRINUSE':
      return `Cannot listen at ${address}: the port is in use. Stop what listens there, or choose another port.`;
    case 'EACCES':
      return `Cannot listen at ${address}: permission denied. Ports below 1024 are reserved: choose another port.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `Cannot listen at ${address}: this machine has no such address (${code}).`;
    default:
      return `Cannot listen at ${address} (${code === '' ? sentence(thrown) : code}).`;
  }
}

function sentence(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
