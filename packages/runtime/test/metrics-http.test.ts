import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMetrics, type HttpPages, secondsBuckets, serveHttp } from '../src/index.ts';

const pages: HttpPages = {
  metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' }),
  unhealthy: () => [],
  unready: () => [],
};

async function asked(
  path: string,
  changes: Partial<HttpPages> = {},
  method = 'GET',
): Promise<{ status: number; type: string; body: string }> {
  await using server = await serveHttp('127.0.0.1:0', { ...pages, ...changes });
  const response = await fetch(`http://${server.address}${path}`, { method });
  return { status: response.status, type: response.headers.get('content-type') ?? '', body: await response.text() };
}

describe('the pages of a process', () => {
  it('give metrics as a scraper wants them', async () => {
    assert.deepEqual(await asked('/metrics'), { status: 200, type: 'text/plain; version=0.0.4', body: 'up 1\n' });
  });

  it('say that all is well', async () => {
    for (const path of ['/healthz', '/readyz', '/readyz?verbose']) {
      assert.deepEqual(await asked(path), {
        status: 200,
        type: 'application/json',
        body: '{"status":"ok","reasons":[]}\n',
      });
    }
  });

  it('say what is wrong, health and readiness apart', async () => {
    const changes = { unready: () => ['partition orders/3 is recovering'] };
    assert.equal((await asked('/healthz', changes)).status, 200);
    const { status, body } = await asked('/readyz', changes);
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(body), { status: 'unavailable', reasons: ['partition orders/3 is recovering'] });
    assert.equal((await asked('/healthz', { unhealthy: () => ['stuck'] })).status, 503);
  });

  it('are these and no others, for reading only', async () => {
    assert.equal((await asked('/')).status, 404);
    assert.equal((await asked('/metrics/x')).status, 404);
    assert.equal((await asked('/metrics', {}, 'POST')).status, 405);
    assert.equal((await asked('/healthz', {}, 'HEAD')).body, '');
  });

  it('say when they cannot be made', async () => {
    const { status, body } = await asked('/metrics', {
      metrics: () => Promise.reject(new Error('a collector failed')),
    });
    assert.equal(status, 500);
    assert.match(body, /a collector failed/);
  });

  it('at an address that is taken are refused with what to do', async () => {
    await using server = await serveHttp('127.0.0.1:0', pages);
    await assert.rejects(serveHttp(server.address, pages), {
      error: 'INVALID_CONFIG',
      message: /port is in use.*choose another port/,
    });
  });

  it('close at once, with connections that are kept open', async () => {
    const server = await serveHttp('127.0.0.1:0', pages);
    await (await fetch(`http://${server.address}/healthz`, { keepalive: true })).text();
    const begin = performance.now();
    await server[Symbol.asyncDispose]();
    assert.ok(performance.now() - begin < 1_000);
  });
});

describe('metrics', () => {
  it('carry the labels of the process, and those of the process itself are there', async () => {
    const metrics = await createMetrics({ service: 'broker', node: '3' });
    const appended = metrics.counter({
      name: 'tributary_appended_bytes_total',
      help: 'Bytes appended.',
      labelNames: ['topic'],
    });
    appended.inc({ topic: 'orders' }, 7);
    metrics.gauge({
      name: 'tributary_log_end_offset',
      help: 'Log end offset.',
      collect() {
        this.set(12);
      },
    });
    const seconds = metrics.histogram({
      name: 'tributary_sync_seconds',
      help: 'Time of a sync.',
      buckets: [...secondsBuckets],
    });
    seconds.observe(0.0002);
    const { contentType, body } = await metrics.expose();
    assert.match(contentType, /^text\/plain/);
    const lines = body.split('\n');
    assert.ok(lines.includes('tributary_appended_bytes_total{topic="orders",service="broker",node="3"} 7'));
    assert.ok(lines.includes('tributary_log_end_offset{service="broker",node="3"} 12'));
    assert.ok(lines.includes('tributary_sync_seconds_bucket{le="0.00025",service="broker",node="3"} 1'));
    for (const name of [
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_p99_seconds',
      'process_cpu_seconds_total',
    ]) {
      assert.ok(
        lines.some((line) => line.startsWith(`${name}{`)),
        name,
      );
    }
  });

  it('of two sets in one process do not mix', async () => {
    const one = await createMetrics({ service: 'one' });
    const two = await createMetrics({ service: 'two' });
    one.counter({ name: 'tributary_x_total', help: 'x' }).inc();
    two.counter({ name: 'tributary_x_total', help: 'x' }).inc(5);
    assert.match((await one.expose()).body, /tributary_x_total\{service="one"\} 1/);
    assert.match((await two.expose()).body, /tributary_x_total\{service="two"\} 5/);
  });
});
