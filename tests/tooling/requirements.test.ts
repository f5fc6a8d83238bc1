import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { requires } from '../requirements.ts';

describe('a missing outside tool', () => {
  const required = process.env['REQUIRE_ALL'];
  beforeEach(() => void delete process.env['REQUIRE_ALL']);
  afterEach(
    () => void (required === undefined ? delete process.env['REQUIRE_ALL'] : (process.env['REQUIRE_ALL'] = required)),
  );

  test('is named as the reason to skip', () => {
    assert.equal(
      requires('node', 'no-such-tool', 'nor-this'),
      'needs no-such-tool, nor-this, not found on this machine',
    );
  });

  test('is a failure where everything is installed', () => {
    process.env['REQUIRE_ALL'] = '1';
    assert.throws(() => requires('no-such-tool'), /needs no-such-tool.*REQUIRE_ALL=1/);
  });

  test('is no reason when it is there', () => {
    process.env['REQUIRE_ALL'] = '1';
    assert.equal(requires('node'), false);
  });
});
