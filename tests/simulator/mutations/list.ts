import { clusterMutations } from './cluster.ts';
import { groupMutations } from './groups.ts';
import type { StoryName } from '../stories.ts';

/**
 * Bugs that somebody could write tomorrow, as changes to the text of the code: `find` must occur in the file exactly once, so that this list
 * breaks loudly when the code moves.
 */
/** One change of text. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutation extends Edit {
  readonly name: string;
  /** The rule that it breaks. */
  readonly rule: string;
  /** What belongs to the same bug elsewhere. */
  readonly also?: readonly Edit[];
  /** The one that finds it; one-broker unless said. */
  readonly story?: StoryName;
}

const ofOneBroker: readonly Mutation[] = [
  {
    name: 'answer a duplicate before its original is durable',
    rule: 'P2',
    file: 'services/broker/src/partition/partition.ts',
    find: 'this.#park(decision.lastOffset, acks, deadline, { baseOffset: decision.baseOffset, logAppendTimeMs, answer });',
    replace:
      "this.#park(decision.lastOffset, 'leader', deadline, { baseOffset: decision.baseOffset, logAppendTimeMs, answer });",
  },
  {
    name: 'report page cache as flushed after recovery',
    rule: 'L2',
    file: 'services/broker/src/log/recovery.ts',
    find: 'await segment.syncAnyway();',
    replace: '',
  },
  {
    name: 'cut below the checkpointed high watermark silently',
    rule: 'L3',
    file: 'services/broker/src/log/recovery-plan.ts',
    find: 'const floor = known.mayLose ? offset(0n) : known.highWatermark;',
    replace: 'const floor = offset(0n);',
  },
  {
    name: 'retry a failed sync',
    rule: 'L2',
    file: 'services/broker/src/log/disk.ts',
    find: `        await file.sync();
      } catch (thrown) {
        return await this.fail(path, thrown);
      }`,
    replace: `        await file.sync();
      } catch {
        await file.sync();
      }`,
  },
  {
    name: 'trust the cache after a failed sync',
    rule: 'L2',
    file: 'services/broker/src/log/data-directory.ts',
    find: 'rewrite: checkpoint.rewrite || rewrite,',
    replace: 'rewrite: checkpoint.rewrite,',
  },
  {
    name: 'reuse an offset after a restart',
    rule: 'L6',
    file: 'services/broker/src/log/recovery.ts',
    find: `      segments,
      end: plan.end,`,
    replace: `      segments,
      end: plan.kept.at(-1)?.begins ?? plan.end,`,
  },
  {
    name: 'lead on in the old epoch after a restart',
    rule: 'R6',
    file: 'services/broker/src/replicas.ts',
    find: 'if (info.leader === this.#me && this.#admitted && !isGoing) {',
    replace: 'if (info.leader === this.#me && !isGoing) {',
  },
  {
    name: 'move the high watermark over what is only written',
    rule: 'R3',
    file: 'services/broker/src/partition/partition-state.ts',
    find: "return this.config.flushPolicy === 'commit' ? this.#flushed : this.#written;",
    replace: 'return this.#written;',
  },
  {
    name: 'acknowledge a deletion of records before the new log start is on the disk',
    rule: 'L4',
    file: 'services/broker/src/log/chronicle.ts',
    find: `      await this.persist();
      this.#start = start;`,
    replace: '      this.#start = start;',
  },
  {
    name: 'say that all is flushed without having flushed it',
    rule: 'R6',
    file: 'services/broker/src/flush-reports.ts',
    find: 'for (const { partition } of some) await partition.log.sync();',
    replace: '',
    // What changes the setting flushes as well, a moment later.
    also: [
      {
        file: 'services/broker/src/partition/partition.ts',
        find: '    this.#writes.flushIfDue();',
        replace: '',
      },
    ],
  },
  {
    name: 'delete more records than was asked for',
    rule: 'L4',
    file: 'services/broker/src/rpc/delete-records.ts',
    find: 'if (beforeOffset >= 0n && beforeOffset <= partition.highWatermark) return offset(beforeOffset);',
    replace: 'if (beforeOffset >= 0n && beforeOffset <= partition.highWatermark) return partition.highWatermark;',
  },
  {
    name: 'leave the name of a new segment unsynced',
    rule: 'L2',
    file: 'services/broker/src/log/flusher.ts',
    find: 'syncs.push(this.#disk.syncDirectory(this.#folder), this.#disk.syncDirectory(this.#disk.root));',
    replace: '',
  },
  {
    name: 'compact away the newest record of a key too',
    rule: 'L5',
    file: 'services/broker/src/log/segment-cleaner.ts',
    find: 'if (!map.isNewest(batch.section, spans.keyStart, spans.keyLength, offset)) continue;',
    replace: 'if (map.get(batch.section, spans.keyStart, spans.keyLength) !== undefined) continue;',
  },
];

export const mutations: readonly Mutation[] = [...ofOneBroker, ...clusterMutations, ...groupMutations];
