import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http2';
import { describe, it } from 'node:test';
import { errorTable, limits, TributaryError } from '@tributary/model';
import fc from 'fast-check';
import {
  errorFromTrailers,
  errorTrailers,
  okTrailers,
  timeoutFromHeader,
  timeoutHeader,
} from '../src/transport/status.ts';

/** Header values as they arrive: all text. */
const arrived = (headers: object): IncomingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));

describe('a status', () => {
  it('brings every error of the table back, with its sentence', () => {
    const names = Object.keys(errorTable) as (keyof typeof errorTable)[];
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }),
        (name, sentence) => {
          const back = errorFromTrailers(arrived(errorTrailers(new TributaryError(name, sentence))), 'peer:1');
          assert.equal(back?.error, name);
          assert.equal(back?.message, sentence.toWellFormed());
        },
      ),
    );
  });

  it('with its details stays below the 8 KiB of headers that clients take, whatever the sentence', () => {
    for (const sentence of ['x'.repeat(5_000), ' '.repeat(5_000), '€'.repeat(5_000), '\u{1f600}'.repeat(5_000)]) {
      const trailers = errorTrailers(new TributaryError('INVALID_REQUEST', sentence));
      const size = Object.entries(trailers).reduce((sum, [name, value]) => sum + name.length + String(value).length, 0);
      assert.ok(size < 7_500, `${size} bytes`);
      assert.doesNotThrow(() => decodeURIComponent(String(trailers['grpc-message'])));
    }
  });

  it('says the same as a typed detail: google.rpc.Status with an ErrorInfo', () => {
    const trailers = errorTrailers(new TributaryError('UNKNOWN_TOPIC_ID', 'no such topic'));
    const bytes = Buffer.from(String(trailers['grpc-status-details-bin']), 'base64');
    // Written down by hand from the two messages: code 5, message, details { type_url, value { reason, domain, metadata } }.
    const text = (tag: number, value: string | Buffer): Buffer =>
      Buffer.concat([Buffer.from([tag, value.length]), Buffer.from(value)]);
    const entry = (key: string, value: string): Buffer => text(26, Buffer.concat([text(10, key), text(18, value)]));
    const info = Buffer.concat([
      text(10, 'UNKNOWN_TOPIC_ID'),
      text(18, 'tributary'),
      entry('code', '100'),
      entry('retriable', 'true'),
      entry('refresh_metadata', 'true'),
    ]);
    const any = Buffer.concat([text(10, 'type.googleapis.com/google.rpc.ErrorInfo'), text(18, info)]);
    const length = [(any.length & 0x7f) | 0x80, any.length >> 7];
    const expected = [Buffer.from([8, 5]), text(18, 'no such topic'), Buffer.from([26, ...length]), any];
    assert.deepEqual(bytes, Buffer.concat(expected));
  });

  it('travels in headers: printable ASCII only', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (sentence) => {
        const header = errorTrailers(new TributaryError('INVALID_REQUEST', sentence))['grpc-message'];
        assert.match(String(header), /^[\x20-\x7e]*$/);
      }),
    );
  });

  it('has room for a sentence, not for a book', () => {
    const back = errorFromTrailers(
      arrived(errorTrailers(new TributaryError('INVALID_REQUEST', 'x'.repeat(100_000)))),
      'peer:1',
    );
    assert.equal(back?.message.length, limits.errorMessageLength);
  });

  it('of success is no error', () => {
    assert.equal(errorFromTrailers(arrived(okTrailers), 'peer:1'), undefined);
  });

  for (const [status, error] of [
    [14, 'NETWORK_EXCEPTION'],
    [4, 'REQUEST_TIMED_OUT'],
    [12, 'UNSUPPORTED_VERSION'],
    [3, 'INVALID_REQUEST'],
    [2, 'UNKNOWN_SERVER_ERROR'],
  ] as const) {
    it(`${status} of another gRPC server means ${error}`, () => {
      const back = errorFromTrailers({ 'grpc-status': String(status), 'grpc-message': 'so%20it is' }, 'peer:1');
      assert.equal(back?.error, error);
      assert.equal(back?.message, 'so it is');
    });
  }

  it('with a sentence that is not well escaped is shown as it stands', () => {
    assert.equal(
      errorFromTrailers({ 'grpc-status': '13', 'grpc-message': '100% wrong' }, 'peer:1')?.message,
      '100% wrong',
    );
  });

  it('that is missing names who answered, and with what', () => {
    const proxy = errorFromTrailers(arrived({ ':status': 502 }), 'peer:1');
    assert.equal(proxy?.error, 'NETWORK_EXCEPTION');
    assert.match(proxy?.message ?? '', /peer:1.*502/);
    assert.match(errorFromTrailers({}, 'peer:1')?.message ?? '', /peer:1/);
  });
});

describe('a deadline on the wire', () => {
  it('is the milliseconds that were given, never less', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (deadlineMs) => {
        const header = timeoutHeader(deadlineMs);
        assert.match(header, /^\d{1,8}[mS]$/);
        const back = timeoutFromHeader(header) ?? 0;
        assert.ok(back >= Math.min(deadlineMs, 99_999_999_000));
        assert.ok(back <= deadlineMs + 1_000 || back === 1);
      }),
    );
  });

  it('is read in every unit that gRPC has', () => {
    const read = ['2H', '3M', '4S', '5m', '6000u', '7000000n'].map(timeoutFromHeader);
    assert.deepEqual(
      read.map((ms) => Math.round(ms ?? -1)),
      [7_200_000, 180_000, 4_000, 5, 6, 7],
    );
  });

  it('that makes no sense is none', () => {
    assert.deepEqual(['', '5', 'm', '123456789m', '-5m', '5x'].map(timeoutFromHeader), Array(6).fill(undefined));
    assert.equal(timeoutFromHeader(undefined), undefined);
  });
});
