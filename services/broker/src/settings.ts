/** What this broker keeps to while it runs: dynamic settings, its own over those of all brokers, as the image has them. */
import { type BrokerSettings, brokerSettings, type NodeId } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';

export class LiveSettings {
  readonly #me: NodeId;
  /** Holds where the cluster says nothing. */
  readonly #beneath: Readonly<Record<string, string>>;
  readonly #listeners = new Set<() => void>();
  #seen: readonly unknown[] = [];
  #current: BrokerSettings;

  /** @param beneath checked settings from the outside, by their names. */
  constructor(me: NodeId, beneath: Readonly<Record<string, string>>, image: ClusterImage) {
    this.#me = me;
    this.#beneath = beneath;
    this.#current = brokerSettings(beneath);
    this.follow(image);
  }

  /** Read it anew at each use: it changes while the broker runs. */
  get current(): BrokerSettings {
    return this.#current;
  }

  /** @param listener called after a change. @returns unsubscribes. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  follow(image: ClusterImage): void {
    const seen = [image.configsSet('all'), image.configsSet(this.#me)];
    if (seen.every((each, i) => each === this.#seen[i])) return;
    this.#seen = seen;
    this.#current = brokerSettings({ ...this.#beneath, ...image.brokerConfigs(this.#me) });
    for (const listener of this.#listeners) listener();
  }
}
