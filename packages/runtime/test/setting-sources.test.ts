import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { settingSources } from '../src/index.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tributary-settings-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string): Promise<string> {
  await writeFile(path.join(folder, name), content);
  return path.join(folder, name);
}

describe('the command line', () => {
  it('takes flags with their value after a space or an equals sign; alone they mean true', () => {
    const { flags } = settingSources(
      ['--port', '1', '--data-dir=a=b c', '--tracing', '--retention', '-1', '--empty='],
      {},
    );
    assert.deepEqual(flags, { port: '1', 'data-dir': 'a=b c', tracing: 'true', retention: '-1', empty: '' });
  });

  it('refuses what is no flag', () => {
    assert.throws(() => settingSources(['start'], {}), { error: 'INVALID_CONFIG', message: /"start" is not a flag/ });
  });
});

describe('the file', () => {
  it('of lines has comments, blank lines and any spacing', async () => {
    const name = await file(
      'broker.conf',
      '# the broker\n\nport = 9095\r\n  data-dir=/var/lib/tributary data\nempty =\n',
    );
    const sources = settingSources(['--config', name], {});
    assert.deepEqual(sources.file, {
      name,
      values: { port: '9095', 'data-dir': '/var/lib/tributary data', empty: '' },
    });
    assert.deepEqual(sources.flags, {});
  });

  it('of JSON has texts, numbers and switches', async () => {
    const name = await file('broker.json', '{"port": 9095, "tracing": true, "data-dir": "x"}');
    assert.deepEqual(settingSources([], { TRIBUTARY_CONFIG: name }).file?.values, {
      port: '9095',
      tracing: 'true',
      'data-dir': 'x',
    });
  });

  it('named by the flag wins over the one of the environment', async () => {
    const one = await file('one.conf', 'port=1');
    const two = await file('two.conf', 'port=2');
    assert.equal(settingSources(['--config', two], { TRIBUTARY_CONFIG: one }).file?.name, two);
  });

  it('that is not there, or makes no sense, is refused by name and place', async () => {
    assert.throws(() => settingSources(['--config', `${folder}/none.conf`], {}), {
      name: 'FileError',
      reason: 'absent',
      message: /none\.conf/,
    });
    const lines = await file('bad.conf', 'port=1\nwhat is this');
    assert.throws(() => settingSources(['--config', lines], {}), {
      error: 'INVALID_CONFIG',
      message: /Line 2 of .*bad\.conf.*"what is this"/,
    });
    for (const [name, content, message] of [
      ['a.json', '{"port": }', /a\.json is not valid JSON/],
      ['b.json', '[1]', /b\.json must hold one JSON object/],
      ['c.json', '{"port": {"grpc": 1}}', /Bad value \{"grpc":1\} for setting port in .*c\.json/],
    ] as const) {
      const bad = await file(name, content);
      assert.throws(() => settingSources(['--config', bad], {}), { error: 'INVALID_CONFIG', message });
    }
  });
});
