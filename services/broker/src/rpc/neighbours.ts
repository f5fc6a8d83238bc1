/** The other brokers, for what is asked of one of them at another: one hop, never two (F1). */
import { limits, type NodeId, nodeId, TributaryError } from '@tributary/model';
import type { ImageSource } from '@tributary/metadata';
import type { Transport, UnaryMethod } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';
import { noContext } from './controller-client.ts';

/** On the wire: whoever is asked. */
const whoeverIsAsked = -1;

export class Neighbours {
  readonly me: NodeId;
  readonly #source: Pick<ImageSource, 'current'>;
  readonly #transport: Pick<Transport, 'connect'>;

  constructor(me: NodeId, source: Pick<ImageSource, 'current'>, transport: Pick<Transport, 'connect'>) {
    this.me = me;
    this.#source = source;
    this.#transport = transport;
  }

  /** undefined: this broker itself is meant. @throws TributaryError INVALID_REQUEST, BROKER_ID_NOT_REGISTERED naming those there are. */
  other(wanted: number): NodeId | undefined {
    if (wanted === whoeverIsAsked || wanted === this.me) return undefined;
    if (wanted < 0) {
      throw new TributaryError(
        'INVALID_REQUEST',
        `${wanted} is no node id: say one, or −1 for the broker that is asked.`,
      );
    }
    const image = this.#source.current;
    if (image.broker(nodeId(wanted))?.registration !== undefined) return nodeId(wanted);
    const known = [...image.brokers()].filter((each) => each.registration !== undefined).map((each) => each.nodeId);
    throw new TributaryError(
      'BROKER_ID_NOT_REGISTERED',
      `Broker ${wanted} is not running; ${known.length === 0 ? 'none is registered' : `registered are: ${known.join(', ')}`}.`,
    );
  }

  /** @throws TributaryError that the other answers with; BROKER_NOT_AVAILABLE where the request was forwarded already, or it has just gone. */
  async forward<Request extends { context: RequestContext | undefined }, Response>(
    to: NodeId,
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): Promise<Response> {
    const address = this.#source.current.broker(to)?.registration?.address;
    if (address === undefined || (request.context?.hops ?? 0) > 0) {
      throw new TributaryError(
        'BROKER_NOT_AVAILABLE',
        `This is broker ${this.me}, not ${to}, and the request cannot be passed on: ask broker ${to} itself.`,
      );
    }
    await using peer = this.#transport.connect(address);
    const context = { ...noContext, ...request.context, hops: 1 };
    try {
      return await peer.unary(method, { ...request, context }, { deadlineMs: limits.internalCallMs, signal });
    } catch (thrown) {
      // Whoever asked has reached this broker.
      if (!(thrown instanceof TributaryError) || thrown.error !== 'NETWORK_EXCEPTION') throw thrown;
      throw new TributaryError('BROKER_NOT_AVAILABLE', `Broker ${to} does not answer. ${thrown.message}`, {
        cause: thrown,
      });
    }
  }
}
