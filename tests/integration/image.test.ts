// The project's own image, as whoever runs it finds it.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { requires } from '../requirements.ts';
import { buildImages, runInImage } from './container-cluster.ts';

describe('the image', { skip: requires('a running Docker engine', 'apt-get', 'dpkg-deb') }, () => {
  before(buildImages);

  for (const program of ['tributary', 'tributary-broker', 'tributary-controller', 'tributary-coordinator']) {
    test(`${program} is on the path and tells how it is used`, async () => {
      const { code, said } = await runInImage(program, '--help');
      assert.equal(code, 0, said);
      assert.match(said, program === 'tributary' ? /Usage:.* tributary/ : /--etcd\.endpoints/);
    });
  }

  test('nothing runs as root, and the volume is writable for whom it runs as', async () => {
    const { code, said } = await runInImage('sh', '-c', 'id -u && touch /data/here && ! touch /opt/tributary/here');
    assert.equal(code, 0, said);
    assert.equal(said.split(/\s/)[0], '1000');
  });

  test('nothing of development is inside: no sources, no tests, no tools', async () => {
    const { code, said } = await runInImage(
      'sh',
      '-c',
      "find /opt/tributary -name '*.ts' -o -name typescript -o -name esbuild -o -name testcontainers",
    );
    assert.equal(code, 0, said);
    assert.equal(said, '');
  });

  test('every codec and every native module that it may need is inside', async () => {
    const names = ['@node-rs/crc32', 'snappy', 'lz4-napi', 'avsc', 'etcd3'];
    const program = `await Promise.all(${JSON.stringify(names)}.map((name) => import(name)))`;
    const { code, said } = await runInImage(
      'sh',
      '-c',
      `cd /opt/tributary/app && node --input-type=module --eval '${program.replaceAll("'", '"')}'`,
    );
    assert.equal(code, 0, said);
  });
});
