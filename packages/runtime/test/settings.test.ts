import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  choiceSetting,
  listSetting,
  numberSetting,
  portSetting,
  readSettings,
  settingsReference,
  switchSetting,
  textSetting,
  variableOf,
} from '../src/index.ts';

const table = {
  'data-dir': textSetting({ default: './data', doc: 'Where the log is kept.' }),
  'node-id': numberSetting({ doc: 'Of this broker.' }, 0, 1_000),
  port: portSetting({ default: '9095', doc: 'Of the gRPC listener.' }),
  'log.retention.ms': numberSetting({ default: '-1', doc: 'How long records stay.' }, -1, Number.MAX_SAFE_INTEGER),
  'log-level': choiceSetting({ default: 'info', doc: 'What is logged.' }, 'debug', 'info'),
  tracing: switchSetting({ default: 'false', doc: 'Whether calls are traced.' }),
  peers: listSetting({ default: '', doc: 'The others.' }, 'host:port, …', (item) => item.includes(':')),
};
const set = { flags: { 'node-id': '7' } };
const refused = (message: RegExp) => ({ error: 'INVALID_CONFIG', message });

describe('settings', () => {
  it('have their defaults and their types', () => {
    const values = readSettings(table, set);
    assert.deepEqual(values, {
      'data-dir': './data',
      'node-id': 7,
      port: 9095,
      'log.retention.ms': -1,
      'log-level': 'info',
      tracing: false,
      peers: [],
    });
    const level: 'debug' | 'info' = values['log-level'];
    assert.equal(level, 'info');
  });

  it('come from the file, over it the environment, over that the flags', () => {
    const file = { name: 'broker.conf', values: { port: '1', 'data-dir': 'from file', 'log-level': 'debug' } };
    const environment = { TRIBUTARY_PORT: '2', TRIBUTARY_DATA_DIR: 'from environment', PATH: '/bin' };
    const values = readSettings(table, { file, environment, flags: { ...set.flags, port: '3' } });
    assert.equal(values.port, 3);
    assert.equal(values['data-dir'], 'from environment');
    assert.equal(values['log-level'], 'debug');
  });

  it('are found in the environment in capitals', () => {
    assert.equal(variableOf('log.retention.ms'), 'TRIBUTARY_LOG_RETENTION_MS');
    const environment = { TRIBUTARY_LOG_RETENTION_MS: '5', TRIBUTARY_PEERS: 'a:1, b:2,' };
    const values = readSettings(table, { ...set, environment });
    assert.equal(values['log.retention.ms'], 5);
    assert.deepEqual(values.peers, ['a:1', 'b:2']);
  });

  it('that are unknown stop the start, with the nearest known one', () => {
    assert.throws(
      () => readSettings(table, { flags: { ...set.flags, 'dta-dir': 'x' } }),
      refused(/"dta-dir" on the command line.*"data-dir"/),
    );
    const file = { name: 'broker.conf', values: { prot: '1' } };
    assert.throws(() => readSettings(table, { ...set, file }), refused(/"prot" in broker\.conf.*"port"/));
    const environment = { TRIBUTARY_NODE_IDD: '1' };
    assert.throws(
      () => readSettings(table, { ...set, environment }),
      refused(/TRIBUTARY_NODE_IDD.*TRIBUTARY_NODE_ID\b/),
    );
  });

  for (const [name, value, allowed] of [
    ['port', '70000', 'a whole number from 0 to 65535'],
    ['port', '1e3', 'a whole number from 0 to 65535'],
    ['port', '', 'a whole number from 0 to 65535'],
    ['node-id', '-1', 'a whole number from 0 to 1000'],
    ['log-level', 'loud', 'debug or info'],
    ['tracing', 'yes', 'true or false'],
    ['peers', 'a:1,b', 'host:port, …'],
  ] as const) {
    it(`with a bad value stop the start, with what is allowed: ${name} = "${value}"`, () => {
      const flags = { ...set.flags, [name]: value };
      const message = `Bad value "${value}" for setting ${name} (from --${name}): allowed is ${allowed}.`;
      assert.throws(() => readSettings(table, { flags }), { error: 'INVALID_CONFIG', message });
    });
  }

  it('that are missing say how to set them', () => {
    assert.throws(() => readSettings(table, {}), refused(/node-id is missing: set --node-id or TRIBUTARY_NODE_ID/));
  });

  it('are not confused by what Kubernetes puts into the environment, nor by variables of others', () => {
    const environment = {
      TRIBUTARY_PORT: 'tcp://10.0.0.1:9095',
      TRIBUTARY_BROKER_SERVICE_HOST: '10.0.0.1',
      TRIBUTARY_BROKER_SERVICE_PORT_GRPC: '9095',
      TRIBUTARY_BROKER_PORT_9095_TCP_ADDR: '10.0.0.1',
      TRIBUTARY_BOOTSTRAP: 'localhost:9095',
    };
    const values = readSettings(table, { ...set, environment, foreignVariables: ['TRIBUTARY_BOOTSTRAP'] });
    assert.equal(values.port, 9095);
  });

  it('document themselves', () => {
    const lines = settingsReference(table).split('\n');
    assert.ok(
      lines.includes('| `port` | `TRIBUTARY_PORT` | `9095` | a whole number from 0 to 65535 | Of the gRPC listener. |'),
    );
    assert.ok(lines.some((line) => line.startsWith('| `node-id` | `TRIBUTARY_NODE_ID` | none: must be set |')));
    assert.equal(lines.filter((line) => line.startsWith('| `')).length, Object.keys(table).length);
  });
});
