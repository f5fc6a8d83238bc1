import net from 'node:net';

/** Stands between client and server, so that a test can cut the cable. */
export class Cable implements AsyncDisposable {
  readonly #sockets = new Set<net.Socket>();
  readonly #server: net.Server;

  constructor(port: number) {
    this.#server = net.createServer({ noDelay: true }, (near) => {
      const far = net.connect({ host: '127.0.0.1', port, noDelay: true });
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          to.destroy();
          this.#sockets.delete(from);
        });
      }
    });
  }

  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => {
        const bound = this.#server.address();
        resolve(`127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`);
      });
    });
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
