/** What a leader pushes, encoded by hand as the answers of Fetch are: its records are not copied on the way out, nor on the way in. */
import { TributaryError } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import { ReplicaAttached } from './gen/tributary/v1alpha/replication.ts';
import type { ReplicaPush, ReplicateResponse } from './gen/tributary/v1alpha/replication.ts';
import { encoded, insetBytes, pieces } from './large-messages.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import { bytesSize, int64Size, lengthDelimitedSize, type ProtobufWriter, uint32Size } from './protobuf-writer.ts';

const noBytes = new Uint8Array(0);

export const replicateResponseCodec: Codec<ReplicateResponse> = {
  encode: (message) => {
    const attached = attachedOf(message);
    return encoded(responseSize(message, attached), (to) => writeResponse(message, attached, to));
  },
  pieces: (message) => {
    const attached = attachedOf(message);
    return pieces(responseSize(message, attached), insetBytes(message.pushes), (to) =>
      writeResponse(message, attached, to),
    );
  },
  decode: (bytes) => {
    const from = new ProtobufReader(bytes);
    const message: ReplicateResponse = { attached: [], pushes: [] };
    while (from.more) {
      const tag = from.tag();
      if (tag === 10) message.attached.push(readAttached(from.bytes()));
      else if (tag === 18) message.pushes.push(from.message(readPush));
      else from.skip(tag);
    }
    return message;
  },
};

/** Rare beside pushes. */
const attachedOf = (message: ReplicateResponse): readonly Uint8Array[] =>
  message.attached.map((each) => ReplicaAttached.encode(each).finish());

function readAttached(bytes: Uint8Array): ReplicaAttached {
  try {
    return ReplicaAttached.decode(bytes);
  } catch (cause) {
    throw new TributaryError(
      'INVALID_REQUEST',
      'The message is not valid protobuf: what it says of an attach cannot be read.',
      {
        cause,
      },
    );
  }
}

function responseSize(message: ReplicateResponse, attached: readonly Uint8Array[]): number {
  let size = 0;
  for (const each of attached) size += lengthDelimitedSize(each.length);
  for (const push of message.pushes) size += lengthDelimitedSize(pushSize(push));
  return size;
}

function writeResponse(message: ReplicateResponse, attached: readonly Uint8Array[], to: ProtobufWriter): void {
  for (const each of attached) {
    to.lengthPrefix(10, each.length);
    to.raw(each);
  }
  for (const push of message.pushes) {
    to.lengthPrefix(18, pushSize(push));
    writePush(push, to);
  }
}

function pushSize(push: ReplicaPush): number {
  return (
    uint32Size(push.session) +
    int64Size(push.from) +
    int64Size(push.highWatermark) +
    int64Size(push.logStartOffset) +
    int64Size(push.passedByAll) +
    bytesSize(push.records)
  );
}

function writePush(push: ReplicaPush, to: ProtobufWriter): void {
  to.uint32(8, push.session);
  to.int64(16, push.from);
  to.int64(24, push.highWatermark);
  to.int64(32, push.logStartOffset);
  to.int64(40, push.passedByAll);
  to.bytes(50, push.records);
}

function readPush(from: ProtobufReader): ReplicaPush {
  const push: ReplicaPush = {
    session: 0,
    from: 0n,
    highWatermark: 0n,
    logStartOffset: 0n,
    passedByAll: 0n,
    records: noBytes,
  };
  while (from.more) {
    const tag = from.tag();
    switch (tag) {
      case 8:
        push.session = from.uint32();
        break;
      case 16:
        push.from = from.int64();
        break;
      case 24:
        push.highWatermark = from.int64();
        break;
      case 32:
        push.logStartOffset = from.int64();
        break;
      case 40:
        push.passedByAll = from.int64();
        break;
      case 50:
        push.records = from.bytes();
        break;
      default:
        from.skip(tag);
    }
  }
  return push;
}
