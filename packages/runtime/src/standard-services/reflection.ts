/** grpc.reflection: clients without our .proto files learn the API from the server itself. */
import { limits } from '@tributary/model';
import type { Handlers, Stream } from '@tributary/ports';
import {
  Descriptors,
  reflectionMethods,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '@tributary/wire';

/** gRPC statuses. */
const invalidArgument = 3;
const notFound = 5;

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/** @param services full names of what is served at this listener, complete once the first request comes. */
export function registerReflection(handlers: Handlers, services: ReadonlySet<string>): void {
  let descriptors: Descriptors | undefined;
  const serve = async (stream: Stream<ServerReflectionResponse, ServerReflectionRequest>): Promise<void> => {
    // Most servers are never asked.
    descriptors ??= new Descriptors();
    for await (const request of stream) {
      const messageResponse = answer(request.messageRequest, descriptors, services);
      stream.send({ validHost: request.host, originalRequest: request, messageResponse });
      if (stream.queuedBytes >= limits.streamQueue) await stream.writable();
    }
  };
  for (const method of reflectionMethods) handlers.stream(method, serve);
}

function answer(
  asked: ServerReflectionRequest['messageRequest'],
  descriptors: Descriptors,
  services: ReadonlySet<string>,
): Answer {
  switch (asked?.$case) {
    case 'listServices': {
      const service = [...services].sort((a, b) => (a < b ? -1 : 1)).map((name) => ({ name }));
      return { $case: 'listServicesResponse', value: { service } };
    }
    case 'fileByFilename':
      return files(descriptors.file(asked.value), `file ${asked.value}`);
    case 'fileContainingSymbol':
      return files(descriptors.fileOf(asked.value), asked.value);
    case 'allExtensionNumbersOfType':
      if (!descriptors.isMessage(asked.value)) return failed(notFound, `There is no message ${asked.value} here.`);
      return {
        $case: 'allExtensionNumbersResponse',
        value: { baseTypeName: asked.value, extensionNumber: [] },
      };
    case 'fileContainingExtension':
      return failed(notFound, 'There are no extensions here.');
    case undefined:
      return failed(invalidArgument, 'A reflection request asks for nothing: set one of message_request.');
  }
}

function files(found: readonly Uint8Array[] | undefined, what: string): Answer {
  if (found === undefined) return failed(notFound, `There is no ${what} here.`);
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: [...found] } };
}

function failed(errorCode: number, errorMessage: string): Answer {
  return {
    $case: 'errorResponse',
    value: { errorCode, errorMessage: errorMessage.slice(0, limits.errorMessageLength) },
  };
}
