import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TributaryError } from '@tributary/model';
import { createLogger, type LogOptions } from '../src/index.ts';

async function logged(
  options: Partial<LogOptions>,
  log: (logger: Awaited<ReturnType<typeof createLogger>>) => void,
): Promise<string[]> {
  const lines: string[] = [];
  log(
    await createLogger({ service: 'broker', node: 3, format: 'json', write: (line) => lines.push(line), ...options }),
  );
  return lines;
}

describe('a log line', () => {
  it('is one JSON object with time, level, service, node and event', async () => {
    const [line = ''] = await logged({}, (logger) =>
      logger.info('segment rolled', { partition: 4, baseOffset: 2n ** 60n }),
    );
    assert.ok(line.endsWith('\n'));
    const { time, ...rest }: Record<string, unknown> = JSON.parse(line);
    assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 5_000);
    assert.deepEqual(rest, {
      level: 'info',
      service: 'broker',
      node: 3,
      event: 'segment rolled',
      partition: 4,
      baseOffset: String(2n ** 60n),
    });
  });

  it('carries an error with its sentence and its cause', async () => {
    const error = new TributaryError('KAFKA_STORAGE_ERROR', 'sync failed', { cause: new Error('EIO') });
    const [line = ''] = await logged({}, (logger) => logger.error('crash', { error }));
    const entry: { level: string; error: { message: string; cause: { message: string } } } = JSON.parse(line);
    assert.equal(entry.level, 'error');
    assert.equal(entry.error.message, 'sync failed');
    assert.equal(entry.error.cause.message, 'EIO');
  });

  it('below the level is not written', async () => {
    const lines = await logged({ level: 'warn' }, (logger) => {
      logger.info('too quiet');
      logger.warn('heard');
      logger.error('heard too');
    });
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).event),
      ['heard', 'heard too'],
    );
  });

  it('for people is short: time, level where it matters, event, fields', async () => {
    const [first = '', second = ''] = await logged({ format: 'text' }, (logger) => {
      logger.info('listening', { address: '127.0.0.1:9095', parts: ['broker', 'controller'] });
      logger.warn('disk nearly full', { directory: '/var/lib/my data', freeBytes: 12 });
    });
    assert.match(
      first,
      /^\d\d:\d\d:\d\d\.\d{3} broker: listening address=127\.0\.0\.1:9095 parts=\["broker","controller"\]\n$/,
    );
    assert.match(second, /^\S+ WARN broker: disk nearly full directory="\/var\/lib\/my data" freeBytes=12\n$/);
  });
});
