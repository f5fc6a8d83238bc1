// `tributary produce` and `consume` with Avro values: JSON lines in, JSON lines out, and what is wrong is said by file, line, field and offset.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DevProcess } from './dev-process.ts';

const schema = {
  type: 'record',
  name: 'User',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'name', type: 'string' },
    { name: 'since', type: ['null', { type: 'long', logicalType: 'timestamp-micros' }], default: null },
    { name: 'balance', type: { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 2 } },
  ],
};
const later = { ...schema, fields: [...schema.fields.slice(0, 2), { name: 'level', type: 'int', default: 7 }] };
const users = [
  '{"id":9007199254740993,"name":"Ada","since":"1815-12-10T00:00:00.000001Z","balance":"12.50"}',
  '{"id":-1,"name":"","since":null,"balance":"-0.01"}',
];

describe('Avro on the command line', () => {
  let dev: DevProcess;
  const avro = () => ['--value-format', 'avro', '--value-schema', dev.file('user.avsc')];
  const all = (topic: string, ...more: string[]) => ['consume', topic, '--from-beginning', '--exit-at-end', ...more];
  const refused = async (args: readonly string[], input = ''): Promise<string> => {
    const { code, stderr } = await dev.run(args, { input });
    assert.notEqual(code, 0, args.join(' '));
    assert.equal(stderr.trimEnd().split('\n').length, 1, `one line, not:\n${stderr}`);
    assert.doesNotMatch(stderr, /^\s+at /m);
    return stderr;
  };

  before(async () => {
    dev = await DevProcess.begin();
    writeFileSync(dev.file('user.avsc'), JSON.stringify(schema));
    writeFileSync(dev.file('later.avsc'), JSON.stringify(later));
  });
  after(async () => await dev[Symbol.asyncDispose]());

  test('a JSON line comes back digit for digit, in every format of consume, and as another schema reads it', async () => {
    await dev.ok(['topic', 'create', 'users']);
    const keyed = users.map((user, index) => `k${index}\t${user}\n`).join('');
    await dev.ok(['produce', 'users', '--key-separator', '\\t', ...avro()], { input: keyed });
    const [first] = (await dev.ok(all('users', '--format', '%v\\n'))).toString('latin1').split('\n');
    assert.doesNotMatch(first ?? '', /"name"/, 'what is in the log is Avro, not JSON');
    assert.equal((await dev.ok(all('users', ...avro()))).toString(), `${users.join('\n')}\n`);
    assert.equal(
      (await dev.ok(all('users', ...avro(), '--format', '%k=%v;'))).toString(),
      users.map((user, index) => `k${index}=${user};`).join(''),
    );
    const json = (await dev.ok(all('users', ...avro(), '--output', 'json'))).toString();
    assert.ok(json.includes(`"key":"k0","value":${users[0] ?? ''},"headers":[]}`), json);
    assert.equal(
      (
        await dev.ok(all('users', ...avro(), '--reader-schema', dev.file('later.avsc'), '--max-messages', '1'))
      ).toString(),
      '{"id":9007199254740993,"name":"Ada","level":7}\n',
    );
  });

  test('a line that does not follow the schema ends the reading, named by line and field; what came before is kept', async () => {
    await dev.ok(['topic', 'create', 'mistakes']);
    const input = `${users[0] ?? ''}\n{"id":1,"name":5,"balance":"1"}\n${users[1] ?? ''}\n`;
    assert.match(
      await refused(['produce', 'mistakes', ...avro()], input),
      /Line 2 of standard input does not follow the schema: field "name": a string is expected, 5 \(number\) is there\. .*1 of 1 record sent was acknowledged/,
    );
    assert.match(await refused(['produce', 'mistakes', ...avro()], '\n'), /Line 1 .* it is no JSON/);
    assert.equal((await dev.ok(all('mistakes', ...avro()))).toString(), `${users[0] ?? ''}\n`);
  });

  test('a record that is not of the schema is named by its partition and offset, after those before it were printed', async () => {
    await dev.ok(['topic', 'create', 'foreign']);
    await dev.ok(['produce', 'foreign', ...avro()], { input: `${users[0] ?? ''}\n` });
    await dev.ok(['produce', 'foreign'], { input: 'text\n' });
    assert.equal((await dev.run(all('foreign', ...avro()))).stdout.toString(), `${users[0] ?? ''}\n`);
    assert.match(
      await refused(all('foreign', ...avro())),
      /The value of 4 bytes in partition 0 of "foreign" at offset 1 cannot be read: the bytes do not follow the schema: field "name": byte 1/,
    );
  });

  test('a schema file that is absent, no text, no schema, or given without its format is refused before anything is read', async () => {
    writeFileSync(dev.file('binary'), Buffer.from([0xff, 0xfe]));
    writeFileSync(dev.file('cut.avsc'), JSON.stringify(schema).slice(0, 50));
    writeFileSync(dev.file('other.avsc'), '{"type":"recrod"}');
    const given = (name: string) => ['produce', 'users', '--value-format', 'avro', '--value-schema', dev.file(name)];
    assert.match(await refused(given('none.avsc')), /Schema file ".*none\.avsc" is not there/);
    assert.match(await refused(given('.')), /is a folder/);
    assert.match(await refused(given('binary')), /is no text/);
    assert.match(await refused(given('cut.avsc')), /cut\.avsc": The Avro schema is not valid/);
    assert.match(await refused(given('other.avsc')), /unknown type: "recrod"/);
    assert.match(await refused(['produce', 'users', '--value-format', 'avro']), /needs --value-schema/);
    assert.match(await refused(['consume', 'users', '--value-schema', 'x']), /needs --value-format avro/);
    assert.match(await refused(['produce', 'users', '--value-format', 'proto']), /Allowed choices are text, avro/);
  });
});
