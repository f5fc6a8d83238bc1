/** The way to the coordinator of one group: looked up at any broker, gone to directly where it can be reached, and by way of a broker where not (F1). */
import { TributaryError } from '@tributary/model';
import type { UnaryMethod } from '@tributary/ports';
import { methods } from '@tributary/wire';
import type { CallOptions, Routing } from '../routing.ts';

export class CoordinatorLink {
  readonly #routing: Routing;
  readonly groupId: string;
  /** As it advertises it; undefined: to be looked up. */
  #advertised: string | undefined;
  /** Of the newest owner that anybody has named. */
  #writerEpoch = -1n;
  #turn = 0;

  constructor(routing: Routing, groupId: string) {
    this.#routing = routing;
    this.groupId = groupId;
  }

  /** Where to ask. @throws TributaryError; COORDINATOR_NOT_AVAILABLE where nobody owns the group now. */
  async locate(deadlineMs: number, signal: AbortSignal | undefined): Promise<string> {
    if (this.#advertised === undefined) {
      const request = { context: this.#routing.context, groupId: this.groupId };
      const turn = this.#turn;
      this.#turn++;
      const found = await this.#routing.callOnce(methods.findCoordinator, request, turn, deadlineMs, signal);
      if (found.writerEpoch < this.#writerEpoch)
        throw new TributaryError(
          'COORDINATOR_NOT_AVAILABLE',
          `A broker names coordinator ${found.nodeId} for group "${this.groupId}", which was replaced since.`,
        );
      this.#turn = turn;
      this.#writerEpoch = found.writerEpoch;
      this.#advertised = found.address;
    }
    return this.#routing.connections.wayTo(this.#advertised);
  }

  /** The one at this address is none, or does not answer. */
  doubt(address: string, error: TributaryError): void {
    this.#advertised = undefined;
    if (error.error === 'NETWORK_EXCEPTION') this.#routing.connections.unreachable(address);
  }

  answered(address: string): void {
    this.#routing.connections.answered(address);
  }

  /**
   * A call to the coordinator: repeated, with a look who it is, while that may help and there is time.
   * @param check throws what the answer says. @throws TributaryError: the last failure.
   */
  async call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: () => Request,
    check: (answer: Response) => void,
    options: CallOptions,
  ): Promise<Response> {
    return await this.#routing.retry(options, async (_, deadlineMs) => {
      const address = await this.locate(deadlineMs, options.signal);
      try {
        const answer = await this.#routing.connections.ask(address, method, request(), deadlineMs, options.signal);
        this.answered(address);
        check(answer);
        return answer;
      } catch (thrown) {
        const error = TributaryError.from(thrown);
        if (error.retriable && error.error !== 'COORDINATOR_LOAD_IN_PROGRESS') this.doubt(address, error);
        throw error;
      }
    });
  }
}
