/**
 * Fetch of partitions that other brokers lead (F1): one stream to each of them per stream of a client. Positions and credits go on as they came, and
 * answers back as they came, with the records where they are: credit is the leader's business (E1). A client that does not read holds back its own streams
 * here and nothing else. A partition whose leader changes, or cannot be reached, is refused and may be opened again.
 */
import { limits, type NodeId, TributaryError } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';
import type { Stream } from '@tributary/ports';
import { type FetchCredit, type FetchPosition, type FetchRequest, type FetchResponse, methods } from '@tributary/wire';
import { type InUse, type Neighbours, unanswered } from './neighbours.ts';

/** What the first message of each stream says. */
export type HowToRead = Pick<FetchRequest, 'context' | 'rack' | 'isolationLevel' | 'fromFollower'>;

type Refuse = (wanted: FetchPosition, error: TributaryError) => void;

/** All that one client's stream reads elsewhere. */
export class ForwardedFetch {
  readonly #neighbours: Neighbours;
  readonly #how: HowToRead;
  readonly #client: Stream<FetchResponse, FetchRequest>;
  readonly #refuse: Refuse;
  readonly #ways = new Map<NodeId, Way>();
  /** Where each partition is read. */
  readonly #wayOf = new Map<string, Way>();
  readonly #stopping = new AbortController();

  constructor(neighbours: Neighbours, how: HowToRead, client: Stream<FetchResponse, FetchRequest>, refuse: Refuse) {
    this.#neighbours = neighbours;
    this.#how = how;
    this.#client = client;
    this.#refuse = refuse;
  }

  generationOf(key: string): number | undefined {
    return this.#wayOf.get(key)?.positions.get(key)?.generation;
  }

  /** @throws TributaryError BROKER_NOT_AVAILABLE. */
  open(to: NodeId, position: FetchPosition): void {
    let way = this.#ways.get(to);
    if (way === undefined || way.isOver) {
      const ended = (wanted: FetchPosition, error: TributaryError | undefined): void => {
        this.#wayOf.delete(keyOf(wanted));
        if (error !== undefined) this.#refuse(wanted, error);
      };
      way = new Way(to, this.#neighbours, this.#how, this.#client, ended, this.#stopping.signal);
      this.#ways.set(to, way);
    }
    way.open(position);
    this.#wayOf.set(keyOf(position), way);
  }

  grant(key: string, credit: FetchCredit): void {
    this.#wayOf.get(key)?.grant(key, credit);
  }

  drop(key: string): void {
    this.#wayOf.get(key)?.drop(key);
    this.#wayOf.delete(key);
  }

  flush(): void {
    for (const way of this.#ways.values()) way.flush();
  }

  close(): void {
    this.#stopping.abort(new Error('The stream of the client is over.'));
    for (const way of this.#ways.values()) way.close();
  }
}

const keyOf = ({ topicId, partition }: { readonly topicId: string; readonly partition: number }): string =>
  `${topicId}/${partition}`;

class Way {
  /** What is open on it. */
  readonly positions = new Map<string, FetchPosition>();
  readonly #to: NodeId;
  readonly #neighbours: Neighbours;
  readonly #how: HowToRead;
  readonly #client: Stream<FetchResponse, FetchRequest>;
  readonly #ended: (position: FetchPosition, error: TributaryError | undefined) => void;
  readonly #used: InUse;
  readonly #stream: Stream<FetchRequest, FetchResponse>;
  readonly #over = new AbortController();
  #open: FetchPosition[] = [];
  #credit: FetchCredit[] = [];
  #close: { topicId: string; partition: number }[] = [];
  #first = true;

  constructor(
    to: NodeId,
    neighbours: Neighbours,
    how: HowToRead,
    client: Stream<FetchResponse, FetchRequest>,
    ended: (position: FetchPosition, error: TributaryError | undefined) => void,
    signal: AbortSignal,
  ) {
    this.#to = to;
    this.#neighbours = neighbours;
    this.#how = how;
    this.#client = client;
    this.#ended = ended;
    this.#used = neighbours.use(to);
    this.#stream = this.#used.peer.stream(methods.fetch, signal);
    void this.#read();
    void this.#followLeaders();
  }

  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  open(position: FetchPosition): void {
    this.positions.set(keyOf(position), position);
    this.#open.push(position);
  }

  grant(key: string, credit: FetchCredit): void {
    if (this.positions.get(key)?.generation === credit.generation) this.#credit.push(credit);
  }

  drop(key: string): void {
    const position = this.positions.get(key);
    if (position === undefined) return;
    this.positions.delete(key);
    this.#close.push({ topicId: position.topicId, partition: position.partition });
  }

  flush(): void {
    if (this.#open.length + this.#credit.length + this.#close.length === 0) return;
    const first = this.#first ? this.#how : noLongerSaid;
    this.#first = false;
    this.#stream.send({ ...first, open: this.#open, credit: this.#credit, close: this.#close });
    this.#open = [];
    this.#credit = [];
    this.#close = [];
  }

  close(): void {
    this.#over.abort();
    this.positions.clear();
    this.#stream.cancel();
  }

  async #read(): Promise<void> {
    let error: TributaryError;
    try {
      for await (const answer of this.#stream) {
        this.#pass(answer);
        // The next message is not taken before the client takes more: its window is the leader's.
        if (this.#client.queuedBytes >= limits.streamQueue) await this.#client.writable();
      }
      error = new TributaryError('BROKER_NOT_AVAILABLE', `Broker ${this.#to} ended the stream.`);
    } catch (thrown) {
      error = unanswered(this.#to, thrown);
    }
    this.#over.abort();
    this.#used[Symbol.dispose]();
    this.#refuseAll(() => true, error);
  }

  /** Frames of what the client has meanwhile closed, or moved, stay here. */
  #pass({ throttleMs, partitions }: FetchResponse): void {
    const wanted = partitions.filter((frame) => {
      const position = this.positions.get(keyOf(frame));
      return position !== undefined && position.generation === frame.generation;
    });
    for (const frame of wanted) {
      if (frame.errorCode === 0) continue;
      const position = this.positions.get(keyOf(frame));
      this.positions.delete(keyOf(frame));
      if (position !== undefined) this.#ended(position, undefined);
    }
    if (wanted.length > 0) this.#client.send({ throttleMs, partitions: wanted });
  }

  /** A leader that is stopped or cut off says nothing: once another one leads, the client is to read there. */
  async #followLeaders(): Promise<void> {
    const { source } = this.#neighbours;
    try {
      for (;;) {
        await source.until((image) => this.#isLeft(image), this.#over.signal);
        const error = new TributaryError(
          'NOT_LEADER_OR_FOLLOWER',
          `Broker ${this.#to}, from which the partition was read, no longer leads it: open it again.`,
        );
        this.#refuseAll((position) => !this.#leads(source.current, position), error);
        this.flush();
      }
    } catch {
      // The way is over, or this broker's picture of the cluster is.
    }
  }

  #isLeft(image: ClusterImage): boolean {
    for (const position of this.positions.values()) if (!this.#leads(image, position)) return true;
    return false;
  }

  #leads(image: ClusterImage, { topicId, partition, leaderEpoch }: FetchPosition): boolean {
    const elsewhere = this.#neighbours.leaderElsewhere(topicId, partition, image);
    return elsewhere?.to === this.#to && elsewhere.leaderEpoch === leaderEpoch;
  }

  #refuseAll(isLeft: (position: FetchPosition) => boolean, error: TributaryError): void {
    for (const [key, position] of this.positions) {
      if (!isLeft(position)) continue;
      this.drop(key);
      this.#ended(position, error);
    }
  }
}

const noLongerSaid: HowToRead = { context: undefined, rack: '', isolationLevel: 0, fromFollower: false };
