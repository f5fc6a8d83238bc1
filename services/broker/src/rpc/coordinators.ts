/**
 * Who coordinates a group, as this broker's picture of the cluster says (G1), and what is asked of them here: one hop, never two (F1). Whoever does not own
 * the group any more is followed by its successor once the picture shows that: a request is then asked again, once. Nothing that an owner was asked can take
 * effect behind the fence of the next one, so the second attempt is never overtaken by the first.
 */
import {
  type ClusterImage,
  groupOwner,
  type GroupOwner,
  type ImageSource,
  LinkedAbort,
  offsetsTopic,
} from '@tributary/metadata';
import { limits, TributaryError } from '@tributary/model';
import type { CallContext, Clock, Stream, UnaryMethod } from '@tributary/ports';
import { type JoinRequest, type JoinResponse, methods, type RequestContext } from '@tributary/wire';
import { type ControllerClient, noContext } from './controller-client.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';

export interface CoordinatorParts {
  readonly neighbours: Neighbours;
  readonly source: Pick<ImageSource, 'current' | 'until' | 'reached'>;
  readonly controller: Pick<ControllerClient, 'call'>;
  readonly clock: Clock;
}

type Asking = Pick<CallContext, 'signal' | 'peer'>;

/** A stream to the owner, until disposed or somebody else owns the group. */
export interface MemberStream extends Disposable {
  readonly stream: Stream<JoinRequest, JoinResponse>;
  /** What the end of the stream means to a member. */
  why(thrown: unknown): TributaryError;
}

export class Coordinators {
  readonly neighbours: Neighbours;
  readonly source: CoordinatorParts['source'];
  readonly #controller: Pick<ControllerClient, 'call'>;
  readonly #clock: Clock;
  #ensuring: Promise<void> | undefined;

  constructor({ neighbours, source, controller, clock }: CoordinatorParts) {
    this.neighbours = neighbours;
    this.source = source;
    this.#controller = controller;
    this.#clock = clock;
  }

  /**
   * The owner of the group. On first use the topic of committed offsets is created; what is being decided is waited for within `limits.coordinatorWaitMs`.
   * @throws TributaryError INVALID_GROUP_ID; COORDINATOR_NOT_AVAILABLE saying why there is none.
   */
  async ownerOf(groupId: string, signal: AbortSignal): Promise<GroupOwner> {
    checkGroupId(groupId);
    const image = await this.#within(limits.coordinatorWaitMs, hasCoordinator, signal);
    if (!hasCoordinator(image))
      throw new TributaryError(
        'COORDINATOR_NOT_AVAILABLE',
        'No coordinator is running: start one (`tributary-coordinator`).',
      );
    if (offsetsTopic(image) === undefined) await this.#ensureTopic(signal);
    const isOwned = (each: ClusterImage): boolean => typeof groupOwner(each, groupId) !== 'string';
    const owner = groupOwner(await this.#within(limits.coordinatorWaitMs, isOwned, signal), groupId);
    if (typeof owner !== 'string') return owner;
    throw new TributaryError(
      'COORDINATOR_NOT_AVAILABLE',
      owner === 'no-topic'
        ? 'The topic of committed offsets is being created: try again.'
        : `Nobody coordinates the group "${groupId}" now: the controller has not given its partition to a coordinator yet; try again.`,
    );
  }

  /**
   * Asks the group's owner. @param failureOf error number of an answer that refuses the whole request, 0: none.
   * @throws TributaryError as {@link ownerOf}, NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE where it does not answer, and the owner's.
   */
  async call<Request extends { context: RequestContext | undefined }, Response>(
    groupId: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    asking: Asking,
    failureOf: (response: Response) => number,
  ): Promise<Response> {
    refuseForwarded(request.context);
    const first = await this.ownerOf(groupId, asking.signal);
    try {
      const response = await this.ask(first, method, request, asking);
      if (failureOf(response) !== notCoordinator || !(await this.#isReplaced(first, groupId, asking.signal)))
        return response;
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (asking.signal.aborted || !isReplaceable(error)) throw error;
      if (!(await this.#isReplaced(first, groupId, asking.signal))) throw error;
    }
    return await this.ask(await this.ownerOf(groupId, asking.signal), method, request, asking);
  }

  /** Once, and given up when the picture shows another owner. @throws TributaryError NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, and the owner's. */
  async ask<Request extends { context: RequestContext | undefined }, Response>(
    owner: GroupOwner,
    method: UnaryMethod<Request, Response>,
    request: Request,
    { signal, peer }: Asking,
  ): Promise<Response> {
    using used = this.neighbours.at(owner.coordinator.address);
    using calling = new LinkedAbort(signal);
    const gone = this.#watch(owner, calling);
    try {
      const context = this.neighbours.forwarded(request.context, peer);
      const options = { deadlineMs: limits.internalCallMs, signal: calling.signal };
      return await used.peer.unary(method, { ...request, context }, options);
    } catch (thrown) {
      signal.throwIfAborted();
      throw calling.signal.aborted ? gone : unanswered(owner, thrown);
    } finally {
      calling.abort(new Error('The call is over.'));
    }
  }

  /** A member's stream to the owner. */
  join(owner: GroupOwner, signal: AbortSignal): MemberStream {
    const used = this.neighbours.at(owner.coordinator.address);
    const open = new LinkedAbort(signal);
    const gone = this.#watch(owner, open);
    const stream = used.peer.stream(methods.join, open.signal);
    return {
      stream,
      why: (thrown) => (open.signal.aborted && !signal.aborted ? gone : unanswered(owner, thrown)),
      [Symbol.dispose]: () => {
        open.abort(new Error('The stream is over.'));
        open[Symbol.dispose]();
        used[Symbol.dispose]();
      },
    };
  }

  /** Resolves when the picture shows another owner than this, or none; true, or false after `limits.coordinatorWaitMs`. */
  async isReplaced(owner: GroupOwner, signal: AbortSignal): Promise<boolean> {
    const isOver = (image: ClusterImage): boolean => !isOwner(image, owner);
    return isOver(await this.#within(limits.coordinatorWaitMs, isOver, signal));
  }

  async #isReplaced(owner: GroupOwner, groupId: string, signal: AbortSignal): Promise<boolean> {
    if (!(await this.isReplaced(owner, signal))) return false;
    // By whom: else whoever asks hears why there is nobody.
    await this.ownerOf(groupId, signal);
    return true;
  }

  /** Aborts when the owner is one no longer. @returns the error that this is. */
  #watch(owner: GroupOwner, call: LinkedAbort): TributaryError {
    const { nodeId } = owner.coordinator;
    const gone = new TributaryError(
      'NOT_COORDINATOR',
      `Coordinator ${nodeId} does not own the group any more: try again.`,
    );
    this.source
      .until((image) => !isOwner(image, owner), call.signal)
      .then(
        () => call.abort(gone),
        () => undefined,
      );
    return gone;
  }

  async #ensureTopic(signal: AbortSignal): Promise<void> {
    // One request for all who wait: it is the same for everybody, and no one of them ends it.
    this.#ensuring ??= this.#askForTopic().finally(() => {
      this.#ensuring = undefined;
    });
    await this.#ensuring;
    signal.throwIfAborted();
  }

  async #askForTopic(): Promise<void> {
    try {
      const request = { context: { ...noContext, hops: 1 } };
      await this.#controller.call(methods.ensureOffsetsTopic, request);
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (error.error === 'COORDINATOR_NOT_AVAILABLE') throw error;
      throw new TributaryError(
        'COORDINATOR_NOT_AVAILABLE',
        `The topic of committed offsets cannot be created now: ${error.message}`,
        { cause: error },
      );
    }
  }

  /** The image that fulfils the condition, or whatever there is after `ms`. */
  async #within(ms: number, condition: (image: ClusterImage) => boolean, signal: AbortSignal): Promise<ClusterImage> {
    if (condition(this.source.current)) return this.source.current;
    using waiting = new LinkedAbort(signal);
    const over = [this.source.until(condition, waiting.signal), this.#clock.sleep(ms, waiting.signal)];
    for (const each of over) each.catch(() => undefined);
    try {
      await Promise.race(over);
    } finally {
      waiting.abort(new Error('Waited long enough.'));
    }
    return this.source.current;
  }
}

const notCoordinator = new TributaryError('NOT_COORDINATOR', '').code;

/** Somebody else may answer in its place. */
const isReplaceable = ({ error }: TributaryError): boolean =>
  error === 'NOT_COORDINATOR' || error === 'COORDINATOR_NOT_AVAILABLE';

const hasCoordinator = (image: ClusterImage): boolean => !Iterator.from(image.coordinators()).next().done;

/** Still, and by the same word of the controller. */
function isOwner(image: ClusterImage, { topicId, partition, assignment, coordinator }: GroupOwner): boolean {
  return (
    image.groupPartition(partition)?.writerEpoch === assignment.writerEpoch &&
    image.coordinator(coordinator.nodeId)?.createRevision === coordinator.createRevision &&
    offsetsTopic(image)?.topicId === topicId
  );
}

/** F1: what a broker has passed on already is for a coordinator. @throws TributaryError NOT_COORDINATOR. */
export function refuseForwarded(context: RequestContext | undefined): void {
  if (!isForwarded(context)) return;
  throw new TributaryError(
    'NOT_COORDINATOR',
    'This broker coordinates no groups, and the request was already forwarded once (F1): ask the coordinator itself.',
  );
}

/** @throws TributaryError INVALID_GROUP_ID. */
export function checkGroupId(groupId: string): void {
  if (groupId === '') throw new TributaryError('INVALID_GROUP_ID', 'The group id is empty: name a group.');
  // As the coordinator counts them: what is refused there need not be passed on, or be looked up first.
  if (groupId.length <= limits.groupIdLength) return;
  throw new TributaryError(
    'INVALID_GROUP_ID',
    `The group id has ${groupId.length} characters; at most ${limits.groupIdLength} are allowed.`,
  );
}

/** Whoever asked has reached this broker: what cannot be reached is the coordinator. */
function unanswered({ coordinator }: GroupOwner, thrown: unknown): TributaryError {
  const error = TributaryError.from(thrown);
  if (error.error !== 'NETWORK_EXCEPTION') return error;
  const sentence = `Coordinator ${coordinator.nodeId} does not answer; another takes over if it is gone. ${error.message}`;
  return new TributaryError('COORDINATOR_NOT_AVAILABLE', sentence, { cause: error });
}
