import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress, parseAddress } from '../src/transport/addresses.ts';

describe('an address', () => {
  for (const [address, host, port] of [
    ['localhost:9095', 'localhost', 9095],
    ['10.1.2.3:0', '10.1.2.3', 0],
    ['[::1]:65535', '::1', 65_535],
    ['broker-0.tributary.svc:9095', 'broker-0.tributary.svc', 9095],
  ] as const) {
    it(`is host and port: ${address}`, () => {
      assert.deepEqual(parseAddress(address), { host, port });
      assert.equal(formatAddress({ host, port }), address);
    });
  }

  for (const address of [
    '',
    'localhost',
    ':9095',
    'localhost:',
    'localhost:70000',
    'localhost:9095x',
    '::1:9095',
    'http://localhost:9095',
    'a b:1',
  ]) {
    it(`is refused with an example when it is none: "${address}"`, () => {
      assert.throws(() => parseAddress(address), {
        error: 'INVALID_REQUEST',
        message: /expected host:port, such as localhost:9095/,
      });
    });
  }
});
