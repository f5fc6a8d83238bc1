// Every property of the judge finds what is tampered with; a history that keeps its promises is let pass.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Event, type FinalLog, judge, largestGap } from './judge.ts';

interface Run {
  readonly events: Event[];
  readonly log: { offset: bigint; value: string }[];
}

/** Two producers that take turns, each record acknowledged before the next one is sent, and two readers. The outcome of the last record is unknown. */
function honest(): Run {
  const events: Event[] = [];
  const log: { offset: bigint; value: string }[] = [];
  let at = 0;
  for (const reader of ['r0', 'r1']) events.push({ kind: 'reading', at, partition: 0, reader });
  for (let order = 0; order < 10; order++) {
    for (const producer of ['p0', 'p1']) {
      const id = `${producer}/0#${order}`;
      const offset = BigInt(log.length);
      const isLast = order === 9 && producer === 'p1';
      events.push({ kind: 'sent', at: at++, partition: 0, id, producer, order });
      log.push({ offset, value: id });
      events.push(
        isLast
          ? { kind: 'failed', at: at++, partition: 0, id, error: 'REQUEST_TIMED_OUT' }
          : { kind: 'acknowledged', at: at++, partition: 0, id, offset },
      );
      for (const reader of ['r0', 'r1'])
        events.push({ kind: 'read', at: at++, partition: 0, reader, offset, value: id });
    }
  }
  return { events, log };
}

const verdict = ({ events, log }: { readonly events: readonly Event[]; readonly log: FinalLog }): readonly string[] =>
  judge(events, new Map([[0, log]]));

/** The log without what is at one offset, closed up behind it. */
function without(log: FinalLog, gone: bigint): FinalLog {
  return log
    .filter(({ offset }) => offset !== gone)
    .map(({ offset, value }) => ({ offset: offset > gone ? offset - 1n : offset, value }));
}

const reads = (events: readonly Event[]): readonly Event[] => events.filter(({ kind }) => kind !== 'read');

describe('the judge of a run on real processes', () => {
  test('has nothing to say about a run that keeps every promise, whether or not an unknown outcome is in the log', () => {
    const { events, log } = honest();
    assert.deepEqual(verdict({ events, log }), []);
    assert.deepEqual(verdict({ events: reads(events), log: log.slice(0, -1) }), []);
  });

  const tampered: readonly (readonly [
    what: string,
    rule: RegExp,
    (run: Run) => { events: readonly Event[]; log: FinalLog },
  ])[] = [
    [
      'an acknowledged record that is gone',
      /^durability/,
      ({ events, log }) => ({ events: reads(events), log: without(log, 5n) }),
    ],
    [
      'the end of the log is gone, acknowledged',
      /^durability/,
      ({ events, log }) => ({ events: reads(events), log: log.slice(0, 15) }),
    ],
    ['what was read is gone', /^R3: .*r0 read offset 19/, ({ events, log }) => ({ events, log: log.slice(0, -1) })],
    [
      'an acknowledged record is not where it was said to be',
      /^durability/,
      ({ events, log }) => ({
        events: reads(events),
        log: log.map(({ offset, value }) => ({ offset, value: log[Number(offset) ^ 1]?.value ?? value })),
      }),
    ],
    [
      'a record is there twice',
      /^P1: .* 2 times/,
      ({ events, log }) => ({ events, log: [...log, { offset: BigInt(log.length), value: 'p0/0#3' }] }),
    ],
    [
      'one whose outcome is unknown is there twice',
      /^P1: .*p1\/0#9 is in the log 2 times/,
      ({ events, log }) => ({ events, log: [...log, { offset: BigInt(log.length), value: 'p1/0#9' }] }),
    ],
    [
      'a duplicate was acknowledged without an offset, and is not there',
      /^durability: .*without an offset/,
      ({ events, log }) => ({
        events: reads(events).map((event) =>
          event.kind === 'failed'
            ? { kind: 'acknowledged', at: event.at, partition: 0, id: event.id, offset: undefined }
            : event,
        ),
        log: log.slice(0, -1),
      }),
    ],
    [
      'records of one producer stand in another order',
      /^P1: .*order/,
      ({ events, log }) => ({
        // Nothing was acknowledged: only their order is promised.
        events: reads(events).filter(({ kind }) => kind !== 'acknowledged'),
        log: log.map(({ offset }) => ({ offset, value: log[log.length - 1 - Number(offset)]?.value ?? '' })),
      }),
    ],
    [
      'what was sent after an acknowledgement stands before it',
      /^order: .*p1\/0#9 stands at 2 and was sent after offset 1[0-9]/,
      ({ events, log }) => {
        const moved = log.filter(({ value }) => value !== 'p1/0#9').toSpliced(2, 0, { offset: 0n, value: 'p1/0#9' });
        const renumbered = moved.map(({ value }, i) => ({ offset: BigInt(i), value }));
        const at = new Map(renumbered.map(({ offset, value }) => [value, offset]));
        return {
          events: reads(events).map((event) =>
            event.kind === 'acknowledged' ? { ...event, offset: at.get(event.id) } : event,
          ),
          log: renumbered,
        };
      },
    ],
    [
      'two readers saw different records at one offset',
      /^L6: .*offset 4 was read as/,
      ({ events, log }) => ({
        events: events.map((event) =>
          event.kind === 'read' && event.reader === 'r1' && event.offset === 4n ? { ...event, value: 'p0/0#1' } : event,
        ),
        log,
      }),
    ],
    [
      'a reader skipped a record',
      /^E1: .*r0 was handed offset 6 where 5 comes next/,
      ({ events, log }) => ({
        events: events.filter((event) => !(event.kind === 'read' && event.reader === 'r0' && event.offset === 5n)),
        log,
      }),
    ],
    [
      'a reader read a record again',
      /^E1: .*r0 was handed offset 5 where 6 comes next/,
      ({ events, log }) => ({
        events: events.flatMap((event) =>
          event.kind === 'read' && event.reader === 'r0' && event.offset === 5n ? [event, event] : [event],
        ),
        log,
      }),
    ],
    [
      'offsets have a hole',
      /^L6: .*not dense: 19 is missing/,
      ({ events, log }) => ({
        events: reads(events),
        log: log.map(({ offset, value }) => ({ offset: offset === 19n ? 20n : offset, value })),
      }),
    ],
    [
      'bytes that nobody sent',
      /^judge: .*which nobody sent/,
      ({ events, log }) => ({ events, log: log.with(19, { offset: 19n, value: 'damaged:p1' }) }),
    ],
    [
      'a partition whose log was not read',
      /^judge: 1 events of partitions whose log was not read/,
      ({ events, log }) => ({
        events: [...events, { kind: 'sent', at: 1_000, partition: 1, id: 'p0/1#0', producer: 'p0', order: 0 }],
        log,
      }),
    ],
  ];
  for (const [what, rule, tamper] of tampered) {
    test(`finds that ${what}`, () => {
      const found = verdict(tamper(honest()));
      assert.ok(
        found.some((sentence) => rule.test(sentence)),
        found.join('\n') || 'it found nothing',
      );
    });
  }

  test('a gap lasts until the end of what is looked at, and counts for each partition', () => {
    const heard = (at: number, partition: number): Event => ({
      kind: 'acknowledged',
      at,
      partition,
      id: '',
      offset: 0n,
    });
    const events = [heard(5, 0), heard(10, 1), heard(20, 0), heard(30, 0)];
    assert.equal(largestGap(events, 'acknowledged', [0], 0, 35), 15);
    assert.equal(largestGap(events, 'acknowledged', [0, 1], 0, 35), 25);
    assert.equal(largestGap(events, { reader: 'r0' }, [0, 1], 0, 35), 35);
  });
});
