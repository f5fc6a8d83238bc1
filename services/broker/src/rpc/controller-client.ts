/** The active controller as this broker reaches it: one connection, to the address that the image names. */
import { limits, TributaryError } from '@tributary/model';
import type { ImageSource } from '@tributary/metadata';
import type { Peer, Transport, UnaryMethod } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';

export class ControllerClient implements AsyncDisposable {
  readonly #source: ImageSource;
  readonly #transport: Transport;
  #peer: Peer | undefined;

  constructor(source: ImageSource, transport: Transport) {
    this.#source = source;
    this.#transport = transport;
  }

  /** @throws TributaryError NOT_CONTROLLER while none is elected, or it cannot be reached; else the controller's. */
  async call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal?: AbortSignal,
  ): Promise<Response> {
    const { controller } = this.#source.current;
    if (controller === undefined)
      throw new TributaryError('NOT_CONTROLLER', 'No controller is elected now; try again in a moment.');
    if (this.#peer?.address !== controller.address) {
      const before = this.#peer;
      this.#peer = this.#transport.connect(controller.address);
      await before?.[Symbol.asyncDispose]();
    }
    const peer = this.#peer;
    try {
      return await peer.unary(method, request, {
        deadlineMs: limits.internalCallMs,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (thrown) {
      throw unlessItIsGone(thrown, controller.nodeId);
    }
  }

  /** F1: one hop. A request that was forwarded already is not forwarded again. */
  async forward<Request extends { context: RequestContext | undefined }, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): Promise<Response> {
    const context = request.context;
    if ((context?.hops ?? 0) > 0)
      throw new TributaryError(
        'NOT_CONTROLLER',
        'This broker is not the controller and the request was already forwarded once (F1).',
      );
    return await this.call(method, { ...request, context: { ...noContext, ...context, hops: 1 } }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
  }
}

/** Whoever asked has reached this broker: what cannot be reached is the controller, and another takes over. */
function unlessItIsGone(thrown: unknown, node: number): unknown {
  if (!(thrown instanceof TributaryError) || thrown.error !== 'NETWORK_EXCEPTION') return thrown;
  return new TributaryError(
    'NOT_CONTROLLER',
    `The controller, node ${node}, does not answer; another takes over if it is gone. ${thrown.message}`,
    { cause: thrown },
  );
}

/** A context that says nothing. */
export const noContext: RequestContext = {
  clusterId: '',
  clientId: '',
  principal: '',
  originalPrincipal: '',
  host: '',
  hops: 0,
  minRevision: 0n,
};
