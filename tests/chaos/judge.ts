// The verdict on a run: what clients recorded, in the order in which it happened, against the promises of DESIGN §1. The model of a partition
// is the simulator's (tests/simulator/history.ts); what needs real time is added here.

import { PartitionHistory } from '../simulator/history.ts';

/** What a client saw or did. Times are ms on one monotonic clock. */
export type Event =
  | {
      readonly kind: 'sent';
      readonly at: number;
      readonly partition: number;
      /** Unique in the run, and the value. */
      readonly id: string;
      readonly producer: string;
      /** Its place among what the producer sends to this partition. */
      readonly order: number;
    }
  /** With acks=all, unless the run plants something else. `offset`: where it is, if the broker said so. */
  | {
      readonly kind: 'acknowledged';
      readonly at: number;
      readonly partition: number;
      readonly id: string;
      readonly offset: bigint | undefined;
    }
  /** The outcome is unknown: 0 or 1 time. */
  | {
      readonly kind: 'failed';
      readonly at: number;
      readonly partition: number;
      readonly id: string;
      readonly error: string;
    }
  /** A reader begins, from the beginning. */
  | { readonly kind: 'reading'; readonly at: number; readonly partition: number; readonly reader: string }
  | {
      readonly kind: 'read';
      readonly at: number;
      readonly partition: number;
      readonly reader: string;
      readonly offset: bigint;
      readonly value: string;
    };

/** A whole log, read once everything is healed. */
export type FinalLog = readonly { readonly offset: bigint; readonly value: string }[];

/**
 * What does not hold, as sentences that begin with the rule; [] when all does.
 * @param logs by partition.
 */
export function judge(events: readonly Event[], logs: ReadonlyMap<number, FinalLog>): readonly string[] {
  const broken: string[] = [];
  for (const [partition, log] of logs) {
    const own = events.filter((event) => event.partition === partition);
    const name = `partition ${partition}`;
    judgePartition(name, own, log, (rule, what) => broken.push(`${rule}: ${what}`));
  }
  const strangers = events.filter(({ partition }) => !logs.has(partition));
  if (strangers.length > 0) broken.push(`judge: ${strangers.length} events of partitions whose log was not read`);
  return broken;
}

type Verdict = (rule: string, what: string) => void;

function judgePartition(name: string, events: readonly Event[], log: FinalLog, verdict: Verdict): void {
  const history = new PartitionHistory({ name, flushPolicy: 'commit', hasRetention: false }, verdict);
  for (const event of events) {
    switch (event.kind) {
      case 'sent': {
        const { id, producer, order } = event;
        history.sending({ id, value: id, producer, order, acks: 'all', idempotent: true });
        break;
      }
      case 'acknowledged':
        if (event.offset !== undefined) history.acknowledgedAt(event.id, event.offset);
        break;
      case 'failed':
        break;
      case 'reading':
        history.positioned(event.reader, 0n);
        break;
      case 'read':
        history.handedOut(event.reader, [event]);
        break;
      default:
        event satisfies never;
    }
  }
  history.positioned('the final reader', 0n);
  history.handedOut('the final reader', log);
  const end = log.reduce((most, { offset }) => (offset >= most ? offset + 1n : most), 0n);
  history.finish(log, 0n, end);
  judgeWithoutOffset(name, events, log, verdict);
  judgeDisappeared(name, events, end, verdict);
  judgeRealTime(name, events, log, verdict);
}

/** Where the broker knew a record only as one that it has already, it must be there all the same. */
function judgeWithoutOffset(name: string, events: readonly Event[], log: FinalLog, verdict: Verdict): void {
  const there = new Set(log.map(({ value }) => value));
  for (const event of events) {
    if (event.kind === 'acknowledged' && event.offset === undefined && !there.has(event.id))
      verdict('durability', `${name}: ${event.id} was acknowledged, without an offset, and is not in the log`);
  }
}

/** Nothing that anybody has read ever goes. (That it does not change is the model's: L6.) */
function judgeDisappeared(name: string, events: readonly Event[], end: bigint, verdict: Verdict): void {
  for (const event of events) {
    if (event.kind === 'read' && event.offset >= end)
      verdict('R3', `${name}: ${event.reader} read offset ${event.offset}; at the end the log ends at ${end}`);
  }
}

/** What was acknowledged before another record was sent, by anybody, stands before it. */
function judgeRealTime(name: string, events: readonly Event[], log: FinalLog, verdict: Verdict): void {
  const at = new Map(log.map(({ offset, value }) => [value, offset]));
  let acknowledged = -1n;
  for (const event of events.toSorted((a, b) => a.at - b.at)) {
    if (event.kind === 'acknowledged' && event.offset !== undefined && event.offset > acknowledged)
      acknowledged = event.offset;
    if (event.kind !== 'sent') continue;
    const offset = at.get(event.id);
    if (offset !== undefined && offset <= acknowledged)
      verdict(
        'order',
        `${name}: ${event.id} stands at ${offset} and was sent after offset ${acknowledged} had been acknowledged`,
      );
  }
}

/** Whose largest gap is asked for: producers', or a reader's. */
export type Heard = 'acknowledged' | { readonly reader: string };

/** The longest time, ms, without something heard in one of the partitions, between two moments. */
export function largestGap(
  events: readonly Event[],
  heard: Heard,
  partitions: readonly number[],
  from: number,
  to: number,
): number {
  const last = new Map(partitions.map((partition) => [partition, from]));
  let largest = 0;
  for (const event of events) {
    const before = last.get(event.partition);
    if (before === undefined || event.at < from || event.at > to || !isHeard(event, heard)) continue;
    largest = Math.max(largest, event.at - before);
    last.set(event.partition, event.at);
  }
  for (const before of last.values()) largest = Math.max(largest, to - before);
  return Math.round(largest);
}

function isHeard(event: Event, heard: Heard): boolean {
  return heard === 'acknowledged'
    ? event.kind === 'acknowledged'
    : event.kind === 'read' && event.reader === heard.reader;
}
