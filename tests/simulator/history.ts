/**
 * The judge of what clients saw. It knows nothing of brokers: it is told what producers sent and were told, and what readers read, and says
 * which promise of DESIGN §1 does not hold. One history per partition.
 */

export interface SentRecord {
  /** Unique in the run; part of the value's bytes. */
  readonly id: string;
  /** One incarnation of a producer: what it sends has an order. */
  readonly producer: string;
  /** Its place among all that the producer sends to this partition. */
  readonly order: number;
  /** The value, byte for byte, as latin1 text. */
  readonly value: string;
  /** Where newer records of the same key replace older ones. */
  readonly key?: string;
  readonly acks: 'none' | 'leader' | 'all';
  /** Retries never double it (P1). */
  readonly idempotent: boolean;
}

export interface ReadRecord {
  readonly offset: bigint;
  readonly value: string;
}

type Outcome =
  /** Sent, and nothing heard: 0 or 1 time, for an idempotent producer. */
  | { readonly kind: 'unknown' }
  /** Refused before anything was written: 0 times. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'acknowledged'; readonly offset: bigint };

interface Sent extends SentRecord {
  attempts: number;
  outcome: Outcome;
}

interface Reader {
  next: bigint | undefined;
  highWatermark: bigint;
  /** In which it was told so. */
  leaderEpoch: number;
  /** It has seen the log begin here, or had been told so before it took up its position. */
  logStart: bigint;
}

/** Called with the rule that does not hold, and what shows it. */
export type Verdict = (rule: string, what: string) => void;

export interface PartitionPromise {
  /** For sentences. */
  readonly name: string;
  /** At first. `commit`: what is acknowledged survives every crash. `async`: a loss of power may take the end of the log (L6). */
  readonly flushPolicy: 'commit' | 'async';
  /** Old records go. */
  readonly hasRetention: boolean;
  /** Of each key the newest record stays (L5). */
  readonly isCompacted?: boolean;
  /** Another leader may know less of the high watermark at first (R3, R8). */
  readonly isReplicated?: boolean;
}

export class PartitionHistory {
  readonly #promise: PartitionPromise;
  readonly #verdict: Verdict;
  readonly #sent = new Map<string, Sent>();
  /** By value, since that is what readers see. */
  readonly #byValue = new Map<string, Sent>();
  #readAt = new Map<bigint, string>();
  #acknowledgedAt = new Map<bigint, string>();
  readonly #readers = new Map<string, Reader>();
  /** Offsets that the broker has said, by a typed error, to have lost to a damaged disk (L3). */
  readonly #damaged = new Set<bigint>();
  #isRotten = false;
  /** As of now; it may change while the partition lives. */
  #flushPolicy: 'commit' | 'async';
  #logStart = 0n;
  /** Somebody asked for the deletion of what lies below. */
  #mayBeDeleted = 0n;
  /** And was told that it is done. */
  #deleted = 0n;
  #acknowledged = 0;

  constructor(promise: PartitionPromise, verdict: Verdict) {
    this.#promise = promise;
    this.#flushPolicy = promise.flushPolicy;
    this.#verdict = verdict;
  }

  /** Records acknowledged with acks=all so far. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Different offsets that somebody has read. */
  get offsetsRead(): number {
    return this.#readAt.size;
  }

  get flushPolicy(): 'commit' | 'async' {
    return this.#flushPolicy;
  }

  /** `commit`: the cluster says that it is in force. `async`: somebody is about to ask for it. */
  flushesBy(policy: 'commit' | 'async'): void {
    this.#flushPolicy = policy;
  }

  get isRotten(): boolean {
    return this.#isRotten;
  }

  get name(): string {
    return this.#promise.name;
  }

  /** One attempt to send it leaves the producer. */
  sending(record: SentRecord): void {
    const known = this.#sent.get(record.id);
    if (known !== undefined) {
      known.attempts += 1;
      return;
    }
    const sent: Sent = { ...record, attempts: 1, outcome: { kind: 'unknown' } };
    this.#sent.set(record.id, sent);
    this.#byValue.set(record.value, sent);
  }

  /** Its producer retries by itself and does not promise to do so only once. */
  mayRepeat(id: string): void {
    const sent = this.#sent.get(id);
    if (sent !== undefined) sent.attempts = Number.POSITIVE_INFINITY;
  }

  /** The broker will never have it: told of the first and only attempt. */
  refused(id: string): void {
    const sent = this.#sent.get(id);
    if (sent !== undefined && sent.attempts === 1) sent.outcome = { kind: 'refused' };
  }

  acknowledgedAt(id: string, offset: bigint): void {
    const sent = this.#sent.get(id);
    if (sent === undefined) return this.#fail('judge', `${id} was acknowledged and never sent`);
    if (sent.acks !== 'all') return;
    const other = this.#acknowledgedAt.get(offset);
    if (other !== undefined && other !== id)
      this.#fail('L6', `offset ${offset} was acknowledged for ${other}, and then for ${id}`);
    if (sent.outcome.kind === 'acknowledged' && sent.outcome.offset !== offset) {
      this.#fail('P1', `${id} was acknowledged at ${sent.outcome.offset} and at ${offset}`);
    }
    const read = this.#readAt.get(offset);
    if (read !== undefined && read !== sent.value)
      this.#fail('L6', `${id} was acknowledged at ${offset}, where readers saw ${label(read)}`);
    if (sent.outcome.kind !== 'acknowledged') this.#acknowledged += 1;
    sent.outcome = { kind: 'acknowledged', offset };
    this.#acknowledgedAt.set(offset, id);
  }

  /** A reader begins anew at `offset`. It keeps what it knows of the high watermark. */
  positioned(name: string, offset: bigint): void {
    const reader = this.#reader(name);
    reader.next = offset;
    if (reader.logStart < this.#deleted) reader.logStart = this.#deleted;
  }

  /** A request to delete the records before `offset` is on its way: from now on they may be gone, and those behind may not. */
  deleting(offset: bigint): void {
    if (offset > this.#mayBeDeleted) this.#mayBeDeleted = offset;
  }

  /** The broker has said that the log begins at `offset` now: it never begins earlier again, whatever happens (L4). */
  deletedBelow(offset: bigint): void {
    if (offset > this.#mayBeDeleted && !this.#promise.hasRetention && !this.#isRotten)
      this.#fail('L4', `the log begins at ${offset}; nobody asked to delete beyond ${this.#mayBeDeleted}`);
    if (offset > this.#deleted) this.#deleted = offset;
  }

  /** One answer: records without a gap, all below `highWatermark`. */
  read(
    name: string,
    records: readonly ReadRecord[],
    highWatermark: bigint,
    logStart: bigint,
    leaderEpoch: number,
  ): void {
    const reader = this.#reader(name);
    if (this.#promise.isReplicated === true && leaderEpoch > reader.leaderEpoch) reader.highWatermark = 0n;
    reader.leaderEpoch = leaderEpoch;
    if (highWatermark < reader.highWatermark) {
      this.#fail('R3', `${name} saw the high watermark go back from ${reader.highWatermark} to ${highWatermark}`);
    }
    reader.highWatermark = highWatermark;
    if (logStart > highWatermark)
      this.#fail('L4', `log start ${logStart} is above the high watermark ${highWatermark}`);
    if (logStart < reader.logStart && !this.#isRotten)
      this.#fail('L4', `${name} saw the log start go back from ${reader.logStart} to ${logStart}`);
    if (logStart > this.#mayBeDeleted && !this.#promise.hasRetention && !this.#isRotten)
      this.#fail('L4', `the log begins at ${logStart}; nobody asked to delete beyond ${this.#mayBeDeleted}`);
    reader.logStart = logStart;
    if (logStart > this.#logStart) this.#logStart = logStart;
    for (const record of records) {
      if (reader.next !== undefined && record.offset !== reader.next) {
        const isAhead = record.offset > reader.next;
        if (this.#isRotten && isAhead) this.#swallowed(reader.next, record.offset);
        else if (!isAhead || this.#promise.isCompacted !== true)
          this.#fail('E1', `${name} read offset ${record.offset} where ${reader.next} comes next`);
      }
      reader.next = record.offset + 1n;
      if (record.offset >= highWatermark)
        this.#fail('R3', `${name} read offset ${record.offset} at high watermark ${highWatermark}`);
      this.#readOne(name, record);
    }
  }

  /**
   * What a consumer that does not show its stream hands out: in order, without a gap, except where retention (the log start moved past it) or
   * damage has made one.
   */
  handedOut(name: string, records: readonly ReadRecord[]): void {
    const reader = this.#reader(name);
    for (const record of records) {
      const isBehind = reader.next !== undefined && record.offset < reader.next && !this.#isRotten;
      const isGap =
        reader.next !== undefined &&
        record.offset > reader.next &&
        record.offset > this.#logStart &&
        !this.#mayHaveGaps(reader.next, record.offset);
      if (isBehind || isGap)
        this.#fail('E1', `${name} was handed offset ${record.offset} where ${reader.next} comes next`);
      reader.next = record.offset + 1n;
      this.#readOne(name, record);
    }
  }

  /** A reader goes on behind what cannot be read. */
  skipped(name: string): void {
    this.#reader(name).next = undefined;
  }

  /** Retention and deletion may be ahead of what other readers have seen of the log start. */
  #mayHaveGaps(from: bigint, to: bigint): boolean {
    if (this.#promise.hasRetention || this.#promise.isCompacted === true || this.#isRotten || to <= this.#mayBeDeleted)
      return true;
    for (let offset = from; offset < to; offset++) if (!this.#damaged.has(offset)) return false;
    return true;
  }

  /** The disk lost this offset, below the high watermark, and the broker says so with a typed error (L3). */
  damagedAt(offset: bigint): void {
    this.#damaged.add(offset);
  }

  /** A length that has decayed takes what stands behind it along: to its reader it was never there. */
  #swallowed(from: bigint, to: bigint): void {
    for (let offset = from; offset < to; offset++) this.#damaged.add(offset);
  }

  /** The medium has decayed: from the next restart on only what was below the checkpointed high watermark is promised, or a typed error for it. */
  rotten(): void {
    this.#isRotten = true;
  }

  /** The broker's process begins anew. @param checkpointed the high watermark that its disk holds (L3). */
  restarted(checkpointed: bigint): void {
    if (!this.#isRotten) return;
    for (const offset of [...this.#readAt.keys()]) if (offset >= checkpointed) this.#readAt.delete(offset);
    for (const offset of [...this.#acknowledgedAt.keys()])
      if (offset >= checkpointed) this.#acknowledgedAt.delete(offset);
    for (const sent of this.#sent.values()) {
      if (sent.outcome.kind === 'acknowledged' && sent.outcome.offset >= checkpointed)
        sent.outcome = { kind: 'unknown' };
    }
    for (const reader of this.#readers.values())
      if (reader.highWatermark > checkpointed) reader.highWatermark = checkpointed;
  }

  /** A reader at `next` is told that the log ends at `end`, and not before its start. */
  endedBelow(name: string, next: bigint, end: bigint): void {
    const { highWatermark } = this.#reader(name);
    if (highWatermark > end)
      this.#fail(
        'R3',
        `${name} is at ${next} and had seen the high watermark ${highWatermark}; the log ends at ${end}`,
      );
  }

  /** The end of an `async` log may be lost: what was promised about it no longer is. */
  lossyStop(): void {
    if (this.#flushPolicy === 'commit') return;
    this.#readAt = new Map();
    this.#acknowledgedAt = new Map();
    this.#readers.clear();
    for (const sent of this.#sent.values())
      if (sent.outcome.kind === 'acknowledged') sent.outcome = { kind: 'unknown' };
  }

  /** At the end of a run, healed: everything from the log start to the high watermark, as one reader sees it. */
  finish(log: readonly ReadRecord[], logStart: bigint, highWatermark: bigint): void {
    let next = logStart;
    const counts = new Map<string, number>();
    // Retention may have gone on while the log was read.
    for (const { offset, value } of log.filter((record) => record.offset >= logStart)) {
      for (; next < offset; next++)
        if (!this.#damaged.has(next) && this.#promise.isCompacted !== true)
          this.#fail('L6', `offsets are not dense: ${next} is missing before ${offset}`);
      if (offset < next) this.#fail('L6', `offset ${offset} occurs again after ${next - 1n}`);
      next = offset + 1n;
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    while (next < highWatermark && this.#damaged.has(next)) next++;
    // A rotten log is not waited for (convergence.ts): its last flush may have come after the high watermark was asked for.
    const mayEndInAGap = this.#isRotten && this.#promise.isCompacted === true;
    if ((next < highWatermark && !mayEndInAGap) || (next > highWatermark && !this.#isRotten))
      this.#fail('convergence', `the log ends at ${next}, its high watermark is ${highWatermark}`);
    if (this.#promise.isCompacted === true) this.#judgeNewest(log, logStart);
    else this.#judgeAcknowledged(log, logStart);
    this.#judgeCounts(counts);
    this.#judgeOrder(log);
  }

  #judgeAcknowledged(log: readonly ReadRecord[], logStart: bigint): void {
    const at = new Map(log.map(({ offset, value }) => [offset, value]));
    for (const sent of this.#sent.values()) {
      if (sent.outcome.kind !== 'acknowledged' || sent.outcome.offset < logStart) continue;
      const found = at.get(sent.outcome.offset);
      if (found === sent.value || (found === undefined && this.#damaged.has(sent.outcome.offset))) continue;
      const there = found === undefined ? 'nothing is there' : `${label(found)} is there`;
      this.#fail(
        'durability',
        `${sent.id} was acknowledged with acks=all at offset ${sent.outcome.offset}, and ${there}`,
      );
    }
  }

  /** L5: what is gone was acknowledged or read, and a newer record of its key is there. */
  #judgeNewest(log: readonly ReadRecord[], logStart: bigint): void {
    // What replaced a record may have decayed after the older one had gone.
    if (this.#isRotten) return;
    const there = new Set(log.map(({ offset }) => offset));
    const newest = new Map<string | undefined, bigint>();
    for (const { offset, value } of log) newest.set(this.#byValue.get(value)?.key, offset);
    const promised = [...this.#readAt].map(([offset, value]) => [offset, this.#byValue.get(value)] as const);
    for (const sent of this.#sent.values())
      if (sent.outcome.kind === 'acknowledged') promised.push([sent.outcome.offset, sent]);
    for (const [offset, sent] of promised) {
      if (offset < logStart || there.has(offset) || this.#damaged.has(offset)) continue;
      if ((newest.get(sent?.key) ?? -1n) > offset) continue;
      this.#fail('L5', `${sent?.id}, at ${offset}, was the newest of ${sent?.key}, and is gone`);
    }
  }

  #judgeCounts(counts: ReadonlyMap<string, number>): void {
    for (const [value, count] of counts) {
      const sent = this.#byValue.get(value);
      if (sent === undefined) this.#fail('judge', `${label(value)} was read and never sent`);
      else if (sent.outcome.kind === 'refused') this.#fail('durability', `${sent.id} was refused and is in the log`);
      else if (count > (sent.idempotent ? 1 : sent.attempts))
        this.#fail('P1', `${sent.id} is in the log ${count} times`);
    }
  }

  #judgeOrder(log: readonly ReadRecord[]): void {
    const last = new Map<string, Sent>();
    for (const { offset, value } of log) {
      const sent = this.#byValue.get(value);
      if (sent?.idempotent !== true) continue;
      const before = last.get(sent.producer);
      if (before !== undefined && before.order > sent.order) {
        this.#fail('P1', `order: ${sent.id} at ${offset} comes after ${before.id}, which its producer sent later`);
      }
      last.set(sent.producer, sent);
    }
  }

  #readOne(reader: string, { offset, value }: ReadRecord): void {
    const sent = this.#byValue.get(value);
    if (sent === undefined)
      return this.#fail('judge', `${reader} read ${label(value)} at ${offset}, which nobody sent`);
    const before = this.#readAt.get(offset);
    if (before !== undefined && before !== value)
      this.#fail('L6', `offset ${offset} was read as ${label(before)}, and by ${reader} as ${sent.id}`);
    this.#readAt.set(offset, value);
    const acknowledged = this.#acknowledgedAt.get(offset);
    if (acknowledged !== undefined && acknowledged !== sent.id) {
      this.#fail('L6', `offset ${offset} was acknowledged for ${acknowledged}, and ${reader} read ${sent.id} there`);
    }
    if (sent.outcome.kind === 'acknowledged' && sent.outcome.offset !== offset && sent.idempotent) {
      this.#fail('P1', `${sent.id} was acknowledged at ${sent.outcome.offset}, and ${reader} read it at ${offset}`);
    }
  }

  #reader(name: string): Reader {
    let reader = this.#readers.get(name);
    if (reader === undefined) {
      reader = { next: undefined, highWatermark: 0n, leaderEpoch: -1, logStart: 0n };
      this.#readers.set(name, reader);
    }
    return reader;
  }

  #fail(rule: string, what: string): void {
    this.#verdict(rule, `${this.#promise.name}: ${what}`);
  }
}

/** The id is what comes before the padding. */
function label(value: string): string {
  return JSON.stringify(value.split(' ')[0]?.slice(0, 60));
}
