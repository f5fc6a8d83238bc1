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

  /** @throws TributaryError NOT_CONTROLLER while none is elected; else the controller's, or NETWORK_EXCEPTION. */
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
    return await peer.unary(method, request, {
      deadlineMs: limits.internalCallMs,
      ...(signal === undefined ? {} : { signal }),
    });
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
