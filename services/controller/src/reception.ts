/** What every answer of the controller begins with: is it the active one, does its image reach, and how long may it take. */
import { type ClusterImage, type ImageSource, type Stored, type TopicInfo, unlessAborted } from '@tributary/metadata';
import { TributaryError, limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import type { RequestContext } from '@tributary/wire';
import { within } from './deadline.ts';
import type { Done, Office, Order } from './office.ts';

interface Parts {
  readonly office: Office;
  readonly images: ImageSource;
  readonly clock: Clock;
}

export class Reception {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The image that the answer rests on, once this controller may answer at all. */
  async imageFor(context: RequestContext | undefined, signal: AbortSignal, leastRevision = 0n): Promise<ClusterImage> {
    const { images, clock } = this.#parts;
    this.#refuseUnlessActive();
    const asked = context?.minRevision ?? 0n;
    const revision = asked > leastRevision ? asked : leastRevision;
    const sentence = `The controller's image is at revision ${images.current.revision} and did not reach ${revision} in time; try again.`;
    const image =
      images.current.revision >= revision
        ? images.current
        : await within(clock, limits.minRevisionWaitMs, signal, sentence, (limited) =>
            images.reached(revision, limited),
          );
    const mine = image.cluster?.clusterId;
    const theirs = context?.clusterId ?? '';
    if (theirs !== '' && theirs !== mine) {
      throw new TributaryError(
        'INCONSISTENT_CLUSTER_ID',
        `The request is for cluster ${theirs}; this is ${mine ?? 'a cluster without an id yet'}.`,
      );
    }
    return image;
  }

  /** @throws TributaryError as the decision does. */
  async order(order: Order): Promise<Done> {
    this.#refuseUnlessActive();
    return unlessAborted(this.#parts.office.place(order), order.signal);
  }

  #refuseUnlessActive(): void {
    if (this.#parts.office.isOpen) return;
    const active = this.#parts.images.current.controller;
    const who =
      active === undefined
        ? 'none is elected at the moment'
        : `the active one is node ${active.nodeId} at ${active.address}`;
    throw new TributaryError('NOT_CONTROLLER', `This controller is not active; ${who}.`);
  }

  /** @throws TributaryError REQUEST_TIMED_OUT saying `what`, and how to `look`. */
  inTime<T>(what: string, signal: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const seconds = limits.controllerRequestMs / 1_000;
    const sentence = `${what} took longer than ${seconds} s; whether it takes effect is open. Describe it to see.`;
    return within(this.#parts.clock, limits.controllerRequestMs, signal, sentence, act);
  }
}

/** Half-created topics and those being deleted are not shown. @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION. */
export function shownTopic(image: ClusterImage, name: string): Stored<TopicInfo> {
  const topic = image.topicNamed(name);
  if (topic?.phase !== 'ready') throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic "${name}".`);
  return topic;
}
