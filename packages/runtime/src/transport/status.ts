/**
 * How a call ends on the wire: gRPC's status, its sentence, Kafka's error number in a trailer of our own, and all of it once more as a typed detail
 * of gRPC's richer error model.
 */
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { errorDetails } from '@tributary/wire';
import { errorName, errorTable, type ErrorName, type GrpcStatus, limits, TributaryError } from '@tributary/model';

const ok = 0;

const codes: Readonly<Record<GrpcStatus, number>> = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
};

/** For answers without our trailer: from a proxy, or from another gRPC server. */
const errors: Readonly<Record<number, ErrorName>> = {
  [codes.INVALID_ARGUMENT]: 'INVALID_REQUEST',
  [codes.DEADLINE_EXCEEDED]: 'REQUEST_TIMED_OUT',
  [codes.RESOURCE_EXHAUSTED]: 'THROTTLING_QUOTA_EXCEEDED',
  [codes.UNIMPLEMENTED]: 'UNSUPPORTED_VERSION',
  [codes.UNAVAILABLE]: 'NETWORK_EXCEPTION',
  [codes.CANCELLED]: 'NETWORK_EXCEPTION',
};

const errorCodeHeader = 'tributary-error-code';
export const detailsHeader = 'grpc-status-details-bin';

export const okTrailers: OutgoingHttpHeaders = { 'grpc-status': ok };

export function errorTrailers(error: TributaryError): OutgoingHttpHeaders {
  const status = codes[errorTable[error.error].status];
  const { sentence, encoded } = sentenceOf(error.message);
  return {
    'grpc-status': status,
    'grpc-message': encoded,
    [errorCodeHeader]: error.code,
    [detailsHeader]: Buffer.from(errorDetails(error, status, sentence)).toString('base64'),
  };
}

/** As much of it as all clients take: many refuse trailers of more than 8 KiB, and a letter may take nine bytes. */
function sentenceOf(message: string): { readonly sentence: string; readonly encoded: string } {
  let sentence = message.slice(0, limits.errorMessageLength).toWellFormed();
  for (;;) {
    // Of what encodeURI leaves alone, nothing needs escaping here.
    const encoded = encodeURI(sentence);
    if (encoded.length <= limits.errorMessageEncoded) return { sentence, encoded };
    const kept = Math.floor((sentence.length * limits.errorMessageEncoded) / encoded.length);
    sentence = sentence.slice(0, Math.min(kept, sentence.length - 1)).toWellFormed();
  }
}

/** @returns undefined for success. @param peer for the sentence. */
export function errorFromTrailers(trailers: IncomingHttpHeaders, peer: string): TributaryError | undefined {
  const status = trailers['grpc-status'];
  if (status === undefined) return notGrpc(trailers, peer);
  if (Number(status) === ok) return undefined;
  const code = Number(single(trailers[errorCodeHeader]));
  const error = Number.isInteger(code) ? errorName(code) : (errors[Number(status)] ?? 'UNKNOWN_SERVER_ERROR');
  const sentence = decoded(single(trailers['grpc-message']) ?? '');
  return new TributaryError(
    error,
    sentence === '' ? `${peer} answered with gRPC status ${single(status)} and no message.` : sentence,
  );
}

function notGrpc(trailers: IncomingHttpHeaders, peer: string): TributaryError {
  const http = trailers[':status'];
  if (http !== undefined && Number(http) !== constants.HTTP_STATUS_OK) {
    return new TributaryError(
      'NETWORK_EXCEPTION',
      `${peer} answered with HTTP status ${single(http)}: it is not a Tributary server, or a proxy is in the way.`,
    );
  }
  return new TributaryError('NETWORK_EXCEPTION', `${peer} ended the call without a gRPC status.`);
}

/** A header that makes sense once only. */
export function single(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'object' ? header[0] : header;
}

function decoded(sentence: string): string {
  try {
    return decodeURIComponent(sentence);
  } catch {
    return sentence;
  }
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };
/** gRPC allows eight digits. */
const timeoutDigitsMax = 99_999_999;

/** `grpc-timeout` in ms, in seconds where those do not fit. */
export function timeoutHeader(deadlineMs: number): string {
  const ms = Math.max(1, Math.ceil(deadlineMs));
  return ms <= timeoutDigitsMax ? `${ms}m` : `${Math.min(timeoutDigitsMax, Math.ceil(ms / 1_000))}S`;
}

/** ms; undefined: no deadline. */
export function timeoutFromHeader(header: string | readonly string[] | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(single(header) ?? '');
  if (match === null) return undefined;
  return Number(match[1]) * (unitMs[match[2] ?? ''] ?? 0);
}
