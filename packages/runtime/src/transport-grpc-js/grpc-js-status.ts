import type { IncomingHttpHeaders } from 'node:http2';
import { Metadata, type StatusObject, type status as statuses } from '@grpc/grpc-js';
import { TributaryError } from '@tributary/model';
import { detailsHeader, errorFromTrailers, errorTrailers } from '../transport/status.ts';

const errorCodeHeader = 'tributary-error-code';

/** @returns undefined for success. */
export function errorFromStatus(status: StatusObject | undefined, peer: string): TributaryError | undefined {
  if (status === undefined) return new TributaryError('NETWORK_EXCEPTION', `${peer} ended the call without a status.`);
  const code = status.metadata.get(errorCodeHeader)[0]?.toString();
  const sentence = code === undefined ? `${peer}: ${status.details}` : status.details;
  const trailers: IncomingHttpHeaders = {
    'grpc-status': String(status.code),
    'grpc-message': encodeURIComponent(sentence),
    ...(code === undefined ? {} : { [errorCodeHeader]: code }),
  };
  return errorFromTrailers(trailers, peer);
}

/** As grpc-js wants a failure of a handler. */
export function statusFromError(error: TributaryError): StatusObject & Error {
  const trailers = errorTrailers(error);
  const metadata = new Metadata();
  metadata.set(errorCodeHeader, String(trailers[errorCodeHeader]));
  metadata.set(detailsHeader, Buffer.from(String(trailers[detailsHeader]), 'base64'));
  const code = Number(trailers['grpc-status']) as statuses;
  return Object.assign(new Error(error.message), {
    code,
    details: decodeURI(String(trailers['grpc-message'])),
    metadata,
  });
}
