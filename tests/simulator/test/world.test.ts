import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Codec, UnaryMethod } from '@tributary/ports';
import type { ProcessMain, ProcessPorts } from '../process.ts';
import { BrokenRule, World } from '../world.ts';

const texts: Codec<string> = {
  encode: (message) => Buffer.from(message),
  decode: (bytes) => Buffer.from(bytes).toString(),
};
const ask: UnaryMethod<string, string> = { kind: 'unary', path: '/test/Ask', request: texts, response: texts };
const never = new AbortController().signal;

const forEver: ProcessMain = () => new Promise(() => undefined);

/** Writes a line every millisecond of its own clock, and syncs every tenth. */
const scribe: ProcessMain = async ({ clock, files, random, logger }, stop) => {
  const file = await files.open('book', 'append');
  await files.syncDirectory('');
  for (let line = 0; !stop.aborted; line++) {
    await clock.sleep(1, stop);
    await file.append([Buffer.from(`${line} ${random.nextU32()}\n`)]);
    if (line % 10 === 9) await file.sync();
    logger.info('wrote', { line });
  }
};

async function bookOf(ports: ProcessPorts): Promise<string> {
  const file = await ports.files.open('book', 'read');
  const bytes = new Uint8Array(file.size);
  await file.read(bytes, 0);
  return Buffer.from(bytes).toString();
}

/** A scribe, killed, deprived of power and started again as the seed has it. @returns the trace's hash. */
async function restless(seed: number): Promise<string> {
  const world = new World(seed);
  const machine = world.machine('m');
  const random = world.random.stream('story');
  await world.run(async () => {
    for (let life = 0; life < 8; life++) {
      const process = machine.start('scribe', scribe);
      await world.scheduler.pause(random.between(1_000, 60_000));
      if (random.chance(0.5)) process.kill();
      else machine.losePower();
      await world.scheduler.pause(random.between(1, 5_000));
      machine.powerOn();
    }
  });
  return world.trace.hash();
}

describe('a world', () => {
  test('tells the same story for the same seed, whatever ran before it, and another one for another seed', async () => {
    const first = await restless(7);
    assert.notEqual(await restless(8), first);
    assert.equal(await restless(7), first);
  });

  test('a killed process does nothing more, and what it had synced is there for the next one', async () => {
    const world = new World(1);
    const machine = world.machine('m');
    await world.run(async () => {
      const process = machine.start('scribe', scribe);
      let lines = 0;
      process.onLog = () => (lines += 1);
      await world.scheduler.pause(100_000);
      process.kill();
      const before = lines;
      await world.scheduler.pause(100_000);
      assert.equal(lines, before);
      machine.losePower();
      machine.powerOn();
      await machine.start('reader', async (ports) => {
        const book = (await bookOf(ports)).split('\n');
        assert.ok(book.length > Math.floor(before / 10) * 10, `${book.length} lines are left of ${before}`);
      }).ended;
    });
    assert.equal(world.coverage.of('world: process killed'), 1);
  });

  test('a restart of the machine, and of nothing less, gives another boot id', async () => {
    const world = new World(1);
    const machine = world.machine('m');
    const bootIds: string[] = [];
    const note: ProcessMain = ({ host }) => Promise.resolve(void bootIds.push(host.bootId));
    await world.run(async () => {
      await machine.start('one', note).ended;
      await machine.start('two', note).ended;
      machine.losePower();
      machine.powerOn();
      await machine.start('three', note).ended;
    });
    assert.equal(bootIds[0], bootIds[1]);
    assert.notEqual(bootIds[1], bootIds[2]);
  });

  test('a process that crashes itself ends at that very point, and others hear of it', async () => {
    const world = new World(1);
    const server = world.machine('s');
    const client = world.machine('c');
    let wentOn = false;
    await world.run(async () => {
      const process = server.start('server', async ({ transport, host, files }) => {
        await transport.serve('s:1', (handlers) =>
          handlers.unary(ask, async () => {
            host.crash('it cannot trust itself');
            await files.list('');
            wentOn = true;
            return 'answer';
          }),
        );
        await new Promise(() => undefined);
      });
      const asking = client.start('client', async ({ transport, clock }) => {
        await clock.sleep(10, never);
        const peer = transport.connect('s:1');
        await assert.rejects(peer.unary(ask, 'question', { deadlineMs: 5_000 }), { error: 'NETWORK_EXCEPTION' });
      });
      assert.deepEqual(await process.ended, { how: 'crashed', reason: 'it cannot trust itself' });
      assert.equal((await asking.ended).how, 'finished');
    });
    assert.equal(wentOn, false);
    assert.ok(world.scheduler.nowMicros < 1_000_000);
  });

  test('a program that is asked to stop may take its time, and one that throws says why', async () => {
    const world = new World(1);
    const machine = world.machine('m');
    await world.run(async () => {
      const patient = machine.start('patient', async ({ clock }, stop) => {
        await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
        await clock.sleep(50, never);
      });
      patient.askToStop();
      assert.deepEqual(await patient.ended, { how: 'finished' });
      const failing = machine.start('failing', () => Promise.reject(new Error('no room')));
      const end = await failing.ended;
      assert.equal(end.how === 'failed' && end.reason, 'no room');
    });
  });

  test('a broken rule ends the run with its name and what shows it', async () => {
    const world = new World(1);
    await assert.rejects(
      world.run(async () => {
        world.scheduler.after(5, () => world.broken('L6', 'an offset changed its record'));
        await world.scheduler.pause(1_000);
      }),
      (error: unknown) =>
        error instanceof BrokenRule && error.rule === 'L6' && /changed its record/.test(error.message),
    );
    assert.ok(world.scheduler.nowMicros < 1_000);
  });

  test('clocks of two machines differ, and their processes have chance of their own', async () => {
    const world = new World(1);
    const draws: number[] = [];
    const walls: number[] = [];
    const note: ProcessMain = ({ random, clock }) => {
      draws.push(random.nextU32());
      walls.push(clock.wallMs());
      return Promise.resolve();
    };
    await world.run(async () => {
      for (const name of ['a', 'b']) await world.machine(name).start('note', note).ended;
      await world.machine('c').start('note', note).ended;
    });
    assert.equal(new Set(draws).size, 3);
    assert.ok(new Set(walls).size > 1);
    assert.equal(world.machines.get('a')?.start('idle', forEver).alive, true);
  });
});
