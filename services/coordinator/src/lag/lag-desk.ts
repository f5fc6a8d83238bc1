/** Lag of groups: one snapshot per answer, commits read before high watermarks (G7). For those who ask, and every few seconds for metrics. */
import { limits, type Offset } from '@tributary/model';
import type { ImageSource } from '@tributary/metadata';
import type { Clock, Logger } from '@tributary/ports';
import type { GroupSnapshot } from '../group/decision.ts';
import type { GroupSettings } from '../group/settings.ts';
import type { Leaders } from '../journal/leaders.ts';
import type { Shard } from '../shard/shard.ts';
import type { Shards } from '../shard/shards.ts';
import type { LogEnds } from './log-ends.ts';
import { type Measured, measure, type Question } from './measure.ts';
import { Movements } from './movements.ts';
import {
  keyOf,
  type LogFacts,
  type PartitionLag,
  partitionLag,
  readsFrom,
  type Standing,
  standings,
} from './partition-lag.ts';

export interface LagDeskParts {
  readonly leaders: Leaders;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly ends: LogEnds;
  readonly shards: Shards;
  readonly settings: GroupSettings;
  /** How often the lag of all groups is looked at, ms. */
  readonly pollMs: number;
}

/** A group, and the shard that it belongs to. */
export interface Subject {
  readonly shard: Shard;
  readonly snapshot: GroupSnapshot;
}

export interface PartitionReport {
  readonly standing: Standing;
  /** '': the topic is gone. */
  readonly topic: string;
  readonly lag: PartitionLag;
  /** Why no leader answered; '': one did. */
  readonly why: string;
}

export interface GroupReport {
  readonly snapshot: GroupSnapshot;
  /** By topic name, then partition. */
  readonly partitions: readonly PartitionReport[];
}

export class LagDesk {
  readonly #parts: LagDeskParts;
  readonly #movements = new Movements();
  #reports: readonly GroupReport[] = [];

  constructor(parts: LagDeskParts) {
    this.#parts = parts;
  }

  /** Of all groups here, as of the last look. */
  get reports(): readonly GroupReport[] {
    return this.#reports;
  }

  /** @param withLag leaders are asked; else nothing is known of logs. Rejects with the signal's reason only. */
  async report(subjects: readonly Subject[], withLag: boolean, signal: AbortSignal): Promise<readonly GroupReport[]> {
    const all = subjects.map((subject) => ({ ...subject, standings: standings(subject.snapshot) }));
    const questions = new Map<string, { place: Question['place']; offsets: Set<Offset> }>();
    for (const { standings: some } of all) {
      for (const standing of some) {
        const key = keyOf(standing.place);
        const question = questions.get(key) ?? { place: standing.place, offsets: new Set() };
        questions.set(key, question);
        const from = readsFrom(standing);
        if (from !== undefined) question.offsets.add(from);
      }
    }
    const answers = withLag ? await this.#ask(questions, signal) : new Map<string, Answer>();
    const nowMs = this.#parts.clock.monotonicMs();
    return all.map(({ shard, snapshot, standings: some }) => {
      const partitions = some.map((standing) => this.#partition(standing, shard, snapshot, answers, nowMs));
      return { snapshot, partitions: partitions.sort(byName) };
    });
  }

  /** For ever: what metrics show, and who stands still. Ends with the signal. */
  async poll(signal: AbortSignal): Promise<void> {
    const { clock, pollMs, logger } = this.#parts;
    while (!signal.aborted) {
      await clock.sleep(pollMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#look(signal);
      } catch (thrown) {
        if (signal.aborted) return;
        logger.warn('lag-not-measured', { why: thrown instanceof Error ? thrown.message : String(thrown) });
      }
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, shards } = this.#parts;
    const begunMs = clock.monotonicMs();
    const reports: GroupReport[] = [];
    for (const shard of [...shards]) {
      if (shard.phase !== 'serving') continue;
      const ids = [...shard.groups.ids()];
      for (let from = 0; from < ids.length; from += limits.groupsPerTurn) {
        const some = ids.slice(from, from + limits.groupsPerTurn).flatMap((id): Subject[] => {
          const reply = shard.groups.describe(id);
          return reply.kind === 'ok' ? [{ shard, snapshot: reply.value }] : [];
        });
        reports.push(...(await this.report(some, true, signal)));
        await clock.sleep(0, signal);
      }
    }
    const nowMs = clock.monotonicMs();
    for (const { snapshot, partitions } of reports) {
      for (const { standing, lag } of partitions) {
        if (standing.commit === undefined || lag.records === undefined) continue;
        this.#movements.saw(snapshot.groupId, keyOf(standing.place), standing.commit.offset, lag.records > 0n, nowMs);
      }
    }
    this.#movements.forgetBefore(begunMs);
    this.#reports = reports;
  }

  async #ask(
    wanted: ReadonlyMap<string, { place: Question['place']; offsets: ReadonlySet<Offset> }>,
    signal: AbortSignal,
  ): Promise<Map<string, Answer>> {
    const { leaders, images, ends } = this.#parts;
    const questions = [...wanted].map(([key, { place, offsets }]) => ({
      key,
      place,
      offsets: [...offsets] as Question['offsets'],
    }));
    const measured = await measure(questions, leaders, images, signal);
    return new Map(
      questions.map(({ key, place, offsets }, index) => {
        const answer = measured[index];
        if (answer?.kind === 'measured') ends.learn(place, answer.lag.highWatermark);
        return [key, { answer, offsets }] as const;
      }),
    );
  }

  #partition(
    standing: Standing,
    shard: Shard,
    snapshot: GroupSnapshot,
    answers: ReadonlyMap<string, Answer>,
    nowMs: number,
  ): PartitionReport {
    const { images, clock, settings } = this.#parts;
    const { place, commit, memberId } = standing;
    const key = keyOf(place);
    const answer = answers.get(key);
    const { groupId } = snapshot;
    const isIdle = memberId !== undefined && shard.sessions.state(groupId, memberId, nowMs)?.stalled === true;
    const isStill = commit !== undefined && this.#movements.isStill(groupId, key, commit.offset, nowMs);
    const lag = partitionLag(standing, logFacts(answer, commit?.offset), {
      snapshot,
      isStalled: isIdle || isStill,
      wallMs: clock.wallMs(),
      retentionMs: settings.offsetsRetentionMs,
    });
    const why = answer?.answer?.kind === 'unreachable' ? answer.answer.why.message : '';
    return { standing, topic: images.current.topic(place.topicId)?.name ?? '', lag, why };
  }
}

interface Answer {
  readonly answer: Measured | undefined;
  readonly offsets: readonly Offset[];
}

function logFacts(found: Answer | undefined, offset: Offset | undefined): LogFacts | undefined {
  if (found?.answer?.kind !== 'measured') return undefined;
  const { lag } = found.answer;
  const reader = offset === undefined ? undefined : lag.readers[found.offsets.indexOf(offset)];
  return {
    logStart: lag.logStartOffset,
    highWatermark: lag.highWatermark,
    nowMs: Number(lag.nowMs),
    bytes: reader?.bytes ?? 0n,
    timestampMs: reader === undefined || reader.timestampMs < 0n ? undefined : Number(reader.timestampMs),
    isEstimated: reader?.estimated ?? false,
    lostAtMs: reader === undefined || reader.lostAtMs < 0n ? undefined : Number(reader.lostAtMs),
  };
}

function byName(a: PartitionReport, b: PartitionReport): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.standing.place.partition - b.standing.place.partition;
}
