// pure
import { limits } from '@tributary/model';
import type { GroupPartition } from '../change.ts';
import { Heap } from '../heap.ts';
import type { TopicFacts } from '../topic-view.ts';
import { type AssignedMember, type Assignment, placeOf, topicsOf } from './assignor.ts';

/** Topics with the same subscribers: their partitions can change places. */
export interface TopicClass {
  /** Members, by number. */
  readonly subscribers: readonly number[];
  /** Partitions, by number. */
  readonly partitions: readonly number[];
}

interface Load {
  readonly load: number;
  readonly member: number;
}

/** Nobody has the partition. */
const nobody = -1;

/**
 * An assignment while it is being made; members and partitions are numbers. What it promises once balanced: of no partition is there a
 * subscriber that has two partitions less than the owner. Where all subscribe to the same, that is balance within one.
 */
export class Plan {
  readonly members: readonly AssignedMember[];
  readonly owner: Int32Array;
  readonly load: Int32Array;
  /** Those with the fewest subscribers first: they have the least choice. */
  readonly classes: readonly TopicClass[];
  readonly #topics: readonly TopicFacts[];
  /** Number of each topic's first partition. */
  readonly #first: readonly number[];
  readonly #topicAt: Int32Array;
  readonly #racks: (readonly string[])[] = [];

  constructor(members: readonly AssignedMember[]) {
    this.members = members;
    this.#topics = topicsOf(members);
    const first: number[] = [];
    let count = 0;
    for (const topic of this.#topics) {
      first.push(count);
      count += topic.partitions;
    }
    this.#first = first;
    this.owner = new Int32Array(count).fill(nobody);
    this.load = new Int32Array(members.length);
    this.#topicAt = new Int32Array(count);
    for (const [index, topic] of this.#topics.entries()) {
      const from = first[index] ?? 0;
      this.#topicAt.fill(index, from, from + topic.partitions);
    }
    this.classes = this.#classify();
  }

  loadOf(member: number): number {
    return this.load[member] ?? 0;
  }

  ownerOf(partition: number): number {
    return this.owner[partition] ?? nobody;
  }

  racksOf(partition: number): readonly string[] {
    const known = this.#racks[partition];
    if (known !== undefined) return known;
    const racks = this.#lookUpRacks(partition);
    this.#racks[partition] = racks;
    return racks;
  }

  #lookUpRacks(partition: number): readonly string[] {
    const index = this.#topicAt[partition] ?? 0;
    const topic = this.#topics[index];
    const place = topic && placeOf(topic, partition - (this.#first[index] ?? 0));
    return topic === undefined || place === undefined ? [] : topic.racks(place.partition);
  }

  give(partition: number, member: number): void {
    const before = this.ownerOf(partition);
    if (before !== nobody) this.load[before] = this.loadOf(before) - 1;
    this.owner[partition] = member;
    this.load[member] = this.loadOf(member) + 1;
  }

  /** Everybody keeps what it has, where it is there and still subscribed to. */
  keep(): void {
    const numbers = new Map(this.#topics.map((topic, index) => [topic.topicId, index]));
    for (const [member, { topics, current }] of this.members.entries()) {
      const subscribed = new Set(topics.map((topic) => topic.topicId));
      for (const { topicId, partition } of current) {
        const index = numbers.get(topicId);
        const topic = index === undefined ? undefined : this.#topics[index];
        if (index === undefined || topic === undefined || partition >= topic.partitions) continue;
        const number = (this.#first[index] ?? 0) + partition;
        if (subscribed.has(topicId) && this.ownerOf(number) === nobody) this.give(number, member);
      }
    }
  }

  /** What nobody has goes to who has least. */
  fill(): void {
    for (const { subscribers, partitions } of this.classes) {
      const least = new Heap<Load>((a, b) => a.load < b.load || (a.load === b.load && a.member < b.member));
      for (const member of subscribers) least.push({ load: this.loadOf(member), member });
      for (const partition of partitions) {
        if (this.ownerOf(partition) !== nobody) continue;
        const { member } = least.pop() as Load;
        this.give(partition, member);
        least.push({ load: this.loadOf(member), member });
      }
    }
  }

  /** Moves as little as is needed. @param choose which of a member's partitions goes to another: its place in the list. */
  balance(choose: (owned: readonly number[], from: number, to: number) => number): void {
    for (let round = 0; round < limits.groupBalanceRounds; round++) {
      let moved = false;
      for (const topics of this.classes) moved = this.#balanceClass(topics, choose) || moved;
      if (!moved || this.classes.length === 1) return;
    }
  }

  #balanceClass(
    { subscribers, partitions }: TopicClass,
    choose: (owned: readonly number[], from: number, to: number) => number,
  ): boolean {
    const owned = new Map<number, number[]>(subscribers.map((member) => [member, []]));
    for (const partition of partitions) owned.get(this.ownerOf(partition))?.push(partition);
    const least = new Heap<Load>((a, b) => a.load < b.load || (a.load === b.load && a.member < b.member));
    const most = new Heap<Load>((a, b) => a.load > b.load || (a.load === b.load && a.member > b.member));
    const enter = (member: number) => {
      const entry = { load: this.loadOf(member), member };
      least.push(entry);
      if ((owned.get(member)?.length ?? 0) > 0) most.push(entry);
    };
    const valid = (entry: Load) => entry.load === this.loadOf(entry.member);
    for (const member of subscribers) enter(member);
    let moved = false;
    for (;;) {
      const from = first(most, (entry) => valid(entry) && (owned.get(entry.member)?.length ?? 0) > 0);
      const to = first(least, valid);
      if (from === undefined || to === undefined || from.load - to.load <= 1) return moved;
      const list = owned.get(from.member) ?? [];
      const [partition] = list.splice(choose(list, from.member, to.member), 1);
      if (partition === undefined) return moved;
      this.give(partition, to.member);
      owned.get(to.member)?.push(partition);
      enter(from.member);
      enter(to.member);
      moved = true;
    }
  }

  assignment(): Assignment {
    const lists: GroupPartition[][] = this.members.map(() => []);
    for (const [index, topic] of this.#topics.entries()) {
      const from = this.#first[index] ?? 0;
      for (let partition = 0; partition < topic.partitions; partition++) {
        lists[this.ownerOf(from + partition)]?.push(placeOf(topic, partition));
      }
    }
    return new Map(this.members.map((member, index) => [member.memberId, lists[index] ?? []]));
  }

  /** Topics stay together for as long as no member subscribes to some of them only. */
  #classify(): TopicClass[] {
    const numbers = new Map(this.#topics.map((topic, index) => [topic.topicId, index]));
    const classOf = new Int32Array(this.#topics.length);
    const subscribers: number[][] = this.#topics.map(() => []);
    let next = 1;
    for (const [member, { topics }] of this.members.entries()) {
      const split = new Map<number, number>();
      for (const { topicId } of topics) {
        const index = numbers.get(topicId) ?? 0;
        const before = classOf[index] ?? 0;
        const now = split.get(before) ?? next++;
        split.set(before, now);
        classOf[index] = now;
        subscribers[index]?.push(member);
      }
    }
    const classes = new Map<number, { subscribers: number[]; partitions: number[] }>();
    for (const [index, topic] of this.#topics.entries()) {
      const key = classOf[index] ?? 0;
      const found = classes.get(key) ?? { subscribers: subscribers[index] ?? [], partitions: [] };
      classes.set(key, found);
      const from = this.#first[index] ?? 0;
      for (let partition = 0; partition < topic.partitions; partition++) found.partitions.push(from + partition);
    }
    return [...classes.values()].sort((a, b) => a.subscribers.length - b.subscribers.length);
  }
}

/** Drops what is out of date. */
function first(heap: Heap<Load>, valid: (entry: Load) => boolean): Load | undefined {
  for (let entry = heap.peek(); entry !== undefined; entry = heap.peek()) {
    if (valid(entry)) return entry;
    heap.pop();
  }
  return undefined;
}
