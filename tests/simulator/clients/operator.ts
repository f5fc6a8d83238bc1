import { TributaryError } from '@tributary/model';
import type { Peer } from '@tributary/ports';
import { ConfigOperationType, ConfigResourceType, ConfigSource, methods, OffsetSpec } from '@tributary/wire';
import type { PartitionHistory } from '../history.ts';
import type { ProcessPorts } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { contextOf, findRoutes, type Route, untilDone } from './routes.ts';

export interface OperatorPlan {
  readonly bootstrap: string;
  /** Records of these are deleted. */
  readonly topics: readonly [string, ...string[]];
  /** Gets more partitions now and then. */
  readonly growing: string;
  /** Settings that nobody's promises depend on, with what they are set to. */
  readonly settings: readonly [Setting, ...Setting[]];
  readonly pauseMsMax: number;
}

export interface Setting {
  /** A topic; '': all brokers. */
  readonly topic: string;
  readonly name: string;
  readonly values: readonly [string, ...string[]];
}

interface Observers {
  history(topic: string, partition: number): PartitionHistory;
  /** The moment from which on a loss of power takes nothing from the topic. */
  commitInForce(): void;
  count(what: string): void;
  broken(rule: string, what: string): void;
}

/** What a request that may have been lost on the way, or carried out without a word, leaves possible. */
const unset = Symbol('unset');
type Value = string | typeof unset;

const deadlineMs = 5_000;
/** Partitions of the growing topic at most. */
const partitionsMost = 12;

/**
 * Somebody who runs the cluster: changes settings, adds partitions, deletes records, at random, and looks whether what was acknowledged is so. A
 * request without an answer may have been carried out, or may be so later.
 */
export class Operator {
  readonly #plan: OperatorPlan;
  readonly #ports: ProcessPorts;
  readonly #random: SeededRandom;
  readonly #observers: Observers;
  /** By topic and name: the last that was acknowledged, and all that may have come after it. */
  readonly #possible = new Map<Setting, Set<Value>>();
  /** Settings of which a change went unanswered. */
  readonly #lost = new Set<Setting>();
  #partitionsLeast = 1;
  #partitionsMost = 1;

  constructor(plan: OperatorPlan, ports: ProcessPorts, random: SeededRandom, observers: Observers) {
    this.#plan = plan;
    this.#ports = ports;
    this.#random = random;
    this.#observers = observers;
  }

  /** Works until it is to be calm, then looks once more, with all faults healed. */
  async run(stop: AbortSignal, isCalm: () => boolean): Promise<void> {
    const { clock, transport } = this.#ports;
    await using peer = transport.connect(this.#plan.bootstrap);
    while (!isCalm()) {
      await clock.sleep(this.#random.between(10, this.#plan.pauseMsMax), stop);
      try {
        await this.#act(peer, stop);
      } catch (thrown) {
        stop.throwIfAborted();
        this.#tolerate(TributaryError.from(thrown));
      }
    }
    await untilDone(this.#ports, stop, () => this.#lookAtPartitions(peer));
    for (const setting of this.#possible.keys())
      await untilDone(this.#ports, stop, () => this.#lookAtSetting(peer, setting));
    this.#observers.count('operator: found everything as it was acknowledged');
  }

  async #act(peer: Peer, stop: AbortSignal): Promise<void> {
    const what = this.#random.below(10);
    if (what < 5) await this.#deleteRecords(peer, stop);
    else if (what < 8) await this.#alter(peer);
    else if (what < 9) await this.#grow(peer);
    else await this.#preview(peer);
  }

  /** Faults of the world are retriable; what else may be: the controller does not know the topic yet. */
  #tolerate(error: TributaryError): void {
    this.#observers.count(`operator: refused with ${error.error}`);
    if (error.retriable || error.error === 'INVALID_REPLICATION_FACTOR') return;
    this.#observers.broken('judge', `the operator was refused: ${error.error}: ${error.message}`);
  }

  async #deleteRecords(peer: Peer, stop: AbortSignal): Promise<void> {
    const topic = this.#random.pick(this.#plan.topics);
    const routes = [...(await findRoutes(peer, 'operator', [topic])).values()];
    const [first, ...others] = routes;
    if (first === undefined) return;
    const route = this.#random.pick([first, ...others]);
    const history = this.#observers.history(topic, route.partition);
    const [start, end] = [
      await this.#listed(peer, route, OffsetSpec.EARLIEST, stop),
      await this.#listed(peer, route, OffsetSpec.LATEST, stop),
    ];
    const span = Number(end - start);
    const isTooFar = this.#random.chance(0.1);
    const before = isTooFar ? end + 1_000_000n : start + BigInt(this.#random.below(Math.max(1, span / 3)));
    if (!isTooFar) history.deleting(before);
    const { topicId, partition, leaderEpoch } = route;
    const partitions = [{ topicId, partition, leaderEpoch, beforeOffset: before }];
    const validateOnly = this.#random.chance(0.1);
    const request = { context: contextOf('operator'), partitions, validateOnly };
    const answer = await peer.unary(methods.deleteRecords, request, { deadlineMs, signal: stop });
    const [deleted] = answer.partitions;
    if (deleted === undefined) throw new TributaryError('INVALID_REQUEST', 'DeleteRecords answered nothing');
    if (isTooFar && deleted.errorCode === 0)
      this.#observers.broken('L4', `${topic}-${partition}: records before ${before} were deleted; it ends at ${end}`);
    if (deleted.errorCode !== 0) {
      const error = TributaryError.fromAnswer(deleted.errorCode, deleted.errorMessage);
      // An `async` log may have lost its end since it was asked for; a rotten one may be anywhere.
      const mayBeShort = isTooFar || history.flushPolicy === 'async' || history.isRotten;
      if (mayBeShort && error.error === 'OFFSET_OUT_OF_RANGE') return this.#observers.count('operator: too far');
      throw error;
    }
    if (validateOnly) return;
    if (deleted.logStartOffset < before)
      this.#observers.broken(
        'L4',
        `${topic}-${partition}: asked to begin at ${before}, it begins at ${deleted.logStartOffset}`,
      );
    history.deletedBelow(deleted.logStartOffset);
    this.#observers.count('operator: records deleted');
  }

  async #listed(peer: Peer, route: Route, spec: OffsetSpec, stop: AbortSignal): Promise<bigint> {
    const { topicId, partition, leaderEpoch } = route;
    const asked = [{ topicId, partition, leaderEpoch, spec, timestampMs: 0n }];
    const request = { context: contextOf('operator'), partitions: asked };
    const [found] = (await peer.unary(methods.listOffsets, request, { deadlineMs, signal: stop })).partitions;
    if (found === undefined) throw new TributaryError('INVALID_REQUEST', 'ListOffsets answered nothing');
    if (found.errorCode !== 0) throw TributaryError.fromAnswer(found.errorCode, found.errorMessage);
    return found.offset;
  }

  async #alter(peer: Peer): Promise<void> {
    const setting = this.#random.pick(this.#plan.settings);
    const value: Value = this.#random.chance(0.2) ? unset : this.#random.pick(setting.values);
    const operation = value === unset ? ConfigOperationType.DELETE : ConfigOperationType.SET;
    const operations = [{ name: setting.name, operation, value: value === unset ? '' : value }];
    // From before the request leaves until the cluster says otherwise nothing more is promised than `async` does.
    if (setting.name === 'flush.policy') this.#observers.history(setting.topic, 0).flushesBy('async');
    const possible = this.#possible.get(setting) ?? new Set<Value>([await this.#valueOf(peer, setting)]);
    this.#possible.set(setting, possible.add(value));
    const request = { context: contextOf('operator'), ...resourceOf(setting), operations, validateOnly: false };
    try {
      await peer.unary(methods.alterConfigs, request, { deadlineMs });
    } catch (thrown) {
      // It may still be on its way, and come behind later ones.
      this.#lost.add(setting);
      throw thrown;
    }
    this.#observers.count('operator: settings changed');
    if (this.#lost.has(setting)) return;
    this.#possible.set(setting, new Set([value]));
    await this.#lookAtSetting(peer, setting);
    if (setting.name === 'flush.policy' && value !== 'async') await this.#untilFlushed(peer, setting.topic);
  }

  /** Waits a while; from then on a loss of power takes nothing that was acknowledged, before or since (R6). */
  async #untilFlushed(peer: Peer, topic: string): Promise<void> {
    for (let attempt = 0; attempt < 10; attempt++) {
      const { partitions } = await peer.unary(
        methods.describeTopic,
        { context: contextOf('operator'), name: topic },
        { deadlineMs },
      );
      if (partitions[0]?.flushed === true) {
        this.#observers.history(topic, 0).flushesBy('commit');
        this.#observers.count('operator: flush.policy=commit is in force');
        this.#observers.commitInForce();
        return;
      }
      await this.#ports.clock.sleep(20, new AbortController().signal);
    }
  }

  async #grow(peer: Peer): Promise<void> {
    if (this.#partitionsMost >= partitionsMost) return;
    const totalCount = this.#partitionsMost + this.#random.between(1, 3);
    this.#partitionsMost = totalCount;
    const request = { context: contextOf('operator'), name: this.#plan.growing, totalCount, validateOnly: false };
    await peer.unary(methods.createPartitions, request, { deadlineMs });
    this.#partitionsLeast = totalCount;
    this.#observers.count('operator: partitions added');
  }

  async #preview(peer: Peer): Promise<void> {
    const [topic] = this.#plan.topics;
    const [route] = (await findRoutes(peer, 'operator', [topic])).values();
    if (route === undefined) return;
    const request = { context: contextOf('operator'), topicId: route.topicId, configs: { 'retention.bytes': '0' } };
    await peer.unary(methods.previewRetention, request, { deadlineMs });
    await peer.unary(
      methods.describeLogDirs,
      { context: contextOf('operator'), nodeId: -1, topicIds: [] },
      { deadlineMs },
    );
    this.#observers.count('operator: looked at brokers');
  }

  /** Each partition that was acknowledged is there, with a leader. @throws TributaryError retriable while the broker has not heard of all. */
  async #lookAtPartitions(peer: Peer): Promise<void> {
    const { size } = await findRoutes(peer, 'operator', [this.#plan.growing]);
    const possible = `${this.#partitionsLeast} to ${this.#partitionsMost} partitions of ${this.#plan.growing}`;
    if (size < this.#partitionsLeast)
      throw new TributaryError('LEADER_NOT_AVAILABLE', `${possible} were asked for, ${size} are there`);
    if (size > this.#partitionsMost) this.#observers.broken('M3', `${possible} are possible, ${size} are there`);
  }

  async #lookAtSetting(peer: Peer, setting: Setting): Promise<void> {
    const found = await this.#valueOf(peer, setting);
    const possible = this.#possible.get(setting) ?? new Set<Value>();
    if (possible.has(found)) return;
    const shown = [...possible].map((each) => (each === unset ? 'its default' : each));
    this.#observers.broken('M3', `${setting.name} is ${String(found)}; possible is ${shown.join(' or ')}`);
  }

  /** What is set, and not only in force. */
  async #valueOf(peer: Peer, setting: Setting): Promise<Value> {
    const request = { context: contextOf('operator'), ...resourceOf(setting) };
    const { configs } = await peer.unary(methods.describeConfigs, request, { deadlineMs });
    const found = configs.find(({ name }) => name === setting.name);
    const own = setting.topic === '' ? ConfigSource.CLUSTER : ConfigSource.TOPIC;
    return found?.source === own ? found.value : unset;
  }
}

function resourceOf({ topic }: Setting): { resourceType: ConfigResourceType; resourceName: string } {
  const resourceType = topic === '' ? ConfigResourceType.BROKER : ConfigResourceType.TOPIC;
  return { resourceType, resourceName: topic };
}
