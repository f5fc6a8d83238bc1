import type { Clock, MetadataStore } from '@tributary/ports';
import { type ClusterDelta, emptyDelta, mergeDeltas } from './delta.ts';
import { follow } from './follow.ts';
import { type ImageChange, ClusterImage, deltaFromNothing } from './image.ts';
import type { MetadataKeys } from './keys.ts';
import { Bell, unlessAborted } from './waiting.ts';

/** One part's picture of the cluster, shared by all that look at it. */
export interface ImageSource {
  readonly current: ClusterImage;
  /** The first image at `revision` or later. Rejects with the signal's reason, or when following is over. */
  reached(revision: bigint, signal: AbortSignal): Promise<ClusterImage>;
  /** The first image, from the current one on, that fulfils the condition; an image that lasts very shortly may be missed. Rejects as {@link reached}. */
  until(condition: (image: ClusterImage) => boolean, signal: AbortSignal): Promise<ClusterImage>;
  /**
   * First everything there is (as a change from nothing), then each change. Whoever is slow gets several changes as one, so nothing queues up.
   * Throws the signal's reason, or why following ended.
   */
  changes(signal: AbortSignal): AsyncIterable<ImageChange>;
  /** Aborted when following is over; its reason says why. */
  readonly over: AbortSignal;
}

/** Follows the store from now on. Resolves with the first image in place; waits for the store as long as `signal` lets it. */
export async function openImageSource(
  store: MetadataStore,
  keys: MetadataKeys,
  clock: Clock,
  signal: AbortSignal,
): Promise<ImageSource & AsyncDisposable> {
  const source = new FollowedImage(store, keys, clock);
  try {
    await source.ready(signal);
  } catch (thrown) {
    await source[Symbol.asyncDispose]();
    throw thrown;
  }
  return source;
}

interface Listener {
  delta: ClusterDelta;
  readonly bell: Bell;
}

class FollowedImage implements ImageSource, AsyncDisposable {
  #image = ClusterImage.empty;
  readonly #stopping = new AbortController();
  readonly #over = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  readonly #moved = new Bell();
  readonly #listeners = new Set<Listener>();
  readonly #following: Promise<void>;

  constructor(store: MetadataStore, keys: MetadataKeys, clock: Clock) {
    this.#first.promise.catch(() => undefined);
    this.#following = this.#follow(store, keys, clock);
  }

  get current(): ClusterImage {
    return this.#image;
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  ready(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.#first.promise, signal);
  }

  async #follow(store: MetadataStore, keys: MetadataKeys, clock: Clock): Promise<void> {
    try {
      for await (const { image, delta } of follow(store, keys, clock, this.#stopping.signal)) {
        this.#image = image;
        this.#first.resolve();
        this.#moved.ring();
        if (delta === emptyDelta) continue;
        for (const listener of this.#listeners) {
          listener.delta = mergeDeltas(listener.delta, delta);
          listener.bell.ring();
        }
      }
    } catch (thrown) {
      this.#over.abort(thrown);
      this.#first.reject(thrown);
    }
  }

  reached(revision: bigint, signal: AbortSignal): Promise<ClusterImage> {
    return this.until((image) => image.revision >= revision, signal);
  }

  async until(condition: (image: ClusterImage) => boolean, signal: AbortSignal): Promise<ClusterImage> {
    signal.throwIfAborted();
    for (;;) {
      const image = this.#image;
      if (condition(image)) return image;
      this.#over.signal.throwIfAborted();
      await unlessAborted(this.#moved.heard(signal), this.#over.signal);
    }
  }

  async *changes(signal: AbortSignal): AsyncGenerator<ImageChange, never> {
    const listener: Listener = { delta: emptyDelta, bell: new Bell() };
    this.#listeners.add(listener);
    try {
      yield { image: this.#image, delta: deltaFromNothing(this.#image) };
      for (;;) {
        signal.throwIfAborted();
        while (listener.delta === emptyDelta) {
          this.#over.signal.throwIfAborted();
          await unlessAborted(listener.bell.heard(signal), this.#over.signal);
        }
        const delta = listener.delta;
        listener.delta = emptyDelta;
        yield { image: this.#image, delta };
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error('The part stopped following the metadata store.'));
    await this.#following;
  }
}
