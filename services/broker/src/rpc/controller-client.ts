/** The active controller as this broker reaches it: one connection, to the address that the image names. */
import { limits, TributaryError } from '@tributary/model';
import { type ClusterImage, type ImageSource, LinkedAbort } from '@tributary/metadata';
import type { Clock, Peer, Transport, UnaryMethod } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';

export class ControllerClient implements AsyncDisposable {
  readonly #source: ImageSource;
  readonly #transport: Transport;
  readonly #clock: Clock;
  /** Connections to earlier ones that are being closed. */
  readonly #leaving = new Set<PromiseLike<void>>();
  #peer: Peer | undefined;

  constructor(source: ImageSource, transport: Transport, clock: Clock) {
    this.#source = source;
    this.#transport = transport;
    this.#clock = clock;
  }

  /**
   * Waits a little for an election that is under way. Never repeats a request: who asked may.
   * @throws TributaryError NOT_CONTROLLER where none is elected, it cannot be reached, or another is elected meanwhile: what was asked for may
   * have been done. Else the controller's.
   */
  async call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal: AbortSignal = never,
  ): Promise<Response> {
    await this.#waitUntil(({ controller }) => controller !== undefined, signal);
    const { controller } = this.#source.current;
    if (controller === undefined)
      throw new TributaryError('NOT_CONTROLLER', 'No controller is elected now; try again in a moment.');
    const isOver = (image: ClusterImage): boolean => image.controller?.createRevision !== controller.createRevision;
    const peer = this.#peerAt(controller.address);
    using calling = new LinkedAbort(signal);
    const deposed = new TributaryError(
      'NOT_CONTROLLER',
      `The controller, node ${controller.nodeId}, is one no longer.`,
    );
    this.#source.until(isOver, calling.signal).then(
      () => calling.abort(deposed),
      () => undefined,
    );
    try {
      return await peer.unary(method, request, { deadlineMs: limits.internalCallMs, signal: calling.signal });
    } catch (thrown) {
      signal.throwIfAborted();
      if (calling.signal.aborted) throw deposed;
      if (!(thrown instanceof TributaryError) || !isPerhapsGone(thrown)) throw thrown;
      // Answered once another may be asked, so that asking again at once is of use.
      await this.#waitUntil(isOver, signal);
      if (thrown.error === 'NOT_CONTROLLER') throw thrown;
      // Whoever asked has reached this broker: what cannot be reached is the controller.
      const sentence = `The controller, node ${controller.nodeId}, does not answer; another takes over if it is gone. ${thrown.message}`;
      throw new TributaryError('NOT_CONTROLLER', sentence, { cause: thrown });
    } finally {
      calling.abort(new Error('The call is over.'));
    }
  }

  #peerAt(address: string): Peer {
    const before = this.#peer;
    if (before?.address === address) return before;
    const peer = this.#transport.connect(address);
    this.#peer = peer;
    if (before !== undefined) this.#leave(before);
    return peer;
  }

  /** Nobody waits for it: one that stands still does not say goodbye. */
  #leave(peer: Peer): void {
    const gone = (): void => void this.#leaving.delete(left);
    const left = peer[Symbol.asyncDispose]().then(gone, gone);
    this.#leaving.add(left);
  }

  /** Or for `limits.controllerWaitMs`. */
  async #waitUntil(condition: (image: ClusterImage) => boolean, signal: AbortSignal): Promise<void> {
    if (condition(this.#source.current)) return;
    using waiting = new LinkedAbort(signal);
    const over = [
      this.#source.until(condition, waiting.signal).then(() => undefined),
      this.#clock.sleep(limits.controllerWaitMs, waiting.signal),
    ];
    for (const each of over) each.catch(() => undefined);
    try {
      await Promise.race(over);
    } finally {
      waiting.abort(new Error('Waited long enough.'));
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
    await Promise.all(this.#leaving);
  }
}

const isPerhapsGone = ({ error }: TributaryError): boolean =>
  error === 'NETWORK_EXCEPTION' || error === 'NOT_CONTROLLER';

const never = new AbortController().signal;

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
