import { TributaryError } from '@tributary/model';
import type { CallContext } from '@tributary/ports';

/** The handler, for requests that are larger once they are decoded. @throws TributaryError THROTTLING_QUOTA_EXCEEDED where there is no room. */
export function holding<Request, Response>(
  handler: (request: Request, context: CallContext) => Promise<Response>,
  bytesOf: (request: Request) => number,
): (request: Request, context: CallContext) => Promise<Response> {
  return async (request, context) => {
    const bytes = bytesOf(request);
    if (context.memory?.take(bytes) === false) {
      throw new TributaryError(
        'THROTTLING_QUOTA_EXCEEDED',
        `This broker has no room for a request that takes ${bytes} bytes once it is decoded: try again later.`,
      );
    }
    try {
      return await handler(request, context);
    } finally {
      context.memory?.give(bytes);
    }
  };
}
